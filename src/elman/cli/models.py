"""Model folders, as far as commands read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elman.cli.importing import import_torch
from elman.cli.output import note, shell
from elman.errors import ModelError, UsageError, nearest, shorten
from elman.tasks import TASKS


def read_json(path: Path) -> Any:
    """A JSON file of a model folder. Raises ModelError naming it."""
    try:
        return json.loads(path.read_bytes())
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except (ValueError, RecursionError) as problem:
        raise ModelError(f"{path}: expected JSON, found a damaged file: {problem}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """config.json, read without torch. Raises ModelError if it is missing or broken."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing with this name"
        raise ModelError(f"{folder}: expected a model folder, found {found}; check the path")
    config = read_json(folder / "config.json")
    kinds = {"task": str, "elman": str, "settings": dict, "reading": dict}
    for key, kind in kinds.items():
        if not isinstance(config, dict) or not isinstance(config.get(key), kind):
            raise ModelError(
                f"{folder / 'config.json'}: expected the key {key!r} of a model, found none; restore the file"
            )
    assert isinstance(config, dict)
    if config["task"] not in TASKS:
        task = shorten(config["task"])
        raise ModelError(f"{folder / 'config.json'}: unknown task {task}; {nearest(config['task'], TASKS)}")
    return config


def unfinished(folder: Path) -> bool:
    """Whether a training in the folder waits to be resumed."""
    return (folder / "training").is_dir()


def history(folder: Path) -> list[dict[str, Any]] | None:
    """The lines of log.jsonl, if there is one that can be read."""
    try:
        return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()] or None
    except (OSError, ValueError):
        return None


def load_model(folder: Path, task: str, *, allow_code: bool, threads: int | None = None) -> Any:
    """The model of this task in a folder. Reports on standard error if its training is not finished.

    threads: number of CPU threads; None leaves it to torch.
    Raises ModelError, and UsageError for a model of another task."""
    found = read_config(folder)["task"]
    if found != task:
        raise UsageError(
            f"{folder}: expected a model of the task {task}, found one of {found}; elman eval takes models of all tasks"
        )
    if unfinished(folder):
        resume = f"elman train --resume {shell(folder)}"
        if not (folder / "model.safetensors").exists():
            raise ModelError(f"{folder}: its training has not finished its first epoch; resume it: {resume}")
        note(f"elman: {folder}: training is not finished, the best weights so far are used; resume it: {resume}")
    import_torch()
    from elman.tasks.load import load

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return load(folder, allow_code=allow_code)
