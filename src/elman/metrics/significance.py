"""How far a score can be trusted: an interval around it, and whether the scores of two models differ.

Both take statistics per example, (examples, k) numbers, and `score`, which turns sums over examples into a score, for
many samples at once: (samples, k) in, (samples,) out. `ratio` of [[right, 1], ...] is the accuracy, `perplexity` of
[[nats, tokens], ...] the perplexity; scores of F1 are in `classification`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import UsageError

Sums = NDArray[np.float64]
Score = Callable[[Sums], NDArray[np.float64]]
AT_ONCE = 1 << 22  # random numbers that are held at once
# Scores that differ only by the order of their additions count as equal.
EQUAL = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and where it would be for other test sets of the same kind, with probability `level`.

    `undefined` samples had no score (a share of an empty total) and are left out.
    """

    value: float
    low: float
    high: float
    level: float
    samples: int
    undefined: int
    seed: int

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two scores on the same examples; `p` is the chance of a difference at least as large if the models are equal."""

    a: float
    b: float
    p: float
    samples: int
    seed: int

    @property
    def difference(self) -> float:
        """b - a."""
        return self.b - self.a

    def to_json(self) -> dict[str, float | int]:
        return {**asdict(self), "difference": self.difference}


def ratio(sums: Sums) -> NDArray[np.float64]:
    """The first sum over the second, NaN for 0 of 0. sums: (samples, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        answer: NDArray[np.float64] = sums[:, 0] / sums[:, 1]
    return answer


def perplexity(sums: Sums) -> NDArray[np.float64]:
    """exp of nats over tokens. sums: (samples, 2)."""
    with np.errstate(over="ignore"):
        return np.exp(ratio(sums))


def bootstrap_interval(
    statistics: ArrayLike, score: Score, samples: int = 1000, seed: int = 1, level: float = 0.95
) -> Interval:
    """The percentile interval over `samples` draws of the examples with replacement (Efron 1979).

    statistics: (examples, k), or (examples,) for k = 1. Raises UsageError where there is no example, or no score.
    """
    rows = _rows(statistics)
    if samples < 1 or not 0 < level < 1:
        raise UsageError(f"expected at least one sample and a level between 0 and 1, found {samples} and {level}")
    value = _one(score, rows.sum(0))
    random, drawn = np.random.default_rng(seed), []
    for count in _parts(samples, len(rows)):
        picks = random.integers(len(rows), size=(count, len(rows)))
        picks += np.arange(count)[:, None] * len(rows)
        times = np.bincount(picks.ravel(), minlength=count * len(rows)).reshape(count, len(rows))
        drawn.append(score(times.astype(np.float64) @ rows))
    scores = np.concatenate(drawn)
    known = scores[~np.isnan(scores)]
    if not len(known):
        raise UsageError("expected samples that have a score, found none; the test set is too small")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, samples, samples - len(known), seed)


def paired_test(a: ArrayLike, b: ArrayLike, score: Score, samples: int = 10_000, seed: int = 1) -> PairedTest:
    """Approximate randomisation (Noreen 1989): how often exchanging the models' answers, each with probability 1/2,
    gives a difference at least as large, either way; p = (k + 1) / (samples + 1).

    a, b: (examples, k), or (examples,) for k = 1, of the same examples in the same order. A sample without a score
    counts as a large difference. Raises UsageError for shapes that differ, no examples, or no score.
    """
    first, second = _rows(a), _rows(b)
    if first.shape != second.shape:
        raise UsageError(f"expected statistics of the same examples, found {first.shape} and {second.shape} numbers")
    if samples < 1:
        raise UsageError(f"expected at least one sample, found {samples}")
    sums_a, sums_b, change = first.sum(0), second.sum(0), second - first
    value_a, value_b = _one(score, sums_a), _one(score, sums_b)
    least = abs(value_b - value_a) - EQUAL * max(abs(value_a), abs(value_b))
    random, large = np.random.default_rng(seed), 0
    for count in _parts(samples, len(change)):
        moved = random.integers(2, size=(count, len(change)), dtype=np.int8).astype(np.float64) @ change
        gaps = np.abs(score(sums_b - moved) - score(sums_a + moved))
        large += int(count - (gaps < least).sum())  # NaN is not smaller than anything
    return PairedTest(value_a, value_b, (large + 1) / (samples + 1), samples, seed)


def _rows(statistics: ArrayLike) -> Sums:
    rows: NDArray[Any] = np.asarray(statistics, dtype=np.float64)
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or not rows.size:
        raise UsageError(f"expected a row of statistics for each example, found the shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise UsageError("expected finite statistics, found an infinity or NaN")
    return rows


def _one(score: Score, sums: Sums) -> float:
    answer = np.asarray(score(sums[None]))
    if answer.shape != (1,):
        raise UsageError(f"expected a score of the shape (samples,) from (samples, k), found the shape {answer.shape}")
    if not np.isfinite(answer[0]):
        raise UsageError(f"expected a score, found {answer[0]}: it is not defined for this test set")
    return float(answer[0])


def _parts(samples: int, examples: int) -> Iterator[int]:
    """How many samples to draw at a time."""
    most = max(1, AT_ONCE // examples)
    while samples > 0:
        yield min(most, samples)
        samples -= most
