"""The table of formats of labelled texts, and reading a file in one of them."""

from __future__ import annotations

from typing import Any, cast

from elman.text.example import LABEL_NAMES, TEXT_NAMES, Example, OnProblem, pick
from elman.text.files import Path
from elman.text.reading import ItemFormat, Items, Kind, Numbered, get_format, peek, suffix_of
from elman.text.skipping import Skipped

__all__ = [
    "EXAMPLE_FORMATS",
    "Example",
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


Examples = Items[Example]  # what iter_examples returns


def get_example_format(name: str, **options: Any) -> ItemFormat[Example]:
    """The format of this name with these options; those that are None count as omitted.

    Raises UsageError, with the nearest real name, for unknown ones.
    """
    return cast(ItemFormat[Example], get_format(EXAMPLE_FORMATS, name, options))


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
    return Items(
        Kind("text", "examples", get_example_format, _guess),
        path,
        format,
        encoding,
        options,
        allow_empty=allow_empty,
        on_problem=on_problem,
        skip_broken=skip_broken,
    )


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


def _guess(path: Path, lines: Numbered, options: dict[str, Any]) -> tuple[str, Numbered]:
    """The name of the format, and the lines again from the first."""
    if (suffix := suffix_of(path)) in SUFFIXES:
        return SUFFIXES[suffix], lines
    line, lines = peek(lines)
    return _look(line, options), lines


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
