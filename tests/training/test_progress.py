from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from elman.training import fit, make_progress, prepare
from elman.training import progress as module
from elman.training.progress import StepReport, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


REPORT = StepReport(
    epoch=2,
    epochs=20,
    step=1234,
    done=0.0642,
    loss=0.98765,
    tokens_per_second=12345.6,
    seconds_left=754.0,
    metric="accuracy",
    best=0.87654,
)
LINE: dict[str, Any] = {
    "epoch": 2,
    "step": 1300,
    "loss": 0.9,
    "dev": {"accuracy": 0.91234},
    "tokens_per_second": 12000.4,
    "seconds": 75.2,
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_plain_lines(clock: Callable[[float], None]) -> None:
    stream = io.StringIO()
    with make_progress(stream=stream) as progress:
        for _ in range(25):
            clock(1.0)
            progress.step(REPORT)
        progress.epoch(LINE, best=True)
        progress.epoch(LINE | {"dev": {}}, best=True)
        progress.note("resumed")
    step = "epoch 2/20    6%  loss 0.9877  12,346 tokens/s  12m34s left  best accuracy 0.8765"
    assert stream.getvalue().splitlines() == [
        step,
        step,
        "epoch   2  loss 0.9000  12,000 tokens/s  1m15s  accuracy 0.9123  *",
        "epoch   2  loss 0.9000  12,000 tokens/s  1m15s",
        "resumed",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    with make_progress(quiet=True, stream=stream) as progress:
        progress.step(REPORT)
        progress.epoch(LINE, best=False)
        progress.note("resumed")
    assert stream.getvalue() == "" and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("colour", [True, False])
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], colour: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with make_progress(stream=stream) as progress:
        progress.step(REPORT)
        progress.epoch(LINE, best=True)
        progress.note("[bold]not markup[/bold]")
        print("a result")
    shown = stream.getvalue()
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", shown) is not None if colour else "\x1b[3" not in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "epoch 2/20" in text and "12m34s left" in text and "best accuracy 0.8765" in text
    assert "epoch   2  loss 0.9000  12,000 tokens/s  1m15s  accuracy 0.9123  *" in text
    assert "[bold]not markup[/bold]" in text
    assert capsys.readouterr().out == "a result\n"


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with make_progress(stream=stream) as progress:
        progress.note("resumed")
    assert stream.getvalue() == "resumed\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.6, "1m00s"), (200, "3m20s"), (3900, "1h05m")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_reports_to_standard_error_only(
    tmp_path: Path, toy: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with prepare(tmp_path / "m") as folder:
        fit(toy.Toy(), toy.config(epochs=3, max_time="1h", patience=2), folder, make_progress())
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[:2] for line in err.splitlines() if line.startswith("epoch")] == [["epoch", n] for n in "123"]
