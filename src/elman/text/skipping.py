"""`skip_broken`: reading what is intact in a file, and counting what is left out because it is broken."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

from elman.errors import DataError, Notice
from elman.text.files import FileFault, LineFault
from elman.text.sentence import Block

SHOWN = 3
U = TypeVar("U")
Lines = Iterator[tuple[int, str]]


class Skipped:
    """What was left out of one or more files: how many sentences, texts or lines, and what is wrong with them.

    count:    how many
    problems: the first fault of each, with its location, in the order of the files
    """

    def __init__(self) -> None:
        self.problems: list[DataError] = []

    @property
    def count(self) -> int:
        return len(self.problems)

    def text(self, what: str = "sentence") -> str:
        """How many were left out, and where the first few are; one fault per line."""
        many = "" if self.count == 1 else "s"
        lines = [f"left out {self.count:,} broken {what}{many}{':' if self.count else ''}"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN]]
        if self.count > SHOWN:
            lines.append("  ...")
        return "\n".join(lines)


class Sieve:
    """Separates what a reader yields from one file into whole and broken, by the locations of the faults it reports.

    what: the name of what a reader yields; block: the lines of one. Pass `report` to the reader, and to `open_text`, as
    `on_problem`.
    """

    def __init__(
        self, skip_broken: bool | Skipped, what: str, block: Callable[[Any], Block] = attrgetter("source")
    ) -> None:
        self.skipped = skip_broken if isinstance(skip_broken, Skipped) else Skipped()
        self.what = what
        self._block = block
        self._warn = not isinstance(skip_broken, Skipped)
        self._before = self.skipped.count
        self._kept = 0
        self._pending: list[DataError] = []

    def report(self, problem: DataError) -> None:
        """Record a fault. Raises it if it is not confined to one sentence or example."""
        if isinstance(problem, FileFault):
            raise problem
        self._pending.append(problem)

    def require_none(self) -> None:
        """Raise the first fault that was reported, if any: the faulty line determines how to read the others."""
        if self._pending:
            raise self._pending[0]

    def whole(
        self, begin: Callable[[], Iterable[U]], *, again: bool = False, fault: Callable[[U], DataError | None] | None
    ) -> Iterator[U]:
        """The whole ones of what a reader yields.

        begin: starts the reader on the remaining lines
        again: the first one determines how the others are read; while it is broken, the next one does
        fault: what else is wrong with one, None if nothing is
        """
        while True:
            restart = False
            for unit in begin():
                if problem := self._fault(unit) or (fault and fault(unit)):
                    self.skipped.problems.append(problem)
                    if restart := again and not self._kept:
                        break
                else:
                    self._kept += 1
                    yield unit
            if not restart:
                break
        self.skipped.problems += _one_each(self._pending)
        self._pending = []

    def _fault(self, unit: Any) -> DataError | None:
        """The first fault of this one; those before it belong to what the reader left out by itself."""
        block = self._block(unit)
        first = block.first
        end = first + len(block.lines)
        before = [problem for problem in self._pending if (problem.line or 0) < first]
        own = [problem for problem in self._pending if first <= (problem.line or 0) < end]
        self._pending = self._pending[len(before) + len(own) :]
        self.skipped.problems += _one_each(before)
        return own[0] if own else None

    def finish(self, kept: int) -> None:
        """Raise DataError if more are broken than kept; `kept` counts those that are not empty.

        Warns of what was left out, unless the caller counts it."""
        count = self.skipped.count - self._before
        if count > kept:
            problem = self.skipped.problems[self._before]
            raise DataError(
                f"{problem.problem} ({count:,} of {count + kept:,} {self.what}s are broken: too many to leave out; "
                "check the file's format, columns and encoding)",
                file=problem.file,
                line=problem.line,
                column=problem.column,
            )
        if count and self._warn:
            warnings.warn(self.skipped.text(self.what), Notice, stacklevel=2)


def _one_each(problems: list[DataError]) -> list[DataError]:
    """The first problem of each that a reader left out by itself: it reports the faults of its lines, then its own."""
    firsts, begun = [], False
    for problem in problems:
        if not begun:
            firsts.append(problem)
        begun = isinstance(problem, LineFault)
    return firsts
