"""The baseline under all others: every word gets the tag that it had most often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elman.errors import ModelError
from elman.tasks.tagging.counts import Lexicon, Plain, Tensors, stored, vocabulary
from elman.text.sentence import Sentence
from elman.text.vocabulary import Vocabulary


class MajorityTagger:
    """best (words + 1,) int64: the tag of each known word, and last that of every other word; shares (words + 1,)
    float64: how often it was that tag.

    Of tags that are equally frequent the first in the order of code points is taken.
    """

    def __init__(self, tags: Vocabulary, words: Vocabulary, best: np.ndarray, shares: np.ndarray) -> None:
        self.tags, self.words, self.best, self.shares = tags, words, best, shares
        self._row_of = {word: row for row, word in enumerate(words.items)}
        self._tag_of_row = [tags.items[tag] for tag in best.tolist()]

    @classmethod
    def fit(cls, sentences: Sequence[Sentence]) -> MajorityTagger:
        """Count. Unknown words will get the most frequent tag of the words seen once (of all words, if none was).

        Raises DataError for sentences without tags, or when there is no word.
        """
        lexicon = Lexicon.of(sentences)
        once = lexicon.rare()
        basis = lexicon.counts[once] if once.any() else lexicon.counts
        rows = np.vstack([lexicon.counts, basis.sum(0)])
        return cls(lexicon.tags, lexicon.words, rows.argmax(1), rows.max(1) / rows.sum(1))

    def tag(self, words: Sequence[str]) -> list[str]:
        """One tag a word."""
        return [self._tag_of_row[row] for row in self._rows(words)]

    def probabilities(self, words: Sequence[str]) -> list[float]:
        """How often each word (for an unknown one: those seen once) had in training the tag that it gets."""
        found: list[float] = self.shares[self._rows(words)].tolist()
        return found

    def to_tensors(self) -> tuple[Tensors, Plain]:
        """All there is to keep: arrays, and what goes into JSON."""
        tables = {"best": self.best, "shares": self.shares}
        return tables, {"tags": self.tags.to_json(), "words": self.words.to_json()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> MajorityTagger:
        """What `to_tensors` gave. Raises ModelError for anything else."""
        tags, words = vocabulary(plain, "tags"), vocabulary(plain, "words")
        best = stored(tensors, "best", (len(words) + 1,), "i")
        shares = stored(tensors, "shares", (len(words) + 1,), "f")
        if best.max() >= len(tags) or shares.max() > 1:
            raise ModelError(
                f"expected numbers of {len(tags)} tags and shares, found others: restore the model or train again"
            )
        return cls(tags, words, best, shares)

    def _rows(self, words: Sequence[str]) -> list[int]:
        return [self._row_of.get(word, len(self.words)) for word in words]
