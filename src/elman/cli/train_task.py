"""What `elman train tag`, `classify` and `lm` have in common: one command from a table of settings and a reader."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from elman.cli import folds, run_file
from elman.cli.groups import SectionedCommand, SectionOption
from elman.cli.importing import import_torch
from elman.cli.output import emit_json, note, shell, size
from elman.cli.settings import Table
from elman.errors import UsageError, nearest

if TYPE_CHECKING:
    from elman.text.skipping import Skipped

PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_PATHS = ("train", "dev", "test", "out", "init")
CELLS = ("cell", "char_cell")


class Door(Protocol):
    """A task as its command sees it.

    task:  its name in `TASKS`
    table: its settings
    help:  the command's help, with an example
    again: `elman train TASK` calls a model's `fit` with these beside the usual arguments, by key of the data
    """

    task: str
    table: Table
    help: str

    def read(self, given: Mapping[str, Any], quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `fit` gets as train, dev and test, each where it was given, and how it was read.

        given: all keys of the data; --dev 10% is not a part that is read. Tells on standard error what was found."""
        ...

    def hints(self, folder: str) -> list[str]:
        """Commands to try on the new model; `folder` is quoted."""
        ...


def _run_options() -> list[click.Parameter]:
    def option(names: list[str], help: str, **more: Any) -> SectionOption:
        return SectionOption(names, help=help, section="Run", **more)

    return [
        option(["resume", "--resume"], "go on with the training in DIR; needs nothing else", metavar="DIR"),
        option(["config", "--config"], "a TOML file of keys, named as options with _ for -", metavar="FILE"),
        option(["pairs", "--set"], "any key; stronger than --config", metavar="KEY=VALUE", multiple=True),
        option(["allow_code", "--allow-code"], "run the cell that is stored with --init", is_flag=True),
        option(["watch", "--watch"], "log gradients, gates and updates too; under 5 % of the time", is_flag=True),
        option(["quiet", "--quiet", "-q"], "no progress", is_flag=True),
        option(["as_json", "--json"], "print one JSON object", is_flag=True),
    ]


def command(door: Door) -> click.Command:
    """`elman train TASK`."""

    def run(
        resume: str | None,
        config: str | None,
        pairs: tuple[str, ...],
        allow_code: bool,
        watch: bool,
        quiet: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        table = door.table
        given: dict[str, Any] = table.from_file(config) if config is not None else {}
        given |= table.from_pairs(pairs)
        given |= table.from_flags(options)
        if resume is not None:
            out = Path(resume)
            metrics = _resume(door, out, given, allow_code, watch, quiet)
        else:
            for key in ("train", "out"):
                if given.get(key) is None:
                    raise UsageError(f"--{key} is missing: elman train {door.task} --train FILE [--dev FILE] --out DIR")
            out = Path(given["out"])
            metrics = _train(door, out, given, None, allow_code, watch, quiet)
        if metrics is None:
            folds.report(out, as_json, quiet)
        else:
            _report(door, out, metrics, as_json, quiet)

    params = [*door.table.click_options(), *_run_options()]
    return SectionedCommand(door.task, callback=run, params=params, help=door.help)


def _resume(
    door: Door, folder: Path, given: Mapping[str, Any], allow_code: bool, watch: bool, quiet: bool
) -> dict[str, Any] | None:
    stored = run_file.read(folder)
    if stored["task"] != door.task:
        raise UsageError(f"--resume {folder}: it trains a model for {stored['task']}: elman train --resume DIR")
    folder = folder.absolute()
    was = {**stored["given"], "threads": stored["threads"]}
    now = _complete(door, {"model": was.get("model", "network"), **given, "out": given.get("out", folder)})
    changes = [
        f"  {key}: was {_text(was.get(key))}, found {_text(now[key])}"
        for key in given
        if now[key] != was.get(key) and not (key == "out" and _same(now["out"], str(folder)))
    ]
    if changes:
        raise UsageError(
            "--resume goes on with what the training was begun with; these differ:\n"
            + "\n".join(changes)
            + f"\nleave them out, or start anew: --out OTHER, perhaps with --init {shell(folder)}"
        )
    try:
        os.chdir(stored["folder"])  # what --cell and --vectors are relative to
    except OSError as problem:
        raise UsageError(f"{stored['folder']}: the training was begun there: {problem.strerror or problem}") from None
    changed = [what for what, old in stored["files"].items() if run_file.hashes(stored["given"]).get(what) != old]
    if changed:
        raise UsageError(
            f"{folder}: cannot be resumed, because these have changed: {', '.join(changed)}; put them back"
        )
    return _train(door, folder, stored["given"], stored, allow_code, watch or stored.get("watch", False), quiet)


def _text(value: Any) -> str:
    return "not given" if value is None else str(value)


def _complete(door: Door, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every key: those of data as given, with absolute paths; the model's settings checked and with their defaults."""
    import_torch()
    from elman.tasks.load import model_class

    complete: dict[str, Any] = {setting.key: given.get(setting.key, setting.default) for setting in door.table.data}
    for key in _PATHS:
        if complete.get(key) is not None and not (key == "dev" and PERCENT.fullmatch(str(complete[key]))):
            complete[key] = os.path.abspath(complete[key])
    model = str(complete["model"])
    known = door.table.defaults(model)
    settings = {key: value for key, value in given.items() if key not in complete}
    for key in settings:
        if key not in known:
            name = key.replace("_", "-")
            raise UsageError(f"--model {model} has no setting {name!r}; {nearest(key, known)}")
    return complete | model_class(door.task, model)(**settings).settings.flat()


def _train(
    door: Door,
    out: Path,
    given: Mapping[str, Any],
    stored: dict[str, Any] | None,
    allow_code: bool,
    watch: bool,
    quiet: bool,
) -> dict[str, Any] | None:
    """Read, train, write; `stored` is the run to go on with, None for a new one. Returns what metrics.json holds, or
    None where there is a model for each of several folds."""
    complete = _complete(door, given)
    _require_distinct(complete)
    if watch:
        _require_steps(door, str(complete["model"]))
    if complete.get("folds") is not None and complete["fold"] is None:

        def train_one(folder: Path, given: dict[str, Any], stored: dict[str, Any] | None) -> None:
            _train(door, folder, given, stored, allow_code, watch, quiet)

        folds.train(train_one, door.task, out, complete, stored is not None, watch, quiet)
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
    described = run_file.describe(door.task, complete, torch.get_num_threads(), watch)
    with prepare(out, resume=stored is not None):
        pass  # only to see, before the data is read, that the folder will do
    parts, reading = door.read(complete, quiet)
    if share := PERCENT.fullmatch(str(complete["dev"] or "")):
        parts["dev"] = float(share[1]) / 100
    model = str(complete["model"])
    settings = {key: complete[key] for key in door.table.defaults(model)}
    arguments = {"out": out, "reading": reading, "progress": make_progress(quiet=quiet)}
    if model_class(door.task, model).resumable:
        if parts.get("dev") is None and not quiet:
            note("no dev data: the weights of the last epoch are kept; --dev 10% would set a part aside to choose by")
        arguments |= {"resume": stored is not None, "invocation": described}
        if watch:
            from elman.inspect.watch import Watcher

            arguments["watch"] = Watcher()
        arguments |= {"init": complete["init"], "allow_code": allow_code}
    elif complete.get("init") is not None:
        raise UsageError(f"--init gives the first weights of a network; --model {model} has none")
    model_class(door.task, model)(**settings).fit(parts.pop("train"), parts.pop("dev", None), **parts, **arguments)
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_bytes())
    return metrics | {"skipped": sum(reading.get("skipped_parts", {}).values())}


def left_out(skipped: Mapping[str, Skipped], asked: bool) -> dict[str, Any]:
    """What a model keeps of --skip-broken: how many sentences or texts each part lacks; nothing where not asked for."""
    return {"skipped_parts": {key: one.count for key, one in skipped.items()}} if asked else {}


def _require_steps(door: Door, model: str) -> None:
    """Raise UsageError for --watch where there is nothing to watch."""
    from elman.tasks import TASKS
    from elman.tasks.load import model_class

    if not model_class(door.task, model).resumable:
        steps = [name for name in TASKS[door.task] if model_class(door.task, name).resumable]
        raise UsageError(
            f"--watch looks on while training goes step by step; --model {model} is counted in one go, these have "
            f"steps: {', '.join(steps)}"
        )


def _require_distinct(given: Mapping[str, Any]) -> None:
    """Raise UsageError where what is trained on would be scored on too."""
    if os.path.basename(given["train"]) == "-":
        raise UsageError("--train: expected a file, found standard input, which cannot be read again to resume")
    for key in ("dev", "test"):
        if given.get(key) is not None and _same(given["train"], given[key]):
            raise UsageError(
                f"--{key}: expected another file than --train, found the same; a score on it would mean nothing"
                + (" (--dev 10% sets a part of it aside)" if key == "dev" else "")
            )


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _report(door: Door, out: Path, metrics: dict[str, Any], as_json: bool, quiet: bool) -> None:
    from elman.cli.scores import print_summary

    if as_json:
        emit_json({"model": str(out), **metrics})
    else:
        print_summary(door.task, {part: metrics[part] for part in ("dev", "test") if part in metrics})
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
        for i, hint in enumerate(door.hints(shell(out))):
            note(f"{'      ' if i else 'try:  '}{hint}{allow}")
