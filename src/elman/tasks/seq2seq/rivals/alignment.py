"""Alignment of two sequences by chunks: expectation maximization over all ways to cut both.

Bisani and Ney 2008, Joint-sequence models for grapheme-to-phoneme conversion, section 3, for a model of order one;
Jiampojamarn, Kondrak and Sherif 2007; Novak, Minematsu and Hirose 2012. A chunk is a piece of the source and the piece
of the target that goes with it, and

    p(source, target) = sum over all sequences of chunks that spell both of prod p(chunk)

Pairs of equal lengths are computed together; everything is float64 in log space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Step = tuple[int, int]  # symbols of the source, symbols of the target
Chunk = tuple[tuple[str, ...], tuple[str, ...]]


def steps(longest: int) -> list[Step]:
    """The sizes of chunks: up to `longest` symbols on one side and at most one on the other, not empty on both.

    More than one on both sides is left out: such a chunk is two smaller ones."""
    sizes = range(longest + 1)
    return [(a, b) for a in sizes for b in sizes if a + b > 0 and min(a, b) <= 1]


class _Group(NamedTuple):
    """Pairs of one shape. Arrays end in the axis of pairs.

    members:  (pairs,) their places in the data
    rows, columns: symbols of a source, of a target
    ids:      (entries, pairs) the chunk of each step that begins at each cell, step after step
    """

    members: Ints
    rows: int
    columns: int
    ids: NDArray[np.int32]


class Aligner:
    """The model of order one over chunks.

    log_probability: (chunks,) natural; at first uniform over all chunks that any pair could contain

    One number for each pair, cell and step is kept: 4 bytes x the sum over pairs of |source| |target| |steps|."""

    def __init__(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], sizes: Sequence[Step]):
        self._sources, self._targets = sources, targets
        self._steps = list(sizes)
        shapes: defaultdict[Step, list[int]] = defaultdict(list)
        for i, (source, target) in enumerate(zip(sources, targets, strict=True)):
            shapes[len(source), len(target)].append(i)
        before = _Pieces(sources, max(a for a, _ in sizes))
        after = _Pieces(targets, max(b for _, b in sizes))
        groups = []
        known = np.empty(0, np.int64)
        for (rows, columns), members in sorted(shapes.items()):
            keys = [
                before.of(members, a, rows)[:, None] * after.count + after.of(members, b, columns)[None]
                for a, b in self._steps
                if a <= rows and b <= columns
            ]
            flat = np.concatenate(
                [k.reshape(-1, len(members)) for k in keys] or [np.empty((0, len(members)), np.int64)]
            )
            own, inverse = np.unique(flat, return_inverse=True)
            known = np.union1d(known, own)
            groups.append((np.array(members), rows, columns, own, inverse.reshape(flat.shape).astype(np.int32)))
        self._groups = [
            _Group(members, rows, columns, np.searchsorted(known, own).astype(np.int32)[inverse])
            for members, rows, columns, own, inverse in groups
        ]
        with np.errstate(divide="ignore"):
            self.log_probability: Floats = np.full(len(known), -np.log(len(known)))

    def train(self, iterations: int) -> list[float]:
        """Expectation maximization; the log-likelihood of the data before each iteration, which never falls."""
        history = []
        for _ in range(iterations):
            counts = np.zeros(len(self.log_probability))
            total = 0.0
            for group in self._groups:
                total += self._expect(group, counts)
            history.append(total)
            with np.errstate(divide="ignore"):
                self.log_probability = np.log(counts) - np.log(counts.sum())
        return history

    def log_likelihoods(self) -> Floats:
        """(pairs,): log p(source, target); minus infinity where no sequence of chunks spells both."""
        result = np.empty(len(self._sources))
        for group in self._groups:
            result[group.members] = self._forward(group, self._weights(group))[-1, -1]
        return result

    def best(self) -> list[list[Chunk]]:
        """The best chunks of each pair (Viterbi); no chunk where nothing spells both.

        log p of a chunk counts as often as its longer side has symbols: by probability alone, few large chunks would
        win over many small ones, and an n-gram model over small ones knows more."""
        result: list[list[Chunk]] = [[] for _ in self._sources]
        for group in self._groups:
            ways = self._ways(group)
            for column, member in enumerate(group.members.tolist()):
                source, target = self._sources[member], self._targets[member]
                i, j = group.rows, group.columns
                chunks: list[Chunk] = []
                while (i or j) and (way := ways[i, j, column]) >= 0:
                    a, b = self._steps[way]
                    chunks.append((tuple(source[i - a : i]), tuple(target[j - b : j])))
                    i, j = i - a, j - b
                result[member] = chunks[::-1]
        return result

    def _weights(self, group: _Group) -> list[tuple[Step, Floats]]:
        """For each step that fits, (cells it can begin at by rows, by columns, pairs): log p of the chunk there."""
        weights = []
        place = 0
        for a, b in self._steps:
            height, width = group.rows - a + 1, group.columns - b + 1
            if height > 0 and width > 0:
                ids = group.ids[place : place + height * width].reshape(height, width, -1)
                weights.append(((a, b), self.log_probability[ids]))
                place += height * width
        return weights

    def _forward(self, group: _Group, weights: Sequence[tuple[Step, Floats]]) -> Floats:
        """(rows + 1, columns + 1, pairs): log p of all that is before a cell."""
        forward = np.full((group.rows + 1, group.columns + 1, len(group.members)), -np.inf)
        forward[0, 0] = 0
        for i in range(group.rows + 1):
            for j in range(group.columns + 1):
                into = [forward[i - a, j - b] + w[i - a, j - b] for (a, b), w in weights if a <= i and b <= j]
                if into:
                    forward[i, j] = _sum(into)
        return forward

    def _backward(self, group: _Group, weights: Sequence[tuple[Step, Floats]]) -> Floats:
        """The same shape: log p of all that is after a cell."""
        backward = np.full((group.rows + 1, group.columns + 1, len(group.members)), -np.inf)
        backward[-1, -1] = 0
        for i in range(group.rows, -1, -1):
            for j in range(group.columns, -1, -1):
                out = [
                    w[i, j] + backward[i + a, j + b]
                    for (a, b), w in weights
                    if i + a <= group.rows and j + b <= group.columns
                ]
                if out:
                    backward[i, j] = _sum(out)
        return backward

    def _expect(self, group: _Group, counts: Floats) -> float:
        """Add the expected count of every chunk to `counts`; log-likelihood of the pairs that have an alignment."""
        weights = self._weights(group)
        forward, backward = self._forward(group, weights), self._backward(group, weights)
        total = forward[-1, -1]
        possible = total > -np.inf
        place = 0
        for (a, b), weight in weights:
            height, width = weight.shape[:2]
            logs = forward[:height, :width] + weight + backward[a:, b:] - np.where(possible, total, 0.0)
            ids = group.ids[place : place + height * width]
            counts += np.bincount(ids.ravel(), np.exp(logs).ravel(), len(counts))
            place += height * width
        return float(total[possible].sum())

    def _ways(self, group: _Group) -> NDArray[np.int8]:
        """(rows + 1, columns + 1, pairs): the step that the best way into a cell ends with, -1 without one."""
        weights = [((a, b), max(a, b) * weight) for (a, b), weight in self._weights(group)]
        numbers = np.array([self._steps.index(step) for step, _ in weights], np.int8)
        shape = (group.rows + 1, group.columns + 1, len(group.members))
        best = np.full(shape, -np.inf)
        best[0, 0] = 0
        ways = np.full(shape, -1, np.int8)
        for i in range(group.rows + 1):
            for j in range(group.columns + 1):
                fits = [k for k, ((a, b), _) in enumerate(weights) if a <= i and b <= j]
                if fits:
                    into = np.stack(
                        [
                            best[i - weights[k][0][0], j - weights[k][0][1]]
                            + weights[k][1][i - weights[k][0][0], j - weights[k][0][1]]
                            for k in fits
                        ]
                    )
                    chosen = into.argmax(0)
                    best[i, j] = np.take_along_axis(into, chosen[None], 0)[0]
                    ways[i, j] = np.where(best[i, j] > -np.inf, numbers[fits][chosen], -1)
        return ways


class _Pieces:
    """Every run of up to `longest` symbols in some sequences, as a number; the empty run is 0.

    count: of different runs, and of runs across two sequences, which nothing asks for"""

    def __init__(self, sequences: Sequence[Sequence[str]], longest: int) -> None:
        index: dict[str, int] = {}
        flat = np.array([index.setdefault(s, len(index)) for sequence in sequences for s in sequence], np.int64)
        lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        self._starts = np.cumsum(lengths) - lengths
        self._of_length: list[Ints] = [np.zeros(len(flat) + 1, np.int64)]
        self.count = 1
        runs = np.zeros(len(flat) + 1, np.int64)
        for length in range(1, longest + 1):
            if length > len(flat):
                break
            runs = runs[: len(flat) - length + 1] * len(index) + flat[length - 1 :]
            different, runs = np.unique(runs, return_inverse=True)
            self._of_length.append(runs + self.count)
            self.count += len(different)

    def of(self, members: Sequence[int], length: int, size: int) -> Ints:
        """(places, pairs): the run of this length at each place of these sequences, all of `size` symbols."""
        places = self._starts[members] + np.arange(size - length + 1)[:, None]
        return self._of_length[length][places]


def _sum(logs: Sequence[Floats]) -> Floats:
    """log of the sum of exponentials, elementwise; of nothing but minus infinity, that."""
    if len(logs) == 1:
        return logs[0]
    stacked = np.stack(logs)
    peak = stacked.max(0)
    stacked -= np.where(peak > -np.inf, peak, 0.0)
    np.exp(stacked, out=stacked)
    with np.errstate(divide="ignore"):
        result: Floats = peak + np.log(stacked.sum(0))
    return result
