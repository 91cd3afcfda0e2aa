"""What the clauses of a cell's contract use: the cell under test, an oracle, and comparisons that name what differs."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.cell import Cell

TOLERANCE = 1e-10  # relative, in float64: sums in different orders differ by about 1e-15
LENGTHS = (4, 0, 2, 4, 1)


class Wrong(Exception):
    """A check's verdict: what was found, and how to fix it."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.fix = found, fix


@dataclass(frozen=True)
class CellUnderTest:
    """The class under test and what the checks need from it."""

    cell_class: type[Cell]
    input_size: int
    hidden_size: int

    def cell(self, delays: int = 1, dtype: torch.dtype = torch.float64) -> Cell:
        """A cell whose parameters all differ from 0, so that a bias or peephole that starts at 0 is seen too."""
        cell = self.cell_class(self.input_size, self.hidden_size, delays=delays)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return cell.to(dtype)

    def xs(self, lengths: tuple[int, ...] = LENGTHS, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        return [torch.randn(n, self.input_size, dtype=dtype) for n in lengths]

    def reached(self, cell: Cell, rows: int) -> Any:
        """A state that the cell reaches by itself, so one that can occur."""
        x = self.xs((2 * rows,))[0]
        with torch.no_grad():
            s = cell.R(cell.initial(rows, x), x[:rows])
            return cell.R(s, x[rows:])

    def place_of(self, problem: Exception) -> str:
        """The last line of the user's own code in a traceback."""
        own = {getattr(f, "__code__", None) for c in self.cell_class.__mro__ if c is not Cell for f in vars(c).values()}
        frames = [(f.f_code, line) for f, line in traceback.walk_tb(problem.__traceback__) if f.f_code in own]
        return f"{frames[-1][0].co_filename}:{frames[-1][1]}" if frames else ""


def named(cell: Cell, ys: list[Tensor], state: Any) -> dict[str, Tensor]:
    """Results by the names that reports use."""
    outputs = {f"the output of sequence {i}": y for i, y in enumerate(ys)}
    return outputs | {f"state.{name}": value for name, value in zip(cell.Carried._fields, state, strict=True)}


def named_step(cell: Cell, s: Any) -> dict[str, Tensor]:
    """The same for one step."""
    return {"the output": cell.O(s)} | named(cell, [], s)


def require_same(got: dict[str, Tensor], expected: dict[str, Tensor], what: str, fix: str) -> None:
    """Raise Wrong for the first tensor that differs."""
    for name, value in got.items():
        a, b = value.detach().double(), expected[name].detach().double()
        if a.shape != b.shape:
            raise Wrong(f"{what}: {name} has the shape {tuple(a.shape)}, expected {tuple(b.shape)}", fix)
        if a.numel() and not torch.allclose(a, b, TOLERANCE, TOLERANCE):
            raise Wrong(f"{what}: {name} differs by {(a - b).abs().max():.1e}", fix)


def alone(cell: Cell, xs: list[Tensor], state: Any, reverse: bool = False) -> tuple[list[Tensor], Any]:
    """The oracle: each sequence by itself, step by step, in rows of one."""
    outputs, ends = [], []
    for i, x in enumerate(xs):
        s = cell.Carried(*(value[i : i + 1] for value in state))
        ys = []
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            s = cell.R(s, x[t : t + 1])
            ys.append(cell.O(s))
        outputs.append(torch.cat(ys[::-1] if reverse else ys) if ys else x.new_zeros(0, cell.output_size))
        ends.append(s)
    return outputs, cell.Carried(*(torch.cat(values) for values in zip(*ends, strict=True)))


def leaves(cell: Cell, xs: list[Tensor], state: Any) -> dict[str, Tensor]:
    """Everything that has a gradient: parameters, inputs and the floating part of the state."""
    result: dict[str, Tensor] = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    result |= {f"input {i}": x.requires_grad_() for i, x in enumerate(xs)}
    pairs = zip(cell.Carried._fields, state, strict=True)
    return result | {f"state.{name}": v.requires_grad_() for name, v in pairs if v.is_floating_point()}


def require_state(cell: Cell, state: Any, like: Any, rows: int, who: str) -> None:
    """Raise Wrong unless `state` has the cell's fields, with the shapes and dtypes of `like`, or only `rows` rows."""
    fields = cell.Carried._fields
    if getattr(state, "_fields", None) != fields or not all(isinstance(value, Tensor) for value in state):
        raise Wrong(
            f"{who} returns {type(state).__name__}, expected a State of tensors {fields}", "use self.State(...)"
        )
    for i, (name, value) in enumerate(zip(fields, state, strict=True)):
        wanted = (rows, *value.shape[1:]) if like is None else tuple(like[i].shape)
        if tuple(value.shape) != wanted:
            fix = "a field keeps its shape from initial, (rows, hidden_size) unless initial is overridden"
            raise Wrong(f"{who} returns state.{name} of shape {tuple(value.shape)}, expected {wanted}", fix)
        wanted_dtype = value.dtype if like is None else like[i].dtype
        if value.dtype != wanted_dtype:
            fix = "make constants with the dtype of x or s (like.new_zeros)"
            raise Wrong(f"{who} returns state.{name} as {value.dtype}, expected {wanted_dtype}", fix)
