"""A trained model as C: model.c, model.h and model.bin, which need a C compiler and libm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import ResourceError, UsageError
from elman.export.c.program import program


def write(model: Any, out: Path, *, weights: str, embed: bool | None = None) -> Mapping[str, Any]:
    """Write the folder `out`. See docs/export.md.

    weights: float32, bfloat16 or int8; embed: the weights are part of model.c, and there is no model.bin
    Returns the size of each file in bytes. Raises UsageError for what C cannot express, ResourceError where the folder
    cannot be written."""
    files = program(model.plan(), weights, bool(embed), model.describe())
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder, found a file; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as problem:
        raise ResourceError(f"{out}: cannot be written: {problem.strerror or problem}") from problem
    return {"files": {str(out / name): len(content) for name, content in files.items()}}
