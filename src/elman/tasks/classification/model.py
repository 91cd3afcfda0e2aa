"""What the classifier and its rivals share: reading texts, answering, scoring, their part of the model folder."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.errors import DataError, ModelError, UsageError, quoted
from elman.metrics.classification import ClassificationResult, ClassificationScore, accuracy, micro_f1
from elman.tasks import storage
from elman.tasks.classification import card
from elman.tasks.classification.answers import Prediction, chosen, scored
from elman.tasks.classification.config import ClassifierTraining
from elman.tasks.classification.data import Vocabularies, label_ids, label_vocabulary, require_labels, split
from elman.tasks.classification.job import ClassifierJob, in_batches, probabilities
from elman.tasks.classification.network import TextNetwork, balanced
from elman.tasks.examine import Examined, Lookup
from elman.tasks.measure import Measure
from elman.tasks.model import CountedModel, Model, NetworkModel, opened
from elman.tasks.transfer import Rows, extended, require_same_settings, take_over
from elman.tasks.unseen import notice_unseen
from elman.tasks.vectors import read_given, stored_given, write_given
from elman.text.example import Example
from elman.text.subwords import Subwords
from elman.text.tokenizing import Tokenizer, get_tokenizer, tokenizer_from_json
from elman.text.vocabulary import Vocabulary
from elman.training import Progress, Watch


class Prepared(NamedTuple):
    """The data of a training, and the tokens of its texts."""

    train: list[Example]
    tokens: list[list[str]]
    dev: list[Example] | None
    dev_tokens: list[list[str]] | None
    test: list[Example] | None


class TextModel(Model):
    """A model that gives texts labels.

        model = Classifier(cell="lstm").fit(train, dev, out="my-classifier")
        model("a wonderful film")

    Raises UsageError for an unknown setting, naming the nearest real one.
    """

    task = "classify"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._labels: Vocabulary | None = None
        self._tokenizer: Tokenizer | None = None

    # What a subclass defines

    def _probabilities(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """(texts, labels) of tokens of texts."""
        raise NotImplementedError

    def _tables(self) -> Mapping[str, Vocabulary | None]:
        """The vocabularies beside the labels."""
        return {}

    # Training

    def _prepare(
        self,
        train: Iterable[Example],
        dev: Iterable[Example] | float | None,
        test: Iterable[Example] | None,
        seed: int,
        old: TextModel | None = None,
    ) -> Prepared:
        """Check and cut the data, choose the dev part, take up labels and tokenizer; those of `old` come first.

        Raises DataError, and UsageError where `old` cuts texts otherwise."""
        several = self.settings.model.several
        train = list(train)
        require_labels(train, "training data", several)
        if isinstance(dev, (int, float)):
            train, dev = split(train, float(dev), seed)
        elif dev is not None:
            dev = list(dev)
            require_labels(dev, "dev data", several)
            known = {label for example in train for label in example.labels or ()}
            placed = ((label, example.file, example.line) for example in dev for label in example.labels or ())
            notice_unseen(known, placed, "label")
        if test is not None:
            test = list(test)
            require_labels(test, "test data", several)
        self._labels = extended(old._labels if old else None, label_vocabulary(train))
        model = self.settings.model
        if old is not None:
            require_same_settings(old, self, ("tokenizer", "lowercase", "several"))
            self._tokenizer = old.tokenizer
        elif model.tokenizer == "subwords":
            self._tokenizer = Subwords.train((self._cased(example.text) for example in train), model.subword_size)
        else:
            self._tokenizer = get_tokenizer(model.tokenizer)
        tokens = self._tokens(train)
        return Prepared(train, tokens, dev, None if dev is None else self._tokens(dev), test)

    def _cased(self, text: str) -> str:
        return text.lower() if self.settings.model.lowercase else text

    def _tokens(self, examples: Sequence[Example]) -> list[list[str]]:
        """The tokens of each text. Raises DataError for a text of more than the setting `longest`."""
        cut, longest = self.tokenizer.split, self.settings.model.longest
        found = [cut(self._cased(example.text)) for example in examples]
        for example, tokens in zip(examples, found, strict=True):
            if longest and len(tokens) > longest:
                raise DataError(
                    f"expected at most {longest} tokens, as the setting longest says, found {len(tokens)}; cut the "
                    "text, or raise the setting",
                    file=example.file or None,
                    line=example.line or None,
                )
        return found

    # Use

    @property
    def labels(self) -> list[str]:
        """Every label it can give, in the order of its probabilities."""
        if self._labels is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return list(self._labels.items)

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts its texts."""
        if self._tokenizer is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._tokenizer

    def __call__(self, text: str) -> str | list[str]:
        """The label of a text; with the setting `several`, the list of its labels."""
        labels = self.predict([text])[0].labels
        return labels if self.settings.model.several else labels[0]

    def predict(self, texts: Iterable[str | Example], *, probabilities: bool = False) -> list[Prediction]:
        """The labels of many texts, in their order. probabilities: those of all labels too.

        Raises DataError for a text that is longer than the setting `longest` allows."""
        names, several, known = self.labels, self.settings.model.several, self.known_tokens
        answers, cut = [], self._tokens(_examples(texts))
        for tokens, row in zip(cut, self._probabilities(cut).tolist(), strict=True):
            places = chosen(names, several, row)
            every = dict(zip(names, row, strict=True)) if probabilities else None
            unknown = None if known is None or not tokens else sum(token not in known for token in tokens) / len(tokens)
            answers.append(Prediction([names[i] for i in places], [row[i] for i in places], every, unknown))
        return answers

    @property
    def known_tokens(self) -> Container[str] | None:
        """The tokens that it knows something of; None where answers do not depend on tokens."""
        return None

    def probabilities(self, texts: Iterable[str | Example]) -> Tensor:
        """(texts, labels): the probability of every label, in the order of `labels`."""
        return self._probabilities(self._tokens(_examples(texts)))

    def score(self, examples: Iterable[Example]) -> ClassificationScore:
        """Answers to examples with labels, not yet scored. Raises DataError when some have none."""
        examples = list(examples)
        require_labels(examples, "evaluation data", self.settings.model.several)
        return scored(self.labels, self.settings.model.several, examples, self.probabilities(examples))

    def evaluate(self, examples: Iterable[Example]) -> ClassificationResult:
        """Score on examples with labels. Raises DataError when some have none."""
        return self.score(examples).result()

    @property
    def measure(self) -> Measure:
        """Accuracy; of several labels, their F1."""
        if self.settings.model.several:
            return Measure("micro_f1", micro_f1, unit="texts", more=("accuracy", "macro_f1"))
        return Measure("accuracy", accuracy, unit="texts", more=("macro_f1", "expected_calibration_error"))

    def statistics(self, examples: Iterable[Example]) -> NDArray[Any]:
        """(texts, 2 + 3 L), as `ClassificationScore.statistics` says. Raises DataError when some have no labels."""
        return self.score(examples).statistics()

    # The model folder

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        return {"labels": self._labels, **self._tables()}

    def _write_more(self, path: Path) -> None:
        storage.write_json(path / "tokenizer.json", self.tokenizer.to_json(), indent=False)

    def _restore(self, path: Path) -> None:
        self._labels = storage.read_vocabulary(path / "labels.json")
        try:
            self._tokenizer = tokenizer_from_json(storage.read_json(path / "tokenizer.json"))
        except ModelError as problem:
            if str(path) in str(problem):
                raise
            raise ModelError(f"{path / 'tokenizer.json'}: {problem}") from problem
        if self._tokenizer.name != self.settings.model.tokenizer:
            raise ModelError(
                f"{path / 'tokenizer.json'}: expected the tokenizer {self.settings.model.tokenizer}, found "
                f"{self._tokenizer.name}; the folder's files do not match"
            )

    def describe(self) -> list[str]:
        return card.describe(self)

    def usage(self, name: str) -> list[str]:
        return card.usage(self, name)

    score_rows = staticmethod(card.score_rows)


class TextNetworkModel(TextModel, NetworkModel):
    """A model of labelled texts that the loop trains."""

    training = ClassifierTraining

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._vocabularies: Vocabularies | None = None

    def _make(self, vectors: Tensor | None, weights: Tensor | None, stored: bool) -> TextNetwork:
        """The network, its weights drawn at random. stored: own cells are those of the model folder."""
        raise NotImplementedError

    def fit(
        self,
        train: Iterable[Example],
        dev: Iterable[Example] | float | None = None,
        *,
        test: Iterable[Example] | None = None,
        out: str | Path | None = None,
        init: str | Path | None = None,
        resume: bool = False,
        allow_code: bool = False,
        progress: Progress | None = None,
        reading: dict[str, Any] | None = None,
        invocation: dict[str, Any] | None = None,
        watch: Watch | None = None,
    ) -> Self:
        """Train on examples; returns self, with the best weights by the dev score.

        dev:     examples; or a fraction of train, chosen by the seed, that is set aside, of each label the same share;
                 or None: the last weights count
        test:    scored once at the end, into metrics.json; chooses nothing
        out:     the model folder; None keeps the model in memory only
        init:    the folder of another model of the same kind and architecture to start from; its words and labels stay
        resume:  resume an unfinished training in `out`; everything must be as it was
        allow_code: run the source of the cell that is stored with `init`
        progress: what shows the progress; None is silent
        reading: how the examples were read, kept for later commands
        invocation: what the caller needs to call this again to resume; kept as training/run.json until training ends
        watch:   what looks on while it trains, such as elman.inspect.watch.Watcher(); it changes no weight

        Raises DataError for data that cannot be trained on, UsageError where the folder does not fit, Interrupted on
        Ctrl-C or SIGTERM after a checkpoint is saved, ResourceError when the disk does not take what is written.
        """
        old = None if init is None else type(self).load(init, allow_code=allow_code)
        data = self._prepare(train, dev, test, self.settings.training.seed, old)
        self.reading = dict(reading or {})
        words, vectors = read_given(self.settings.model.vectors)
        if vectors is None and old is not None:
            words, vectors = old.vocabularies.vectors, old.network.vectors
        assert self._labels is not None
        known = None if old is None else old.vocabularies
        self._vocabularies = Vocabularies.of(data.tokens, self._labels, words, known)
        weights = None
        if self.settings.model.class_weights == "balanced":
            ids = label_ids(self._labels, data.train, self.settings.model.several)
            weights = balanced(ids, len(self._labels))
        self._seeded(lambda: self._make(vectors, weights, stored=False))
        if old is not None:
            take_over(old, self)
        inputs = {"cell file": self._source, "word vectors": None if vectors is None else vectors.numpy().tobytes()}
        job = ClassifierJob(
            self.network, self.vocabularies, self.settings, data.train, data.tokens, data.dev, data.dev_tokens, inputs
        )
        with opened(out, resume=resume) as run:
            self._train(run, job, {"dev": data.dev, "test": data.test}, progress, invocation, watch)
        return self

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
        """(texts, dim) float32: the vectors of texts, from which the labels are told, in the order of the input."""
        tokens = self._tokens(_examples(texts))
        network = self.evaluated
        with torch.inference_mode():
            found: NDArray[np.float32] = in_batches(
                network, self.vocabularies, tokens, network.encoded_size, "encode"
            ).numpy()
        return found

    def read_text(self, text: str) -> tuple[list[str], None]:
        """The tokens of a text."""
        return self._tokens([Example(text)])[0], None

    def examine(self, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None) -> Examined:
        """Tokens of texts, each with one output for its labels; where none are given, the model's own. See `Examined`.

        Raises DataError for a label that it does not have."""
        names, several = self.labels, self.settings.model.several
        if targets is None:
            rows = self._probabilities(texts).tolist()
            targets = [[names[i] for i in chosen(names, several, row)] for row in rows]
        for label in sorted({label for labels in targets for label in labels if label not in names}):
            raise DataError(f"expected the labels {quoted(names)}, found {label!r}")
        examples = [Example("", list(labels)) for labels in targets]
        require_labels(examples, "what is looked into", several)
        assert self._labels is not None
        batch = self.vocabularies.batch(texts, label_ids(self._labels, examples, several))
        network: TextNetwork = self.evaluated
        lookups = []
        if network.words is not None:
            width = network.words.embedding.embedding_dim
            lookups.append(Lookup("words.embedding.weight", batch.words, 0, width))
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
        return {"words.": Rows("words", self.vocabularies.words), "out.": labels}

    def _tables(self) -> Mapping[str, Vocabulary | None]:
        return {"words": self.vocabularies.words, "vectors": self.vocabularies.vectors}

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        write_given(path, self.network.vectors)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        vectors = stored_given(path)
        words = storage.read_vocabulary(path / "words.json")
        assert self._labels is not None
        given = None if vectors is None else storage.read_vocabulary(path / "vectors.json")
        if given is not None and vectors is not None and len(given) != len(vectors):
            raise ModelError(
                f"{path / 'vectors.json'}: expected {len(vectors)} words, one a vector, found {len(given)}; "
                "the folder's files do not match"
            )
        self._vocabularies = Vocabularies.loaded(words, self._labels, given)
        self._load_network(path, lambda: self._make(vectors, None, stored=True))


class TextCountedModel(TextModel, CountedModel):
    """A model of labelled texts that is estimated in one go."""

    def _estimate(self, data: Prepared) -> None:
        """Estimate the model; `labels` are there. What a subclass defines."""
        raise NotImplementedError

    def _read_weights(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The tensors in a model folder. Raises ModelError unless they are those of these names and shapes."""
        path = path / "model.safetensors"
        found = storage.read_tensors(path)
        there = {name: tuple(tensor.shape) for name, tensor in found.items()}
        if there != shapes or not all(tensor.isfinite().all() for tensor in found.values()):
            raise ModelError(f"{path}: expected finite tensors {dict(shapes)}, found {there}; the files do not match")
        return found

    def fit(
        self,
        train: Iterable[Example],
        dev: Iterable[Example] | float | None = None,
        *,
        test: Iterable[Example] | None = None,
        out: str | Path | None = None,
        progress: Progress | None = None,
        reading: dict[str, Any] | None = None,
    ) -> Self:
        """Estimate from examples; see `Classifier.fit`. Raises UsageError where there is a model in `out`."""
        data = self._prepare(train, dev, test, self.settings.model.seed)
        self._count(out, {"dev": data.dev, "test": data.test}, reading, lambda: self._estimate(data))
        return self


def _examples(texts: Iterable[str | Example]) -> list[Example]:
    """Raises UsageError for what is no list of texts."""
    if isinstance(texts, str):
        raise UsageError(f"expected a list of texts, found the one text {texts[:40]!r}; put it in a list")
    found = [Example(text) if isinstance(text, str) else text for text in texts]
    for one in found:
        if not isinstance(one, Example):
            raise UsageError(f"expected texts as strings or examples, found {type(one).__name__}")
    return found
