"""The linear-chain CRF over features of words, by CRFsuite (Lafferty, McCallum and Pereira 2001; Okazaki 2007)."""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import ModelError, UsageError
from elman.tasks.tagging.base import TagPrediction
from elman.tasks.tagging.config import CRFConfig
from elman.tasks.tagging.rivals.counted import Arrays, CountedTagger, Lexicon, probabilities_of
from elman.tasks.tagging.rivals.features import features
from elman.text.sentence import Sentence
from elman.text.vocabulary import Vocabulary


class FeatureCRF(CountedTagger):
    """Maximum likelihood by L-BFGS, minus c1 times the sum of the weights' magnitudes and c2 times that of their
    squares.

    `model` is CRFsuite's own binary file. CRFsuite trusts its files: it does not notice damage inside one, so
    a checksum is stored with it. A tag's probability is its marginal. Nothing is tuned on dev data. `fit` and `load`
    raise UsageError when python-crfsuite is missing."""

    kind = "crf"
    config = CRFConfig

    def _estimate(self, data: list[Sentence]) -> None:
        model = self.settings.model
        trainer = _crfsuite().Trainer(algorithm="lbfgs", verbose=False)
        trainer.set_params({"c1": model.c1, "c2": model.c2, "max_iterations": model.max_iterations})
        for sentence in data:
            trainer.append(_seen(sentence.words), sentence.tags)
        with tempfile.TemporaryDirectory() as folder:  # it only writes to files
            file = Path(folder, "model")
            trainer.train(os.fspath(file))
            self._open(file.read_bytes())
        self._words = Lexicon.of(data).words  # to tell seen words from unseen ones
        self._tags = Vocabulary(self._tagger.labels(), None)

    def _open(self, model: bytes) -> None:
        """Raises ModelError for bytes that are not a CRFsuite model."""
        # The second word of the header is the file's size: CRFsuite itself would read past the end of a shorter one.
        if model[:4] != b"lCRF" or int.from_bytes(model[4:8], "little") != len(model):
            raise ModelError(
                "expected a complete CRFsuite model, found something else: restore the file or train again"
            )
        self.model = model
        self._tagger = _crfsuite().Tagger()
        try:
            self._tagger.open_inmemory(model)
        except ValueError as error:
            raise ModelError(f"CRFsuite cannot read the model ({error}): restore the file or train again") from None

    def marginals(self, words: Sequence[str]) -> np.ndarray:
        """p(tag at a position | words): (steps, tags), each row summing to 1."""
        if not len(words):
            return np.zeros((0, len(self.tags)))
        self._tagger.set(_seen(words))
        return np.array([[self._tagger.marginal(tag, step) for tag in self.labels] for step in range(len(words))])

    def _answer(self, words: list[str], probabilities: bool, nbest: int) -> TagPrediction:
        tags = list(self._tagger.tag(_seen(words)))
        chances = probabilities_of(self.marginals(words), self.tags.ids(tags)) if probabilities else None
        return TagPrediction(tags, chances)

    def _arrays(self) -> Arrays:
        return {"crfsuite": np.frombuffer(self.model, dtype=np.uint8), "sha256": _checksum(self.model)}

    def _take(self, arrays: Arrays) -> None:
        model, checksum = (arrays.get(name) for name in ("crfsuite", "sha256"))
        # CRFsuite would not notice damage inside.
        if model is None or checksum is None or not np.array_equal(_checksum(model.tobytes()), checksum):
            raise ModelError("expected a CRFsuite model with its checksum, found another: restore it or train again")
        self._open(model.tobytes())
        if self._tagger.labels() != self.labels:
            raise ModelError(f"expected the tags of the CRFsuite model, found {len(self.tags)} others")

    def describe(self) -> list[str]:
        model = self.settings.model
        return self._describe(
            f"a linear-chain CRF over features of words, by CRFsuite; c1 {model.c1:g}, c2 {model.c2:g}. Loading it "
            "needs python-crfsuite"
        )


def _checksum(model: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(model).digest(), dtype=np.uint8)


def _seen(words: Sequence[str]) -> list[list[str]]:
    """The features, all of which can be encoded: CRFsuite knows no characters, only UTF-8 bytes."""
    return features([word.encode("utf-8", "replace").decode() for word in words])


def _crfsuite() -> Any:
    """python-crfsuite, an extra. Raises UsageError when it is missing."""
    try:
        return importlib.import_module("pycrfsuite")
    except ImportError:
        raise UsageError("a CRF over features needs python-crfsuite; install it: pip install 'elman[crf]'") from None
