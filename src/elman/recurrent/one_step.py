"""One step of one cell, with the caller holding the state: compiled, or in plain torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent import backend
from elman.recurrent.cell import Cell
from elman.recurrent.kernels import native
from elman.recurrent.kernels.abi import POINTERS, Step, address
from elman.recurrent.kernels.compiled import vectors
from elman.recurrent.noise import Noise

Check = Callable[[Any, int], Any]  # (state, sequences) -> the state with its names and shapes checked


class OneStep(NamedTuple):
    """run: (x, state) -> (y, state). compiled: whether every cell in it is."""

    run: Callable[[Tensor, Any], tuple[Tensor, Any]]
    compiled: bool = True


def cell_step(cell: Cell, noise: Noise | None, check: Check, batch: int, dtype: torch.dtype) -> OneStep:
    """One step of a cell. noise: that of evaluation. Raises UsageError if backend native cannot run it."""
    path, why = backend.path_of(cell)
    if path == "native" and cell.W.dtype == torch.float32 and cell.W.device.type == "cpu":
        return OneStep(_Compiled(cell, noise, check, batch, dtype))
    if backend.current_backend() == "native":
        raise UsageError(
            f"backend native: {type(cell).__name__} is not compiled: {why or 'it is not float32 on a CPU'}"
        )
    zoneout = None if noise is None else noise.zoneout

    @torch.no_grad()
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        after = cell.advance(check(state, batch), cell.inputs(x), zoneout=zoneout)
        return cell.O(after), after

    return OneStep(run, compiled=False)


class _Compiled:
    """One compiled cell with its packed weights.

    A step of a small cell takes as long as a few of torch's smallest operations, so a call creates only the
    tensors that it returns and passes addresses for everything else."""

    def __init__(self, cell: Cell, noise: Noise | None, check: Check, batch: int, dtype: torch.dtype) -> None:
        self._check, self._batch, self._cell, self._half = check, batch, cell, dtype == torch.bfloat16
        self._kernel = kernel = native.kernel(cell, torch.float32, self._half, False, noise is not None)
        H, threads = cell.hidden_size, torch.get_num_threads()
        own = self._own = len(cell.State._fields)
        self._shape, self._carried, self._fields = (batch, H), cell.Carried, len(cell.Carried._fields)
        recurrent = kernel.program.recurrent
        # U multiplies h itself, unless the cell overrides recur or has delays, or products are in bfloat16
        plain = type(cell).recur is Cell.recur and cell.delays == 1 and not kernel.half
        self._h = cell.State._fields.index("h") if recurrent and plain else None
        self._recurs = bool(recurrent) and self._h is None
        units = vectors(cell)
        zoneout = None if noise is None else noise.rows(batch, H, torch.float32)
        held = {
            "size": torch.tensor([batch]),
            "offset": torch.tensor([0]),
            "a": torch.empty(batch, len(cell.gates) * H),
            "state": torch.empty(own, batch, H),
            "panels": kernel.packed(cell.U, H, threads, one_by_one=True) if recurrent else None,
            "vectors": None if units is None else units.detach().contiguous(),
            "noise": zoneout,
        }
        weights, bias = kernel.packed_inputs(cell.W, H, threads), cell.b.detach().clone()
        self._before, self._after = ((POINTERS * own)() for _ in range(2))
        self._step = step = Step(inputs=cell.input_size, weights=weights.data_ptr(), bias=bias.data_ptr())
        step.before, step.after = (ctypes.addressof(array) for array in (self._before, self._after))
        whole = self._whole = step.whole
        whole.steps, whole.sequences, whole.hidden, whole.y_stride = 1, batch, H, H
        for name, value in held.items():
            setattr(whole, name, address(value))
        self._alive = (held, weights, bias)
        # waking a thread takes a few microseconds: only if there is enough to read
        self._threads = threads if batch * (cell.W.numel() + getattr(cell, "U", cell.b).numel()) > 60_000 else 1
        self._run, self._at = kernel.step, ctypes.byref(step)

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        shape, whole, own = self._shape, self._whole, self._own
        if len(state) != self._fields:
            self._check(state, self._batch)  # which raises
        for value in state:
            if value.shape != shape or value.dtype != torch.float32 or not value.is_contiguous():
                state = self._fitting(state)
                break
        if self._half or x.dtype != torch.float32 or not x.is_contiguous():
            x = self._kernel.left(x.detach().float()).contiguous()
        past: list[Tensor] = []
        if self._h is not None:
            whole.seen = state[self._h].data_ptr()
        elif self._recurs:
            with torch.no_grad():
                past = [self._cell.recur(self._cell.State(*state[:own])), *state[own:]]
                seen = self._kernel.left(torch.cat(past, -1)).contiguous()
                whole.seen = seen.data_ptr()
        y = torch.empty(*shape)
        after = [torch.empty(*shape) for _ in range(own)]
        self._step.x, whole.y = x.data_ptr(), y.data_ptr()
        for i in range(own):
            self._before[i], self._after[i] = state[i].data_ptr(), after[i].data_ptr()
        self._run(self._at, self._threads)
        return y, self._carried(*after, *past[: self._fields - own])

    def _fitting(self, state: Any) -> Any:
        """The state in float32 and contiguous. Raises UsageError if its shapes are wrong."""
        checked = self._check(state, self._batch)
        return self._carried(*[value.detach().float().contiguous() for value in checked])
