"""Intervals and paired tests: against the enumeration of all cases, and against normal theory on a big sample."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from elman.errors import UsageError
from elman.metrics.significance import bootstrap_interval, paired_test, perplexity, ratio


def f1(sums: Any) -> Any:
    """2 correct / (predicted + gold) of (correct, predicted, gold)."""
    return 2 * sums[:, 0] / (sums[:, 1] + sums[:, 2])


RANDOM = np.random.default_rng(0)
NATS = np.stack([RANDOM.gamma(4, 10, 8), RANDOM.integers(5, 20, 8)], 1)
FOUND = np.stack([RANDOM.integers(0, 3, 8), RANDOM.integers(3, 6, 8), RANDOM.integers(3, 6, 8)], 1)
CASES = {
    "perplexity": (NATS, NATS * [1.1, 1] + RANDOM.normal(0, 2, (8, 1)) * [1, 0], perplexity),
    "f1": (FOUND, FOUND + RANDOM.integers(0, 2, (8, 3)) * [1, 1, 0], f1),
    "accuracy": ([[x, 1] for x in (1, 1, 0, 0, 1, 0, 0, 0)], [[x, 1] for x in (1, 1, 1, 0, 1, 1, 0, 1)], ratio),
    "equal": (NATS, NATS, perplexity),
}


@pytest.mark.parametrize("name", CASES)
def test_all_exchanges_of_eight_examples(name: str) -> None:
    a, b, score = CASES[name]
    a, b = np.asarray(a, float), np.asarray(b, float)
    gaps = []
    for flips in itertools.product([False, True], repeat=8):
        left = np.array([y if flip else x for x, y, flip in zip(a, b, flips, strict=True)])
        right = np.array([x if flip else y for x, y, flip in zip(a, b, flips, strict=True)])
        gaps.append(abs(float(score(left.sum(0)[None])[0] - score(right.sum(0)[None])[0])))
    exact = np.mean(np.array(gaps) >= gaps[0] - 1e-9)
    samples = 40_000
    found = paired_test(a, b, score, samples=samples, seed=3)
    assert abs(found.p - exact) <= 4 * math.sqrt(exact * (1 - exact) / samples) + 1 / samples
    assert found.a == pytest.approx(score(a.sum(0)[None])[0]) and found.b == pytest.approx(score(b.sum(0)[None])[0])
    assert found.difference == found.b - found.a == found.to_json()["difference"]
    assert paired_test(b, a, score, samples=samples, seed=4).p == pytest.approx(exact, abs=0.02)


def test_all_draws_of_four_examples() -> None:
    """The percentiles of 4^4 equally likely draws, as a step function: the share of draws at or below each end."""
    rows = np.array([[1.0, 2], [2, 3], [5, 4], [0, 7]])
    every = [ratio(rows[list(draw)].sum(0)[None])[0] for draw in itertools.product(range(4), repeat=4)]
    found = bootstrap_interval(rows, ratio, samples=40_000, seed=2)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        assert np.mean(np.array(every) < end - 1e-9) - 0.005 <= share <= np.mean(np.array(every) <= end + 1e-9) + 0.005
    assert found.value == 8 / 16 and found.undefined == 0


def test_a_big_sample_is_normal() -> None:
    size, samples = 4000, 4000
    random = np.random.default_rng(5)
    right_a = random.random(size) < 0.80
    right_b = np.where(random.random(size) < 0.1, random.random(size) < 0.95, right_a)
    a, b = (np.stack([right, np.ones(size)], 1) for right in (right_a, right_b))
    interval = bootstrap_interval(a, ratio, samples=samples)
    half = 1.96 * math.sqrt(right_a.mean() * (1 - right_a.mean()) / size)
    # The standard error of a 2.5 % quantile of a normal is 2.67 standard deviations over the root of the samples.
    slack = 4 * 2.67 * half / 1.96 / math.sqrt(samples) + 1 / size
    assert abs(interval.low - (right_a.mean() - half)) < slack
    assert abs(interval.high - (right_a.mean() + half)) < slack
    for moved in (0, 30):
        other = b.copy()
        other[: len(other) // 2, 0] = a[: len(other) // 2, 0]
        other[np.flatnonzero(right_a)[:moved], 0] = 0
        change = other[:, 0] - a[:, 0]
        # With the continuity correction: differences of counts come in steps of two when signs are exchanged.
        z = max(0.0, abs(change.sum()) - 1) / math.sqrt((change**2).sum())
        expected = math.erfc(z / math.sqrt(2))
        p = paired_test(a, other, ratio, samples=samples).p
        assert abs(p - expected) < 4 * math.sqrt(expected * (1 - expected) / samples) + 0.01


def test_the_smallest_p_and_repeatability() -> None:
    zeros, ones = np.zeros(50), np.ones(50)
    first = paired_test(zeros, ones, lambda sums: sums[:, 0] / 50, samples=99)
    assert first.p == 1 / 100 and (first.a, first.b) == (0, 1)
    values = np.random.default_rng(1).random((30, 2))
    assert bootstrap_interval(values, ratio) == bootstrap_interval(values, ratio)
    assert bootstrap_interval(values, ratio) != bootstrap_interval(values, ratio, seed=2)
    assert paired_test(values, values[::-1], ratio) == paired_test(values, values[::-1], ratio)
    narrow, wide = (bootstrap_interval(values, ratio, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high and wide.to_json()["level"] == 0.99


def test_chunks_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of samples is kept when not all of them fit at once."""
    calls: list[int] = []

    def score(sums: Any) -> Any:
        calls.append(len(sums))
        return ratio(sums)

    monkeypatch.setattr("elman.metrics.significance.AT_ONCE", 100)
    values = np.random.default_rng(1).random((30, 2))
    interval = bootstrap_interval(values, score, samples=10)
    assert calls == [1, 3, 3, 3, 1] and interval.samples == 10
    calls.clear()
    assert paired_test(values, values, score, samples=10).p == 1
    assert calls == [1, 1, 3, 3, 3, 3, 3, 3, 1, 1]


def test_samples_without_a_score() -> None:
    """One example of ten has something to find: a draw misses it with probability 0.9^10."""
    rows = np.array([[1.0, 1]] + [[0, 0]] * 9)
    found = bootstrap_interval(rows, ratio, samples=10_000)
    chance = 0.9**10
    assert abs(found.undefined / 10_000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 10_000)
    assert (found.low, found.high) == (1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: bootstrap_interval([], ratio),
        lambda: bootstrap_interval([[0, 0]], ratio),
        lambda: bootstrap_interval([[1, math.nan]], ratio),
        lambda: bootstrap_interval([[1, 1]], ratio, samples=0),
        lambda: bootstrap_interval([[1, 1]], ratio, level=1),
        lambda: bootstrap_interval([[1, 1]], lambda sums: sums),
        lambda: paired_test([[1, 1]], [[1, 1], [1, 1]], ratio),
        lambda: paired_test([[1, 1]], [[1, 1]], ratio, samples=0),
        lambda: paired_test([[1, 1]], [[0, 0]], ratio),
    ],
)
def test_wrong_calls(wrong: Any) -> None:
    with pytest.raises(UsageError):
        wrong()


def test_equal_differences_are_equal_whatever_their_rounding() -> None:
    """Only one example differs, so that each exchange gives the same difference, one way or the other."""
    for seed in range(20):
        a = np.random.default_rng(seed).random(10)
        b = a.copy()
        b[3] += 0.1
        assert paired_test(a, b, lambda sums: sums[:, 0] / 10, samples=50).p == 1
