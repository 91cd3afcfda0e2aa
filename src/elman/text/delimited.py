"""Tables of labelled texts: comma-separated values with quotes, and plain columns separated by tabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from elman.errors import UsageError, shorten
from elman.text.example import LABEL_NAMES, TEXT_NAMES, Example, Fault, cut, pick, settle
from elman.text.sentence import Block
from elman.text.tables import Record, Table, check_width, column_number, describe_column, find_column


class _Places(NamedTuple):
    """Which cells of a row are read, from 0."""

    text: int
    label: int | None
    width: int
    line: int  # of the row that determines this
    header: bool


@dataclass
class _Table(Table[_Places, Example]):
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
        self.text_column = column_number("text", self.text_column)
        self.label_column = column_number("label", self.label_column)
        if self.text_column is not None and self.text_column == self.label_column:
            raise UsageError(f"the text and its label cannot both be in column {self.text_column}; choose another")
        if not self.separator:
            raise UsageError("expected a label separator that is not empty; leave it out for |")
        named = next((c for c in (self.text_column, self.label_column) if isinstance(c, str)), None)
        if self.header is False and named is not None:
            raise UsageError(f"the column {named!r} cannot be found without a header; give its number, from 1")

    def _unit(self, record: Record, columns: _Places, file: str) -> Example:
        check_width(record, columns, self.name)
        labels = None
        if columns.label is not None:
            line, at = record.start(columns.label)
            found = cut(record.cells[columns.label], self.several, self.separator)
            try:
                labels = settle(found, self.several, self.labelled, at)
            except Fault as fault:
                fault.line = line
                raise
        block = Block(self.name, record.line, record.lines)
        return Example(record.cells[columns.text], labels, file, record.line, block)

    def _settle(self, first: Record, file: str) -> _Places:
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
        if column is None:
            return pick(names, usual)
        return find_column(what, column, names, optional=what == "label" and not self.labelled)

    def _describe(self, columns: _Places, first: list[str]) -> dict[str, Any]:
        return {
            "text_column": describe_column(columns.text, first, columns.header),
            "label_column": describe_column(columns.label, first, columns.header),
            "header": columns.header,
        }


@dataclass
class Csv(_Table):
    """`csv`: see `tables.csv_records`."""

    name: ClassVar[str] = "csv"


@dataclass
class Tsv(_Table):
    """`tsv`: see `tables.tsv_records`."""

    name: ClassVar[str] = "tsv"
