"""`--folds K`: a model for each part of the training data, trained on the other parts and tested on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from elman.cli import run_file
from elman.cli.output import emit_json, note, shell, table
from elman.cli.tasks.base import Task
from elman.errors import ElmanError, Interrupted, UsageError

# Trains one model: its folder, the given settings, and the run to resume or None.
Train = Callable[[Path, dict[str, Any], dict[str, Any] | None], None]
NAME = "folds.json"


def require(given: Mapping[str, Any]) -> None:
    """Raise UsageError unless the settings of folds, if any, are consistent."""
    folds, fold = given.get("folds"), given.get("fold")
    if fold is not None and folds is None:
        raise UsageError("--fold says which fold; --folds, the number of folds, is missing")
    if folds is not None and (folds < 2 or not 1 <= (1 if fold is None else fold) <= folds):
        raise UsageError(f"--folds: expected 2 or more, and --fold from 1 to that number, found {folds} and {fold}")
    if folds is not None and given.get("test") is not None:
        raise UsageError("--folds tests on a part of the training data; leave out --test")


def train(
    train_one: Train, task: Task, out: Path, complete: dict[str, Any], resuming: bool, watch: bool, quiet: bool
) -> None:
    """Train what is not trained yet, and write DIR/folds.json.

    DIR/training/run.json exists until everything is done, so that --resume finds the rest. Raises UsageError if
    there is something else in DIR."""
    from elman.cli.models import read_config, read_json, unfinished
    from elman.training import atomic

    waiting = out / "training" / run_file.NAME
    if not resuming:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            resume = f"; resume it with --resume {shell(out)}" if waiting.exists() else "; choose another"
            raise UsageError(f"--out {out}: expected a new folder for the folds, found something there{resume}")
        import torch

        atomic.make_folder(waiting.parent)
        description = run_file.describe(task.name, complete, torch.get_num_threads(), watch)
        atomic.replace_file(waiting, json.dumps(description).encode())
    results = []
    for number in range(1, complete["folds"] + 1):
        folder = out / f"fold-{number}"
        if not (folder / "metrics.json").exists() or unfinished(folder):
            if not quiet:
                note(f"fold {number} of {complete['folds']}")
            try:
                if (folder / "training" / run_file.NAME).exists():
                    stored = run_file.read(folder)
                    train_one(folder, stored["given"], stored)
                else:
                    train_one(folder, complete | {"fold": number, "out": str(folder.absolute())}, None)
            except Interrupted as problem:
                raise Interrupted(f"{problem}\nor, for all folds, with --resume {shell(out)}") from None
            except ElmanError:
                if [path.name for path in out.iterdir()] == ["training"]:  # nothing was trained: free for the next try
                    atomic.remove(out / "training")
                    out.rmdir()
                raise
        results.append(read_json(folder / "metrics.json"))
    skipped = sum(read_config(out / "fold-1")["reading"].get("skipped_parts", {}).values())
    written = {"folds": [result["test"] for result in results], "test": summary(task, results), "skipped": skipped}
    atomic.replace_file(out / NAME, json.dumps(written, ensure_ascii=False, indent=2).encode() + b"\n")
    atomic.remove(out / "training")


def summary(task: Task, results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of the main scores that every fold has."""
    from statistics import fmean, stdev

    per_fold = [task.scores(result["test"]) for result in results]

    def values(name: str) -> Iterator[float]:
        for scores in per_fold:
            value = scores.get(name)
            if value is not None:
                yield value

    return {
        name: {"mean": fmean(values(name)), "deviation": stdev(values(name))}
        for name in per_fold[0]
        if len(list(values(name))) == len(per_fold)
    }


def report(task: Task, out: Path, as_json: bool, quiet: bool) -> None:
    """Print what folds.json holds."""
    written: Mapping[str, Any] = json.loads((out / NAME).read_bytes())
    if as_json:
        over_folds = {key: {name: row[key] for name, row in written["test"].items()} for key in ("mean", "deviation")}
        emit_json({"model": str(out), "folds": written["folds"], **over_folds, "skipped": written.get("skipped", 0)})
    else:
        rows = [
            [name, task.show(name, row["mean"]), task.show(name, row["deviation"])]
            for name, row in written["test"].items()
        ]
        table(["score", "mean", "deviation"], rows)
        print(written["folds"][0]["signature"])
    if not quiet:
        count = len(written["folds"])
        note(f"\n{out}: {count} models, {os.path.join(out, 'fold-1')} to fold-{count}; their scores are in {NAME}")
