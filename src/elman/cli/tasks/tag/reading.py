"""How a command reads its files: as asked for, otherwise by the file's name, otherwise as in training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elman.errors import UsageError
from elman.text import Sentence, get_format, guess_format
from elman.text.formats import COLUMN_SUFFIXES, SUFFIXES, Format


@dataclass(frozen=True)
class Asked:
    """The options of a command that say how files are to be read; None: not given."""

    format: str | None = None
    column: str | None = None
    word: int | None = None
    encoding: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """From the options of a command, or the keys of a training's data."""
        column = None if given.get("column") is None else str(given["column"])
        return cls(given.get("format"), column, given.get("word_column"), given.get("encoding"))


@dataclass(frozen=True)
class Reading:
    """How one file is read."""

    format: Format
    encoding: str


def tagged(path: str, asked: Asked, trained: Mapping[str, Any] | None = None) -> Reading:
    """For a file with gold or predicted tags. `trained` is the `reading` of a model: the defaults.

    A `.txt` file means columns here, because plain text has no tags. Raises UsageError for options that do not fit.
    """
    trained = trained or {}
    name = asked.format or _by_suffix(path) or trained.get("format") or "columns"
    if name == "text" and asked.format is None:
        name = trained.get("format") or "columns"
    if name == "text":
        raise UsageError("plain text has no tags; give --format conllu, columns or jsonl")
    return _reading(name, asked, trained)


def untagged(path: str, asked: Asked, trained: Mapping[str, Any]) -> Reading:
    """For a file that is to be tagged; standard input without a format is plain text.

    Raises UsageError if it is unknown which column the tags should go to.
    """
    was = trained.get("format")
    name = asked.format or ("text" if path == "-" else _by_suffix(path) or was or "columns")
    if name == "text" and asked.format is None and path != "-" and was == "columns":
        raise UsageError(f"{path}: expected to know what a .txt file holds; give --format text or --format columns")
    if name != was and asked.column is None:
        if name == "conllu":
            raise UsageError(
                f"{path}: this tagger was not trained on CoNLL-U; name the column that takes its tags, "
                "such as --column upos or --column misc:Tag"
            )
        if name == "columns":  # put after the last column: no other is known to hold such tags
            return Reading(get_format("columns", word=asked.word or 1, column=None), asked.encoding or "utf-8")
    return _reading(name, asked, trained, optional=True)


def _by_suffix(path: str) -> str | None:
    """The format that a name implies, None if it implies none."""
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    return guess_format(path) if suffix in SUFFIXES or suffix in COLUMN_SUFFIXES else None


def _reading(name: str, asked: Asked, trained: Mapping[str, Any], *, optional: bool = False) -> Reading:
    like = trained if trained.get("format") == name else {}
    options: dict[str, Any] = {}
    column = like.get("column") if asked.column is None else asked.column
    if column is not None:
        options["column"] = column
    word = like.get("word") if asked.word is None else asked.word
    if word is not None:
        options["word"] = word
    if name == "columns" and optional:
        options["optional"] = True
    if "word" in options and name != "columns":
        raise UsageError(f"--word-column is for files of columns; the format here is {name}")
    return Reading(get_format(name, **options), asked.encoding or like.get("encoding") or "utf-8")


def describe(reading: Reading, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """What a model stores about how its training data was read. Columns counted from the end become counted from 1, so
    that a file that lacks the last one is not misread."""
    values: dict[str, Any] = {"format": reading.format.name, "encoding": reading.encoding}
    column = getattr(reading.format, "column", None)
    layout = getattr(sentences[0].source, "layout", None) if sentences else None
    if layout is not None and layout.tag is not None:
        values["word"], column = layout.word + 1, layout.tag + 1
    if column is not None:
        values["column"] = column
    return values
