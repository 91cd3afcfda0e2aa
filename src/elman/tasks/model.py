"""What every model of every task has: settings, `fit`, scores, a folder. Networks and their rivals alike."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.config import Config, TrainingConfig
from elman.errors import ModelError, UsageError, shorten
from elman.recurrent import Cell, Recurrent
from elman.recurrent.cells import cell_from_source, get_cell
from elman.recurrent.check import check_cell
from elman.tasks import card, storage
from elman.tasks.bounded import TooLargeError, bounded
from elman.tasks.measure import Measure
from elman.tasks.plan import Plan, Rewriting
from elman.tasks.settings import NoTraining, Settings
from elman.tasks.transfer import Rows, take_over
from elman.text.vocabulary import Vocabulary
from elman.training import Job, Progress, Result, RunFolder, Watch, atomic, fit, make_progress, prepare

D = TypeVar("D")  # the data that a task trains on and is scored on


class Model(Generic[D]):
    """A model of a task. Subclasses define which, and its settings.

    task, kind:       its place in `TASKS`
    config, training: the classes of its settings; they share one flat namespace, the same as on the command line
    resumable:        whether training runs in steps, and can be stopped and resumed
    added_settings:   settings that folders of earlier versions lack, with what they had in their place
    scheme:           the chunk scheme of its tags, if they follow one
    reading:          how its training data was read, kept for later commands
    Raises UsageError for an unknown setting, naming the nearest real one.
    """

    task: ClassVar[str]
    kind: ClassVar[str]
    config: ClassVar[type[Config]]
    training: ClassVar[type[Config]] = NoTraining
    resumable: ClassVar[bool] = False
    added_settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **settings: Any) -> None:
        self.settings: Settings[Any] = Settings.of(settings, self.config, self.training)
        self.scheme: str | None = None
        self.reading: dict[str, Any] = {}
        self._source: str | None = None

    # What a subclass defines

    def fit(self, train: D, dev: D | float | None = None, *, test: D | None = None) -> Self:
        """Train; returns self. Networks and their rivals take more keyword arguments."""
        raise NotImplementedError

    def evaluate(self, data: D) -> Any:
        """The scores on data with answers: an object with `to_json()`, whose "signature" says how it was scored."""
        raise NotImplementedError

    @property
    def measure(self) -> Measure:
        """The score by which models of the task are compared."""
        raise UsageError(f"a model of kind {self.task} {self.kind} has no statistics, so it cannot be compared")

    def statistics(self, data: D) -> NDArray[Any]:
        """(examples, k) numbers whose sums `measure` scores: one row per example of the data, right or wrong."""
        raise UsageError(f"a model of kind {self.task} {self.kind} has no statistics, so it cannot be compared")

    def remembering(self) -> AbstractContextManager[None]:
        """Inside the `with`, what can be used again is kept from one prediction to the next: faster, the same answers.
        Only one thread may predict with this model there, and its weights must not change."""
        return nullcontext()

    def plan(self) -> Plan | Rewriting:
        """What it computes, as data, for `elman export`. Raises UsageError for a model that cannot leave Python."""
        raise UsageError(
            f"a model of kind {self.task} {self.kind} cannot be exported; docs/export.md lists those that can"
        )

    def describe(self) -> list[str]:
        """The paragraphs of the model card that describe this model."""
        raise NotImplementedError

    def usage(self, name: str) -> list[str]:
        """The lines of Python in the model card."""
        raise NotImplementedError

    @staticmethod
    def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The main scores of a result's JSON as the card's table shows them."""
        raise NotImplementedError

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        """File name without .json -> vocabulary."""
        return {}

    def _write_more(self, path: Path) -> None:
        """Write whatever else belongs in the folder, before config.json; the weights come during training, or after."""

    def _weights(self) -> Mapping[str, Tensor]:
        """What model.safetensors holds."""
        raise NotImplementedError

    def _restore(self, path: Path) -> None:
        """Load the rest from a folder; settings, scheme, reading and source are set already."""
        raise NotImplementedError

    # The model folder

    def save(self, path: str | Path) -> None:
        """Write the model folder. Raises UsageError if one exists already, ResourceError if writing fails."""
        path = Path(path)
        if (path / "model.safetensors").exists() or (path / "config.json").exists():
            raise UsageError(f"{path}: expected a new folder, found a model; choose another")
        weights = self._weights()
        self._write_folder(path)
        storage.write_tensors(path / "model.safetensors", weights)
        self._write_card(path, {})

    def _write_folder(self, path: Path) -> None:
        from elman import __version__

        stored = storage.Stored(
            task=self.task,
            model=self.kind,
            format_version=storage.FORMAT_VERSION,
            elman=__version__,
            scheme=self.scheme,
            settings=self.settings.flat(),
            reading=self.reading,
            code=self._source is not None,
        )
        storage.write(path, stored, self.vocabulary_files(), self._source, self._write_more)

    @classmethod
    def load(cls, path: str | Path, *, allow_code: bool = False) -> Self:
        """Load from a model folder. allow_code: run the source of the custom cell stored with it, if it has one.

        Raises ModelError that names the file at fault."""
        path = Path(path)
        stored = storage.read_config(path)
        if (stored.task, stored.model) != (cls.task, cls.kind):
            expected, found = f"{cls.task} {cls.kind}", f"{stored.task} {stored.model}"
            raise ModelError(f"{path / 'config.json'}: expected a model of kind {expected}, found {shorten(found)}")
        if stored.code and not allow_code:
            raise ModelError(
                f"{path}: this model runs a custom cell, whose source is {path / 'cell.py'}; read it, and "
                "if you trust it, load with allow_code=True (on the command line --allow-code)"
            )
        try:
            model = cls(**{**cls.added_settings, **stored.settings})
        except UsageError as problem:
            raise ModelError(f"{path / 'config.json'}: {problem}") from problem
        model.scheme, model.reading = stored.scheme, stored.reading
        model._source = storage.read_source(path) if stored.code else None
        try:
            model._restore(path)
        except UsageError as problem:
            raise ModelError(f"{path}: {problem}") from problem
        except (MemoryError, OverflowError, RuntimeError, RecursionError) as problem:
            text = " ".join(str(problem).split())[:200]
            raise ModelError(
                f"{path}: the model its files describe cannot be built ({text}); restore them"
            ) from problem
        return model

    def _write_card(self, path: Path, metrics: Mapping[str, Any]) -> None:
        text = card.text(
            path.name,
            paragraphs=self.describe(),
            reading=self.reading,
            metrics=metrics,
            seed=getattr(self.settings.training, "seed", None),
            score_rows=self.score_rows,
            usage=self.usage(path.name),
        )
        atomic.replace_file(path / "README.md", text.encode("utf-8"))

    def _write_results(self, path: Path, metrics: dict[str, Any], data: Mapping[str, Any]) -> None:
        """Write metrics.json and the card: `metrics`, and the scores on each part of `data` that exists."""
        metrics |= {part: self.evaluate(scored).to_json() for part, scored in data.items() if scored is not None}
        storage.write_metrics(path, metrics)
        self._write_card(path, metrics)


class NetworkModel(Model[D]):
    """A model trained by the loop."""

    kind = "network"
    training: ClassVar[type[Config]] = TrainingConfig
    resumable = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.result: Result | None = None
        self._network: Any = None

    # What a subclass defines

    def _begin(
        self, train: D, dev: D | float | None, test: D | None, old: Self | None, run: RunFolder
    ) -> tuple[Job, dict[str, Any]]:
        """Check the data, make its vocabularies, and the network with `_seeded`: the job for the loop, and what is
        scored at the end, by part name. old: the model to start from, whose entries come first; its weights are copied
        afterwards. Raises DataError, and UsageError if `old` does not fit."""
        raise NotImplementedError

    def weight_rows(self) -> Mapping[str, Rows]:
        """Prefix of a weight's name -> what its rows stand for, if they belong to a vocabulary."""
        raise NotImplementedError

    # The same for all

    def fit(
        self,
        train: D,
        dev: D | float | None = None,
        *,
        test: D | None = None,
        out: str | Path | None = None,
        init: str | Path | None = None,
        resume: bool = False,
        allow_code: bool = False,
        progress: Progress | None = None,
        reading: Mapping[str, Any] | None = None,
        invocation: dict[str, Any] | None = None,
        watch: Watch | None = None,
    ) -> Self:
        """Train on data with gold answers; returns self, with the best weights by dev score.

        dev:        data of the same kind; or a fraction of train, chosen by the seed, to set aside; or None: the last
                    weights are kept
        test:       scored once at the end, into metrics.json; never used for selection
        out:        the model folder; None keeps the model in memory only
        init:       the folder of another model of the same kind and architecture to start from; what it knows is kept
        resume:     resume an unfinished training in `out`; everything must be unchanged
        allow_code: run the source of the custom cell that is stored with `init`
        progress:   shows the progress; None is silent
        reading:    how the data was read (format, column, ...), kept for later commands
        invocation: what the caller needs to call this again to resume; kept as training/run.json until training ends
        watch:      observes the training, such as elman.inspect.watch.Watcher(); it changes no weights

        Raises DataError for data that cannot be trained on, UsageError if the folder does not fit, Interrupted on
        Ctrl-C or SIGTERM after a checkpoint is saved, ResourceError if writing to disk fails."""
        old = None if init is None else type(self).load(init, allow_code=allow_code)
        self.reading = dict(reading or {})
        with opened(out, resume=resume) as run:
            job, scored = self._begin(train, dev, test, old, run)
            if old is not None:
                take_over(old, self)
            self._train(run, job, scored, progress, invocation, watch)
        return self

    @property
    def network(self) -> Any:
        """The trained network."""
        if self._network is None:
            raise UsageError("this model is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._network

    @property
    def evaluated(self) -> Any:
        """The network in evaluation mode. Setting it on every module takes a tenth of a short sentence's time, so it is
        done only if needed."""
        return self.network.eval() if self.network.training else self.network

    @property
    def training_window(self) -> int | None:
        """Steps per window of truncated backpropagation, for a model of one continuous stream; None for all others."""
        return None

    def about(self) -> dict[str, Any]:
        """Facts about a network with recurrent layers, by name."""
        model = self.settings.model
        one_way = getattr(model, "one_way", True)
        return ({"pooling": model.pooling} if hasattr(model, "pooling") else {}) | {
            "cell": model.cell,
            "layers": f"{model.layers}, {'one direction' if one_way else 'both directions'}",
            "hidden size": model.hidden_size,
            "parameters": sum(p.numel() for p in self.network.parameters()),
        }

    def _weights(self) -> Mapping[str, Tensor]:
        return self.network.state_dict()

    def _load_network(self, path: Path, build: Callable[[], nn.Module]) -> None:
        """Build the network and load its weights from a model folder. Raises ModelError that names the file.

        A stored custom cell is code that was allowed to run, so bounding it would gain nothing."""
        weights = path / "model.safetensors"
        tensors = storage.read_tensors(weights)
        try:
            with nullcontext() if self._source is not None else bounded(tensors.values()):
                self._network = build()
        except (TooLargeError, RuntimeError, MemoryError) as problem:  # the last two if one weight is too large
            text = " ".join(str(problem).split())[:200]
            raise ModelError(
                f"{path / 'config.json'}: its settings do not match the network in {weights.name}: {text}; "
                "restore the files"
            ) from problem
        storage.load_weights(weights, tensors, self.network)
        self.network.eval()

    def _seeded(self, build: Callable[[], nn.Module]) -> None:
        """Make the network, its initial weights drawn from the seed; the caller's generator is left untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.training.seed)
            self._network = build()
        for module in self._network.modules():
            if isinstance(module, Recurrent):
                module.memory = self.settings.training.memory

    def _cells(self, *names: str, stored: bool = False) -> list[type[Cell]]:
        """The classes of registered cells and of file.py:MyCell, which is checked and whose source is kept.

        stored: take the latter from the source in the model folder. Raises UsageError for an unknown or wrong cell."""
        classes = []
        for name in names:
            file, own, class_name = name.rpartition(".py:")
            if not own or not stored:
                classes.append(get_cell(name))
            else:
                classes.append(cell_from_source(self._source or "", class_name, f"{file}.py"))
            if own and not stored:
                check_cell(classes[-1]).raise_if_wrong()  # here, not as an obscure error or a wrong result later
                source = Path(f"{file}.py").read_text(encoding="utf-8")
                if self._source not in (None, source):
                    raise UsageError(f"the cells {' and '.join(names)} come from two files; put both into one file")
                self._source = source
        return classes

    def _train(
        self,
        run: RunFolder,
        job: Job,
        data: Mapping[str, Any],
        progress: Progress | None,
        invocation: dict[str, Any] | None,
        watch: Watch | None = None,
    ) -> None:
        """Train in an open folder, score, and write everything that belongs to the model.

        data:       what is scored at the end, by part name
        invocation: what the caller needs to call again to resume; kept as training/run.json until training ends
        watch:      observes the training"""
        if invocation is not None and not run.resuming:
            storage.write_json(run.training / "run.json", invocation)
        if not run.resuming or not (run.path / "config.json").exists():
            self._write_folder(run.path)  # once: a resumed run must match what it finds there
        self.result = fit(job, self.settings.training, run, progress or make_progress(quiet=True), watch)
        result = self.result
        training = {
            "stopped": result.stopped,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
        }
        self._write_results(run.path, {"training": training}, data)
        run.finish()


class CountedModel(Model[D]):
    """A rival that is estimated in one go: there is nothing to interrupt, and nothing to resume."""

    # What a subclass defines

    def _prepare(self, train: D, dev: D | float | None, test: D | None) -> tuple[Any, dict[str, Any]]:
        """Check the data: what `_estimate` takes, and what is scored at the end, by part name."""
        raise NotImplementedError

    def _estimate(self, data: Any) -> None:
        """Estimate the model."""
        raise NotImplementedError

    # The same for all

    def fit(
        self,
        train: D,
        dev: D | float | None = None,
        *,
        test: D | None = None,
        out: str | Path | None = None,
        progress: Progress | None = None,
        reading: Mapping[str, Any] | None = None,
    ) -> Self:
        """Estimate from data with gold answers; returns self.

        dev:      data of the same kind, or a fraction of train to set aside, as for a network with the same seed;
                  scored, and if the model says so, used to choose a setting
        test:     scored; never used for selection
        out:      the model folder; None keeps the model in memory only
        progress: accepted as by every model; there is none to show
        reading:  how the data was read, kept for later commands
        Raises DataError for data that cannot be trained on, UsageError if the folder does not fit."""
        self.reading = dict(reading or {})
        if out is None:
            self._estimate(self._prepare(train, dev, test)[0])
            return self
        with prepare(out) as run:
            data, scored = self._prepare(train, dev, test)
            began = time.monotonic()
            self._estimate(data)
            training = {"seconds": round(time.monotonic() - began, 3)}
            run.clear()
            self._write_folder(run.path)
            storage.write_tensors(run.model, self._weights())
            self._write_results(run.path, {"training": training}, scored)
            run.finish()
        return self


@contextmanager
def opened(out: str | Path | None, *, resume: bool) -> Iterator[RunFolder]:
    """The run's folder; without `out` a temporary one, for a model kept in memory only."""
    if out is not None:
        with prepare(out, resume=resume) as run:
            yield run
        return
    if resume:
        raise UsageError("resume=True needs out=, the folder of the training to resume")
    with tempfile.TemporaryDirectory(prefix="elman-") as temporary, prepare(temporary) as run:
        yield run
