"""The native path: packed batches through compiled cells, with exact backpropagation through time.

The computation is in engine.h; this allocates memory for it and connects it to torch's autograd. The input halves of
the gates come in as one product made by torch (`cell.inputs`), so dW, db and dX are autograd's own; dU is one product
at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.recurrent.call import Call
from elman.recurrent.cell import Cell
from elman.recurrent.kernels.abi import Pass, Size, address
from elman.recurrent.kernels.compiled import Kernel, compiled, vectors
from elman.recurrent.kernels.emit import Program
from elman.recurrent.kernels.products import affine, product
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed

# The threads of an OpenMP runtime do not survive a fork, and a forked process that waits for them waits forever, in
# torch as in the engine: so it uses one thread, as the workers of torch's DataLoader do.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def kernel(cell: Cell, dtype: torch.dtype, half: bool, masked: bool, zoneout: bool) -> Kernel:
    """The compiled form of a cell. Raises Untraceable, or BuildError."""
    return compiled(cell, dtype, half, masked, zoneout, _trial)


def _trial(made: Kernel, cell: Cell, xs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Sequences of one length through a kernel."""
    steps, sequences = xs.shape[:2]
    packed = Packed(xs.flatten(0, 1), [sequences] * steps, [steps] * sequences, torch.arange(sequences))
    ys, (final,) = run([Call(cell, state)], [made], packed)
    return ys, final


class Slots(NamedTuple):
    """What has gradients in one call. a: (rows, gates * hidden) x W + b; start: (fields, sequences, hidden); seen:
    (sequences, delays * hidden) what U reads first, and what was seen before."""

    a: Tensor | None
    U: Tensor | None
    vectors: Tensor | None
    start: Tensor | None
    seen: Tensor | None


class Saved(NamedTuple):
    """What the backward pass of one call reads. seen: (rows, delays * hidden) what U read; kept: what the step kept."""

    a: Tensor | None
    U: Tensor | None
    vectors: Tensor | None
    seen: Tensor | None
    kept: Tensor | None


R = TypeVar("R", Slots, Saved)


def _each(record: type[R], tensors: Sequence[Tensor | None]) -> list[R]:
    """A flat sequence of tensors, as autograd takes them, as records."""
    size = len(record._fields)
    return [record(*tensors[i : i + size]) for i in range(0, len(tensors), size)]


def run(calls: Sequence[Call], kernels: Sequence[Kernel], xs: Packed) -> tuple[Tensor, list[Any]]:
    """ys (rows, sum of hidden sizes), side by side, and the final state of each call, in packed order."""
    if any(one is not kernels[0] for one in kernels):  # each library knows one cell
        results = [run([call], [one], xs) for call, one in zip(calls, kernels, strict=True)]
        return torch.cat([ys for ys, _ in results], -1), [final for _, finals in results for final in finals]
    with torch.autocast("cpu", enabled=False):
        return _run(calls, kernels[0], xs)


def _run(calls: Sequence[Call], kernel: Kernel, xs: Packed) -> tuple[Tensor, list[Any]]:
    layout = _Layout(xs, calls, kernel)
    slots = [_slots(call, kernel, mask, xs.data) for call, mask in zip(calls, layout.masks, strict=True)]
    tensors = [tensor for one in slots for tensor in one]
    layout.keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    # inference needs none of autograd's bookkeeping, which takes as long as a short sentence
    results = _Engine.apply(layout, *tensors) if layout.keep else _forward(layout, slots)[0]
    finals = []
    for i, call in enumerate(calls):
        state, past = results[1 + 2 * i], results[2 + 2 * i]
        values = [*state.unbind(0)]
        if call.cell.delays > 1:
            values += past.chunk(call.cell.delays - 1, -1)
        finals.append(call.cell.Carried(*values))
    return results[0], finals


def _slots(call: Call, kernel: Kernel, mask: Tensor | None, x: Tensor) -> Slots:
    cell = call.cell
    own = len(cell.State._fields)
    a = call.inputs
    if a is None:
        a = affine(x, cell.W, cell.b) if kernel.half else cell.inputs(x)
    state = [value.to(kernel.dtype) for value in call.state]
    seen = None
    if kernel.program.recurrent:
        remembered = cell.recur(cell.State(*state[:own]))
        if mask is not None:
            remembered = remembered * mask
        seen = torch.cat([remembered, *state[own:]], -1)
    dropped = None if call.noise is None else call.noise.U
    U = getattr(cell, "U", None) if dropped is None else dropped.to(kernel.dtype)
    return Slots(a, U, vectors(cell), torch.stack(state[:own]), seen)


class _Layout:
    """The shape of what runs together: where each step's rows are, and the noise of each call as the engine reads it.

    keep: the backward pass follows"""

    keep = False

    def __init__(self, xs: Packed, calls: Sequence[Call], kernel: Kernel) -> None:
        self.calls, self.kernel = calls, kernel
        self.size, self.offset, self.head, self.tail = xs.steps_and_ends
        self.rows, self.sequences = xs.data.shape[0], xs.sequences
        self.running = len(self.head)  # non-empty sequences
        self.threads = torch.get_num_threads()
        self.hidden = [call.cell.hidden_size for call in calls]
        self.masks: list[Tensor | None] = []
        self.zoneouts: list[Tensor | None] = []
        for call, hidden in zip(calls, self.hidden, strict=True):
            noise = call.noise or Noise()
            self.masks.append(None if noise.mask is None else noise.mask.to(kernel.dtype).contiguous())
            self.zoneouts.append(noise.rows(self.rows, hidden, kernel.dtype))

    def first(self, reverse: bool) -> Tensor:
        """(running,) the first row of each sequence in running order."""
        return self.tail if reverse else self.head

    def passes(self, y: str, ys: Tensor) -> Any:
        """A `Pass` for each call, whose outputs, or their gradients, are side by side in ys. y: the field's name."""
        made = (Pass * len(self.calls))()
        for i, (call, hidden) in enumerate(zip(self.calls, self.hidden, strict=True)):
            one = made[i]
            one.steps, one.sequences, one.hidden = len(self.size), self.sequences, hidden
            one.reverse, one.keep = call.reverse, self.keep
            one.size, one.offset = address(self.size), address(self.offset)
            one.mask, one.noise = address(self.masks[i]), address(self.zoneouts[i])
            setattr(one, y, ys.data_ptr() + sum(self.hidden[:i]) * ys.element_size())
            setattr(one, f"{y}_stride", ys.shape[1])
        return made


class _Engine(torch.autograd.Function):
    """(layout, the `Slots` of each call) -> (ys, final state and final past of each call)."""

    @staticmethod
    def forward(ctx: Any, layout: _Layout, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        results, saved = _forward(layout, _each(Slots, tensors))
        ctx.layout = layout
        ctx.save_for_backward(*(tensor for one in saved for tensor in one))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, dys: Tensor, *dfinals: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # torch's once_differentiable lets a constant dys pass, and the graph ends silently
            raise UsageError("a compiled cell has no second-order gradient (create_graph); use backend reference")
        with torch.autocast("cpu", enabled=False):
            return _backward(ctx, dys, dfinals)


def _forward(layout: _Layout, slots: Sequence[Slots]) -> tuple[list[Tensor], list[Saved]]:
    """What `_Engine` returns, and what it keeps for the backward pass."""
    kernel, rows = layout.kernel, layout.rows
    ys = torch.empty(rows, sum(layout.hidden), dtype=kernel.dtype)
    passes = layout.passes("y", ys)
    results: list[Tensor] = [ys]
    saved: list[Saved] = []
    alive = []
    for one, call, slot, H in zip(passes, layout.calls, slots, layout.hidden, strict=True):
        assert slot.a is not None and slot.start is not None
        a, state = slot.a.contiguous(), slot.start.clone(memory_format=torch.contiguous_format)
        units = None if slot.vectors is None else slot.vectors.contiguous()
        seen = panels = kept = None
        if slot.U is not None and slot.seen is not None:
            panels = _panels(kernel, slot.U, H, layout)
            seen = torch.empty(rows, call.cell.delays * H, dtype=kernel.stored)
            seen[layout.first(call.reverse)] = kernel.left(slot.seen[: layout.running])
        if layout.keep:
            kept = torch.empty(rows, kernel.size(Size.KEPT, H), dtype=a.dtype)
        one.a, one.panels, one.vectors, one.seen = address(a), address(panels), address(units), address(seen)
        one.state, one.kept = address(state), address(kept)
        results += [state, state.new_zeros(0)]
        alive.append((a, panels))
        saved.append(Saved(a if layout.keep else None, slot.U, units, seen, kept))
    kernel.library.elman_forward(passes, len(passes), layout.threads)
    for i, (call, slot, H) in enumerate(zip(layout.calls, slots, layout.hidden, strict=True)):
        if call.cell.delays > 1:  # what was seen at the last step becomes the past
            before, seen = slot.seen, saved[i].seen
            assert before is not None and seen is not None
            past = before[:, H:].clone()
            past[: layout.running] = seen[layout.first(not call.reverse)][:, :-H].to(past.dtype)
            results[2 + 2 * i] = past
    return results, saved


_kept: dict[int, dict[tuple[int, int], tuple[Kernel, Tensor]]] = {}
"""id of a cell's U -> id of a kernel, threads -> the panels; inside `panels_kept`, which keeps all these alive."""


@contextmanager
def panels_kept(module: nn.Module) -> Iterator[None]:
    """Inside, each U of the module is packed once, which takes a tenth of a short sentence's time; the weights must not
    change there. It holds for all threads."""
    weights = [cell.U for cell in module.modules() if isinstance(cell, Cell) and getattr(cell, "U", None) is not None]
    new = [U for U in weights if id(U) not in _kept]
    _kept.update((id(U), {}) for U in new)
    try:
        yield
    finally:
        for U in new:
            _kept.pop(id(U), None)


def _panels(kernel: Kernel, U: Tensor, hidden: int, layout: _Layout) -> Tensor:
    known = None if layout.keep else _kept.get(id(U))
    if known is None:
        return kernel.packed(U, hidden, layout.threads)
    key = id(kernel), layout.threads
    if key not in known:
        known[key] = kernel, kernel.packed(U, hidden, layout.threads)
    return known[key][1]


def _backward(ctx: Any, dys: Tensor, dfinals: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    layout: _Layout = ctx.layout
    kernel, program = layout.kernel, layout.kernel.program
    saved = _each(Saved, ctx.saved_tensors)  # read once: recomputing checkpoints give them only once
    dys = dys.contiguous()
    passes = layout.passes("dy", dys)
    buffers = []
    for i, (one, call, held, H) in enumerate(zip(passes, layout.calls, saved, layout.hidden, strict=True)):
        dstate = dfinals[2 * i].clone(memory_format=torch.contiguous_format)
        dseen = dys.new_zeros(layout.sequences, call.cell.delays * H)
        if call.cell.delays > 1:
            dseen[:, H:] = dfinals[2 * i + 1]
        panels = None if held.U is None else kernel.packed(held.U, H, layout.threads, backward=True)
        grads = torch.empty(layout.rows, program.blocks * H, dtype=kernel.stored)
        one.a, one.panels, one.vectors, one.kept = map(address, (held.a, panels, held.vectors, held.kept))
        one.dstate, one.dseen, one.grads = address(dstate), address(dseen), address(grads)
        buffers.append((dstate, dseen, panels, grads))
    kernel.library.elman_backward(passes, len(passes), layout.threads)
    results: list[Tensor | None] = [None]
    wanted = _each(Slots, ctx.needs_input_grad[1:])
    for held, needs, H, (dstate, dseen, _, grads) in zip(saved, wanted, layout.hidden, buffers, strict=True):
        da = grads[:, : program.gates * H].to(dys.dtype)
        dU = dvectors = None
        if needs.U and held.U is not None and held.seen is not None:
            dU = _dU(program, held.seen, grads, H).to(held.U.dtype)
        if needs.vectors and held.vectors is not None:
            sums = [grads[:, block * H : (block + 1) * H].sum(0, dtype=dys.dtype) for block in program.vectors]
            dvectors = torch.stack(sums)
        results += Slots(da, dU, dvectors, dstate, None if held.U is None else dseen)
    return tuple(results)


def _dU(program: Program, seen: Tensor, grads: Tensor, H: int) -> Tensor:
    """(delays * hidden, recurrent gates * hidden): one product per run of gates whose gradients are adjacent."""
    ends = [i for i, (a, b) in enumerate(pairwise(program.recurrent), 1) if b != a + 1]
    runs = pairwise([0, *ends, len(program.recurrent)])
    times = product if seen.dtype == torch.bfloat16 else torch.mm
    parts = [times(seen.t(), grads[:, program.recurrent[a] * H : (program.recurrent[b - 1] + 1) * H]) for a, b in runs]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
