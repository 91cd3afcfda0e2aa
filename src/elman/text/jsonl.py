"""JSON lines: one object per line, `{"words": [...], "tags": [...]}` or `{"text": "..."}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from elman.errors import DataError, shorten
from elman.text.sentence import Block, Sentence, check_tags, reporter

SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


class _Fault(Exception):
    """What is wrong with a line, and at which index of it."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message, self.at = message, at


class _Value(NamedTuple):
    value: Any
    start: int
    end: int


@dataclass(slots=True)
class _Object(Block):
    """A block whose last line is the object; where its tags are or may be inserted."""

    span: tuple[int, int]
    lead: str


@dataclass
class JsonLines:
    """The format; `column` is the key of the tags. Tags are optional; other keys are kept, byte for byte.

    `words` is a list of words that are not empty; without it `text` is split at white space. An empty line is kept.
    An object without words is a sentence without words, so that every object has its answer in the output.
    """

    name: ClassVar[str] = "jsonl"
    column: str | None = "tags"

    def read(
        self, lines: Iterable[tuple[int, str]], file: str, *, on_problem: Callable[[DataError], None] | None = None
    ) -> Iterator[Sentence]:
        """See Format.read."""
        report = reporter(file, on_problem)
        block: list[str] = []
        number = 0
        for number, line in lines:
            block.append(line)
            if not line.strip(SPACE):
                continue
            first = number + 1 - len(block)
            try:
                sentence = self._sentence(line, Block(self.name, first, block))
            except _Fault as fault:
                report(fault.message, number, fault.at + 1)
            else:
                sentence.file, sentence.line, sentence.lines = file, number, [number] * len(sentence.words)
                yield sentence
            block = []
        if block:
            first = number + 1 - len(block)
            yield Sentence([], None, file, first, [], Block(self.name, first, block))

    def _sentence(self, line: str, block: Block) -> Sentence:
        keys, end = _object(line)
        if "words" in keys:
            words = _strings("words", keys["words"])
        elif "text" in keys:
            text, start, _ = keys["text"]
            if not isinstance(text, str) or not _whole(text):
                raise _Fault('expected a string for "text", found something else; put the sentence in quotes', start)
            words = text.split()
        else:
            raise _Fault('expected the key "words" or "text", found neither; add one', 0)
        tags = None
        if self.column is not None and self.column in keys and keys[self.column].value is not None:
            tags = _strings(self.column, keys[self.column])
            if len(tags) != len(words):
                message = f"expected {len(words)} tags, one for each word, found {len(tags)}; add or remove some"
                raise _Fault(message, keys[self.column].start)
        key = self.column or "tags"
        if key in keys:
            span, lead = keys[key][1:], ""
        else:
            span, lead = (end, end), f", {json.dumps(key)}: "
        return Sentence(words, tags, source=_Object(self.name, block.first, block.lines, span, lead))

    def write(self, sentence: Sentence, tags: list[str] | None) -> str:
        """See Format.write."""
        source = sentence.source
        if not (isinstance(source, Block) and source.format == self.name):
            tags = sentence.tags if tags is None else tags
            if tags is not None:
                check_tags(sentence, tags, "")
            answer = {"words": sentence.words} | ({} if tags is None else {self.column or "tags": tags})
            return _dump(answer) + "\n"
        if tags is None or not isinstance(source, _Object):
            return source.text()
        check_tags(sentence, tags, "")
        line = source.lines[-1]
        start, end = source.span
        line = line[:start] + source.lead + _dump(tags) + line[end:]
        return "\n".join([*source.lines[:-1], line]) + "\n"

    def columns_of(self, sentence: Sentence, *, tag: bool = False) -> list[int | None]:
        """See Format.columns_of. Unknown: JSON may spell one word in many ways."""
        return [None] * len(sentence.words)


def _object(line: str) -> tuple[dict[str, _Value], int]:
    """The keys of a line's object with their values and places, and the index at which another key may be inserted.

    The top level is parsed by hand, so that the tags can be changed without touching a byte of the rest.
    """
    keys: dict[str, _Value] = {}
    at = _skip(line, 0)
    if line[at : at + 1] != "{":
        raise _Fault(f"expected an object {{...}}, found {shorten(line[at:], 20)}; write one object per line", at)
    at = end = at + 1
    if line[_skip(line, at) : _skip(line, at) + 1] == "}":
        at = _skip(line, at)
    else:
        while True:
            start = _skip(line, at)
            key, at = _value(line, start)
            if not isinstance(key, str):
                raise _Fault("expected a key in quotes, found something else; put the key in quotes", start)
            if key in keys:
                raise _Fault(f"expected each key once, found {shorten(key)} again; remove one", start)
            at = _expect(line, at, ":")
            start = _skip(line, at)
            value, at = _value(line, start)
            keys[key] = _Value(value, start, at)
            end = at
            at = _skip(line, at)
            if line[at : at + 1] == "}":
                break
            at = _expect(line, at, ",")
    if line[at + 1 :].strip(SPACE):
        raise _Fault("expected the end of the line after the object, found more; write one object per line", at + 1)
    return keys, end


def _skip(line: str, at: int) -> int:
    while line[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _expect(line: str, at: int, mark: str) -> int:
    at = _skip(line, at)
    if line[at : at + 1] != mark:
        found = shorten(line[at : at + 1]) if line[at:] else "the end of the line"
        raise _Fault(f"expected {mark!r}, found {found}; fix the JSON", at)
    return at + 1


def _value(line: str, at: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(line, at)
    except json.JSONDecodeError as error:
        raise _Fault(f"expected JSON, found something else ({error.msg}); fix the JSON", error.pos) from error
    except (RecursionError, ValueError) as error:  # too deep; a number of too many digits
        raise _Fault(
            f"expected JSON that can be read, found a value that cannot be ({error}); make it smaller", at
        ) from error


def _strings(key: str, value: _Value) -> list[str]:
    if not isinstance(value.value, list):
        raise _Fault(f"expected a list of strings for {shorten(key)}, found something else; write [...]", value.start)
    for place, item in enumerate(value.value):
        if not isinstance(item, str) or not item or not _whole(item):
            wrong = f"found {shorten(str(item))} as item {place + 1}"
            raise _Fault(f"expected strings that are not empty in {shorten(key)}, {wrong}; fix it", value.start)
    return value.value


def _whole(text: str) -> bool:
    """False for half a surrogate pair, which JSON can express and no file can contain."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def set_key(line: str, key: str, value: object) -> str:
    """The line of an object that was already read, with this one key changed or added; the rest stays byte for byte."""
    keys, end = _object(line)
    if key in keys:
        _, start, end = keys[key]
        return line[:start] + _dump(value) + line[end:]
    return line[:end] + (", " if keys else "") + json.dumps(key) + ": " + _dump(value) + line[end:]
