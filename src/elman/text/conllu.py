"""CoNLL-U: ten columns separated by TAB, comments, ranges (3-4) and empty nodes (8.1).

The format: https://universaldependencies.org/format.html. Ranges, empty nodes and comments are checked for their form,
kept and written back untouched; only words (whole-number ids) are words of a Sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import DataError, UsageError, shorten
from elman.text.sentence import Block, Reporter, Sentence, check_tags, reporter

COLUMNS = ["ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"]
TAG_COLUMNS = {"upos": 3, "xpos": 4, "feats": 5}
KEYED_COLUMNS = {"feats": 5, "misc": 9}
RANGE = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
NODE = re.compile(r"(0|[1-9][0-9]{0,8})\.([1-9][0-9]{0,8})")
WORD = re.compile(r"[1-9][0-9]{0,8}")


@dataclass
class Conllu:
    """The format; `column` is "upos", "xpos", "feats", one key ("feats:Number", "misc:Gloss"), or None for words only.

    A key reads as "_" where a word lacks it. Writing a key keeps the others; "_" removes it; FEATS stay sorted.
    """

    name: ClassVar[str] = "conllu"
    column: str | None = "upos"

    def __post_init__(self) -> None:
        self._field, self._key = 0, ""
        if self.column is None:
            return
        column, colon, self._key = str(self.column).partition(":")
        known = (KEYED_COLUMNS if colon else TAG_COLUMNS).get(column.lower())
        if known is None or (colon and not re.fullmatch(r"[^\s=|]+", self._key)):
            raise UsageError(
                f"CoNLL-U has no tag column {self.column!r}; expected upos, xpos, feats or a key such as feats:Number"
            )
        self._field = known

    def read(
        self, lines: Iterable[tuple[int, str]], file: str, *, on_problem: Callable[[DataError], None] | None = None
    ) -> Iterator[Sentence]:
        """See Format.read. White space alone in a line counts as an empty line."""
        report = reporter(file, on_problem)
        column, key = self._field, self._key
        values: dict[str, str] = {}  # the key's value for each distinct field, of which there are few
        state = _Reading()
        for number, line in lines:
            if not state.block:
                state.first = number
            state.block.append(line)
            if line[:1] == "#":
                continue
            fields = line.split("\t")
            if len(fields) == 10 and fields[0] == str(state.last + 1):
                state.last += 1
                state.nodes = 0
            elif not line.strip():
                if state.line:
                    yield state.close(file, column > 0, report)
                    state = _Reading()
                continue
            elif not state.odd(fields, number, report):
                continue
            form, value = fields[1], fields[column]
            if not form or not value:
                field = column if form else 1
                report(
                    f"expected a value in column {field + 1} ({COLUMNS[field]}), found nothing; write _ for none",
                    number,
                    _start(fields, field),
                )
                state.line, state.lost = state.line or number, True
                continue
            state.line = state.line or number
            state.words.append(form)
            state.numbers.append(number)
            if column:
                if key:
                    if value not in values:
                        values[value] = get_key(value, key)
                    value = values[value]
                state.tags.append(value)
        if state.line:
            yield state.close(file, column > 0, report)
        elif state.block:
            block = Block(self.name, state.first, state.block)
            yield Sentence([], [] if column else None, file, state.first, [], block)

    def write(self, sentence: Sentence, tags: list[str] | None) -> str:
        """See Format.write."""
        source = sentence.source
        if not (isinstance(source, Block) and source.format == self.name):
            return self._from_scratch(sentence, tags)
        if tags is None:
            return source.text()
        self._check(sentence, tags)
        lines = list(source.lines)
        for number, tag in zip(sentence.lines, tags, strict=True):
            fields = lines[number - source.first].split("\t")
            fields[self._field] = set_key(fields[self._field], self._key, tag, self._field == 5) if self._key else tag
            lines[number - source.first] = "\t".join(fields)
        return "\n".join(lines) + "\n" if lines else ""

    def _check(self, sentence: Sentence, tags: list[str]) -> None:
        if self.column is None:
            raise UsageError("no column was chosen to write tags to; pass column, such as upos")
        check_tags(sentence, tags, "\t\r\n|" if self._key else "\t\r\n")

    def _from_scratch(self, sentence: Sentence, tags: list[str] | None) -> str:
        tags = sentence.tags if tags is None and self.column is not None else tags
        if tags is not None:
            self._check(sentence, tags)
        rows = []
        for index, word in enumerate(sentence.words):
            if not word or any(character in word for character in "\t\r\n"):
                raise UsageError(
                    f"the word {shorten(word)} cannot be written as CoNLL-U: it is empty or contains a tab or line end"
                )
            fields = [str(index + 1), word, *["_"] * 8]
            if tags is not None:
                fields[self._field] = set_key("_", self._key, tags[index], False) if self._key else tags[index]
            rows.append("\t".join(fields) + "\n")
        return "".join(rows) + "\n" if rows else ""

    def columns_of(self, sentence: Sentence, *, tag: bool = False) -> list[int | None]:
        """See Format.columns_of."""
        source, field = sentence.source, self._field if tag else 1
        if not (isinstance(source, Block) and source.format == self.name):
            return [None] * len(sentence.words)
        return [_start(source.lines[number - source.first].split("\t"), field) for number in sentence.lines]


class _Reading:
    """One sentence while it is being read."""

    __slots__ = ("block", "covered", "first", "last", "line", "lost", "nodes", "numbers", "range", "tags", "words")

    def __init__(self) -> None:
        self.block: list[str] = []  # its lines so far, from line number `first`
        self.first = 0
        self.line = 0  # the line of its first row; 0: only comments and empty lines so far
        self.words: list[str] = []
        self.tags: list[str] = []
        self.numbers: list[int] = []
        self.last = 0  # id of the last word
        self.nodes = 0  # empty nodes since that word
        self.covered = 0  # the word at which the last range ends
        self.range = 0  # the line of that range
        self.lost = False  # whether a row was left out because it is broken

    def odd(self, fields: list[str], number: int, report: Reporter) -> bool:
        """Check a row that is not simply the next word; True if it is a word anyway (its fault is reported)."""
        self.line = self.line or number
        name = fields[0]
        if len(fields) != 10:
            found = f"found {len(fields)}"
            if len(fields) == 1 and len(name.split()) > 1:
                found = "found spaces and no TAB"
            report(f"expected 10 columns separated by TAB, {found}; write every column, with _ for none", number)
            wide = name.split(maxsplit=1)
            if wide and WORD.fullmatch(wide[0]):
                self.last, self.nodes = int(wide[0]), 0  # so that the next row is checked on its own
            self.lost = True
            return False
        if WORD.fullmatch(name):
            report(f"expected the id {self.last + 1}, found {name}; number the words of a sentence from 1", number, 1)
            self.last, self.nodes = int(name), 0
            return True
        if match := RANGE.fullmatch(name):
            start, end = int(match[1]), int(match[2])
            if start != self.last + 1 or start <= self.covered or end < start:
                report(
                    f"expected a range before its first word, not empty and not overlapping, found {name} after word "
                    f"{self.last}; fix the range or the ids",
                    number,
                    1,
                )
            self.covered, self.range = max(end, self.covered), number
        elif match := NODE.fullmatch(name):
            self.nodes += 1
            expected = f"{self.last}.{self.nodes}"
            if name != expected:
                report(f"expected the empty node to have the id {expected}, found {name}; fix the id", number, 1)
        else:
            self.lost = True
            report(f"expected an id such as 3, 3-4 or 8.1, found {shorten(name)}; fix the first column", number, 1)
        return False

    def close(self, file: str, tagged: bool, report: Reporter) -> Sentence:
        """The sentence, after the checks that are possible only at its end."""
        if self.covered > self.last:
            report(
                f"expected the range to end at a word of its sentence, found {self.covered} where the last word is "
                f"{self.last}; fix the range or add an empty line only after the whole sentence",
                self.range,
                1,
            )
        elif not self.words and not self.lost:
            report("expected a word in the sentence, found none; remove the sentence", self.line)
        if self.block[-1].strip():
            self.block.append("")
        line = self.numbers[0] if self.numbers else self.line
        source = Block(Conllu.name, self.first, self.block)
        return Sentence(self.words, self.tags if tagged else None, file, line, self.numbers, source)


def _start(fields: list[str], index: int) -> int:
    """The column, in characters from 1, at which a field begins."""
    return sum(map(len, fields[:index])) + index + 1


def get_key(field: str, key: str) -> str:
    """The value of a key in a field such as `Case=Nom|Number=Sing`; "_" without one."""
    for pair in field.split("|"):
        name, equals, value = pair.partition("=")
        if name == key and equals:
            return value or "_"
    return "_"


def set_key(field: str, key: str, value: str, in_order: bool) -> str:
    """The field with this one key changed; `in_order` sorts by key ignoring case, as FEATS must be.

    A field that already has this value is left as it is. A field that becomes empty is "_".
    """
    if get_key(field, key) == value:
        return field
    pairs = [] if field in ("_", "") else field.split("|")
    places = [place for place, pair in enumerate(pairs) if pair.partition("=")[0] == key]
    new = [] if value == "_" else [f"{key}={value}"]
    at = places[0] if places else len(pairs)
    pairs = pairs[:at] + new + [pair for pair in pairs[at:] if pair.partition("=")[0] != key]
    if in_order:
        pairs.sort(key=lambda pair: pair.partition("=")[0].lower())
    return "|".join(pairs) or "_"
