"""A trained model without torch: one plan of its network (`Model.plan`), and a writer for each form."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.errors import UsageError, nearest


@dataclass(frozen=True)
class Format:
    """write: "module:function", called with the model, a path that does not exist yet or may be overwritten, and the
    options of its row by name; it returns what was written and what is worth saying about it, as plain data
    suffix:  of the file that it writes, or "" for a folder
    weights: the precisions that it offers, the default first
    options: names of further options, of those that `elman export` has"""

    write: str
    suffix: str
    weights: tuple[str, ...]
    options: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "onnx": Format("elman.export.onnx:write", ".onnx", ("float32", "float16", "int8"), ("check",)),
    "page": Format("elman.export.page:write", ".html", ("bfloat16", "int8", "float32"), ("text",)),
    "c": Format("elman.export.c:write", "", ("float32", "bfloat16", "int8"), ("embed",)),
}


def export(model: Any, to: str, out: str | Path, **options: Any) -> Mapping[str, Any]:
    """Write a trained model in a form that needs neither torch nor elman. See docs/export.md.

    to: a key of FORMATS; out: the file or folder to write; options: those of the form, `weights` among them
    Returns what was written, as plain data. Raises UsageError for what the form cannot express, naming it."""
    if to not in FORMATS:
        raise UsageError(f"unknown form {to!r}; {nearest(to, FORMATS)}")
    row = FORMATS[to]
    weights = options.pop("weights", None) or row.weights[0]
    if weights not in row.weights:
        raise UsageError(f"--to {to}: expected weights {', '.join(row.weights)}, found {weights}")
    for name, value in options.items():
        if name not in row.options and value not in (None, False):
            raise UsageError(f"--to {to} has no option {name}; expected {', '.join(row.options) or 'none'}")
    chosen = {name: options.get(name) for name in row.options}
    module, _, function = row.write.partition(":")
    written: Mapping[str, Any] = getattr(importlib.import_module(module), function)(
        model, Path(out), weights=weights, **chosen
    )
    return written
