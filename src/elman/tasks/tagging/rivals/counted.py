"""What the taggers that count share: words by tags, one way to train and to store them, and tables read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.config import Config
from elman.errors import ModelError, UsageError
from elman.tasks import storage
from elman.tasks.model import CountedModel
from elman.tasks.tagging.base import TaggingModel, TagPrediction
from elman.tasks.tagging.config import CountedConfig
from elman.tasks.tagging.job import scheme_of
from elman.text.sentence import Sentence
from elman.text.vocabulary import Vocabulary

Arrays = dict[str, NDArray[Any]]
Parts = Sequence[Sentence]


@dataclass(frozen=True)
class Lexicon:
    """How often each word was seen with each tag: counts (words, tags) int64. Tags in code point order."""

    words: Vocabulary
    tags: Vocabulary
    counts: np.ndarray

    @classmethod
    def of(cls, sentences: Sequence[Sentence]) -> Lexicon:
        """Count, in sentences that have a tag for every word."""
        pairs: Counter[tuple[str, str]] = Counter()
        for sentence in sentences:
            pairs.update(zip(sentence.words, sentence.tags or [], strict=True))
        totals: Counter[str] = Counter()
        for (word, _), count in pairs.items():
            totals[word] += count
        vocabulary = Vocabulary.from_counts(totals)
        names = Vocabulary(sorted({tag for _, tag in pairs}))
        table = np.zeros((len(vocabulary), len(names)), dtype=np.int64)
        for (word, tag), count in pairs.items():
            table[vocabulary[word], names[tag]] = count
        return cls(vocabulary, names, table)

    def rare(self, most: int = 1) -> np.ndarray:
        """(words,) bool: which words were seen at most this often."""
        return self.counts.sum(1) <= most


def stored(tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The table of this name, kind "f" (float64) or "i" (int64). Raises ModelError unless it exists, has this shape,
    and holds finite, non-negative numbers."""
    table = tensors.get(name)
    if table is None or table.shape != shape or table.dtype != np.dtype(f"{kind}8"):
        found = "none" if table is None else f"{table.dtype} of shape {table.shape}"
        raise ModelError(f"expected a table {name!r} of shape {shape}, found {found}: restore the model or train again")
    if not (np.isfinite(table) & (table >= 0)).all():
        raise ModelError(
            f"expected counts or probabilities in {name!r}, found other values: restore the model or train again"
        )
    return table


class CountedTagger(TaggingModel, CountedModel[Parts]):
    """A tagger that is estimated in one go. It stores arrays, and its words and tags.

    has_nbest: whether it has n-best tag sequences"""

    config: ClassVar[type[Config]] = CountedConfig
    has_nbest: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._words: Vocabulary | None = None
        self._tags: Vocabulary | None = None

    # What a subclass defines

    def _estimate(self, data: list[Sentence]) -> None:
        """Estimate from sentences with tags; sets `_words`, `_tags` and the tables."""
        raise NotImplementedError

    def _arrays(self) -> Arrays:
        """What goes into model.safetensors."""
        raise NotImplementedError

    def _answer(self, words: list[str], probabilities: bool, nbest: int) -> TagPrediction:
        """The answer to one sentence, which has words."""
        raise NotImplementedError

    def _take(self, arrays: Arrays) -> None:
        """Restore what `_arrays` returned; words and tags are set. Raises ModelError for anything else."""
        raise NotImplementedError

    # The same for all

    def _prepare(
        self, train: Parts, dev: Parts | float | None, test: Parts | None
    ) -> tuple[list[Sentence], dict[str, Any]]:
        chosen, dev, test = self._parts(train, dev, test, seed=1)
        self.scheme = scheme_of(self.settings.model.scheme, chosen)
        return chosen, {"dev": dev, "test": test}

    @property
    def words(self) -> Vocabulary:
        """Its words."""
        return self._require_trained(self._words)

    @property
    def tags(self) -> Vocabulary:
        """Its tags, in code point order."""
        return self._require_trained(self._tags)

    def _require_trained(self, vocabulary: Vocabulary | None) -> Vocabulary:
        if vocabulary is None:
            raise UsageError("this tagger is not trained yet; call fit(train), or elman.load(folder)")
        return vocabulary

    @property
    def labels(self) -> list[str]:
        return list(self.tags.items)

    @property
    def known_words(self) -> Container[str]:
        return set(self.words.items[self.words.unknown is not None :])

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        return {"words": self._words, "tags": self._tags}

    def _weights(self) -> Mapping[str, Tensor]:
        return {name: torch.tensor(array) for name, array in self._arrays().items()}

    def _restore(self, path: Path) -> None:
        self._words, self._tags = (storage.read_vocabulary(path / f"{name}.json") for name in ("words", "tags"))
        weights = path / "model.safetensors"
        arrays = {name: tensor.numpy() for name, tensor in storage.read_tensors(weights).items()}
        try:
            if not len(self._words) or not len(self._tags):
                raise ModelError("expected words and tags, found none: restore the model or train again")
            self._take(arrays)
        except ModelError as problem:
            raise ModelError(f"{weights}, with words.json and tags.json: {problem}") from None

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[TagPrediction]:
        self._require_trained(self._words)
        if nbest and not self.has_nbest:
            raise UsageError(f"a model of kind {self.kind} has no n-best sequences; network, window and hmm do")
        return [self._answer(words, probabilities, nbest) for words in texts]


def probabilities_of(chances: NDArray[Any], tags: Sequence[int]) -> list[float]:
    """The probability of one tag in every row (steps, tags), at most 1: rounding may have made it slightly more."""
    values: list[float] = np.minimum(chances[np.arange(len(tags)), list(tags)], 1.0).tolist()
    return values
