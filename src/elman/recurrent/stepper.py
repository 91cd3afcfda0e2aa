"""`stepper`: one step at a time, with the state in the caller's hands. What streaming and generation use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent import backend
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
        self._step = self._build(layer, dtype)
        self.path = "reference" if "reference" in self._paths else "native"

    def initial(self) -> Any:
        """The state before the first step."""
        return self.layer.initial(self.batch, next(self.layer.parameters(), None))

    @torch.inference_mode()
    def __call__(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """x (batch, input_size) -> y (batch, output_size), and the state after it. UsageError for other shapes."""
        if x.dim() != 2 or len(x) != self.batch or self.layer.input_size not in (None, x.shape[1]):
            expected = (self.batch, self.layer.input_size)
            raise UsageError(f"stepper: expected x {expected}, one row a sequence, found {tuple(x.shape)}")
        return self._step(x, self.initial() if state is None else self.layer.check(state, self.batch))

    def _build(self, layer: Layer, dtype: torch.dtype) -> OneStep:
        if isinstance(layer, Stack):
            return _chain([self._build(part, dtype) for part in layer.layers])  # type: ignore[arg-type]
        if isinstance(layer, Residual):
            inner = self._build(layer.layer, dtype)
            return lambda x, state: _past(inner(x, state), x)
        if isinstance(layer, Dropout):
            return lambda x, state: (x, state)
        if isinstance(layer, Window):
            width = layer.before * (layer.input_size or 0)
            return lambda x, state: _window(torch.cat([state[0], x], -1), width)
        if not isinstance(layer, Recurrent):
            raise UsageError(f"stepper: cannot step a {type(layer).__name__}; expected Recurrent, Window, Stack")
        cell = layer.cell
        path, why = backend.path_of(cell)
        if path == "native" and cell.W.dtype == torch.float32 and cell.W.device.type == "cpu":
            self._paths.add("native")
            return _Native(layer, self.batch, dtype)
        self._paths.add("reference")
        if backend.current_backend() == "native":
            raise UsageError(
                f"backend native: {type(cell).__name__} is not compiled: {why or 'it is not float32 on a CPU'}"
            )
        return _reference(layer)


def stepper(layer: Layer, batch: int = 1, dtype: torch.dtype = torch.float32) -> Stepper:
    """A `Stepper` of a causal layer or stack of layers, for batches of `batch` rows.

    dtype: of the weights in products: torch.float32, or torch.bfloat16, which halves what is read from memory.
    Raises UsageError for a layer that looks ahead, for batch < 1 and for another dtype."""
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"stepper: expected a batch of 1 or more, found {batch!r}")
    if dtype not in (torch.float32, torch.bfloat16):
        raise UsageError(f"stepper: expected dtype torch.float32 or torch.bfloat16, found {dtype}")
    return Stepper(layer, batch, dtype)


def _chain(steps: list[OneStep]) -> OneStep:
    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        after = []
        for step, before in zip(steps, state, strict=True):
            x, s = step(x, before)
            after.append(s)
        return x, tuple(after)

    return run


def _past(result: tuple[Tensor, Any], x: Tensor) -> tuple[Tensor, Any]:
    return result[0] + x, result[1]


def _window(seen: Tensor, width: int) -> tuple[Tensor, Any]:
    return seen, (seen[:, seen.shape[1] - width :],)


def _reference(layer: Recurrent) -> OneStep:
    cell = layer.cell
    noise = layer.modifiers.evaluation(cell)
    zoneout = None if noise is None else noise.zoneout

    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        after = cell.advance(state, cell.inputs(x), zoneout=zoneout)
        return cell.O(after), after

    return run


class _Native:
    """One compiled cell with its packed weights."""

    def __init__(self, layer: Recurrent, batch: int, dtype: torch.dtype) -> None:
        cell = self._cell = layer.cell
        noise = layer.modifiers.evaluation(cell)
        self._kernel = kernel = native.kernel(cell, torch.float32, dtype == torch.bfloat16, False, noise is not None)
        H, threads = cell.hidden_size, torch.get_num_threads()
        vectors = native.vectors(cell)
        self._size, self._offset = torch.tensor([batch]), torch.tensor([0])
        self._a = torch.empty(batch, len(cell.gates) * H)
        self._alive = [kernel.packed_inputs(cell.W, H, threads), cell.b.detach().clone()]
        self._step = step = native.Step(inputs=cell.input_size)
        step.weights, step.bias = (t.data_ptr() for t in self._alive)
        job = step.job
        job.steps, job.sequences, job.hidden, job.y_stride = 1, batch, H, H
        job.size, job.offset, job.a = self._size.data_ptr(), self._offset.data_ptr(), self._a.data_ptr()
        for name, value in (
            ("panels", kernel.packed(cell.U, H, threads, one_by_one=True) if kernel.program.recurrent else None),
            ("vectors", None if vectors is None else vectors.detach().contiguous()),
            ("noise", None if noise is None else noise.rows(batch, H, torch.float32)),
        ):
            if value is not None:
                self._alive.append(value)
                setattr(job, name, value.data_ptr())
        # a thread costs a few microseconds to wake: only where there is enough to read
        self._threads = threads if batch * (cell.W.numel() + getattr(cell, "U", cell.b).numel()) > 60_000 else 1
        self._own, self._run, self._at = len(cell.State._fields), kernel.library.elman_step, ctypes.byref(step)

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        own, cell, job = self._own, self._cell, self._step.job
        after = torch.stack(state[:own])
        y = torch.empty_like(after[0])
        left = self._kernel.left(x.float()).contiguous()
        self._step.x, job.state, job.y = left.data_ptr(), after.data_ptr(), y.data_ptr()
        past: list[Tensor] = []
        if self._kernel.program.recurrent:
            remembered = cell.recur(cell.State(*state[:own]))
            past = [remembered, *state[own:]]
            seen = self._kernel.left(remembered if len(past) == 1 else torch.cat(past, -1)).contiguous()
            job.seen = seen.data_ptr()
        self._run(self._at, self._threads)
        return y, cell.Carried(*after.unbind(0), *past[: cell.delays - 1])
