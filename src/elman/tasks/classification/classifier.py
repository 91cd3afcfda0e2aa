"""`Classifier`: a label for a whole text, by a recurrent network; and its rival without recurrence."""

from __future__ import annotations

from torch import Tensor

from elman.tasks.classification.config import CbowConfig, ClassifierConfig
from elman.tasks.classification.network import CbowNetwork, ClassifierNetwork, TextNetwork
from elman.tasks.classification.network_model import TextNetworkModel


class Classifier(TextNetworkModel):
    """A label for every text, or several, by a recurrent network over its words, characters or subwords.

        classifier = Classifier(cell="lstm").fit(train, dev, out="my-classifier")
        classifier("a wonderful film")

    Settings are those of `ClassifierConfig` (the network) and `ClassifierTraining` (how it is trained), with the same
    names and defaults as on the command line. Raises UsageError for an unknown one, naming the nearest real one.
    """

    config = ClassifierConfig

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextNetwork:
        (cell,) = self._cells(self.settings.model.cell, stored=stored)
        return ClassifierNetwork(self.settings.model, cell, self.vocabularies, vectors, weights)


class Cbow(TextNetworkModel):
    """Labels from the mean of the words' vectors, whatever their order (Iyyer et al. 2015; Joulin et al. 2017)."""

    kind = "cbow"
    config = CbowConfig

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextNetwork:
        return CbowNetwork(self.settings.model, self.vocabularies, vectors, weights)
