"""The forms in which sequences are passed and returned: lists, padded tensors, one sequence, PackedSequence, Packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import UsageError
from elman.recurrent.packed import Packed

Sequences = Packed | PackedSequence | Tensor | list[Tensor]


@dataclass(frozen=True)
class Given:
    """Sequences as packed rows, and how to return to the caller's form.

    restore: outputs as packed rows -> in the caller's form
    expand, sort, leave: one tensor of a state. expand gives it rows; sort, after the check, puts these from the
    caller's order into packed order; leave undoes both"""

    packed: Packed
    restore: Callable[[Packed], Any]
    expand: Callable[[Tensor], Tensor]
    sort: Callable[[Tensor], Tensor]
    leave: Callable[[Tensor], Tensor]


def open_form(
    xs: Any, lengths: Sequence[int] | Tensor | None, input_size: int | None, who: str, like: Tensor | None = None
) -> Given:
    """The one entry point for sequences. like: a parameter, whose dtype and device the inputs must have.

    Raises UsageError, in the name of `who`, for what is not one of the forms or does not fit."""
    if lengths is not None and (not isinstance(xs, Tensor) or xs.dim() == 2):
        raise UsageError(f"{who}: lengths belong to a padded (batch, time, dim) tensor; other forms have their own")
    opened = _opened(xs, lengths, who)
    data = opened.packed.data
    _require_numbers(data, who, None if isinstance(xs, Packed) else like)
    if data.dim() != 2 or (input_size is not None and data.shape[1] != input_size):
        raise UsageError(f"{who}: expected inputs of {input_size} numbers per step, found {tuple(data.shape[1:])}")
    return opened


def _opened(xs: Any, lengths: Sequence[int] | Tensor | None, who: str) -> Given:
    if isinstance(xs, Packed):
        return Given(xs, _same, _same, _same, _same)
    if isinstance(xs, PackedSequence):
        packed = Packed.from_torch(xs)

        def repacked(ys: Packed) -> PackedSequence:
            return PackedSequence(ys.data, xs.batch_sizes, xs.sorted_indices, xs.unsorted_indices)

        return Given(packed, repacked, _same, packed.sorted_rows, packed.caller_rows)
    if isinstance(xs, Tensor):
        if xs.is_nested:
            raise UsageError(f"{who}: expected a list or a padded tensor, found a nested one; use xs.unbind()")
        if xs.dim() == 2:  # one sequence, as nn.LSTM takes it: its state has no batch either
            packed = Packed.from_padded(xs.unsqueeze(0))
            return Given(packed, lambda ys: ys.data, lambda value: value.unsqueeze(0), _same, lambda value: value[0])
        if xs.dim() != 3:
            raise UsageError(f"{who}: expected xs (batch, time, dim) or (time, dim), found the shape {tuple(xs.shape)}")
        packed, (batch, time) = Packed.from_padded(xs, lengths), xs.shape[:2]
        if lengths is None:  # the rows are in the caller's order, so nothing depends on data: torch.export needs that

            def rectangle(ys: Packed) -> Tensor:
                return ys.data.reshape(time, batch, *ys.data.shape[1:]).transpose(0, 1).contiguous()

            return Given(packed, rectangle, _same, _same, _same)
        return Given(packed, lambda ys: ys.to_padded(time), _same, packed.sorted_rows, packed.caller_rows)
    if not isinstance(xs, list | tuple):
        kind = f"{type(xs).__module__}.{type(xs).__qualname__}".removeprefix("builtins.")
        hint = "; torch.from_numpy(xs) converts it" if kind == "numpy.ndarray" else ""
        raise UsageError(f"{who}: expected tensors: a list of (length, dim), or (batch, time, dim); found {kind}{hint}")
    for i, sequence in enumerate(xs):
        if not isinstance(sequence, Tensor):
            raise UsageError(
                f"{who}: expected a list of tensors (length, dim), found a {type(sequence).__name__} at index {i}; "
                "torch.tensor(sequence) converts it"
            )
    packed = Packed.from_list(xs)
    return Given(packed, Packed.to_list, _same, packed.sorted_rows, packed.caller_rows)


def _require_numbers(data: Tensor, who: str, like: Tensor | None) -> None:
    if not data.is_floating_point():
        hint = "embed symbols first, or call .float()" if not data.is_complex() else "take .real or .abs()"
        raise UsageError(f"{who}: expected floating-point inputs, found {data.dtype}; {hint}")
    if like is None:
        return
    if data.device != like.device:
        raise UsageError(f"{who}: expected inputs on {like.device} like the parameters, found them on {data.device}")
    if data.dtype != like.dtype and not torch.is_autocast_enabled(data.device.type):
        raise UsageError(
            f"{who}: expected inputs in {like.dtype} like the parameters, found {data.dtype}; "
            f"xs.to({like.dtype}), or .to({data.dtype}) on the module"
        )


def _same(value: Any) -> Any:
    return value
