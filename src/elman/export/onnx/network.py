"""A plan's network as ONNX: what it reads, its layers, its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.errors import UsageError
from elman.export.onnx.graph import Graph
from elman.export.onnx.path import DOUBLE, best_tags, marginals
from elman.export.onnx.recurrence import (
    States,
    Steps,
    affine,
    directions,
    initial,
    masked,
    products,
    run_parts,
    split,
    step,
)
from elman.layers.plan import Ends, Input, Pooled, Spelled, Table
from elman.recurrent.plan import Affine, Neighbours, Part, Recurrence
from elman.tasks.plan import Labels, Next, Plan, Tags

BATCH, TIME = "batch", "time"
GROUP = 64  # spellings read together
FLOAT = 1


def network(plan: Plan) -> Graph:
    """All of it, for batches of padded sequences: see docs/export-onnx.md."""
    g = Graph()
    states = States()
    if plan.inputs:
        lengths = g.input("lengths", "int64", [BATCH])
        ids = [_ids(g, one, [BATCH, TIME]) for one in plan.inputs]
        across = [g("Transpose", each, perm=[1, 0]) for each in ids]
        steps = Steps.of(g, lengths, across[0])
        if isinstance(plan.answer, Next):
            states.before = _carried(g, plan.layers, steps.batch)
        x = beside(g, [_vectors(g, one, each) for one, each in zip(plan.inputs, across, strict=True)])
        x, ends = run_parts(g, plan.layers, x, steps, states)
        x = x if plan.pooled is None else _pool(g, plan.pooled, x, ends, steps)
        for part in plan.head:
            x = affine(g, part, x)
    if plan.wide is not None:
        extra = _wide(g, plan.wide.table)
        if plan.inputs:
            x = g("Add", x, extra)
        else:
            assert plan.bias is not None
            x = g("Add", extra, plan.bias)
    if isinstance(plan.answer, Tags):
        _tags(g, plan.answer, x, steps)
    elif isinstance(plan.answer, Labels):
        _labels(g, plan.answer, x)
    else:
        logs = masked(g, g("LogSoftmax", x, axis=-1), steps)
        g.output(by_batch(g, logs), "log_probabilities", "float", [BATCH, TIME, len(plan.answer.labels)])
        _give_state(g, states, plan.layers)
    return g


def one_step(plan: Plan) -> Graph:
    """A language model's step: one token of every sequence, and their states, before and after."""
    g = Graph()
    ids = [_ids(g, one, [BATCH]) for one in plan.inputs]
    batch = g("Shape", ids[0])
    before = _carried(g, plan.layers, batch)
    x = beside(g, [_vectors(g, one, each) for one, each in zip(plan.inputs, ids, strict=True)])
    after: list[str] = []
    x = step_parts(g, plan.layers, x, before, after)
    for part in plan.head:
        x = affine(g, part, x)
    g.output(g("LogSoftmax", x, axis=-1), "log_probabilities", "float", [BATCH, len(plan.answer.labels)])
    _give_state(g, States(before, after), plan.layers)
    return g


def step_parts(g: Graph, parts: Sequence[Part], x: str, before: Sequence[str], after: list[str]) -> str:
    """(batch, size) -> (batch, size). before, after: the states of the parts' directions, in their order."""
    for part in parts:
        if isinstance(part, Affine):
            x = affine(g, part, x)
        elif isinstance(part, Recurrence):
            (one,) = part.directions
            state = split(g, before[len(after)], len(initial(one)) // one.hidden_size)
            new, x = step(g, one, products(g, one, x), state)
            after.append(new[0] if len(new) == 1 else g("Concat", *new, axis=1))
        elif isinstance(part, Neighbours):
            raise UsageError("a window of neighbours is no part of a single step in ONNX; train without one")
        else:
            x = g("Add", x, step_parts(g, part.parts, x, before, after))
    return x


def _ids(g: Graph, one: Input, shape: Sequence[str]) -> str:
    """An input of the graph: what says of each token which vector it has."""
    return g.input(one.of if isinstance(one, Table) else "spelling", "int64", shape)


def _vectors(g: Graph, one: Input, ids: str) -> str:
    """(..., output_size) of ids (...)."""
    if isinstance(one, Table):
        return g("Gather", g.constant(one.vectors, f"{one.of}_vectors"), ids, axis=0)
    characters = g.input("characters", "int64", ["spellings", "letters"])
    letters = g.input("character_lengths", "int64", ["spellings"])
    read = _spelled(g, one, characters, letters) if isinstance(one, Spelled) else _ends(g, one, characters, letters)
    return g("Gather", read, ids, axis=0)


def _spelled(g: Graph, one: Spelled, characters: str, letters: str) -> str:
    """(spellings, output_size). They are read in groups of like lengths, or each would take as long as the longest."""
    count = g("Shape", letters)
    lengths, order = g.several("TopK", [letters, count], 2, largest=0)
    lengths = g("Pad", lengths, np.array([0, GROUP]))
    characters = g("Pad", g("Gather", characters, order, axis=0), np.array([0, 0, GROUP, 0]))
    body = Graph(g, own=True)
    number, going = body.input("number", "int64", []), body.input("going", "bool", [])
    start = body("Unsqueeze", body("Mul", number, GROUP), np.array([0]))
    stop = body("Add", start, np.array([GROUP]))
    some = body("Slice", lengths, start, stop)
    longest = body("Max", body("ReduceMax", some), np.array([1]))
    rows = body("Slice", body("Slice", characters, start, stop), np.array([0]), longest, np.array([1]))
    across = body("Transpose", rows, perm=[1, 0])
    vectors = body("Gather", body.constant(one.vectors, "character_vectors"), across, axis=0)
    ends = run_parts(body, [one.layer], vectors, Steps.of(body, some, across), States())[1]
    body.output(going, "goes_on", "bool", [])
    body.output(ends, "ends", "float", [GROUP, one.output_size])
    groups = g("Squeeze", g("Div", g("Add", count, GROUP - 1), GROUP), np.array([0]))
    read = g("Loop", groups, np.array(True), body=body.proto("spellings"))
    places = g.several("TopK", [order, count], 2, largest=0)[1]  # where each went
    return g("Gather", g("Reshape", read, np.array([-1, one.output_size])), places, axis=0)


def _ends(g: Graph, one: Ends, characters: str, letters: str) -> str:
    """(spellings, output_size)."""
    ahead = np.arange(one.length, dtype=np.int64)[None]
    long = g("Unsqueeze", letters, np.array([1]))
    places = g(
        "Concat",
        g("Expand", ahead, g("Concat", g("Shape", letters), 1 + np.zeros(1, np.int64), axis=0)),
        g("Sub", g("Sub", long, 1), ahead),
        axis=1,
    )
    exist = g("Less", np.concatenate([ahead, ahead], 1), long)
    ids = g("GatherElements", characters, g("Where", exist, places, 0), axis=1)
    vectors = g(
        "Where",
        g("Unsqueeze", exist, np.array([2])),
        g("Gather", g.constant(one.vectors, "character_vectors"), ids, axis=0),
        0.0,
    )
    return g("Reshape", vectors, np.array([-1, one.output_size]))


def beside(g: Graph, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else g("Concat", *values, axis=-1)


def by_batch(g: Graph, x: str) -> str:
    """(time, batch, size) -> (batch, time, size)."""
    return g("Transpose", x, perm=[1, 0, 2])


def state_sizes(parts: Sequence[Part]) -> list[int]:
    """Of each direction's part of `state`."""
    return [len(initial(one)) for one in directions(parts)]


def _carried(g: Graph, parts: Sequence[Part], batch: str) -> list[str]:
    """The input `state`, by directions: (batch, sizes) or, for the beginning, without rows."""
    if any(one.reverse for one in directions(parts)):
        raise UsageError(
            "a layer that reads backwards has no state to carry on; train a language model that reads one way"
        )
    sizes = state_sizes(parts)
    given = g.input("state", "float", ["state_batch", sum(sizes)])
    start = np.concatenate([initial(one) for one in directions(parts)])[None]
    begun = g("Expand", start, g("Concat", batch, np.array([sum(sizes)]), axis=0))
    state = g("Slice", g("Concat", given, begun, axis=0), np.array([0]), batch)
    if len(sizes) == 1:
        return [state]
    return g.several("Split", [state, np.array(sizes)], len(sizes), axis=1)


def _give_state(g: Graph, states: States, parts: Sequence[Part]) -> None:
    g.output(beside(g, states.after), "next_state", "float", [BATCH, sum(state_sizes(parts))])


def _pool(g: Graph, pooled: Pooled, x: str, ends: str, steps: Steps) -> str:
    """(batch, size)."""
    if pooled.how == "final":
        return ends
    count = g("Unsqueeze", steps.lengths, np.array([1]))
    if pooled.how == "max":
        top = g("ReduceMax", g("Where", steps.inside, x, -np.inf), axes=[0], keepdims=0)
        return g("Where", g("Equal", count, 0), 0.0, top)
    if pooled.how == "mean":
        total = g("ReduceSum", masked(g, x, steps), np.array([0]), keepdims=0)
        return g("Div", total, g("Cast", g("Max", count, 1), to=FLOAT))
    assert pooled.how == "attention" and pooled.hidden is not None and pooled.score is not None
    score = g("MatMul", affine(g, pooled.hidden, x), g.constant(pooled.score[:, None], "score"))  # (time, batch, 1)
    score = g("Where", steps.inside, score, -3e38)
    shares = masked(g, g("Exp", g("Sub", score, g("ReduceMax", score, axes=[0], keepdims=1))), steps)
    total = g("ReduceSum", g("Mul", shares, masked(g, x, steps)), np.array([0]), keepdims=0)
    whole = g("ReduceSum", shares, np.array([0]), keepdims=0)
    return g("Div", total, g("Where", g("Equal", count, 0), 1.0, whole))


def _wide(g: Graph, table: Any) -> str:
    """(batch, labels): the sums of the rows of a text's n-grams; -1 for none."""
    ids = g.input("ngrams", "int64", [BATCH, "ngrams_of_a_text"])
    rows = g("Gather", g.constant(table, "ngram_scores"), g("Max", ids, 0), axis=0)
    there = g("Unsqueeze", g("GreaterOrEqual", ids, 0), np.array([2]))
    return g("ReduceSum", g("Where", there, rows, 0.0), np.array([1]), keepdims=0)


def _tags(g: Graph, answer: Tags, scores: str, steps: Steps) -> None:
    path = answer.path
    logs = g("LogSoftmax", scores, axis=-1)
    if path is None:
        tags = g("ArgMax", scores, axis=2, keepdims=0)
    else:
        rows = g("Cast", logs if path.softmax else scores, to=DOUBLE)
        tags = best_tags(g, path, rows, steps)
        if not path.softmax:
            logs = g("Cast", marginals(g, path, rows, steps), to=FLOAT)
    tags = g("Where", g("Squeeze", steps.inside, np.array([2])), tags, -1)
    g.output(g("Transpose", tags, perm=[1, 0]), "tags", "int64", [BATCH, TIME])
    g.output(by_batch(g, masked(g, logs, steps)), "log_probabilities", "float", [BATCH, TIME, len(answer.labels)])


def _labels(g: Graph, answer: Labels, scores: str) -> None:
    if answer.several:
        g.output(g("Greater", scores, 0.0), "labels", "bool", [BATCH, len(answer.labels)])
        logs = g("Neg", g("Softplus", g("Neg", scores)))
    else:
        g.output(g("ArgMax", scores, axis=1, keepdims=0), "label", "int64", [BATCH])
        logs = g("LogSoftmax", scores, axis=-1)
    g.output(logs, "log_probabilities", "float", [BATCH, len(answer.labels)])
