"""The linear-chain CRF over features of words, by CRFsuite (Lafferty, McCallum and Pereira 2001; Okazaki 2007)."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import DataError, ModelError, UsageError
from elman.tasks.tagging.counts import tagged
from elman.tasks.tagging.features import features
from elman.text.sentence import Sentence


class CRFTagger:
    """`tags` lists the labels, in the order of the columns of `marginals`. `model` is CRFsuite's own binary file.

    CRFsuite trusts its files: one that was damaged inside is not seen to be, so whoever keeps it keeps a checksum."""

    def __init__(self, model: bytes) -> None:
        """Raises ModelError for bytes that are no model of CRFsuite, UsageError when python-crfsuite is missing."""
        crfsuite = _crfsuite()
        # The header, whose second word is the size of the file: CRFsuite itself would read past the end of less.
        if model[:4] != b"lCRF" or int.from_bytes(model[4:8], "little") != len(model):
            raise ModelError(
                "expected a model of CRFsuite, whole, found something else: restore the file or train again"
            )
        self.model = model
        self._tagger = crfsuite.Tagger()
        try:
            self._tagger.open_inmemory(model)
        except ValueError as error:
            raise ModelError(f"CRFsuite cannot read the model ({error}): restore the file or train again") from None
        self.tags: list[str] = self._tagger.labels()

    @classmethod
    def fit(
        cls, sentences: Sequence[Sentence], c1: float = 0.1, c2: float = 0.01, max_iterations: int = 100
    ) -> CRFTagger:
        """Maximum likelihood by L-BFGS, less c1 times the sum of the weights' sizes and c2 times that of their squares.

        Raises DataError for sentences without tags or when there is no word, UsageError for negative penalties, fewer
        than one iteration, or when python-crfsuite is missing.
        """
        if not (0 <= c1 < np.inf and 0 <= c2 < np.inf) or max_iterations < 1:
            raise UsageError(
                f"expected c1 and c2 of 0 or more and at least 1 iteration, found {c1}, {c2} and {max_iterations}"
            )
        trainer = _crfsuite().Trainer(algorithm="lbfgs", verbose=False)
        trainer.set_params({"c1": c1, "c2": c2, "max_iterations": max_iterations})
        some = False
        for words, tags in tagged(sentences):
            trainer.append(_seen(words), tags)
            some = True
        if not some:
            raise DataError("expected sentences with tags to train on, found no word")
        with tempfile.TemporaryDirectory() as folder:  # it only writes to files
            file = Path(folder, "model")
            trainer.train(os.fspath(file))
            return cls(file.read_bytes())

    def tag(self, words: Sequence[str]) -> list[str]:
        """The most probable sequence of tags."""
        return list(self._tagger.tag(_seen(words))) if len(words) else []

    def marginals(self, words: Sequence[str]) -> np.ndarray:
        """p(tag at a place | words): (steps, tags), each row summing to 1."""
        if not len(words):
            return np.zeros((0, len(self.tags)))
        self._tagger.set(_seen(words))
        return np.array([[self._tagger.marginal(tag, step) for tag in self.tags] for step in range(len(words))])


def _seen(words: Sequence[str]) -> list[list[str]]:
    """The features, all of which can be encoded: CRFsuite has no characters, only bytes of UTF-8."""
    return features([word.encode("utf-8", "replace").decode() for word in words])


def _crfsuite() -> Any:
    """python-crfsuite, an extra. Raises UsageError when it is missing."""
    try:
        return importlib.import_module("pycrfsuite")
    except ImportError:
        raise UsageError("a CRF over features needs python-crfsuite; get it: pip install 'elman[crf]'") from None
