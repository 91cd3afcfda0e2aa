"""Recording: what every cell did at every step, in tensors whose gradients can be taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.cell import Cell, listen_to_gates
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed


@dataclass
class Record:
    """One run of one cell over packed rows. Lists have one entry per step, in the order of the text.

    xs:     (rows, input_size) what it read
    before: the state that the step started from, with the rows of the running sequences
    after:  the state that it made. Each field is its own node in the graph: the gradient there is with respect to the
            state as passed on, to the next step and to O
    ys:     (n, output_size) its outputs, likewise
    gates:  name -> (n, hidden) values
    """

    cell: Cell
    xs: Packed
    reverse: bool
    noise: Noise | None
    before: list[Any] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    ys: list[Tensor] = field(default_factory=list)
    gates: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def step(self, before: Any, new: Any) -> Any:
        """Record a step, and return the state to continue from."""
        after = type(new)(*[_node(value) for value in new])
        self.before.append(before)
        self.after.append(after)
        return after

    def output(self, y: Tensor) -> Tensor:
        """Record an output, and return it."""
        self.ys.append(_node(y))
        return self.ys[-1]

    def finish(self) -> None:
        """Put everything into the order of the text."""
        if self.reverse:
            for values in (self.before, self.after, self.ys, *self.gates.values()):
                values.reverse()


def _node(value: Tensor) -> Tensor:
    """The value as its own node in the graph, even if nothing it comes from has a gradient."""
    if value.requires_grad or not value.is_floating_point() or not torch.is_grad_enabled():
        return value.view_as(value)
    return value.detach().requires_grad_()


_recorder: ContextVar[list[Record] | None] = ContextVar("elman_recorder", default=None)


def begin(cell: Cell, xs: Packed, reverse: bool, noise: Noise | None) -> Record | None:
    """A new record, if inside `recording`."""
    records = None if torch.compiler.is_compiling() else _recorder.get()
    if records is None:
        return None
    records.append(Record(cell, xs, reverse, noise))
    return records[-1]


@contextmanager
def recording() -> Iterator[Sequence[Record]]:
    """While inside, each run of a cell adds a `Record` to the list.

    It listens to gates, so cells run on the reference path."""
    records: list[Record] = []
    token = _recorder.set(records)
    try:
        with listen_to_gates(lambda name, value: records[-1].gates[name].append(value)):
            yield records
    finally:
        _recorder.reset(token)
