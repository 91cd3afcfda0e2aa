"""Remembered rows are those that would be computed, whatever was forgotten."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from elman.layers.remembered import Remembered

ROW = 4 * (3 + 1)  # bytes of both tables


def compute(words: list[str]) -> tuple[Tensor, Tensor]:
    numbers = torch.tensor([float(word) for word in words])
    return numbers.unsqueeze(1) * torch.tensor([1.0, 2.0, 3.0]), -numbers


def require_rows(remembered: Remembered, words: list[str]) -> None:
    index, tables = remembered.rows(words)
    for table, expected in zip(tables, compute(words), strict=True):
        assert torch.equal(table[index], expected)


def test_rows_are_those_of_their_words_while_others_are_forgotten():
    source = random.Random(1)
    for room in (1, 7, 20):
        remembered = Remembered(compute, room * ROW)
        for _ in range(200):
            words = [str(min(int(source.expovariate(0.1)), 99)) for _ in range(source.randrange(1, 12))]
            require_rows(remembered, words)
        assert all(len(table) <= room for table in remembered._tables) and len(remembered._place) <= room


def test_a_word_is_computed_once_and_the_one_seen_longest_ago_is_forgotten_first():
    asked: list[str] = []

    def counted(words: list[str]) -> tuple[Tensor, ...]:
        asked.extend(words)
        return compute(words)

    remembered = Remembered(counted, 8 * ROW)
    for first in range(1, 50):
        require_rows(remembered, ["0", str(first), "0", str(first)])
    assert asked == [str(i) for i in range(50)], "0 was seen in every call, so it is never forgotten"
    asked.clear()
    require_rows(remembered, ["49", "48", "47", "1"])
    assert asked == ["1"]
