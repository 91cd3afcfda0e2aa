"""The hook of the loop: where it is called, and that what it tells is logged, shown and kept."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from elman.errors import Interrupted
from elman.training import fit, make_progress, prepare
from elman.training.progress import Quiet


class Watch:
    """Checks where it is called; tells how many steps it saw."""

    def __init__(self, stop_at: int = 0) -> None:
        self.batches: list[list[int]] = []
        self.stop_at, self.before = stop_at, 0

    @contextmanager
    def step(self, job: Any, batch: Any) -> Iterator[None]:
        weight = job.network.head.weight
        assert weight.grad is not None and weight.grad.abs().sum() > 0 and job.network.training
        old = weight.detach().clone()
        yield
        assert not torch.equal(old, weight)
        self.batches.append(batch.tolist())
        if len(self.batches) == self.stop_at:
            signal.raise_signal(signal.SIGINT)

    def epoch(self) -> tuple[dict[str, Any], str]:
        seen, self.before = len(self.batches) - self.before, len(self.batches)
        return {"steps": seen, "nothing": None}, f"saw {seen}"


class Told(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def epoch(self, line: dict[str, Any], *, best: bool) -> None:
        self.lines.append(f"epoch {line['epoch']}")

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_every_step_is_seen_and_every_epoch_is_told(toy: ModuleType, tmp_path: Path) -> None:
    watch, told, job = Watch(), Told(), toy.Toy()
    with prepare(tmp_path / "m") as folder:
        result = fit(job, toy.config(epochs=2), folder, told, watch)
    expected = [batch.tolist() for epoch in range(2) for batch in job.batches(epoch)]
    assert watch.batches == expected
    steps = [len(job.batches(epoch)) for epoch in range(2)]
    assert [line["watch"] for line in result.history] == [{"steps": n, "nothing": None} for n in steps]
    assert told.lines == ["epoch 1", f"saw {steps[0]}", "epoch 2", f"saw {steps[1]}"]


def test_without_one_the_log_has_no_word_of_it(toy: ModuleType, tmp_path: Path) -> None:
    with prepare(tmp_path / "m") as folder:
        result = fit(toy.Toy(), toy.config(epochs=1), folder, make_progress(quiet=True))
    assert "watch" not in result.history[0]


def test_a_resumed_run_keeps_the_earlier_lines_and_goes_on_watching(toy: ModuleType, tmp_path: Path) -> None:
    steps = [len(toy.Toy().batches(epoch)) for epoch in range(3)]
    with prepare(tmp_path / "m") as folder, pytest.raises(Interrupted):
        fit(toy.Toy(), toy.config(epochs=3), folder, make_progress(quiet=True), Watch(stop_at=steps[0] + 2))
    with prepare(tmp_path / "m", resume=True) as folder:
        fit(toy.Toy(), toy.config(epochs=3), folder, make_progress(quiet=True), Watch())
    lines = [json.loads(line) for line in (tmp_path / "m/log.jsonl").read_text().splitlines()]
    # of the epoch that was cut in two, what came after the cut
    assert [line["watch"]["steps"] for line in lines] == [steps[0], steps[1] - 2, steps[2]]
    with prepare(tmp_path / "whole") as folder:
        fit(toy.Toy(), toy.config(epochs=3), folder, make_progress(quiet=True))
    assert (tmp_path / "m/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
