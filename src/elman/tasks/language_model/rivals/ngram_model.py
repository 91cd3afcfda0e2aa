"""`NGramModel`: the n-gram rival of the recurrent language model, as a model of the task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.errors import ModelError, UsageError
from elman.tasks import storage
from elman.tasks.language_model.base import BaseLanguageModel, Data, Floats
from elman.tasks.language_model.config import HIGHEST, NGramConfig
from elman.tasks.language_model.data import END, END_ID, UNKNOWN, TextSource
from elman.tasks.language_model.rivals.ngram import NGram
from elman.tasks.language_model.sampling import Choice
from elman.tasks.model import CountedModel


class NGramModel(BaseLanguageModel, CountedModel[Data]):
    """The next token from the last few, modified interpolated Kneser-Ney (Chen and Goodman 1998); lines one by one.

    `ngram` is the model itself, with ARPA input and output. Sentences are independent, as in `lmplz`."""

    kind = "ngram"
    config = NGramConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._ngram: NGram | None = None

    def _prepare(self, train: Data, dev: Data | float | None, test: Data | None) -> tuple[TextSource, dict[str, Any]]:
        texts: dict[str, Any] = self._texts(train, dev, test)
        return texts.pop("train"), texts

    def _estimate(self, data: TextSource) -> None:
        items = self.vocabulary
        lines = (tokens[:-1] if tokens[-1] == END else tokens for tokens, _ in data.pieces(self.tokenizer))
        known = ([token if token in items else UNKNOWN for token in line] for line in lines)
        self._ngram = NGram.fit(known, self.settings.model.order)

    @property
    def ngram(self) -> NGram:
        """The tables, `next_distribution`, `save_arpa`."""
        model: NGram = self._require_trained(self._ngram)
        return model

    @property
    def carries(self) -> bool:
        return False

    def start(self) -> Any:
        return None

    def read(self, ids: np.ndarray[Any, Any], state: Any) -> tuple[Floats, Any]:
        return self.ngram.log_probabilities_of(self._table()[np.asarray(ids)]), None

    def _table(self) -> np.ndarray[Any, Any]:
        """The n-gram model's number of each token."""
        return self.ngram.ids(self.vocabulary.items)

    def next_distribution(self, context: str = "") -> Floats:
        """The probability of every token of the vocabulary after a line's beginning: (vocabulary,), sums to 1."""
        return self.ngram.next_distribution(self.tokenizer.split(context))[self._table()]

    def _sample(self, tokens: int, prompt: str, choice: Choice, precision: str) -> Iterator[str]:
        if precision != "float32":
            raise UsageError(f"precision {precision}: an n-gram model multiplies nothing; leave it out")
        context = self.tokenizer.split(prompt.rpartition("\n")[2])
        return self._pieces(self._drawn(tokens, context, choice), begun=bool(context))

    def _drawn(self, tokens: int, context: list[str], choice: Choice) -> Iterator[int]:
        table = self._table()
        for _ in range(tokens):
            with np.errstate(divide="ignore"):
                logits = np.log(self.ngram.next_distribution(context)[table])
            logits[0] = -np.inf  # <unk> is not a word that can be output
            drawn = choice.draw(logits)
            context = [] if drawn == END_ID else [*context, self.vocabulary.items[drawn]][-HIGHEST:]
            yield drawn

    def _weights(self) -> dict[str, Tensor]:
        tensors, _ = self.ngram.to_tensors()
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        storage.write_json(path / "ngram.json", self.ngram.to_tensors()[1], indent=False)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        tensors = {name: value.numpy() for name, value in storage.read_tensors(path / "model.safetensors").items()}
        config = storage.read_json(path / "ngram.json")
        if not isinstance(config, dict):
            raise ModelError(f"{path / 'ngram.json'}: expected the order and the vocabulary, found something else")
        try:
            self._ngram = NGram.from_tensors(tensors, config)
        except ModelError as problem:
            raise ModelError(f"{path}: {problem}") from problem

    def describe(self) -> list[str]:
        sizes = ", ".join(f"{len(self._weights()[f'keys.{k}']):,}" for k in range(1, self.ngram.order + 1))
        return [
            f"A {self.ngram.order}-gram language model of {len(self.vocabulary):,} tokens "
            f"({self.settings.model.tokenizer}), made with [elman]: modified interpolated Kneser-Ney, no pruning; "
            f"n-grams of each order: {sizes}. Each line is read independently."
        ]
