"""The work of `elman train`: a new training, and one that is resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from elman.cli import folds, run_file
from elman.cli.importing import import_torch
from elman.cli.output import emit_json, note, shell, size
from elman.cli.tasks.base import PARTS, PERCENT, Task, print_summary
from elman.errors import UsageError, nearest

_PATHS = (*PARTS, "out", "init")
CELLS = ("cell", "char_cell")


class How(NamedTuple):
    """The options of a run that do not belong to the model."""

    allow_code: bool
    watch: bool
    quiet: bool


def train(task: Task, given: Mapping[str, Any], how: How, as_json: bool) -> None:
    """A new training. given: the settings that are not the defaults. Raises UsageError for those that do not fit."""
    out = Path(given["out"])
    _report(task, out, _train(task, out, given, None, how), as_json, how.quiet)


def resume(task: Task, folder: Path, given: Mapping[str, Any], how: How, as_json: bool) -> None:
    """Resume the training in this folder. given: settings, which must be those it was started with.

    Raises UsageError if they are not, or if what it was trained on has changed."""
    stored = run_file.read(folder)
    if stored["task"] != task.name:
        raise UsageError(f"--resume {folder}: it trains a model for {stored['task']}: elman train --resume DIR")
    folder = folder.absolute()
    was = {**stored["given"], "threads": stored["threads"]}
    now = _complete(task, {"model": was.get("model", "network"), **given, "out": given.get("out", folder)})
    changes = [
        f"  {key}: was {_text(was.get(key))}, found {_text(now[key])}"
        for key in given
        if now[key] != was.get(key) and not (key == "out" and _same(now["out"], str(folder)))
    ]
    if changes:
        raise UsageError(
            "--resume uses the settings that the training was started with; these differ:\n"
            + "\n".join(changes)
            + f"\nleave them out, or start a new training: --out OTHER, perhaps with --init {shell(folder)}"
        )
    try:
        os.chdir(stored["folder"])  # what --cell and --vectors are relative to
    except OSError as problem:
        raise UsageError(f"{stored['folder']}: the training was started there: {problem.strerror or problem}") from None
    changed = [what for what, old in stored["files"].items() if run_file.hashes(stored["given"]).get(what) != old]
    if changed:
        raise UsageError(f"{folder}: cannot be resumed, because these have changed: {', '.join(changed)}; restore them")
    how = how._replace(watch=how.watch or stored.get("watch", False))
    _report(task, folder, _train(task, folder, stored["given"], stored, how), as_json, how.quiet)


def _text(value: Any) -> str:
    return "not given" if value is None else str(value)


def _complete(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every key: those of data as given, with absolute paths; the model's settings, checked, with their defaults."""
    import_torch()
    from elman.tasks.load import model_class

    complete: dict[str, Any] = {setting.key: given.get(setting.key, setting.default) for setting in task.table.data}
    for key in _PATHS:
        if complete.get(key) is not None and not (key == "dev" and PERCENT.fullmatch(str(complete[key]))):
            complete[key] = os.path.abspath(complete[key])
    model = str(complete["model"])
    known = task.table.defaults(model)
    settings = {key: value for key, value in given.items() if key not in complete}
    for key in settings:
        if key not in known:
            name = key.replace("_", "-")
            raise UsageError(f"--model {model} has no setting {name!r}; {nearest(key, known)}")
    return complete | model_class(task.name, model)(**settings).settings.flat()


def _train(
    task: Task, out: Path, given: Mapping[str, Any], stored: dict[str, Any] | None, how: How
) -> dict[str, Any] | None:
    """Read, train, write; `stored` is the run to resume, None for a new one. Returns what metrics.json holds, or None
    if there is a model for each of several folds."""
    complete = _complete(task, given)
    folds.require(complete)
    _require_distinct(complete)
    if how.watch:
        _require_steps(task, str(complete["model"]))
    if complete.get("folds") is not None and complete["fold"] is None:

        def train_one(folder: Path, given: dict[str, Any], stored: dict[str, Any] | None) -> None:
            _train(task, folder, given, stored, how)

        folds.train(train_one, task, out, complete, stored is not None, how.watch, how.quiet)
        return None

    import torch

    from elman.recurrent import get_cell
    from elman.tasks.load import model_class
    from elman.training import make_progress, prepare

    for key in CELLS:
        if ".py:" not in complete.get(key, ".py:"):
            get_cell(complete[key])  # before the data is read
    threads = stored["threads"] if stored else complete.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)
    described = run_file.describe(task.name, complete, torch.get_num_threads(), how.watch)
    with prepare(out, resume=stored is not None):
        pass  # only to check, before the data is read, that the folder is usable
    parts, reading = task.read(complete, how.quiet)
    if share := PERCENT.fullmatch(str(complete["dev"] or "")):
        parts["dev"] = float(share[1]) / 100
    model = str(complete["model"])
    settings = {key: complete[key] for key in task.table.defaults(model)}
    arguments = {"out": out, "reading": reading, "progress": make_progress(quiet=how.quiet)}
    if model_class(task.name, model).resumable:
        if parts.get("dev") is None and not how.quiet:
            note(
                "no dev data: the weights of the last epoch are kept; --dev 10% would set a part aside to choose one by"
            )
        arguments |= {"resume": stored is not None, "invocation": described}
        if how.watch:
            from elman.inspect.watch import Watcher

            arguments["watch"] = Watcher()
        arguments |= {"init": complete["init"], "allow_code": how.allow_code}
    elif complete.get("init") is not None:
        raise UsageError(f"--init gives the initial weights of a network; --model {model} has none")
    model_class(task.name, model)(**settings).fit(parts.pop("train"), parts.pop("dev", None), **parts, **arguments)
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_bytes())
    return metrics | {"skipped": sum(reading.get("skipped_parts", {}).values())}


def _require_steps(task: Task, model: str) -> None:
    """Raise UsageError for --watch if there is nothing to watch."""
    from elman.tasks import TASKS
    from elman.tasks.load import model_class

    if not model_class(task.name, model).resumable:
        steps = [name for name in TASKS[task.name] if model_class(task.name, name).resumable]
        raise UsageError(
            f"--watch observes training step by step; --model {model} is estimated in one go, these have "
            f"steps: {', '.join(steps)}"
        )


def _require_distinct(given: Mapping[str, Any]) -> None:
    """Raise UsageError if the training data would be scored on too."""
    if os.path.basename(given["train"]) == "-":
        raise UsageError("--train: expected a file, found standard input, which cannot be read again to resume")
    for key in ("dev", "test"):
        if given.get(key) is not None and _same(given["train"], given[key]):
            raise UsageError(
                f"--{key}: expected a file other than --train, found the same; a score on it would be meaningless"
                + (" (--dev 10% sets a part of it aside)" if key == "dev" else "")
            )


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _report(task: Task, out: Path, metrics: dict[str, Any] | None, as_json: bool, quiet: bool) -> None:
    if metrics is None:
        folds.report(task, out, as_json, quiet)
        return
    if as_json:
        emit_json({"model": str(out), **metrics})
    else:
        print_summary(task, {part: metrics[part] for part in ("dev", "test") if part in metrics})
    if not quiet:
        run = metrics["training"]
        weight = size((out / "model.safetensors").stat().st_size)
        which = f"the weights of epoch {run['best_epoch']} of {run['epochs']}" if "epochs" in run else "the model"
        note(f"\n{out}: {which}, {weight}; its card is README.md")
        if run.get("stopped") == "epochs" and run["best_epoch"] == run["epochs"] > 1 and "dev" in metrics:
            note(
                f"the last of {run['epochs']} epochs was the best, so more may be better: --epochs {2 * run['epochs']} "
                "--out OTHER"
            )
        allow = " --allow-code" if (out / "cell.py").exists() else ""
        for i, hint in enumerate(task.hints(shell(out))):
            note(f"{'      ' if i else 'try:  '}{hint}{allow}")
