"""The one module of `training` that writes files: durable, whole or not at all, with a typed error."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.errors import ResourceError

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EROFS: "mount the disk for writing",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any failure of the file system into a ResourceError that names the file and the remedy."""
    try:
        yield
    except OSError as problem:
        remedy = _REMEDIES.get(problem.errno or 0, "fix that")
        raise ResourceError(
            f"cannot write {path}: {problem.strerror or problem}; {remedy} and continue with --resume "
            "(what was saved before is intact), or choose another folder with --out"
        ) from problem


def write_file(path: Path, data: bytes) -> None:
    """Write `data` and wait until the disk has it. Raises ResourceError."""
    with writing(path), open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def append_line(path: Path, data: bytes) -> None:
    """Add `data` and a line end to a file and wait until the disk has it. Raises ResourceError."""
    with writing(path), open(path, "ab") as file:
        file.write(data + b"\n")
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` so that a reader, or a crash at any moment, sees the old content or the new, never a mixture."""
    part = temporary(path)
    remove(part)  # one left by a kill may be a second name for a file that must not change
    write_file(part, data)
    _put(part, path)


def replace_by_link(source: Path, path: Path) -> None:
    """Give the content of `source` the second name `path`, replacing what existed in one step."""
    part = temporary(path)
    remove(part)
    link_or_copy(source, part)
    _put(part, path)
    remove(part)  # which remains when both names already referred to one file


def link_or_copy(source: Path, path: Path) -> None:
    """A hard link, which costs nothing, or a copy where the file system has none. `path` must not exist."""
    try:
        os.link(source, path)
    except OSError:
        write_file(path, source.read_bytes())


def temporary(path: Path) -> Path:
    """The name under which a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def make_folder(path: Path) -> None:
    with writing(path):
        os.makedirs(path, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder. Raises ResourceError."""
    with writing(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it; nothing happens if it does not exist."""
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _put(part: Path, path: Path) -> None:
    with writing(path):
        os.replace(part, path)
    sync_folder(path.parent)
