"""The hidden Markov model of second order, with a suffix model of unknown words.

Brants 2000, TnT: a statistical part-of-speech tagger. With two tags before the first word and one after the last,

    p(words, tags) = prod p(y_t | y_t-2, y_t-1) * p(end | y_T-1, y_T) * prod p(w_t | y_t)
    p(c | a, b)    = lambda_1 f(c) / N + lambda_2 f(b, c) / f(b) + lambda_3 f(a, b, c) / f(a, b)

Where the paper leaves a choice, or is not followed: the end is a tag like the others in the second line, so every
context that was seen has probabilities that sum to 1 (the paper gives it a bigram). In deleted interpolation, ties go
to the shorter context, and each of the lambdas starts with a count of one, so that none is 0 and every sentence can be
tagged. Theta is the standard deviation, as the text and its values say; the formula printed there lacks the square
root. The capitals of neighbouring words are not part of the tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elman.errors import ModelError, UsageError
from elman.tasks.tagging.config import DecodingConfig
from elman.tasks.tagging.rivals.counted import Arrays, Lexicon, stored
from elman.tasks.tagging.rivals.hmm import MarkovTagger, check_lengths, normalized
from elman.tasks.tagging.rivals.suffixes import RARE, Suffixes, ratio
from elman.text.sentence import Sentence

MOST_TAGS = 300  # the table of trigrams is dense: 216 MB at this size


class TrigramTagger(MarkovTagger):
    """The hidden Markov model of second order (TnT). Everything follows from two tables of counts; K tags, V words.

    lexicon:     words by tags
    trigrams:    (K+1, K+1, K+1) counts; K is the beginning on the first two axes, the end on the third
    lambdas:     (3,) weights of unigram, bigram and trigram
    transitions: (K+1, K+1, K+1) p(tag | the two before)
    suffixes:    of unknown words

    `fit` raises UsageError for more tags than the trigram table is made for.
    """

    kind = "trigram"
    config = DecodingConfig
    order = "second"

    def _set(self, lexicon: Lexicon, trigrams: np.ndarray) -> None:
        check_size(len(lexicon.tags))
        self.lexicon, self.trigrams = lexicon, trigrams
        self._words, self._tags = lexicon.words, lexicon.tags
        self.lambdas = deleted_interpolation(trigrams)
        pairs, singles = trigrams.sum(0), trigrams.sum((0, 1))
        self.transitions = (
            self.lambdas[0] * singles / singles.sum()
            + self.lambdas[1] * ratio(pairs, pairs.sum(1, keepdims=True))
            + self.lambdas[2] * ratio(trigrams, trigrams.sum(2, keepdims=True))
        )
        self._transitions = np.log(self.transitions)
        totals = lexicon.counts.sum(0)
        prior = totals / totals.sum()  # (K,)
        # Known words can have only the tags seen with them: word w those from places[w] up to places[w + 1].
        rows, self._known = np.nonzero(lexicon.counts)
        self._known_scores = np.log(lexicon.counts[rows, self._known] / totals[self._known])
        self._places = np.searchsorted(rows, np.arange(len(lexicon.words) + 1)).tolist()
        self._word_ids = {word: index for index, word in enumerate(lexicon.words)}
        rare = np.flatnonzero(lexicon.rare(RARE))
        self.suffixes = Suffixes([lexicon.words.items[index] for index in rare], lexicon.counts[rare], prior)
        self._prior, self._all = prior, np.arange(len(prior))

    def _estimate(self, data: list[Sentence]) -> None:
        lexicon = Lexicon.of(data)
        edge = len(lexicon.tags)
        check_size(edge)
        trigrams = np.zeros((edge + 1,) * 3, dtype=np.int64)
        for sentence in data:
            ids = lexicon.tags.ids(sentence.tags or [])
            np.add.at(trigrams, ([edge, edge, *ids[:-1]], [edge, *ids], [*ids, edge]), 1)
        self._set(lexicon, trigrams)

    def log_probability(self, words: Sequence[str], tags: Sequence[str]) -> float:
        """log p(words, tags); minus infinity for a known word with a tag that it never had.

        p(w | tag) of an unknown word is p(tag | suffix) / p(tag): by Bayes' rule this lacks the factor p(suffix),
        which is the same for all tags. Raises UsageError when there are not as many tags as words, DataError for a tag
        the model does not have.
        """
        check_lengths(words, tags)
        ids, edge = self.tags.ids(tags), len(self.tags)
        total, before, here = 0.0, edge, edge
        for word, tag in zip(words, ids, strict=True):
            possible, scores = self._emission(word)
            own = scores[possible == tag]
            total += self._transitions[before, here, tag] + (own[0] if len(own) else -np.inf)
            before, here = here, tag
        return float(total + self._transitions[before, here, edge])

    def log_likelihood(self, words: Sequence[str]) -> float:
        """The logarithm of what `log_probability` sums to over all tag sequences (the forward algorithm)."""
        return float(self._forward([self._emission(word) for word in words])[1])

    def tag(self, words: Sequence[str], beam: float | None = None) -> list[str]:
        """The most probable tag sequence (Viterbi), exactly.

        With a beam (1000 in the paper), pairs of tags that many times less probable than the best pair at their
        position are dropped, as there: no longer exact and, with tens of tags, no faster, since known words have few.
        Raises UsageError for a beam below 1.
        """
        if beam is not None and not beam >= 1:
            raise UsageError(f"expected a beam of 1 or more, found {beam}")
        edge = np.array([len(self.tags)])
        before, here, best = edge, edge, np.zeros((1, 1))  # best: (before, here)
        # For each step its tags, and by the indices of the pair (last tag, tag) those of the pair before it.
        trail: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for word in words:
            tags, scores = self._emission(word)
            table = best[:, :, None] + self._transitions[before[:, None, None], here[:, None], tags]
            best, origins = table.max(0) + scores, table.argmax(0)
            lasts = self._all[: len(here)]
            if beam is not None:
                kept = best >= best.max() - np.log(beam)
                lasts, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
                box = np.ix_(lasts, columns)
                best, origins, tags = np.where(kept, best, -np.inf)[box], origins[box], tags[columns]
            before, here = here[lasts], tags
            trail.append((tags, origins, lasts))
        last = best + self._transitions[before[:, None], here, edge]
        row, column = divmod(int(last.argmax()), len(here))
        path = []
        for tags, origins, lasts in reversed(trail):
            path.append(self.tags.items[tags[column]])
            row, column = origins[row, column], lasts[row]
        return path[::-1]

    def posterior(self, words: Sequence[str]) -> np.ndarray:
        """p(tag at a position | words) by forward-backward: (steps, K), each row summing to 1."""
        scores = np.full((len(words), len(self.tags)), -np.inf)
        emissions = [self._emission(word) for word in words]
        forward, _ = self._forward(emissions)
        edge = np.array([len(self.tags)])
        tags = [edge, edge, *(possible for possible, _ in emissions)]
        if not emissions:
            return scores
        backward = self._transitions[tags[-2][:, None], tags[-1], edge]  # (before, here)
        for step in range(len(words) - 1, -1, -1):
            before, here, after = tags[step : step + 3]
            scores[step, after] = np.logaddexp.reduce(forward[step] + backward, axis=0)
            inner = self._transitions[before[:, None, None], here[:, None], after] + (emissions[step][1] + backward)
            backward = np.logaddexp.reduce(inner, axis=2)
        return normalized(scores)

    def _arrays(self) -> Arrays:
        return {"lexicon": self.lexicon.counts, "trigrams": self.trigrams}

    def _take(self, arrays: Arrays) -> None:
        edge = len(self.tags)
        counts = stored(arrays, "lexicon", (len(self.words), edge), "i")
        trigrams = stored(arrays, "trigrams", (edge + 1,) * 3, "i")
        seen = trigrams.sum((0, 1))
        if not counts.any(1).all() or (seen[:edge] != counts.sum(0)).any() or not seen.all():
            raise ModelError("expected the counts of one text, found two that differ: restore the model or train again")
        self._set(Lexicon(self.words, self.tags, counts), trigrams)

    def _emission(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """The tags that a word may have, in ascending order, and log p(word | tag) of each."""
        index = self._word_ids.get(word)
        if index is None:
            with np.errstate(divide="ignore"):  # theta is 0 where all tags are equally frequent
                return self._all, np.log(self.suffixes.probabilities(word) / self._prior)
        own = slice(self._places[index], self._places[index + 1])
        return self._known[own], self._known_scores[own]

    def _forward(self, emissions: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[np.ndarray], np.float64]:
        """log p(words so far, last tag, tag here) of every step, and log p(words)."""
        edge = np.array([len(self.tags)])
        before, here, total = edge, edge, np.zeros((1, 1))
        steps = []
        for tags, scores in emissions:
            table = total[:, :, None] + self._transitions[before[:, None, None], here[:, None], tags]
            before, here, total = here, tags, np.logaddexp.reduce(table, axis=0) + scores
            steps.append(total)
        return steps, np.logaddexp.reduce(total + self._transitions[before[:, None], here, edge], axis=None)


def deleted_interpolation(trigrams: np.ndarray) -> np.ndarray:
    """The weights (3,) of unigrams, bigrams and trigrams from the counts of trigrams; they sum to 1.

    Each trigram votes, as often as it was seen, for the length of context that would have predicted it best had this
    one occurrence been left out (Brants 2000, figure 1).
    """
    pairs, singles = trigrams.sum(0), trigrams.sum((0, 1))
    first, second, third = np.nonzero(trigrams)
    seen = trigrams[first, second, third]
    left = np.stack(
        [
            ratio(singles[third] - 1, singles.sum() - 1),
            ratio(pairs[second, third] - 1, pairs.sum(1)[second] - 1),
            ratio(seen - 1, trigrams.sum(2)[first, second] - 1),
        ]
    )
    votes = 1.0 + np.bincount(left.argmax(0), weights=seen, minlength=3)
    return votes / votes.sum()


def check_size(tags: int) -> None:
    """Raises UsageError for more tags than the trigram table is made for."""
    if tags > MOST_TAGS:
        raise UsageError(f"expected at most {MOST_TAGS} tags for a trigram model, found {tags}: use a coarser set")
