from __future__ import annotations

import builtins
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.errors import ModelError, ResourceError
from elman.training import Result, atomic, checkpoint
from elman.training.state import State

Train = Callable[..., Result]


def save(training: Path, step: int, best: Path | None = None) -> None:
    generator = torch.Generator().manual_seed(step)
    checkpoint.save(
        training,
        state=State(step=step, rate=0.1 + step),
        config={"epochs": 3},
        environment={"threads": "1"},
        fingerprint={"data": "aa11"},
        tensors={"model": {"w": torch.rand(50, generator=generator)}, "random": {"cpu": torch.get_rng_state()}},
        best=best,
    )


def step_of(training: Path) -> int:
    """The step of the current checkpoint, whose content must be that step's throughout."""
    found = checkpoint.load(training)
    step = found.saved.state.step
    assert torch.equal(found.tensors["model"]["w"], torch.rand(50, generator=torch.Generator().manual_seed(step)))
    if found.best is not None:
        assert found.best.read_text() == f"best of {step}"
    return step


def folders(training: Path) -> list[str]:
    return sorted(path.name for path in training.iterdir())


@pytest.fixture
def training(tmp_path: Path) -> Path:
    (tmp_path / "training").mkdir()
    return tmp_path / "training"


def test_what_is_saved_is_loaded(training: Path, tmp_path: Path) -> None:
    best = tmp_path / "model.safetensors"
    best.write_text("best of 7")
    save(training, 7, best)
    found = checkpoint.load(training)
    assert (found.saved.state.rate, found.saved.config, found.saved.fingerprint) == (
        7.1,
        {"epochs": 3},
        {"data": "aa11"},
    )
    assert torch.equal(found.tensors["random"]["cpu"], torch.get_rng_state())
    assert found.best is not None and found.best.samefile(best)
    assert step_of(training) == 7


def test_tensors_are_aligned_and_own_their_memory(training: Path) -> None:
    tensors = {"odd": torch.arange(3, dtype=torch.uint8), "w": torch.rand(5), "tied": torch.rand(4, 4).T}
    tensors["again"] = tensors["tied"]
    path = training / "x.safetensors"
    path.write_bytes(checkpoint.pack(tensors))
    for name, value in checkpoint.unpack(path).items():
        assert torch.equal(value, tensors[name]) and value.dtype == tensors[name].dtype
        assert value.data_ptr() % 64 == 0, name


def test_only_one_checkpoint_stays(training: Path) -> None:
    for step in (0, 3, 3, 3, 9):
        save(training, step)
        assert step_of(training) == step
        assert len(folders(training)) == 2
    assert folders(training) == ["current", "step-9"]


def test_without_hard_links_the_best_weights_are_copied(
    training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    best = tmp_path / "model.safetensors"
    best.write_text("best of 4")
    monkeypatch.setattr(os, "link", refuse)
    save(training, 4, best)
    found = checkpoint.load(training)
    assert found.best is not None and found.best.read_text() == "best of 4" and not found.best.samefile(best)


def test_the_best_weights_of_a_checkpoint_outlive_a_better_model(training: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    atomic.replace_file(model, b"best of 1")
    save(training, 1, model)
    kept = checkpoint.load(training).best
    assert kept is not None
    for round in range(3):  # restored, then replaced: twice, since a rename between two names of one file does nothing
        atomic.replace_by_link(kept, model)
        assert model.read_bytes() == b"best of 1"
        assert folders(tmp_path) == ["model.safetensors", "training"]
        if round != 1:
            atomic.replace_file(model, b"better")
        assert kept.read_bytes() == b"best of 1"
    os.link(kept, atomic.temporary(model))  # what a kill between the two steps of replace_by_link leaves
    atomic.replace_file(model, b"better")
    assert step_of(training) == 1
    assert folders(tmp_path) == ["model.safetensors", "training"]


class Crash(BaseException):
    """The process dies here: nothing after it is done, no clean-up either."""


class Disk:
    """Counts the operations on the disk and dies in the `at`-th, after half of it where it has halves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.count = at, 0
        self.open, self.remove_tree = builtins.open, shutil.rmtree
        monkeypatch.setattr(builtins, "open", self.opened)
        monkeypatch.setattr(shutil, "rmtree", self.half_removed)
        for name in ("fsync", "replace", "link", "makedirs", "unlink"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))
        monkeypatch.setattr(Path, "unlink", self.counted(Path.unlink))

    def tick(self) -> bool:
        self.count += 1
        if self.count > self.at:
            raise Crash
        return self.count == self.at

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self.tick():
                raise Crash
            return function(*args, **options)

        return call

    def opened(self, path: Any, mode: str = "r", **options: Any) -> Any:
        if not set(mode) & set("wax"):
            return self.open(path, mode, **options)
        if self.tick():
            raise Crash
        file = self.open(path, mode, **options)
        write, disk = file.write, self

        class Half:
            def __enter__(self) -> Any:
                return self

            def __exit__(self, *problem: Any) -> None:
                file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(self, data: bytes) -> None:
                if disk.tick():
                    write(data[: len(data) // 2])
                    raise Crash
                write(data)

        return Half()

    def half_removed(self, path: Path) -> None:
        if self.tick():
            next(iter(sorted(path.iterdir()))).unlink()
        self.remove_tree(path)


def test_a_crash_between_any_two_operations_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one or the new one, whole; and the next save works and cleans up."""
    outcomes = []
    for at in range(1, 200):
        training = tmp_path / str(at) / "training"
        training.mkdir(parents=True)
        model = training.parent / "model.safetensors"
        atomic.replace_file(model, b"best of 1")
        save(training, 1, model)
        done = False
        with monkeypatch.context() as patch:
            disk = Disk(patch, at)
            try:
                atomic.replace_file(model, b"best of 2")
                save(training, 2, model)
                done = True
            except Crash:
                pass
        outcomes.append(step_of(training))
        assert model.read_text() in ("best of 1", "best of 2")
        atomic.replace_file(model, b"best of 3")
        save(training, 3, model)
        assert step_of(training) == 3
        assert folders(training) == ["current", "step-3"]
        assert folders(training.parent) == ["model.safetensors", "training"]
        if done:
            break
    assert done and disk.count == at - 1 > 25  # every operation was the last one once
    assert outcomes == sorted(outcomes) and set(outcomes) == {1, 2}


@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_takes_nothing_more(
    training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int
) -> None:
    """Every write fails in turn; the last checkpoint is intact and the space of the half new one is given back."""
    save(training, 1)
    for at in range(1, 5):
        count = 0

        def full(handle: int, at: int = at) -> None:
            nonlocal count
            count += 1
            if count == at:
                raise OSError(problem, os.strerror(problem))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(ResourceError, match=f"cannot write .*{os.strerror(problem)}.*--resume") as caught:
                save(training, 2)
        assert caught.value.exit_code == 5
        assert step_of(training) == 1
        assert folders(training) == ["current", "step-1"]


def test_a_full_disk_stops_training_and_a_resume_goes_on(
    tmp_path: Path, toy: ModuleType, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> None:
        def full(path: Any, mode: str = "r", **options: Any) -> Any:
            if "w" in mode:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, mode, **options)

        monkeypatch.setattr(builtins, "open", full)

    class Filling(toy.Toy):  # type: ignore[name-defined,misc]
        def batches(self, epoch: int) -> list[Tensor]:
            if epoch == 1:
                fill()
            return super().batches(epoch)

    real = builtins.open
    with pytest.raises(ResourceError, match="free some space"):
        train(tmp_path / "m", job=Filling(), epochs=3)
    monkeypatch.setattr(builtins, "open", real)
    train(tmp_path / "m", epochs=3, resume=True)
    train(tmp_path / "whole", epochs=3)
    assert (tmp_path / "m/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, train: Train) -> Path:
    """A run with a checkpoint of every kind of file."""
    out = tmp_path_factory.mktemp("interrupted") / "m"
    train(out, epochs=2, finish=False)
    return out


FILES = ["state", "model", "average", "optimizer", "random", "best"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "changed", "folder"])
def test_a_broken_file_is_named(
    tmp_path: Path, interrupted: Path, toy: ModuleType, train: Train, name: str, damage: str
) -> None:
    out = tmp_path / "m"
    shutil.copytree(interrupted, out)
    path = checkpoint.load(out / "training").folder / f"{name}{'.json' if name == 'state' else '.safetensors'}"
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        half = len(data) // 2
        changed = data[:half] + b"\xff\xff" + data[half + 2 :]
        path.write_bytes(
            {"empty": b"", "cut": data[:-1] if name != "state" else data[:half], "changed": changed}[damage]
        )
    job = toy.Toy()
    before = {n: t.clone() for n, t in job.network.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        train(out, job=job, resume=True, epochs=2)
    assert str(path) in str(caught.value) and caught.value.exit_code == 4
    assert all(torch.equal(t, before[n]) for n, t in job.network.state_dict().items())


@pytest.mark.parametrize("content", ["", "step-99", "../../elsewhere", "step-1/../..", "\x00", "model"])
def test_a_broken_pointer(tmp_path: Path, interrupted: Path, train: Train, content: str) -> None:
    out = tmp_path / "m"
    shutil.copytree(interrupted, out)
    (out / "training" / "current").write_text(content)
    with pytest.raises(ModelError, match=r"step-99|current"):
        train(out, resume=True, epochs=2)


def test_a_checkpoint_of_another_format_says_so(tmp_path: Path, interrupted: Path, train: Train) -> None:
    out = tmp_path / "m"
    shutil.copytree(interrupted, out)
    path = checkpoint.load(out / "training").folder / "state.json"
    path.write_text(json.dumps({"format": 99, "unheard": "of"}))
    with pytest.raises(ModelError, match="expected checkpoint format 1, found 99"):
        train(out, resume=True, epochs=2)


def test_another_network_of_the_same_fingerprint(
    tmp_path: Path, interrupted: Path, toy: ModuleType, train: Train
) -> None:
    out = tmp_path / "m"
    shutil.copytree(interrupted, out)
    job = toy.Toy()
    job.network.head = torch.nn.Linear(16, 6)
    with pytest.raises(ModelError, match="do not fit this network"):
        train(out, job=job, resume=True, epochs=2)


def test_nothing_is_pickled(interrupted: Path) -> None:
    for path in interrupted.rglob("*"):
        if path.is_file() and path.name not in ("current", "lock"):
            assert path.suffix in (".json", ".jsonl", ".safetensors")
            assert path.read_bytes()[:1] == b"{" or path.read_bytes()[8:9] == b"{"
