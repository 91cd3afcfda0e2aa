"""One step of one cell, compiled or in plain torch: with the state in the caller's hands, or kept by the cell."""

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
from elman.recurrent.kernels.compiled import Kernel, vectors
from elman.recurrent.noise import Noise

Check = Callable[[Any, int], Any]  # (state, sequences) -> the state with its names and shapes checked


class OneStep(NamedTuple):
    """run: (x, state) -> (y, state). compiled: whether every cell in it is."""

    run: Callable[[Tensor, Any], tuple[Tensor, Any]]
    compiled: bool = True


def cell_step(cell: Cell, noise: Noise | None, check: Check, batch: int, dtype: torch.dtype) -> OneStep:
    """One step of a cell. noise: that of evaluation. Raises UsageError if backend native cannot run it."""
    why = _not_compiled(cell)
    if why is None:
        return OneStep(_Compiled(cell, noise, check, batch, dtype))
    if backend.current_backend() == "native":
        raise UsageError(f"backend native: {type(cell).__name__} is not compiled: {why}")
    zoneout = None if noise is None else noise.zoneout

    @torch.no_grad()
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        after = cell.advance(check(state, batch), cell.inputs(x), zoneout=zoneout)
        return cell.O(after), after

    return OneStep(run, compiled=False)


def _not_compiled(cell: Cell) -> str | None:
    path, why = backend.path_of(cell)
    if path == "native" and cell.W.dtype == torch.float32 and cell.W.device.type == "cpu":
        return None
    return why or "it is not float32 on a CPU"


def resident(cell: Cell, noise: Noise | None, dtype: torch.dtype) -> Resident | None:
    """One sequence through a compiled cell, which keeps the state; None for a cell that is not compiled."""
    return Resident(cell, noise, dtype) if _not_compiled(cell) is None else None


class _Weights:
    """A compiled cell with its packed weights, and the record of one step of `batch` rows through it.

    seen: how many blocks of rows of what U multiplies there is room for; 0: the caller sets `whole.seen`"""

    def __init__(self, cell: Cell, noise: Noise | None, batch: int, dtype: torch.dtype, seen: int) -> None:
        self.half = dtype == torch.bfloat16
        self.kernel: Kernel = native.kernel(cell, torch.float32, self.half, False, noise is not None)
        kernel, H, threads = self.kernel, cell.hidden_size, torch.get_num_threads()
        units = vectors(cell)
        zoneout = None if noise is None else noise.rows(batch, H, torch.float32)
        self.a = torch.empty(batch, len(cell.gates) * H)
        self.state = torch.empty(len(cell.State._fields), batch, H)
        self.seen = torch.empty(seen, batch, cell.delays * H, dtype=kernel.stored)
        held = {
            "size": torch.tensor([batch, batch]),
            "offset": torch.tensor([0, batch]),
            "a": self.a,
            "state": self.state,
            "seen": self.seen,
            "panels": kernel.packed(cell.U, H, threads, one_by_one=True) if kernel.program.recurrent else None,
            "vectors": None if units is None else units.detach().contiguous(),
            "noise": zoneout,
        }
        weights, bias = kernel.packed_inputs(cell.W, H, threads), cell.b.detach().clone()
        self.step = Step(inputs=cell.input_size, weights=weights.data_ptr(), bias=bias.data_ptr())
        self.whole = whole = self.step.whole
        whole.steps, whole.sequences, whole.hidden, whole.y_stride = 1, batch, H, H
        for name, value in held.items():
            setattr(whole, name, address(value))
        self._alive = (held, weights, bias)
        # Waking a thread takes microseconds, and many if its core does something else: only if there is more to read
        # than a core reads from its own cache in that time.
        self.threads = threads if batch * (cell.W.numel() + getattr(cell, "U", cell.b).numel()) > 200_000 else 1


class _Compiled:
    """One compiled cell, its state in the caller's hands.

    A step of a small cell takes as long as a few of torch's smallest operations, so a call creates only the
    tensors that it returns and passes addresses for everything else."""

    def __init__(self, cell: Cell, noise: Noise | None, check: Check, batch: int, dtype: torch.dtype) -> None:
        self._check, self._batch, self._cell = check, batch, cell
        self._weights = weights = _Weights(cell, noise, batch, dtype, seen=0)
        self._kernel, self._half = weights.kernel, weights.half
        own = self._own = len(cell.State._fields)
        self._shape, self._carried, self._fields = (batch, cell.hidden_size), cell.Carried, len(cell.Carried._fields)
        recurrent = self._kernel.program.recurrent
        # U multiplies h itself, unless the cell overrides recur or has delays, or products are in bfloat16
        plain = type(cell).recur is Cell.recur and cell.delays == 1 and not self._half
        self._h = cell.State._fields.index("h") if recurrent and plain else None
        self._recurs = bool(recurrent) and self._h is None
        self._before, self._after = ((POINTERS * own)() for _ in range(2))
        self._step, self._whole, self._threads = weights.step, weights.whole, weights.threads
        self._step.before, self._step.after = (ctypes.addressof(array) for array in (self._before, self._after))
        self._run, self._at = self._kernel.step, ctypes.byref(self._step)

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


class Resident:
    """One sequence through a compiled cell that keeps its state: every address is fixed, so that a step is one call and
    makes no tensor. For generation, where a step takes as long as a few of torch's operations.

    y:           (1, hidden_size), which every step writes
    input_bytes: of x W + b"""

    def __init__(self, cell: Cell, noise: Noise | None, dtype: torch.dtype) -> None:
        self._cell, self._weights = cell, _Weights(cell, noise, 1, dtype, seen=2)
        kernel, self._step, self._threads = self._weights.kernel, self._weights.step, self._weights.threads
        self.y = torch.empty(1, cell.hidden_size)
        self.input_bytes = self._weights.a.nbytes
        self._x = torch.empty(1, cell.input_size, dtype=kernel.stored)
        self._step.whole.y = self.y.data_ptr()
        self._run, self._at = kernel.advance, ctypes.byref(self._step)
        self.reset()

    def reset(self) -> None:
        """The state before the first step."""
        cell, weights = self._cell, self._weights
        with torch.no_grad():
            initial = cell.initial(1, cell.b)
            own = len(cell.State._fields)
            weights.state.copy_(torch.stack(list(initial[:own])))
            if weights.kernel.program.recurrent:
                seen = torch.cat([cell.recur(cell.State(*initial[:own])), *initial[own:]], -1)
                weights.seen[0] = weights.kernel.left(seen)

    def read(self, x: Tensor) -> None:
        """Let the next steps read x (1, input_size), float32, at this address, and leave what is computed of it to
        themselves."""
        self._step.given, self._step.x = x.data_ptr(), self._x.data_ptr()
        self._step.whole.a = self._weights.a.data_ptr()

    def read_known(self, a: Tensor) -> None:
        """Let the next steps read x W + b (1, gates * hidden_size), as `remembered` returned it."""
        self._step.given = self._step.x = None
        self._step.whole.a = a.data_ptr()

    def remembered(self, x: Tensor) -> Tensor:
        """As `read`; the next step writes x W + b to what is returned."""
        self.read(x)
        a = torch.empty_like(self._weights.a)
        self._step.whole.a = a.data_ptr()
        return a

    def __call__(self) -> None:
        """One step."""
        self._run(self._at, self._threads)
