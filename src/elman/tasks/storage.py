"""The model folder: what is written, and read back with every fault named. The same for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from elman.errors import DataError, ModelError, shorten
from elman.text.vocabulary import Vocabulary
from elman.training import atomic

FORMAT_VERSION = 1


class Stored(msgspec.Struct, forbid_unknown_fields=True):
    """config.json. `model` is the kind of model, "network" or one of its rivals; `reading` is how the training files
    were read (format, column, ...), for later commands to use; `code` says that cell.py holds the source of a custom
    cell."""

    task: str
    format_version: int
    elman: str
    scheme: str | None
    settings: dict[str, Any]
    reading: dict[str, Any]
    code: bool = False
    model: str = "network"


def write(
    folder: Path,
    stored: Stored,
    vocabularies: Mapping[str, Vocabulary | None],
    source: str | None,
    write_more: Callable[[Path], None],
) -> None:
    """Everything but the weights, config.json last: if it exists, the rest is complete. Raises ResourceError."""
    atomic.make_folder(folder)
    for name, vocabulary in vocabularies.items():
        if vocabulary is not None:
            write_json(folder / f"{name}.json", vocabulary.to_json(), indent=False)
    write_more(folder)
    if source is not None:
        atomic.replace_file(folder / "cell.py", source.encode("utf-8"))
    write_json(folder / "config.json", msgspec.to_builtins(stored))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file. Raises ResourceError."""
    whole = {name: value.detach().contiguous() for name, value in tensors.items()}
    atomic.replace_file(path, safetensors.torch.save(whole))


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    write_json(folder / "metrics.json", metrics)


def read_config(folder: Path) -> Stored:
    """config.json, checked. Raises ModelError that names the file."""
    path = folder / "config.json"
    if not folder.is_dir():
        raise ModelError(f"{folder}: expected a model folder, found {'a file' if folder.exists() else 'nothing'} there")
    value = read_json(path)
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path}: expected format_version {FORMAT_VERSION}, found {shorten(version)}; it was written by elman "
            f"{shorten(value.get('elman', '?')) if isinstance(value, dict) else '?'}: load it with that version"
        )
    try:
        return msgspec.convert(value, Stored)
    except (msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise ModelError(f"{path}: {problem}") from problem


def read_vocabulary(path: Path) -> Vocabulary:
    """A vocabulary's JSON. Raises ModelError that names the file."""
    try:
        return Vocabulary.from_json(read_json(path))
    except DataError as problem:
        raise ModelError(f"{path}: {problem}") from problem


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file. Raises ModelError that names it."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except (safetensors.SafetensorError, ValueError, KeyError) as problem:
        raise ModelError(f"{path}: expected a safetensors file, found a damaged one: {problem}") from problem


def load_weights(path: Path, tensors: dict[str, Tensor], network: torch.nn.Module) -> None:
    """Load tensors, read from a file, into a network. Raises ModelError that names it and the first tensor at fault."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        have = tuple(tensors[name].shape) if name in tensors else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if have != want:
            raise ModelError(f"{path}: tensor {name}: expected {want}, found {have}; the folder's files do not match")
    network.load_state_dict(tensors)


def read_source(folder: Path) -> str:
    try:
        return (folder / "cell.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ModelError(f"{folder / 'cell.py'}: cannot be read: {problem}") from problem


def read_json(path: Path) -> Any:
    """A JSON file. Raises ModelError that names it."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ModelError(f"{path}: expected JSON, found a damaged file: {problem}") from problem
    except RecursionError:
        raise ModelError(f"{path}: expected a model's JSON, found lists or objects nested too deeply") from None


def write_json(path: Path, value: Any, *, indent: bool = True) -> None:
    data = msgspec.json.encode(value)
    atomic.replace_file(path, (msgspec.json.format(data, indent=2) if indent else data) + b"\n")
