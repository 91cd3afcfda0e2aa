"""The cache of compiled cells: one folder per user, or one for this process if that cannot be used.

An entry is one file, NAME-KEY-DIGEST.so. The key hashes everything passed to the compiler, the digest its output, so
that a damaged entry is noticed and never loaded. NAME-KEY.cpp next to it is there for reading."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import re
import shlex
import shutil
import stat
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

from elman.errors import SlowPath

VARIABLE = "ELMAN_CACHE"
KEEP = 200  # entries in the cache
STALE = 3600.0  # seconds after which a build folder counts as abandoned
WORK = ".build-"  # prefix of the folder of a build in progress

_ENTRY = re.compile(r"(?P<stem>.+-[0-9a-f]{32})-(?P<digest>[0-9a-f]{32})\.so")
_SOURCE = re.compile(r".+-[0-9a-f]{32}\.cpp")


def cache_folder() -> Path:
    """$ELMAN_CACHE, otherwise $XDG_CACHE_HOME/elman, otherwise ~/.cache/elman.

    If that cannot be used, or others could write to it: one warning, and a private folder for this process."""
    wanted = wanted_folder()
    if wanted not in _given_up:
        problem = _problem(wanted) if wanted else "there is no home folder"
        if wanted and not problem:
            return wanted
        give_up(wanted, problem)
    return private_folder()


def cache_problem() -> str | None:
    """Why the folder that `cache_folder` names is one for this process only, or None if it is the usual one."""
    cache_folder()
    wanted = wanted_folder()
    return f"{wanted}: {_given_up[wanted]}" if wanted in _given_up else None


def cache_use() -> tuple[int, int]:
    """(number of libraries in the cache, bytes of its files)."""
    entries = size = 0
    for path in cache_folder().iterdir():
        if _ENTRY.fullmatch(path.name) or _SOURCE.fullmatch(path.name):
            with suppress(OSError):  # another process has removed it
                size += os.lstat(path).st_size
                entries += path.suffix == ".so"
    return entries, size


_given_up: dict[Path | None, str] = {}  # folders not used in this process, and why
_private: Path | None = None


def wanted_folder() -> Path | None:
    """The folder that the user sets, or the usual one; None if there is no home."""
    if own := os.environ.get(VARIABLE):
        return Path(os.path.abspath(os.path.expanduser(own)))
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # the specification says to ignore a relative one
        return Path(shared) / "elman"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "elman" if os.path.isabs(home) else None


def _problem(folder: Path) -> str:
    """Why nothing may be loaded from a folder, or "". If missing, it is made, for its owner only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, target, disk = os.lstat(folder), os.stat(folder), os.statvfs(folder)
    except OSError as problem:
        return problem.strerror or str(problem)
    if {link.st_uid, target.st_uid} != {os.geteuid()}:
        return "it, or the link to it, belongs to another user"
    if target.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to it; chmod go-w {shlex.quote(str(folder))}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "it is not writable"
    if disk.f_flag & getattr(os, "ST_NOEXEC", 0):
        return "programs cannot be run from its disk (noexec)"
    return ""


def give_up(folder: Path | None, problem: str) -> None:
    if folder not in _given_up:
        _given_up[folder] = problem
        warnings.warn(
            f"{folder or '~/.cache/elman'} is not used for compiled cells: {problem}. They are kept for this process "
            f"only; set {VARIABLE} to use another folder",
            SlowPath,
            stacklevel=3,
        )


def private_folder() -> Path:
    """A folder for this process and its children. Raises OSError."""
    global _private
    if _private is None or not _private.is_dir():
        _private = Path(tempfile.mkdtemp(prefix="elman-"))
        atexit.register(_remove, _private, os.getpid())
    return _private


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork
        shutil.rmtree(folder, ignore_errors=True)


def take(folder: Path, stem: str) -> ctypes.CDLL | None:
    """The library of an entry, or None without one. One that differs from what was built is removed."""
    for path in folder.glob(f"{stem}-*.so"):
        with suppress(OSError):
            if _is_sound(path):
                library = ctypes.CDLL(str(path))
                with suppress(OSError):
                    os.utime(path)  # used: not the next to be removed
                return library
        with suppress(OSError):
            path.unlink()
    return None


def _is_sound(path: Path) -> bool:
    """Whether a file is a regular one of ours that others cannot write, with the content that its name says."""
    entry, status = _ENTRY.fullmatch(path.name), os.lstat(path)
    plain = stat.S_ISREG(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not (entry and plain and status.st_uid == os.geteuid()):
        return False
    return digest_of(path.read_bytes()) == entry["digest"]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def tidy(folder: Path) -> None:
    """Make room for one more entry, and remove what killed builds have left."""
    entries = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may be tidying too
            entry, age = _ENTRY.fullmatch(path.name), os.lstat(path).st_mtime
            if entry:
                entries.append((age, path, entry["stem"]))
            elif path.name.startswith(WORK) and age < time.time() - STALE:
                shutil.rmtree(path, ignore_errors=True)
    entries.sort()
    for _, path, stem in entries[: max(0, len(entries) - KEEP + 1)]:
        for old in (path, folder / f"{stem}.cpp"):
            with suppress(OSError):
                old.unlink()
