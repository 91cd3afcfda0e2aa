"""States: namedtuples of tensors with one row per sequence, cut, joined and checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.cell import Cell


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
    """The first n rows of a state, and the rest."""
    first, second = split_state(state, [n, len(state[0]) - n])
    return first, second


def join(states: list[Any]) -> Any:
    """Concatenate the rows of states."""
    if len(states) == 1:
        return states[0]
    return type(states[0])(*[torch.cat(values) for values in zip(*states, strict=True)])


def check_state(cell: Cell, state: Any, sequences: int) -> Any:
    """Check a state that a caller passed in."""
    for name, value, like in zip(state._fields, state, cell.initial(1), strict=True):
        if tuple(value.shape) != (sequences, *like.shape[1:]):
            expected = (sequences, *like.shape[1:])
            raise UsageError(f"{type(cell).__name__}: expected state.{name} {expected}, found {tuple(value.shape)}")
        autocast = torch.is_autocast_enabled(like.device.type) and value.is_floating_point()
        known = next(cell.parameters(), None) is not None  # otherwise nothing says what the state should be
        if known and (value.device != like.device or (value.dtype != like.dtype and not autocast)):
            wanted, found = (f"{v.dtype} on {v.device}" for v in (like, value))
            raise UsageError(f"{type(cell).__name__}: expected state.{name} in {wanted}, found {found}")
    return state
