"""The table of file formats, and reading a file in one of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, Protocol, cast

from elman.errors import DataError, UsageError, nearest
from elman.text.files import Path, name_of, open_text
from elman.text.sentence import Sentence
from elman.text.skipping import Sieve, Skipped

FORMATS: dict[str, str] = {
    "conllu": "elman.text.conllu:Conllu",
    "columns": "elman.text.columns:Columns",
    "text": "elman.text.plain:PlainText",
    "jsonl": "elman.text.jsonl:JsonLines",
}
SUFFIXES = {".conllu": "conllu", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text"}
# `name.conll.txt` is a column file that was given .txt so that a browser shows it.
COLUMN_SUFFIXES = {".conll", ".bio", ".iob", ".iob2", ".bioes", ".tsv"}


class Format(Protocol):
    """A file format for sentences. A format is a dataclass; its fields are its options."""

    name: str

    def read(
        self, lines: Iterable[tuple[int, str]], file: str, *, on_problem: Callable[[DataError], None] | None = None
    ) -> Iterator[Sentence]:
        """Yield the sentences of numbered lines as soon as each is complete.

        A last Sentence without words carries what follows the last sentence, so that writing all of them reproduces the
        file. A problem is raised as DataError; `on_problem` is passed it instead, the faulty line is left out of the
        sentence and reading continues.
        """
        ...

    def write(self, sentence: Sentence, tags: list[str] | None) -> str:
        """The sentence's text, its end included: with `tags` in place of its own, or unchanged for None.

        Everything else is kept byte for byte, but line ends are LF and a missing final one is added. A sentence read by
        another format, or by none, is written from scratch. Raises UsageError for tags that do not fit.
        """
        ...

    def columns_of(self, sentence: Sentence, *, tag: bool = False) -> list[int | None]:
        """Where in its line each word begins, or its tag, in characters from 1; None where that is unknown."""
        ...


def get_format(name: str, **options: Any) -> Format:
    """The format of this name with these options. Raises UsageError, with the nearest real name, for unknown ones."""
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}; {nearest(name, FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    known = [field.name for field in fields(kind)]
    for option in options:
        if option not in known:
            raise UsageError(f"the format {name} has no option {option!r}; {nearest(option, known)}")
    return cast(Format, kind(**options))


def guess_format(path: Path) -> str:
    """The name of the format that a file's suffix suggests; `columns` where it suggests none."""
    stem, suffix = os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))
    if suffix == ".txt" and os.path.splitext(stem)[1] in COLUMN_SUFFIXES:
        return "columns"
    return SUFFIXES.get(suffix, "columns")


def iter_read(
    path: Path,
    format: str | Format | None = None,
    *,
    encoding: str = "utf-8",
    column: str | int | None = None,
    allow_empty: bool = False,
    wordless: bool = False,
    tagged: bool = False,
    skip_broken: bool | Skipped = False,
    **options: Any,
) -> Iterator[Sentence]:
    """Read a file sentence by sentence.

    `format` is a name, a Format, or None to go by the suffix. `column` is where the tags are, None for the format's
    usual one; `options` are the format's. To read only words pass `get_format(name, column=None)`.
    `wordless` also yields what has no words: an empty line's sentence of JSON lines, and what follows the last sentence
    (see Format.read), for programs that write the file again.
    `tagged`: a sentence without tags is an error. `skip_broken` leaves out every sentence that has a fault, entirely,
    and warns of them at the end; a `Skipped` counts them instead, over all the files it is passed for. What is not
    confined to one sentence, such as bytes that are invalid in this encoding, is still an error, and so is a file with
    more broken sentences than whole ones.
    Raises DataError, with the location, at the first fault, and for a file without words unless `allow_empty`.
    """
    if format is None or isinstance(format, str):
        if column is not None:
            options["column"] = column
        reader = get_format(guess_format(path) if format is None else format, **options)
    elif options or column is not None:
        raise UsageError("a Format already has its options; pass them where it is created")
    else:
        reader = format
    sieve = None if skip_broken is False else Sieve(skip_broken, "sentence")
    return _read(path, reader, encoding, allow_empty, wordless, tagged, sieve)


def _read(
    path: Path, reader: Format, encoding: str, allow_empty: bool, wordless: bool, tagged: bool, sieve: Sieve | None
) -> Iterator[Sentence]:
    count = 0
    fault = untagged if tagged else None
    report = None if sieve is None else sieve.report
    with open_text(path, encoding, on_problem=report) as lines:
        for sentence in sentences(reader, lines, name_of(path), fault, sieve):
            if sentence.words:
                count += 1
            elif not wordless:
                continue
            yield sentence
    if sieve is not None:
        sieve.finish(count)
    if not count and not allow_empty:
        raise DataError("expected sentences, found no words in the whole file", file=name_of(path))


def sentences(
    reader: Format,
    lines: Iterator[tuple[int, str]],
    file: str,
    fault: Callable[[Sentence], DataError | None] | None,
    sieve: Sieve | None,
) -> Iterator[Sentence]:
    """The sentences of numbered lines; with a sieve, only the whole ones. `fault` finds what a reader cannot."""
    if sieve is not None:
        yield from sieve.whole(lambda: reader.read(lines, file, on_problem=sieve.report), again=True, fault=fault)
        return
    for sentence in reader.read(lines, file):
        if fault is not None and (problem := fault(sentence)):
            raise problem
        yield sentence


def untagged(sentence: Sentence) -> DataError | None:
    """What is wrong with a sentence that has no tags where there must be some; None if nothing is."""
    if sentence.tags is not None or not sentence.words:
        return None
    message = "expected a tag for every word, found none; name the column that contains them"
    return DataError(message, file=sentence.file, line=sentence.line)


def read(
    path: Path,
    format: str | Format | None = None,
    *,
    encoding: str = "utf-8",
    column: str | int | None = None,
    allow_empty: bool = False,
    wordless: bool = False,
    tagged: bool = False,
    skip_broken: bool | Skipped = False,
    **options: Any,
) -> list[Sentence]:
    """All the sentences of a file; see `iter_read`."""
    return list(
        iter_read(
            path,
            format,
            encoding=encoding,
            column=column,
            allow_empty=allow_empty,
            wordless=wordless,
            tagged=tagged,
            skip_broken=skip_broken,
            **options,
        )
    )
