"""N-gram language models: fitted on sentences, scored at all positions at once, stored as ARPA text or as arrays."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from elman.errors import DataError, ModelError, UsageError
from elman.tasks.language_model.config import HIGHEST
from elman.tasks.language_model.rivals import arpa
from elman.tasks.language_model.rivals.arpa import BEGIN, END, UNKNOWN
from elman.tasks.language_model.rivals.kneser_ney import Floats, Grams, Ints, estimate, find
from elman.text.files import Path

BLOCK = 4096  # sentences scored at once: memory stays small however long the text

Sentence = Sequence[str]


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text, and what was counted."""

    perplexity: float  # exp(-log_likelihood / tokens)
    tokens: int  # words and sentence ends
    sentences: int
    unknown: int  # tokens scored as <unk>: not in the vocabulary, or spelled like it
    log_likelihood: float  # natural

    def __str__(self) -> str:
        return (
            f"perplexity {self.perplexity:.2f} over {self.tokens:,} tokens"
            f" (with the ends of {self.sentences:,} sentences; {self.unknown:,} tokens scored as {UNKNOWN})"
        )


class NGram:
    """An n-gram language model with backoff: p(w | c) is what is stored for c w, else backoff(c) p(w | c[1:]).

    Sentences are sequences of words; their begin and end are added. A word that is not in the vocabulary is
    scored as <unk>. Three words are in every vocabulary: <unk>, <s> (begin, of probability 0) and </s> (end).
    """

    def __init__(self, tables: Sequence[Grams], vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._tables = list(tables)
        self._index = {word: i for i, word in enumerate(self.vocabulary)}
        self._begin, self._end, self._unknown = (self._index[word] for word in (BEGIN, END, UNKNOWN))

    @property
    def order(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(table.keys):,}" for table in self._tables)
        return f"NGram(order={self.order}, n-grams of each order: {sizes})"

    @classmethod
    def fit(cls, sentences: Iterable[Sentence], order: int = 5) -> NGram:
        """Modified interpolated Kneser-Ney (Chen and Goodman 1998) as `lmplz` estimates it; see `kneser_ney.estimate`.

        <unk> in the text is a word like any other. If the text is too small for the discounts of an order, fixed
        ones (0.5, 1, 1.5) are used and a UserWarning names the order.

        Raises UsageError for an order outside 1 to 7, no sentences, or a sentence that is a string; DataError for <s>
        or </s> among the words.
        """
        if not isinstance(order, int) or not 1 <= order <= HIGHEST:
            raise UsageError(f"expected an order from 1 to {HIGHEST}, found {order!r}")
        index: defaultdict[str, int] = defaultdict()
        index.default_factory = index.__len__  # a new word gets the next id
        _, begin, end = (index[word] for word in (UNKNOWN, BEGIN, END))
        ids, number = _ids(sentences, index.__getitem__, begin, end)
        if not number:
            raise UsageError("expected at least one sentence to fit on, found none")
        return cls(estimate(ids, order, len(index), begin), list(index))

    def score(self, sentence: Sentence) -> list[float]:
        """The natural logarithm of the probability of each word and of the sentence's end: len(sentence) + 1 numbers.

        Raises UsageError for a string instead of words, DataError for <s> or </s> among them.
        """
        ids = self._sentences([sentence])[0]
        return [float(log) for log in self._log_probabilities(ids)[1:]]

    def perplexity(self, sentences: Iterable[Sentence]) -> Perplexity:
        """The perplexity of a text, sentence ends counted, begins not.

        Raises as `score` does, and UsageError for no sentences."""
        tokens = number = unknown = 0
        total = 0.0
        rest = iter(sentences)
        while block := list(islice(rest, BLOCK)):
            ids, count = self._sentences(block, number)
            inside = ids != self._begin
            total += float(self._log_probabilities(ids)[inside].sum())
            tokens += int(inside.sum())
            unknown += int((ids == self._unknown).sum())
            number += count
        if not number:
            raise UsageError("expected at least one sentence to score, found none")
        mean = -total / tokens
        return Perplexity(math.exp(mean) if mean < 700 else math.inf, tokens, number, unknown, total)

    def ids(self, words: Iterable[str]) -> Ints:
        """Words as their numbers in `vocabulary`, those not in it as <unk>: what `log_probabilities_of` takes."""
        return np.fromiter((self._index.get(word, self._unknown) for word in words), np.int64)

    def log_probabilities_of(self, ids: Ints, *, across: bool = False) -> Floats:
        """The natural logarithm of the probability of each id of a text, shape (tokens,), after those before it.

        ids: words, with the id of </s> at each sentence's end. Contexts restart at <s> after each end; with
        `across` they run across the ends, and nothing is put before the first word. (A model fitted on sentences has
        seen nothing after </s>: what follows one is then scored by what comes after any word.)

        Raises UsageError for ids outside the vocabulary, or <s>.
        """
        ids = np.asarray(ids, np.int64)
        if ids.ndim != 1 or ((ids < 0) | (ids >= len(self.vocabulary)) | (ids == self._begin)).any():
            raise UsageError(f"expected one row of ids from 0 to {len(self.vocabulary) - 1}, none of them for <s>")
        if across or not len(ids):
            return self._log_probabilities(ids)
        starts = np.append(0, np.flatnonzero(ids[:-1] == self._end) + 1)
        opened = np.insert(ids, starts, self._begin)
        return self._log_probabilities(opened)[opened != self._begin]

    def next_distribution(self, context: Sentence, *, begun: bool = True) -> Floats:
        """The probability of each word of the vocabulary coming next; sums to 1. Shape (vocabulary,).

        context: the words of the sentence so far, `[]` at its start. With begun=False: words from the middle of a text.

        Raises UsageError for a string instead of words.
        """
        if isinstance(context, str):
            raise UsageError(f"expected a sequence of words, found the string {context[:40]!r}; split it first")
        words = [BEGIN, *context] if begun and len(context) < self.order - 1 else context
        ids = self.ids(words[max(len(words) - self.order + 1, 0) :])
        rows, size = ids, len(self.vocabulary)
        chances = np.exp(self._tables[0].log_probability)
        for below, table in zip(self._tables[: len(ids)], self._tables[1:], strict=False):
            if rows[-1] >= 0:  # the last words are a context of this length
                first, last = np.searchsorted(table.keys, (rows[-1] * size, (rows[-1] + 1) * size))
                chances *= math.exp(below.log_backoff[rows[-1]])
                chances[table.keys[first:last] - rows[-1] * size] = np.exp(table.log_probability[first:last])
            rows = find(table.keys, rows[:-1], ids[len(ids) - len(rows) + 1 :], size)
        return chances

    def save_arpa(self, path: Path) -> None:
        """Write the model as ARPA text, which KenLM and SRILM read; `.gz` is compressed.

        Raises UsageError for a word with a blank in it, ResourceError if writing fails."""
        arpa.write(path, self._tables, self.vocabulary)

    @classmethod
    def load_arpa(cls, path: Path) -> NGram:
        """Read ARPA text, `.gz` too. Raises DataError, with file and line, for a broken file."""
        return cls(*arpa.read(path))

    def to_tensors(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The model as arrays and what JSON can hold: what `from_tensors` takes."""
        tensors = {f"{field}.{k}": value for k, t in enumerate(self._tables, 1) for field, value in t._asdict().items()}
        return tensors, {"order": self.order, "vocabulary": self.vocabulary}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> NGram:
        """The model that `to_tensors` returned. Raises ModelError for arrays that are not one."""
        try:
            orders = range(1, config["order"] + 1)
            tables = [Grams(*(tensors[f"{field}.{k}"] for field in Grams._fields)) for k in orders]
            size = len(config["vocabulary"])
            model = cls(tables, config["vocabulary"])
        except (KeyError, TypeError) as error:
            raise ModelError(f"n-gram model: expected an order, a vocabulary and arrays; {error!r}") from error
        rows = 1
        for k, table in enumerate(tables, 1):
            keys, highest = table.keys, k == len(tables)
            shapes = [keys.shape, table.log_probability.shape, table.log_backoff.shape]
            fine = shapes == [(len(keys),), (len(keys),), (0,) if highest else (len(keys),)] and keys.dtype == np.int64
            if not fine or (np.diff(keys) <= 0).any() or (len(keys) and not 0 <= keys[0] <= keys[-1] < rows * size):
                raise ModelError(f"n-gram model: the arrays of order {k} do not fit together; train or copy it again")
            rows = len(keys)
        if not tables or len(model._index) != size or len(tables[0].keys) != size:
            raise ModelError(f"n-gram model: expected distinct words, one for each unigram, found {size} words")
        return model

    def _sentences(self, sentences: Iterable[Sentence], before: int = 0) -> tuple[Ints, int]:
        unknown = self._unknown
        get = self._index.get
        return _ids(sentences, lambda word: get(word, unknown), self._begin, self._end, before)

    def _log_probabilities(self, ids: Ints) -> Floats:
        """The natural logarithm of each id after those before it, of shape (tokens,); nothing is added to the ids."""
        result = self._tables[0].log_probability[ids]
        rows = ids  # of the n-gram of order k that ends here, -1 without one
        for below, table in zip(self._tables, self._tables[1:], strict=False):
            contexts = np.append(-1, rows[:-1])[: len(ids)]
            rows = find(table.keys, contexts, ids, len(self.vocabulary))
            known, found = contexts >= 0, rows >= 0
            result[known] += below.log_backoff[contexts[known]]
            result[found] = table.log_probability[rows[found]]
        return result


def _ids(
    sentences: Iterable[Sentence], number_of: Callable[[str], int], begin: int, end: int, before: int = 0
) -> tuple[Ints, int]:
    """Sentences as one row of ids, each `begin`, its words, `end`; and how many. before: sentences read earlier."""
    ids, number = array("q"), 0
    for sentence in sentences:
        number += 1
        if isinstance(sentence, str):
            raise UsageError(f"expected sentences as sequences of words, found the string {sentence[:40]!r}; split it")
        if BEGIN in sentence or END in sentence:
            raise DataError(f"sentence {before + number}: expected words, found {BEGIN} or {END}, which are added here")
        ids.append(begin)
        ids.extend(map(number_of, sentence))
        ids.append(end)
    return np.array(ids, np.int64), number
