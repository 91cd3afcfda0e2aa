"""The baseline below all others: the shares of the labels, whatever the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from elman.tasks.classification.base import Prepared
from elman.tasks.classification.config import MajorityClassifierConfig
from elman.tasks.classification.data import label_ids
from elman.tasks.classification.rivals.counted import CountedClassifier


class MajorityClassifier(CountedClassifier):
    """The probability of a label is its share of the training texts. Of equally frequent labels the first is given."""

    kind = "majority"
    config = MajorityClassifierConfig

    def _estimate(self, data: Prepared) -> None:
        assert self._labels is not None
        ids = label_ids(self._labels, data.train, self.settings.model.several)
        counts = ids.sum(0) if self.settings.model.several else torch.bincount(ids, minlength=len(self._labels))
        self._shares = (counts.double() / len(data.train)).float()

    def _how(self) -> str:
        return "the shares of the labels in the training data"

    def _probabilities(self, texts: Sequence[Sequence[str]]) -> Tensor:
        return self._shares.expand(len(texts), -1)

    def _weights(self) -> Mapping[str, Tensor]:
        return {"shares": self._shares}

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        self._shares = self._read_weights(path, {"shares": (len(self.labels),)})["shares"]
