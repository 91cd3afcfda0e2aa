"""Alignment against all ways to cut a pair, counted one by one."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.tasks.seq2seq.rivals.alignment import Aligner, steps

PAIRS = [
    ("phone", "fon"),
    ("fax", "faks"),
    ("", "o"),
    ("xx", ""),
    ("", ""),
    ("νους", "nus"),
    ("中文", "zhong"),
    ("axe", "aks"),
    ("fax", "faks"),
]
SIZES = [steps(1), steps(2), [(1, 0), (1, 1), (1, 2), (2, 1)], [*steps(2), (2, 2)]]


def ways(source, target, sizes):
    """All sequences of chunks that spell both."""
    if not source and not target:
        yield ()
    for a, b in sizes:
        if a <= len(source) and b <= len(target):
            for rest in ways(source[a:], target[b:], sizes):
                yield ((tuple(source[:a]), tuple(target[:b])), *rest)


def chance(way, p):
    return math.prod(p.get(chunk, 0.0) for chunk in way)


class Slow:
    """EM by counting."""

    def __init__(self, pairs, sizes):
        self.ways = [list(ways(source, target, sizes)) for source, target in pairs]
        chunks = {
            (tuple(source[i : i + a]), tuple(target[j : j + b]))
            for source, target in pairs
            for a, b in sizes
            for i in range(len(source) - a + 1)
            for j in range(len(target) - b + 1)
        }
        self.p = dict.fromkeys(chunks, 1 / max(len(chunks), 1))

    def totals(self):
        return [sum(chance(way, self.p) for way in all_ways) for all_ways in self.ways]

    def step(self):
        counts = Counter()
        for all_ways, total in zip(self.ways, self.totals(), strict=True):
            for way in all_ways:
                for chunk in way:
                    counts[chunk] += chance(way, self.p) / total
        self.p = {chunk: count / counts.total() for chunk, count in counts.items()}


@pytest.mark.parametrize("sizes", SIZES)
def test_posteriors_and_best_ways_are_those_of_all_ways(sizes):
    slow = Slow(PAIRS, sizes)
    fast = Aligner(*zip(*PAIRS, strict=True), sizes)
    for _ in range(4):
        totals = slow.totals()
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(fast.log_likelihoods(), np.log(totals), rtol=1e-12)
        expected = sum(math.log(total) for total in totals if total)
        assert fast.train(1) == [pytest.approx(expected, rel=1e-12)]
        slow.step()
    for (source, target), all_ways, found in zip(PAIRS, slow.ways, fast.best(), strict=True):
        best = max((weighted(way, slow.p) for way in all_ways), default=None)
        if best is None or best == -math.inf:
            assert found == []
        else:
            assert weighted(found, slow.p) == pytest.approx(best, rel=1e-12)
            assert tuple(x for before, _ in found for x in before) == tuple(source)
            assert tuple(x for _, after in found for x in after) == tuple(target)


def weighted(way, p):
    """log p of each chunk, times the symbols of its longer side."""
    return sum(
        max(len(before), len(after)) * (math.log(p[before, after]) if p.get((before, after)) else -math.inf)
        for before, after in way
    )


def test_what_cannot_be_aligned_changes_nothing():
    sizes = [(1, 1), (1, 2)]
    alone, both = Aligner(["ab"], ["xyz"], sizes), Aligner(["ab", "a"], ["xyz", "xxx"], sizes)
    assert alone.train(3)[1:] == pytest.approx(both.train(3)[1:])
    assert both.log_likelihoods()[1] == -math.inf
    assert both.best()[1] == []


texts = st.lists(st.tuples(st.text("ab", max_size=4), st.text("xyz", max_size=4)), min_size=1, max_size=8)


@settings(max_examples=40)
@given(texts, st.sampled_from(SIZES[:2]))
def test_likelihood_never_falls(pairs, sizes):
    history = Aligner(*zip(*pairs, strict=True), sizes).train(5)
    assert all(after >= before - 1e-9 for before, after in pairwise(history))


def test_steps():
    assert set(steps(2)) == {(0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (1, 2), (2, 1)}
