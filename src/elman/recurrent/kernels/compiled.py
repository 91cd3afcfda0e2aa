"""The compiled form of a cell: traced, written in C++, built, verified, and kept until what its step reads changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels import build
from elman.recurrent.kernels.abi import Size, declare, single_step
from elman.recurrent.kernels.emit import Program, emit
from elman.recurrent.kernels.reads import Reads
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import trace, vector_names
from elman.recurrent.kernels.verify import verify_kernel, verify_trace


@dataclass(frozen=True)
class Kernel:
    """A compiled cell. dtype: of the state and of all sums. stored: of what products read."""

    program: Program
    library: Any
    dtype: torch.dtype
    weight: torch.dtype
    stored: torch.dtype

    @cached_property
    def _sizes(self) -> dict[tuple[Size, int], int]:
        return {}

    def size(self, what: Size, hidden: int) -> int:
        """elman_sizes of the engine, called once per key."""
        key = (what, hidden)
        if key not in self._sizes:
            self._sizes[key] = self.library.elman_sizes(what, hidden)
        return self._sizes[key]

    def packed(self, U: Tensor, hidden: int, threads: int, backward: bool = False, one_by_one: bool = False) -> Tensor:
        """U in panels, as the products read it. one_by_one: as a single step reads it."""
        room: Tensor = torch.empty(
            self.size(Size.BACKWARD_PANELS if backward else Size.FORWARD_PANELS, hidden), dtype=self.weight
        )
        U = U.detach().contiguous()
        if backward:
            self.library.elman_pack_backward(U.data_ptr(), room.data_ptr(), hidden, threads)
        else:
            self.library.elman_pack_forward(U.data_ptr(), room.data_ptr(), hidden, int(one_by_one), threads)
        return room

    def packed_inputs(self, W: Tensor, hidden: int, threads: int) -> Tensor:
        """W in panels, as a single step reads it."""
        depth = (len(W) + 1) // 2 if self.half else len(W)
        room: Tensor = torch.empty(depth * self.size(Size.INPUT_PANEL, hidden), dtype=self.weight)
        W = W.detach().contiguous()
        self.library.elman_pack_inputs(W.data_ptr(), room.data_ptr(), len(W), hidden, threads)
        return room

    @cached_property
    def step(self) -> Any:
        """The engine's single step."""
        return single_step(self.library, "elman_step")

    @cached_property
    def advance(self) -> Any:
        """The engine's single step with a state that stays where it is."""
        return single_step(self.library, "elman_advance")

    @property
    def half(self) -> bool:
        """Whether products are in bfloat16."""
        return self.weight == torch.int32

    def left(self, values: Tensor) -> Tensor:
        """What a product reads on its left: unchanged, or in bfloat16 (rounded, if the CPU has no such product)."""
        return values.bfloat16().to(self.stored) if self.half else values


@dataclass(frozen=True)
class _Entry:
    """A kernel, or why there is none, valid as long as what the step reads is unchanged."""

    reads: Reads
    kernel: Kernel | None
    problem: str = ""
    kind: type[Untraceable] = Untraceable


# Sequences of one length through a kernel: (kernel, cell, xs (steps, sequences, inputs), state) -> (ys, final state).
Trial = Callable[..., tuple[Tensor, tuple[Tensor, ...]]]
DOT: str | None = None  # how bfloat16 numbers are multiplied (operands.h), if not decided by the processor
MOST = 16  # programs of one cell that differ only by what its step reads besides its arguments
_entries: dict[Any, list[_Entry]] = {}


def compiled(cell: Cell, dtype: torch.dtype, half: bool, masked: bool, zoneout: bool, trial: Trial) -> Kernel:
    """The compiled form of a cell, new or existing. trial: runs a kernel, to verify a new one.

    Raises Untraceable, or BuildError."""
    key: Any = (kind_of(cell), cell.hidden_size, cell.delays, dtype, half and (DOT or half), masked, zoneout)
    entries = _entries.setdefault(key, [])
    entry = next((entry for entry in entries if entry.reads.unchanged(cell)), None)
    if entry is None:
        if len(entries) >= MOST:
            names = ", ".join(entries[-1].reads.changed(cell))
            raise Untraceable(f"{names} had {MOST} values, and each needs its own program; carry it in the state")
        reads = Reads(cell)
        try:
            entry = _Entry(reads, _compile(cell, reads, dtype, half, masked, zoneout, trial))
        except Untraceable as problem:  # which stays so: do not trace the step again at every call
            entry = _Entry(reads, None, str(problem), type(problem))
        entries.append(entry)
    if entry.kernel is None:
        raise entry.kind(entry.problem)
    return entry.kernel


def _compile(
    cell: Cell, reads: Reads, dtype: torch.dtype, half: bool, masked: bool, zoneout: bool, trial: Trial
) -> Kernel:
    traced = trace(cell, masked, zoneout, reads)
    ours = kind_of(cell).__module__.startswith("elman.")  # which the tests compare
    if not ours:
        verify_trace(cell, traced, masked, zoneout)
    made = _built(cell, emit(cell, traced, masked, zoneout), dtype, half)
    if not (ours or half or masked or zoneout):
        verify_kernel(cell, partial(trial, made), dtype)
    return made


def _built(cell: Cell, program: Program, dtype: torch.dtype, half: bool) -> Kernel:
    real = {torch.float32: "float", torch.float64: "double"}[dtype]
    source = f'{defined(real, half)}#include "operands.h"\n\n{program.source}\n#include "engine.h"\n'
    library = build.load(source, build.headers("maths.h", "operands.h", "engine.h"), kind_of(cell).__name__)
    declare(library)
    stored = torch.bfloat16 if library.elman_sizes(Size.STORED_BYTES, 1) == 2 else dtype
    return Kernel(program, library, dtype, torch.int32 if half else dtype, stored)


def defined(real: str, half: bool) -> str:
    """What operands.h must know: the type of all sums, "float" or "double", and whether products are in bfloat16."""
    settings = f"#define REAL {real}\n#define HALF {int(half)}\n"
    return settings if DOT is None or not half else f"{settings}#define DOT {DOT}\n"


def vectors(cell: Cell) -> Tensor | None:
    """(vectors, hidden) the per-unit parameters that the step reads, in the order of `vector_names`."""
    values = [cell.block("c", name[2:]) if "." in name else getattr(cell, name) for name in vector_names(cell)]
    return torch.stack(values) if values else None
