"""Beam search over joint chunks: the targets of sequences of chunks whose source sides spell a source."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.tasks.language_model.rivals.arpa import BEGIN, END
from elman.tasks.language_model.rivals.kneser_ney import Floats, Ints, find
from elman.tasks.language_model.rivals.ngram import NGram
from elman.tasks.seq2seq.rivals.alignment import Chunk

TOGETHER = 256  # sources searched at once
FACTOR = 0x9E3779B97F4A7C15  # odd, so that multiplying by it modulo 2^64 loses nothing
RANGE = 1 << 64


class Reading(NamedTuple):
    """What is spelled: the symbols of a source; the first few of them are features."""

    symbols: Sequence[str]
    features: int


class Spelling(NamedTuple):
    """A target. log_probability: natural, of source and target, with the end; chunks: of the best way to it."""

    log_probability: float
    chunks: list[Chunk]

    @property
    def target(self) -> tuple[str, ...]:
        return tuple(symbol for _, piece in self.chunks for symbol in piece)


class Hypotheses(NamedTuple):
    """Ways to spell the beginning of a source, one per row.

    source:  the place of the source in its block
    state:   (rows, order - 1 or 1) its last 1, 2, ... chunks as rows of the n-gram tables, -1 for those not there
    target:  a hash of the symbols written so far, modulo 2^64
    score:   log p of the chunks, of all ways that were put together
    parent:  the number of what came before among all hypotheses that were kept
    chunk:   what was added to it
    """

    source: Ints
    state: Ints
    target: NDArray[np.uint64]
    score: Floats
    parent: Ints
    chunk: Ints

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Hypotheses:
        return Hypotheses._make(values[rows] for values in self)


class ChunkModel:
    """An n-gram model over chunks, as the search asks it. The word of a chunk is its number.

    copy: a source symbol as the target writes it"""

    def __init__(self, ngram: NGram, chunks: Sequence[Chunk], copy: Callable[[str], Sequence[str]]) -> None:
        tables, _ = ngram.to_tensors()
        orders = range(1, ngram.order + 1)
        self._size = len(ngram.vocabulary)
        self._keys: list[Ints] = [tables[f"keys.{k}"] for k in orders]
        self._logs: list[Floats] = [tables[f"log_probability.{k}"] for k in orders]
        # what row -1, an n-gram that is not there, is given: 0
        self._backoffs: list[Floats] = [np.append(tables[f"log_backoff.{k}"], 0.0) for k in orders[:-1]]
        self.begin, self.end = ngram.ids([BEGIN, END]).tolist()
        self.chunks = list(chunks)
        self.copy = copy
        self.words = ngram.ids([*map(str, range(len(chunks))), ""])  # the last one: of any chunk never seen
        self.of_piece: dict[tuple[str, ...], list[int]] = {}
        for number, (piece, _) in enumerate(chunks):
            self.of_piece.setdefault(piece, []).append(number)
        self.longest = max(map(len, self.of_piece), default=0)
        self.shifts, self.marks = hashes(self.chunks)

    @property
    def width(self) -> int:
        """Columns of `Hypotheses.state`."""
        return max(len(self._keys) - 1, 1)

    def after(self, state: Ints, rows: Ints, words: Ints) -> tuple[Floats, Ints]:
        """Words after rows of `state`: log p of each, and the state after it."""
        order = len(self._keys)
        # the backoffs of all known contexts of a length or more: what a word costs that is not known after them
        missing = np.zeros((order + 1, len(state)))
        for k in range(order - 1, 0, -1):
            missing[k] = missing[k + 1] + self._backoffs[k - 1][state[:, k - 1]]
        following = np.full((len(words), self.width), -1, np.int64)
        following[:, 0] = words
        logs = self._logs[0][words] + missing[1][rows]
        known = np.arange(len(words))  # those whose last k - 1 chunks are a known n-gram; its end is one, too
        for k in range(2, order + 1):
            found = find(self._keys[k - 1], state[rows[known], k - 2], words[known], self._size)
            known, found = known[found >= 0], found[found >= 0]
            logs[known] = self._logs[k - 1][found] + missing[k][rows[known]]
            if k < order:
                following[known, k - 1] = found
        return logs, following


def hashes(chunks: Sequence[Chunk]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """For each chunk (shift, mark): the hash h of a target becomes h * shift + mark when the chunk is written."""
    shifts, marks = [], []
    for _, piece in chunks:
        mark = 0
        for symbol in piece:
            mark = (mark * FACTOR + _hash(symbol)) % RANGE
        shifts.append(pow(FACTOR, len(piece), RANGE))
        marks.append(mark)
    return np.array(shifts, np.uint64), np.array(marks, np.uint64)


@cache
def _hash(symbol: str) -> int:
    return int.from_bytes(hashlib.blake2b(symbol.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def search(model: ChunkModel, sources: Sequence[Reading], beam: int, nbest: int, summed: bool) -> list[list[Spelling]]:
    """For each source the best targets, at most `nbest`, best first; at least one.

    beam:   hypotheses kept at each place of a source
    summed: the probability of a target is the sum over the ways to it that the beam holds; otherwise the largest

    A symbol that is no chunk by itself may be copied, as a chunk never seen; a feature is left out instead. Hypotheses
    with the same target so far and the same context are put together. With a beam that holds all of them, the result
    is exact."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i].symbols))
    result: list[list[Spelling]] = [[] for _ in sources]
    for start in range(0, len(order), TOGETHER):
        block = order[start : start + TOGETHER]
        for i, found in zip(block, _Search(model, [sources[i] for i in block], beam, summed).run(), strict=True):
            result[i] = found[:nbest]
    return result


class _Search:
    """Of some sources. All hypotheses at one place of any source are extended together."""

    def __init__(self, model: ChunkModel, sources: Sequence[Reading], beam: int, summed: bool) -> None:
        self._model, self._sources, self._beam, self._summed = model, sources, beam, summed
        self._lengths = np.array([len(source.symbols) for source in sources])
        self._unseen: list[Chunk] = []  # chunks that the model does not have; their numbers follow its own
        self._arcs = self._all_arcs()
        unseen = np.full(len(self._unseen), model.words[-1], np.int64)
        shifts, marks = hashes(self._unseen)
        self._words = np.concatenate([model.words[:-1], unseen])
        self._shifts, self._marks = np.concatenate([model.shifts, shifts]), np.concatenate([model.marks, marks])
        self._parents: list[Ints] = []  # of all hypotheses that were kept, by number; of the first ones -1
        self._chunks: list[Ints] = []
        self._count = 0

    def _all_arcs(self) -> list[tuple[Ints, Ints, Ints]]:
        """For each place: chunks that begin there, source after source; their lengths; and where each source's
        begin among them (sources + 1)."""
        longest = int(self._lengths.max())
        arcs = []
        copies: dict[Chunk, int] = {}
        for place in range(longest + 1):
            chunks: list[int] = []
            lengths: list[int] = []
            starts = [0]
            for symbols, features in self._sources:
                for length in range(1, min(self._model.longest, len(symbols) - place) + 1):
                    found = self._model.of_piece.get(tuple(symbols[place : place + length]), ())
                    chunks += found
                    lengths += [length] * len(found)
                if place < len(symbols) and (symbols[place],) not in self._model.of_piece:
                    piece = (symbols[place],)
                    copy = (piece, () if place < features else tuple(self._model.copy(symbols[place])))
                    chunks.append(copies.setdefault(copy, len(self._model.chunks) + len(copies)))
                    lengths.append(1)
                if not symbols and not place:
                    found = self._model.of_piece.get((), ())
                    chunks += found
                    lengths += [0] * len(found)
                starts.append(len(chunks))
            arcs.append((np.array(chunks, np.int64), np.array(lengths, np.int64), np.array(starts)))
        self._unseen = list(copies)
        return arcs

    def run(self) -> list[list[Spelling]]:
        """For each source all targets that the beam holds at its end, best first."""
        count = len(self._sources)
        state = np.full((count, self._model.width), -1, np.int64)
        state[:, 0] = self._model.begin
        nothing = np.full(count, -1, np.int64)
        begun = Hypotheses(np.arange(count), state, np.zeros(count, np.uint64), np.zeros(count), nothing, nothing)
        waiting: dict[int, list[Hypotheses]] = defaultdict(list, {0: [begun]})
        ended: list[tuple[Ints, Ints, Floats]] = []  # source, number and score of hypotheses that are complete
        for place, arcs in enumerate(self._arcs):
            here, numbers = self._kept(waiting.pop(place))
            ahead, lengths = self._extended(here, numbers, arcs)
            for length in np.unique(lengths).tolist():
                part = ahead.at(lengths == length)
                if length:
                    waiting[place + length].append(part)
                else:  # what an empty source may be written as, beside nothing
                    here, numbers = self._kept([here, part])
            done = self._lengths[here.source] == place
            here, numbers = here.at(done), numbers[done]
            logs, _ = self._model.after(here.state, np.arange(len(numbers)), np.full(len(numbers), self._model.end))
            ended.append((here.source, numbers, here.score + logs))
        return self._spelled(*map(np.concatenate, zip(*ended, strict=True)))

    def _kept(self, arrived: list[Hypotheses]) -> tuple[Hypotheses, Ints]:
        """Those that no other can be put together with, at most `beam` of each source; and their numbers."""
        some = _joined(arrived)
        known = (some.state >= 0).sum(1)  # the longest known context decides all that can follow
        context = known + (self._model.width + 1) * some.state[np.arange(len(known)), known - 1]
        some_order = np.lexsort((-some.score, context, some.target, some.source))
        some, context = some.at(some_order), context[some_order]
        same = (np.diff(some.source) == 0) & (np.diff(some.target) == 0) & (np.diff(context) == 0)
        first = np.flatnonzero(np.append(True, ~same))
        score = np.logaddexp.reduceat(some.score, first) if self._summed else some.score[first]
        some = some.at(first)._replace(score=score)
        some = some.at(np.lexsort((-some.score, some.source)))
        begins = np.searchsorted(some.source, some.source)
        some = some.at(np.arange(len(begins)) - begins < self._beam)
        numbers = self._count + np.arange(len(some.source))
        self._count += len(numbers)
        self._parents.append(some.parent)
        self._chunks.append(some.chunk)
        return some, numbers

    def _extended(self, some: Hypotheses, numbers: Ints, arcs: tuple[Ints, Ints, Ints]) -> tuple[Hypotheses, Ints]:
        """Hypotheses at one place with each chunk that begins there, and how far each chunk goes."""
        chunks, lengths, starts = arcs
        many = np.diff(starts)[some.source]
        rows = np.repeat(np.arange(len(many)), many)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(many) - many, many)
        arc = starts[some.source[rows]] + within
        chunk = chunks[arc]
        logs, state = self._model.after(some.state, rows, self._words[chunk])
        target = some.target[rows] * self._shifts[chunk] + self._marks[chunk]
        return Hypotheses(some.source[rows], state, target, some.score[rows] + logs, numbers[rows], chunk), lengths[arc]

    def _spelled(self, sources: Ints, numbers: Ints, scores: Floats) -> list[list[Spelling]]:
        parents, chunks = np.concatenate(self._parents).tolist(), np.concatenate(self._chunks).tolist()
        known = [*self._model.chunks, *self._unseen]
        best: list[dict[tuple[str, ...], Spelling]] = [{} for _ in self._sources]
        order = np.argsort(-scores, kind="stable")
        for source, number, score in zip(
            sources[order].tolist(), numbers[order].tolist(), scores[order].tolist(), strict=True
        ):
            way = []
            while parents[number] >= 0:
                way.append(known[chunks[number]])
                number = parents[number]
            spelling = Spelling(score, way[::-1])
            better = best[source].setdefault(spelling.target, spelling)
            if better is not spelling and self._summed:
                total = float(np.logaddexp(better.log_probability, score))
                best[source][spelling.target] = better._replace(log_probability=total)
        return [sorted(found.values(), key=lambda spelling: -spelling.log_probability) for found in best]


def _joined(parts: list[Hypotheses]) -> Hypotheses:
    return parts[0] if len(parts) == 1 else Hypotheses._make(map(np.concatenate, zip(*parts, strict=True)))
