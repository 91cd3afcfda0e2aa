"""Rows that belong to words, computed once while the weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

ROOM = 64 << 20  # bytes: some 10,000 words of the default tagger


class Remembered:
    """Tables of rows for words, filled as words come. When they are full, the words seen longest ago are forgotten.

    compute: distinct words -> tables (words, ...), whose rows depend on nothing but their word
    room:    bytes of the tables
    """

    def __init__(self, compute: Callable[[list[str]], tuple[Tensor, ...]], room: int = ROOM) -> None:
        self._compute, self._room = compute, room
        self._tables: tuple[Tensor, ...] = ()
        self._place: dict[str, int] = {}  # word -> its row
        self._read = np.zeros(0, np.int64)  # row -> the last call that read it
        self._calls = 0

    def rows(self, words: Sequence[str]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(words,) indices into tables, and these, which hold until the next call."""
        self._calls += 1
        places = list(map(self._place.get, words))
        if None in places:
            self._read[[place for place in places if place is not None]] = self._calls
            new = list(dict.fromkeys(word for word, place in zip(words, places, strict=True) if place is None))
            computed = self._compute(new)
            if not self._make_room(len(new), computed):
                every = list(dict.fromkeys(words))
                place = {word: i for i, word in enumerate(every)}
                return torch.tensor([place[word] for word in words]), self._compute(every)
            first = len(self._place)
            for table, rows in zip(self._tables, computed, strict=True):
                table[first : first + len(new)] = rows
            self._place.update((word, first + i) for i, word in enumerate(new))
            places = [self._place[word] for word in words]
        index = torch.tensor(places, dtype=torch.long)
        self._read[index.numpy()] = self._calls
        return index, self._tables

    def _make_room(self, count: int, like: tuple[Tensor, ...]) -> bool:
        """Have free rows for so many words; False if one call's words are too many."""
        capacity = self._room // sum(table[:1].nbytes for table in like)
        size, known = len(self._read), len(self._place)
        if known + count <= capacity:
            if known + count > size:
                self._grow(min(capacity, max(known + count, 2 * size)), like)
            return True
        read = self._read[:known]
        keep = min(capacity - count, capacity * 3 // 4)  # a quarter at once, so that this happens rarely
        if (read == self._calls).sum() > keep:
            return False
        kept = np.sort(np.argsort(-read, kind="stable")[:keep])
        for table in self._tables:
            table[:keep] = table[torch.from_numpy(kept)]
        self._read[:keep] = read[kept]
        words = list(self._place)
        self._place = {words[i]: place for place, i in enumerate(kept.tolist())}
        if len(self._read) < capacity:
            self._grow(capacity, like)
        return True

    def _grow(self, size: int, like: tuple[Tensor, ...]) -> None:
        """Tables of so many rows, with those that are known."""
        known = len(self._place)
        grown = tuple(table.new_empty(size, *table.shape[1:]) for table in like)
        for new, old in zip(grown, self._tables, strict=False):
            new[:known] = old[:known]
        read = np.zeros(size, np.int64)
        read[:known] = self._read[:known]
        self._tables, self._read = grown, read
