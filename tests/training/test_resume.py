from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.errors import Interrupted, UsageError
from elman.training import Result, TrainingConfig

Train = Callable[..., Result]
STEPS = 22  # of four epochs of the toy


class Stopped(Exception):
    """What stands for a kill inside the process."""


@pytest.fixture
def acting(toy: ModuleType) -> Callable[..., Any]:
    """A toy that calls `act` in its `at`-th loss (or, with `scoring`, its `at`-th score)."""

    def make(at: int, act: Callable[[], None], *, scoring: bool = False, **options: Any) -> Any:
        class Acting(toy.Toy):  # type: ignore[name-defined,misc]
            calls = 0

            def count(self) -> None:
                self.calls += 1
                if self.calls == at:
                    act()

            def loss(self, batch: Tensor) -> tuple[Tensor, int]:
                if not scoring:
                    self.count()
                return super().loss(batch)

            def score(self) -> dict[str, float]:
                if scoring:
                    self.count()
                return super().score()

        return Acting(**options)

    return make


def stop() -> None:
    raise Stopped


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def without_clock(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in lines]


def same(a: Path, b: Path) -> bool:
    return (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes() and without_clock(
        a
    ) == without_clock(b)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"optimizer": "sgd", "average": 0.0, "decay": "cosine"},
    {"optimizer": "sgd", "momentum": 0.0, "patience": 2},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("metric", ["accuracy", None])
def test_stopped_at_every_few_steps(
    tmp_path: Path, toy: ModuleType, train: Train, acting: Callable[..., Any], options: Any, metric: str | None
) -> None:
    options = {"epochs": 4, **options}
    whole = toy.Toy()
    whole.metric = metric
    expected = train(tmp_path / "whole", job=whole, **options)
    got = None
    for attempt in range(20):
        # in turn right before and right after a checkpoint, and in the middle between two
        job = acting(3, stop if attempt < 9 else lambda: None)
        job.metric = metric
        every = 0.0 if attempt % 3 else 1e6
        if attempt == 0:
            every = 0.0
        try:
            got = train(tmp_path / "m", job=job, resume=attempt > 0, checkpoint_every=every, **options)
            break
        except Stopped:
            continue
    assert got is not None and same(tmp_path / "whole", tmp_path / "m")
    assert (got.best_epoch, got.scores, got.stopped) == (expected.best_epoch, expected.scores, expected.stopped)
    for name, value in job.network.state_dict().items():
        assert torch.equal(value, whole.network.state_dict()[name]), name


@pytest.mark.parametrize("at", [1, 5, 6, 7, STEPS])
def test_a_signal_finishes_the_step_and_saves(
    tmp_path: Path, train: Train, acting: Callable[..., Any], at: int
) -> None:
    signum = [signal.SIGINT, signal.SIGTERM][at % 2]
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=f"{signum.name} after step {at};.*--resume") as caught:
        train(tmp_path / "m", job=acting(at, lambda: os.kill(os.getpid(), signum)), epochs=4)
    assert caught.value.exit_code == 130
    assert signal.getsignal(signum) is before
    folder = tmp_path / "m" / "training" / (tmp_path / "m" / "training" / "current").read_text().strip()
    assert json.loads((folder / "state.json").read_text())["state"]["step"] == at
    train(tmp_path / "m", epochs=4, resume=True)
    train(tmp_path / "whole", epochs=4)
    assert same(tmp_path / "whole", tmp_path / "m")


@pytest.mark.parametrize("at", [2, 4])
def test_a_signal_while_scoring(tmp_path: Path, train: Train, acting: Callable[..., Any], at: int) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path / "m", job=acting(at, interrupt, scoring=True), epochs=4)
    assert len(without_clock(tmp_path / "m")) == at
    train(tmp_path / "m", epochs=4, resume=True)
    train(tmp_path / "whole", epochs=4)
    assert same(tmp_path / "whole", tmp_path / "m")


def test_the_second_ctrl_c_stops_at_once(tmp_path: Path, train: Train, acting: Callable[..., Any]) -> None:
    def twice() -> None:
        interrupt()
        interrupt()
        raise AssertionError("the second one did not stop")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="at once"):
        train(tmp_path / "m", job=acting(9, twice), epochs=4)
    assert signal.getsignal(signal.SIGINT) is before
    train(tmp_path / "m", epochs=4, resume=True)
    train(tmp_path / "whole", epochs=4)
    assert same(tmp_path / "whole", tmp_path / "m")


def test_a_signal_that_the_caller_ignores_stays_ignored(
    tmp_path: Path, train: Train, acting: Callable[..., Any]
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(tmp_path / "m", job=acting(3, interrupt), epochs=1).stopped == "epochs"
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_signals_are_left_alone(tmp_path: Path, train: Train) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path / "m", epochs=1)))
    thread.start()
    thread.join()
    assert results[0].stopped == "epochs"


@pytest.fixture
def unfinished(tmp_path: Path, train: Train, acting: Callable[..., Any]) -> Path:
    """A run of four epochs that was stopped after step 8, in the second."""
    with pytest.raises(Interrupted):
        train(tmp_path / "unfinished", job=acting(8, interrupt), epochs=4)
    return tmp_path / "unfinished"


def state_file(out: Path) -> Path:
    return out / "training" / (out / "training" / "current").read_text().strip() / "state.json"


CHANGES: list[tuple[str, Any, str]] = [
    ("epochs", 5, "option, epochs: expected 4, found 5"),
    ("learning_rate", 0.02, "option, learning_rate: expected 0.01, found 0.02"),
    ("seed", 2, "option, seed: expected 1, found 2"),
    ("max_time", "1h", "option, max_time: expected None, found 3600"),
    ("threads", 2, "machine, threads: expected 1, found 2"),
]


@pytest.mark.parametrize(("name", "value", "message"), CHANGES)
def test_a_changed_option_is_named(unfinished: Path, train: Train, name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        train(unfinished, resume=True, **{"epochs": 4, name: value})
    assert str(caught.value).count("expected") == 1 and "--out" in str(caught.value)
    train(unfinished, resume=True, epochs=4)


def test_changed_data_and_torch_are_named_together(unfinished: Path, toy: ModuleType, train: Train) -> None:
    path = state_file(unfinished)
    path.write_text(path.read_text().replace(str(torch.__version__), "1.0.0"))
    with pytest.raises(UsageError) as caught:
        train(unfinished, resume=True, job=toy.Toy(data="bb22"), epochs=4)
    assert f"torch version: expected 1.0.0, found {torch.__version__}" in str(caught.value)
    assert "input, train.conllu: expected aa11, found bb22" in str(caught.value)


def test_an_input_that_is_new_or_gone_is_named(unfinished: Path, toy: ModuleType, train: Train) -> None:
    job = toy.Toy()
    job.fingerprint = lambda: {"architecture": "toy", "dev.conllu": "cc33"}
    with pytest.raises(UsageError, match=r"dev.conllu: .* None, found cc33\n.*train.conllu: .* aa11, found None"):
        train(unfinished, resume=True, job=job, epochs=4)


def test_how_often_to_save_may_change(unfinished: Path, train: Train) -> None:
    assert train(unfinished, resume=True, epochs=4, checkpoint_every=0.5).stopped == "epochs"


def test_every_option_is_compared_or_free(unfinished: Path) -> None:
    saved = json.loads(state_file(unfinished).read_text())
    assert saved["config"].keys() == set(TrainingConfig.names())
    assert saved["config"] == TrainingConfig(**saved["config"]).to_dict()


def test_the_log_is_cut_back_to_the_checkpoint(unfinished: Path, tmp_path: Path, train: Train) -> None:
    log = unfinished / "log.jsonl"
    log.write_text(log.read_text() + '{"epoch": 2, "loss": 1}\n{"epoch": 3, "lo')
    (unfinished / "model.safetensors").unlink()  # by name, as the loop replaces it: the checkpoint's link is untouched
    (unfinished / "model.safetensors").write_bytes(b"of a later epoch, after which the process died")
    train(unfinished, resume=True, epochs=4)
    train(tmp_path / "whole", epochs=4)
    assert same(tmp_path / "whole", unfinished)


def test_the_best_weights_come_back_with_the_checkpoint(
    tmp_path: Path, train: Train, acting: Callable[..., Any]
) -> None:
    """Here the first epoch stays the best, so that no later epoch writes them again."""

    def job(at: int, act: Callable[[], None]) -> Any:
        made = acting(at, act)
        made.score = lambda: {"accuracy": -float(made.network.seen)}
        return made

    with pytest.raises(Interrupted):
        train(tmp_path / "m", job=job(8, interrupt), epochs=3)
    (tmp_path / "m" / "model.safetensors").unlink()
    assert train(tmp_path / "m", job=job(0, interrupt), epochs=3, resume=True).best_epoch == 1
    train(tmp_path / "whole", job=job(0, interrupt), epochs=3)
    assert same(tmp_path / "whole", tmp_path / "m")


def test_a_run_that_ended_gives_its_result_again_until_it_is_finished(
    tmp_path: Path, toy: ModuleType, train: Train
) -> None:
    first = train(tmp_path / "m", epochs=2, finish=False)
    job = toy.Toy()
    again = train(tmp_path / "m", job=job, epochs=2, resume=True, finish=False)
    assert again == first
    weights = job.network.state_dict()
    train(tmp_path / "m", job=job, epochs=2, resume=True)
    assert all(torch.equal(t, weights[n]) for n, t in job.network.state_dict().items())
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["log.jsonl", "model.safetensors"]


def test_killed_before_the_first_checkpoint(tmp_path: Path, train: Train) -> None:
    (tmp_path / "m" / "training" / "step-0").mkdir(parents=True)
    (tmp_path / "m" / "training" / "step-0" / "model.safetensors").write_bytes(b"half")
    train(tmp_path / "m", resume=True, epochs=2)
    train(tmp_path / "whole", epochs=2)
    assert same(tmp_path / "whole", tmp_path / "m")


def test_time_is_added_up_over_resumes(
    tmp_path: Path, toy: ModuleType, train: Train, clock: Callable[[float], None]
) -> None:
    """Three seconds a step and a limit of a hundred: 34 steps, however often the run is stopped."""

    class Slow(toy.Toy):  # type: ignore[name-defined,misc]
        steps = 0

        def loss(self, batch: Tensor) -> tuple[Tensor, int]:
            clock(3.0)
            self.steps += 1
            if self.steps == 15:
                interrupt()
            return super().loss(batch)

    for resume in (False, True):
        with pytest.raises(Interrupted):
            train(tmp_path / "m", job=Slow(), resume=resume, epochs=1000, max_time=100)
        clock(10_000)  # between two runs time does not count
    result = train(tmp_path / "m", job=Slow(), resume=True, epochs=1000, max_time=100)
    assert (result.stopped, result.steps, result.seconds) == ("time", 34, 102.0)
    assert result.history[-1]["lr"] == pytest.approx(0.01 * (1 - 99 / 100))
