"""`elman check` of files of labelled texts: its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.cli.output import heading, percent, short_names, table

if TYPE_CHECKING:
    from elman.text.report import ExamplesReport

MOST = 20  # new characters shown


def print_report(report: ExamplesReport) -> None:
    """Counts, labels, new characters, duplicates."""
    names = short_names([file["file"] for file in report.files])
    rows = []
    for file in report.files:
        lengths = file["lengths"] or {}
        counts = [str(lengths.get(key, "-")) for key in ("median", "p95", "maximum", "longest_line")]
        rows.append(
            [
                names[file["file"]],
                str(file["reading"].get("format", "-")),
                str(file["examples"]),
                str(len(file["label_counts"])),
                str(file["unlabelled"]),
                str(file["empty_texts"]["count"]),
                *counts,
            ]
        )
    header = ["file", "format", "texts", "labels", "unlabelled", "empty", "tokens", "95%", "most", "in-line"]
    table(header, rows, left=2)
    heading("labels, and their share of the texts in %")
    labels = list(dict.fromkeys(label for file in report.files for label in file["label_counts"]))
    rows = []
    for label in labels:
        row = [label]
        for file in report.files:
            counted = file["label_counts"].get(label, {"count": 0, "share": 0.0})
            row += [str(counted["count"]), percent(counted["share"])]
        rows.append(row)
    table(["label", *(cell for file in report.files for cell in (names[file["file"]], "%"))], rows)
    for file in report.files:
        if file["new_characters"]:
            shown = " ".join(f"{c!r}" for c in list(file["new_characters"])[:MOST])
            more = " ..." if len(file["new_characters"]) > MOST else ""
            print(f"\ncharacters of {names[file['file']]} that the first file does not have: {shown}{more}")
    if report.duplicates:
        heading("duplicate texts")
        table(
            ["file", "in", "line", "as-line", "count", "other-labels"],
            [
                [
                    names[row["file"]],
                    names[row["earlier"]],
                    *map(str, row["places"][0]),
                    str(row["count"]),
                    str(row["contradictory"]),
                ]
                for row in report.duplicates
            ],
            left=2,
        )
