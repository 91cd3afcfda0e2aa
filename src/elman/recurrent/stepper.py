"""`stepper`: one step at a time, with the state in the caller's hands. What streaming and generation use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent import backend
from elman.recurrent.cell import Cell, evaluated
from elman.recurrent.kernels import native
from elman.recurrent.layers import Dropout, Layer, Recurrent, Residual, Stack, Window

OneStep = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Stepper:
    """One step of a causal layer: `y, state = stepper(x, state)`, without autograd.

    batch: rows of every x. path: "native", or "reference" if any cell of it is not compiled.
    The weights are a copy, packed as the layer had them when the stepper was made, in evaluation mode. A state is the
    layer's own, (batch, hidden) tensors, so it can come from `layer(xs)` and go back; none that is given is changed."""

    def __init__(self, layer: Layer, batch: int, dtype: torch.dtype) -> None:
        layer.require_causal("stepping")
        self.layer, self.batch, self._paths = layer, batch, set[str]()
        self._width = layer.input_size
        self._step = self._build(layer, dtype)
        self.path = "reference" if "reference" in self._paths else "native"

    def initial(self) -> Any:
        """The state before the first step."""
        return self.layer.initial(self.batch, next(self.layer.parameters(), None))

    def __call__(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """x (batch, input_size) -> y (batch, output_size), and the state after it. UsageError for other shapes."""
        shape = x.shape
        if len(shape) != 2 or shape[0] != self.batch or (shape[1] != self._width and self._width is not None):
            expected = (self.batch, self._width)
            raise UsageError(f"stepper: expected x {expected}, one row a sequence, found {tuple(x.shape)}")
        return self._step(x, self.initial() if state is None else state)

    def _build(self, layer: Layer, dtype: torch.dtype) -> OneStep:
        if isinstance(layer, Stack):
            return _chain(layer, [self._build(part, dtype) for part in layer.layers], self.batch)  # type: ignore[arg-type]
        if isinstance(layer, Residual):
            inner = self._build(layer.layer, dtype)
            return lambda x, state: _past(inner(x, state), x)
        if isinstance(layer, Dropout):
            return lambda x, state: (x, state)
        if isinstance(layer, Window):
            return _window(layer, self.batch)
        if not isinstance(layer, Recurrent):
            raise UsageError(f"stepper: cannot step a {type(layer).__name__}; expected Recurrent, Window, Stack")
        cell = evaluated(layer.cell)
        path, why = backend.path_of(cell)
        if path == "native" and cell.W.dtype == torch.float32 and cell.W.device.type == "cpu":
            self._paths.add("native")
            return _Native(layer, self.batch, dtype)
        self._paths.add("reference")
        if backend.current_backend() == "native":
            raise UsageError(
                f"backend native: {type(cell).__name__} is not compiled: {why or 'it is not float32 on a CPU'}"
            )
        return _reference(layer, self.batch)


def stepper(layer: Layer, batch: int = 1, dtype: torch.dtype = torch.float32) -> Stepper:
    """A `Stepper` of a causal layer or stack of layers, for batches of `batch` rows.

    dtype: of the weights in products: torch.float32, or torch.bfloat16, which halves what is read from memory.
    Raises UsageError for a layer that looks ahead, for batch < 1 and for another dtype."""
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"stepper: expected a batch of 1 or more, found {batch!r}")
    if dtype not in (torch.float32, torch.bfloat16):
        raise UsageError(f"stepper: expected dtype torch.float32 or torch.bfloat16, found {dtype}")
    return Stepper(layer, batch, dtype)


def _chain(stack: Stack, steps: list[OneStep], batch: int) -> OneStep:
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if len(state) != len(steps):
            stack.check(state, batch)  # which raises
        after = []
        for step, before in zip(steps, state, strict=True):
            x, s = step(x, before)
            after.append(s)
        return x, tuple(after)

    return run


@torch.no_grad()
def _past(result: tuple[Tensor, Any], x: Tensor) -> tuple[Tensor, Any]:
    return result[0] + x, result[1]


def _window(layer: Window, batch: int) -> OneStep:
    width = layer.before * (layer.input_size or 0)

    @torch.no_grad()
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        seen = torch.cat([layer.check(state, batch)[0], x], -1)
        return seen, (seen[:, seen.shape[1] - width :],)

    return run


def _reference(layer: Recurrent, batch: int) -> OneStep:
    cell = evaluated(layer.cell)
    noise = layer.modifiers.evaluation(cell)
    zoneout = None if noise is None else noise.zoneout

    @torch.no_grad()
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        after = cell.advance(layer.check(state, batch), cell.inputs(x), zoneout=zoneout)
        return cell.O(after), after

    return run


class _Native:
    """One compiled cell with its packed weights.

    A step of a small cell takes as long as a few of torch's smallest operations, so a call makes the tensors that it
    returns and else only hands over addresses."""

    def __init__(self, layer: Recurrent, batch: int, dtype: torch.dtype) -> None:
        cell = evaluated(layer.cell)
        self._layer, self._batch, self._cell, self._half = layer, batch, cell, dtype == torch.bfloat16
        noise = layer.modifiers.evaluation(cell)
        self._kernel = kernel = native.kernel(cell, torch.float32, self._half, False, noise is not None)
        H, threads = cell.hidden_size, torch.get_num_threads()
        own = self._own = len(cell.State._fields)
        self._shape, self._carried, self._fields = (batch, H), cell.Carried, len(cell.Carried._fields)
        recurrent = kernel.program.recurrent
        # what U multiplies is h itself, unless the cell says otherwise, remembers more, or products are in bfloat16
        plain = type(cell).recur is Cell.recur and cell.delays == 1 and not kernel.half
        self._h = cell.State._fields.index("h") if recurrent and plain else None
        self._recurs = bool(recurrent) and self._h is None
        vectors = native.vectors(cell)
        zoneout = None if noise is None else noise.rows(batch, H, torch.float32)
        held = {
            "size": torch.tensor([batch]),
            "offset": torch.tensor([0]),
            "a": torch.empty(batch, len(cell.gates) * H),
            "state": torch.empty(own, batch, H),
            "panels": kernel.packed(cell.U, H, threads, one_by_one=True) if recurrent else None,
            "vectors": None if vectors is None else vectors.detach().contiguous(),
            "noise": zoneout,
        }
        weights, bias = kernel.packed_inputs(cell.W, H, threads), cell.b.detach().clone()
        self._before, self._after = ((native.POINTERS * own)() for _ in range(2))
        self._step = step = native.Step(inputs=cell.input_size, weights=weights.data_ptr(), bias=bias.data_ptr())
        step.before, step.after = (ctypes.addressof(array) for array in (self._before, self._after))
        job = self._job = step.job
        job.steps, job.sequences, job.hidden, job.y_stride = 1, batch, H, H
        for name, value in held.items():
            setattr(job, name, None if value is None else value.data_ptr())
        self._alive = (held, weights, bias)
        # a thread costs a few microseconds to wake: only where there is enough to read
        self._threads = threads if batch * (cell.W.numel() + getattr(cell, "U", cell.b).numel()) > 60_000 else 1
        self._run, self._at = kernel.step, ctypes.byref(step)

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        shape, job, own = self._shape, self._job, self._own
        if len(state) != self._fields:
            self._layer.check(state, self._batch)  # which raises
        for value in state:
            if value.shape != shape or value.dtype != torch.float32 or not value.is_contiguous():
                state = self._mended(state)
                break
        if self._half or x.dtype != torch.float32 or not x.is_contiguous():
            x = self._kernel.left(x.detach().float()).contiguous()
        past: list[Tensor] = []
        if self._h is not None:
            job.seen = state[self._h].data_ptr()
        elif self._recurs:
            with torch.no_grad():
                past = [self._cell.recur(self._cell.State(*state[:own])), *state[own:]]
                seen = self._kernel.left(torch.cat(past, -1)).contiguous()
                job.seen = seen.data_ptr()
        y = torch.empty(*shape)
        after = [torch.empty(*shape) for _ in range(own)]
        self._step.x, job.y = x.data_ptr(), y.data_ptr()
        for i in range(own):
            self._before[i], self._after[i] = state[i].data_ptr(), after[i].data_ptr()
        self._run(self._at, self._threads)
        return y, self._carried(*after, *past[: self._fields - own])

    def _mended(self, state: Any) -> Any:
        """The state in float32 and contiguous. Raises UsageError where its shapes are wrong."""
        checked = self._layer.check(state, self._batch)
        return self._carried(*[value.detach().float().contiguous() for value in checked])
