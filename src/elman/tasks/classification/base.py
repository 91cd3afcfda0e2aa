"""What the classifier and its rivals share: reading texts, answering, scoring, their part of the model folder."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray
from torch import Tensor

from elman.errors import DataError, ModelError, UsageError
from elman.metrics.classification import ClassificationResult, ClassificationScore, accuracy, micro_f1
from elman.tasks import storage
from elman.tasks.classification import card
from elman.tasks.classification.answers import LabelPrediction, prediction, scored
from elman.tasks.classification.data import label_vocabulary, require_labels, split
from elman.tasks.measure import Measure
from elman.tasks.model import Model
from elman.tasks.plan import Labels, Text
from elman.tasks.transfer import extended, require_same_settings
from elman.tasks.unseen import notice_unseen
from elman.text.example import Example
from elman.text.subwords import Subwords
from elman.text.tokenizing import Tokenizer, get_tokenizer, tokenizer_from_json
from elman.text.vocabulary import Vocabulary


class Prepared(NamedTuple):
    """The data of a training run, and the tokens of its texts."""

    train: list[Example]
    tokens: list[list[str]]
    dev: list[Example] | None
    dev_tokens: list[list[str]] | None
    test: list[Example] | None


class ClassificationModel(Model[Iterable[Example]]):
    """A model that labels texts. It is trained on examples.

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
        """(texts, labels) from the tokens of texts."""
        raise NotImplementedError

    def _how(self) -> str:
        """How it labels, for the card."""
        raise NotImplementedError

    def _tables(self) -> Mapping[str, Vocabulary | None]:
        """The vocabularies besides the labels."""
        return {}

    # Training

    def _parts(
        self,
        train: Iterable[Example],
        dev: Iterable[Example] | float | None,
        test: Iterable[Example] | None,
        seed: int,
        old: ClassificationModel | None = None,
    ) -> Prepared:
        """Check and tokenize the data, choose the dev part, set labels and tokenizer; those of `old` come first.

        Raises DataError, and UsageError if `old` tokenizes texts differently."""
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
        """The tokens of each text. Raises DataError for a text longer than the setting `longest`."""
        cut, longest = self.tokenizer.split, self.settings.model.longest
        texts = [cut(self._cased(example.text)) for example in examples]
        for example, tokens in zip(examples, texts, strict=True):
            if longest and len(tokens) > longest:
                raise DataError(
                    f"expected at most {longest} tokens (the setting longest), found {len(tokens)}; shorten the "
                    "text, or raise the setting",
                    file=example.file or None,
                    line=example.line or None,
                )
        return texts

    def _text(self) -> Text:
        model = self.settings.model
        return Text(self.tokenizer.to_json(), model.lowercase, model.longest or 0)

    def _choice(self) -> Labels:
        return Labels(tuple(self.labels), self.settings.model.several)

    # Use

    @property
    def labels(self) -> list[str]:
        """Every label it can predict, in the order of its probabilities."""
        if self._labels is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return list(self._labels.items)

    @property
    def tokenizer(self) -> Tokenizer:
        """What splits its texts."""
        if self._tokenizer is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._tokenizer

    def __call__(self, text: str) -> str | list[str]:
        """The label of a text; with the setting `several`, the list of its labels."""
        labels = self.predict([text])[0].labels
        return labels if self.settings.model.several else labels[0]

    def predict(self, texts: Iterable[str | Example], *, probabilities: bool = False) -> list[LabelPrediction]:
        """The labels of many texts, in their order. probabilities: those of all labels too.

        Raises DataError for a text longer than the setting `longest` allows."""
        names, several, known = self.labels, self.settings.model.several, self.known_tokens
        answers, cut = [], self._tokens(as_examples(texts))
        for tokens, row in zip(cut, self._probabilities(cut).tolist(), strict=True):
            unknown = None if known is None or not tokens else sum(token not in known for token in tokens) / len(tokens)
            answers.append(prediction(names, several, row, unknown, probabilities))
        return answers

    @property
    def known_tokens(self) -> Container[str] | None:
        """The tokens that it knows anything about; None if answers do not depend on tokens."""
        return None

    def probabilities(self, texts: Iterable[str | Example]) -> Tensor:
        """(texts, labels): the probability of every label, in the order of `labels`."""
        return self._probabilities(self._tokens(as_examples(texts)))

    def _scored(self, data: Iterable[Example]) -> ClassificationScore:
        """Answers to examples with labels, not yet scored. Raises DataError when some have none."""
        examples = list(data)
        require_labels(examples, "evaluation data", self.settings.model.several)
        return scored(self.labels, self.settings.model.several, examples, self.probabilities(examples))

    def evaluate(self, data: Iterable[Example]) -> ClassificationResult:
        """Score on examples with labels. Raises DataError when some have none."""
        return self._scored(data).result()

    @property
    def measure(self) -> Measure:
        """Accuracy; with several labels, their F1."""
        if self.settings.model.several:
            return Measure("micro_f1", micro_f1, unit="texts", more=("accuracy", "macro_f1"))
        return Measure("accuracy", accuracy, unit="texts", more=("macro_f1", "expected_calibration_error"))

    def statistics(self, data: Iterable[Example]) -> NDArray[Any]:
        """(texts, 2 + 3 L), as `ClassificationScore.statistics` says. Raises DataError when some have no labels."""
        return self._scored(data).statistics()

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
        model = self.settings.model
        return card.describe(self.labels, model.several, model.tokenizer, self._how())

    def usage(self, name: str) -> list[str]:
        return card.usage(name, code=self._source is not None)

    score_rows = staticmethod(card.score_rows)


def as_examples(texts: Iterable[str | Example]) -> list[Example]:
    """Texts as examples. Raises UsageError for anything but a list of texts."""
    if isinstance(texts, str):
        raise UsageError(f"expected a list of texts, found a single text {texts[:40]!r}; put it in a list")
    examples = [Example(text) if isinstance(text, str) else text for text in texts]
    for one in examples:
        if not isinstance(one, Example):
            raise UsageError(f"expected texts as strings or examples, found {type(one).__name__}")
    return examples
