"""`elman.load`: a trained model from its folder, whatever its task."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from elman.errors import ModelError
from elman.tasks import TASKS, storage


def load(folder: str | Path, *, allow_code: bool = False) -> Any:
    """The model in a folder that `fit` or `elman train` wrote.

    allow_code: run the source of the cell that is stored with the model, if it has one of its author's own.
    Raises ModelError that names the file at fault: missing, damaged, of a newer version, or in need of allow_code."""
    stored = storage.read_config(Path(folder))
    if stored.task not in TASKS:
        where = Path(folder) / "config.json"
        raise ModelError(f"{where}: unknown task {stored.task!r}; expected one of {', '.join(TASKS)}")
    module, _, name = TASKS[stored.task].partition(":")
    return getattr(importlib.import_module(module), name).load(folder, allow_code=allow_code)
