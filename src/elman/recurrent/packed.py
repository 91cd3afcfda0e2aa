"""A batch of sequences of different lengths, without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from operator import index
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import UsageError

OF_LENGTHS = ("sequence_of_row", "position_of_row", "offsets", "rows_of_sequence", "steps_and_ends")
FEW = 400  # rows: Python sorts this few faster than torch


@dataclass(frozen=True)
class Packed:
    """Rows of real tokens in time-major order, longest sequence first.

    data:        (rows, ...)  the rows of step 0 of every sequence, then those of step 1, ...
    batch_sizes: how many sequences are still running at each step; its length is that of the longest sequence
    lengths:     the length of each sequence, descending; 0 is allowed and sorts last
    order:       (sequences,) the caller's index of each sequence: row i of a state belongs to sequence order[i]

    At step t the running sequences are the first batch_sizes[t], so a step works on one contiguous block of rows.
    """

    data: Tensor
    batch_sizes: list[int]
    lengths: list[int]
    order: Tensor

    @property
    def sequences(self) -> int:
        return len(self.lengths)

    def with_data(self, data: Tensor) -> Packed:
        """The same sequences with different rows: (rows, anything)."""
        other = Packed(data, self.batch_sizes, self.lengths, self.order)
        if data.device == self.data.device:  # what was computed from the lengths holds for these rows too
            known = self.__dict__
            other.__dict__.update({name: known[name] for name in OF_LENGTHS if name in known})
        return other

    def steps(self) -> tuple[Tensor, ...]:
        """The rows of each step, as views. One `split`, since its backward pass is one concatenation."""
        return self.data.split(self.batch_sizes) if self.batch_sizes else ()

    @cached_property
    def sequence_of_row(self) -> Tensor:
        """(rows,) which sequence, in sorted order, each row belongs to."""
        steps = [torch.arange(n) for n in self.batch_sizes]
        index = torch.cat(steps) if steps else torch.zeros(0, dtype=torch.long)
        return index.to(self.data.device)

    @cached_property
    def position_of_row(self) -> Tensor:
        """(rows,) the step of each row in its sequence, from 0."""
        index = torch.arange(len(self.batch_sizes)).repeat_interleave(torch.tensor(self.batch_sizes, dtype=torch.long))
        return index.to(self.data.device)

    @cached_property
    def offsets(self) -> Tensor:
        """(steps,) the first row of each step."""
        sizes = torch.tensor([0, *self.batch_sizes], dtype=torch.long)
        return sizes.cumsum(0)[:-1].to(self.data.device)

    @cached_property
    def steps_and_ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """On the CPU: (steps,) running sequences at each step and (steps,) the first row of each step; then the first
        and the last row of each non-empty sequence."""
        size = torch.tensor(self.batch_sizes, dtype=torch.long)
        offset = size.cumsum(0) - size
        running = self.batch_sizes[0] if self.batch_sizes else 0
        first = torch.arange(running)
        last = offset[torch.tensor(self.lengths[:running], dtype=torch.long) - 1] + first
        return size, offset, first, last

    @cached_property
    def rows_of_sequence(self) -> list[Tensor]:
        """For each sequence, in sorted order, the indices of its rows from first to last."""
        offsets = self.offsets.cpu()
        return [offsets[:length] + i for i, length in enumerate(self.lengths)]

    def after(self, steps: int) -> Packed:
        """The sequences without their first `steps` steps: the rows from there on, in the same order."""
        first = sum(self.batch_sizes[:steps])
        lengths = [max(length - steps, 0) for length in self.lengths]
        return Packed(self.data[first:], self.batch_sizes[steps:], lengths, self.order)

    @classmethod
    def plan(cls, lengths: Sequence[int]) -> Packed:
        """The layout alone for sequences of these lengths: `data` is (rows,), the index of every row
        in the concatenation of all sequences in the caller's order."""
        if any(n < 0 for n in lengths):
            raise UsageError(f"expected lengths of 0 or more, found {min(lengths)}")
        if sum(lengths) <= FEW:
            return cls._few(list(lengths))
        counts = torch.tensor(list(lengths), dtype=torch.long)
        order = torch.argsort(counts, descending=True, stable=True)
        ordered = counts[order]
        longest = int(ordered[0]) if len(ordered) else 0
        steps = torch.arange(longest)
        running = (ordered.unsqueeze(0) > steps.unsqueeze(1)) if longest else torch.zeros(0, len(ordered)).bool()
        starts = (counts.cumsum(0) - counts)[order]
        index = (starts.unsqueeze(0) + steps.unsqueeze(1))[running] if longest else torch.zeros(0, dtype=torch.long)
        return cls(index, running.sum(1).tolist(), ordered.tolist(), order)

    @classmethod
    def _few(cls, lengths: list[int]) -> Packed:
        """`plan`, for a handful of rows, where calls to torch would take longer than the work."""
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        starts = list(accumulate(lengths, initial=0))
        rows: list[int] = []
        sizes: list[int] = []
        running = len(order)
        for step in range(max(lengths, default=0)):
            while lengths[order[running - 1]] <= step:
                running -= 1
            rows += [starts[i] + step for i in order[:running]]
            sizes.append(running)
        whole = torch.tensor(rows, dtype=torch.long), torch.tensor(order, dtype=torch.long)
        return cls(whole[0], sizes, [lengths[i] for i in order], whole[1])

    @classmethod
    def from_list(cls, sequences: Sequence[Tensor]) -> Packed:
        """Pack a list of (length, ...) tensors, in any order; lengths may be 0."""
        if not sequences:
            raise UsageError("expected at least one sequence, found an empty list")
        if len({tuple(s.shape[1:]) for s in sequences}) > 1:
            shapes = sorted({tuple(s.shape) for s in sequences})
            raise UsageError(f"expected sequences (length, dim) of the same dim, found the shapes {shapes[:4]}")
        plan = cls.plan([len(s) for s in sequences])
        flat = torch.cat(list(sequences))
        return replace(plan, data=flat[plan.data.to(flat.device)])

    @classmethod
    def from_padded(cls, padded: Tensor, lengths: Sequence[int] | Tensor | None = None) -> Packed:
        """Pack (batch, time, ...) with `lengths` (batch,); without lengths every sequence has all steps."""
        if padded.dim() < 2:
            raise UsageError(f"expected (batch, time, dim), found the shape {tuple(padded.shape)}")
        batch, time = padded.shape[:2]
        if lengths is None:  # already in order: step after step, all sequences
            data = padded.transpose(0, 1).reshape(time * batch, *padded.shape[2:])
            return cls(data, [batch] * time if batch else [], [time] * batch, torch.arange(batch))
        counts: Any = list(lengths) if isinstance(lengths, Iterable) else lengths
        try:
            counts = [index(n) for n in counts]
        except TypeError as problem:
            raise UsageError(f"expected {batch} integer lengths, found {counts!r}") from problem
        if len(counts) != batch or any(not 0 <= n <= time for n in counts):
            raise UsageError(f"expected {batch} lengths between 0 and {time}, found {counts}")
        plan = cls.plan(counts)
        offsets = torch.cat([torch.arange(n) + i * time for i, n in enumerate(counts)] or [plan.data])
        flat = padded.reshape(batch * time, *padded.shape[2:])
        return replace(plan, data=flat[offsets[plan.data].to(flat.device)])

    def to_list(self) -> list[Tensor]:
        """The sequences in the caller's order, each (length, ...)."""
        by_sequence = torch.cat(self.rows_of_sequence) if self.lengths else torch.zeros(0, dtype=torch.long)
        pieces = self.data[by_sequence.to(self.data.device)].split(self.lengths)
        result: list[Tensor] = [self.data] * len(pieces)
        for where, piece in zip(self.order.tolist(), pieces, strict=True):
            result[where] = piece
        return result

    def to_padded(self, time: int | None = None, value: float = 0.0) -> Tensor:
        """(batch, time, ...) in the caller's order, padded with `value`."""
        time = len(self.batch_sizes) if time is None else time
        padded = self.data.new_full((self.sequences, time, *self.data.shape[1:]), value)
        for where, sequence in enumerate(self.to_list()):
            padded[where, : len(sequence)] = sequence
        return padded

    def sorted_rows(self, rows: Tensor) -> Tensor:
        """(sequences, ...) from the caller's order to the packed order."""
        return rows[self.order.to(rows.device)]

    def caller_rows(self, rows: Tensor) -> Tensor:
        """(sequences, ...) from the packed order back to the caller's."""
        return rows[torch.argsort(self.order).to(rows.device)]

    def to_torch(self) -> PackedSequence:
        """As torch's PackedSequence, which does not allow sequences of length 0."""
        if self.lengths and self.lengths[-1] == 0:
            raise UsageError("torch's PackedSequence cannot hold a sequence of length 0; remove those first")
        sizes = torch.tensor(self.batch_sizes, dtype=torch.long)
        order = self.order.to(self.data.device)
        return PackedSequence(self.data, sizes, order, torch.argsort(order))

    @classmethod
    def from_torch(cls, packed: PackedSequence) -> Packed:
        """From torch's PackedSequence."""
        sizes = packed.batch_sizes.tolist()
        batch = sizes[0]
        lengths = [sum(size > i for size in sizes) for i in range(batch)]
        order = torch.arange(batch) if packed.sorted_indices is None else packed.sorted_indices.cpu()
        return cls(packed.data, sizes, lengths, order)
