"""A plan carried out in numpy, one text at a time: what every writer's output is also compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from elman.layers.features import KINDS
from elman.layers.plan import BestPath, Ends, Input, Spelled, Table
from elman.recurrent.kernels.graph import evaluate
from elman.recurrent.plan import Affine, Direction, Neighbours, Recurrence, Skip
from elman.tasks.classification.data import ngrams_of
from elman.tasks.classification.rivals.ngrams import _grams
from elman.tasks.plan import Labels, Plan, Tags
from elman.text.tokenizing import tokenizer_from_json

Floats = np.ndarray[Any, np.dtype[np.float32]]


def tokens_of(plan: Plan, text: str) -> list[str]:
    text = text.lower() if plan.text.lowercase else text
    return tokenizer_from_json(plan.text.tokenizer).split(text)


def scores(plan: Plan, tokens: Sequence[str]) -> Floats:
    """(tokens, labels), or with pooling (labels,): before softmax."""
    if plan.inputs:
        x = np.concatenate([_read(one, tokens) for one in plan.inputs], -1)
        ends = x[:0]
        for part in plan.layers:
            x, ends = _part(part, x)
        if plan.pooled is not None:
            x = _pool(plan, x, ends)
        for affine in plan.head:
            x = _affine(affine, x)
    else:
        x = plan.bias
    if plan.wide is not None:
        grams = ngrams_of(tokens, plan.wide.order) if plan.wide.edges else _grams(tokens, plan.wide.order)
        place = {gram: i for i, gram in enumerate(plan.wide.items)}
        x = x + sum(plan.wide.table[place[gram]] for gram in grams if gram in place)
    return x


def answer(plan: Plan, tokens: Sequence[str]) -> list[str]:
    """The tags of the tokens, or the labels of the text."""
    found, names = scores(plan, tokens), plan.answer.labels
    if isinstance(plan.answer, Tags):
        if not tokens:
            return []
        path = plan.answer.path
        return [names[i] for i in (found.argmax(-1) if path is None else best(path, found))]
    assert isinstance(plan.answer, Labels)
    if not plan.answer.several:
        return [names[found.argmax()]]
    return [names[i] for i in sorted(range(len(names)), key=lambda i: -found[i]) if found[i] > 0]


def best(path: BestPath, found: Floats) -> list[int]:
    rows = found.astype(np.float64)
    if path.softmax:
        rows = log_softmax(found).astype(np.float64)
    alphas = [path.start + rows[0]]
    for row in rows[1:]:
        alphas.append((alphas[-1][:, None] + path.transitions).max(0) + row)
    chosen = [int((alphas[-1] + path.end).argmax())]
    for alpha in alphas[-2::-1]:
        chosen.append(int((alpha + path.transitions[:, chosen[-1]]).argmax()))
    return chosen[::-1]


def log_softmax(found: Floats) -> Floats:
    shifted = found - found.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _read(one: Input, tokens: Sequence[str]) -> Floats:
    place = {item: i for i, item in enumerate(one.items)}
    if isinstance(one, Table):
        if one.of == "given":
            ids = [place.get(token, 0) or place.get(token.lower(), 0) for token in tokens]
        else:
            form = KINDS.get(one.of, lambda token, lower: token)
            ids = [place.get(form(token, token.lower()), 0) for token in tokens]
        return one.vectors[ids] if ids else np.zeros((0, one.output_size), np.float32)
    half = one.longest // 2
    words = [token if len(token) <= one.longest else token[:half] + token[-half:] for token in tokens]
    spelled = [[place.get(c, 0) for c in word] for word in words]
    if isinstance(one, Spelled):
        rows = [_recur(one.layer, one.vectors[np.array(ids, int)])[1] for ids in spelled]
    else:
        assert isinstance(one, Ends)
        rows = []
        for ids in spelled:
            both = [*(ids[k : k + 1] for k in range(one.length)), *(ids[::-1][k : k + 1] for k in range(one.length))]
            size = one.vectors.shape[1]
            rows.append(np.concatenate([one.vectors[i[0]] if i else np.zeros(size, np.float32) for i in both]))
    return np.stack(rows) if rows else np.zeros((0, one.output_size), np.float32)


def _part(part: Any, x: Floats) -> tuple[Floats, Floats]:
    """The outputs (steps, size), and for a recurrence the ends of its directions."""
    if isinstance(part, Recurrence):
        return _recur(part, x)
    if isinstance(part, Neighbours):
        wide = np.concatenate(
            [np.zeros((part.before, x.shape[1]), np.float32), x, np.zeros((part.after, x.shape[1]), np.float32)]
        )
        count = part.before + 1 + part.after
        return np.concatenate([wide[k : k + len(x)] for k in range(count)], -1), x[:0]
    if isinstance(part, Affine):
        return _affine(part, x), x[:0]
    assert isinstance(part, Skip)
    y, ends = x, x[:0]
    for inner in part.parts:
        y, ends = _part(inner, y)
    return x + y, ends


def _affine(part: Affine, x: Floats) -> Floats:
    y = x @ part.W.T + part.b
    return {"": lambda v: v, "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}[part.activation](y)


def _recur(part: Recurrence, x: Floats) -> tuple[Floats, Floats]:
    sides = [_direction(one, x) for one in part.directions]
    return np.concatenate([ys for ys, _ in sides], -1), np.concatenate([end for _, end in sides])


def _direction(one: Direction, x: Floats) -> tuple[Floats, Floats]:
    equation, hidden = one.equation, one.hidden_size
    state, seen, end = list(one.state), list(one.seen), one.output
    ys = np.zeros((len(x), hidden), np.float32)
    steps = range(len(x))
    for t in reversed(steps) if one.reverse else steps:
        a = (x[t] @ one.W + one.b).reshape(-1, hidden)
        r = (np.concatenate(seen) @ one.U).reshape(-1, hidden) if equation.recurrent else []
        groups = {"x": a, "r": r, "s": state, "p": one.vectors}
        inputs = {(k, i): torch.tensor(np.asarray(v)) for k, rows in groups.items() for i, v in enumerate(rows)}
        *after, y, q = (value.numpy() for value in evaluate(equation.results, inputs))
        state, ys[t], end = after, y, y
        seen = [q, *seen][: equation.delays] if equation.recurrent else seen
    return ys, end


def _pool(plan: Plan, ys: Floats, ends: Floats) -> Floats:
    pooled = plan.pooled
    assert pooled is not None
    if pooled.how == "final":
        return ends
    if not len(ys):
        return np.zeros(ys.shape[1], np.float32)
    if pooled.how == "max":
        return ys.max(0)
    if pooled.how == "mean":
        return ys.mean(0)
    assert pooled.hidden is not None and pooled.score is not None
    weights = np.exp(log_softmax(_affine(pooled.hidden, ys) @ pooled.score))
    return weights @ ys
