"""`elman check --task classify`: what is in files of labelled texts, and all that is wrong with them."""

from __future__ import annotations

from typing import Any

from elman.cli.output import emit_json, heading, note_skipped, percent, table

MOST = 20  # new characters that are shown


def check_classify(
    files: tuple[str, ...],
    format_name: str | None,
    encoding: str | None,
    texts: dict[str, Any],
    skip_broken: bool,
    as_json: bool,
) -> bool:
    """Print the report; whether there is no error."""
    from elman.text.check_labelled import check_examples
    from elman.text.skipping import Skipped

    skipped = Skipped() if skip_broken else None
    report = check_examples(files, format_name, encoding=encoding or "utf-8", skip_broken=skipped or False, **texts)
    note_skipped(skipped, "elman check", "text")
    if as_json:
        emit_json(report)
    else:
        _print(report)
    return bool(report["ok"])


def _print(report: dict[str, Any]) -> None:
    names = _names([file["file"] for file in report["files"]])
    rows = []
    for file in report["files"]:
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
    labels = list(dict.fromkeys(label for file in report["files"] for label in file["label_counts"]))
    rows = []
    for label in labels:
        row = [label]
        for file in report["files"]:
            found = file["label_counts"].get(label, {"count": 0, "share": 0.0})
            row += [str(found["count"]), percent(found["share"])]
        rows.append(row)
    table(["label", *(cell for file in report["files"] for cell in (names[file["file"]], "%"))], rows)
    for file in report["files"]:
        if file["new_characters"]:
            shown = " ".join(f"{c!r}" for c in list(file["new_characters"])[:MOST])
            more = " ..." if len(file["new_characters"]) > MOST else ""
            print(f"\ncharacters of {names[file['file']]} that the first file does not have: {shown}{more}")
    if report["duplicates"]:
        heading("texts that are there already")
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
                for row in report["duplicates"]
            ],
            left=2,
        )
    if report["problems"]:
        heading("problems")
    for one in report["problems"]:
        where = ":".join(str(part) for part in (one["file"], one["line"], one["column"]) if part is not None)
        print(f"{where}: {'warning: ' if one['severity'] == 'warning' else ''}{one['message']}")
    print(f"\n{_count(report['errors'], 'error')}, {_count(report['warnings'], 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _names(files: list[str]) -> dict[str, str]:
    """What the files are called in tables: their last name where that tells them apart."""
    last = {file: file.rpartition("/")[2] for file in files}
    return last if len(set(last.values())) == len(last) else {file: file for file in files}
