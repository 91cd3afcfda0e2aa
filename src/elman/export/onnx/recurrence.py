"""Recurrent layers as ONNX: the operators LSTM, GRU, RNN where an equation is theirs, `Scan` with its graph elsewhere.

Sequences are padded and time-major: (time, batch, size)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from elman.export.onnx.graph import Graph, elementwise
from elman.recurrent import get_cell
from elman.recurrent.kernels.graph import ordered
from elman.recurrent.plan import Affine, Direction, Equation, Floats, Neighbours, Part, Recurrence, equation_of

INT32 = 6


@dataclass(frozen=True)
class Steps:
    """Which steps of a batch there are, as names of values.

    lengths (batch,) int64; time, batch (1,) int64; inside (time, batch, 1), true for steps of a sequence"""

    lengths: str
    time: str
    batch: str
    inside: str

    @classmethod
    def of(cls, g: Graph, lengths: str, like: str) -> Steps:
        """like: a value of shape (time, batch, ...)."""
        shape = g("Shape", like)
        time, batch = g("Slice", shape, np.array([0]), np.array([1])), g("Slice", shape, np.array([1]), np.array([2]))
        numbers = g("Range", 0, g("Squeeze", time), 1)
        inside = g("Less", g("Unsqueeze", numbers, np.array([1, 2])), g("Unsqueeze", lengths, np.array([0, 2])))
        return cls(lengths, time, batch, inside)


@dataclass
class States:
    """The states of a network's directions, from one call to the next.

    before: (batch, state_size) each, by direction in the order of the layers; None: that before the first step
    after:  those after the last step, in this order"""

    before: list[str] | None = None
    after: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Operator:
    """How ONNX calls an equation. gates: the order of its blocks; peepholes: of its vectors; bias: whether there is a
    vector that is the recurrent bias of the last gate."""

    op: str
    gates: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...] = ()
    peepholes: tuple[int, ...] = ()
    bias: bool = False


OPERATORS: Mapping[str, Operator] = {
    "elman": Operator("RNN", (0,), (("activations", "Tanh"),)),
    "elman-relu": Operator("RNN", (0,), (("activations", "Relu"),)),
    "lstm": Operator("LSTM", (0, 3, 1, 2)),
    "lstm-peephole": Operator("LSTM", (0, 3, 1, 2), peepholes=(0, 2, 1)),
    "gru": Operator("GRU", (1, 0, 2), (("linear_before_reset", 1),), bias=True),
}


def operator_of(one: Direction) -> Operator | None:
    """The operator that computes exactly a direction's equation, whatever its gates are called; None: there is none."""
    if one.equation.delays != 1 or stored(one):
        return None
    return _known().get(_form(one.equation))


@cache
def _known() -> Mapping[Any, Operator]:
    return {_form(equation_of(get_cell(name)(2, 3))): operator for name, operator in OPERATORS.items()}


def _form(equation: Equation) -> tuple[Any, ...]:
    """An equation without names: equal if the same is computed."""
    number = {node: i for i, node in enumerate(ordered(equation.results))}
    nodes = tuple((node.op, tuple(number[a] for a in node.args), node.value) for node in number)
    counts = tuple(map(len, (equation.gates, equation.recurrent, equation.fields, equation.vectors)))
    return counts, nodes, tuple(number[node] for node in equation.results)


def _field_of_q(one: Direction) -> int | None:
    """The field that is what U multiplied last; None if that is something else."""
    for i, node in enumerate(one.equation.after):
        if len(one.seen) and node is one.equation.q and np.array_equal(one.state[i], one.seen[0]):
            return i
    return None


def stored(one: Direction) -> list[int]:
    """The rows of `seen` that a state has beside its fields; the first may be one of these."""
    return list(range(0 if _field_of_q(one) is None else 1, len(one.seen) if one.equation.recurrent else 0))


def initial(one: Direction) -> Floats:
    """(state_size,): the fields of a direction's state, then what U multiplies, unless a field is that."""
    return np.concatenate([*one.state, *(one.seen[i] for i in stored(one))])


def directions(parts: Sequence[Part]) -> list[Direction]:
    """In the order of the layers."""
    found: list[Direction] = []
    for part in parts:
        if isinstance(part, Recurrence):
            found += part.directions
        elif not isinstance(part, Affine | Neighbours):
            found += directions(part.parts)
    return found


def output_size(parts: Sequence[Part], size: int) -> int:
    """The width of what parts make of vectors of this size."""
    for part in parts:
        if isinstance(part, Recurrence):
            size = part.output_size
        elif isinstance(part, Affine):
            size = len(part.b)
        elif isinstance(part, Neighbours):
            size *= part.before + 1 + part.after
    return size  # what is added to its input is as wide


def run_parts(g: Graph, parts: Sequence[Part], x: str, steps: Steps, states: States) -> tuple[str, str]:
    """(time, batch, size) and, of the last recurrence, (batch, size): the ends of its directions."""
    end = ""
    for part in parts:
        if isinstance(part, Recurrence):
            x, end = _recurrence(g, part, x, steps, states)
        elif isinstance(part, Affine):
            x = affine(g, part, x)
        elif isinstance(part, Neighbours):
            x = _neighbours(g, part, x, steps)
        else:
            y, end = run_parts(g, part.parts, x, steps, states)
            x = g("Add", x, y)
    return x, end


def affine(g: Graph, part: Affine, x: str, name: str = "W") -> str:
    """(..., inputs) -> (..., outputs)."""
    outputs, inputs = part.W.shape
    rows = g("Reshape", x, np.array([-1, inputs]))
    # a matrix that also holds vectors of tokens is in the file once
    y = g("Gemm", rows, g.constant(part.W, name), g.constant(part.b, "b"), transB=1)
    y = g({"tanh": "Tanh", "relu": "Relu"}[part.activation], y) if part.activation else y
    ahead = g("Slice", g("Shape", x), np.array([0]), np.array([-1]))
    return g("Reshape", y, g("Concat", ahead, np.array([outputs]), axis=0))


def masked(g: Graph, x: str, steps: Steps) -> str:
    """Zeros beyond the ends."""
    return g("Where", steps.inside, x, 0.0)


def _neighbours(g: Graph, part: Neighbours, x: str, steps: Steps) -> str:
    wide = g("Pad", masked(g, x, steps), np.array([part.before, 0, 0, part.after, 0, 0]))
    count = part.before + 1 + part.after
    slices = [g("Slice", wide, np.array([k]), g("Add", steps.time, np.array([k]))) for k in range(count)]
    return g("Concat", *slices, axis=2)


def _recurrence(g: Graph, part: Recurrence, x: str, steps: Steps, states: States) -> tuple[str, str]:
    operators = [operator_of(one) for one in part.directions]
    first = operators[0]
    if first is not None and len(operators) == 2 and operators[1] is first and _both_ways(part.directions):
        return _operator(g, first, part.directions, x, steps, states)
    sides = [
        _scan(g, one, x, steps, states) if operator is None else _operator(g, operator, [one], x, steps, states)
        for one, operator in zip(part.directions, operators, strict=True)
    ]
    if len(sides) == 1:
        return sides[0]
    return g("Concat", *(y for y, _ in sides), axis=2), g("Concat", *(end for _, end in sides), axis=1)


def _both_ways(sides: Sequence[Direction]) -> bool:
    one, other = sides
    return not one.reverse and other.reverse and one.hidden_size == other.hidden_size


def _before(g: Graph, one: Direction, steps: Steps, states: States, side: int = 0) -> list[str]:
    """(batch, hidden) each: the state of a direction before the first step, in the order of `initial`."""
    hidden, start = one.hidden_size, initial(one)
    if states.before is not None:
        return split(g, states.before[len(states.after) + side], len(start) // hidden)
    shape = g("Concat", steps.batch, np.array([hidden]), axis=0)
    return [g("Expand", row[None], shape) for row in start.reshape(-1, hidden)]


def split(g: Graph, x: str, parts: int) -> list[str]:
    """(batch, parts * size) -> parts of (batch, size)."""
    return [x] if parts == 1 else g.several("Split", [x], parts, axis=1)


def _operator(
    g: Graph, operator: Operator, sides: Sequence[Direction], x: str, steps: Steps, states: States
) -> tuple[str, str]:
    hidden, count = sides[0].hidden_size, len(sides)
    gates = list(operator.gates)

    def blocks(weights: Floats) -> Floats:
        """(rows, gates * hidden) -> (gates * hidden, rows), in the order of the operator."""
        return np.concatenate([weights[:, k * hidden : (k + 1) * hidden].T for k in gates])

    W, U = np.stack([blocks(one.W) for one in sides]), np.stack([blocks(one.U) for one in sides])
    own = np.stack([blocks(one.b[None])[:, 0] for one in sides])
    recurrent = np.zeros_like(own)
    if operator.bias:
        recurrent[:, -hidden:] = [one.vectors[0] for one in sides]
    arguments: list[Any] = [x, g.constant(W, "W"), g.constant(U, "U"), np.concatenate([own, recurrent], 1)]
    arguments.append(g("Cast", steps.lengths, to=INT32))
    carried = states.before is not None
    fields = 2 if operator.op == "LSTM" else 1
    before: list[str] = []
    if carried or any(one.state.any() for one in sides):
        rows = [_before(g, one, steps, states, k) for k, one in enumerate(sides)]
        before = [g("Concat", *(g("Unsqueeze", r[k], np.array([0])) for r in rows), axis=0) for k in range(fields)]
    arguments += before or [""] * fields
    if operator.peepholes:
        arguments.append(np.stack([np.concatenate([one.vectors[k] for k in operator.peepholes]) for one in sides]))
    direction = "bidirectional" if count == 2 else "reverse" if sides[0].reverse else "forward"
    attributes = {k: [v] * count if isinstance(v, str) else v for k, v in operator.attributes}
    ys, *ends = g.several(operator.op, arguments, 1 + fields, hidden_size=hidden, direction=direction, **attributes)
    if before:  # for a sequence without steps the runtime gives zeros
        empty = g("Equal", g("Unsqueeze", steps.lengths, np.array([0, 2])), 0)
        ends = [g("Where", empty, old, new) for old, new in zip(before, ends, strict=True)]
    for k in range(count):
        rows_of = [g("Gather", end, k, axis=0) for end in ends]
        states.after.append(rows_of[0] if len(rows_of) == 1 else g("Concat", *rows_of, axis=1))
    side_by_side = g("Reshape", g("Transpose", ys, perm=[0, 2, 1, 3]), np.array([0, 0, count * hidden]))
    return side_by_side, g("Reshape", g("Transpose", ends[0], perm=[1, 0, 2]), np.array([-1, count * hidden]))


def step(g: Graph, one: Direction, a: str, before: Sequence[str]) -> tuple[list[str], str]:
    """One step: the state (in the order of `initial`) and the output after it. a (batch, gates * hidden): x W + b."""
    equation = one.equation
    fields, same = list(before[: len(equation.fields)]), _field_of_q(one)
    seen = ([] if same is None else [fields[same]]) + list(before[len(fields) :])
    groups = {"x": split(g, a, len(equation.gates)), "s": fields}
    groups["p"] = [g.constant(vector, "vector") for vector in one.vectors]
    if equation.recurrent:
        products = g("MatMul", seen[0] if len(seen) == 1 else g("Concat", *seen, axis=1), g.constant(one.U, "U"))
        groups["r"] = split(g, products, len(equation.recurrent))
    inputs = {(kind, i): name for kind, names in groups.items() for i, name in enumerate(names)}
    *after, y, q = elementwise(g, equation.results, inputs)
    return [*after, *([q, *seen][i] for i in stored(one))], y


def products(g: Graph, one: Direction, x: str) -> str:
    """x W + b."""
    return g("Add", g("MatMul", x, g.constant(one.W, "W")), g.constant(one.b, "b"))


def _scan(g: Graph, one: Direction, x: str, steps: Steps, states: States) -> tuple[str, str]:
    """The steps beyond a sequence's end leave everything as it was, so in reverse it begins at its last step."""
    hidden, gates = one.hidden_size, len(one.equation.gates)
    before = _before(g, one, steps, states)
    output = g("Expand", one.output[None], g("Concat", steps.batch, np.array([hidden]), axis=0))
    body = Graph(g)
    old = [body.input("before", "float", ["batch", hidden]) for _ in before]
    last = body.input("last", "float", ["batch", hidden])
    a = body.input("a", "float", ["batch", gates * hidden])
    inside = body.input("inside", "bool", ["batch", 1])
    after, y = step(body, one, a, old)
    kept = [body("Where", inside, new, was) for new, was in zip([*after, y], [*old, last], strict=True)]
    for value in kept:
        body.output(value, "after", "float", ["batch", hidden])
    body.output(body("Where", inside, kept[-1], 0.0), "y", "float", ["batch", hidden])
    way = int(one.reverse)
    *ends, end, ys = g.several(
        "Scan",
        [*before, output, products(g, one, x), steps.inside],
        len(before) + 2,
        body=body.proto(one.equation.name),
        num_scan_inputs=2,
        scan_input_directions=[way, way],
        scan_output_directions=[way],
    )
    states.after.append(ends[0] if len(ends) == 1 else g("Concat", *ends, axis=1))
    return ys, end
