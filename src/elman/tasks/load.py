"""The classes of the table of tasks, and `elman.load`: a trained model from its folder, whatever its task."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from elman.errors import ModelError, UsageError, nearest, shorten
from elman.tasks import TASKS, storage


def model_class(task: str, model: str = "network") -> Any:
    """The class of a model of a task. Raises UsageError, with the nearest real name, for an unknown one."""
    for what, name, known in (("task", task, TASKS), ("model", model, TASKS.get(task, {}))):
        if name not in known:
            raise UsageError(f"unknown {what} {shorten(name)}; {nearest(name, known)}")
    module, _, name = TASKS[task][model].partition(":")
    return getattr(importlib.import_module(module), name)


def load(folder: str | Path, *, allow_code: bool = False) -> Any:
    """The model in a folder that `fit` or `elman train` wrote.

    allow_code: run the source of the custom cell that is stored with the model, if it has one.
    Raises ModelError that names the file at fault: missing, damaged, of a newer version, or needing allow_code."""
    stored = storage.read_config(Path(folder))
    try:
        kind = model_class(stored.task, stored.model)
    except UsageError as problem:
        raise ModelError(f"{Path(folder) / 'config.json'}: {problem}") from problem
    return kind.load(folder, allow_code=allow_code)
