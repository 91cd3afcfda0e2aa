"""DIR/training/run.json: the command line that started a training, so that `--resume DIR` needs nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from elman.cli.output import shell
from elman.errors import ModelError, UsageError

NAME = "run.json"
FORMAT = 1
_KEYS = {"format", "task", "elman", "folder", "given", "files", "threads"}


def describe(task: str, given: dict[str, Any], threads: int, watch: bool = False) -> dict[str, Any]:
    """What is stored about a new run.

    given:   the data keys and all settings, with the paths of data made absolute
    folder:  where the command was run; a cell's file and vectors are named relative to it
    files:   a hash of each file that the checkpoint's own fingerprint of the data does not cover
    threads: how many were actually used
    watch:   whether it was started with --watch
    """
    from elman import __version__

    return {
        "format": FORMAT,
        "task": task,
        "elman": __version__,
        "folder": os.getcwd(),
        "given": given,
        "files": hashes(given),
        "threads": threads,
        "watch": watch,
    }


def hashes(given: dict[str, Any]) -> dict[str, str]:
    """The hash of every file besides the data that the weights depend on. Raises UsageError for a missing one."""
    files: dict[str, Path] = {}
    for key in ("cell", "char_cell"):
        if ".py:" in given.get(key, ""):
            files[f"the file of {key}"] = Path(given[key].rpartition(":")[0])
    if given.get("vectors") is not None:
        files["vectors"] = Path(given["vectors"])
    if given.get("init") is not None:
        folder = Path(given["init"])
        names = ["model.safetensors", *(path.name for path in sorted(folder.glob("*.json")) if path.stem != "metrics")]
        files |= {f"{name} of init": folder / name for name in names}
    digests = {}
    for what, path in files.items():
        try:
            with open(path, "rb") as file:
                digests[what] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as problem:
            raise UsageError(f"{what}: {path}: cannot be read: {problem.strerror or problem}") from None
    return digests


def read(folder: Path) -> dict[str, Any]:
    """What `describe` returned when the run in this folder started. Raises UsageError if there is no run to resume,
    ModelError for a broken file."""
    if not folder.is_dir():
        raise UsageError(f"--resume {folder}: expected the folder of an unfinished training, found nothing there")
    if not (folder / "training").is_dir():
        what = "a finished model" if (folder / "model.safetensors").exists() else "none"
        fix = (
            f"continue from it with --init {shell(folder)} --out OTHER" if what != "none" else "train without --resume"
        )
        raise UsageError(f"--resume {folder}: expected an unfinished training, found {what}; {fix}")
    if not (folder / "training" / NAME).exists():
        raise UsageError(
            f"--resume {folder}: this training was started from Python; resume it there, with fit(..., resume=True)"
        )
    return _load(folder)


def _load(folder: Path) -> dict[str, Any]:
    path = folder / "training" / NAME
    try:
        stored = json.loads(path.read_bytes())
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise ModelError(f"{path}: expected JSON, found a damaged file: {problem}") from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        version = stored.get("elman", "?") if isinstance(stored, dict) else "?"
        raise ModelError(
            f"{path}: expected format {FORMAT}, found another; it was written by elman {version}: resume with that"
        )
    if not stored.keys() >= _KEYS:
        missing = ", ".join(sorted(_KEYS - stored.keys()))
        raise ModelError(f"{path}: expected the keys of a run, found none named {missing}; start again with --out")
    return stored
