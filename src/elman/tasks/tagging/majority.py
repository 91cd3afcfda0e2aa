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
    """best (words,) int64: the tag of each known word; other: the tag of every other word.

    Of tags that are equally frequent the first in the order of code points is taken.
    """

    def __init__(self, tags: Vocabulary, words: Vocabulary, best: np.ndarray, other: int) -> None:
        self.tags, self.words, self.best, self.other = tags, words, best, other
        self._tag_of = dict(zip(words.items, (tags.items[tag] for tag in best.tolist()), strict=True))

    @classmethod
    def fit(cls, sentences: Sequence[Sentence]) -> MajorityTagger:
        """Count. Unknown words will get the most frequent tag of the words seen once (of all words, if none was).

        Raises DataError for sentences without tags, or when there is no word.
        """
        lexicon = Lexicon.of(sentences)
        once = lexicon.rare()
        basis = lexicon.counts[once] if once.any() else lexicon.counts
        return cls(lexicon.tags, lexicon.words, lexicon.counts.argmax(1), int(basis.sum(0).argmax()))

    def tag(self, words: Sequence[str]) -> list[str]:
        """One tag a word."""
        other = self.tags.items[self.other]
        return [self._tag_of.get(word, other) for word in words]

    def to_tensors(self) -> tuple[Tensors, Plain]:
        """All there is to keep: arrays, and what goes into JSON."""
        return {"best": self.best}, {"tags": self.tags.to_json(), "words": self.words.to_json(), "other": self.other}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> MajorityTagger:
        """What `to_tensors` gave. Raises ModelError for anything else."""
        tags, words, other = vocabulary(plain, "tags"), vocabulary(plain, "words"), plain.get("other")
        best = stored(tensors, "best", (len(words),), "i")
        if type(other) is not int or not 0 <= other < len(tags) or best.max() >= len(tags):
            raise ModelError(f"expected numbers of {len(tags)} tags, found others: restore the model or train again")
        return cls(tags, words, best, other)
