"""Tables: comma-separated values with quotes, and plain columns separated by tabs; their records, and their columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from elman.errors import UsageError, nearest, shorten
from elman.text.example import Fault, Layout, OnProblem, without_nul
from elman.text.files import FileFault
from elman.text.sentence import Reporter, reporter


class Record(NamedTuple):
    """A row of a table: its first line, its cells, where each begins as (line, index), and its original lines."""

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


def csv_records(lines: Iterator[tuple[int, str]], report: Reporter) -> Iterator[Record]:
    """Cells separated by commas (RFC 4180). A cell that begins with a quote ends with one, may contain commas and line
    ends, and has its quotes doubled; in other cells a quote is a character like any other. Empty lines are left out."""
    while (following := next(lines, None)) is not None:
        number, line = following
        if '"' not in line:
            if line:
                yield Record(number, line.split(","), None, [line])
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


def _quoted(number: int, line: str, lines: Iterator[tuple[int, str]]) -> Record:
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
            return Record(first, cells, starts, held)
        at += 1  # over the comma


def tsv_records(lines: Iterator[tuple[int, str]], report: Reporter) -> Iterator[Record]:
    """Cells separated by tabs, one row per line; quotes are characters like any other. Empty lines are left out."""
    for number, line in lines:
        if line:
            yield Record(number, line.split("\t"), None, [line])


RECORDS = {"csv": csv_records, "tsv": tsv_records}


class Columns(Protocol):
    """Which columns of a table are read."""

    @property
    def width(self) -> int:
        """How many there are."""
        ...

    @property
    def line(self) -> int:
        """Of the row that determines this."""
        ...

    @property
    def header(self) -> bool:
        """Whether that row names the columns."""
        ...


C = TypeVar("C", bound=Columns)
U = TypeVar("U")


class Table(Generic[C, U]):
    """Reads tables whose first row determines which columns are read. A format derives from it."""

    name: ClassVar[str]  # a key of RECORDS

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[U]:
        """See ItemFormat.read."""
        report = reporter(file, on_problem)
        columns: C | None = None
        for record in RECORDS[self.name](without_nul(lines, report), report):
            if columns is None:
                try:
                    columns = self._settle(record, file)
                except Fault as fault:
                    fault.report_to(report, record.line)
                    return  # without columns there is nothing to read
                if on_layout is not None:
                    head = record.lines if columns.header else []
                    on_layout(self._describe(columns, record.cells) | {"header_lines": head})
                if columns.header:
                    continue
            try:
                yield self._unit(record, columns, file)
            except Fault as fault:
                fault.report_to(report, record.line)
        if columns is not None:
            self._finish(columns, file)

    def _settle(self, first: Record, file: str) -> C:
        """Which columns are read, from the first row. Raises Fault for a column that does not exist, UsageError where
        it is not clear."""
        raise NotImplementedError

    def _describe(self, columns: C, first: list[str]) -> dict[str, Any]:
        """How the table is read: options that read another such table in the same way."""
        raise NotImplementedError

    def _unit(self, record: Record, columns: C, file: str) -> U:
        """What a row says. Raises Fault."""
        raise NotImplementedError

    def _finish(self, columns: C, file: str) -> None:
        """Called at the end of the table. Raises UsageError for rows that show the columns to be others."""


def more_cells(name: str, cells: Iterable[str]) -> str:
    """Cells to append to a row of the format `name`, csv or tsv, each with what separates it from the one before.

    A tab or a line end in a cell of tsv becomes a space, since the format cannot hold it."""
    if name == "tsv":
        return "".join("\t" + cell.translate(_BLANKS) for cell in cells)
    return "".join("," + (_in_quotes(cell) if any(c in cell for c in ',"\n\r') else cell) for cell in cells)


_BLANKS = str.maketrans("\t\n\r", "   ")


def _in_quotes(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def check_width(record: Record, columns: Columns, name: str, *, more: bool = False) -> None:
    """Raise Fault for a row with too few cells, or with too many unless there may be `more`."""
    found, width = len(record.cells), columns.width
    if found == width or (more and found > width):
        return
    expected = f"{width} columns" if width > 1 else "one column"
    fix = "put cells that contain a comma in quotes" if name == "csv" else "remove the extra ones"
    if found < width:
        fix = "add the missing ones"
    line, at = record.start(width) if found > width else (record.line, None)
    raise Fault(f"expected {expected}, as on line {columns.line}, found {found}; {fix}", at, line)


def column_number(what: str, column: str | int | None) -> str | int | None:
    """A column as it was asked for: a name, or a number from 1 (digits are a number). Raises UsageError."""
    if isinstance(column, str) and column.isdecimal():
        column = int(column)
    if isinstance(column, int) and column < 1:
        raise UsageError(f"expected a {what} column number from 1, found {column}")
    return column.strip() if isinstance(column, str) else column


def find_column(what: str, column: str | int, names: list[str], *, optional: bool = False) -> int | None:
    """The index of a column, from the cells of the first row. Raises Fault where it does not exist; an optional one is
    None then."""
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


def describe_column(place: int | None, first: list[str], header: bool) -> str | int | None:
    """The name of a column where the header has one that is unique and not a number; otherwise its number."""
    if place is None:
        return None
    name = first[place].strip()
    plain = header and name and not name.isdecimal() and [one.strip() for one in first].count(name) == 1
    return name if plain else place + 1
