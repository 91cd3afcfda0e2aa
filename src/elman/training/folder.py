"""The folder a run writes into: new, unfinished or finished, and only ever one process in it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from elman.errors import ResourceError, UsageError
from elman.training import atomic, checkpoint


def prepare(out: str | Path, *, resume: bool = False, overwrite: bool = False) -> RunFolder:
    """Open `out` for a run, and lock it. Use as a context manager, before the long work of reading data.

    A new run needs a folder without a model and without an unfinished run, or `overwrite`; what is overwritten
    is removed only when training starts. Raises UsageError where the folder does not fit the request, or another
    process trains in it, and ResourceError where it cannot be written.
    """
    out = Path(out)
    _require_fit(out, resume, overwrite)
    folder = RunFolder(out, resume=resume)
    try:
        _require_fit(out, resume, overwrite)  # again, in case a run finished before we had the lock
    except UsageError:
        folder.discard()
        raise
    return folder


def _require_fit(out: Path, resume: bool, overwrite: bool) -> None:
    """Raise UsageError where the state of the folder does not fit the request."""
    unfinished, model = checkpoint.exists(out / "training"), (out / "model.safetensors").exists()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder to write the model into, found a file; name another with --out")
    if resume and not unfinished and not model and not (out / "training").is_dir():
        raise UsageError(f"{out}: expected an unfinished training run to resume, found none; train without --resume")
    if resume and not unfinished and model:
        raise UsageError(
            f"{out}: expected an unfinished training run to resume, found a finished model; "
            f"use it, or continue training from it in another folder with --init {out} --out OTHER"
        )
    if not resume and not overwrite and unfinished:
        raise UsageError(
            f"{out}: expected a new folder, found an unfinished training run; continue it with --resume {out}, "
            "or choose another folder with --out"
        )
    if not resume and not overwrite and model:
        raise UsageError(f"{out}: expected a new folder, found a model; choose another folder with --out")


class RunFolder:
    """A locked model folder in training. Made by `prepare`.

    path        the model folder
    training    path/training: checkpoints, and whatever else lasts only as long as the run
    model       path/model.safetensors: the best weights so far
    log         path/log.jsonl: one line per epoch
    resuming    whether an earlier run is to be continued
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path, self.resuming = path, resume
        self.training = path / "training"
        self.model = path / "model.safetensors"
        self.log = path / "log.jsonl"
        self._finished = path / ".training-finished"
        atomic.make_folder(self.training)
        self._lock: int | None = _lock(self.training / "lock")

    def clear(self) -> None:
        """Remove what an earlier run left, so that a new one can start."""
        atomic.remove(self.training / "current")  # first, so that the rest is no longer a checkpoint
        for path in [self.model, self.log, self.path / "metrics.json", self._finished, *self.training.glob("step-*")]:
            atomic.remove(path)

    def finish(self) -> None:
        """Mark the model as complete: remove training/ with its checkpoints, and unlock. Raises ResourceError."""
        atomic.remove(self._finished)  # left by a kill during an earlier finish
        with atomic.writing(self.training):
            os.replace(self.training, self._finished)  # in one step: half a training/ would look like a broken one
        atomic.sync_folder(self.path)
        for path in (self._finished, atomic.temporary(self.model), atomic.temporary(self.log)):
            atomic.remove(path)
        self.close()

    def close(self) -> None:
        """Unlock. The kernel does the same when the process dies."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def discard(self) -> None:
        """Unlock; a new run that failed before its first checkpoint leaves no trace that would block the next try."""
        if self._lock is not None and not self.resuming and not checkpoint.exists(self.training):
            with suppress(ResourceError, OSError):
                atomic.remove(self.training)
                if not any(self.path.iterdir()):
                    self.path.rmdir()
        self.close()


def _lock(path: Path) -> int:
    """Lock a file for as long as the returned handle is open, or raise UsageError when another process holds it."""
    while True:
        with atomic.writing(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
            os.close(handle)  # the holder has finished and removed the file meanwhile: lock the new one
        except FileNotFoundError:
            os.close(handle)
            raise UsageError(f"{path.parent.parent}: another process has just finished training in it") from None
        except BlockingIOError:
            os.close(handle)
            raise UsageError(
                f"{path.parent.parent}: another process is training in it; wait for it, stop it, or choose another "
                "folder with --out"
            ) from None
        except OSError:
            os.close(handle)
            with atomic.writing(path):
                raise
