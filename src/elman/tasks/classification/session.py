"""A text that is still coming: its label so far."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from elman.errors import DataError, UsageError
from elman.layers.remembered import Remembered
from elman.tasks.classification.answers import LabelPrediction, prediction
from elman.tasks.classification.data import START, STOP, Vocabularies
from elman.tasks.classification.modules import ClassifierNetwork
from elman.tasks.session import Reading, Session


class ClassifierReading(Reading):
    """What the sessions of a classifier share.

    words: what the layers read at a token, for as many as fit into 64 MB
    split: the tokens of a piece of text; several, longest: see the settings of these names"""

    def __init__(
        self,
        network: ClassifierNetwork,
        vocabularies: Vocabularies,
        split: Callable[[str], list[str]],
        several: bool,
        longest: int,
    ) -> None:
        super().__init__(network, network.layers)
        self.network, self.vocabularies, self.split = network, vocabularies, split
        self.several, self.longest = several, longest
        self.words = Remembered(lambda words: (network.read(vocabularies.batch([[word] for word in words])),))


class ClassifierSession(Session[ClassifierReading, LabelPrediction]):
    """A text that is still coming. Answers are those to the text so far, with the probabilities of all labels.

    With the setting `wide` the state holds the numbers of the text's n-grams that are known, each once."""

    _pooled: tuple[Tensor, ...]
    _tokens: int
    _unknown: int
    _seen: set[int]
    _recent: list[str]
    _wide: Tensor

    def push(self, token: str) -> LabelPrediction:
        """Read a piece of text that ends where a token ends, such as a word: the answer to the text so far.

        Raises DataError for a text longer than the setting `longest` allows."""
        if not isinstance(token, str):
            raise UsageError(f"expected a piece of text, found {type(token).__name__}")
        shared = self._reading
        tokens = shared.split(token)
        if shared.longest and self._tokens + len(tokens) > shared.longest:
            raise DataError(
                f"expected at most {shared.longest} tokens (the setting longest), found {self._tokens + len(tokens)}"
            )
        for one in tokens:
            self._read(one)
        return self.answer

    def finish(self) -> LabelPrediction:
        """The answer to the whole text. The session is then at the start of another."""
        answer = self.answer
        self._begin()
        return answer

    @property
    @torch.inference_mode()
    def answer(self) -> LabelPrediction:
        """The answer to what was read so far."""
        shared, network = self._reading, self._reading.network
        final = network.layers.final(self._layers) if network.pooling.how == "final" else None
        scores = network.out(network.head(network.pooling.so_far(self._pooled, final)))
        if network.ngrams is not None:
            ending = self._weights([i for i in self._ngrams(STOP) if i not in self._seen])
            scores = scores + self._wide + ending
        row = network.chances(scores)[0].tolist()
        unknown = self._unknown / self._tokens if self._tokens else None
        return prediction(shared.vocabularies.labels.items, shared.several, row, unknown, True)

    @torch.inference_mode()
    def _read(self, token: str) -> None:
        shared = self._reading
        index, (rows,) = shared.words.rows([token])
        y = self._step(rows[index])
        self._pooled = shared.network.pooling.add(self._pooled, y)
        self._tokens += 1
        self._unknown += token not in shared.vocabularies
        self._count(token.lower())

    def _count(self, token: str) -> None:
        """Add the n-grams that end in this token to those of the text."""
        new = [i for i in self._ngrams(token) if i not in self._seen]
        self._seen.update(new)
        self._wide = self._wide + self._weights(new)
        order = self._reading.vocabularies.order
        self._recent = [*self._recent, token][-(order - 1) :] if order > 1 else []

    def _ngrams(self, token: str) -> list[int]:
        """Those known among the n-grams that a token ends, each once."""
        shared = self._reading.vocabularies
        if shared.ngrams is None:
            return []
        row = [*self._recent, token]
        ways = (" ".join(row[-n:]) for n in range(1, min(shared.order, len(row)) + 1))
        return [shared.ngrams[way] for way in ways if way in shared.ngrams]

    def _weights(self, ngrams: list[int]) -> Tensor:
        """(labels,) the sum of their weights."""
        table = self._reading.network.ngrams
        return torch.zeros(()) if table is None or not ngrams else table.weight.detach()[ngrams].sum(0)

    def _begin(self) -> None:
        super()._begin()
        network = self._reading.network
        self._pooled = network.pooling.initial(network.layers.output_size)
        self._tokens = self._unknown = 0
        self._seen, self._recent = set(), []
        self._wide = torch.zeros(len(self._reading.vocabularies.labels))
        self._count(START)

    def _tensors(self) -> dict[str, Tensor]:
        recent = torch.frombuffer(bytearray(json.dumps(self._recent).encode()), dtype=torch.uint8)
        pooled = {f"pooled.{i}": value for i, value in enumerate(self._pooled)}
        counts = torch.tensor([self._tokens, self._unknown])
        seen = torch.tensor(sorted(self._seen), dtype=torch.long)
        return {"counts": counts, "seen": seen, "recent": recent, "wide": self._wide, **pooled}

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        self._tokens, self._unknown = tensors["counts"].tolist()
        self._seen = set(tensors["seen"].tolist())
        self._recent = json.loads(tensors["recent"].numpy().tobytes())
        self._wide = tensors["wide"]
        self._pooled = tuple(tensors[f"pooled.{i}"] for i in range(len(self._pooled)))
