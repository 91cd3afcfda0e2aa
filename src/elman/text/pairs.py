"""The table of formats of pairs, and reading a file, or two parallel ones, in one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from operator import attrgetter
from typing import Any, cast

from elman.errors import UsageError
from elman.text.example import OnProblem
from elman.text.files import Path, open_text
from elman.text.pair import Pair, merge
from elman.text.pair_lines import BETWEEN, open_parallel, two_files
from elman.text.reading import ItemFormat, Items, Kind, Numbered, get_format, peek, suffix_of
from elman.text.skipping import Skipped

__all__ = ["PAIR_FORMATS", "Pair", "Pairs", "get_pair_format", "iter_pairs", "read_pairs"]

PAIR_FORMATS: dict[str, str] = {
    "tsv": "elman.text.pair_tables:PairTsv",
    "csv": "elman.text.pair_tables:PairCsv",
    "jsonl": "elman.text.pair_json:JsonPairs",
    "parallel": "elman.text.pair_lines:Parallel",
    "scan": "elman.text.pair_lines:Scan",
    "text": "elman.text.pair_lines:SourceLines",
}
# The reader reports a .json file that is not lines of objects.
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
COLUMNS = ("source_column", "target_column", "features_column", "features_separator", "header", "separator")


def get_pair_format(name: str, **options: Any) -> ItemFormat[Pair]:
    """The format of this name with these options; those that are None count as omitted.

    Raises UsageError, with the nearest real name, for unknown ones.
    """
    return cast(ItemFormat[Pair], get_format(PAIR_FORMATS, name, options))


class Pairs(Items[Pair]):
    """The pairs of a file, one by one, and `how` it is read; see `Items`.

    With several right targets, the rows of one source with the same features are one pair, which is known only at the
    end of the file; not so in input for prediction, where every row is answered. `merged=False` leaves them apart.
    """

    def __init__(
        self,
        path: Path,
        format: str | None,
        encoding: str,
        options: dict[str, Any],
        *,
        merged: bool = True,
        allow_empty: bool = False,
        on_problem: OnProblem | None = None,
        skip_broken: bool | Skipped = False,
    ) -> None:
        answered = options["answered"]
        if format is None and BETWEEN in os.fspath(path):
            format = "parallel"
        elif format == "parallel" and not answered and BETWEEN not in os.fspath(path):
            format = "text"
        if format == "parallel":
            two_files(path)
        kind = Kind("pair", "pairs", get_pair_format, _guess, attrgetter("block"), _open)
        super().__init__(
            kind,
            path,
            format,
            encoding,
            options,
            allow_empty=allow_empty,
            on_problem=on_problem,
            skip_broken=skip_broken,
        )
        if merged and options["several"] and answered:
            self._steps = _merged(self._steps)


def _merged(steps: Any) -> Iterator[Pair]:
    with closing(steps):
        yield from merge(steps)


def iter_pairs(
    path: Path,
    format: str | None = None,
    *,
    encoding: str = "utf-8",
    source_column: str | int | None = None,
    target_column: str | int | None = None,
    features_column: str | int | None = None,
    features_separator: str | None = None,
    header: bool | None = None,
    several: bool = False,
    separator: str | None = None,
    answered: bool = True,
    allow_empty: bool = False,
    on_problem: OnProblem | None = None,
    skip_broken: bool | Skipped = False,
) -> Pairs:
    """Read a file of sources and targets pair by pair.

    path                the file, or SOURCE_FILE::TARGET_FILE for two whose lines belong together
    format              a name of PAIR_FORMATS. None: two files are parallel, and one goes by its suffix; without a
                        known one it is tsv if its first line that is not empty has a tab, and text, one source per
                        line, with `answered=False` if no column is chosen
    source_column, target_column, features_column
                        where they are, in tsv, csv (names, or numbers from 1) and jsonl (keys)
    features_separator  separates the features in their cell (";")
    header              whether a table's first row names the columns; None: see pair_tables.py
    several, separator  a source has any number of right targets: rows with the same source and features are one pair,
                        which is yielded after the end of the file; a cell is split at the separator ("|")
    answered            False: targets may be missing, as in input for prediction, and every row is a pair
    allow_empty         a file without pairs is not an error
    on_problem          is passed each fault instead of its being raised; the pair is left out, but what is not a
                        character, or is NUL, is read as U+FFFD
    skip_broken         leaves out every pair that has a fault; see `elman.text.labelled.iter_examples`

    Raises DataError, with the location, at the first fault; UsageError for options that do not fit, and for a file
    from which it is not clear how to read it.
    """
    options = {
        "source_column": source_column,
        "target_column": target_column,
        "features_column": features_column,
        "features_separator": features_separator,
        "header": header,
        "several": several,
        "separator": separator,
        "answered": answered,
    }
    return Pairs(
        path,
        format,
        encoding,
        options,
        allow_empty=allow_empty,
        on_problem=on_problem,
        skip_broken=skip_broken,
    )


def read_pairs(
    path: Path,
    format: str | None = None,
    *,
    encoding: str = "utf-8",
    source_column: str | int | None = None,
    target_column: str | int | None = None,
    features_column: str | int | None = None,
    features_separator: str | None = None,
    header: bool | None = None,
    several: bool = False,
    separator: str | None = None,
    answered: bool = True,
    allow_empty: bool = False,
    skip_broken: bool | Skipped = False,
) -> list[Pair]:
    """All the pairs of a file; see `iter_pairs`."""
    return list(
        iter_pairs(
            path,
            format,
            encoding=encoding,
            source_column=source_column,
            target_column=target_column,
            features_column=features_column,
            features_separator=features_separator,
            header=header,
            several=several,
            separator=separator,
            answered=answered,
            allow_empty=allow_empty,
            skip_broken=skip_broken,
        )
    )


def _open(
    path: Path, encoding: str, on_problem: OnProblem | None, format: str | None
) -> AbstractContextManager[Numbered]:
    if format == "parallel":
        return open_parallel(path, encoding, on_problem)
    return open_text(path, encoding, on_problem=on_problem)


def _guess(path: Path, lines: Numbered, options: dict[str, Any]) -> tuple[str, Numbered]:
    """The name of the format, and the lines again from the first."""
    if (suffix := suffix_of(path)) in SUFFIXES:
        return SUFFIXES[suffix], lines
    line, lines = peek(lines)
    if any(options[option] is not None for option in COLUMNS):
        return "tsv", lines
    if not options["answered"]:
        return "text", lines
    if "\t" in line or not line.strip():  # without a line there is nothing to read in any format
        return "tsv", lines
    raise UsageError(
        f"{os.fspath(path)}: expected a suffix or a tab in the first line that shows the format, found neither; "
        f"choose it with --format ({', '.join(PAIR_FORMATS)})"
    )
