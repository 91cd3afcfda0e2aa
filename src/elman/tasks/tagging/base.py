"""What every tagger is, network or rival: sentences in, tags out, scored in the same way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.metrics.entities import reader
from elman.metrics.significance import ratio
from elman.metrics.tagging import TaggingResult, TaggingScore
from elman.tasks.measure import Measure
from elman.tasks.model import Model
from elman.tasks.tagging import card
from elman.tasks.tagging.data import require_tags, split
from elman.tasks.unseen import notice_unseen
from elman.text import Sentence


@dataclass(frozen=True)
class TagPrediction:
    """A tagger's answer for one sentence.

    tags:          one per word
    probabilities: of the tag given, one per word (a CRF's are marginals); None unless requested
    nbest:         whole tag sequences with their probabilities, best first; None unless requested
    """

    tags: list[str]
    probabilities: list[float] | None = None
    nbest: list[tuple[list[str], float]] | None = None


def _placed_tags(sentences: Sequence[Sentence]) -> Iterator[tuple[str, str, int]]:
    """(tag, file, line) of every word."""
    for sentence in sentences:
        for i, tag in enumerate(sentence.tags or ()):
            yield tag, sentence.file, sentence.lines[i] if sentence.lines else sentence.line


class TaggingModel(Model[Sequence[Sentence]]):
    """A tag for every word. It is trained on sentences with tags."""

    task = "tag"

    # What a subclass defines

    @property
    def labels(self) -> list[str]:
        """Every tag it can predict, in the order of its scores."""
        raise NotImplementedError

    @property
    def known_words(self) -> Container[str]:
        """The words of the training data."""
        raise NotImplementedError

    @property
    def longest_word(self) -> int | None:
        """Only both ends are read of words with more characters than this; None if there is no such limit."""
        return None

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[TagPrediction]:
        """The answers to sentences that have words. Raises UsageError if it has no n-best sequences."""
        raise NotImplementedError

    # Data

    def _parts(
        self,
        train: Sequence[Sentence],
        dev: Sequence[Sentence] | float | None,
        test: Sequence[Sentence] | None,
        seed: int,
    ) -> tuple[list[Sentence], list[Sentence] | None, list[Sentence] | None]:
        """train, dev and test, checked, without empty sentences; a dev that is a fraction is split off train."""
        train = [sentence for sentence in train if sentence.words]
        require_tags(train, "training data")
        if isinstance(dev, (int, float)):
            train, dev = split(train, float(dev), seed)
        elif dev is not None:
            dev = [sentence for sentence in dev if sentence.words]
            require_tags(dev, "dev data")
            known = {tag for sentence in train for tag in sentence.tags or ()}
            notice_unseen(known, _placed_tags(dev), "tag")
        if test is not None:
            test = [sentence for sentence in test if sentence.words]
            require_tags(test, "test data")
        return train, dev, test

    # Use

    def __call__(self, words: Sequence[str]) -> list[str]:
        """The tags of one sentence, given as a list of words."""
        if isinstance(words, str):
            raise UsageError("expected a list of words such as ['Ada', 'lives'], found text; split it: text.split()")
        return self.predict([words])[0].tags

    def predict(
        self,
        texts: Iterable[Sequence[str] | Sentence],
        *,
        probabilities: bool = False,
        nbest: int = 0,
    ) -> list[TagPrediction]:
        """Tag many sentences (lists of words, or Sentences); the order is that of the input.

        nbest: how many whole tag sequences to return for each. An empty sentence has no tags.
        Raises UsageError for a model without exact n-best sequences."""
        if nbest < 0:
            raise UsageError(f"expected nbest of 0 or more, found {nbest}")
        lists = [list(s.words if isinstance(s, Sentence) else s) for s in texts]
        for text in lists:
            if not all(isinstance(word, str) and word for word in text):
                raise UsageError(f"expected sentences as lists of words that are not empty, found {text[:8]!r}")
        answers = iter(self._answers([text for text in lists if text], probabilities, nbest))
        empty = TagPrediction([], [] if probabilities else None, [([], 1.0)] if nbest else None)
        return [next(answers) if text else empty for text in lists]

    def evaluate(self, data: Sequence[Sentence]) -> TaggingResult:
        """Score on sentences with tags. Raises DataError when some have none."""
        require_tags(data, "evaluation data")
        total, known = TaggingScore(self.scheme), self.known_words
        for sentence, answer in zip(data, self.predict(data), strict=True):
            total.add(sentence.tags or [], answer.tags, sentence.words, known)
        return total.result()

    @property
    def measure(self) -> Measure:
        """Accuracy; where the tags are chunks, the strict F1 of entities."""
        more = ("seen_accuracy", "unseen_accuracy")
        if self.scheme is None:
            return Measure("accuracy", ratio, more=more)
        return Measure("strict_f1", _f1, counted=3, more=("accuracy", *more))

    def statistics(self, data: Sequence[Sentence]) -> NDArray[Any]:
        """(sentences, 2): correct tags, words; for chunks (sentences, 4): correct, predicted and gold entities, words.

        Raises DataError when some have no tags."""
        require_tags(data, "evaluation data")
        read = None if self.scheme is None else reader("strict", self.scheme)
        rows = []
        for sentence, answer in zip(data, self.predict(data), strict=True):
            gold = sentence.tags or []
            if read is None:
                counts = [sum(a == b for a, b in zip(gold, answer.tags, strict=True))]
            else:
                right, guessed = set(read(gold)), set(read(answer.tags))
                counts = [len(right & guessed), len(guessed), len(right)]
            rows.append([*counts, len(gold)])
        return np.array(rows, dtype=np.int64)

    # The card

    def _describe(self, what: str) -> list[str]:
        """The paragraphs of the card. what: how it tags."""
        return card.describe(self.labels, self.scheme, what)

    def usage(self, name: str) -> list[str]:
        return card.usage(name, code=self._source is not None)

    score_rows = staticmethod(card.score_rows)


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of correct, predicted and gold entities; 0 without any, as when training selects by it."""
    total = sums[:, 1] + sums[:, 2]
    return np.divide(2 * sums[:, 0], total, out=np.zeros(len(sums)), where=total > 0)
