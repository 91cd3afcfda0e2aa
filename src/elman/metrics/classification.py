"""Scores of a classifier: accuracy, a table by label, confusions, and how far to trust its probabilities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from elman.errors import UsageError, nearest
from elman.metrics.accuracy import Accuracy, Matches, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15  # Guo et al. 2017
SMALLEST = 2.0**-52  # a probability below this counts as this, so that one example cannot make the likelihood infinite


@dataclass(frozen=True, slots=True)
class Bin:
    """The predictions with a probability of `lower` up to, not including, `upper` (1 is in the last bin).

    `confidence` is their mean probability, `accuracy` the share that is right; None for an empty bin.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """What a ClassificationScore came to. Undefined values (a share of an empty total) are None."""

    examples: Accuracy  # an example is correct when all its labels are (several: the subset accuracy)
    labels: dict[
        str, Matches
    ]  # the model's in its order, then those that only the gold ones have; `gold` is the support
    several: bool
    confusion: list[list[int]] | None  # rows: gold, columns: predicted, both in the order of `labels`; None for several
    calibration_error: float | None  # None without probabilities, and for several labels
    bins: list[Bin]  # a reliability diagram; empty where calibration_error is None
    likelihood: float | None  # mean negative log-likelihood of the gold label in nats, where the model knows it
    unknown: int  # examples with a gold label that the model does not know; all errors
    signature: str

    @property
    def accuracy(self) -> float | None:
        return self.examples.value

    @property
    def micro(self) -> Matches:
        """All labels as one."""
        return sum(self.labels.values(), Matches())

    @property
    def micro_f1(self) -> float | None:
        return self.micro.f1

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels that are among the gold or the predicted ones."""
        values = [row.f1 for row in self.labels.values() if row.f1 is not None]
        return math.fsum(values) / len(values) if values else None

    def to_json(self) -> dict[str, Any]:
        return {
            "signature": self.signature,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "micro_f1": self.micro_f1,
            "counts": {"examples": self.examples.to_json()},
            "by_label": {label: row.to_json() for label, row in self.labels.items()},
            "confusion": self.confusion,
            "expected_calibration_error": self.calibration_error,
            "bins": [asdict(one) for one in self.bins],
            "negative_log_likelihood": self.likelihood,
            "unknown_labels": self.unknown,
        }


class ClassificationScore:
    """Predictions for examples, scored once by `result()`. `a + b` is the score of both test sets read as one.

    labels: those of the model, in the order of its probabilities. several: an example has any number of labels.
    version: what the signature names; that of this package when not given.
    Raises UsageError for labels that are not distinct.
    """

    def __init__(self, labels: Sequence[str] = (), several: bool = False, *, version: str | None = None) -> None:
        self.labels = list(labels)
        self.several = several
        self.version = version
        self._place = {label: place for place, label in enumerate(self.labels)}
        if len(self._place) < len(self.labels):
            raise UsageError(f"expected distinct labels, found one twice among {len(self.labels)}")
        self._pairs: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self._confidence: list[tuple[float, bool]] = []  # of the predicted label, and whether it is right
        self._losses: list[float] = []
        self._rated = 0  # examples with probabilities

    def add(
        self,
        gold: Sequence[str],
        guess: Sequence[str],
        probabilities: Mapping[str, float] | Sequence[float] | NDArray[Any] | None = None,
    ) -> None:
        """One example: its labels, those that were predicted, and the probability of every label of the model.

        Raises UsageError for a predicted label that the model does not have, for other than one label unless
        `several`, for values that are not probabilities or not one per label, and where only some examples have them.
        """
        if isinstance(gold, str) or isinstance(guess, str):
            raise UsageError("expected lists of labels, found a string; put the label in a list")
        if not self.several and (len(gold) != 1 or len(guess) != 1):
            raise UsageError(f"expected one gold and one predicted label, found {len(gold)} and {len(guess)}")
        for label in guess:
            if label not in self._place:
                raise UsageError(
                    f"the predicted label {label!r} is not one of the model's; {nearest(label, self.labels)}"
                )
        if self._pairs and (probabilities is None) == (self._rated > 0):
            raise UsageError("expected probabilities for all examples or for none, found them for some")
        if probabilities is not None:
            values = self._values(probabilities)
            self._rated += 1
            if not self.several:
                self._confidence.append((values[self._place[guess[0]]], gold[0] == guess[0]))
                if gold[0] in self._place:
                    self._losses.append(-math.log(max(values[self._place[gold[0]]], SMALLEST)))
        self._pairs.append((tuple(dict.fromkeys(gold)), tuple(dict.fromkeys(guess))))

    def _values(self, probabilities: Mapping[str, float] | Sequence[float] | NDArray[Any]) -> list[float]:
        if isinstance(probabilities, Mapping):
            if probabilities.keys() != self._place.keys():
                raise UsageError("expected a probability for each label of the model and for no other")
            probabilities = [probabilities[label] for label in self.labels]
        values = [float(value) for value in probabilities]
        if len(values) != len(self.labels):
            raise UsageError(f"expected {len(self.labels)} probabilities, one per label, found {len(values)}")
        # What softmax in single precision gives may be over 1 by its rounding.
        if not all(0 <= value <= 1 + 1e-5 for value in values):
            raise UsageError("expected probabilities between 0 and 1, found another number")
        return values

    def __add__(self, other: ClassificationScore) -> ClassificationScore:
        """Raises UsageError when the two do not have the same labels, or only one has probabilities."""
        if (self.labels, self.several) != (other.labels, other.several):
            raise UsageError("expected two scores with the same labels; found different ones")
        if self._pairs and other._pairs and (self._rated > 0) != (other._rated > 0):
            raise UsageError("expected probabilities for all examples or for none, found them for some")
        total = ClassificationScore(self.labels, self.several, version=self.version)
        for part in (self, other):
            total._pairs += part._pairs
            total._confidence += part._confidence
            total._losses += part._losses
            total._rated += part._rated
        return total

    @property
    def signature(self) -> str:
        """The settings that a score depends on, in one line to be printed next to it."""
        if self.version is None:
            from elman import __version__ as version  # late: the package may be importing this module right now
        else:
            version = self.version
        several = "yes" if self.several else "no"
        bins = "" if self.several else f"|bins:{BINS}"
        return f"metric:classification|labels:{len(self.labels)}|several:{several}|macro:present{bins}|elman:{version}"

    def _names(self) -> list[str]:
        return self.labels + sorted({label for gold, _ in self._pairs for label in gold} - self._place.keys())

    def result(self) -> ClassificationResult:
        names = self._names()
        correct: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        gold: Counter[str] = Counter()
        for truth, guess in self._pairs:
            gold.update(truth)
            predicted.update(guess)
            correct.update(set(truth).intersection(guess))
        confusion = None
        if not self.several:
            pairs = Counter(self._pairs)
            confusion = [[pairs[(row,), (column,)] for column in names] for row in names]
        bins = self._bins() if self._confidence else []
        return ClassificationResult(
            examples=Accuracy(sum(set(truth) == set(guess) for truth, guess in self._pairs), len(self._pairs)),
            labels={name: Matches(correct[name], predicted[name], gold[name]) for name in names},
            several=self.several,
            confusion=confusion,
            calibration_error=_calibration_error(bins) if bins else None,
            bins=bins,
            likelihood=math.fsum(self._losses) / len(self._losses) if self._losses else None,
            unknown=sum(not self._place.keys() >= set(truth) for truth, _ in self._pairs),
            signature=self.signature,
        )

    def _bins(self) -> list[Bin]:
        held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
        for confidence, right in self._confidence:
            held[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
        return [
            Bin(
                place / BINS,
                (place + 1) / BINS,
                len(rows),
                math.fsum(confidence for confidence, _ in rows) / len(rows) if rows else None,
                share(sum(right for _, right in rows), len(rows)),
            )
            for place, rows in enumerate(held)
        ]

    def statistics(self, labels: Sequence[str] | None = None) -> NDArray[Any]:
        """What intervals and tests of `significance` take: (examples, 2 + 3 L) integers.

        A column that is 1 where the example is correct, one of ones, then L for the labels that are correct, L for
        those predicted and L for the gold ones. `accuracy`, `micro_f1` and `macro_f1` score sums of them. `labels` are
        the L to count, by default those of `result()`; to compare models with different labels pass both the same.
        """
        import numpy as np

        names = {name: place for place, name in enumerate(self._names() if labels is None else labels)}
        rows = np.zeros((len(self._pairs), 2 + 3 * len(names)), dtype=np.int64)
        for row, (truth, guess) in zip(rows, self._pairs, strict=True):
            row[:2] = set(truth) == set(guess), 1
            for part, labelled in enumerate((set(truth).intersection(guess), guess, truth)):
                for label in labelled:
                    if label in names:
                        row[2 + part * len(names) + names[label]] = 1
        return rows


def accuracy(sums: NDArray[Any]) -> NDArray[Any]:
    """The accuracy of sums of `statistics`. sums: (samples, 2 + 3 L); returns (samples,)."""
    answer: NDArray[Any] = sums[:, 0] / sums[:, 1]
    return answer


def micro_f1(sums: NDArray[Any]) -> NDArray[Any]:
    """Micro-averaged F1 of sums of `statistics`. sums: (samples, 2 + 3 L); returns (samples,), NaN for 0 of 0."""
    import numpy as np

    correct, predicted, gold = (part.sum(1) for part in np.split(sums[:, 2:], 3, axis=1))
    with np.errstate(invalid="ignore"):
        answer: NDArray[Any] = 2 * correct / (predicted + gold)
    return answer


def macro_f1(sums: NDArray[Any]) -> NDArray[Any]:
    """Macro-averaged F1 of sums of `statistics`, over the labels that occur. sums: (samples, 2 + 3 L); (samples,)."""
    import numpy as np

    correct, predicted, gold = np.split(sums[:, 2:], 3, axis=1)
    occurs = predicted + gold > 0
    f1 = np.divide(2 * correct, predicted + gold, out=np.zeros(occurs.shape), where=occurs)
    with np.errstate(invalid="ignore"):
        answer: NDArray[Any] = f1.sum(1) / occurs.sum(1)
    return answer


def _calibration_error(bins: list[Bin]) -> float:
    total = sum(one.count for one in bins)
    gaps = [
        one.count * abs(one.accuracy - one.confidence)
        for one in bins
        if one.accuracy is not None and one.confidence is not None
    ]
    return math.fsum(gaps) / total
