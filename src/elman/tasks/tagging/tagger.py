"""`Tagger`: train, use, score and save a tagger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elman.errors import DataError, UsageError
from elman.layers.decoding import constraint
from elman.metrics.tagging import TaggingResult, TaggingScore
from elman.recurrent import Cell
from elman.tasks import storage
from elman.tasks.model import NetworkModel, opened
from elman.tasks.tagging import card as tagger_card
from elman.tasks.tagging.config import TaggerConfig
from elman.tasks.tagging.data import Vocabularies, require_tags, split
from elman.tasks.tagging.job import EVALUATION_TOKENS, TaggerJob, scheme_of, tags_of
from elman.tasks.tagging.network import TaggerNetwork
from elman.tasks.tagging.transfer import take_over
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.text.vectors import read_vectors
from elman.text.vocabulary import Vocabulary
from elman.training import Progress


@dataclass(frozen=True)
class Prediction:
    """What a tagger says of one sentence.

    tags:          one a word
    probabilities: of the tag given, one a word (a CRF's are marginals); None unless asked for
    nbest:         whole tag sequences with their probabilities, best first; None unless asked for
    """

    tags: list[str]
    probabilities: list[float] | None = None
    nbest: list[tuple[list[str], float]] | None = None


class Tagger(NetworkModel):
    """A tag for every word, by a recurrent network over words and their characters.

        tagger = Tagger(cell="lstm", epochs=5).fit(train, dev, out="my-tagger")
        tagger(["Ada", "lives", "in", "London"])

    Settings are those of `TaggerConfig` (the network) and `TrainingConfig` (how it is trained), with the same names and
    defaults as on the command line. Raises UsageError for an unknown setting, naming the nearest real one.
    """

    task = "tag"
    config = TaggerConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._vocabularies: Vocabularies | None = None

    # Training ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: Sequence[Sentence],
        dev: Sequence[Sentence] | float | None = None,
        *,
        test: Sequence[Sentence] | None = None,
        out: str | Path | None = None,
        init: str | Path | None = None,
        resume: bool = False,
        allow_code: bool = False,
        progress: Progress | None = None,
        reading: dict[str, Any] | None = None,
        invocation: dict[str, Any] | None = None,
    ) -> Tagger:
        """Train on sentences with tags; returns self, with the best weights by the dev score.

        dev:     sentences; or a fraction of train, chosen by the seed, that is set aside; or None: the last
                 weights count
        test:    scored once at the end, into metrics.json; chooses nothing
        out:     the model folder; None keeps the model in memory only
        init:    the folder of another tagger of the same architecture to start from
        resume:  go on with an unfinished training in `out`; everything must be as it was
        progress: what shows the progress; None is silent
        reading: how the sentences were read (format, column, ...), kept for later commands
        invocation: what the caller needs to call this again to resume; kept as training/run.json until training ends

        Raises DataError for data that cannot be trained on, UsageError where the folder does not fit, Interrupted on
        Ctrl-C or SIGTERM after a checkpoint is saved, ResourceError when the disk does not take what is written.
        """
        train = [sentence for sentence in train if sentence.words]
        require_tags(train, "training data")
        if isinstance(dev, (int, float)):
            train, dev = split(train, float(dev), self.settings.training.seed)
        elif dev is not None:
            dev = [sentence for sentence in dev if sentence.words]
            require_tags(dev, "dev data")
        test = None if test is None else [sentence for sentence in test if sentence.words]
        if test is not None:
            require_tags(test, "test data")
        old = None if init is None else Tagger.load(init, allow_code=allow_code)
        self.reading = dict(reading or {})
        self.scheme = scheme_of(self.settings.model.scheme, train)
        words, vectors = self._read_vectors()
        if vectors is None and old is not None:
            words, vectors = old.vocabularies.vectors, old.network.vectors
        self._vocabularies = Vocabularies.of(train, words, None if old is None else old.vocabularies)
        cells = self._cells(self.settings.model.cell, self.settings.model.char_cell)
        self._seeded(lambda: self._build(cells, vectors))
        if old is not None:
            take_over(old, self)
        inputs = {"cell file": self._source, "word vectors": None if vectors is None else vectors.numpy().tobytes()}
        job = TaggerJob(self.network, self.vocabularies, self.settings, self.scheme, train, dev, inputs)
        with opened(out, resume=resume) as run:
            self._train(run, job, {"dev": dev, "test": test}, progress, invocation)
        return self

    def _read_vectors(self) -> tuple[Vocabulary | None, Tensor | None]:
        path = self.settings.model.vectors
        if path is None:
            return None, None
        words, table = read_vectors(path)
        if UNUSED in words:
            raise DataError(f"the word {UNUSED!r} is kept for words without a vector; take it out", file=str(path))
        vectors = torch.cat([torch.zeros(1, table.shape[1]), torch.from_numpy(table)])
        return Vocabulary(words, unknown=UNUSED), vectors

    def _build(self, cells: list[type[Cell]], vectors: Tensor | None) -> TaggerNetwork:
        legal = None
        if self.scheme is not None:
            legal = constraint(self.vocabularies.tags.items, self.scheme)
        return TaggerNetwork(self.settings.model, (cells[0], cells[1]), self.vocabularies, vectors, legal)

    # Use --------------------------------------------------------------------------------------------------------

    @property
    def vocabularies(self) -> Vocabularies:
        """The numbering of words, characters and tags."""
        if self._vocabularies is None:
            raise UsageError("this tagger is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._vocabularies

    @property
    def labels(self) -> list[str]:
        """Every tag it can give, in the order of its scores."""
        return list(self.vocabularies.tags.items)

    def __call__(self, words: Sequence[str]) -> list[str]:
        """The tags of one sentence, given as a list of words."""
        if isinstance(words, str):
            raise UsageError("expected a list of words such as ['Ada', 'lives'], found text; split it: text.split()")
        return self.predict([words])[0].tags

    def predict(
        self,
        sentences: Iterable[Sequence[str] | Sentence],
        *,
        probabilities: bool = False,
        nbest: int = 0,
    ) -> list[Prediction]:
        """Tag many sentences (lists of words, or Sentences), batched by length; the order is that of the input.

        nbest: how many whole tag sequences to give for each. An empty sentence has no tags."""
        if nbest < 0:
            raise UsageError(f"expected nbest of 0 or more, found {nbest}")
        texts = [list(s.words if isinstance(s, Sentence) else s) for s in sentences]
        for text in texts:
            if not all(isinstance(word, str) and word for word in text):
                raise UsageError(f"expected sentences as lists of words that are not empty, found {text[:8]!r}")
        predictions = [Prediction([], [] if probabilities else None, [([], 1.0)] if nbest else None)] * len(texts)
        network = self.network.eval()
        with torch.inference_mode():
            for group in batches_by_tokens([len(text) for text in texts], EVALUATION_TOKENS):
                batch = self.vocabularies.batch([texts[i] for i in group])
                if not batch.tokens:
                    continue
                if not probabilities and not nbest:
                    answers = [Prediction(tags) for tags in tags_of(network, self.vocabularies, batch)]
                else:
                    answers = self._explain(batch, probabilities, nbest)
                for i, answer in zip(group, answers, strict=True):
                    if texts[i]:
                        predictions[i] = answer
        return predictions

    def _explain(self, batch: Any, probabilities: bool, n: int) -> list[Prediction]:
        names = self.vocabularies.tags.items
        best, chances, paths = self.network.explain(batch, max(n, 1))
        chosen = chances.gather(1, best.unsqueeze(1)).squeeze(1)
        tags = batch.layout.with_data(best).to_list()
        given = batch.layout.with_data(chosen).to_list()
        answers = []
        where = torch.argsort(batch.layout.order).tolist()
        for i, (ids, p) in enumerate(zip(tags, given, strict=True)):
            ways = [([names[k] for k in path], float(torch.tensor(s).exp())) for path, s in paths[where[i]]]
            answers.append(
                Prediction(
                    [names[k] for k in ids.tolist()],
                    p.tolist() if probabilities else None,
                    ways if n else None,
                )
            )
        return answers

    def evaluate(self, sentences: Sequence[Sentence]) -> TaggingResult:
        """Score on sentences with tags. Raises DataError when some have none."""
        require_tags(sentences, "evaluation data")
        total = TaggingScore(self.scheme)
        known = set(self.vocabularies.words.items[1:])
        for sentence, answer in zip(sentences, self.predict(sentences), strict=True):
            total.add(sentence.tags or [], answer.tags, sentence.words, known)
        return total.result()

    # The model folder -------------------------------------------------------------------------------------------

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        return {name: getattr(self.vocabularies, name) for name in VOCABULARIES}

    def _write_more(self, path: Path) -> None:
        if self.network.vectors is not None:
            storage.write_tensors(path / "vectors.safetensors", {"vectors": self.network.vectors})

    def _restore(self, path: Path) -> None:
        vectors = None
        if (path / "vectors.safetensors").exists():
            vectors = storage.read_tensors(path / "vectors.safetensors").get("vectors")
        names = VOCABULARIES if vectors is not None else VOCABULARIES[:-1]
        found = {name: storage.read_vocabulary(path / f"{name}.json") for name in names}
        self._vocabularies = Vocabularies.loaded(**found)
        cells = self._cells(self.settings.model.cell, self.settings.model.char_cell, stored=True)
        self._network = self._build(cells, vectors)
        self._load_weights(path)

    def describe(self) -> list[str]:
        return tagger_card.describe(self)

    def usage(self, name: str) -> list[str]:
        return tagger_card.usage(self, name)

    score_rows = staticmethod(tagger_card.score_rows)


UNUSED = "<none>"
VOCABULARIES = ("words", "characters", "tags", "vectors")
