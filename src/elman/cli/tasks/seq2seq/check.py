"""`elman check` of files of pairs: its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman.cli.output import heading, short_names, table

if TYPE_CHECKING:
    from elman.text.report import PairsReport

MOST = 20  # new symbols shown
KEYS = ("median", "p95", "maximum", "longest_line")


def print_report(report: PairsReport) -> None:
    """Counts, lengths, what later files have that the first lacks, duplicates."""
    parts = {file["file"]: file["parts"][1:] or file["parts"] for file in report.files}
    short = short_names([part for own in parts.values() for part in own])
    names = {file: "::".join(short[part] for part in own) for file, own in parts.items()}
    header = ["file", "format", "pairs", "sources", "several", "unanswered", "features", "empty", "no-target", "odd"]
    table(header, [_counts(file, names[file["file"]]) for file in report.files], left=2)
    heading("lengths in tokens, and symbols")
    rows = []
    for file in report.files:
        for side in ("source", "target"):
            lengths = file[f"{side}_lengths"] or {}
            cells = [str(lengths.get(key, "-")) for key in KEYS]
            rows.append([names[file["file"]], side, *cells, str(file[f"{side}_symbols"])])
    table(["file", "side", "median", "95%", "most", "in-line", "symbols"], rows, left=2)
    for file in report.files:
        for what in ("source_symbols", "target_symbols", "features"):
            if new := file[f"new_{what}"]:
                shown = " ".join(f"{symbol!r}" for symbol in list(new)[:MOST]) + (" ..." if len(new) > MOST else "")
                what = what.replace("_", " ")
                print(f"\n{what} of {names[file['file']]} that the first file does not have: {shown}")
    if report.duplicates:
        heading("sources that occur again, and with the same targets")
        rows = [
            [names[row["file"]], names[row["earlier"]], *map(str, (*row["places"][0], row["sources"], row["pairs"]))]
            for row in report.duplicates
        ]
        table(["file", "in", "line", "as-line", "sources", "pairs"], rows, left=2)


def _counts(file: dict[str, Any], name: str) -> list[str]:
    counts = [file[key] for key in ("pairs", "sources", "several_targets", "unanswered", "feature_count")]
    counts += [file[key]["count"] for key in ("empty_sources", "empty_targets", "odd_lengths")]
    return [name, str(file["reading"].get("format", "-")), *map(str, counts)]
