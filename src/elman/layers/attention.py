"""Attention on a ragged memory: the outputs of an encoder, read row by row by a decoder. No padding, no masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from elman.recurrent.backend import library_for
from elman.recurrent.kernels import attention
from elman.recurrent.kernels.attention import Layout

# The score of what cannot be reached: exp of it is 0, and unlike minus infinity it leaves softmax and gradients finite.
FAR = -1e4


@dataclass(frozen=True)
class Memory:
    """The layout of n sources of any length, 0 too, one after the other.

    starts: n + 1 positions; source i is positions starts[i] to starts[i + 1]
    """

    starts: list[int]

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Memory:
        """From the length of each source."""
        starts = [0]
        for length in lengths:
            starts.append(starts[-1] + length)
        return cls(starts)

    @cached_property
    def lengths(self) -> Tensor:
        """(n,)"""
        return torch.tensor(self.starts, dtype=torch.long).diff()

    @cached_property
    def owner(self) -> Tensor:
        """(positions,) the source of each position."""
        return torch.arange(len(self.starts) - 1).repeat_interleave(self.lengths)

    @cached_property
    def place(self) -> Tensor:
        """(positions,) where each position is in its source, from 0."""
        return torch.arange(self.starts[-1]) - torch.tensor(self.starts[:-1], dtype=torch.long)[self.owner]


@dataclass(frozen=True)
class Reading:
    """Which rows read which source: what every row is paired with.

    which: (rows,) the source that each row reads
    order: (rows,) the rows, those of one source together, sources in order; None: they are in this order
    A pair is a row and a position of its source: row after row in `order`, all positions of each.
    """

    memory: Memory
    which: Tensor
    order: Tensor | None

    @classmethod
    def of(cls, memory: Memory, which: Tensor) -> Reading:
        """which: (rows,) the source that each row reads."""
        sorted_already = len(which) < 2 or bool((which[1:] >= which[:-1]).all())
        return cls(memory, which, None if sorted_already else torch.argsort(which, stable=True))

    @cached_property
    def layout(self) -> Layout:
        """The first row, position and pair of each source, and of what would be the next; and the order."""
        counts = torch.bincount(self.which, minlength=len(self.memory.starts) - 1)
        rows, pairs = (torch.cat([counts.new_zeros(1), n.cumsum(0)]) for n in (counts, counts * self.memory.lengths))
        return rows, torch.tensor(self.memory.starts, dtype=torch.long), pairs, self.order

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return int(self.layout[2][-1])

    @cached_property
    def _sorted(self) -> Tensor:
        return self.which if self.order is None else self.which[self.order]

    @cached_property
    def counts(self) -> Tensor:
        """(rows,) the positions that each row reads, in `order`."""
        return self.memory.lengths[self._sorted]

    @cached_property
    def row(self) -> Tensor:
        """(pairs,) the row of each pair."""
        rows = torch.arange(len(self.which)) if self.order is None else self.order
        return rows.repeat_interleave(self.counts)

    @cached_property
    def place(self) -> Tensor:
        """(pairs,) where the position of each pair is in its source."""
        ends = self.counts.cumsum(0)
        return torch.arange(int(ends[-1]) if len(ends) else 0) - (ends - self.counts).repeat_interleave(self.counts)

    @cached_property
    def position(self) -> Tensor:
        """(pairs,) the position of each pair in the memory."""
        starts = torch.tensor(self.memory.starts, dtype=torch.long)
        return self.place + starts[self._sorted].repeat_interleave(self.counts)

    def softmax(self, scores: Tensor) -> Tensor:
        """(pairs,) log-probabilities of the positions of each row, from their scores (pairs,)."""
        return scores - self.logsumexp(scores)[self.row]

    def logsumexp(self, values: Tensor) -> Tensor:
        """(rows, ...) the log of the sum of exp over the positions of each row: values (pairs, ...)."""
        shape = (len(self.which), *values.shape[1:])
        index = self.row.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
        with torch.no_grad():
            top = values.new_full(shape, -torch.inf).scatter_reduce(0, index, values, "amax")
            top = top.clamp(min=torch.finfo(values.dtype).min)  # rows without positions
        total = values.new_zeros(shape).index_add(0, self.row, (values - top[self.row]).exp())
        return total.log() + top

    def sums(self, values: Tensor) -> Tensor:
        """(rows, ...) the sum over the positions of each row: values (pairs, ...)."""
        return values.new_zeros(len(self.which), *values.shape[1:]).index_add(0, self.row, values)

    def dense(self, values: Tensor, fill: float) -> Tensor:
        """(rows, longest source) from (pairs,); `fill` beyond the end of a source."""
        width = int(self.memory.lengths.max()) if len(self.memory.starts) > 1 else 0
        table = values.new_full((len(self.which), width), fill)
        return table.index_put((self.row, self.place), values)


def scores(queries: Tensor, keys: Tensor, reading: Reading) -> Tensor:
    """(pairs,) the product of each row's query and each of its positions' keys.

    queries (rows, dim), keys (positions, dim)."""
    library = _library(queries, keys)
    if library is None:
        return (queries[reading.row] * keys[reading.position]).sum(-1)
    result: Tensor = _Attention.apply(library, reading, False, queries, keys, None, None)[1]
    return result


def attend(queries: Tensor, keys: Tensor, values: Tensor, reading: Reading) -> tuple[Tensor, Tensor]:
    """What each row reads: sum_j a_j values_j with a = softmax_j(query keys_j) over the positions of its source.

    queries (rows, dim), keys (positions, dim), values (positions, width) -> context (rows, width), weights (pairs,).
    A row whose source is empty reads zeros. Luong, Pham and Manning 2015, section 3.1."""
    library = _library(queries, keys, values)
    if library is None:
        weights = reading.softmax(scores(queries, keys, reading)).exp()
        return mix(weights, values, reading), weights
    context, weights = _Attention.apply(library, reading, True, queries, keys, values, None)
    return context, weights


def mix(weights: Tensor, values: Tensor, reading: Reading) -> Tensor:
    """(rows, width) sum_j weights_j values_j: weights (pairs,), values (positions, width)."""
    library = _library(weights, values)
    if library is None:
        return reading.sums(weights.unsqueeze(1) * values[reading.position])
    result: Tensor = _Attention.apply(library, reading, False, None, None, values, weights)[0]
    return result


def _library(*tensors: Tensor) -> Any:
    return library_for("attention", attention.library, tensors)


class _Attention(torch.autograd.Function):
    """(queries, keys | weights), values -> context, weights."""

    @staticmethod
    def forward(
        ctx: Any,
        library: Any,
        reading: Reading,
        softmax: bool,
        queries: Tensor | None,
        keys: Tensor | None,
        values: Tensor | None,
        weights: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        queries, keys, values = (None if t is None else t.contiguous() for t in (queries, keys, values))
        made = torch.empty(reading.pairs) if weights is None else weights.contiguous()
        context = attention.forward(library, reading.layout, queries, keys, values, made, softmax)
        ctx.library, ctx.reading, ctx.softmax = library, reading, softmax
        ctx.save_for_backward(queries, keys, values, made)
        return context, made if weights is None else None

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dcontext: Tensor | None, dweights: Tensor | None) -> Any:
        queries, keys, values, weights = ctx.saved_tensors
        dcontext, dweights = (None if g is None else g.contiguous() for g in (dcontext, dweights))
        wanted = ctx.needs_input_grad[3:6]
        layout = ctx.reading.layout
        *gradients, dpairs = attention.backward(
            ctx.library, layout, queries, keys, values, weights, ctx.softmax, dcontext, dweights, wanted
        )
        return None, None, None, *gradients, dpairs if ctx.needs_input_grad[6] else None


class Additive(nn.Module):
    """scores v tanh(query W + keys), for attention that a step's state decides on (Bahdanau, Cho and Bengio 2015).

    `keys` are computed once per memory; query (rows, query_size) -> scores (pairs,)."""

    def __init__(self, query_size: int, key_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size, bias=False)
        self.key = nn.Linear(key_size, size)
        self.v = nn.Parameter(torch.empty(size).uniform_(-(size**-0.5), size**-0.5))

    def forward(self, queries: Tensor, keys: Tensor, reading: Reading) -> Tensor:
        return torch.tanh(self.query(queries)[reading.row] + keys[reading.position]) @ self.v


def monotonic_steps(dense: Tensor, moves: Tensor, first: Tensor) -> Tensor:
    """(rows, from, to) log-probabilities of moving on: `from` is the start, then every position; `to` every position.

    dense (rows, positions): scores of where to go; moves (n,): of going 0, 1, ..., or n - 1 and more positions on.
    Their sum is normalised over the positions that are not before the one left, FAR or less elsewhere. The start is
    just before position first (rows,), and leads there or beyond. Wu and Cotterell 2019, section 4, whose transitions
    depend on the two positions in another way."""
    places = torch.arange(dense.shape[-1], device=dense.device)
    start = (places - first.unsqueeze(-1) + 1).unsqueeze(-2)
    start = start.masked_fill(start == 0, -1)
    between = places - places.unsqueeze(1)
    distance = torch.cat([start, between.expand(len(dense), *between.shape)], -2)
    moved = moves[distance.clamp(0, len(moves) - 1)].masked_fill(distance < 0, FAR)
    return (dense.unsqueeze(-2) + moved).log_softmax(-1)


def forward_algorithm(steps: Tensor, emissions: Tensor, batch_sizes: list[int]) -> Tensor:
    """(rows, positions) log p(position | symbols before) of every step.

    steps (rows, from, to), as `monotonic_steps` gives them, and emissions (rows, positions): log-probabilities, rows in
    packed order, longest first.
    Rabiner 1989, section III; normalised at each step, so that p(symbol | symbols before) is the sum of prior and
    emission."""
    priors: list[Tensor] = []
    alpha: Tensor | None = None  # log p(position | symbols so far)
    for step, emitted in zip(steps.split(batch_sizes), emissions.split(batch_sizes), strict=True):
        priors.append(step[:, 0] if alpha is None else (alpha[: len(step)].unsqueeze(-1) + step[:, 1:]).logsumexp(-2))
        alpha = (priors[-1] + emitted).log_softmax(-1)
    return torch.cat(priors) if priors else emissions
