"""The rival without recurrence: the mean of the word vectors."""

from __future__ import annotations

from torch import Tensor

from elman.layers.plan import Pooled
from elman.layers.pooling import pool_mean
from elman.recurrent import Packed
from elman.recurrent.plan import Part
from elman.tasks.classification.config import CbowConfig
from elman.tasks.classification.data import Vocabularies
from elman.tasks.classification.modules import TextClassifierNetwork
from elman.tasks.classification.network_model import NetworkClassifier


class CbowNetwork(TextClassifierNetwork):
    """words -> mean (Iyyer et al. 2015; Joulin et al. 2017)."""

    def __init__(
        self, config: CbowConfig, vocabularies: Vocabularies, vectors: Tensor | None, weights: Tensor | None
    ) -> None:
        super().__init__(config, vocabularies, vectors, weights)
        self._finish(self.words.output_size, len(vocabularies.labels))

    def pooled(self, xs: Packed) -> Tensor:
        return pool_mean(xs)

    def _between(self) -> tuple[tuple[Part, ...], Pooled]:
        return (), Pooled("mean")


class Cbow(NetworkClassifier):
    """Labels from the mean of the word vectors, whatever their order (Iyyer et al. 2015; Joulin et al. 2017)."""

    kind = "cbow"
    config = CbowConfig

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextClassifierNetwork:
        return CbowNetwork(self.settings.model, self.vocabularies, vectors, weights)

    def _how(self) -> str:
        return "the mean of the word vectors and a softmax"
