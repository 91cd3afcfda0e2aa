"""Counts that add up: how many of how many, and the precision, recall and F1 that follow.

A share of an empty total is None, never 0 and never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass


def share(part: int, whole: int) -> float | None:
    """part / whole, or None when whole is 0."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`correct` of `total`."""

    correct: int = 0
    total: int = 0

    @property
    def value(self) -> float | None:
        return share(self.correct, self.total)

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(self.correct + other.correct, self.total + other.total)

    def to_json(self) -> dict[str, float | int | None]:
        return {"accuracy": self.value, "correct": self.correct, "total": self.total}


@dataclass(frozen=True, slots=True)
class Matches:
    """`correct` items that are both among the `predicted` and among the `gold` ones."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    @property
    def precision(self) -> float | None:
        """None when nothing was predicted."""
        return share(self.correct, self.predicted)

    @property
    def recall(self) -> float | None:
        """None when there was nothing to find."""
        return share(self.correct, self.gold)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; 0 when one of them is undefined, None when both are."""
        return share(2 * self.correct, self.predicted + self.gold)

    def __add__(self, other: Matches) -> Matches:
        return Matches(self.correct + other.correct, self.predicted + other.predicted, self.gold + other.gold)

    def to_json(self) -> dict[str, float | int | None]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "correct": self.correct,
            "predicted": self.predicted,
            "gold": self.gold,
        }
