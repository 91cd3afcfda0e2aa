"""One labelled text as every reader returns it, and what the readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elman.errors import DataError, shorten
from elman.text.files import FileFault, LineFault
from elman.text.sentence import Block, Reporter

# Columns and keys to look for when none are given; the earlier name wins.
TEXT_NAMES = ("text", "sentence", "review", "document", "content", "question")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "tag")

OnProblem = Callable[[DataError], None]
Layout = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Example:
    """A text, its labels, and where it was read.

    `labels` is None where they are unknown (input for prediction); [] means that no label applies, which is possible
    only where examples may have several. `line` is the first line of the example. `source` is a Block: the lines as
    they were in the file.
    """

    text: str
    labels: list[str] | None = None
    file: str = ""
    line: int = 0
    source: Any = None


class Fault(Exception):
    """What is wrong with an example: at an index of its line, or at another (line, index) where `line` is given.

    whole_file: it is unknown where the example ends."""

    def __init__(
        self, message: str, at: int | None = None, line: int | None = None, *, whole_file: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.at, self.line, self.whole_file = message, at, line, whole_file

    def report_to(self, report: Reporter, line: int) -> None:
        """Report it; `line` is the example's."""
        column = None if self.at is None else self.at + 1
        report(self.message, self.line or line, column, kind=FileFault if self.whole_file else DataError)


def pick(found: Sequence[str], names: Sequence[str]) -> int | None:
    """The index in `found` of the first of `names` that occurs there, ignoring case; None if none does."""
    plain = [name.strip().casefold() for name in found]
    return next((plain.index(name) for name in names if name in plain), None)


def settle(labels: list[str], several: bool, labelled: bool, at: int | None = None) -> list[str] | None:
    """The labels as an Example has them. Raises Fault for too few, too many, empty or repeated ones."""
    if not all(labels):
        raise Fault("expected labels that are not empty, found an empty one; fill it in or remove it", at)
    if len(labels) > 1 and not several:
        found = f"found {len(labels)}: {', '.join(map(shorten, labels[:3]))}"
        raise Fault(f"expected one label, {found}; keep one, or read several labels per example", at)
    if len(set(labels)) < len(labels):
        twice = next(label for place, label in enumerate(labels) if label in labels[:place])
        raise Fault(f"expected each label once, found {shorten(twice)} again; remove one", at)
    if not labels and labelled and not several:
        raise Fault("expected a label, found nothing; write one, or remove the example", at)
    return labels if labels or (several and labelled) else None


def cut(cell: str, several: bool, separator: str) -> list[str]:
    """The labels in a cell, without white space around them; an empty cell has none."""
    cell = cell.strip()
    return [part.strip() for part in cell.split(separator)] if several and cell else [cell] if cell else []


def without_nul(lines: Iterable[tuple[int, str]], report: Reporter) -> Iterator[tuple[int, str]]:
    """The lines; a NUL character is reported, once per line, and read as U+FFFD."""
    for number, line in lines:
        if "\0" in line:
            message = "expected text, found a NUL character; remove it, or give the right encoding"
            report(message, number, line.index("\0") + 1, kind=LineFault)
            line = line.replace("\0", "\ufffd")
        yield number, line


def one_line(name: str, file: str, number: int, line: str, text: str, labels: list[str] | None) -> Example:
    """An example that is one line."""
    return Example(text, labels, file, number, Block(name, number, [line]))
