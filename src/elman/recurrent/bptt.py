"""Policies of backpropagation through time: in windows with a carried, detached state, or whole within a memory bound.

Without either, backpropagation is whole and keeps what every step needs (Werbos 1990)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.config import parse_memory
from elman.errors import UsageError
from elman.recurrent.backend import current_backend, half_wanted, path_of, use_backend
from elman.recurrent.call import Call
from elman.recurrent.cell import Cell
from elman.recurrent.forms import Sequences, open_form
from elman.recurrent.kernels import native
from elman.recurrent.loop import run
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed
from elman.recurrent.states import map_state

# What one step of the reference path costs besides its numbers: autograd's graph and Python objects.
GRAPH_BYTES = 32_000


# Windows ----------------------------------------------------------------------------------------------------------


def windows(xs: Sequences, length: int, lengths: Sequence[int] | Tensor | None = None) -> Iterator[Packed]:
    """Cut sequences into windows of at most `length` steps, first to last: truncated backpropagation.

        state = None
        for window in windows(xs, 35):
            ys, state = layer(window, state)
            ...                      # a loss of ys.data, backward, a step of the optimizer
            state = detach(state)    # the state carries on, the gradient stops here (Williams and Peng 1990)

    xs: as in `unroll`. Every window has all sequences, in packed order (`Packed.order`); those that have ended have
    length 0 there and keep their state. Raises UsageError for a length below 1."""
    if not isinstance(length, int) or length < 1:
        raise UsageError(f"windows: expected a length of 1 step or more, found {length!r}")
    yield from (window for _, window in _cuts(open_form(xs, lengths, None, "windows").packed, length))


def detach(state: Any) -> Any:
    """The same numbers, without the graph that they came from. Any state of a cell, layer or stack."""
    return map_state(Tensor.detach, state)


def _cuts(xs: Packed, length: int) -> Iterator[tuple[int, Packed]]:
    """(first row, every sequence's part of the next `length` steps), in order."""
    first = 0
    for start in range(0, len(xs.batch_sizes), length):
        sizes = xs.batch_sizes[start : start + length]
        rows = sum(sizes)
        lengths = [min(max(n - start, 0), len(sizes)) for n in xs.lengths]
        yield first, Packed(xs.data[first : first + rows], sizes, lengths, xs.order)
        first += rows


# Within a memory bound --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryPlan:
    """How one cell's backpropagation stays within a bound: `steps` steps are kept at a time, and recomputed once.

    peak: bytes that it plans to hold beyond inputs, outputs and their gradients."""

    steps: int
    segments: int
    peak: int

    def __str__(self) -> str:
        if self.segments == 1:
            return f"nothing is recomputed: planned peak {_size(self.peak)}"
        return f"{self.segments} segments of {self.steps:,} steps, recomputed once: planned peak {_size(self.peak)}"


def memory_plan(cell: Cell, xs: Packed, memory: str | int) -> MemoryPlan:
    """Choose how many steps to keep at a time. The state is kept at each segment's start (Gruslys et al. 2016).

    memory: bytes, or text such as "256MB". More memory means fewer segments; with one, nothing is recomputed.
    Raises UsageError if even the best choice needs more, saying how much."""
    bound = parse_memory(memory)
    longest, size = len(xs.batch_sizes), xs.data.element_size()
    state = sum(value.numel() for value in cell.initial(xs.sequences, xs.data)) * size
    row = _bytes_per_row(cell, size)
    step = row * (xs.batch_sizes[0] if longest else 0) + (GRAPH_BYTES if path_of(cell)[0] == "reference" else 0)
    # the packed weights, their gradients in a segment and the sums of these
    fixed = 3 * sum(p.numel() for p in cell.parameters()) * size

    def peak(steps: int) -> int:
        return fixed + steps * step + (-(-longest // steps) + 4) * state

    best = max((n for n in range(1, longest + 1) if peak(n) <= bound), default=0) if longest < 2000 else 0
    if longest >= 2000:  # the cost falls, then rises: search the divisions into equal segments
        counts = sorted({max(1, round(longest / 1.05**k)) for k in range(300)})
        best = max((n for n in counts if peak(n) <= bound), default=0)
    if longest and not best:
        least = min(peak(max(1, round(longest / 1.05**k))) for k in range(300))
        raise UsageError(
            f"memory: {_size(bound)} is too little for this backpropagation; "
            f"the minimum for {longest:,} steps of {xs.sequences} sequences is {_size(least)}"
        )
    segments = -(-longest // best) if longest else 0
    steps = -(-longest // segments) if segments else 0
    return MemoryPlan(steps, segments, peak(steps) if steps else fixed)


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 10**7 else f"{count / 1e3:,.0f} KB"


def _bytes_per_row(cell: Cell, size: int) -> int:
    """What the backward pass of one row of one step holds at its peak."""
    if path_of(cell)[0] == "native":
        program = native.kernel(cell, torch.float32, False, False, False).program
        # the gates' inputs and their gradients twice (autograd's copy), what is kept, seen, the output and its gradient
        blocks = 2 * program.gates + program.blocks + program.kept + program.delays + 2
        return blocks * cell.hidden_size * size
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    # two steps of many rows, so that the weights do not count
    rows = 64
    x = torch.zeros(rows, cell.input_size, dtype=cell.initial(1)[0].dtype)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        s = cell.advance(cell.initial(rows, x), cell.inputs(x))
        before = sum(saved.values())
        s = cell.advance(s, cell.inputs(x))
        cell.O(s)
    return 3 * (sum(saved.values()) - before) // rows  # saved, the values in between, and the gradients of both


def run_bounded(calls: Sequence[Call], xs: Packed) -> tuple[Packed, list[Any]]:
    """As `loop.run`, with what backpropagation holds bounded by the `memory` of each call."""
    if not torch.is_grad_enabled() or all(call.memory is None for call in calls):
        return run(calls, xs)
    if len(calls) > 1:  # each has its own segments
        results = [run_bounded([call], xs) for call in calls]
        ys = torch.cat([each.data for each, _ in results], -1)
        return xs.with_data(ys), [final for _, finals in results for final in finals]
    (call,) = calls
    assert call.memory is not None
    plan = memory_plan(call.cell, xs, call.memory)
    if plan.segments <= 1:
        return run(calls, xs)
    inputs = [xs.data, *call.state]
    others: list[Tensor] = [*call.cell.parameters()]
    if call.noise is not None and call.noise.U is not None:
        others.append(call.noise.U)
    ys, *final = _Bounded.apply(call, xs, plan, *inputs, *others)
    return xs.with_data(ys), [type(call.state)(*final)]


class _Bounded(torch.autograd.Function):
    """(call, layout, plan, rows, state..., parameters...) -> (ys, final state...)."""

    @staticmethod
    def forward(ctx: Any, call: Call, xs: Packed, plan: MemoryPlan, *tensors: Tensor) -> tuple[Tensor, ...]:
        fields = len(call.state)
        state = type(call.state)(*tensors[1 : 1 + fields])
        starts: list[Any] = []
        ys: Tensor | None = None
        pieces = _pieces(xs.with_data(tensors[0]), plan, call.reverse)
        for first, piece in pieces:
            starts.append(state)
            noise = _noise(call.noise, first, len(piece.data))
            out, (state,) = run([call._replace(state=state, noise=noise)], piece)
            if ys is None:
                ys = out.data.new_empty(len(xs.data), out.data.shape[1])
            ys[first : first + len(piece.data)] = out.data
        assert ys is not None
        ctx.call = call, xs.with_data(xs.data[:0]), plan
        ctx.half, ctx.backend, ctx.starts = half_wanted(), current_backend(), starts
        ctx.save_for_backward(*tensors)
        # a final state may be the same tensor as the input, if all sequences have length 0
        return (ys, *[value.clone() for value in state])

    @staticmethod
    def backward(ctx: Any, dys: Tensor, *dstate: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # torch's once_differentiable lets a constant dys pass, and the graph ends silently
            raise UsageError("memory: recomputed steps have no second-order gradient (create_graph); leave memory out")
        call, layout, plan = ctx.call
        data, *rest = ctx.saved_tensors
        fields = len(call.state)
        others = rest[fields:]
        needs = ctx.needs_input_grad[3:]
        wanted = [tensor for tensor, need in zip(others, needs[1 + fields :], strict=True) if need]
        sums = [torch.zeros_like(tensor) for tensor in wanted]
        ddata = torch.empty_like(data) if needs[0] else None
        pieces = _pieces(layout.with_data(data), plan, call.reverse)
        for (first, piece), start in zip(reversed(pieces), reversed(ctx.starts), strict=True):
            end = first + len(piece.data)
            rows = piece.data.detach().requires_grad_(needs[0])
            begin = type(start)(*[value.detach().requires_grad_() for value in start])
            noise = _noise(call.noise, first, len(rows))
            here = wanted
            if noise is not None and noise.U is not None and needs[-1]:  # its own graph begins outside
                noise = noise._replace(U=noise.U.detach().requires_grad_())
                here = [*wanted[:-1], noise.U]
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=ctx.half)
            with torch.enable_grad(), autocast, use_backend(ctx.backend):
                out, (after,) = run([call._replace(state=begin, noise=noise)], piece.with_data(rows))
            results = [
                (v, d) for v, d in zip((out.data, *after), (dys[first:end], *dstate), strict=True) if v.requires_grad
            ]
            asked = [*([rows] if needs[0] else []), *begin, *here]
            grads = torch.autograd.grad([v for v, _ in results], asked, [d for _, d in results], allow_unused=True)
            if ddata is not None:
                ddata[first:end], grads = grads[0], grads[1:]
            dstate = tuple(torch.zeros_like(s) if g is None else g for s, g in zip(begin, grads[:fields], strict=True))
            for total, g in zip(sums, grads[fields:], strict=True):
                if g is not None:
                    total += g
            del out, after, results, grads
        totals = iter(sums)
        return (None, None, None, ddata, *dstate, *[next(totals) if need else None for need in needs[1 + fields :]])


def _pieces(xs: Packed, plan: MemoryPlan, reverse: bool) -> list[tuple[int, Packed]]:
    """(first row, the steps of a segment), in the order in which the cell runs them."""
    pieces = list(_cuts(xs, plan.steps))
    return pieces[::-1] if reverse else pieces


def _noise(noise: Noise | None, first: int, rows: int) -> Noise | None:
    """The part of the noise that belongs to some rows."""
    if noise is None or noise.zoneout is None:
        return noise
    return noise._replace(zoneout=tuple(z[first : first + rows] if isinstance(z, Tensor) else z for z in noise.zoneout))
