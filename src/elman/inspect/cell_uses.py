"""The parameters of one cell, step by step: sums of what reaches them, and the norm of every part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap

from elman.inspect.step import Rows, Step, flat, rows_of, stepped
from elman.inspect.subject import CHUNK, Place, backward_many
from elman.recurrent import Cell


class Factors(NamedTuple):
    """The gradients of a parameter at many rows: for each row the outer product of its left and its right; without a
    left, the right itself. left: (rows, a); right: (rows, b)."""

    left: Tensor | None
    right: Tensor


@dataclass
class CellUses:
    """A graph of all steps of a place at once.

    gradients:  (n, rows, state) of n numbers, such as losses, w.r.t. the state after each row
    at_outputs: (n, rows, output_size) w.r.t. the output, where O is a separate equation
    """

    place: Place
    gradients: Tensor
    at_outputs: Tensor | None = None
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = rows_of(self.place)
        self.step = Step(self.place)
        self.parameters = dict(self.cell.named_parameters())
        with torch.enable_grad():
            self._new = flat(self.step(self.rows.before, self.rows.x))
            self._y = None if self.at_outputs is None else self.cell.O(self.rows.after)

    @property
    def cell(self) -> Cell:
        return self.place.record.cell

    @property
    def declared(self) -> list[str]:
        """The parameters whose gradients are factors: those that a cell declares, unless it overrides R."""
        names = ("W", "U", "b", "c", *self.cell.vectors) if self.cell.fits else ()
        return [name for name in self.parameters if name in names]

    def gradient(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Parameter of the cell -> for each weights (n, rows) the sum over n and rows, each times its weight."""
        results, given = [self._new], [torch.stack([weighted(one, self.gradients) for one in weights])]
        if self._y is not None and self.at_outputs is not None and self._y.requires_grad:
            results.append(self._y)
            given.append(torch.stack([weighted(one, self.at_outputs) for one in weights]))
        if not self.parameters:
            return {}
        grads = backward_many(results, list(self.parameters.values()), given)
        return dict(zip(self.parameters, grads, strict=True))

    def norms(self) -> dict[str, Tensor]:
        """Parameter of the cell -> (n, rows). The norm of an outer product is the product of both norms."""
        declared = self.declared
        dense = [name for name in self.parameters if name not in declared]
        squared: dict[str, list[Tensor]] = {name: [] for name in self.parameters}
        n, rows, _ = self.gradients.shape
        size = sum(value[0].numel() for value in self.rows.after) * 24
        for part in torch.arange(rows).split(max(CHUNK // (n * size), 1)):
            at, by_state, by_output = self._pairs(part)
            reached = by_state.any(1) if by_output is None else by_state.any(1) | by_output.any(1)
            if not bool(reached.all()):  # later rows have no effect
                kept = reached.nonzero().flatten()
                at, by_state = at.pick(kept), by_state[kept]
                by_output = None if by_output is None else by_output[kept]
            squares = self._dense(dense, at, by_state, by_output) if dense else {}
            for name, (left, right) in (self._factors(at, by_state, by_output) if declared else {}).items():
                square = right.square().sum(1)
                squares[name] = square if left is None else square * left.square().sum(1)
            for name, square in squares.items():
                whole = square.new_zeros(len(reached)).masked_scatter_(reached, square)
                squared[name].append(whole.view(len(part), n))
        return {name: torch.cat(parts).sqrt().t() for name, parts in squared.items()}

    def factors(self, part: Tensor) -> dict[str, Factors]:
        """Declared parameter -> the gradients at some rows (m,): left (m, a), the same for all n; right (m, n, b)."""
        n = len(self.gradients)
        result = {}
        for name, (left, right) in self._factors(*self._pairs(part)).items():
            result[name] = Factors(None if left is None else left[::n], right.view(len(part), n, -1))
        return result

    def _pairs(self, part: Tensor) -> tuple[Rows, Tensor, Tensor | None]:
        """Every row of a part n times over, with the gradients there."""
        at = self.rows.pick(part.repeat_interleave(len(self.gradients)))
        own = [
            None if g is None else g[:, part].transpose(0, 1).flatten(0, 1) for g in (self.gradients, self.at_outputs)
        ]
        assert own[0] is not None
        return at, own[0], own[1]

    def _factors(self, at: Rows, by_state: Tensor, by_output: Tensor | None) -> dict[str, Factors]:
        """For the products, from what is multiplied and the gradient w.r.t. the result. Every row gets its own copy of
        the per-unit vectors."""
        cell = self.cell
        own = {name: getattr(cell, name).detach().expand(len(at.x), -1).clone() for name in cell.vectors}
        for tensor in own.values():
            tensor.requires_grad_()
        with torch.enable_grad(), stepped(cell) as calls:
            new, y = self.step.with_parameters(own, at.before, at.x, at.after)
        ((_, x, r),) = calls
        r = r or ()
        results, given = [flat(new)], [by_state]
        if by_output is not None and y.requires_grad:
            results.append(y)
            given.append(by_output)
        grads = torch.autograd.grad(results, [*x, *r, *own.values()], given, allow_unused=True, materialize_grads=True)
        by_x, by_r = torch.cat(grads[: len(x)], 1), grads[len(x) : len(x) + len(r)]
        result = {"W": Factors(at.x, by_x), "b": Factors(None, by_x)}
        if r:
            result["U"] = Factors(torch.cat(cell.history(at.before), 1), torch.cat(by_r, 1))
        if cell.recurrent_bias:
            of = dict(zip(cell._Rec._fields, by_r, strict=True))
            result["c"] = Factors(None, torch.cat([of[name] for name in cell.recurrent_bias], 1))
        return result | {name: Factors(None, g) for name, g in zip(own, grads[len(x) + len(r) :], strict=True)}

    def _dense(self, names: list[str], at: Rows, by_state: Tensor, by_output: Tensor | None) -> dict[str, Tensor]:
        """Squared norms (pairs,) of any parameters, each pair's gradient computed in full."""
        given = {name: self.parameters[name].detach() for name in names}
        if by_output is None:
            by_output = by_state.new_zeros(len(by_state), 0)

        def value(own: dict[str, Tensor], before: Any, x: Tensor, after: Any, g: Tensor, o: Tensor) -> Tensor:
            one = [type(s)(*[v.unsqueeze(0) for v in s]) for s in (before, after)]
            new, y = self.step.with_parameters(own, one[0], x.unsqueeze(0), one[1])
            total = (flat(new)[0] * g).sum()
            return total + (y[0] * o).sum() if len(o) else total

        squared: dict[str, list[Tensor]] = {name: [] for name in names}
        each = vmap(grad(value), in_dims=(None, 0, 0, 0, 0, 0))
        many = max(CHUNK // max(sum(p.numel() for p in given.values()), 1), 1)
        for part in torch.arange(len(at.x)).split(many):
            some = at.pick(part)
            grads = each(given, some.before, some.x, some.after, by_state[part], by_output[part])
            for name, g in grads.items():
                squared[name].append(g.flatten(1).square().sum(1))
        return {name: torch.cat(parts) for name, parts in squared.items()}


def weighted(weights: Tensor, gradients: Tensor) -> Tensor:
    """(rows, b): the sum over n of gradients (n, rows, b), each times its weight (n, rows)."""
    where = weights.nonzero()
    if 4 * len(where) > weights.numel():
        return torch.einsum("nr,nrs->rs", weights, gradients)
    n, row = where.unbind(1)
    total = gradients.new_zeros(gradients.shape[1:])
    return total.index_add_(0, row, gradients[n, row] * weights[n, row].unsqueeze(1))
