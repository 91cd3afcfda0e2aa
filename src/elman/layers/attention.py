"""Attention on a ragged memory: the outputs of an encoder, read row by row by a decoder. No padding, no masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn


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

    order:  (rows,) the rows, those of one source together, sources in order; None: they are in this order
    blocks: (first row, last, first position, last) in that order: the rows and the positions of one source
    """

    memory: Memory
    which: Tensor
    order: Tensor | None
    blocks: list[tuple[int, int, int, int]]

    @classmethod
    def of(cls, memory: Memory, which: Tensor) -> Reading:
        """which: (rows,) the source that each row reads."""
        n = len(memory.starts) - 1
        counts = torch.bincount(which, minlength=n).tolist() if len(which) else [0] * n
        order = None if bool((which.diff() >= 0).all()) else torch.argsort(which, stable=True)
        blocks, first = [], 0
        for i, count in enumerate(counts):
            if count:
                blocks.append((first, first + count, memory.starts[i], memory.starts[i + 1]))
            first += count
        return cls(memory, which, order, blocks)

    @property
    def pairs(self) -> int:
        """The number of pairs of a row and a position."""
        return sum((b - a) * (d - c) for a, b, c, d in self.blocks)

    @cached_property
    def _sorted(self) -> Tensor:
        return self.which if self.order is None else self.which[self.order]

    @cached_property
    def counts(self) -> Tensor:
        """(rows,) the positions that each row reads, in `order`."""
        return self.memory.lengths[self._sorted]

    @cached_property
    def row(self) -> Tensor:
        """(pairs,) the row of each pair: row after row in `order`, all positions of each."""
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

    def in_order(self, rows: Tensor) -> Tensor:
        """Rows in `order`."""
        return rows if self.order is None else rows[self.order]

    def back(self, rows: Tensor) -> Tensor:
        """From `order` to the order of the caller."""
        if self.order is None:
            return rows
        result = torch.empty_like(rows)
        result[self.order] = rows
        return result

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
    result: Tensor = _Scores.apply(queries, keys, reading)
    return result


def attend(queries: Tensor, keys: Tensor, values: Tensor, reading: Reading) -> tuple[Tensor, Tensor]:
    """What each row reads: sum_j a_j values_j with a = softmax_j(query keys_j) over the positions of its source.

    queries (rows, dim), keys (positions, dim), values (positions, width) -> context (rows, width), weights (pairs,).
    A row whose source is empty reads zeros. Luong, Pham and Manning 2015, section 3.1."""
    weights: Tensor = _Weights.apply(queries, keys, reading)
    return mix(weights, values, reading), weights


def mix(weights: Tensor, values: Tensor, reading: Reading) -> Tensor:
    """(rows, width) sum_j weights_j values_j: weights (pairs,), values (positions, width)."""
    result: Tensor = _Mix.apply(weights, values, reading)
    return result


# One product per source: on a CPU that is as fast as products of padded batches, and nothing is padded.


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, reading: Reading) -> Tensor:
        q = reading.in_order(queries)
        ctx.save_for_backward(q, keys)
        ctx.reading = reading
        return _products(q, keys, reading)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        q, keys = ctx.saved_tensors
        return *_product_gradients(upstream, q, keys, ctx.reading, ctx.needs_input_grad), None


class _Weights(torch.autograd.Function):
    """softmax of `_Scores`."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, reading: Reading) -> Tensor:
        q = reading.in_order(queries)
        weights = _products(q, keys, reading)
        for block in _blocks(weights, reading):
            torch.softmax(block, -1, out=block)
        ctx.save_for_backward(q, keys, weights)
        ctx.reading = reading
        return weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        q, keys, weights = ctx.saved_tensors
        d = upstream * weights
        for block, w in zip(_blocks(d, ctx.reading), _blocks(weights, ctx.reading), strict=True):
            block.addcmul_(w, block.sum(-1, keepdim=True), value=-1)
        return *_product_gradients(d, q, keys, ctx.reading, ctx.needs_input_grad), None


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, reading: Reading) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.reading = reading
        result = values.new_zeros(len(reading.which), values.shape[1])
        for (a, b, c, d), block in zip(reading.blocks, _blocks(weights, reading), strict=True):
            torch.mm(block, values[c:d], out=result[a:b])
        return reading.back(result)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        weights, values = ctx.saved_tensors
        reading, (need_weights, need_values, _) = ctx.reading, ctx.needs_input_grad
        g = reading.in_order(upstream)
        dweights = torch.empty_like(weights) if need_weights else None
        dvalues = torch.zeros_like(values) if need_values else None
        if dweights is not None:
            for (a, b, c, d), block in zip(reading.blocks, _blocks(dweights, reading), strict=True):
                torch.mm(g[a:b], values[c:d].t(), out=block)
        if dvalues is not None:
            for (a, b, c, d), block in zip(reading.blocks, _blocks(weights, reading), strict=True):
                torch.mm(block.t(), g[a:b], out=dvalues[c:d])
        return dweights, dvalues, None


def _blocks(flat: Tensor, reading: Reading) -> list[Tensor]:
    """(rows, positions) of each source, as views of (pairs,)."""
    sizes = [(b - a) * (d - c) for a, b, c, d in reading.blocks]
    return [piece.view(b - a, d - c) for piece, (a, b, c, d) in zip(flat.split(sizes), reading.blocks, strict=True)]


def _products(q: Tensor, keys: Tensor, reading: Reading) -> Tensor:
    flat = q.new_empty(reading.pairs)
    for (a, b, c, d), block in zip(reading.blocks, _blocks(flat, reading), strict=True):
        torch.mm(q[a:b], keys[c:d].t(), out=block)
    return flat


def _product_gradients(
    d: Tensor, q: Tensor, keys: Tensor, reading: Reading, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    dq = torch.zeros_like(q) if needs[0] else None
    dkeys = torch.zeros_like(keys) if needs[1] else None
    for (a, b, c, e), block in zip(reading.blocks, _blocks(d.contiguous(), reading), strict=True):
        if dq is not None:
            torch.mm(block, keys[c:e], out=dq[a:b])
        if dkeys is not None:
            torch.mm(block.t(), q[a:b], out=dkeys[c:e])
    return None if dq is None else reading.back(dq), dkeys


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


def monotonic_steps(dense: Tensor) -> Tensor:
    """(..., from, to) log-probabilities of moving on: scores (..., positions) of where to go, normalised over the
    positions that are not before the one left, minus infinity elsewhere. Wu and Cotterell 2019, section 4."""
    size = dense.shape[-1]
    back = torch.ones(size, size, dtype=torch.bool, device=dense.device).tril(-1)
    return dense.unsqueeze(-2).expand(*dense.shape, size).masked_fill(back, -torch.inf).log_softmax(-1)
