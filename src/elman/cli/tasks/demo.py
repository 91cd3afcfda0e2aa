"""What the demos share: a folder that can be run again, and models that are trained, resumed or loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.output import note
from elman.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from pathlib import Path

MARK = "demo.json"


def prepare(folder: Path, arguments: Mapping[str, Any], models: Iterable[str], write: Callable[[Path], str]) -> None:
    """Write the corpus, unless an earlier run with the same arguments did. One with others is replaced, and a note
    says so.

    write: writes it into a folder, and says what was written. Raises UsageError for a folder that contains anything but
    a demo of the same kind."""
    import json

    from elman.training import atomic

    mark = folder / MARK
    if not mark.exists() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder}: expected a new folder or that of an earlier demo, found something else")
    if mark.exists():
        try:
            before = json.loads(mark.read_bytes())
        except ValueError:
            before = None
        if before == arguments:
            note(f"{folder}: a demo with these arguments exists; what it has trained is used")
            return
        if isinstance(before, dict) and before and before.keys() != arguments.keys():
            raise UsageError(f"--out {folder}: expected a new folder or one of the same demo, found that of another")
        note(f"{folder}: a demo with other arguments exists; its corpus and its models are made again")
        for name in models:
            atomic.remove(folder / name)
    else:
        atomic.make_folder(folder)
    # Marked first as unfinished, so that the next run notices a stop before the corpus is complete.
    atomic.replace_file(mark, b"{}\n")
    note(f"{folder / 'corpus'}: {write(folder / 'corpus')} written")
    atomic.replace_file(mark, json.dumps(arguments).encode() + b"\n")


def trained(folder: Path, name: str, title: str, train: Callable[[Path, bool], Any]) -> Any:
    """The model with this name: trained, resumed, or, if an earlier run finished it, loaded.

    train: (folder of the model, whether to resume) -> the model"""
    from elman.tasks.load import load

    out = folder / name
    unfinished = (out / "training").is_dir()
    if (out / "model.safetensors").exists() and not unfinished:
        note(f"\n{title}: already trained, in {out}")
        return load(out)
    note(f"\n{title}{': resuming' if unfinished else ''}")
    try:
        return train(out, unfinished)
    except Interrupted:
        raise Interrupted(f"stopped; the same command resumes from here, with what is in {folder}") from None
