"""`compare`: train systems on the same split, one after the other, and report how they differ and how surely."""

from __future__ import annotations

import hashlib
import io
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, Interrupted, ModelError, UsageError
from elman.metrics.significance import Interval, PairedTest, bootstrap_interval, paired_test
from elman.tasks import TASKS, storage
from elman.tasks.compare.child import run_elman
from elman.tasks.compare.systems import System, require_distinct
from elman.tasks.load import load
from elman.tasks.measure import Measure
from elman.training import atomic

STATE = "compare.json"
TWICE = 5.0  # seconds: prediction that takes less is timed a second time, when everything it needs is loaded


class Run(msgspec.Struct, forbid_unknown_fields=True):
    """One training, as it is kept in compare.json.

    problem:    why it failed, and the rest is then missing; None if it did not
    seconds:    of training alone
    predicting: of predicting the scored part; units: its size, in the measure's unit
    size:       of the model folder, in bytes
    memory:     peak of the process that read, trained and scored, in bytes
    result:     the scores, as in metrics.json
    """

    system: str
    seed: int
    problem: str | None = None
    seconds: float = 0.0
    predicting: float = 0.0
    units: float = 0.0
    size: int = 0
    memory: int = 0
    result: dict[str, Any] = {}


class State(msgspec.Struct, forbid_unknown_fields=True):
    """compare.json. given: what every run depends on."""

    given: dict[str, Any]
    runs: dict[str, Run] = {}


@dataclass(frozen=True)
class Row:
    """One system. Everything but the names is None, or empty, if no run of it succeeded.

    scores:    of each seed
    deviation: the standard deviation over seeds; None for one
    interval:  over test sets of this kind; test: against the best rival. Both from the examples' statistics, averaged
               over the seeds
    more:      further scores, averaged over the seeds
    seconds:   of a training, the mean; speed: units predicted per second, the median
    size, memory: in bytes, the largest
    problems:  why runs failed, by seed
    """

    system: str
    model: str
    seeds: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    mean: float | None = None
    deviation: float | None = None
    interval: Interval | None = None
    test: PairedTest | None = None
    more: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    speed: float | None = None
    size: int | None = None
    memory: int | None = None
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """part: "dev" or "test", what was scored; best: the rival that the tests are against; rows as requested."""

    task: str
    part: str
    examples: int
    best: str | None
    signature: str | None
    measure: Measure | None
    rows: list[Row]

    def to_json(self) -> dict[str, Any]:
        measure = self.measure
        return {
            "task": self.task,
            "part": self.part,
            "examples": self.examples,
            "score": None if measure is None else measure.name,
            "lower_is_better": measure is not None and measure.lower,
            "unit": None if measure is None else measure.unit,
            "best_rival": self.best,
            "signature": self.signature,
            "systems": [{**asdict(row), "problems": {str(k): v for k, v in row.problems.items()}} for row in self.rows],
        }


@dataclass(frozen=True)
class Split:
    """The files, and the options by which `elman train` reads them."""

    train: Path
    dev: Path
    test: Path | None = None
    options: Sequence[str] = ()

    @property
    def part(self) -> str:
        """The name of what is scored."""
        return "dev" if self.test is None else "test"

    def arguments(self) -> list[str]:
        files = {"train": self.train, "dev": self.dev, "test": self.test}
        named = [f"--{name}={path.absolute()}" for name, path in files.items() if path is not None]
        return [*named, *self.options]


def compare(
    task: str,
    systems: Sequence[System],
    split: Split,
    scored: Any,
    out: Path,
    *,
    seeds: int = 3,
    max_time: float | None = None,
    threads: int | None = None,
    resume: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Train every system with every seed by `elman train`, each in its own process; score them here.

    scored:   what a model's `fit` is given as the test part (without one: as dev), already read
    out:      a new folder, for the folder of every model, and what is known of each in compare.json
    seeds:    how many, for systems that are random
    max_time: seconds, the same for every training: networks end in order, a system without it is stopped and fails
    resume:   resume what is in `out`: finished trainings are kept, unfinished ones resumed
    tell:     called with reports of progress
    Raises UsageError for a folder that does not fit, Interrupted on Ctrl-C or SIGTERM; finished trainings are kept."""
    require_distinct(systems)
    if seeds < 1:
        raise UsageError(f"expected at least one seed, found {seeds}")
    given = {
        "task": task,
        "files": {name: _hash(path) for name, path in _files(split).items()},
        "options": list(split.options),
        "max_time": max_time,
        "threads": threads,
    }
    state = _open(out, given, resume)
    work = [(system, seed) for system in systems for seed in system.seeds(seeds)]
    try:
        with _sigterm_too():
            for i, (system, seed) in enumerate(work):
                name = system.folder(seed)
                what = f"[{i + 1}/{len(work)}] {system.name}" + (f", seed {seed}" if system.random else "")
                if name in state.runs and state.runs[name].problem is None:
                    tell(f"{what}: finished already, kept")
                    continue
                tell(f"{what} ...")
                state.runs[name] = _run(task, system, seed, split, scored, out / name, max_time, threads)
                _write(out, state)
                tell(f"{what}: {_said(state.runs[name])}")
    except KeyboardInterrupt:
        done = sum(state.runs[s.folder(n)].problem is None for s, n in work if s.folder(n) in state.runs)
        raise Interrupted(f"stopped; {done} of {len(work)} trainings are finished, in {out}") from None
    return _gather(task, systems, seeds, split.part, out, state)


def _run(
    task: str,
    system: System,
    seed: int,
    split: Split,
    scored: Any,
    folder: Path,
    max_time: float | None,
    threads: int | None,
) -> Run:
    """Train and score one. An error becomes the run's problem."""
    run = Run(system.name, seed)
    settings = dict(system.settings)
    common = {"seed": seed, "threads": threads, "max_time": max_time}
    settings |= {key: value for key, value in common.items() if key in system.keys and settings.get(key) is None}
    pairs = [f"--set={key}={_text(value)}" for key, value in settings.items() if value is not None]
    arguments = ["train", task, f"--model={system.model}", *split.arguments(), f"--out={folder.absolute()}", *pairs]
    if (folder / "training" / "run.json").exists():
        arguments = ["train", task, f"--resume={folder.absolute()}"]
    else:
        atomic.remove(folder)  # of a training that was stopped, and cannot be resumed
    limit = None if "max_time" in system.keys else max_time
    child = run_elman([*arguments, "--quiet", "--json"], threads, limit)
    if child.problem is not None:
        run.problem = child.problem
        return run
    try:
        metrics = storage.read_json(folder / "metrics.json")
        run.seconds, run.result = float(metrics["training"]["seconds"]), metrics[split.part]
        run.memory = child.memory
        run.size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        model = load(folder, allow_code=True)  # just trained from the user's own file
        table, run.predicting = _timed(model, scored)
        measure = model.measure
        run.units = float(table[:, measure.counted].sum())
        buffer = io.BytesIO()
        np.save(buffer, table, allow_pickle=False)
        atomic.replace_file(folder.with_name(f"{folder.name}.npy"), buffer.getvalue())
    except ElmanError as problem:
        run.problem = str(problem)
    return run


def _timed(model: Any, scored: Any) -> tuple[NDArray[Any], float]:
    """The statistics, and the seconds they took."""
    times: list[float] = []
    while len(times) < 1 or (len(times) < 2 and times[0] < TWICE):
        began = time.perf_counter()
        table: NDArray[Any] = model.statistics(scored)
        times.append(time.perf_counter() - began)
    return table, min(times)


def _gather(task: str, systems: Sequence[System], seeds: int, part: str, out: Path, state: State) -> Comparison:
    """The rows, from what is in the folder."""
    measure: Measure | None = None
    means: dict[str, NDArray[np.float64]] = {}
    results: dict[str, tuple[Row, list[float]]] = {}
    signature, examples = None, 0
    for system in systems:
        numbers = system.seeds(seeds)
        runs = [(seed, state.runs[system.folder(seed)]) for seed in numbers]
        row = Row(system.name, system.model, problems={seed: r.problem for seed, r in runs if r.problem is not None})
        good: list[Run] = []
        tables = []
        for seed, run in runs:
            if run.problem is not None:
                continue
            own = load(out / system.folder(seed), allow_code=True).measure
            measure = measure or own
            table = _statistics(out / f"{system.folder(seed)}.npy")
            if own.name != measure.name or (means and table.shape != next(iter(means.values())).shape):
                row.problems[seed] = f"scored by {own.name}, which cannot be compared with the others' {measure.name}"
                continue
            row.seeds.append(seed)
            good.append(run)
            tables.append(table)
        scores: list[float] = []
        if tables and measure is not None:
            means[system.name] = np.mean(tables, 0)
            scores = [float(measure.score(table.sum(0, dtype=np.float64)[None])[0]) for table in tables]
            signature, examples = signature or good[0].result.get("signature"), len(tables[0])
            row = _row(row, measure, good, scores, means[system.name])
        results[system.name] = row, scores
    best = _best(systems, {name: row for name, (row, _) in results.items() if row.mean is not None}, measure)
    rows = []
    for system in systems:
        row = results[system.name][0]
        if best is not None and measure is not None and row.mean is not None and system.name != best:
            test = paired_test(means[best], means[system.name], measure.score)
            row = replace(row, test=test)
        rows.append(row)
    return Comparison(task, part, examples, best, signature, measure, rows)


def _row(row: Row, measure: Measure, runs: list[Run], scores: list[float], table: NDArray[np.float64]) -> Row:
    more: dict[str, float | None] = {}
    for key in measure.more:
        values = [run.result[key] for run in runs if run.result.get(key) is not None]
        more[key] = statistics.fmean(values) if values else None
    try:
        interval = bootstrap_interval(table, measure.score)
    except UsageError:  # undefined on so little data
        interval = None
    return replace(
        row,
        scores=scores,
        mean=statistics.fmean(scores),
        deviation=statistics.stdev(scores) if len(scores) > 1 else None,
        interval=interval,
        more=more,
        seconds=statistics.fmean(run.seconds for run in runs),
        speed=statistics.median(run.units / max(run.predicting, 1e-9) for run in runs),
        size=max(run.size for run in runs),
        memory=max(run.memory for run in runs),
    )


def _best(systems: Sequence[System], rows: Mapping[str, Row], measure: Measure | None) -> str | None:
    """The best rival; without one, the best of all."""
    network = {next(iter(models)) for models in TASKS.values()}
    rivals = [s.name for s in systems if s.name in rows and s.model not in network]
    names = rivals or list(rows)
    if not names or measure is None:
        return None
    sign = -1.0 if measure.lower else 1.0
    return max(names, key=lambda name: sign * (rows[name].mean or 0.0))


def _open(out: Path, given: dict[str, Any], resume: bool) -> State:
    """The state in the folder, or a new one. Raises UsageError if the folder does not fit."""
    path = out / STATE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out}: expected a new or empty folder to write models into, found something else")
        atomic.make_folder(out)
        state = State(given)
        _write(out, state)
        return state
    if not resume:
        raise UsageError(
            f"{out}: expected a new folder, found a comparison; resume it with --resume, or name another folder"
        )
    try:
        state = msgspec.convert(storage.read_json(path), State)
    except msgspec.ValidationError as problem:
        raise ModelError(f"{path}: {problem}") from problem
    changed = [key for key in given if state.given.get(key) != given[key]]
    if changed:
        raise UsageError(
            f"{out}: it was started with other values of {', '.join(changed)}; use the same, or compare in a new folder"
        )
    return state


def _write(out: Path, state: State) -> None:
    storage.write_json(out / STATE, msgspec.to_builtins(state))


def _statistics(path: Path) -> NDArray[Any]:
    try:
        table: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise ModelError(f"{path}: cannot be read: {problem}; train that system again") from problem
    return table


def _files(split: Split) -> dict[str, Path]:
    return {name: path for name in ("train", "dev", "test") if (path := getattr(split, name)) is not None}


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read: {problem.strerror or problem}") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _said(run: Run) -> str:
    if run.problem is not None:
        return f"failed: {run.problem}"
    return f"trained in {run.seconds:.1f} s"


@contextmanager
def _sigterm_too() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C here, unless something else handles it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
