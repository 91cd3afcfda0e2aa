"""Checkpoints: a complete new folder, then one rename that makes it current, then the old folder is removed.

    training/current              the name of the current checkpoint folder
    training/step-N/state.json    cursor, scores, clock, options, fingerprint, checksums
    training/step-N/*.safetensors one file for each set of tensors (model, average, optimizer, random)
    training/step-N/best.safetensors   the best weights so far: a hard link to the model folder's model.safetensors

A kill at any moment leaves `current` pointing at a complete folder. No pickle is read or written.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from elman.errors import ModelError, ResourceError
from elman.training import atomic
from elman.training.state import FORMAT, State

Tensors = Mapping[str, Tensor]
BEST = "best.safetensors"
_REMEDY = "this checkpoint cannot be resumed; start again in another folder with --out"


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """The content of state.json."""

    format: int
    state: State
    config: dict[str, Any]
    environment: dict[str, str]  # versions, threads, device
    fingerprint: dict[str, str]  # what the job says must not change: data, architecture
    checksums: dict[str, str]  # file name -> length and CRC-32


class Checkpoint(NamedTuple):
    """A checkpoint read back: `tensors` by the name of their file without its suffix."""

    folder: Path
    saved: Saved
    tensors: dict[str, dict[str, Tensor]]
    best: Path | None


class _Format(msgspec.Struct):
    """The one field that every version of state.json has."""

    format: int


def pack(tensors: Tensors) -> bytes:
    """The bytes of a safetensors file. Tensors that share memory (tied weights) are written once each."""
    return safetensors.torch.save(
        {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    )


def unpack(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises ModelError that names it."""
    return _unpack(path, _read(path))


def exists(training: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return (training / "current").exists()


def save(
    training: Path,
    *,
    state: State,
    config: dict[str, Any],
    environment: dict[str, str],
    fingerprint: dict[str, str],
    tensors: Mapping[str, Tensors],
    best: Path | None,
) -> None:
    """Write a checkpoint and make it current. Raises ResourceError; the previous checkpoint is then still current."""
    before = _current(training) if exists(training) else None
    _remove_all_but(training, before)  # what a kill left behind
    # two checkpoints of one step differ: one before and one after the epoch's score
    name = next(name for name in (f"step-{state.step}", f"step-{state.step}-b") if name != before)
    folder = training / name
    try:
        atomic.make_folder(folder)
        checksums = {}
        for key, values in tensors.items():
            data = pack(values)
            atomic.write_file(folder / f"{key}.safetensors", data)
            checksums[f"{key}.safetensors"] = _checksum(data)
        if best:
            atomic.link_or_copy(best, folder / BEST)
            checksums[BEST] = _checksum(_read(folder / BEST))
        saved = Saved(FORMAT, state, config, environment, fingerprint, checksums)
        atomic.write_file(folder / "state.json", msgspec.json.format(msgspec.json.encode(saved)))
        atomic.sync_folder(folder)
        atomic.sync_folder(training)
        atomic.replace_file(training / "current", name.encode() + b"\n")
    except ResourceError:
        if not exists(training) or _current(training) != name:
            _free_space(folder)
        raise
    _remove_all_but(training, name)


def load(training: Path) -> Checkpoint:
    """Read the current checkpoint, checking every file. Raises ModelError that names the file at fault."""
    folder = training / _current(training)
    path = folder / "state.json"
    data = _read(path)
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version != FORMAT:
            raise ModelError(
                f"{path}: expected checkpoint format {FORMAT}, found {version}; use the elman that wrote it"
            )
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ModelError(f"{path}: expected the state of a training run, found {problem}; {_REMEDY}") from problem
    tensors = {}
    for name, checksum in saved.checksums.items():
        data = _read(folder / name)
        if _checksum(data) != checksum:
            raise ModelError(
                f"{folder / name}: expected {checksum}, found {_checksum(data)}: it was truncated or changed; {_REMEDY}"
            )
        if name != BEST:
            tensors[name.removesuffix(".safetensors")] = _unpack(folder / name, data)
    return Checkpoint(folder, saved, tensors, folder / BEST if BEST in saved.checksums else None)


def _current(training: Path) -> str:
    path = training / "current"
    name = _read(path).decode("utf-8", "replace").strip()
    if not name.startswith("step-") or Path(name).name != name:
        raise ModelError(f"{path}: expected the name of a checkpoint folder, found {name[:80]!r}; {_REMEDY}")
    return name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror}; {_REMEDY}") from problem


def _unpack(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        # cloned, because a view into the file's bytes is not aligned and could change the last bit of a product
        return {name: tensor.clone() for name, tensor in safetensors.torch.load(data).items()}
    except (SafetensorError, ValueError, KeyError) as problem:
        raise ModelError(f"{path}: expected a safetensors file, found {problem}") from problem


def _checksum(data: bytes) -> str:
    return f"{len(data)} bytes with CRC-32 {zlib.crc32(data):08x}"


def _remove_all_but(training: Path, name: str | None) -> None:
    for folder in training.glob("step-*"):
        if folder.name != name:
            atomic.remove(folder)


def _free_space(folder: Path) -> None:
    """Free the space of a checkpoint that did not fit, if the disk allows it."""
    try:
        atomic.remove(folder)
    except ResourceError:
        return
