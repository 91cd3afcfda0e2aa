"""`elman check` of texts for a language model: its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.cli.output import heading, percent, table

if TYPE_CHECKING:
    from elman.text.report import TextReport

_ROWS = ("lines", "tokens", "characters", "empty_lines", "repeated_lines", "lines_of_the_first", "distinct_tokens")
_MORE = ("seen_once", "written_unknown", "median_length", "longest", "unknown_tokens")


def print_report(report: TextReport) -> None:
    """Counts, and what the first file lacks."""
    rows = [[name, *(_number(file[name]) for file in report.files)] for name in (*_ROWS, *_MORE)]
    rows.append(["unknown_share %", *(percent(file["unknown_share"]) for file in report.files)])
    table(["", *(file["file"] for file in report.files)], rows)
    for file in report.files:
        if file["frequent_unknown"]:
            heading(f"{file['file']}: the most frequent tokens that the first file lacks")
            print(" ".join(file["frequent_unknown"]))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"
