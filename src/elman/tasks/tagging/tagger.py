"""`Tagger`: train, use, score and save a tagger."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elman.errors import DataError, ModelError, UsageError
from elman.layers.decoding import constraint
from elman.metrics.tagging import TaggingResult, TaggingScore
from elman.recurrent.cells import cell_from_source, get_cell
from elman.recurrent.check import check_cell
from elman.tasks import storage
from elman.tasks.tagging import card
from elman.tasks.tagging.config import Settings
from elman.tasks.tagging.data import Vocabularies, require_tags, split
from elman.tasks.tagging.job import EVALUATION_TOKENS, TaggerJob, scheme_of, tags_of
from elman.tasks.tagging.network import TaggerNetwork
from elman.tasks.tagging.transfer import take_over
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.text.vectors import read_vectors
from elman.text.vocabulary import Vocabulary
from elman.training import Progress, Result, fit, make_progress, prepare


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


class Tagger:
    """A tag for every word, by a recurrent network over words and their characters.

        tagger = Tagger(cell="lstm", epochs=5).fit(train, dev, out="my-tagger")
        tagger(["Ada", "lives", "in", "London"])

    Settings are those of `TaggerConfig` (the network) and `TrainingConfig` (how it is trained), with the same names and
    defaults as on the command line. Raises UsageError for an unknown setting, naming the nearest real one.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings.of(settings)
        self.scheme: str | None = None
        self.reading: dict[str, Any] = {}
        self.result: Result | None = None
        self._vocabularies: Vocabularies | None = None
        self._network: TaggerNetwork | None = None
        self._source: str | None = None

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
        if out is None:
            with tempfile.TemporaryDirectory(prefix="elman-") as temporary:
                out = Path(temporary)
                return self._fit(train, dev, test, out, init, resume, allow_code, progress, reading, invocation)
        return self._fit(train, dev, test, Path(out), init, resume, allow_code, progress, reading, invocation)

    def _fit(
        self,
        train: Sequence[Sentence],
        dev: Sequence[Sentence] | None,
        test: Sequence[Sentence] | None,
        out: Path,
        init: str | Path | None,
        resume: bool,
        allow_code: bool,
        progress: Progress | None,
        reading: dict[str, Any] | None,
        invocation: dict[str, Any] | None,
    ) -> Tagger:
        old = None if init is None else Tagger.load(init, allow_code=allow_code)
        self.reading = dict(reading or {})
        self.scheme = scheme_of(self.settings, train)
        words, vectors = self._read_vectors()
        if vectors is None and old is not None:
            words, vectors = old.vocabularies.vectors, old.network.vectors
        self._vocabularies = Vocabularies.of(train, words, None if old is None else old.vocabularies)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.training.seed)
            self._build(vectors, None)
        if old is not None:
            take_over(old, self)
        inputs = {"cell file": self._source, "word vectors": None if vectors is None else vectors.numpy().tobytes()}
        job = TaggerJob(self.network, self.vocabularies, self.settings, self.scheme, train, dev, inputs)
        with prepare(out, resume=resume) as run:
            if invocation is not None and not resume:
                storage.write_json(run.training / "run.json", invocation)
            if not resume or not (out / "config.json").exists():
                self._write_folder(out)  # once: what a resumed run finds there is what it must fit
            self.result = fit(job, self.settings.training, run, progress or make_progress(quiet=True))
            metrics = self._metrics(dev, test)
            storage.write_metrics(out, metrics)
            card.write(out, self, metrics)
            run.finish()
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

    def _build(self, vectors: Tensor | None, source: str | None) -> None:
        config = self.settings.model
        classes = []
        for name in (config.cell, config.char_cell):
            if ".py:" in name:
                file, _, class_name = name.rpartition(":")
                if source is None:
                    classes.append(get_cell(name))
                    check_cell(classes[-1]).raise_if_wrong()  # here, not as an odd error or a wrong result later
                    found = Path(file).read_text(encoding="utf-8")
                    if self._source not in (None, found):
                        raise UsageError("cell and char_cell come from two files; put both classes into one")
                    self._source = found
                else:
                    classes.append(cell_from_source(source, class_name, file))
            else:
                classes.append(get_cell(name))
        legal = None
        if self.scheme is not None:
            legal = constraint(self.vocabularies.tags.items, self.scheme)
        self._network = TaggerNetwork(config, (classes[0], classes[1]), self.vocabularies, vectors, legal)

    def _metrics(self, dev: Sequence[Sentence] | None, test: Sequence[Sentence] | None) -> dict[str, Any]:
        assert self.result is not None
        metrics: dict[str, Any] = {
            "training": {
                "stopped": self.result.stopped,
                "epochs": self.result.epochs,
                "best_epoch": self.result.best_epoch,
                "steps": self.result.steps,
                "seconds": round(self.result.seconds, 1),
            }
        }
        if dev is not None:
            metrics["dev"] = self.evaluate(dev).to_json()
        if test is not None:
            metrics["test"] = self.evaluate(test).to_json()
        return metrics

    # Use --------------------------------------------------------------------------------------------------------

    @property
    def network(self) -> TaggerNetwork:
        """The trained network."""
        if self._network is None:
            raise UsageError("this tagger is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._network

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

    def save(self, path: str | Path) -> None:
        """Write the model folder. Raises UsageError when there is one already, ResourceError when the disk refuses."""
        path = Path(path)
        if (path / "model.safetensors").exists() or (path / "config.json").exists():
            raise UsageError(f"{path}: expected a new folder, found a model; choose another")
        self._write_folder(path)
        storage.write_weights(path, self.network)
        card.write(path, self, {})

    def _write_folder(self, path: Path) -> None:
        from elman import __version__

        stored = storage.Stored(
            task="tag",
            format_version=storage.FORMAT_VERSION,
            elman=__version__,
            scheme=self.scheme,
            settings=self.settings.flat(),
            reading=self.reading,
            code=self._source is not None,
        )
        vocabularies = {name: getattr(self.vocabularies, name) for name in VOCABULARIES}
        storage.write(path, stored, vocabularies, self.network.vectors, self._source)

    @classmethod
    def load(cls, path: str | Path, *, allow_code: bool = False) -> Tagger:
        """From a model folder. allow_code: run the source of the cell that is stored with it, if it has one.

        Raises ModelError that names the file at fault."""
        path = Path(path)
        stored = storage.read_config(path)
        if stored.task != "tag":
            raise ModelError(f"{path / 'config.json'}: expected a tagger, found a model for the task {stored.task!r}")
        source = None
        if stored.code:
            source = storage.read_source(path)
            if not allow_code:
                raise ModelError(
                    f"{path}: this model runs a cell of its author's own, whose source is {path / 'cell.py'}; read it, "
                    "and if you trust it load with allow_code=True (on the command line --allow-code)"
                )
        tagger = cls()
        try:
            tagger.settings = Settings.of(stored.settings)
        except UsageError as problem:
            raise ModelError(f"{path / 'config.json'}: {problem}") from problem
        tagger.scheme, tagger.reading, tagger._source = stored.scheme, stored.reading, source
        vectors = None
        if (path / "vectors.safetensors").exists():
            vectors = storage.read_tensors(path / "vectors.safetensors").get("vectors")
        names = VOCABULARIES if vectors is not None else VOCABULARIES[:-1]
        found = {name: storage.read_vocabulary(path / f"{name}.json") for name in names}
        tagger._vocabularies = Vocabularies.loaded(**found)
        try:
            tagger._build(vectors, source)
        except UsageError as problem:
            raise ModelError(f"{path}: {problem}") from problem
        storage.load_weights(path / "model.safetensors", tagger.network)
        tagger.network.eval()
        return tagger


UNUSED = "<none>"
VOCABULARIES = ("words", "characters", "tags", "vectors")
