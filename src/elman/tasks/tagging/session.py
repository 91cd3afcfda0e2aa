"""A sentence that is still coming: each word is tagged as soon as its delay is over."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.layers.decoding import OnlineViterbi
from elman.layers.remembered import Remembered
from elman.tasks.session import Reading, Session
from elman.tasks.tagging.data import END, Vocabularies
from elman.tasks.tagging.modules import TaggerNetwork


class TaggerReading(Reading):
    """What the sessions of a tagger share. words: what the layers read at a word, for as many as fit into 64 MB."""

    def __init__(self, network: TaggerNetwork, vocabularies: Vocabularies) -> None:
        super().__init__(network, network.layers)
        self.network, self.names, self.delay = network, vocabularies.tags.items, network.delay
        self.words = Remembered(lambda words: (network.read(vocabularies.batch([[word] for word in words])),))
        self.decoder = network.online()


class TaggerSession(Session[TaggerReading, list[str]]):
    """A sentence that is still coming. Answers are tags, in the order of the words.

    The tag of a word is known when the words of the delay are read. With a CRF, or tags that follow a scheme, it may
    also depend on later words: it comes as soon as none can change it, at the end of the sentence at the latest."""

    _words: int
    _decoder: OnlineViterbi | None

    def push(self, token: str) -> list[str]:
        """Read a word: the tags that are now known. Raises UsageError for what is not a word."""
        if not isinstance(token, str) or not token:
            raise UsageError(f"expected a word that is not empty, found {token!r}")
        return self._read(token)

    def finish(self) -> list[str]:
        """The sentence is complete: the tags of the words still without one. Another sentence may follow."""
        delay = self._reading.delay
        if self._words == 0:
            return []
        tags = [tag for _ in range(delay) for tag in self._read(END)]
        if self._decoder is not None:
            tags += [self._reading.names[i] for i in self._decoder.finish()]
        self._begin()
        return tags

    @torch.inference_mode()
    def _read(self, word: str) -> list[str]:
        shared = self._reading
        index, (rows,) = shared.words.rows([word])
        y = self._step(rows[index])
        self._words = min(self._words + 1, shared.delay + 1)  # more do not matter
        if self._words <= shared.delay:
            return []
        scores = shared.network.row_scores(y)
        if self._decoder is None:
            return [shared.names[int(scores.argmax())]]
        return [shared.names[i] for i in self._decoder.push(scores[0].numpy())]

    def _begin(self) -> None:
        super()._begin()
        self._words = 0
        decoder = self._reading.decoder
        self._decoder = None if decoder is None else decoder.fresh()

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"words": torch.tensor(self._words)}
        if self._decoder is not None and self._decoder.alpha is not None:
            tensors |= {"alpha": torch.from_numpy(self._decoder.alpha), "paths": torch.from_numpy(self._decoder.paths)}
        return tensors

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        self._words = int(tensors["words"])
        if self._decoder is not None and "alpha" in tensors:
            self._decoder.alpha, self._decoder.paths = tensors["alpha"].numpy(), tensors["paths"].numpy()
