"""The native path: packed batches through compiled cells, with exact backpropagation through time.

What the engine does is in engine.h; here room is made for it and torch's autograd is told. The input halves of the
gates come in as one product made by torch (`cell.inputs`), so dW, db and dX are autograd's own; dU is one product at
the end."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels import build
from elman.recurrent.kernels.emit import Program, emit
from elman.recurrent.kernels.products import affine
from elman.recurrent.kernels.reads import Reads
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import trace, vector_names
from elman.recurrent.kernels.verify import verify_kernel, verify_trace
from elman.recurrent.packed import Packed

# The threads of an OpenMP runtime do not survive a fork, and a forked process that waits for them waits forever, in
# torch as in the engine: it takes one thread, as the workers of torch's DataLoader do.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

POINTERS = ctypes.c_void_p
COUNT = ctypes.c_int64


class Job(ctypes.Structure):
    """`struct Job` of engine.h."""

    _fields_ = [
        *((name, COUNT) for name in ("steps", "sequences", "hidden", "reverse", "keep")),
        *((name, POINTERS) for name in ("size", "offset", "a", "panels", "vectors", "mask", "noise", "state", "seen")),
        ("y", POINTERS),
        ("y_stride", COUNT),
        ("kept", POINTERS),
        ("dy", POINTERS),
        ("dy_stride", COUNT),
        *((name, POINTERS) for name in ("dstate", "dseen", "grads")),
    ]


class Step(ctypes.Structure):
    """`struct Step` of engine.h."""

    _fields_ = [
        ("job", Job),
        ("x", POINTERS),
        ("inputs", COUNT),
        *((name, POINTERS) for name in ("weights", "bias", "before", "after")),
    ]


@dataclass(frozen=True)
class Kernel:
    """A compiled cell. dtype: of the state and of all sums. stored: of what products read."""

    program: Program
    library: Any
    dtype: torch.dtype
    weight: torch.dtype
    stored: torch.dtype

    @cached_property
    def _sizes(self) -> dict[tuple[int, int], int]:
        return {}

    def size(self, what: int, hidden: int) -> int:
        """elman_sizes of the engine, asked for once."""
        key = (what, hidden)
        if key not in self._sizes:
            self._sizes[key] = self.library.elman_sizes(what, hidden)
        return self._sizes[key]

    def packed(self, U: Tensor, hidden: int, threads: int, backward: bool = False, one_by_one: bool = False) -> Tensor:
        """U in panels, as the products read it. one_by_one: as a single step reads it."""
        room: Tensor = torch.empty(self.size(int(backward), hidden), dtype=self.weight)
        U = U.detach().contiguous()
        if backward:
            self.library.elman_pack_backward(U.data_ptr(), room.data_ptr(), hidden, threads)
        else:
            self.library.elman_pack_forward(U.data_ptr(), room.data_ptr(), hidden, int(one_by_one), threads)
        return room

    def packed_inputs(self, W: Tensor, hidden: int, threads: int) -> Tensor:
        """W in panels, as a single step reads it."""
        depth = (len(W) + 1) // 2 if self.half else len(W)
        room: Tensor = torch.empty(depth * self.size(4, hidden), dtype=self.weight)
        W = W.detach().contiguous()
        self.library.elman_pack_inputs(W.data_ptr(), room.data_ptr(), len(W), hidden, threads)
        return room

    @cached_property
    def step(self) -> Any:
        """The engine's single step. It keeps Python's lock, which costs less than giving it away for microseconds; and
        so one stepper may serve many threads."""
        function = ctypes.PyDLL(None, handle=self.library._handle).elman_step
        function.restype, function.argtypes = None, [ctypes.POINTER(Step), ctypes.c_int]
        return function

    @property
    def half(self) -> bool:
        """Whether products are in bfloat16."""
        return self.weight == torch.int32

    def left(self, values: Tensor) -> Tensor:
        """What a product reads on its left: as it is, or in bfloat16 (rounded, where the CPU has no such product)."""
        return values.bfloat16().to(self.stored) if self.half else values


@dataclass(frozen=True)
class _Entry:
    """A kernel, or why there is none, for as long as the step reads the same."""

    reads: Reads
    kernel: Kernel | None
    problem: str = ""
    kind: type[Untraceable] = Untraceable


DOT: str | None = None  # how bfloat16 numbers are multiplied (engine.h), where the processor is not to decide
MOST = 16  # programs of one cell that differ only by what its step reads besides its arguments
_entries: dict[Any, list[_Entry]] = {}


def kernel(cell: Cell, dtype: torch.dtype, half: bool, masked: bool, zoneout: bool) -> Kernel:
    """The compiled form of a cell. Raises Untraceable, or build.BuildError."""
    key: Any = (kind_of(cell), cell.hidden_size, cell.delays, dtype, half and (DOT or half), masked, zoneout)
    entries = _entries.setdefault(key, [])
    entry = next((entry for entry in entries if entry.reads.unchanged(cell)), None)
    if entry is None:
        if len(entries) >= MOST:
            names = ", ".join(entries[-1].reads.changed(cell))
            raise Untraceable(f"{names} had {MOST} values, and each is a program of its own; carry it in the state")
        reads = Reads(cell)
        try:
            entry = _Entry(reads, _compile(cell, reads, dtype, half, masked, zoneout))
        except Untraceable as problem:  # which stays so: do not follow the step again at every call
            entry = _Entry(reads, None, str(problem), type(problem))
        entries.append(entry)
    if entry.kernel is None:
        raise entry.kind(entry.problem)
    return entry.kernel


def _compile(cell: Cell, reads: Reads, dtype: torch.dtype, half: bool, masked: bool, zoneout: bool) -> Kernel:
    traced = trace(cell, masked, zoneout, reads)
    ours = kind_of(cell).__module__.startswith("elman.")  # which the tests compare
    if not ours:
        verify_trace(cell, traced, masked, zoneout)
    made = _built(cell, emit(cell, traced, masked, zoneout), dtype, half)
    if not (ours or half or masked or zoneout):
        verify_kernel(cell, partial(_trial, made), dtype)
    return made


def _trial(made: Kernel, cell: Cell, xs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Sequences of one length through a kernel."""
    steps, sequences = xs.shape[:2]
    packed = Packed(xs.flatten(0, 1), [sequences] * steps, [steps] * sequences, torch.arange(sequences))
    direction = Direction(cell, made, False, getattr(cell, "U", None), None, None)
    ys, (final,) = run([direction], packed, [state])
    return ys, final


def _built(cell: Cell, program: Program, dtype: torch.dtype, half: bool) -> Kernel:
    real = {torch.float32: "float", torch.float64: "double"}[dtype]
    settings = f"#define REAL {real}\n#define HALF {int(half)}\n"
    if half and DOT is not None:
        settings += f"#define DOT {DOT}\n"
    source = f'{settings}#include "maths.h"\n\n{program.source}\n#include "engine.h"\n'
    library = build.load(source, _headers(), kind_of(cell).__name__)
    library.elman_sizes.restype = COUNT
    library.elman_sizes.argtypes = [ctypes.c_int, COUNT]
    integer = ctypes.c_int
    for name, *arguments in (
        ("pack_forward", POINTERS, POINTERS, COUNT, integer, integer),
        ("pack_backward", POINTERS, POINTERS, COUNT, integer),
        ("pack_inputs", POINTERS, POINTERS, COUNT, COUNT, integer),
        ("forward", ctypes.POINTER(Job), integer, integer),
        ("backward", ctypes.POINTER(Job), integer, integer),
    ):
        function = getattr(library, f"elman_{name}")
        function.restype, function.argtypes = None, arguments
    stored = torch.bfloat16 if library.elman_sizes(3, 1) == 2 else dtype
    return Kernel(program, library, dtype, torch.int32 if half else dtype, stored)


@cache
def _headers() -> dict[str, str]:
    here = Path(__file__).parent
    return {name: (here / name).read_text(encoding="utf-8") for name in ("maths.h", "engine.h")}


@dataclass(frozen=True)
class Direction:
    """One cell over the batch, and the noise of this call."""

    cell: Cell
    kernel: Kernel
    reverse: bool
    U: Tensor | None
    mask: Tensor | None
    noise: Tensor | None


def run(directions: Sequence[Direction], xs: Packed, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """ys (rows, sum of hidden sizes), side by side, and the final state of each direction, in packed order."""
    if any(one.kernel is not directions[0].kernel for one in directions):  # each library knows one cell
        results = [run([one], xs, [state]) for one, state in zip(directions, states, strict=True)]
        return torch.cat([ys for ys, _ in results], -1), [final for _, finals in results for final in finals]
    with torch.autocast("cpu", enabled=False):
        return _run(directions, xs, states)


def _run(directions: Sequence[Direction], xs: Packed, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    tensors: list[Tensor | None] = []
    for one, state in zip(directions, states, strict=True):
        cell, kernel = one.cell, one.kernel
        own = len(cell.State._fields)
        a = _inputs(cell, kernel, xs.data)
        state = [value.to(kernel.dtype) for value in state]
        start, seen = torch.stack(state[:own]), None
        if kernel.program.recurrent:
            remembered = cell.recur(cell.State(*state[:own]))
            if one.mask is not None:
                remembered = remembered * one.mask
            seen = torch.cat([remembered, *state[own:]], -1)
        tensors += [a, one.U, vectors(cell), start, seen]
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    layout = _Layout(xs, directions, keep)
    # what is only read needs none of autograd's bookkeeping, which takes as long as a short sentence
    results = _Engine.apply(layout, *tensors) if keep else _forward(layout, tensors)[0]
    finals = []
    for i, one in enumerate(directions):
        state, past = results[1 + 2 * i], results[2 + 2 * i]
        values = [*state.unbind(0)]
        if one.cell.delays > 1:
            values += past.chunk(one.cell.delays - 1, -1)
        finals.append(one.cell.Carried(*values))
    return results[0], finals


def _inputs(cell: Cell, kernel: Kernel, x: Tensor) -> Tensor:
    """(rows, gates * hidden) x W + b, as the kernel's precision has it."""
    if not kernel.half:
        return cell.inputs(x)
    return affine(x, cell.W, cell.b)


def vectors(cell: Cell) -> Tensor | None:
    """(vectors, hidden) the per-unit parameters that the step reads, in the order of `vector_names`."""
    values = [cell.block("c", name[2:]) if "." in name else getattr(cell, name) for name in vector_names(cell)]
    return torch.stack(values) if values else None


class _Layout:
    """The shape of a call: where each step's rows are, and what each direction needs."""

    def __init__(self, xs: Packed, directions: Sequence[Direction], keep: bool) -> None:
        self.directions, self.keep = directions, keep
        self.size, self.offset, self.head, self.tail = xs.steps_and_ends
        self.rows, self.sequences = xs.data.shape[0], xs.sequences
        self.running = len(self.head)  # sequences that are not empty
        self.threads = torch.get_num_threads()

    def first(self, reverse: bool) -> Tensor:
        """(running,) the row that each sequence begins with, in the order of running."""
        return self.tail if reverse else self.head

    def job(self, one: Direction, hidden: int, steps: int) -> Job:
        job = Job(steps=steps, sequences=self.sequences, hidden=hidden, reverse=one.reverse, keep=self.keep)
        job.size, job.offset = self.size.data_ptr(), self.offset.data_ptr()
        job.mask, job.noise = _at(one.mask), _at(one.noise)
        return job


class _Engine(torch.autograd.Function):
    """(layout, a, U, vectors, start, seen of each direction) -> (ys, final state and final past of each direction)."""

    @staticmethod
    def forward(ctx: Any, layout: _Layout, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        results, saved = _forward(layout, tensors)
        ctx.layout = layout
        ctx.save_for_backward(*saved)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, dys: Tensor, *dfinals: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # torch's once_differentiable lets a constant dys pass, and the graph ends unseen
            raise UsageError("a compiled cell has no gradient of its gradient (create_graph); use backend reference")
        with torch.autocast("cpu", enabled=False):
            return _backward(ctx, dys, dfinals)


def _forward(layout: _Layout, tensors: Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor | None]]:
    """What `_Engine` gives, and what it keeps for the backward pass."""
    rows, running = layout.rows, layout.running
    hidden = [one.cell.hidden_size for one in layout.directions]
    kernel = layout.directions[0].kernel
    ys = torch.empty(rows, sum(hidden), dtype=kernel.dtype)
    jobs = (Job * len(hidden))()
    results: list[Tensor] = [ys]
    saved: list[Tensor | None] = []
    alive: list[Tensor | None] = []
    for i, (one, H) in enumerate(zip(layout.directions, hidden, strict=True)):
        a, U, given, start, before = tensors[5 * i : 5 * i + 5]
        assert a is not None and start is not None
        K = one.cell.delays * H
        job = layout.job(one, H, len(layout.size))
        a, state = a.contiguous(), start.clone(memory_format=torch.contiguous_format)
        given = None if given is None else given.contiguous()
        seen = panels = kept = None
        if U is not None and before is not None:
            panels = one.kernel.packed(U, H, layout.threads)
            seen = torch.empty(rows, K, dtype=one.kernel.stored)
            seen[layout.first(one.reverse)] = one.kernel.left(before[:running])
        if layout.keep:
            kept = torch.empty(rows, one.kernel.size(5, H), dtype=a.dtype)
        job.a, job.panels, job.vectors, job.seen = _at(a), _at(panels), _at(given), _at(seen)
        job.state, job.kept = _at(state), _at(kept)
        job.y, job.y_stride = ys.data_ptr() + sum(hidden[:i]) * ys.element_size(), ys.shape[1]
        jobs[i] = job
        results += [state, state.new_zeros(0)]
        alive += [a, panels, seen, kept, given]
        saved += [a if layout.keep else None, U, given, seen, kept]
    kernel.library.elman_forward(jobs, len(hidden), layout.threads)
    for i, one in enumerate(layout.directions):
        if one.cell.delays > 1:  # what was seen at the last step becomes the past
            before, seen = tensors[5 * i + 4], alive[5 * i + 2]
            assert before is not None and seen is not None
            H = hidden[i]
            past = before[:, H:].clone()
            past[:running] = seen[layout.first(not one.reverse)][:, :-H].to(past.dtype)
            results[2 + 2 * i] = past
    return results, saved


def _backward(ctx: Any, dys: Tensor, dfinals: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    layout: _Layout = ctx.layout
    saved = ctx.saved_tensors  # asked for once: recomputing checkpoints give them only once
    hidden = [one.cell.hidden_size for one in layout.directions]
    dys = dys.contiguous()
    jobs = (Job * len(hidden))()
    alive = []
    for i, (one, H) in enumerate(zip(layout.directions, hidden, strict=True)):
        a, U, given, seen, kept = saved[5 * i : 5 * i + 5]
        program = one.kernel.program
        job = layout.job(one, H, len(layout.size))
        dstate = dfinals[2 * i].clone(memory_format=torch.contiguous_format)
        dseen = dys.new_zeros(layout.sequences, one.cell.delays * H)
        if one.cell.delays > 1:
            dseen[:, H:] = dfinals[2 * i + 1]
        panels = None if U is None else one.kernel.packed(U, H, layout.threads, backward=True)
        grads = torch.empty(layout.rows, program.blocks * H, dtype=one.kernel.stored)
        job.a, job.panels, job.vectors, job.kept = _at(a), _at(panels), _at(given), _at(kept)
        job.dy, job.dy_stride = dys.data_ptr() + sum(hidden[:i]) * dys.element_size(), dys.shape[1]
        job.dstate, job.dseen, job.grads = _at(dstate), _at(dseen), _at(grads)
        jobs[i] = job
        alive.append((dstate, dseen, panels, grads))
    layout.directions[0].kernel.library.elman_backward(jobs, len(hidden), layout.threads)
    results: list[Tensor | None] = [None]
    for i, (one, H) in enumerate(zip(layout.directions, hidden, strict=True)):
        _, U, given, seen, _ = saved[5 * i : 5 * i + 5]
        dstate, dseen, _, grads = alive[i]
        program = one.kernel.program
        needs = ctx.needs_input_grad[1 + 5 * i : 6 + 5 * i]
        da = grads[:, : program.gates * H].to(dys.dtype)
        dU = _dU(program, seen, grads, H, dys.dtype).to(U.dtype) if needs[1] and U is not None else None
        dvectors = None
        if given is not None and needs[2]:
            sums = [grads[:, block * H : (block + 1) * H].sum(0, dtype=dys.dtype) for block in program.vectors]
            dvectors = torch.stack(sums)
        results += [da, dU, dvectors, dstate, dseen if U is not None else None]
    return tuple(results)


def _dU(program: Program, seen: Tensor, grads: Tensor, H: int, dtype: torch.dtype) -> Tensor:
    """(delays * hidden, recurrent gates * hidden): one product a run of gates whose gradients lie side by side."""
    ends = [i for i, (a, b) in enumerate(pairwise(program.recurrent), 1) if b != a + 1]
    runs = pairwise([0, *ends, len(program.recurrent)])
    seen = seen.to(dtype)  # bfloat16 numbers as they are; torch would round their product's result
    parts = [
        seen.t() @ grads[:, program.recurrent[a] * H : (program.recurrent[b - 1] + 1) * H].to(dtype) for a, b in runs
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
