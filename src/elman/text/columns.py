"""Columns: one word per line with its tags, an empty line after each sentence (CoNLL-2003 and related formats)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import DataError, UsageError, shorten
from elman.text.sentence import Block, Reporter, Sentence, check_tags, reporter

DOCUMENT = "-DOCSTART-"
FIELD = re.compile(r"[^ \t]+")
SEPARATORS = {"tab": "\t", "space": " ", "\t": "\t", " ": " "}


@dataclass(slots=True)
class _Rows(Block):
    """A block and the layout of its rows."""

    layout: _Layout


@dataclass(slots=True)
class _Layout:
    """What the first data line of a file determines for all of them."""

    line: int
    width: int
    separator: str  # a tab, or a space for runs of spaces and tabs
    word: int
    tag: int | None  # None: the file has no such column; written tags go after the last one
    glue: str  # what separates them from it

    def complain(self, fields: list[str], line: str, number: int, report: Reporter) -> None:
        """Report what is wrong with a row that does not have this layout."""
        separated = "TAB" if self.separator == "\t" else "spaces"
        columns = f"{self.width} columns separated by {separated}" if self.width > 1 else "one column"
        expected = f"expected {columns}, as on line {self.line}"
        if len(fields) == self.width:
            empty, what = (self.tag, "tag") if fields[self.word] and self.tag is not None else (self.word, "word")
            column = sum(map(len, fields[:empty])) + empty + 1
            report(
                f"expected a {what} in column {empty + 1}, found nothing; write one, or remove the line",
                number,
                column,
            )
        elif self.separator == "\t" and len(fields) == 1 and len(line.split()) > 1:
            report(f"{expected}, found spaces and no TAB; put a TAB between the columns", number)
        elif len(fields) > self.width:
            surplus = sum(map(len, fields[: self.width])) + self.width + 1 if self.separator == "\t" else None
            report(f"{expected}, found {len(fields)}; remove the extra ones", number, surplus)
        else:
            report(
                f"{expected}, found {len(fields)}; add the missing ones, or an empty line between sentences",
                number,
                len(line) + 1,
            )


@dataclass
class Columns:
    """The format.

    word, column    the columns of the word and of its tag, from 1, or from the end as -1; `column=None` reads no tags
                    and writes them as a new last column.
    separator       "tab", "space" (runs of spaces and tabs), or None: tab if the file's first data line has one.
    comments        a line at the start of a sentence that begins with this and a space is kept, not read; None: no
                    line is. It has no tab, and either a different number of columns from the other lines, so that
                    "# O" is a word, or the form "# key = value".
    optional        a file that ends just before `column`, or has only words, is read without tags, as for
                    `column=None`; for prediction.

    The first data line decides how many columns all lines have. Lines that begin with -DOCSTART- are kept, not read.
    Between tabs, a word may contain spaces.
    """

    name: ClassVar[str] = "columns"
    word: int = 1
    column: int | None = -1
    separator: str | None = None
    comments: str | None = "#"
    optional: bool = False

    def __post_init__(self) -> None:
        self.word = _number("word", self.word)
        self.column = None if self.column is None else _number("column", self.column)
        if self.column == self.word:
            raise UsageError(f"the word and its tag cannot both be in column {self.word}; choose another column")
        if self.separator is not None and self.separator not in SEPARATORS:
            raise UsageError(f"unknown separator {self.separator!r}; expected tab or space")

    def read(
        self, lines: Iterable[tuple[int, str]], file: str, *, on_problem: Callable[[DataError], None] | None = None
    ) -> Iterator[Sentence]:
        """See Format.read. White space alone in a line counts as an empty line."""
        report = reporter(file, on_problem)
        held, layout, lines = self._look_ahead(lines, report)
        if layout is None:
            if held:
                if held[-1][1].strip(" \t\r"):  # a row without a usable layout: skip the rest of its sentence too
                    for number, line in lines:
                        held.append((number, line))
                        if not line.strip(" \t\r"):
                            break
                rest = Block(self.name, held[0][0], [line for _, line in held])
                yield Sentence([], None, file, rest.first, [], rest)
            return
        width, word, tag, tabbed = layout.width, layout.word, layout.tag, layout.separator == "\t"
        prefix = f"{self.comments} " if self.comments is not None else None
        state = _Reading(layout, file)
        for number, line in itertools.chain(held, lines):
            if line.startswith(DOCUMENT):
                if state.line:
                    yield state.close()
                    state = _Reading(layout, file)
                state.add(number, line)
                continue
            state.add(number, line)
            fields = line.split("\t") if tabbed else FIELD.findall(line)
            if prefix is not None and not state.line and line.startswith(prefix) and _is_comment(line, fields, width):
                continue
            if len(fields) == width and fields[word] and (tag is None or fields[tag]):
                state.line = state.line or number
                state.words.append(fields[word])
                state.numbers.append(number)
                if tag is not None:
                    state.tags.append(fields[tag])
            elif not line.strip(" \t\r"):
                if state.line:
                    yield state.close()
                    state = _Reading(layout, file)
            else:
                state.line = state.line or number
                layout.complain(fields, line, number, report)
        if state.line:
            if state.block[-1].strip(" \t\r"):
                state.block.append("")
            yield state.close()
        elif state.block:
            yield state.close()

    def _look_ahead(
        self, lines: Iterable[tuple[int, str]], report: Reporter
    ) -> tuple[list[tuple[int, str]], _Layout | None, Iterator[tuple[int, str]]]:
        """The lines up to the first that can only be a word's, what it says about the file, and the lines after it."""
        held, lines = [], iter(lines)
        prefix = f"{self.comments} " if self.comments is not None else None
        for number, line in lines:
            held.append((number, line))
            comment = prefix is not None and line.startswith(prefix) and "\t" not in line
            if line.strip(" \t\r") and not line.startswith(DOCUMENT) and not comment:
                return held, self._layout(number, line, report), lines
        return held, None, lines

    def _layout(self, number: int, line: str, report: Reporter) -> _Layout | None:
        separator = SEPARATORS[self.separator] if self.separator else "\t" if "\t" in line else " "
        width = len(line.split("\t") if separator == "\t" else FIELD.findall(line))
        word = self.word - 1 if self.word > 0 else width + self.word
        if not 0 <= word < width:
            report(f"expected the word in column {self.word}, found {width} columns; choose another column", number)
            return None
        tag = None
        if self.column is not None:
            tag = self.column - 1 if self.column > 0 else width + self.column
            if not 0 <= tag < width or tag == word:
                if not (self.optional and (width == 1 or tag == width)):
                    found = "words only" if width == 1 else f"{width} columns, the word in column {word + 1}"
                    report(f"expected the tag in column {self.column}, found {found}; choose another column", number)
                tag = None
        glue = "\t" if width == 1 and self.separator is None else separator
        return _Layout(number, width, separator, word, tag, glue)

    def write(self, sentence: Sentence, tags: list[str] | None) -> str:
        """See Format.write. From scratch it is `word<TAB>tag`."""
        source = sentence.source
        if not (isinstance(source, Block) and source.format == self.name):
            return _from_scratch(sentence, sentence.tags if tags is None else tags)
        if tags is None or not isinstance(source, _Rows):
            return source.text()
        layout = source.layout
        check_tags(sentence, tags, "\t\r\n" if layout.glue == "\t" else " \t\r\n")
        lines = list(source.lines)
        for number, tag in zip(sentence.lines, tags, strict=True):
            at = number - source.first
            if layout.tag is None:
                lines[at] += layout.glue + tag
            else:
                start, end = _span(layout, lines[at], layout.tag)
                lines[at] = lines[at][:start] + tag + lines[at][end:]
        return Block(self.name, source.first, lines).text()

    def columns_of(self, sentence: Sentence, *, tag: bool = False) -> list[int | None]:
        """See Format.columns_of."""
        source = sentence.source
        field = (source.layout.tag if tag else source.layout.word) if isinstance(source, _Rows) else None
        if field is None:
            return [None] * len(sentence.words)
        lines = (source.lines[number - source.first] for number in sentence.lines)
        return [_span(source.layout, line, field)[0] + 1 for line in lines]


class _Reading:
    """One sentence while it is being read."""

    __slots__ = ("block", "file", "first", "layout", "line", "numbers", "tags", "words")

    def __init__(self, layout: _Layout, file: str) -> None:
        self.layout = layout
        self.file = file
        self.block: list[str] = []  # its lines so far, from line number `first`
        self.first = 0
        self.line = 0  # the line of its first row; 0: none so far
        self.words: list[str] = []
        self.tags: list[str] = []
        self.numbers: list[int] = []

    def add(self, number: int, line: str) -> None:
        if not self.block:
            self.first = number
        self.block.append(line)

    def close(self) -> Sentence:
        source = _Rows(Columns.name, self.first, self.block, self.layout)
        tags = None if self.layout.tag is None else self.tags
        line = self.numbers[0] if self.numbers else self.line or self.first
        return Sentence(self.words, tags, self.file, line, self.numbers, source)


def _is_comment(line: str, fields: list[str], width: int) -> bool:
    """Whether a line that looks like a comment is one. "# O" may be a word and its tag; "# key = value" never is."""
    return "\t" not in line and (len(fields) != width or fields[2:3] == ["="])


def _span(layout: _Layout, line: str, field: int) -> tuple[int, int]:
    """Where a field of a row begins and ends."""
    if layout.separator != "\t":
        return [match.span() for match in FIELD.finditer(line)][field]
    fields = line.split("\t")
    start = sum(map(len, fields[:field])) + field
    return start, start + len(fields[field])


def _from_scratch(sentence: Sentence, tags: list[str] | None) -> str:
    if tags is not None:
        check_tags(sentence, tags, "\t\r\n")
    for word in sentence.words:
        if not word or any(character in word for character in "\t\r\n"):
            raise UsageError(
                f"the word {shorten(word)} cannot be written in columns: it is empty or contains a tab or line end"
            )
    rows = (
        sentence.words if tags is None else [f"{word}\t{tag}" for word, tag in zip(sentence.words, tags, strict=True)]
    )
    return "\n".join(rows) + "\n\n" if rows else ""


def _number(option: str, value: int | str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not number:
        raise UsageError(f"{option} must be a column number, from 1 or from the end as -1; found {value!r}")
    return number
