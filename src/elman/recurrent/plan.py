"""Layers in evaluation as data, for what runs them without torch: equations as graphs, and arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.errors import UsageError
from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels.graph import Node, ordered
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import Trace, trace, vector_names
from elman.recurrent.kernels.verify import verify_trace

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Equation:
    """One step of a cell, as elementwise expressions; equal equations have equal `key`.

    name, doc:  of the cell's class
    gates, recurrent, fields, vectors: the names of what the expressions read: ("x", i) is the input half of gate i,
                ("r", i) the recurrent half of recurrent gate i, ("s", i) field i of the state before, ("p", i) vector i
    delays:     how many steps back U sees
    after:      the new state by field; y: the output; q: what U multiplies at the next step
    names:      those of gates, as the cell's `gate(name, value)` gave them
    seen, read: q and y of a state that no step gave: expressions of ("s", i) alone; None if there is none
    """

    name: str
    doc: str
    gates: tuple[str, ...]
    recurrent: tuple[str, ...]
    fields: tuple[str, ...]
    vectors: tuple[str, ...]
    delays: int
    after: tuple[Node, ...]
    y: Node
    q: Node
    names: Mapping[Node, str]
    seen: Node | None
    read: Node | None
    key: str

    @property
    def results(self) -> tuple[Node, ...]:
        """after, y, q."""
        return (*self.after, self.y, self.q)


@dataclass(frozen=True)
class Direction:
    """A cell that reads a sequence. Numbers are float32.

    W (input_size, gates * hidden), b (gates * hidden,), vectors (len(equation.vectors), hidden), and U (delays *
    hidden, recurrent * hidden), without rows if the cell has no recurrent products
    reverse: it reads from the last step to the first
    state (fields, hidden), seen (delays, hidden): the state before the first step, and what U multiplies there, the
    most recent first; output (hidden,): O of that state
    At each step, with x = x_t W + b and r = [seen...] U: (state, y, q) = equation(x, r, state, vectors); then q is the
    first of `seen`, and the last one is dropped."""

    equation: Equation
    W: Floats
    U: Floats
    b: Floats
    vectors: Floats
    reverse: bool
    state: Floats
    seen: Floats
    output: Floats

    @property
    def hidden_size(self) -> int:
        return len(self.output)


@dataclass(frozen=True)
class Recurrence:
    """One direction, or two over the same inputs with their outputs side by side."""

    directions: tuple[Direction, ...]

    @property
    def output_size(self) -> int:
        return sum(one.hidden_size for one in self.directions)


@dataclass(frozen=True)
class Neighbours:
    """Each step sees x_{t-before}, ..., x_t, ..., x_{t+after} side by side; zeros beyond the ends."""

    before: int
    after: int


@dataclass(frozen=True)
class Affine:
    """activation(W x + b) at every step: W (outputs, inputs), b (outputs,); activation "", "tanh" or "relu"."""

    W: Floats
    b: Floats
    activation: str = ""


@dataclass(frozen=True)
class Skip:
    """x + parts(x)."""

    parts: tuple[Part, ...]


Part = Recurrence | Neighbours | Affine | Skip


def array(value: Tensor) -> Floats:
    """Contiguous float32."""
    return np.ascontiguousarray(value.detach().cpu().numpy(), np.float32)


def affine(linear: nn.Linear, activation: str = "") -> Affine:
    """A linear map of torch's as data."""
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
    return Affine(array(linear.weight), array(bias), activation)


def equation_of(cell: Cell) -> Equation:
    """The equation of a cell. Raises UsageError for one that has no graph, saying why."""
    kind = kind_of(cell)
    if not cell.fits:
        raise UsageError(
            f"cell {kind.__name__} overrides R, so its equation is not known as a graph; only cells that define "
            "step(s, x, r) leave Python. Train with one of those, or write this one as gates and a step"
        )
    try:
        traced = trace(cell, masked=False, zoneout=False)
        if not kind.__module__.startswith("elman."):  # those the tests compare
            verify_trace(cell, traced, masked=False, zoneout=False)
    except Untraceable as problem:
        raise UsageError(
            f"cell {kind.__name__} has no graph of elementwise operations: {problem}; elman.check_cell says more"
        ) from problem
    results = (*traced.after, traced.y, traced.q)
    names = (*cell.gates, "/", *cell._Rec._fields, "/", *cell.State._fields, "/", *vector_names(cell))
    key = "\n".join([kind.__name__, " ".join(names), str(cell.delays), traced.graph.text(results)])
    return Equation(
        kind.__name__,
        inspect.getdoc(kind) or "",
        tuple(cell.gates),
        tuple(cell._Rec._fields),
        tuple(cell.State._fields),
        tuple(vector_names(cell)),
        cell.delays,
        tuple(traced.after),
        traced.y,
        traced.q,
        traced.graph.names,
        _of_state(traced, traced.q),
        _of_state(traced, traced.y),
        key,
    )


def _of_state(traced: Trace, result: Node) -> Node | None:
    """A result as an expression of the state: that of the step, with the old state in place of the new one."""
    graph = traced.graph
    done: dict[Node, Node] = {node: graph.input("s", i) for i, node in enumerate(traced.after)}
    for node in ordered([result]):
        if node not in done and node.op != "input" and all(a in done for a in node.args):
            done[node] = node if node.op == "const" else graph(node.op, *(done[a] for a in node.args))
    return done.get(result)


def direction_of(cell: Cell, reverse: bool) -> Direction:
    """A cell with its weights. Raises UsageError as `equation_of` does."""
    equation = equation_of(cell)
    with torch.no_grad():
        start: Any = cell.initial(1)
        own = len(equation.fields)
        hidden = cell.hidden_size
        vectors = [cell.block("c", name[2:]) if "." in name else getattr(cell, name) for name in equation.vectors]
        return Direction(
            equation,
            array(cell.W),
            array(cell.U) if equation.recurrent else np.zeros((0, 0), np.float32),
            array(cell.b),
            array(torch.stack(vectors)) if vectors else np.zeros((0, hidden), np.float32),
            reverse,
            array(torch.cat(list(start[:own]))),
            array(torch.cat(cell.history(start))) if equation.recurrent else np.zeros((0, hidden), np.float32),
            array(cell.O(start)[0]),
        )
