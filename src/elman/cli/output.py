"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.text.skipping import Skipped

Cell = str | int | float | None


def emit_json(value: Any) -> None:
    """One JSON object on one line of standard output."""
    print(json_line(value), end="", flush=True)


def json_line(value: Any) -> str:
    """One JSON object on one line, for an output that may be a file."""
    import json

    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def note(text: str) -> None:
    """Print something that is not a result."""
    print(text, file=sys.stderr, flush=True)


def note_skipped(skipped: Skipped | None, where: str, what: str) -> None:
    """Print what was left out of `where` because it is broken. --quiet does not hide it."""
    if skipped is not None and skipped.count:
        note(f"{where}: {skipped.text(what)}")


def heading(text: str) -> None:
    """A line above a table, with an empty one before it."""
    print(f"\n{text}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table on standard output: drawn on a terminal, plain columns elsewhere, so that awk and less can read it.

    The first `left` columns are aligned to the left, the others, which are numbers, to the right.
    """
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _draw(header, rows, left)
        return
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(width(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = []
        for i, cell in enumerate(line):
            space = " " * (widths[i] - width(cell))
            cells.append(cell + space if i < left else space + cell)
        print("  ".join(cells).rstrip())


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))  # as Text, so that [brackets] stay what they are
    Console(file=sys.stdout, highlight=False).print(drawn)


def width(text: str) -> int:
    """How many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def short_names(files: Sequence[str]) -> dict[str, str]:
    """What files are called in tables: their base name if that tells them apart."""
    last = {file: file.rpartition("/")[2] for file in files}
    return last if len(set(last.values())) == len(last) else {file: file for file in files}


def percent(value: float | None) -> str:
    """A fraction as 95.12; an undefined one as a dash."""
    return "-" if value is None else f"{100 * value:.2f}"


def size(count: float) -> str:
    """A number of bytes, human-readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def shell(word: object) -> str:
    """A word as it must be typed in a shell."""
    import shlex

    return shlex.quote(str(word))
