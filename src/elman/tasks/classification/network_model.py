"""`Classifier`, and what the classifiers trained by the loop share: answers, vectors, inspection."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.errors import DataError, ModelError, UsageError, quoted
from elman.recurrent.plan import array
from elman.tasks import storage
from elman.tasks.classification.answers import chosen
from elman.tasks.classification.base import ClassificationModel, as_examples
from elman.tasks.classification.config import ClassifierConfig, ClassifierTraining
from elman.tasks.classification.data import Vocabularies, label_ids, require_labels
from elman.tasks.classification.job import ClassifierJob, in_batches, probabilities
from elman.tasks.classification.modules import ClassifierNetwork, TextClassifierNetwork, balanced
from elman.tasks.classification.session import ClassifierReading, ClassifierSession
from elman.tasks.examine import Examined, Lookup, form_lookups
from elman.tasks.model import NetworkModel
from elman.tasks.plan import Plan, Wide
from elman.tasks.transfer import Rows, form_rows
from elman.tasks.vectors import given_or_old, stored_given, write_given
from elman.text.example import Example
from elman.text.vocabulary import Vocabulary
from elman.training import Job, RunFolder


class NetworkClassifier(ClassificationModel, NetworkModel[Iterable[Example]]):
    """A classifier trained by the loop."""

    training = ClassifierTraining

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._vocabularies: Vocabularies | None = None

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextClassifierNetwork:
        """The network, its weights drawn at random. stored: custom cells are those of the model folder."""
        raise NotImplementedError

    def _begin(
        self,
        train: Iterable[Example],
        dev: Iterable[Example] | float | None,
        test: Iterable[Example] | None,
        old: Self | None,
        run: RunFolder,
    ) -> tuple[Job, dict[str, Any]]:
        data = self._parts(train, dev, test, self.settings.training.seed, old)
        words, vectors = given_or_old(self.settings.model.vectors, old)
        assert self._labels is not None
        known = None if old is None else old.vocabularies
        self._vocabularies = Vocabularies.of(data.tokens, self._labels, words, known, self._ngram_order)
        weights = None
        if self.settings.model.class_weights == "balanced":
            ids = label_ids(self._labels, data.train, self.settings.model.several)
            weights = balanced(ids, len(self._labels))
        self._seeded(lambda: self._make(vectors, weights, stored=False))
        inputs = {"cell file": self._source, "word vectors": None if vectors is None else vectors.numpy().tobytes()}
        job = ClassifierJob(
            self.network, self.vocabularies, self.settings, data.train, data.tokens, data.dev, data.dev_tokens, inputs
        )
        return job, {"dev": data.dev, "test": data.test}

    @property
    def _ngram_order(self) -> int:
        """Of the n-grams that have weights of their own; 0: none."""
        return 0

    @property
    def vocabularies(self) -> Vocabularies:
        """The numbering of words and labels."""
        if self._vocabularies is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._vocabularies

    @property
    def known_tokens(self) -> Container[str]:
        return self.vocabularies

    def _probabilities(self, texts: Sequence[Sequence[str]]) -> Tensor:
        with torch.inference_mode():
            return probabilities(self.evaluated, self.vocabularies, texts)

    def encode(self, texts: Iterable[str | Example]) -> NDArray[np.float32]:
        """(texts, dim) float32: the vectors of texts, in input order. Labels are predicted from them and, with `wide`,
        from the n-grams of the text."""
        tokens = self._tokens(as_examples(texts))
        network = self.evaluated
        with torch.inference_mode():
            vectors: NDArray[np.float32] = in_batches(
                network, self.vocabularies, tokens, network.encoded_size, "encode"
            ).numpy()
        return vectors

    def plan(self) -> Plan:
        network, known = self.evaluated, self.vocabularies
        inputs, layers, pooled, head = network.plan(known)
        wide = None
        if known.ngrams is not None:
            wide = Wide(known.order, True, tuple(known.ngrams.items), array(network.ngrams.weight))
        return Plan(self.task, self.kind, self._text(), inputs, layers, pooled, head, self._choice(), wide)

    def read_text(self, text: str) -> tuple[list[str], None]:
        """The tokens of a text."""
        return self._tokens([Example(text)])[0], None

    def examine(self, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None) -> Examined:
        """Tokens of texts, each with one output for its labels; if none are given, the model's own. See `Examined`.

        Raises DataError for a label it does not have."""
        names, several = self.labels, self.settings.model.several
        if targets is None:
            rows = self._probabilities(texts).tolist()
            targets = [[names[i] for i in chosen(names, several, row)] for row in rows]
        for label in sorted({label for labels in targets for label in labels if label not in names}):
            raise DataError(f"expected one of the labels {quoted(names)}, found {label!r}")
        examples = [Example("", list(labels)) for labels in targets]
        require_labels(examples, "inspected data", several)
        assert self._labels is not None
        batch = self.vocabularies.batch(texts, label_ids(self._labels, examples, several))
        network: TextClassifierNetwork = self.evaluated
        lookups = []
        if network.words.size:
            lookups.append(Lookup("words.embedding.weight", batch.words, 0, network.words.size))
        if network.forms is not None:
            ids = network.forms.ids(batch.distinct)[batch.index]
            lookups += form_lookups(network.forms, ids, network.words.output_size)
        order = batch.layout.order.tolist()
        return Examined(
            layout=batch.layout,
            tokens=[list(text) for text in texts],
            outputs=[(i, None) for i in order],
            answers=[[names.index(label) for label in targets[i]] for i in order],
            targets=[", ".join(targets[i]) for i in order],
            labels=names,
            lookups=tuple(lookups),
            run=lambda: network.outcome(batch),
            multilabel=several,
        )

    def weight_rows(self) -> Mapping[str, Rows]:
        labels = Rows("labels", self.vocabularies.labels)
        words = Rows("words", self.vocabularies.words)
        rows = {"words.": words, "out.": labels, **form_rows(self.network.forms)}
        if self.vocabularies.ngrams is not None:
            rows["ngrams."] = Rows("", self.vocabularies.ngrams, self.vocabularies.labels)
        return rows

    def _tables(self) -> Mapping[str, Vocabulary | None]:
        known = self.vocabularies
        return {"words": known.words, "vectors": known.vectors, "ngrams": known.ngrams}

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        write_given(path, self.network.words.vectors)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        vectors = stored_given(path)
        words = storage.read_vocabulary(path / "words.json")
        assert self._labels is not None
        named = None if vectors is None else storage.read_vocabulary(path / "vectors.json")
        if named is not None and vectors is not None and len(named) != len(vectors):
            raise ModelError(
                f"{path / 'vectors.json'}: expected {len(vectors)} words, one per vector, found {len(named)}; "
                "the folder's files do not match"
            )
        order = self._ngram_order
        ngrams = storage.read_vocabulary(path / "ngrams.json") if order else None
        self._vocabularies = Vocabularies.loaded(words, self._labels, named, ngrams, order)
        self._load_network(path, lambda: self._make(vectors, None, stored=True))


class Classifier(NetworkClassifier):
    """A label for every text, or several, by a recurrent network over its words, characters or subwords.

        classifier = Classifier(cell="lstm").fit(train, dev, out="my-classifier")
        classifier("a wonderful film")

    Settings are those of `ClassifierConfig` (the network) and `ClassifierTraining` (how it is trained), with the same
    names and defaults as on the command line. Raises UsageError for an unknown one, naming the nearest real one.
    """

    config = ClassifierConfig
    added_settings = {"form_size": 0, "wide": 0}

    @property
    def _ngram_order(self) -> int:
        return int(self.settings.model.wide)

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextClassifierNetwork:
        (cell,) = self._cells(self.settings.model.cell, stored=stored)
        return ClassifierNetwork(self.settings.model, cell, self.vocabularies, vectors, weights)

    def session(self, saved: bytes | None = None) -> ClassifierSession:
        """A text that is still coming, with its label so far; see `Model.session`.

        Raises UsageError for a classifier that reads in both directions."""
        model = self.settings.model

        def split(text: str) -> list[str]:
            return self.tokenizer.split(self._cased(text))

        reading = self._shared_reading(
            lambda: ClassifierReading(self.network, self.vocabularies, split, model.several, model.longest)
        )
        return ClassifierSession(reading, saved)

    def _how(self) -> str:
        model = self.settings.model
        direction = "one direction" if model.one_way else "both directions"
        what = f"{model.layers} layer(s) of `{model.cell}`, {model.hidden_size} wide, {direction}"
        beside = f"; beside them, weights of n-grams of up to {model.wide} tokens" if model.wide else ""
        return f"{what}, pooling: {model.pooling}{beside}"
