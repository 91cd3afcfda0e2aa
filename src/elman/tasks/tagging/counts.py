"""What the tagging models that count share: words by tags, checks of training data, and tables read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elman.errors import DataError, ModelError
from elman.text.sentence import Sentence
from elman.text.vocabulary import Vocabulary

Tensors = dict[str, np.ndarray]  # what a model keeps as arrays
Plain = dict[str, Any]  # and what it keeps as JSON


def tagged(sentences: Sequence[Sentence]) -> Iterator[tuple[list[str], list[str]]]:
    """The words and tags of every sentence that has words. Raises DataError where tags are missing or too many."""
    for sentence in sentences:
        found = 0 if sentence.tags is None else len(sentence.tags)
        if sentence.tags is None or found != len(sentence.words):
            if not sentence.words and not found:  # what stands after the last sentence of a file
                continue
            raise DataError(
                f"expected a tag for each of the {len(sentence.words)} words to train on, found {found}",
                file=sentence.file or None,
                line=sentence.line or None,
            )
        if sentence.words:
            yield sentence.words, sentence.tags


@dataclass(frozen=True)
class Lexicon:
    """How often each word was seen with each tag: counts (words, tags) int64. Tags in the order of code points."""

    words: Vocabulary
    tags: Vocabulary
    counts: np.ndarray

    @classmethod
    def of(cls, sentences: Sequence[Sentence]) -> Lexicon:
        """Count. Raises DataError for sentences without tags, and when there is no word at all."""
        pairs: Counter[tuple[str, str]] = Counter()
        for words, tags in tagged(sentences):
            pairs.update(zip(words, tags, strict=True))
        if not pairs:
            raise DataError("expected sentences with tags to train on, found no word")
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
        """(words,) bool: which words were seen at most so often."""
        return self.counts.sum(1) <= most


def stored(tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The table of this name, kind "f" (float64) or "i" (int64). Raises ModelError unless it is there, of this shape,
    and holds finite numbers that are not negative."""
    table = tensors.get(name)
    if table is None or table.shape != shape or table.dtype != np.dtype(f"{kind}8"):
        found = "none" if table is None else f"{table.dtype} of shape {table.shape}"
        raise ModelError(f"expected a table {name!r} of shape {shape}, found {found}: restore the model or train again")
    if not (np.isfinite(table) & (table >= 0)).all():
        raise ModelError(
            f"expected counts or probabilities in {name!r}, found others: restore the model or train again"
        )
    return table


def vocabulary(plain: Mapping[str, Any], name: str) -> Vocabulary:
    """The vocabulary of this name. Raises ModelError when it is none, or empty."""
    try:
        found = Vocabulary.from_json(plain.get(name))
    except DataError as error:
        raise ModelError(f"{name}: {error}") from None
    if not len(found):
        raise ModelError(f"expected items in the vocabulary {name!r}, found none: restore the model or train again")
    return found
