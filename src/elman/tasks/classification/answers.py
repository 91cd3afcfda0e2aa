"""A model's answer for a text, and how such answers are scored: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from elman.metrics.classification import ClassificationScore
from elman.text.example import Example

THRESHOLD = 0.5  # with several labels, those above it are given


@dataclass(frozen=True)
class LabelPrediction:
    """A model's answer for one text.

    labels:        the one label; with several, those with a probability above one half, most probable first
    chances:       the probability of each of these
    probabilities: of every label the model has; None unless requested
    unknown:       the share of its tokens unknown to the model; None for an empty text, or if the model does not read
                   tokens
    """

    labels: list[str]
    chances: list[float]
    probabilities: dict[str, float] | None = None
    unknown: float | None = None

    @property
    def label(self) -> str | None:
        """The most probable of the labels given; None without one."""
        return self.labels[0] if self.labels else None


def chosen(names: Sequence[str], several: bool, row: Sequence[float]) -> list[int]:
    """The indices of the labels to give, by the probability of each. Of equal ones the first."""
    if not several:
        return [max(range(len(names)), key=lambda i: row[i])]
    return sorted((i for i in range(len(names)) if row[i] > THRESHOLD), key=lambda i: -row[i])


def prediction(
    names: Sequence[str], several: bool, row: Sequence[float], unknown: float | None, probabilities: bool
) -> LabelPrediction:
    """The answer, from the probability of each label. unknown: see there; probabilities: whether to give all."""
    places = chosen(names, several, row)
    every = dict(zip(names, row, strict=True)) if probabilities else None
    return LabelPrediction([names[i] for i in places], [row[i] for i in places], every, unknown)


def scored(
    names: Sequence[str], several: bool, examples: Sequence[Example], probabilities: Tensor
) -> ClassificationScore:
    """The score of probabilities (texts, labels) against the labels of these examples."""
    total = ClassificationScore(names, several)
    for example, row in zip(examples, probabilities.tolist(), strict=True):
        total.add(example.labels or [], [names[i] for i in chosen(names, several, row)], row)
    return total
