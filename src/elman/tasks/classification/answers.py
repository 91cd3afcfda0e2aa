"""What a model says of a text, and how such answers are scored: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from elman.metrics.classification import ClassificationScore
from elman.text.example import Example

THRESHOLD = 0.5  # of several labels, those above it are given


@dataclass(frozen=True)
class LabelPrediction:
    """What a model says of one text.

    labels:        the one label; of several, those with a probability above one half, the most probable first
    chances:       the probability of each of these
    probabilities: of every label the model has; None unless asked for
    unknown:       the share of its tokens of which the model knows nothing; None for an empty text, or where the model
                   does not read tokens
    """

    labels: list[str]
    chances: list[float]
    probabilities: dict[str, float] | None = None
    unknown: float | None = None

    @property
    def label(self) -> str | None:
        """The most probable of the labels given; None where none is."""
        return self.labels[0] if self.labels else None


def chosen(names: Sequence[str], several: bool, row: Sequence[float]) -> list[int]:
    """The places of the labels that are given, by the probability of each. Of equal ones the first."""
    if not several:
        return [max(range(len(names)), key=lambda i: row[i])]
    return sorted((i for i in range(len(names)) if row[i] > THRESHOLD), key=lambda i: -row[i])


def scored(
    names: Sequence[str], several: bool, examples: Sequence[Example], probabilities: Tensor
) -> ClassificationScore:
    """The score of probabilities (texts, labels) against the labels of these examples."""
    total = ClassificationScore(names, several)
    for example, row in zip(examples, probabilities.tolist(), strict=True):
        total.add(example.labels or [], [names[i] for i in chosen(names, several, row)], row)
    return total
