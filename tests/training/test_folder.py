from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from elman.errors import ResourceError, UsageError
from elman.training import Result, prepare
from elman.training import folder as folder_module

Train = Callable[..., Result]


def test_a_finished_model_is_not_trained_over(tmp_path: Path, train: Train) -> None:
    train(tmp_path / "m", epochs=1)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="found a model; choose another folder"):
        train(tmp_path / "m")
    with pytest.raises(UsageError, match=r"found a finished model.*--init"):
        train(tmp_path / "m", resume=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "m" / "training").exists()
    train(tmp_path / "m", overwrite=True, epochs=2)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() != before
    assert len((tmp_path / "m" / "log.jsonl").read_text().splitlines()) == 2


def test_an_unfinished_training_is_not_trained_over(tmp_path: Path, train: Train) -> None:
    train(tmp_path / "m", epochs=1, finish=False)
    with pytest.raises(UsageError, match="unfinished training run; continue it with --resume"):
        train(tmp_path / "m", epochs=1)
    train(tmp_path / "m", epochs=1, overwrite=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found none"):
        prepare(tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("mine")
    for resume in (False, True):
        with pytest.raises(UsageError, match="found a file"):
            prepare(tmp_path / "m", resume=resume)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with prepare(tmp_path / "m") as folder:
        with pytest.raises(UsageError, match="another process is training"):
            prepare(tmp_path / "m")
        assert folder.training.is_dir()
    with prepare(tmp_path / "m"):
        pass


def test_a_run_that_fails_before_training_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), prepare(tmp_path / "m"):
        raise ZeroDivisionError
    assert not (tmp_path / "m").exists()


def test_a_run_that_fails_before_training_leaves_other_files_alone(tmp_path: Path, train: Train) -> None:
    train(tmp_path / "m", epochs=1)
    (tmp_path / "m" / "notes.txt").write_text("mine")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(ZeroDivisionError), prepare(tmp_path / "m", overwrite=True):
        raise ZeroDivisionError
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["log.jsonl", "model.safetensors", "notes.txt"]
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before


def test_a_failed_resume_can_be_tried_again(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    train(tmp_path / "m", epochs=1, finish=False)
    with pytest.raises(ZeroDivisionError), prepare(tmp_path / "m", resume=True):
        raise ZeroDivisionError
    assert train(tmp_path / "m", epochs=1, resume=True).stopped == "epochs"


def test_a_run_that_finishes_while_we_wait_is_not_trained_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = folder_module._lock

    def late(path: Path) -> int:
        (tmp_path / "m" / "model.safetensors").write_text("of the other process")
        return lock(path)

    monkeypatch.setattr(folder_module, "_lock", late)
    with pytest.raises(UsageError, match="found a model"):
        prepare(tmp_path / "m")
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model.safetensors"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write .*--out") as caught:
        prepare(tmp_path / "file" / "m")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("problem", "remedy"), [(errno.EACCES, "make the folder writable"), (errno.EROFS, "mount the disk for writing")]
)
@pytest.mark.parametrize("function", ["makedirs", "open"])
def test_a_read_only_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int, remedy: str, function: str
) -> None:
    """Simulated, because the superuser may write everywhere."""

    def refuse(path: Path, *rest: Any, **options: Any) -> None:
        raise OSError(problem, os.strerror(problem))

    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(ResourceError, match=f"cannot write .*{remedy}"):
        prepare(tmp_path / "m")


def test_a_kill_while_finishing_leaves_a_finished_model(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def die(path: Path) -> None:
        if path.name == ".training-finished":
            (path / "current").unlink()  # half way through
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "m", epochs=1)
    with pytest.raises(UsageError, match="finished model"):
        prepare(tmp_path / "m", resume=True)
    train(tmp_path / "m", epochs=1, overwrite=True)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["log.jsonl", "model.safetensors"]
