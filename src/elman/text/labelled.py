"""The table of formats of labelled texts, and reading a file in one of them."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any, Protocol, cast

from elman.errors import DataError, UsageError, nearest
from elman.text.example import LABEL_NAMES, TEXT_NAMES, Example, Layout, OnProblem, pick
from elman.text.files import Path, name_of, open_text
from elman.text.skipping import Sieve, Skipped

__all__ = [
    "EXAMPLE_FORMATS",
    "Example",
    "ExampleFormat",
    "Examples",
    "get_example_format",
    "iter_examples",
    "read_examples",
]

EXAMPLE_FORMATS: dict[str, str] = {
    "csv": "elman.text.delimited:Csv",
    "tsv": "elman.text.delimited:Tsv",
    "jsonl": "elman.text.json_examples:JsonExamples",
    "label": "elman.text.label_lines:LabelLines",
    "fasttext": "elman.text.label_lines:FastText",
    "text": "elman.text.label_lines:TextLines",
}
# The reader reports a .json file that is not lines of objects.
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".ft": "fasttext"}


class ExampleFormat(Protocol):
    """A file format for labelled texts. A format is a dataclass; its fields are its options."""

    name: str

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Example]:
        """Yield the examples of numbered lines as soon as each is complete.

        A problem is raised as DataError; `on_problem` is passed it instead, the faulty example is left out and reading
        continues as far as it can. `on_layout` is passed, before the first example, the options that the file itself
        determines. Raises UsageError where it is not clear from the file which columns to read.
        """
        ...


def get_example_format(name: str, **options: Any) -> ExampleFormat:
    """The format of this name with these options; those that are None count as omitted.

    Raises UsageError, with the nearest real name, for unknown ones.
    """
    if name not in EXAMPLE_FORMATS:
        raise UsageError(f"unknown format {name!r}; {nearest(name, EXAMPLE_FORMATS)}")
    module, _, attribute = EXAMPLE_FORMATS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    known = [field.name for field in fields(kind)]
    options = {option: value for option, value in options.items() if value is not None}
    for option in options:
        if option not in known:
            raise UsageError(f"the format {name} has no option {option!r}; leave it out, or choose another format")
    return cast(ExampleFormat, kind(**options))


class Examples(Iterator[Example]):
    """The examples of a file, one by one, and `how` it is read.

    `how` is complete once the first example has been yielded (or the end is reached): a plain dict of the format's name
    and all its options. `read_examples(other, **how)` reads another file in the same way. `header_lines` are those
    of the row that names a table's columns, unchanged; complete at the same time.
    """

    def __init__(self, path: Path, format: str | None, encoding: str, options: dict[str, Any], **rest: Any) -> None:
        self.how: dict[str, Any] = {}
        self.header_lines: list[str] = []
        if format is not None:
            get_example_format(format, **options)  # a wrong call is reported here, not at the first example
        self._steps = self._read(path, format, encoding, options, **rest)

    def __next__(self) -> Example:
        return next(self._steps)

    def close(self) -> None:
        """Close the file before its end."""
        self._steps.close()

    def _read(
        self,
        path: Path,
        format: str | None,
        encoding: str,
        options: dict[str, Any],
        allow_empty: bool,
        on_problem: OnProblem | None,
        skip_broken: bool | Skipped,
    ) -> Any:
        reported, name = False, name_of(path)
        sieve = None if skip_broken is False else Sieve(skip_broken, "text")

        def report(problem: DataError) -> None:
            nonlocal reported
            reported = True
            assert on_problem is not None
            on_problem(problem)

        def settled(layout: dict[str, Any]) -> None:
            if "header" in layout and sieve is not None:
                sieve.require_none()  # the first row of a table determines how the others are read
            self.header_lines = layout.pop("header_lines", [])
            self.how.update(layout)

        reporter = sieve.report if sieve is not None else None if on_problem is None else report
        count = 0
        with open_text(path, encoding, on_problem=reporter) as lines:
            if format is None:
                format, lines = _guess(path, lines, options)
            reader = get_example_format(format, **options)
            self.how.update({"format": format, "encoding": encoding, **asdict(cast(Any, reader))})
            examples = reader.read(lines, name, on_problem=reporter, on_layout=settled)
            for example in examples if sieve is None else sieve.whole(lambda: examples, fault=None):
                count += 1
                yield example
        if sieve is not None:
            sieve.finish(count)
        if not count and not allow_empty and not reported:
            problem = DataError("expected examples, found none in the whole file; check the path", file=name, line=1)
            if on_problem is None:
                raise problem
            on_problem(problem)


def iter_examples(
    path: Path,
    format: str | None = None,
    *,
    encoding: str = "utf-8",
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    header: bool | None = None,
    several: bool = False,
    separator: str | None = None,
    labelled: bool = True,
    allow_empty: bool = False,
    on_problem: OnProblem | None = None,
    skip_broken: bool | Skipped = False,
) -> Examples:
    """Read a file of labelled texts example by example.

    format                      a name of EXAMPLE_FORMATS. None goes by the suffix and, where that is not enough, by the
                                first line that is not empty: `{` is jsonl, `__label__` fasttext, usual column names
                                separated by commas csv, a tab tsv, anything else label (text with `labelled=False`).
    text_column, label_column   where they are, in csv, tsv (names, or numbers from 1) and jsonl (keys)
    header                      whether a table's first row names the columns; None: see delimited.py
    several, separator          an example has any number of labels; a cell of them is split at the separator ("|")
    labelled                    False: labels may be missing, as in input for prediction
    allow_empty                 a file without examples is not an error
    on_problem                  is passed each fault instead of its being raised; the example is left out, but what
                                is not a character, or is NUL, is read as U+FFFD
    skip_broken                 leaves out every example that has a fault, and warns of them at the end; a `Skipped`
                                counts them instead. What is not confined to one example, such as bytes that are
                                invalid in this encoding or an unclosed quote, is still an error, and so is a file with
                                more broken examples than whole ones. Not together with on_problem

    Raises DataError, with the location, at the first fault; UsageError for options that do not fit, and for a file
    from which it is not clear which columns to read.
    """
    options = {
        "text_column": text_column,
        "label_column": label_column,
        "header": header,
        "several": several,
        "separator": separator,
        "labelled": labelled,
    }
    if skip_broken is not False and on_problem is not None:
        raise UsageError("skip_broken and on_problem: expected one of them, found both")
    more = {"allow_empty": allow_empty, "on_problem": on_problem, "skip_broken": skip_broken}
    return Examples(path, format, encoding, options, **more)


def read_examples(
    path: Path,
    format: str | None = None,
    *,
    encoding: str = "utf-8",
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    header: bool | None = None,
    several: bool = False,
    separator: str | None = None,
    labelled: bool = True,
    allow_empty: bool = False,
    skip_broken: bool | Skipped = False,
) -> list[Example]:
    """All the examples of a file; see `iter_examples`."""
    return list(
        iter_examples(
            path,
            format,
            encoding=encoding,
            text_column=text_column,
            label_column=label_column,
            header=header,
            several=several,
            separator=separator,
            labelled=labelled,
            allow_empty=allow_empty,
            skip_broken=skip_broken,
        )
    )


def _guess(
    path: Path, lines: Iterator[tuple[int, str]], options: dict[str, Any]
) -> tuple[str, Iterator[tuple[int, str]]]:
    """The name of the format, and the lines again from the first."""
    suffix = os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))[1]
    if suffix in SUFFIXES:
        return SUFFIXES[suffix], lines
    held = []
    for number, line in lines:
        held.append((number, line))
        if line.strip():
            break
    return _look(held[-1][1] if held else "", options), itertools.chain(held, lines)


def _look(line: str, options: dict[str, Any]) -> str:
    columns = any(options.get(option) is not None for option in ("text_column", "label_column", "header"))
    cells = [cell.strip('"') for cell in line.split(",")]
    if line.lstrip().startswith("{"):
        return "jsonl"
    if line.lstrip().startswith("__label__") and not columns:
        return "fasttext"
    if pick(cells, TEXT_NAMES) is not None and pick(cells, LABEL_NAMES) is not None:
        return "csv"
    if "\t" in line and (columns or options["labelled"]):
        return "tsv"
    return "csv" if columns else "label" if options["labelled"] else "text"
