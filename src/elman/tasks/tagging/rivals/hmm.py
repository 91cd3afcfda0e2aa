"""The hidden Markov model of first order.

Rabiner 1989, A tutorial on hidden Markov models; Jurafsky and Martin, Speech and Language Processing, ch. 17. Tags are
the hidden states, words the observations:

    p(words, tags) = start[y_1] * prod transitions[y_t, y_t+1] * prod emissions[y_t, w_t]

There is no end-of-sentence event, so these are probabilities among sentences of one length. Everything is computed in
log space and float64, exactly: no beam, no underflow. What the end of an unknown word says about its tag follows
Brants 2000, as in the model of second order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import torch

from elman.errors import ModelError, UsageError
from elman.layers.decoding import nbest
from elman.recurrent import Packed
from elman.tasks.tagging.base import TagPrediction
from elman.tasks.tagging.config import HMMConfig
from elman.tasks.tagging.rivals.counted import (
    Arrays,
    CountedTagger,
    Lexicon,
    probabilities_of,
    stored,
)
from elman.tasks.tagging.rivals.suffixes import RARE, Suffixes
from elman.text.sentence import Sentence
from elman.text.vocabulary import UNKNOWN, Vocabulary

NO_PATH = "expected a possible tag sequence for these words, found none: every one has probability 0"


class MarkovTagger(CountedTagger):
    """The answers of hidden Markov models of every order. A tag's probability is its posterior."""

    order: ClassVar[str]

    def tag(self, words: Sequence[str]) -> list[str]:
        """The most probable tag sequence (Viterbi)."""
        raise NotImplementedError

    def posterior(self, words: Sequence[str]) -> np.ndarray:
        """p(tag at a position | words) by forward-backward: (steps, K), each row summing to 1."""
        raise NotImplementedError

    def nbest(self, words: Sequence[str], k: int) -> list[tuple[list[str], float]]:
        """The k most probable tag sequences and p(tags | words) of each, best first; if it `has_nbest`."""
        raise NotImplementedError

    def _answer(self, words: list[str], probabilities: bool, nbest: int) -> TagPrediction:
        by_position = self.settings.model.decoding == "posterior"
        chances = self.posterior(words) if by_position or probabilities else np.empty(0)
        tags = [self.tags.items[tag] for tag in chances.argmax(1).tolist()] if by_position else self.tag(words)
        of_tags = probabilities_of(chances, self.tags.ids(tags)) if probabilities else None
        return TagPrediction(tags, of_tags, self.nbest(words, nbest) if nbest else None)

    def describe(self) -> list[str]:
        way = "the best sequence" if self.settings.model.decoding == "viterbi" else "the best tag at each position"
        return self._describe(f"a hidden Markov model of {self.order} order, which gives {way}")


class HiddenMarkov(MarkovTagger):
    """The hidden Markov model of first order. Its tables, for K tags and V words, of which word 0 stands for all
    unlisted ones, are read-only float64:

    start:       (K,)    p(first tag)
    transitions: (K, K)  p(next tag | tag) [tag, next]
    emissions:   (K, V)  p(word | tag)

    `fit` takes relative frequencies, with the setting `smoothing` added to every count (Lidstone). The unknown word
    counts, for every tag, as often as all words seen once together. A row without any count (a tag that nothing ever
    follows) is uniform. An unseen word has the probability of the unknown one, and its tags that of its suffix:

    p(w | tag) = p(unknown) p(tag | suffix) / p(tag)    with p(unknown) = sum over tags of p(tag) p(unknown | tag)

    where p(tag | suffix) is smoothed like the rest, by `smoothing` times p(tag). Tables that are set have no suffixes:
    there an unseen word is the unknown one.
    """

    kind = "hmm"
    config = HMMConfig
    order = "first"
    has_nbest = True

    _suffixes: Suffixes | None = None

    def set_tables(
        self, tags: Vocabulary, words: Vocabulary, start: np.ndarray, transitions: np.ndarray, emissions: np.ndarray
    ) -> Self:
        """Take these tables instead of training; returns self.

        Raises UsageError unless they fit the vocabularies and every row of them sums to 1."""
        size = len(tags)
        if words.unknown is None or not size:
            raise UsageError("expected at least one tag, and words with an entry for unknown ones")
        tables = []
        shapes = _shapes(tags, words)
        for (name, shape), values in zip(shapes.items(), (start, transitions, emissions), strict=True):
            table = np.array(values, dtype=np.float64)
            if table.shape != shape:
                raise UsageError(f"expected {name} of shape {shape}, found {table.shape}")
            if not (table >= 0).all() or not np.allclose(table.sum(-1), 1, rtol=0, atol=1e-6):
                raise UsageError(f"expected probabilities in {name}, each row summing to 1, found other values")
            table.setflags(write=False)
            tables.append(table)
        self._tags, self._words, self._suffixes = tags, words, None
        self.start, self.transitions, self.emissions = tables
        with np.errstate(divide="ignore"):  # log 0 = -inf: impossible
            self._start, self._transitions = np.log(self.start), np.log(self.transitions)
            self._emissions = np.log(np.ascontiguousarray(self.emissions.T))  # (V, K)
        return self

    def _estimate(self, data: list[Sentence]) -> None:
        lexicon = Lexicon.of(data)
        size, smoothing = len(lexicon.tags), self.settings.model.smoothing
        start, transitions = np.zeros(size), np.zeros((size, size))
        for sentence in data:
            ids = lexicon.tags.ids(sentence.tags or [])
            start[ids[0]] += 1
            for before, after in pairwise(ids):
                transitions[before, after] += 1
        unknown = lexicon.counts[lexicon.rare()].sum(0)
        words = Vocabulary([UNKNOWN, *(word for word in lexicon.words if word != UNKNOWN)], UNKNOWN)
        emissions = np.zeros((size, len(words)))
        emissions[:, words.ids(lexicon.words)] = lexicon.counts.T
        emissions[:, 0] += unknown  # on top of a word that is spelled like the unknown one
        tables = (_rates(table + smoothing) for table in (start, transitions, emissions))
        self.set_tables(lexicon.tags, words, *tables)
        rare = np.zeros((len(words), size), dtype=np.int64)
        few = lexicon.rare(RARE)
        rare[np.asarray(words.ids(lexicon.words))[few]] = lexicon.counts[few]
        totals = lexicon.counts.sum(0)
        self._set_suffixes(rare, totals / totals.sum())

    def _set_suffixes(self, rare: np.ndarray, prior: np.ndarray) -> None:
        """rare: (V, K) with which tags the words seen at most RARE times were seen, 0 for others; prior: p(tag)."""
        seen = np.flatnonzero(rare.any(1))
        self._rare, self._prior = rare, prior
        self._suffixes = Suffixes([self.words.items[index] for index in seen], rare[seen], prior)

    def log_probability(self, words: Sequence[str], tags: Sequence[str]) -> float:
        """log p(words, tags); minus infinity if impossible, 0 for an empty sentence.

        Raises UsageError when there are not as many tags as words, DataError for a tag the model does not have.
        """
        check_lengths(words, tags)
        ids, rows = np.asarray(self.tags.ids(tags), dtype=np.int64), self._rows(words)
        if not len(ids):
            return 0.0
        own = rows[np.arange(len(ids)), ids].sum()
        return float(self._start[ids[0]] + self._transitions[ids[:-1], ids[1:]].sum() + own)

    def log_likelihood(self, words: Sequence[str]) -> float:
        """log p(words), summed over all tag sequences (the forward algorithm); 0 for an empty sentence."""
        return float(np.logaddexp.reduce(self._forward(self._rows(words))[-1])) if len(words) else 0.0

    def tag(self, words: Sequence[str]) -> list[str]:
        """The most probable tag sequence (Viterbi). Of equal ones the one with the lowest tags, seen from the end.

        Raises UsageError when no sequence is possible, which smoothing prevents.
        """
        if not len(words):
            return []
        rows = self._rows(words)
        best = [self._start + rows[0]]
        for row in rows[1:]:
            best.append((best[-1][:, None] + self._transitions).max(0) + row)
        path = [int(best[-1].argmax())]
        if best[-1][path[0]] == -np.inf:
            raise UsageError(NO_PATH)
        into = self._transitions.T
        for scores in best[-2::-1]:
            path.append(int((scores + into[path[-1]]).argmax()))
        return [self.tags.items[tag] for tag in reversed(path)]

    def posterior(self, words: Sequence[str]) -> np.ndarray:
        """p(tag at a position | words) by forward-backward: (steps, K), each row summing to 1.

        Raises UsageError when no tag sequence is possible, which smoothing prevents.
        """
        if not len(words):
            return np.zeros((0, len(self.tags)))
        rows = self._rows(words)
        forward = self._forward(rows)
        backward = np.zeros_like(forward)
        for step in range(len(rows) - 2, -1, -1):
            backward[step] = np.logaddexp.reduce(self._transitions + (rows[step + 1] + backward[step + 1]), axis=1)
        return normalized(forward + backward)

    def nbest(self, words: Sequence[str], k: int) -> list[tuple[list[str], float]]:
        """The k most probable tag sequences and p(tags | words) of each, best first, exactly.

        Raises UsageError if some tag sequence is impossible, which smoothing prevents."""
        if not len(words):
            return [([], 1.0)]
        tables = [torch.from_numpy(table) for table in (self._rows(words), self._transitions, self._start)]
        if not all(table.isfinite().all() for table in tables):
            raise UsageError("n-best sequences need a model in which all are possible; train with a smoothing above 0")
        (paths,) = nbest(Packed.plan([len(words)]).with_data(tables[0]), k, transitions=tables[1], start=tables[2])
        total = self.log_likelihood(words)
        return [([self.tags.items[tag] for tag in path], math.exp(score - total)) for path, score in paths]

    def _arrays(self) -> Arrays:
        tables = {"start": self.start, "transitions": self.transitions, "emissions": self.emissions}
        return tables if self._suffixes is None else {**tables, "rare": self._rare, "prior": self._prior}

    def _take(self, arrays: Arrays) -> None:
        shapes = _shapes(self.tags, self.words)
        try:
            self.set_tables(
                self.tags, self.words, *(stored(arrays, name, shape, "f") for name, shape in shapes.items())
            )
        except UsageError as error:
            raise ModelError(f"{error}: restore the model or train again") from None
        if "rare" in arrays or "prior" in arrays:  # without both: tables that were set, or of an older version
            rare = stored(arrays, "rare", (len(self.words), len(self.tags)), "i")
            prior = stored(arrays, "prior", (len(self.tags),), "f")
            if (rare.sum(1) > RARE).any() or not (prior > 0).all() or not np.isclose(prior.sum(), 1):
                raise ModelError(
                    "expected the counts of rare words and the shares of the tags, found others: restore the model or "
                    "train again"
                )
            self._set_suffixes(rare, prior)

    def _rows(self, words: Sequence[str]) -> np.ndarray:
        """(steps, K): log p(word | tag)."""
        ids = self.words.ids(words)
        rows: np.ndarray = self._emissions[ids]
        if self._suffixes is not None:
            for step in np.flatnonzero(np.asarray(ids) == 0).tolist():
                rows[step] = self._unseen(self._suffixes, words[step])
        return rows

    def _unseen(self, suffixes: Suffixes, word: str) -> np.ndarray:
        """(K,): log p(word | tag) of a word that was never seen."""
        smoothing = self.settings.model.smoothing
        chances = (suffixes.probabilities(word) + smoothing * self._prior) / (1 + smoothing)
        unknown = self._prior @ self.emissions[:, 0]
        with np.errstate(divide="ignore"):  # 0 without smoothing where all tags are equally frequent
            scores: np.ndarray = np.log(unknown * chances / self._prior)
        return scores

    def _forward(self, rows: np.ndarray) -> np.ndarray:
        """(steps, K): log p(words so far, tag here)."""
        forward = np.empty_like(rows)
        forward[0] = self._start + rows[0]
        for step in range(1, len(rows)):
            forward[step] = np.logaddexp.reduce(forward[step - 1][:, None] + self._transitions, axis=0) + rows[step]
        return forward


def _shapes(tags: Vocabulary, words: Vocabulary) -> dict[str, tuple[int, ...]]:
    size = len(tags)
    return {"start": (size,), "transitions": (size, size), "emissions": (size, len(words))}


def check_lengths(words: Sequence[str], tags: Sequence[str]) -> None:
    """Raises UsageError when there are not as many tags as words."""
    if len(words) != len(tags):
        raise UsageError(f"expected a tag for each of the {len(words)} words, found {len(tags)} tags")


def normalized(scores: np.ndarray) -> np.ndarray:
    """Rows of log weights (steps, K) as probabilities. Raises UsageError for a row without any weight."""
    peaks = scores.max(1, keepdims=True)
    if (peaks == -np.inf).any():
        raise UsageError(NO_PATH)
    weights = np.exp(scores - peaks)
    return weights / weights.sum(1, keepdims=True)


def _rates(counts: np.ndarray) -> np.ndarray:
    """Rows of counts as rows that sum to 1; a row of zeros is uniform."""
    totals = counts.sum(-1, keepdims=True)
    return np.where(totals > 0, counts, 1.0) / np.where(totals > 0, totals, counts.shape[-1])
