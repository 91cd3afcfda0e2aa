"""The baseline below all others: every word gets its most frequent tag."""

from __future__ import annotations

import numpy as np

from elman.errors import ModelError
from elman.tasks.tagging.base import TagPrediction
from elman.tasks.tagging.rivals.counted import Arrays, CountedTagger, Lexicon, stored
from elman.text.sentence import Sentence


class MajorityTagger(CountedTagger):
    """Every word gets its most frequent tag. Unknown words get the most frequent tag of the words seen once
    (of all words, if none was). Of equally frequent tags the first in code point order is taken.

    best:   (words + 1,) int64: the tag of each known word, and last that of every other word
    shares: (words + 1,) float64: how often it had that tag
    """

    kind = "majority"

    def _estimate(self, data: list[Sentence]) -> None:
        lexicon = Lexicon.of(data)
        once = lexicon.rare()
        basis = lexicon.counts[once] if once.any() else lexicon.counts
        rows = np.vstack([lexicon.counts, basis.sum(0)])
        self._words, self._tags = lexicon.words, lexicon.tags
        self._set(rows.argmax(1), rows.max(1) / rows.sum(1))

    def _set(self, best: np.ndarray, shares: np.ndarray) -> None:
        self.best, self.shares = best, shares
        self._row_of = {word: row for row, word in enumerate(self.words.items)}
        self._tag_of_row = [self.tags.items[tag] for tag in best.tolist()]

    def _answer(self, words: list[str], probabilities: bool, nbest: int) -> TagPrediction:
        rows = [self._row_of.get(word, len(self.words)) for word in words]
        shares = self.shares[rows].tolist() if probabilities else None
        return TagPrediction([self._tag_of_row[row] for row in rows], shares)

    def _arrays(self) -> Arrays:
        return {"best": self.best, "shares": self.shares}

    def _take(self, arrays: Arrays) -> None:
        shape = (len(self.words) + 1,)
        best, shares = stored(arrays, "best", shape, "i"), stored(arrays, "shares", shape, "f")
        if best.max() >= len(self.tags) or shares.max() > 1:
            raise ModelError(
                f"expected ids of {len(self.tags)} tags and shares, found other values: restore it or train again"
            )
        self._set(best, shares)

    def describe(self) -> list[str]:
        return self._describe(
            "every word gets its most frequent tag in the training data, an unknown one that of the words seen once"
        )
