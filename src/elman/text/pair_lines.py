"""Two parallel files, lines of sources alone, and SCAN's lines of commands and actions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import UsageError
from elman.text.example import Fault, Layout, OnProblem, without_nul
from elman.text.files import FileFault, Path, name_of, open_text
from elman.text.pair import Pair
from elman.text.sentence import Block, reporter

Numbered = Iterator[tuple[int, str]]
BETWEEN = "::"  # the names of two parallel files
IN, OUT = "IN: ", " OUT: "


def two_files(path: Path) -> tuple[str, str]:
    """The names in SOURCE_FILE::TARGET_FILE. Raises UsageError for anything else."""
    names = os.fspath(path).split(BETWEEN)
    if len(names) != 2 or not all(names) or names == ["-", "-"]:
        raise UsageError(
            f"expected two parallel files, SOURCE_FILE{BETWEEN}TARGET_FILE, found {os.fspath(path)!r}; "
            f"put {BETWEEN} between their names"
        )
    return names[0], names[1]


@contextmanager
def open_parallel(path: Path, encoding: str, on_problem: OnProblem | None) -> Iterator[Numbered]:
    """Open SOURCE_FILE::TARGET_FILE as numbered lines, each of them that of the source, a line end, and that of the
    target. Faults are located in the file in which they are.

    Raises what `open_text` raises, and DataError where one file has more lines; it names both.
    """
    with ExitStack() as stack:

        def begin(file: str) -> tuple[str, Numbered]:
            name = name_of(file)
            lines = stack.enter_context(open_text(file, encoding, on_problem=on_problem))
            return name, without_nul(lines, reporter(name, on_problem))

        one, other = map(begin, two_files(path))
        yield _together(one, other, on_problem)


def _together(one: tuple[str, Numbered], other: tuple[str, Numbered], on_problem: OnProblem | None) -> Numbered:
    (name, sources), (other_name, targets) = one, other
    number = 0
    while True:
        source, target = next(sources, None), next(targets, None)
        if source is None or target is None:
            break
        number = source[0]
        yield number, f"{source[1]}\n{target[1]}"
    if source is target:
        return
    many = number + (source is not None) + sum(1 for _ in sources)
    others = number + (target is not None) + sum(1 for _ in targets)
    message = f"expected {others:,} lines, as many as in {other_name}, found {many:,}; line i of one belongs to line i"
    report = reporter(name, on_problem)
    report(f"{message} of the other", min(many, others) + 1, kind=FileFault)


@dataclass
class Parallel:
    """`parallel`: two files; line i of the second is the target of line i of the first. Lines may be empty.

    `read` takes lines as `open_parallel` gives them.
    """

    name: ClassVar[str] = "parallel"
    several: bool = False
    answered: bool = True

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Pair]:
        """See ItemFormat.read."""
        file = name_of(two_files(file)[0])
        for number, line in lines:
            source, _, target = line.partition("\n")
            yield Pair(source, [target], (), file, number, Block(self.name, number, [source]))


@dataclass
class SourceLines:
    """`text`: every line is a source as it is, even an empty one; for prediction."""

    name: ClassVar[str] = "text"
    several: bool = False
    answered: bool = True

    def __post_init__(self) -> None:
        if self.answered:
            raise UsageError("the format text has no targets; expected tsv, csv, jsonl, parallel or scan")

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Pair]:
        """See ItemFormat.read."""
        for number, line in without_nul(lines, reporter(file, on_problem)):
            yield Pair(line, None, (), file, number, Block(self.name, number, [line]))


@dataclass
class Scan:
    """`scan`: `IN: words OUT: ACTIONS`, as in the files of SCAN (Lake and Baroni 2018). An empty line is not a pair.

    With `answered=False` OUT: may be missing.
    """

    name: ClassVar[str] = "scan"
    several: bool = False
    answered: bool = True

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Pair]:
        """See ItemFormat.read."""
        report = reporter(file, on_problem)
        for number, line in without_nul(lines, report):
            if not line:
                continue
            try:
                source, targets = self._parse(line)
            except Fault as fault:
                fault.report_to(report, number)
            else:
                yield Pair(source, targets, (), file, number, Block(self.name, number, [line]))

    def _parse(self, line: str) -> tuple[str, list[str] | None]:
        if not line.startswith(IN):
            raise Fault("expected `IN: words OUT: ACTIONS`, found another start; write IN: and a space first", 0)
        source, *targets = line[len(IN) :].split(OUT)
        if len(targets) > 1 or (not targets and self.answered):
            raise Fault(f"expected one OUT: between spaces, found {len(targets)}; fix the line", len(IN))
        return source, targets or None
