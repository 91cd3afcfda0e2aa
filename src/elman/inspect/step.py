"""One step of a cell recomputed, on any number of rows at once: what was recorded, taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from elman.inspect.subject import Place, floats
from elman.recurrent import Cell


class Rows(NamedTuple):
    """What steps start from and make, one per row: states with fields (rows, hidden), inputs (rows, input_size)."""

    before: Any
    x: Tensor
    after: Any

    def pick(self, rows: Tensor) -> Rows:
        """Some rows, any number of times."""
        return Rows(_map(lambda v: v[rows], self.before), self.x[rows], _map(lambda v: v[rows], self.after))


def rows_of(place: Place) -> Rows:
    """Every step of a place, detached, in packed order."""
    record = place.record
    return Rows(_stack(record.before), record.xs.data.detach(), _stack(record.after))


class Step(nn.Module):
    """R of a place's cell as a module, so that its parameters can be passed from outside: rows -> the new state."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.cell = place.record.cell
        noise = place.record.noise
        # In evaluation the noise of a cell is the expectation of zoneout, or none.
        self.noise: tuple[Any, ...] = () if noise is None else (noise.U, noise.mask, noise.zoneout)

    def forward(self, before: Any, x: Tensor) -> Any:
        return self.cell.advance(before, self.cell.inputs(x), *self.noise)

    def with_parameters(self, given: Mapping[str, Tensor], before: Any, x: Tensor, after: Any) -> tuple[Any, Tensor]:
        """(R(before, x), O(after)) with some of the cell's parameters replaced: cell's name -> tensor."""
        results: tuple[Any, Tensor] = functional_call(
            _Both(self), {f"step.cell.{name}": value for name, value in given.items()}, (before, x, after)
        )
        return results


class _Both(nn.Module):
    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, before: Any, x: Tensor, after: Any) -> tuple[Any, Tensor]:
        return self.step(before, x), self.step.cell.O(after)


def flat(state: Any) -> Tensor:
    """(rows, numbers of the state) those that can have a gradient, concatenated."""
    return torch.cat([value.flatten(1) for value in floats(state)], 1)


@contextmanager
def stepped(cell: Cell) -> Iterator[list[tuple[Any, Any, Any]]]:
    """While inside, the arguments (s, x, r) of every call of the cell's `step` are kept."""
    calls: list[tuple[Any, Any, Any]] = []
    own = cell.step

    def keep(s: Any, x: Any, r: Any) -> Any:
        calls.append((s, x, r))
        return own(s, x, r)

    cell.step = keep  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        del cell.step


def _stack(states: list[Any]) -> Any:
    return type(states[0])(*[torch.cat(values).detach() for values in zip(*states, strict=True)])


def _map(function: Any, state: Any) -> Any:
    return type(state)(*[function(value) for value in state])
