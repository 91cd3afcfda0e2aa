"""`elman check` of files of words with tags: its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from elman.cli.output import heading, percent, short_names, table

if TYPE_CHECKING:
    from elman.text.report import TagReport


def print_report(report: TagReport) -> None:
    """Counts, unknown words, lengths, tags, duplicates."""
    names = short_names([file.file for file in report.files])
    table(
        ["file", "format", "sentences", "words", "types", "tags"],
        [
            [
                names[file.file],
                file.format,
                str(file.sentences),
                str(file.words),
                str(file.types),
                str(len(file.tags)),
            ]
            for file in report.files
        ],
        left=2,
    )
    _unknown(report, names)
    _lengths(report, names)
    _tags(report, names)
    if report.duplicates:
        heading("duplicate sentences")
        rows = []
        for twice in report.duplicates:
            line, earlier = twice.places[0]
            rows.append([names[twice.file], names[twice.earlier], str(line), str(earlier), str(twice.count)])
        table(["file", "in", "line", "as-line", "count"], rows, left=2)


def _unknown(report: TagReport, names: Mapping[str, str]) -> None:
    rows = [
        [names[file.file], str(of.words), percent(of.word_rate), str(of.types), percent(of.type_rate)]
        for file in report.files
        if (of := file.unknown) is not None
    ]
    if rows:
        heading(f"unknown words: not in {names[report.files[0].file]}")
        table(["file", "words", "words-%", "types", "types-%"], rows)


def _lengths(report: TagReport, names: Mapping[str, str]) -> None:
    files = [(file, file.lengths) for file in report.files if file.lengths is not None]
    if not files:
        return
    heading("words per sentence")
    table(
        ["file", "mean", "least", "median", "90%", "99%", "most", "in-line"],
        [
            [
                names[file.file],
                f"{of.mean:.1f}",
                *(str(n) for n in (of.minimum, of.median, of.p90, of.p99, of.maximum, of.longest_line)),
            ]
            for file, of in files
        ],
    )
    spans = max((of.histogram for _, of in files), key=len)
    print()
    table(
        ["length", *(names[file.file] for file, _ in files)],
        [[span, *(str(of.histogram.get(span, 0)) for _, of in files)] for span in spans],
    )


def _tags(report: TagReport, names: Mapping[str, str]) -> None:
    files = [file for file in report.files if file.tags]
    if not files:
        return
    heading("tags" if report.scheme is None else f"tags (scheme {report.scheme})")
    tags = list(dict.fromkeys(tag for file in files for tag in file.tags))
    table(
        ["tag", *(names[file.file] for file in files)],
        [[tag, *(str(f.tags.get(tag, 0)) for f in files)] for tag in tags],
    )
