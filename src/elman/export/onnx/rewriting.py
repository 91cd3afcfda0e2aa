"""An encoder-decoder as two graphs: the encoder, and one step of the decoder."""

from __future__ import annotations

import numpy as np

from elman.errors import UsageError
from elman.export.onnx.graph import Graph, elementwise
from elman.export.onnx.network import BATCH, FLOAT, TIME, beside, by_batch, step_parts
from elman.export.onnx.recurrence import States, Steps, affine, initial, masked, output_size, run_parts, split, stored
from elman.recurrent.plan import Direction
from elman.tasks.plan import Rewriting

NEVER = -1e30  # a score whose exponential is 0, and whose difference from another one is a number
SYMBOLS = "symbols"


def encoder(plan: Rewriting) -> Graph:
    """source, lengths, features -> encoded, keys, readings, state: what the step is fed at first."""
    g, a = Graph(), plan.attention
    ids = g.input("source", "int64", [BATCH, TIME])
    lengths = g.input("lengths", "int64", [BATCH])
    across = g("Transpose", ids, perm=[1, 0])
    steps = Steps.of(g, lengths, across)
    vectors = g("Gather", g.constant(plan.source_vectors, "source_vectors"), across, axis=0)
    h, ends = run_parts(g, plan.encoder, vectors, steps, States())
    fields = g("Gemm", ends, g.constant(plan.bridge.W, "bridge"), plan.bridge.b, transB=1)
    fields = g("Tanh", fields) if plan.bridge.activation == "tanh" else fields
    layers = _layers(plan)
    counts = [len(one.equation.fields) * one.hidden_size for one in layers]
    per_layer = [fields] if len(layers) == 1 else g.several("Split", [fields, np.array(counts)], len(layers), axis=1)
    parts = [part for one, own in zip(layers, per_layer, strict=True) for part in _begun(g, one, own)]
    if a.kind == "additive":
        last = layers[-1]
        if last.equation.read is None:
            raise UsageError(
                f"cell {last.equation.name}: its output before the first step is no function of its state, so a "
                "decoder of it with additive attention has no ONNX form; train with another attention"
            )
        parts.append(_of_state(g, last, last.equation.read, per_layer[-1]))
    zeros = [width for name, width in _beside_layers(plan) if name in ("fed", "mixed")]
    if zeros:
        parts.append(
            g("Expand", np.zeros((1, 1), np.float32), g("Concat", steps.batch, np.array([sum(zeros)]), axis=0))
        )
    if plan.features is not None or a.monotonic:
        marks = g.input("features", "bool", [BATCH, TIME])
        inside = g("And", g("Unsqueeze", g("Transpose", marks, perm=[1, 0]), np.array([2])), steps.inside)
        if plan.features is not None:
            total = g("ReduceSum", g("Where", inside, vectors, 0.0), np.array([0]), keepdims=0)
            parts.append(g("MatMul", total, np.ascontiguousarray(plan.features.T)))
        if a.monotonic:
            count = g("ReduceSum", g("Cast", inside, to=FLOAT), np.array([0]), keepdims=0)
            parts += [count, g("Mul", count, 0.0)]
    h = masked(g, h, steps)
    if a.kind != "none":
        g.output(by_batch(g, h), "encoded", "float", [BATCH, TIME, encoded_size(plan)])
    if a.key is not None:
        g.output(by_batch(g, affine(g, a.key, h)), "keys", "float", [BATCH, TIME, len(a.key.b)])
    if a.read is not None:
        g.output(by_batch(g, affine(g, a.read, h)), "readings", "float", [BATCH, TIME, len(a.read.b)])
    g.output(g("Concat", *parts, axis=1), "state", "float", [BATCH, state_size(plan)])
    return g


def decoder_step(plan: Rewriting) -> Graph:
    """One symbol: the one before it, the encoder's results and the state -> log-probabilities of every symbol."""
    g, a, size = Graph(), plan.attention, len(plan.output.b)
    token = g.input("token", "int64", [BATCH])
    state = g.input("state", "float", [BATCH, state_size(plan)])
    memory = _Memory(g, plan)
    layers = _layers(plan)
    widths = [len(initial(one)) for one in layers] + [width for _, width in _beside_layers(plan)]
    pieces = [state] if len(widths) == 1 else g.several("Split", [state, np.array(widths)], len(widths), axis=1)
    more = dict(zip((name for name, _ in _beside_layers(plan)), pieces[len(layers) :], strict=True))

    table = g.constant(plan.target_vectors, "target_vectors")
    vector = g("Gather", table, g("Where", g("Less", token, size), token, 0), axis=0)
    read = [g("Add", vector, more["shift"]) if "shift" in more else vector]
    context = weights = ""
    if a.kind == "additive":
        assert a.v is not None
        query = _query(g, plan, more["y"])
        score = g("MatMul", g("Tanh", g("Add", g("Unsqueeze", query, np.array([1])), memory.keys)), a.v[:, None])
        weights = memory.shares(g("Squeeze", score, np.array([2])))
        context = memory.context(weights)
        read.append(context)
    read += [more[name] for name in ("fed", "mixed") if name in more]
    next_more = {"shift": more.get("shift", "")}
    after: list[str] = []
    y = step_parts(g, plan.decoder, beside(g, read), pieces, after)

    if a.kind == "hard":
        logs = _hard(g, plan, memory, y, more)
        next_more["features"] = more.get("features", "")
    else:
        if a.kind in ("dot", "general"):
            score = g("MatMul", memory.keys, g("Unsqueeze", _query(g, plan, y), np.array([2])))
            weights = memory.shares(g("Squeeze", score, np.array([2])))
            context = memory.context(weights)
        if a.kind == "none":
            hidden = affine(g, a.hidden, y)
            hidden = g("Tanh", hidden) if a.none_tanh else hidden
        else:
            hidden = g("Tanh", affine(g, a.hidden, g("Concat", context, y, axis=1)))
            g.output(weights, "weights", "float", [BATCH, TIME])
        logs = g("LogSoftmax", affine(g, plan.output, hidden, "writer"), axis=-1)
        if a.gate is not None:
            there = g("Squeeze", g("MatMul", g("Unsqueeze", weights, np.array([1])), memory.places), np.array([1]))
            logs = memory.mixed(logs, affine(g, a.gate, hidden), g("Log", there))
        next_more |= {"y": y, "fed": hidden}
        if plan.output_feedback:
            known = logs if a.gate is None else g("Slice", logs, np.array([0]), np.array([size]), np.array([1]))
            next_more["mixed"] = g("MatMul", g("Exp", known), table)
    if "begun" in more:
        next_more["begun"] = g("Add", g("Mul", more["begun"], 0.0), 1.0)
    g.output(logs, "log_probabilities", "float", [BATCH, SYMBOLS if a.gate is not None else size])
    parts = [*after, *(next_more[name] for name, _ in _beside_layers(plan))]
    g.output(beside(g, parts), "next_state", "float", [BATCH, state_size(plan)])
    return g


def encoded_size(plan: Rewriting) -> int:
    """The width of the encoder's outputs."""
    return output_size(plan.encoder, plan.source_vectors.shape[1])


def state_size(plan: Rewriting) -> int:
    """Of what the step hands on to the next one, in one row."""
    return sum(len(initial(one)) for one in _layers(plan)) + sum(width for _, width in _beside_layers(plan))


def _layers(plan: Rewriting) -> list[Direction]:
    return [layer.directions[0] for layer in plan.decoder]


def _beside_layers(plan: Rewriting) -> list[tuple[str, int]]:
    """What the state has beside those of the layers, with widths, in order.

    y: the decoder's output; fed: hidden; mixed: the mean vector of what was written; shift: what features add;
    features: how many there are; begun: 0 before the first step, then 1"""
    a, size = plan.attention, plan.target_vectors.shape[1]
    rows = [("y", _layers(plan)[-1].hidden_size)] if a.kind == "additive" else []
    rows += [("fed", len(a.hidden.b))] if plan.input_feeding else []
    rows += [("mixed", size)] if plan.output_feedback else []
    rows += [("shift", size)] if plan.features is not None else []
    return rows + ([("features", 1), ("begun", 1)] if a.monotonic else [])


def _begun(g: Graph, one: Direction, fields: str) -> list[str]:
    """The state of a layer whose fields are given, (batch, fields * hidden), in the order of `initial`."""
    extra = []
    for _ in stored(one):
        if one.equation.seen is None or one.equation.delays != 1:
            raise UsageError(
                f"cell {one.equation.name}: what U multiplies at the first step is no function of the state alone, so "
                "a decoder of it has no ONNX form; train with another decoder cell"
            )
        extra.append(_of_state(g, one, one.equation.seen, fields))
    return [fields, *extra]


def _of_state(g: Graph, one: Direction, node: object, fields: str) -> str:
    rows = split(g, fields, len(one.equation.fields))
    return elementwise(g, [node], {("s", i): row for i, row in enumerate(rows)})[0]  # type: ignore[list-item]


def _query(g: Graph, plan: Rewriting, y: str) -> str:
    query = plan.attention.query
    return y if query is None else g("MatMul", y, np.ascontiguousarray(query.T))


class _Memory:
    """The encoder's results, as inputs of the step."""

    def __init__(self, g: Graph, plan: Rewriting) -> None:
        a, self.g, self.size = plan.attention, g, len(plan.output.b)
        if a.kind == "none":
            return
        lengths = g.input("lengths", "int64", [BATCH])
        self.encoded = g.input("encoded", "float", [BATCH, TIME, encoded_size(plan)])
        self.keys = self.encoded if a.key is None else g.input("keys", "float", [BATCH, TIME, len(a.key.b)])
        self.readings = "" if a.read is None else g.input("readings", "float", [BATCH, TIME, len(a.read.b)])
        self.time = g("Slice", g("Shape", self.encoded), np.array([1]), np.array([2]))
        self.numbers = g("Range", 0, g("Squeeze", self.time), 1)
        self.inside = g("Less", self.numbers, g("Unsqueeze", lengths, np.array([1])))  # (batch, time)
        if a.gate is not None:
            copied = g.input("copied", "int64", [BATCH, TIME])
            self.symbols = g("Max", g("Add", g("ReduceMax", copied, keepdims=0), 1), self.size)
            places = g("OneHot", copied, self.symbols, np.array([0, 1], np.float32))
            self.places = g("Where", g("Unsqueeze", self.inside, np.array([2])), places, 0.0)  # (batch, time, symbols)

    def shares(self, scores: str) -> str:
        """(batch, time): their softmax."""
        return self.g("Softmax", self.g("Where", self.inside, scores, NEVER), axis=-1)

    def context(self, weights: str) -> str:
        mean = self.g("MatMul", self.g("Unsqueeze", weights, np.array([1])), self.encoded)
        return self.g("Squeeze", mean, np.array([1]))

    def mixed(self, logs: str, gate: str, copied: str) -> str:
        """(..., symbols): log(g p + (1 - g) c). logs (..., size): log p; gate (..., 1): before the sigmoid; copied
        (..., symbols): log c."""
        g = self.g
        written = g("Sub", logs, g("Softplus", g("Neg", gate)))
        more = g("Unsqueeze", g("Sub", self.symbols, self.size), np.array([0]))
        rank = g("Shape", g("Shape", logs))
        pads = g("Concat", g("Expand", 0, g("Sub", g("Mul", rank, 2), 1)), more, axis=0)
        written = g("Pad", written, pads, NEVER)
        copied = g("Sub", copied, g("Softplus", gate))
        top = g("Max", written, copied)
        total = g("Add", g("Exp", g("Sub", written, top)), g("Exp", g("Sub", copied, top)))
        return g("Add", top, g("Log", total))


def _hard(g: Graph, plan: Rewriting, memory: _Memory, y: str, more: dict[str, str]) -> str:
    """(batch, symbols): log sum_j p(j) p(symbol | j), and the outputs for what comes next."""
    a = plan.attention
    score = g("MatMul", memory.keys, g("Unsqueeze", _query(g, plan, y), np.array([2])))
    score = g("Squeeze", score, np.array([2]))
    if a.monotonic:
        prior = g("Log", _moved(g, plan, memory, score, more))
    else:
        prior = g("LogSoftmax", g("Where", memory.inside, score, NEVER), axis=-1)
    z = g("Tanh", g("Add", g("Unsqueeze", affine(g, a.hidden, y), np.array([1])), memory.readings))
    logs = g("LogSoftmax", affine(g, plan.output, z, "writer"), axis=-1)
    if a.gate is not None:
        logs = memory.mixed(logs, affine(g, a.gate, z), g("Log", memory.places))
    joint = g("Add", g("Unsqueeze", prior, np.array([2])), logs)  # (batch, time, symbols)
    top = g("Max", g("ReduceMax", joint, axes=[1], keepdims=1), NEVER)
    total = g("Add", g("Log", g("ReduceSum", g("Exp", g("Sub", joint, top)), np.array([1]))), top)
    positions = g("Exp", g("Sub", joint, g("Max", total, NEVER)))
    symbols: int | str = SYMBOLS if a.gate is not None else memory.size
    g.output(positions, "positions", "float", [BATCH, TIME, symbols])
    return g("Squeeze", total, np.array([1]))


def _moved(g: Graph, plan: Rewriting, memory: _Memory, score: str, more: dict[str, str]) -> str:
    """(batch, time): p(j) of monotonic attention, from the input `position`: p(i)."""
    moves = plan.attention.moves
    assert moves is not None
    last = len(moves) - 1
    position = g.input("position", "float", [BATCH, TIME])
    table = g.constant(moves, "moves")
    across, down = g("Unsqueeze", memory.numbers, np.array([0])), g("Unsqueeze", memory.numbers, np.array([1]))

    # from each i, weighted by p(i)
    distance = g("Sub", across, down)  # (time, time)
    bonus = g("Gather", table, g("Min", g("Max", distance, 0), last))
    reach = g("And", g("GreaterOrEqual", distance, 0), g("Unsqueeze", memory.inside, np.array([1])))
    rows = g("Where", reach, g("Add", g("Unsqueeze", score, np.array([1])), bonus), NEVER)
    mean = g("MatMul", g("Unsqueeze", position, np.array([1])), g("Softmax", rows, axis=-1))

    # at first from the last feature, or from before the first position, on to the next one at least
    count = g("Cast", more["features"], to=7)  # (batch, 1) int64
    distance = g("Add", g("Sub", across, count), 1)
    bonus = g("Gather", table, g("Min", g("Max", distance, 0), last))
    reach = g("And", g("Greater", distance, 0), memory.inside)
    first = g("Softmax", g("Where", reach, g("Add", score, bonus), NEVER), axis=-1)
    return g("Where", g("Equal", more["begun"], 0.0), first, g("Squeeze", mean, np.array([1])))
