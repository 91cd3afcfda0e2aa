"""What every model of sequence to sequence does with pairs: splitting, answering, scoring, its part of the folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from elman.errors import ModelError, UsageError
from elman.metrics.transduction import TransductionResult, TransductionScore, accuracy
from elman.tasks import storage
from elman.tasks.measure import Measure
from elman.tasks.model import Model
from elman.tasks.seq2seq import card
from elman.tasks.seq2seq.answers import Answer, SearchSettings, SequencePrediction, Source
from elman.tasks.seq2seq.data import require_targets, split
from elman.tasks.transfer import require_same_settings
from elman.text.pair import Pair
from elman.text.tokenizing import Tokenizer, get_tokenizer, tokenizer_from_json


class Prepared(NamedTuple):
    """The data of a training run."""

    train: list[Pair]
    dev: list[Pair] | None
    test: list[Pair] | None


class Seq2SeqModel(Model[Iterable[Pair]]):
    """A model that reads one sequence and writes another. It is trained on pairs.

        model = Seq2Seq(attention="general").fit(train, dev, out="my-model")
        model("geese")

    Raises UsageError for an unknown setting, naming the nearest real one.
    """

    task = "seq2seq"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._source_tokenizer: Tokenizer | None = None
        self._target_tokenizer: Tokenizer | None = None
        self._longest = 0  # symbols of the longest target in the training data
        self._known: frozenset[str] = frozenset()

    # What a subclass defines

    def _answers(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        """The best answers to each source, at most `search.nbest`, best first; at least one. Defaults are filled in."""
        raise NotImplementedError

    def _how(self) -> str:
        """How it answers, for the card."""
        raise NotImplementedError

    # Training

    def _parts(
        self,
        train: Iterable[Pair],
        dev: Iterable[Pair] | float | None,
        test: Iterable[Pair] | None,
        seed: int,
        old: Seq2SeqModel | None = None,
    ) -> Prepared:
        """Check the data, choose the dev part, make the tokenizers; with `old`, they are its own.

        Raises DataError, and UsageError if `old` splits texts differently."""
        train = list(train)
        require_targets(train, "training data")
        if isinstance(dev, (int, float)):
            train, dev = split(train, float(dev), seed)
        elif dev is not None:
            dev = list(dev)
            require_targets(dev, "dev data")
        if test is not None:
            test = list(test)
            require_targets(test, "test data")
        if old is not None:
            require_same_settings(old, self, ("source_tokenizer", "target_tokenizer", "several"))
            self._source_tokenizer, self._target_tokenizer = old.source_tokenizer, old.target_tokenizer
        else:
            self._make_tokenizers(train)
        cut = self.target_tokenizer.split
        self._longest = max(len(cut(target)) for pair in train for target in pair.targets or ())
        self._known = frozenset(symbol for pair in train for symbol in self.source(pair).read())
        return Prepared(train, dev, test)

    def _make_tokenizers(self, train: Sequence[Pair]) -> None:
        model = self.settings.model
        names = model.source_tokenizer, model.target_tokenizer
        sources = [pair.source for pair in train]
        targets = [target for pair in train for target in pair.targets or ()]
        if getattr(model, "shared", False) and names == ("subwords", "subwords"):
            from elman.text.subwords import Subwords

            self._source_tokenizer = self._target_tokenizer = Subwords.train([*sources, *targets], model.subword_size)
            return
        self._source_tokenizer = _tokenizer(names[0], sources, model.subword_size)
        self._target_tokenizer = _tokenizer(names[1], targets, model.subword_size)

    # Use

    @property
    def source_tokenizer(self) -> Tokenizer:
        """What splits sources."""
        return self._require_trained(self._source_tokenizer)

    @property
    def target_tokenizer(self) -> Tokenizer:
        """What splits targets."""
        return self._require_trained(self._target_tokenizer)

    def _require_trained(self, value: Any) -> Any:
        if value is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return value

    def source(self, pair: Pair) -> Source:
        """What is read of a pair."""
        return Source(self.source_tokenizer.split(pair.source), pair.features, pair.source)

    @property
    def long_symbols(self) -> bool:
        """Whether the symbols of a target are longer than characters, which changes how answers are searched for."""
        return bool(self.settings.model.target_tokenizer != "characters")

    def __call__(self, text: str, features: Sequence[str] = ()) -> str:
        """The best answer to a text. features: symbols besides the text."""
        return self.predict([Pair(text, None, tuple(features))])[0].text

    def predict(
        self,
        texts: Iterable[str | Pair],
        *,
        beam: int | None = None,
        nbest: int = 1,
        length_penalty: float | None = None,
        min_length: int = 0,
        max_length: int | None = None,
        temperature: float = 0.0,
        seed: int = 1,
    ) -> list[SequencePrediction]:
        """The answers to many texts, in their order; at most `nbest` each.

        The other arguments are those of `SearchSettings`. Raises UsageError for values out of range."""
        search = SearchSettings(beam, nbest, length_penalty, min_length, max_length, temperature, seed)
        sources = [self.source(pair) for pair in as_pairs(texts)]
        answers = self._answers(sources, search.settled(self.long_symbols)) if sources else []
        return [SequencePrediction(best) for best in answers]

    def _scored(self, data: Iterable[Pair], search: SearchSettings, text_scores: bool = False) -> TransductionScore:
        pairs = list(data)
        require_targets(pairs, "evaluation data")
        sources = [self.source(pair) for pair in pairs]
        answers = self._answers(sources, search.settled(self.long_symbols))
        total = TransductionScore(
            text_scores=text_scores, tokenized=self.settings.model.target_tokenizer in ("space", "words")
        )
        cut = self.target_tokenizer.split
        for pair, source, best in zip(pairs, sources, answers, strict=True):
            unseen = any(symbol not in self._known for symbol in source.read())
            right = pair.targets or []
            written = [answer.symbols for answer in best]
            total.add(written, [cut(one) for one in right], [a.text for a in best], right, unseen=unseen)
        return total

    def evaluate(
        self, data: Iterable[Pair], *, beam: int | None = None, nbest: int = 1, text_scores: bool = False
    ) -> TransductionResult:
        """Score on pairs with targets. nbest: how many answers count for the k-best accuracy; text_scores: BLEU and
        chrF too, which need sacrebleu. Raises DataError when some have no target."""
        return self._scored(data, SearchSettings(beam, nbest), text_scores).result()

    @property
    def measure(self) -> Measure:
        return Measure("accuracy", accuracy, unit="pairs", more=("symbol_error_rate", "mean_edit_distance"))

    def statistics(self, data: Iterable[Pair]) -> NDArray[Any]:
        """(pairs, 4): right or not, 1, edits and symbols of each pair."""
        return self._scored(data, SearchSettings()).statistics()

    # The model folder

    def _write_more(self, path: Path) -> None:
        sides = {
            "source": self.source_tokenizer.to_json(),
            "target": self.target_tokenizer.to_json(),
            "longest_target": self._longest,
            "known": sorted(self._known),
        }
        storage.write_json(path / "sides.json", sides, indent=False)

    def _restore(self, path: Path) -> None:
        file = path / "sides.json"
        stored = storage.read_json(file)
        match stored:
            case {"source": source, "target": target, "longest_target": int() as longest, "known": [*known]} if (
                longest >= 0 and all(isinstance(symbol, str) for symbol in known)
            ):
                pass
            case _:
                raise ModelError(f"{file}: expected how both sides are split, found something else; restore the file")
        try:
            self._source_tokenizer, self._target_tokenizer = map(tokenizer_from_json, (source, target))
        except ModelError as problem:
            raise ModelError(f"{file}: {problem}") from problem
        self._longest, self._known = longest, frozenset(known)
        names = self.settings.model.source_tokenizer, self.settings.model.target_tokenizer
        found = self._source_tokenizer.name, self._target_tokenizer.name
        if names != found:
            raise ModelError(
                f"{file}: expected the tokenizers {' and '.join(names)}, found {' and '.join(found)}; "
                "the folder's files do not match"
            )

    def describe(self) -> list[str]:
        model = self.settings.model
        return card.describe(model.source_tokenizer, model.target_tokenizer, self._how())

    def usage(self, name: str) -> list[str]:
        return card.usage(name, code=self._source is not None)

    score_rows = staticmethod(card.score_rows)


def _tokenizer(name: str, texts: Sequence[str], size: int) -> Tokenizer:
    if name != "subwords":
        return get_tokenizer(name)
    from elman.text.subwords import Subwords

    return Subwords.train(texts, size)


def as_pairs(texts: Iterable[str | Pair]) -> list[Pair]:
    """Texts as pairs. Raises UsageError for anything but a list of texts."""
    if isinstance(texts, str):
        raise UsageError(f"expected a list of texts, found a single text {texts[:40]!r}; put it in a list")
    pairs = [Pair(text) if isinstance(text, str) else text for text in texts]
    for one in pairs:
        if not isinstance(one, Pair):
            raise UsageError(f"expected texts as strings or pairs, found {type(one).__name__}")
    return pairs
