"""The taggers that are estimated in one go, as models: what a network has to beat.

The algorithms stand in `majority`, `hmm`, `trigrams` and `crfsuite`; here are their settings, answers and folders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from elman.errors import ModelError
from elman.tasks.settings import COUNT, NUMBER, Rules, check_rules, one_of
from elman.tasks.tagging import card
from elman.tasks.tagging.counts import Lexicon, Plain, Tensors
from elman.tasks.tagging.crfsuite import CRFTagger
from elman.tasks.tagging.hmm import HMM
from elman.tasks.tagging.majority import MajorityTagger
from elman.tasks.tagging.model import CountedTagger, Prediction
from elman.tasks.tagging.trigrams import TrigramTagger
from elman.text import Sentence

RULES: Rules = {
    "scheme": one_of("auto", "none", "io", "iob1", "iob2", "bioes"),
    "decoding": one_of("viterbi", "posterior"),
    "smoothing": NUMBER,
    "c1": NUMBER,
    "c2": NUMBER,
    "max_iterations": COUNT,
}


class MajorityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Raises UsageError that says what was expected."""

    scheme: str = "auto"  # io, iob1, iob2, bioes, none; auto looks at the training tags

    def __post_init__(self) -> None:
        check_rules(self, {key: rule for key, rule in RULES.items() if key in self.__struct_fields__})


class TrigramConfig(MajorityConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Raises UsageError that says what was expected."""

    decoding: str = "viterbi"  # the best sequence; or posterior: the best tag at each place


class HMMConfig(TrigramConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Raises UsageError that says what was expected."""

    smoothing: float = 0.001  # added to every count


class CRFConfig(MajorityConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Raises UsageError that says what was expected."""

    c1: float = 0.1  # penalty of the sizes of the weights
    c2: float = 0.01  # and of their squares
    max_iterations: int = 100


class Majority(CountedTagger):
    """Every word gets the tag that it had most often. `tables` is a `MajorityTagger`."""

    kind = "majority"
    config = MajorityConfig

    def _estimate(self, train: list[Sentence]) -> tuple[Any, Tensors, Plain]:
        tables = MajorityTagger.fit(train)
        return tables, *tables.to_tensors()

    def _tables_of(self, tensors: Mapping[str, np.ndarray], plain: Plain) -> Any:
        return MajorityTagger.from_tensors(tensors, plain)

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[Prediction]:
        self._no_nbest(nbest)
        tables = self.tables
        return [Prediction(tables.tag(text), tables.probabilities(text) if probabilities else None) for text in texts]

    def describe(self) -> list[str]:
        return [
            f"A tagger with {len(self.labels)} tags, made with [elman]: every word gets the tag that it had most often "
            "in the training data, an unknown one that of the words seen once.",
            card.tags(self),
        ]


class HiddenMarkov(CountedTagger):
    """The hidden Markov model of first order. `tables` is an `HMM`: start, transitions and emissions.

    A tag's probability is its posterior."""

    kind = "hmm"
    config: ClassVar[type[msgspec.Struct]] = HMMConfig
    order: ClassVar[str] = "first"

    def _estimate(self, train: list[Sentence]) -> tuple[Any, Tensors, Plain]:
        tables = HMM.fit(train, self.settings.model.smoothing)
        return tables, *tables.to_tensors()

    def _tables_of(self, tensors: Mapping[str, np.ndarray], plain: Plain) -> Any:
        return HMM.from_tensors(tensors, plain)

    def log_probability(self, words: Sequence[str], tags: Sequence[str]) -> float:
        """log p(words, tags); minus infinity where it is impossible.

        Raises UsageError when there are not as many tags as words, DataError for a tag that the model does not have."""
        found: float = self.tables.log_probability(words, tags)
        return found

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[Prediction]:
        return [self._answer(text, probabilities, nbest) for text in texts]

    def _answer(self, words: list[str], probabilities: bool, nbest: int) -> Prediction:
        tables, names = self.tables, self.tables.tags
        posterior = self.settings.model.decoding == "posterior"
        chances: Any = tables.posterior(words) if posterior or probabilities else None
        tags = [names.items[tag] for tag in chances.argmax(1).tolist()] if posterior else tables.tag(words)
        given = None
        if probabilities:
            given = _of(chances, names.ids(tags))
        return Prediction(tags, given, tables.nbest(words, nbest) if nbest else None)

    def describe(self) -> list[str]:
        way = "the best sequence" if self.settings.model.decoding == "viterbi" else "the best tag at each place"
        return [
            f"A tagger with {len(self.labels)} tags, made with [elman]: a hidden Markov model of {self.order} order, "
            f"which gives {way}.",
            card.tags(self),
        ]


class Trigrams(HiddenMarkov):
    """The hidden Markov model of second order (TnT). `tables` is a `TrigramTagger`."""

    kind = "trigram"
    config = TrigramConfig
    order = "second"

    def _estimate(self, train: list[Sentence]) -> tuple[Any, Tensors, Plain]:
        tables = TrigramTagger.fit(train)
        return tables, *tables.to_tensors()

    def _tables_of(self, tensors: Mapping[str, np.ndarray], plain: Plain) -> Any:
        return TrigramTagger.from_tensors(tensors, plain)

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[Prediction]:
        self._no_nbest(nbest)
        return super()._answers(texts, probabilities, nbest)


class FeatureCRF(CountedTagger):
    """The linear-chain CRF over features, by python-crfsuite. `tables` is a `CRFTagger`.

    A tag's probability is its marginal. Nothing is tuned on dev data."""

    kind = "crf"
    config = CRFConfig

    def _estimate(self, train: list[Sentence]) -> tuple[Any, Tensors, Plain]:
        told = self.settings.model
        tables = CRFTagger.fit(train, told.c1, told.c2, told.max_iterations)
        words = Lexicon.of(train).words.to_json()  # to tell seen words from unseen ones
        return tables, {}, {"words": words, "tags": {"unknown": None, "items": tables.tags}}

    def _arrays(self) -> Tensors:
        model = self.tables.model
        return {"crfsuite": np.frombuffer(model, dtype=np.uint8), "sha256": _checksum(model)}

    def _tables_of(self, tensors: Mapping[str, np.ndarray], plain: Plain) -> Any:
        model, checksum = (tensors.get(name) for name in ("crfsuite", "sha256"))
        # CRFsuite would not see damage inside.
        if model is None or checksum is None or not np.array_equal(_checksum(model.tobytes()), checksum):
            raise ModelError("expected a model of CRFsuite with its checksum, found another: restore it or train again")
        tables = CRFTagger(model.tobytes())
        if tables.tags != plain["tags"]["items"]:
            raise ModelError(f"expected the tags of CRFsuite's model, found {len(plain['tags']['items'])} others")
        return tables

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[Prediction]:
        self._no_nbest(nbest)
        tables, places = self.tables, {tag: place for place, tag in enumerate(self.labels)}
        answers = []
        for text in texts:
            tags = tables.tag(text)
            given = _of(tables.marginals(text), [places[tag] for tag in tags]) if probabilities else None
            answers.append(Prediction(tags, given))
        return answers

    def describe(self) -> list[str]:
        told = self.settings.model
        return [
            f"A tagger with {len(self.labels)} tags, made with [elman]: a linear-chain CRF over features of words, by "
            f"CRFsuite; c1 {told.c1:g}, c2 {told.c2:g}. Loading it needs python-crfsuite.",
            card.tags(self),
        ]


def _checksum(model: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(model).digest(), dtype=np.uint8)


def _of(chances: np.ndarray, tags: list[int]) -> list[float]:
    """Of every row (steps, tags) the probability of one tag; rounding may have made it a little more than 1."""
    found: list[float] = np.minimum(chances[np.arange(len(tags)), tags], 1.0).tolist()
    return found
