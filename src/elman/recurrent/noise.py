"""Modifiers of cells: variational masks, zoneout, dropped weights. Drawn once per call, then passed in as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.cell import Cell
from elman.recurrent.packed import Packed


class Noise(NamedTuple):
    """What was drawn for one call of a cell over a batch of sequences. The loop over time only multiplies by it.

    mask:    (sequences, hidden) in packed order: multiplies recur(s), and the delayed ones, at every step of a sequence
    zoneout: one per field of the cell's own State: (rows, hidden) in packed order, 1 = keep the old value, 0 = take the
             new; or a number p: p * old + (1 - p) * new
    U:       the recurrent weights to use in place of the cell's, (delays * hidden, recurrent gates * hidden)
    """

    mask: Tensor | None = None
    zoneout: tuple[Tensor | float, ...] | None = None
    U: Tensor | None = None

    def steps(self, sizes: list[int]) -> list[tuple[Any, ...]]:
        """What `Cell.advance` takes of it at each step: (U, mask, zoneout), cut to the rows that run."""
        masks = [self.mask if self.mask is None else self.mask[:n] for n in sizes]
        if self.zoneout is None:
            return [(self.U, mask, None) for mask in masks]
        fields = [z.split(sizes) if isinstance(z, Tensor) else [z] * len(sizes) for z in self.zoneout]
        return [(self.U, mask, zone) for mask, zone in zip(masks, zip(*fields, strict=True), strict=True)]

    def rows(self, rows: int, hidden: int, dtype: torch.dtype) -> Tensor | None:
        """(rows, fields * hidden) zoneout of all fields side by side, or None."""
        if self.zoneout is None:
            return None
        whole = [z if isinstance(z, Tensor) else torch.full((1, 1), z, dtype=dtype) for z in self.zoneout]
        return torch.cat([z.expand(rows, hidden) for z in whole], -1).to(dtype).contiguous()

    def check(self, cell: Cell, xs: Packed) -> None:
        """Raise UsageError unless it fits these sequences and reaches something in the cell."""
        wanted: list[tuple[str, Any, tuple[int, ...]]] = []
        if self.mask is not None:
            _require_products(cell, "a mask")
            wanted.append(("mask", self.mask, (xs.sequences, cell.hidden_size)))
        if self.U is not None:
            _require_products(cell, "a U with dropped weights")
            wanted.append(("U", self.U, tuple(cell.U.shape)))
        if self.zoneout is not None:
            fields = cell.State._fields
            if len(self.zoneout) != len(fields):
                found = len(self.zoneout)
                raise UsageError(f"{type(cell).__name__}: expected zoneout for {fields}, found {found} values")
            shapes = [(len(xs.data), *value.shape[1:]) for value in cell.initial(1)]
            names = [f"zoneout of {field}" for field in fields]
            wanted += zip(names, self.zoneout, shapes, strict=False)
        for name, value, shape in wanted:
            if isinstance(value, Tensor) and tuple(value.shape) != shape:
                raise UsageError(f"{type(cell).__name__}: expected {name} {shape}, found {tuple(value.shape)}")


@dataclass(frozen=True)
class Modifiers:
    """Rates of the noise that a recurrent layer draws.

    zoneout:           the probability that a number in the state keeps its old value at a step, for all fields of the
                       state or {field: rate}; in evaluation its expectation. Krueger et al. 2017
    recurrent_dropout: the probability that a unit is hidden from U for a whole sequence. Gal and Ghahramani 2016
    weight_dropout:    the probability that an entry of U is 0 for a whole call. Merity, Keskar and Socher 2018

    What the two dropouts keep is scaled by 1 / (1 - rate); in evaluation they do nothing.
    Raises UsageError unless 0 <= rate < 1."""

    zoneout: float | Mapping[str, float] = 0.0
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0

    def __post_init__(self) -> None:
        rates: dict[str, Any] = {"recurrent_dropout": self.recurrent_dropout, "weight_dropout": self.weight_dropout}
        if isinstance(self.zoneout, Mapping):
            rates |= {f"zoneout of {field}": rate for field, rate in self.zoneout.items()}
        else:
            rates["zoneout"] = self.zoneout
        for name, rate in rates.items():
            if not isinstance(rate, float | int) or not 0 <= rate < 1:
                raise UsageError(f"expected {name} to be 0 or more and below 1, found {rate!r}")

    def check(self, cell: Cell) -> None:
        """Raise UsageError if a modifier cannot reach what it should change in this cell."""
        fields, who = cell.State._fields, type(cell).__name__
        for name in ("recurrent_dropout", "weight_dropout"):
            if rate := getattr(self, name):
                _require_products(cell, f"{name}={rate}")
        if isinstance(self.zoneout, Mapping) and (unknown := [f for f in self.zoneout if f not in fields]):
            raise UsageError(f"{who}: zoneout names {unknown}, expected some of the state's {list(fields)}")
        for field, rate, value in zip(fields, self._zoneout_of(cell), cell.initial(1), strict=False):
            if rate and not value.is_floating_point():
                raise UsageError(f"{who}: zoneout cannot mix state.{field}, which is {value.dtype}; name other fields")

    def draw(self, cell: Cell, xs: Packed, training: bool, generator: torch.Generator | None = None) -> Noise | None:
        """The noise of one call over these sequences, or None if there is none.

        generator: default torch's own, whose state checkpoints save. In evaluation nothing is drawn."""
        if not training:
            return self.evaluation(cell)
        rates = self._zoneout_of(cell)
        mask = zoneout = U = None
        if self.recurrent_dropout:
            mask = _kept(xs.data.new_empty(xs.sequences, cell.hidden_size), self.recurrent_dropout, generator)
        if any(rates):
            shapes = [(len(xs.data), *value.shape[1:]) for value in cell.initial(1)]
            zoneout = tuple(
                xs.data.new_empty(shape).bernoulli_(rate, generator=generator) if rate else 0.0
                for shape, rate in zip(shapes, rates, strict=False)
            )
        if self.weight_dropout:
            U = cell.U * _kept(torch.empty_like(cell.U), self.weight_dropout, generator)
        return None if mask is zoneout is U is None else Noise(mask, zoneout, U)

    def evaluation(self, cell: Cell) -> Noise | None:
        """What replaces the noise in evaluation: the expectation of zoneout, and no dropout."""
        rates = self._zoneout_of(cell)
        return Noise(zoneout=rates) if any(rates) else None

    def __str__(self) -> str:
        """The rates that are not 0, as arguments."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return ", ".join(f"{name}={value}" for name, value in values.items() if value)

    def _zoneout_of(self, cell: Cell) -> tuple[float, ...]:
        """The rate of each field of the cell's own State."""
        if isinstance(self.zoneout, Mapping):
            return tuple(self.zoneout.get(field, 0.0) for field in cell.State._fields)
        return (self.zoneout,) * len(cell.State._fields)


def _kept(empty: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Filled with 1 / (1 - rate) where kept and 0 where dropped."""
    return empty.bernoulli_(1 - rate, generator=generator).div_(1 - rate)


def _require_products(cell: Cell, what: str) -> None:
    """Raise UsageError unless the cell has a product with U that `what` can reach."""
    if not cell.fits:
        raise UsageError(f"{type(cell).__name__} overrides R, so {what} cannot reach its products")
    if not cell._Rec._fields:
        raise UsageError(f"{type(cell).__name__} has no recurrent products, so {what} would do nothing")
