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
from elman.tasks.plan import Labels, Plan, Rewriting, Tags
from elman.tasks.seq2seq.answers import is_feature
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


def rewriting(plan: Rewriting, symbols: Sequence[str], target: Sequence[str] | None) -> tuple[list[str], list[float]]:
    """The symbols written, and the log-probability of each and of the end: those of a target, or greedily."""
    place = {item: i for i, item in enumerate(plan.source_symbols)}
    known = {item: i for i, item in enumerate(plan.target_symbols)}
    read = [*symbols, plan.source_symbols[1]]
    x = plan.source_vectors[[place.get(symbol, 0) for symbol in read]]
    features = [k for k, symbol in enumerate(read) if is_feature(symbol)]
    shift = 0.0 if plan.features is None else plan.features @ x[features].sum(0)
    h, ends = x, x[:0]
    for part in plan.encoder:
        h, ends = _part(part, h)
    a, size = plan.attention, len(plan.output.b)
    extra = dict.fromkeys(s for s in read if s not in known and not is_feature(s)) if a.gate is not None else ()
    names = [*plan.target_symbols, *extra]
    copied = [names.index(s) if s in names and not is_feature(s) else 0 for s in read]
    layers = [layer.directions[0] for layer in plan.decoder]
    states, at, start = [], 0, _affine(plan.bridge, ends)
    for one in layers:
        fields, hidden = len(one.equation.fields), one.hidden_size
        states.append(start[at : at + fields * hidden].reshape(fields, hidden))
        at += fields * hidden
    before = [(one.equation.seen, state) for one, state in zip(layers, states, strict=True)]
    seen = [[] if node is None else [_of(node, state)] for node, state in before]
    keys = h if a.key is None else _affine(a.key, h)
    zeros = np.zeros(len(a.hidden.b), np.float32)
    fed, mixed = zeros, np.zeros(plan.target_vectors.shape[1], np.float32)
    y = _of(layers[-1].equation.read, states[-1])
    before, position, written, logs = 1, None, [], []
    while True:
        vector = [plan.target_vectors[before] + shift]
        weights = context = None
        if a.kind == "additive":
            weights = np.exp(log_softmax(np.tanh(a.query @ y + keys) @ a.v))
            context = weights @ h
            vector.append(context)
        vector += [fed] * plan.input_feeding + [mixed] * plan.output_feedback
        y = np.concatenate(vector).astype(np.float32)
        for k, one in enumerate(layers):
            equation = one.equation
            r = (np.concatenate(seen[k]) @ one.U).reshape(-1, one.hidden_size) if equation.recurrent else []
            groups = {"x": (y @ one.W + one.b).reshape(-1, one.hidden_size), "r": r, "s": states[k], "p": one.vectors}
            inputs = {(g, i): torch.tensor(np.asarray(v)) for g, rows in groups.items() for i, v in enumerate(rows)}
            *after, y, q = (value.numpy() for value in evaluate(equation.results, inputs))
            states[k], seen[k] = after, [q]
        query = y if a.query is None else a.query @ y
        if a.kind == "hard":
            scored = keys @ query
            z = np.tanh(_affine(a.hidden, y) + _affine(a.read, h))
            if a.monotonic:
                prior = np.zeros(len(h), np.float32)
                for i, p in enumerate([1.0] if position is None else position):
                    came = len(features) - 1 if position is None else i
                    reach = range(came + (position is None), len(h))
                    row = scored[list(reach)] + a.moves[[min(j - came, len(a.moves) - 1) for j in reach]]
                    prior[list(reach)] += p * np.exp(log_softmax(row))
            else:
                prior = np.exp(log_softmax(scored))
            joint = prior[:, None] * _mixture(plan, z, np.eye(len(h), dtype=np.float32), copied, len(names))
            chances = joint.sum(0)
        else:
            if a.kind in ("dot", "general"):
                weights = np.exp(log_softmax(keys @ query))
                context = weights @ h
            if a.kind == "none":
                hidden = _affine(a.hidden, y)
                hidden = np.tanh(hidden) if a.none_tanh else hidden
            else:
                hidden = np.tanh(_affine(a.hidden, np.concatenate([context, y])))
            chances = _mixture(plan, hidden[None], None if weights is None else weights[None], copied, len(names))[0]
            fed, mixed = hidden, chances[:size] @ plan.target_vectors
        if target is None:
            chosen = 1 + int(chances[1:].argmax())
        elif len(written) == len(target):
            chosen = 1
        else:
            chosen = names.index(target[len(written)]) if target[len(written)] in names else 0
        if a.kind == "hard":
            position = joint[:, chosen] / chances[chosen]
        with np.errstate(divide="ignore"):
            logs.append(float(np.log(chances[chosen])))
        if chosen == 1 or (target is None and len(written) + 1 >= max(2 * plan.longest + 10, 3 * len(symbols))):
            return written + [names[chosen]] * (chosen != 1), logs
        written.append(names[chosen])
        before = chosen if chosen < size else 0


def _mixture(plan: Rewriting, hidden: Floats, weights: Floats | None, copied: list[int], symbols: int) -> Floats:
    """(rows, symbols) probabilities, with what is copied."""
    chances = np.exp(log_softmax(_affine(plan.output, hidden)))
    if plan.attention.gate is None:
        return chances
    gate = 1 / (1 + np.exp(-_affine(plan.attention.gate, hidden)))
    both = np.zeros((len(hidden), symbols), np.float32)
    both[:, : chances.shape[1]] = gate * chances
    for j, symbol in enumerate(copied):
        both[:, symbol] += (1 - gate[:, 0]) * weights[:, j]
    return both


def _of(node: Any, state: Floats) -> Floats:
    return evaluate([node], {("s", i): torch.tensor(np.asarray(row)) for i, row in enumerate(state)})[0].numpy()
