"""A text that is still coming: what may come next, after every token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.tasks.language_model.base import Floats
from elman.tasks.language_model.data import END_ID
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.tasks.session import Reading, Session
from elman.text.vocabulary import Vocabulary


class LanguageModelReading(Reading):
    """What the sessions of a language model share. carries: whether earlier lines affect later ones."""

    def __init__(self, network: LanguageModelNetwork, vocabulary: Vocabulary, carries: bool) -> None:
        super().__init__(network, network.layers, torch.bfloat16 if network.in_half else torch.float32)
        self.network, self.vocabulary, self.carries = network, vocabulary, carries


class LanguageModelSession(Session[LanguageModelReading, Floats]):
    """A text that is still coming. Answers are (vocabulary,) natural log-probabilities of the next token."""

    def push(self, token: str) -> Floats:
        """Read a token of a line, as the model's tokenizer gives it; one that is not in the vocabulary is <unk>."""
        if not isinstance(token, str) or not token:
            raise UsageError(f"expected a token that is not empty, found {token!r}")
        self._read(self._reading.vocabulary[token])
        return self.next

    def finish(self) -> Floats:
        """Read the end of a line. What comes next is the first token of another."""
        if self._reading.carries:
            self._read(END_ID)
        else:
            self._begin()
        return self.next

    @property
    @torch.inference_mode()
    def next(self) -> Floats:
        """(vocabulary,) the natural log-probability of every token after what was read so far."""
        network = self._reading.network
        logits = torch.nn.functional.linear(network.read_out(self._y), network.output_weight, network.bias)
        return logits[0].double().log_softmax(0).numpy()

    def _read(self, token: int) -> None:
        self._y = self._step(self._reading.network.embedding.detach()[token : token + 1])

    def _begin(self) -> None:
        super()._begin()
        self._read(END_ID)

    def _tensors(self) -> dict[str, Tensor]:
        return {"output": self._y}

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        self._y = tensors["output"].reshape(self._y.shape)
