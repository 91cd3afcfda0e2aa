"""The task that a file is for, by its format, its name and its first lines."""

from __future__ import annotations

import os
from itertools import islice

from elman.cli.output import note
from elman.errors import DataError, UsageError

LOOKED_AT = 200  # lines at the beginning of a file


def by_file(file: str, format: str | None, encoding: str) -> str:
    """The name of a task; a guess that is not obvious is reported. Raises UsageError if it cannot be determined."""
    name = format or os.path.splitext(file.lower().removesuffix(".gz"))[1].removeprefix(".")
    if name in ("csv", "label", "fasttext", "ft"):
        task = "classify"
    elif name in ("tsv", "jsonl", "ndjson"):
        task = _by_content(file, name, encoding)
    else:
        return "tag"
    if task == "classify":
        note(f"elman: {file}: read as texts with labels; --task tag reads it as words with tags")
    return task


def _by_content(file: str, name: str, encoding: str) -> str:
    """For a file that may be either: the first lines decide."""
    from elman.text.files import name_of, open_text, readable_again

    if not readable_again(file):
        raise UsageError(f"--task is missing: {name_of(file)} as {name} may be words with tags or texts with labels")
    lines: list[str] = []
    try:
        with open_text(file, encoding, on_problem=lambda problem: None) as source:
            lines += [line for _, line in islice(source, LOOKED_AT)]
    except DataError:
        return "tag"  # whose report says what is wrong with the file
    rows = [line for line in lines if line.strip()]
    if name != "tsv":
        keys = [all(f'"{key}"' not in line for key in ("words", "tokens", "tags")) for line in rows]
        return "classify" if keys and all(keys) else "tag"
    if len(rows) < len(lines):  # an empty line ends a sentence
        return "tag"
    if any(" " in cell.strip() for line in rows for cell in line.split("\t")):
        return "classify"
    if rows and len(lines) == LOOKED_AT:
        raise UsageError(f"{file}: --task is missing: it may be words with tags or texts with labels (tag, classify)")
    return "tag"
