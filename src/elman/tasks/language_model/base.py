"""What every language model does with texts: numbering, scoring line by line, perplexity, mixtures, samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import ModelError, UsageError, nearest
from elman.metrics.perplexity import PerplexityResult, PerplexityScore
from elman.metrics.significance import perplexity
from elman.tasks import storage
from elman.tasks.language_model import card
from elman.tasks.language_model.config import PRECISIONS
from elman.tasks.language_model.data import END, END_ID, Corpus, TextSource, make_tokenizer, make_vocabulary
from elman.tasks.language_model.sampling import Choice
from elman.tasks.measure import Measure
from elman.tasks.model import Model
from elman.tasks.transfer import extended, require_same_settings
from elman.text.tokenizing import Tokenizer, tokenizer_from_json
from elman.text.vocabulary import Vocabulary

Data = TextSource | str | Path | Sequence[str]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Scored:
    """One line: its tokens with the end of the line last, and the natural log-probability of each."""

    tokens: list[str]
    log_probabilities: list[float]

    @property
    def total(self) -> float:
        return sum(self.log_probabilities)


class BaseLanguageModel(Model[Data]):
    """The next token of a text. It is trained on texts: a file path, or a list of lines."""

    task = "lm"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._tokenizer: Tokenizer | None = None
        self._vocabulary: Vocabulary | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """How it splits a line."""
        return self._require_trained(self._tokenizer)

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokens: <unk>, the end of a line, then by descending count."""
        return self._require_trained(self._vocabulary)

    def _require_trained(self, value: Any) -> Any:
        if value is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return value

    @property
    def carries(self) -> bool:
        """Whether earlier lines affect the scores of a line."""
        raise NotImplementedError

    def start(self) -> Any:
        """The state before the first token, for `read` and `sample`."""
        raise NotImplementedError

    def read(self, ids: np.ndarray[Any, Any], state: Any) -> tuple[Floats, Any]:
        """The natural log-probability of each id (tokens,) of whole lines, and the state after them.

        Without `carries`, each line starts from scratch."""
        raise NotImplementedError

    # Texts and numbers

    def _texts(
        self, train: Data, dev: Data | float | None, test: Data | None, old: BaseLanguageModel | None = None
    ) -> dict[str, TextSource | None]:
        """The three texts; tokenizer and vocabulary are made from the first. With `old`, its tokenizer is used, and its
        tokens come first."""
        for data in (train, dev, test):
            if data is not None and not isinstance(data, float | int):
                TextSource.of(data).require_file()
        text, held = TextSource.of(train), None
        if isinstance(dev, float | int):
            text, held = text.split(float(dev), self.settings.model.tokenizer)
        elif dev is not None:
            held = TextSource.of(dev)
        if old is not None:
            require_same_settings(old, self, ("tokenizer",))
        self._tokenizer = make_tokenizer(self.settings.model, text) if old is None else old.tokenizer
        vocabulary = make_vocabulary(self.settings.model, text, self._tokenizer)
        self._vocabulary = extended(None if old is None else old.vocabulary, vocabulary)
        return {"train": text, "dev": held, "test": None if test is None else TextSource.of(test)}

    def corpus(self, data: Data | Corpus, file: Path | None = None) -> Corpus:
        """A text as ids."""
        return (
            data
            if isinstance(data, Corpus)
            else Corpus.read(TextSource.of(data), self.tokenizer, self.vocabulary, file)
        )

    def _ids(self, tokens: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array(self.vocabulary.ids(tokens), np.int64)

    # Scores

    def log_probabilities(self, data: Data | Corpus) -> Floats:
        """The natural log-probability of every token of a text, in order: (tokens,), including line ends."""
        logs, _ = self.read(self.corpus(data).ids, self.start())
        return logs

    def evaluate(
        self, data: Data | Corpus, *, ngram: BaseLanguageModel | None = None, weight: float = 0.5
    ) -> PerplexityResult:
        """Perplexity of a text: a path, or lines. ngram: a model to mix with, `weight` being this model's share.

        Raises UsageError if the other model has another vocabulary, DataError for a file that cannot be read."""
        corpus = self.corpus(data)
        logs = self.log_probabilities(corpus)
        if ngram is not None:
            logs = mixed(logs, ngram.log_probabilities(self._translated(corpus, ngram)), weight)
        context = ("stream" if self.carries else "lines") + ("" if ngram is None else f"+ngram:{weight:.3g}")
        total = PerplexityScore(self.settings.model.tokenizer, context)
        total.add(float(logs.sum()), len(corpus), corpus.ends, corpus.unknown, corpus.characters)
        return total.result()

    def tune_weight(self, data: Data, ngram: BaseLanguageModel) -> float:
        """The share of this model in a mixture that makes a text (dev data!) most likely, by EM (Jelinek 1980)."""
        corpus = self.corpus(data)
        mine, other = self.log_probabilities(corpus), ngram.log_probabilities(self._translated(corpus, ngram))
        weight = 0.5
        for _ in range(100):
            share = float(np.exp(mine + math.log(weight) - mixed(mine, other, weight)).mean())
            if abs(share - weight) < 1e-6:
                break
            weight = min(max(share, 1e-6), 1 - 1e-6)
        return weight

    def _translated(self, corpus: Corpus, other: BaseLanguageModel) -> Corpus:
        if set(other.vocabulary.items) != set(self.vocabulary.items):
            raise UsageError(
                "expected two models with one vocabulary, found two: a mixture would not be a distribution; train both "
                "on the same text with the same tokenizer"
            )
        table = np.array([other.vocabulary[item] for item in self.vocabulary.items], np.int64)
        return Corpus(table[corpus.ids], corpus.characters, corpus.digest)

    def score(self, lines: Iterable[str], *, tokens_at_once: int = 4000) -> Iterator[Scored]:
        """Each line's tokens with their log-probabilities, as the lines come, in constant memory."""
        state, batch, size = self.start(), [], 0
        for line in lines:
            batch.append([*self.tokenizer.split(line), END])
            size += len(batch[-1])
            if size >= tokens_at_once:
                scored, state = self.score_batch(batch, state)
                yield from scored
                batch, size = [], 0
        if batch:
            yield from self.score_batch(batch, state)[0]

    def score_batch(self, lines: Sequence[Sequence[str]], state: Any) -> tuple[list[Scored], Any]:
        """Lines as tokens, END after each -> their scores, and the state after them."""
        logs, state = self.read(self._ids([token for line in lines for token in line]), state)
        cut = np.cumsum([0, *(len(line) for line in lines)])
        return [Scored(list(x), logs[a:b].tolist()) for x, a, b in zip(lines, cut, cut[1:], strict=False)], state

    @property
    def measure(self) -> Measure:
        return Measure("perplexity", perplexity, lower=True, percent=False, more=("bits_per_character",))

    def statistics(self, data: Data) -> Floats:
        """(lines, 2): the negative log-likelihood and the tokens of each line."""
        corpus = self.corpus(data)
        ends = np.flatnonzero(corpus.ids == END_ID)
        bounds = np.append(ends + 1, len(corpus)) if not len(ends) or ends[-1] + 1 < len(corpus) else ends + 1
        starts = np.append(0, bounds[:-1])
        return np.stack([np.add.reduceat(-self.log_probabilities(corpus), starts), bounds - starts], 1)

    # Samples

    def sample(
        self,
        tokens: int = 100,
        *,
        prompt: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        precision: str = "float32",
    ) -> Iterator[str]:
        """Tokens drawn one by one, as text that can be concatenated as it comes, in constant memory.

        temperature: 0 takes the likeliest token; top_k, top_p: draw only among the k likeliest, or among the likeliest
        that make up the share p (Holtzman et al. 2020); <unk> is never drawn. seed: the same seed gives the same text.
        precision: of a network's products; "bfloat16" is faster, and another text.
        Raises UsageError for values out of range."""
        choice = Choice(temperature, top_k, top_p, seed)
        if tokens < 0:
            raise UsageError(f"expected 0 tokens or more, found {tokens}")
        if precision not in PRECISIONS:
            raise UsageError(f"unknown precision {precision!r}; {nearest(precision, PRECISIONS)}")
        return self._sample(tokens, prompt, choice, precision)

    def _sample(self, tokens: int, prompt: str, choice: Choice, precision: str) -> Iterator[str]:
        raise NotImplementedError

    def _pieces(self, ids: Iterable[int], begun: bool) -> Iterator[str]:
        """Drawn ids as text; begun: something precedes them on their line."""
        between = " " if self.settings.model.tokenizer in ("space", "words") else ""
        if self.settings.model.tokenizer == "subwords":
            yield from self._subwords(ids)
            return
        for i in ids:
            if i == END_ID:
                yield "\n"
            else:
                yield (between if begun else "") + self.vocabulary.items[i]
            begun = i != END_ID

    def _subwords(self, ids: Iterable[int]) -> Iterator[str]:
        """The bytes of one character may be several subwords: a piece comes when it is complete."""
        held: list[str] = []
        for i in ids:
            if i == END_ID:
                yield self.tokenizer.join(held) + "\n"
                held = []
                continue
            held.append(self.vocabulary.items[i])
            if "�" not in (text := self.tokenizer.join(held)):
                yield text
                held = []
        if held:
            yield self.tokenizer.join(held)

    # The model folder

    def vocabulary_files(self) -> dict[str, Vocabulary | None]:
        return {"vocabulary": self.vocabulary}

    def _write_more(self, path: Path) -> None:
        storage.write_json(path / "tokenizer.json", self.tokenizer.to_json(), indent=False)

    def _restore(self, path: Path) -> None:
        self._vocabulary = storage.read_vocabulary(path / "vocabulary.json")
        if self._vocabulary.items[1:2] != [END] or self._vocabulary.unknown is None:
            raise ModelError(f"{path / 'vocabulary.json'}: expected <unk> and {END} first; restore the file")
        try:
            self._tokenizer = tokenizer_from_json(storage.read_json(path / "tokenizer.json"))
        except ModelError as problem:
            raise ModelError(f"{path / 'tokenizer.json'}: {problem}") from problem

    score_rows = staticmethod(card.score_rows)

    def usage(self, name: str) -> list[str]:
        return card.usage(name, code=self._source is not None)


def mixed(mine: Floats, other: Floats, weight: float) -> Floats:
    """log(weight exp(mine) + (1 - weight) exp(other)). Raises UsageError for a weight outside 0 to 1."""
    if not 0 <= weight <= 1:
        raise UsageError(f"expected a weight from 0 to 1, found {weight}")
    with np.errstate(divide="ignore"):
        return np.logaddexp(mine + np.log(weight), other + np.log1p(-weight))
