"""Tables of labelled texts: comma-separated values with quotes, and plain columns separated by tabs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from elman.errors import UsageError, nearest, shorten
from elman.text.example import (
    LABEL_NAMES,
    TEXT_NAMES,
    Example,
    Fault,
    Layout,
    OnProblem,
    cut,
    pick,
    settle,
    without_nul,
)
from elman.text.files import FileFault
from elman.text.sentence import Block, Reporter, reporter


class _Record(NamedTuple):
    """A row: its first line, its cells, where each begins as (line, index), and its original lines."""

    line: int
    cells: list[str]
    starts: list[tuple[int, int]] | None  # None: the cells are on one line, one character apart
    lines: list[str]

    def start(self, place: int) -> tuple[int, int]:
        if self.starts is not None:
            return self.starts[place]
        return self.line, sum(map(len, self.cells[:place])) + place


class _Unclosed(Exception):
    """A quote still open at the end of the file, and the lines after the one that opens it."""

    def __init__(self, line: int, at: int, rest: list[tuple[int, str]]) -> None:
        super().__init__()
        self.line, self.at, self.rest = line, at, rest


class _Places(NamedTuple):
    """Which cells of a row are read, from 0."""

    text: int
    label: int | None
    width: int
    line: int  # of the row that determines this
    header: bool


@dataclass
class _Table:
    """What both formats have in common.

    text_column, label_column   a name in the header or a number from 1 (digits are a number)
    header                      whether the first row names the columns. None: it does where a column is given by name;
                                it does not where columns are given by number; with neither, it does if it contains
                                a usual name for a text and one for labels (for a text, with `labelled=False`)
    several, separator          a label cell contains any number of labels, split at the separator

    With neither given and no such names, the first of exactly two columns is the label and the second the text. With
    `labelled=False` the label's column may be missing, and a file of one column without a header has only texts.
    An empty line is not a row. Labels are read without the white space around them, texts as they are.
    """

    name: ClassVar[str]
    text_column: str | int | None = None
    label_column: str | int | None = None
    header: bool | None = None
    several: bool = False
    separator: str = "|"
    labelled: bool = True

    def __post_init__(self) -> None:
        self.text_column = _number("text", self.text_column)
        self.label_column = _number("label", self.label_column)
        if self.text_column is not None and self.text_column == self.label_column:
            raise UsageError(f"the text and its label cannot both be in column {self.text_column}; choose another")
        if not self.separator:
            raise UsageError("expected a label separator that is not empty; leave it out for |")
        named = next((c for c in (self.text_column, self.label_column) if isinstance(c, str)), None)
        if self.header is False and named is not None:
            raise UsageError(f"the column {named!r} cannot be found without a header; give its number, from 1")

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Example]:
        """See ExampleFormat.read."""
        report = reporter(file, on_problem)
        places: _Places | None = None
        for record in self._records(without_nul(lines, report), report):
            if places is None:
                try:
                    places = self._settle(record, file)
                except Fault as fault:
                    fault.report_to(report, record.line)
                    return  # without columns there is nothing to read
                if on_layout is not None:
                    on_layout(_describe(places, record.cells) | {"header_lines": record.lines if places.header else []})
                if places.header:
                    continue
            try:
                yield self._example(record, places, file)
            except Fault as fault:
                fault.report_to(report, record.line)

    def _example(self, record: _Record, places: _Places, file: str) -> Example:
        cells = record.cells
        if len(cells) != places.width:
            columns = f"{places.width} columns" if places.width > 1 else "one column"
            fix = "put cells that contain a comma in quotes" if self.name == "csv" else "remove the extra ones"
            if len(cells) < places.width:
                fix = "add the missing ones"
            line, at = record.start(places.width) if len(cells) > places.width else (record.line, None)
            message = f"expected {columns}, as on line {places.line}, found {len(cells)}; {fix}"
            raise Fault(message, at, line)
        labels = None
        if places.label is not None:
            line, at = record.start(places.label)
            try:
                labels = settle(cut(cells[places.label], self.several, self.separator), self.several, self.labelled, at)
            except Fault as fault:
                fault.line = line
                raise
        block = Block(self.name, record.line, record.lines)
        return Example(cells[places.text], labels, file, record.line, block)

    def _records(self, lines: Iterator[tuple[int, str]], report: Reporter) -> Iterator[_Record]:
        raise NotImplementedError

    def _settle(self, first: _Record, file: str) -> _Places:
        """Which columns are read, from the first row. Raises Fault for a column that does not exist."""
        names, width = [cell.strip() for cell in first.cells], len(first.cells)
        chosen = [column for column in (self.text_column, self.label_column) if column is not None]
        header = self.header
        if header is None and chosen:
            header = any(isinstance(column, str) for column in chosen)
        elif header is None:
            header = pick(names, TEXT_NAMES) is not None and (pick(names, LABEL_NAMES) is not None or not self.labelled)
        text = label = None
        if not self.labelled and width == 1 and not header:
            text = 0
        else:
            text = self._find("text", self.text_column, TEXT_NAMES if header else (), names)
            label = self._find("label", self.label_column, LABEL_NAMES if header else (), names)
            if width == 2 and text is None:
                text = 1 if label is None else 1 - label
            # In a table that need not have labels, an unnamed second column may be anything.
            if width == 2 and label is None and (self.labelled or not (chosen or header)):
                label = 1 - text if text is not None else 0
        if text is None or (label is None and self.labelled):
            found = ("the columns " + ", ".join(map(shorten, names[:8]))) if header else f"{width} columns"
            raise UsageError(
                f"{file}:{first.line}: expected columns for the text and its label, found {found}; "
                "choose them with --text-column and --label-column, by name or number"
            )
        if text == label:
            raise UsageError(
                f"{file}:{first.line}: the text and its label cannot both be in column {text + 1}; "
                "choose with --text-column and --label-column"
            )
        return _Places(text, label, width, first.line, header)

    def _find(self, what: str, column: str | int | None, usual: tuple[str, ...], names: list[str]) -> int | None:
        optional = what == "label" and not self.labelled
        if column is None:
            return pick(names, usual)
        if isinstance(column, int):
            if column > len(names) and not optional:
                found = f"found {len(names)} columns" if len(names) > 1 else "found one column"
                raise Fault(f"expected the {what} in column {column}, {found}; choose another column, or format")
            return column - 1 if column <= len(names) else None
        often = names.count(column)
        if often > 1:
            raise Fault(f"expected one column named {shorten(column)}, found {often}; give its number, from 1")
        if not often and not optional:
            close = nearest(column, [shorten(name)[1:-1] for name in names[:20]])
            raise Fault(f"expected a column named {shorten(column)} for the {what}, found none; {close}")
        return names.index(column) if often else None


@dataclass
class Csv(_Table):
    """`csv`: cells separated by commas (RFC 4180). A cell that begins with a quote ends with one, may contain commas
    and line ends, and has its quotes doubled; in other cells a quote is a character like any other."""

    name: ClassVar[str] = "csv"

    def _records(self, lines: Iterator[tuple[int, str]], report: Reporter) -> Iterator[_Record]:
        while (following := next(lines, None)) is not None:
            number, line = following
            if '"' not in line:
                if line:
                    yield _Record(number, line.split(","), None, [line])
                continue
            try:
                yield _quoted(number, line, lines)
            except Fault as fault:
                fault.report_to(report, number)
            except _Unclosed as fault:
                message = "expected a quote that closes this one, found the end of the file; close it, or double it"
                report(message, fault.line, fault.at + 1, kind=FileFault)
                # The lines that it swallowed contain only pairs of quotes, so this happens once per file.
                lines = itertools.chain(fault.rest, lines)


def _quoted(number: int, line: str, lines: Iterator[tuple[int, str]]) -> _Record:
    """The record that begins with this line, which has quotes in it. Raises Fault or _Unclosed."""
    first, held = number, [line]
    cells: list[str] = []
    starts: list[tuple[int, int]] = []
    at = 0
    while True:
        starts.append((number, at))
        if line.startswith('"', at):
            parts: list[str] = []
            at += 1
            rest: list[tuple[int, str]] = []
            while True:
                end = line.find('"', at)
                if end < 0:
                    parts += [line[at:], "\n"]
                    following = next(lines, None)
                    if following is None:
                        raise _Unclosed(*starts[-1], rest)
                    rest.append(following)
                    number, line = following
                    held.append(line)
                    at = 0
                    continue
                parts.append(line[at:end])
                if not line.startswith('"', end + 1):
                    break
                parts.append('"')
                at = end + 2
            cells.append("".join(parts))
            at = end + 1
            if at < len(line) and line[at] != ",":
                found = f"found {shorten(line[at])}"
                message = f"expected a comma or the end of the line after a quoted cell, {found}; double inner quotes"
                # An odd number of quotes leaves one open: the example may continue on the next line.
                odd = sum(part.count('"') for part in held) % 2 == 1
                raise Fault(message, at, number, whole_file=odd)
        else:
            end = line.find(",", at)
            end = len(line) if end < 0 else end
            cells.append(line[at:end])
            at = end
        if at >= len(line):
            return _Record(first, cells, starts, held)
        at += 1  # over the comma


@dataclass
class Tsv(_Table):
    """`tsv`: cells separated by tabs, one row per line; quotes are characters like any other."""

    name: ClassVar[str] = "tsv"

    def _records(self, lines: Iterator[tuple[int, str]], report: Reporter) -> Iterator[_Record]:
        for number, line in lines:
            if line:
                yield _Record(number, line.split("\t"), None, [line])


def _number(what: str, column: str | int | None) -> str | int | None:
    if isinstance(column, str) and column.isdecimal():
        column = int(column)
    if isinstance(column, int) and column < 1:
        raise UsageError(f"expected a {what} column number from 1, found {column}")
    return column.strip() if isinstance(column, str) else column


def _describe(places: _Places, first: list[str]) -> dict[str, str | int | bool | None]:
    """How the table is read: options that read another such table in the same way."""

    def column(place: int | None) -> str | int | None:
        if place is None:
            return None
        name = first[place].strip()
        plain = places.header and name and not name.isdecimal() and [one.strip() for one in first].count(name) == 1
        return name if plain else place + 1

    return {
        "text_column": column(places.text),
        "label_column": column(places.label),
        "header": places.header,
    }
