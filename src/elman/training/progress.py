"""Progress of a run on standard error: a bar on a terminal, otherwise plain lines, or nothing."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

# Seconds between two plain lines inside an epoch.
PLAIN_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where a run stands after a step. `done` is from 0 to 1, `loss` the epoch's mean per token so far."""

    epoch: int
    epochs: int
    step: int
    done: float
    loss: float
    tokens_per_second: float
    seconds_left: float | None
    metric: str | None
    best: float | None


class Progress(Protocol):
    """What the loop reports to while it runs. A context manager that is open during training."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self, report: StepReport) -> None:
        """After each step."""

    def epoch(self, line: dict[str, Any], *, best: bool) -> None:
        """After each epoch, with its line of log.jsonl and whether its weights are the best so far."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


def make_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """The display that fits: a bar on a terminal, plain lines elsewhere (and for TERM=dumb), nothing when `quiet`.

    `stream` is standard error unless given. NO_COLOR is honoured.
    """
    stream = stream or sys.stderr
    if quiet:
        return Quiet()
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(stream)
    return Plain(stream)


class Quiet:
    """No display."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, report: StepReport) -> None:
        return None

    def epoch(self, line: dict[str, Any], *, best: bool) -> None:
        return None

    def note(self, text: str) -> None:
        return None


class Plain(Quiet):
    """One line per epoch, and one every ten seconds inside it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written = time.monotonic()

    def step(self, report: StepReport) -> None:
        if time.monotonic() - self._written >= PLAIN_EVERY:
            self.note(f"epoch {report.epoch}/{report.epochs}  {report.done:4.0%}  {_speed(report)}")

    def epoch(self, line: dict[str, Any], *, best: bool) -> None:
        self.note(_epoch(line, best))

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
        self._written = time.monotonic()


class Bar(Quiet):
    """A bar for the whole run below one line for each epoch that is over."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%  {task.fields[text]}"),
            console=Console(file=stream),
            transient=True,
            redirect_stdout=False,  # standard output is for results
        )
        self._task = self._progress.add_task("training", total=1.0, text="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, report: StepReport) -> None:
        self._progress.update(
            self._task, description=f"epoch {report.epoch}/{report.epochs}", completed=report.done, text=_speed(report)
        )

    def epoch(self, line: dict[str, Any], *, best: bool) -> None:
        self.note(_epoch(line, best))

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _speed(report: StepReport) -> str:
    parts = [f"loss {report.loss:.4f}", f"{report.tokens_per_second:,.0f} tokens/s"]
    if report.seconds_left is not None:
        parts.append(f"{duration(report.seconds_left)} left")
    if report.best is not None:
        parts.append(f"best {report.metric} {report.best:.4f}")
    return "  ".join(parts)


def _epoch(line: dict[str, Any], best: bool) -> str:
    scores = "  ".join(f"{name} {value:.4f}" for name, value in line["dev"].items())
    text = f"epoch {line['epoch']:>3}  loss {line['loss']:.4f}  {line['tokens_per_second']:,.0f} tokens/s"
    return f"{text}  {duration(line['seconds'])}  {scores}{'  *' if best and scores else ''}".rstrip()


def duration(seconds: float) -> str:
    """Seconds as `1h05m`, `3m20s` or `7s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
