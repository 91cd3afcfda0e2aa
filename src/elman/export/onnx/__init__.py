"""A model as ONNX, for ONNX Runtime and other runtimes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import UsageError


def write(model: Any, path: Path, *, weights: str, check: Any) -> Mapping[str, Any]:
    """Write `path`, and beside it NAME.step.onnx for a model that also runs step by step. See docs/export-onnx.md.

    check: None, or what to compare the files with the model on: data as its `evaluate` takes it, or True for a few
           texts of its own
    Raises UsageError for a model that has no such form, and where the packages onnx and onnxruntime are missing."""
    try:
        for package in ("onnx", "onnxruntime"):
            importlib.import_module(package)
    except ImportError as problem:
        raise UsageError("ONNX needs the packages onnx and onnxruntime; pip install 'elman[onnx]'") from problem
    from elman.export.onnx.files import write_files

    return write_files(model, path, weights, check)
