"""Cells over time: the seam where the path is chosen, and the readable reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.backend import Way, run_fast
from elman.recurrent.cell import Cell
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed
from elman.recurrent.recording import begin


def run(cell: Cell, xs: Packed, state: Any, reverse: bool, noise: Noise | None = None) -> tuple[Packed, Any]:
    """One cell over packed rows, from a state in packed order."""
    ys, finals = run_together([Way(cell, state, reverse, noise)], xs)
    return ys, finals[0]


def run_together(ways: Sequence[Way], xs: Packed) -> tuple[Packed, list[Any]]:
    """The seam: several cells over the same packed rows. Their outputs side by side, and the final state of each.

    Compiled cells where that is possible and wanted (`backend.py`), otherwise the reference."""
    fast = run_fast(ways, xs)
    if fast is not None:
        return xs.with_data(fast[0]), fast[1]
    results = [reference(way.cell, xs, way.state, way.reverse, way.noise) for way in ways]
    ys = [each.data for each, _ in results]
    return xs.with_data(ys[0] if len(ys) == 1 else torch.cat(ys, -1)), [final for _, final in results]


def reference(cell: Cell, xs: Packed, state: Any, reverse: bool, noise: Noise | None = None) -> tuple[Packed, Any]:
    """The loop over time in plain torch; correct for every cell.

    Sequences are sorted by length, so those that run at step t are the first batch_sizes[t] rows of the state. Forward,
    the rows of a sequence that ends are set aside; in reverse, they join when their last token is reached.
    """
    sizes, count = xs.batch_sizes, xs.sequences
    if not sizes:  # no rows: one step over none of them, so that gradients find their way, and are zeros
        nothing = cell.advance(split_state(state, [0, count])[0], cell.inputs(xs.data))
        return xs.with_data(cell.O(nothing)), state
    steps = cell.inputs(xs.data).split(sizes)
    noisy: list[Any] = [()] * len(sizes) if noise is None else noise.steps(sizes)
    ys: list[Tensor] = []
    record = begin(cell, xs, reverse, noise)

    def one(t: int, s: Any) -> Any:
        new = cell.advance(s, steps[t], *noisy[t])
        if record is None:
            ys.append(cell.O(new))
            return new
        new = record.step(s, new)
        ys.append(record.output(cell.O(new)))
        return new

    if not reverse:
        ended: list[Any] = []
        s, running = state, count
        for t, n in enumerate(sizes):
            if n < running:
                s, over = cut(s, n)
                ended.append(over)
                running = n
            s = one(t, s)
        final = join([s, *reversed(ended)])
    else:
        # Cut the starting state once into the pieces that join at each step, last step first.
        bounds = [*reversed(sizes), count]
        first, *rest = [b - a for a, b in zip([0, *bounds], bounds, strict=False)]
        pieces = split_state(state, [first, *rest])
        s = pieces[0]
        for i, t in enumerate(reversed(range(len(sizes)))):
            if i and rest[i - 1]:
                s = join([s, pieces[i]])
            s = one(t, s)
        final = join([s, pieces[-1]]) if rest[-1] else s
        ys.reverse()
    if record is not None:
        record.finish()
    return xs.with_data(torch.cat(ys)), final


# States: namedtuples of tensors with one row a sequence -----------------------------------------------------------


def map_state(function: Any, state: Any) -> Any:
    """Apply a function to every tensor of a state, however layers nest it."""
    if isinstance(state, Tensor):
        return function(state)
    if not isinstance(state, tuple | list):
        raise UsageError(f"expected a state, a tuple of tensors as a call returns it, found {type(state).__name__}")
    values = [map_state(function, value) for value in state]
    return type(state)(*values) if hasattr(state, "_fields") else tuple(values)


def split_state(state: Any, sizes: list[int]) -> list[Any]:
    """Cut the rows of a state into pieces of these sizes."""
    fields = [value.split(sizes) for value in state]
    return [type(state)(*pieces) for pieces in zip(*fields, strict=True)]


def cut(state: Any, n: int) -> tuple[Any, Any]:
    """The first n rows of a state, and the others."""
    first, second = split_state(state, [n, len(state[0]) - n])
    return first, second


def join(states: list[Any]) -> Any:
    """Put states' rows one below the other."""
    if len(states) == 1:
        return states[0]
    return type(states[0])(*[torch.cat(values) for values in zip(*states, strict=True)])


def check_state(cell: Cell, state: Any, sequences: int) -> Any:
    """The public door's check of a state's shapes."""
    for name, value, like in zip(state._fields, state, cell.initial(1), strict=True):
        if tuple(value.shape) != (sequences, *like.shape[1:]):
            expected = (sequences, *like.shape[1:])
            raise UsageError(f"{type(cell).__name__}: expected state.{name} {expected}, found {tuple(value.shape)}")
        autocast = torch.is_autocast_enabled(like.device.type) and value.is_floating_point()
        known = next(cell.parameters(), None) is not None  # else nothing says what the state is to be like
        if known and (value.device != like.device or (value.dtype != like.dtype and not autocast)):
            wanted, found = (f"{v.dtype} on {v.device}" for v in (like, value))
            raise UsageError(f"{type(cell).__name__}: expected state.{name} in {wanted}, found {found}")
    return state
