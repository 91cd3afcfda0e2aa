"""Check files of labelled texts before training: what they contain, and every problem with its location."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from elman.errors import DataError, UsageError, shorten
from elman.text.example import Example
from elman.text.files import Path, name_of
from elman.text.labelled import iter_examples
from elman.text.report import ExamplesReport, Problem, Severity, left_out
from elman.text.skipping import Skipped
from elman.text.tokenizing import Tokenizer, get_tokenizer

PLACES = 5  # duplicates and empty texts that are listed next to their count


def check_examples(
    paths: Sequence[Path],
    format: str | None = None,
    *,
    encoding: str = "utf-8",
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    header: bool | None = None,
    several: bool = False,
    separator: str | None = None,
    labelled: bool = True,
    tokenizer: Tokenizer | None = None,
    skip_broken: bool = False,
) -> ExamplesReport:
    """Read all the files, whatever they contain, and report.

    Options as for `elman.text.labelled.iter_examples`; lengths are in tokens of `tokenizer`, by default `words`. The
    other files are compared with the first, the training one.

        skip_broken: a broken example is a warning, and is not counted.
    Quantiles are lengths that occur (nearest rank); lists of lines hold the first few. Empty texts are counted, not
    compared. Raises UsageError for a wrong call, and for a file from which it is not clear which columns to read.
    """
    if isinstance(paths, str):
        raise UsageError(f"expected a list of files, found the single name {paths!r}; put it in a list")
    tokenizer = tokenizer or get_tokenizer("words")
    skipped = Skipped() if skip_broken else None
    report = ExamplesReport(skipped=skipped)
    problems = report.problems
    files = []
    for path in paths:
        file = _File(name_of(path), problems)
        examples = iter_examples(
            path,
            format,
            encoding=encoding,
            text_column=text_column,
            label_column=label_column,
            header=header,
            several=several,
            separator=separator,
            labelled=labelled,
            on_problem=file.add_error if skipped is None else None,
            skip_broken=skipped or False,
        )
        before = 0 if skipped is None else skipped.count
        try:
            file.examples.extend(examples)
        except DataError as error:
            file.add_error(error)
        else:
            problems += [] if skipped is None else left_out(skipped.problems[before:])
        file.describe(examples.how, tokenizer)
        files.append(file)
    for file in files[1:]:
        file.compare(files[0])
    report.duplicates = _duplicates(files)
    report.files = [file.report for file in files]
    report.sort()
    return report


class _File:
    """One file: its examples, as far as they could be read, and its part of the report."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name, self.problems = name, problems
        self.examples: list[Example] = []
        self.labels: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()
        self.report: dict[str, Any] = {}

    def add_error(self, error: DataError) -> None:
        """One more problem that a reader found."""
        self.problems.append(Problem("error", error.problem, self.name, error.line, error.column))

    def describe(self, how: dict[str, Any], tokenizer: Tokenizer) -> None:
        """Count."""
        for example in self.examples:
            self.labels.update(example.labels or ())
            self.characters.update(example.text)
        empty = [example.line for example in self.examples if not example.text.strip()]
        if empty:
            message = f"expected a text, found none (here; {len(empty)} in all); add one unless it is meant to be empty"
            self.add("warning", message, empty[0])
        ranked = sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))
        self.report = {
            "file": self.name,
            "reading": how,
            "examples": len(self.examples),
            "label_counts": {label: {"count": count, "share": count / len(self.examples)} for label, count in ranked},
            "unlabelled": sum(not example.labels for example in self.examples),
            "lengths": _lengths(self.examples, tokenizer) if self.examples else None,
            "empty_texts": {"count": len(empty), "lines": empty[:PLACES]},
            "new_labels": {},
            "new_characters": {},
        }

    def add(self, severity: Severity, message: str, line: int) -> None:
        """One more problem of this file."""
        self.problems.append(Problem(severity, message, self.name, line))

    def compare(self, first: _File) -> None:
        """Labels and characters that do not occur in the first file."""
        if not first.examples:
            return
        if first.labels:
            ranked = sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))
            self.report["new_labels"] = {label: count for label, count in ranked if label not in first.labels}
        wanted = set(self.report["new_labels"])
        for example in self.examples:
            for label in wanted.intersection(example.labels or ()):
                often = f"{shorten(label)} (here; {self.labels[label]} times in all)"
                message = f"expected a label that occurs in {first.name}, found {often}"
                self.add("warning", f"{message}; a model trained on it never predicts this one", example.line)
                wanted.remove(label)
        self.report["new_characters"] = {
            character: count
            for character, count in sorted(self.characters.items(), key=lambda item: (-item[1], item[0]))
            if character not in first.characters
        }


def _lengths(examples: list[Example], tokenizer: Tokenizer) -> dict[str, int]:
    lengths = [len(tokenizer.split(example.text)) for example in examples]
    ordered = sorted(lengths)
    return {
        "median": ordered[math.ceil(0.5 * len(ordered)) - 1],
        "p95": ordered[math.ceil(0.95 * len(ordered)) - 1],
        "maximum": ordered[-1],
        "longest_line": examples[lengths.index(ordered[-1])].line,
    }


def _duplicates(files: list[_File]) -> list[dict[str, Any]]:
    """A row for each pair of files that share texts; each contradiction is also a warning."""
    rows = []
    seen: list[dict[str, Example]] = []  # for each file: a text's first example
    for place, file in enumerate(files):
        own: dict[str, Example] = {}
        seen.append(own)
        repeats: dict[int, list[tuple[Example, Example]]] = {}
        for example in file.examples:
            if not example.text.strip():
                continue
            for earlier, texts in enumerate(seen):
                if example.text in texts:
                    repeats.setdefault(earlier, []).append((example, texts[example.text]))
            own.setdefault(example.text, example)
        for earlier in sorted(repeats, key=lambda one: (one != place, one)):
            pairs = repeats[earlier]
            against = [(one, other) for one, other in pairs if _contradict(one, other)]
            for one, other in against:
                where = f"{files[earlier].name}:{other.line}"
                message = (
                    f"expected the same labels as for the same text at {where}, found different ones; fix one of them"
                )
                file.add("warning", message, one.line)
            rows.append(
                {
                    "file": file.name,
                    "earlier": files[earlier].name,
                    "count": len(pairs),
                    "places": [[one.line, other.line] for one, other in pairs[:PLACES]],
                    "contradictory": len(against),
                }
            )
    return rows


def _contradict(one: Example, other: Example) -> bool:
    return one.labels is not None and other.labels is not None and set(one.labels) != set(other.labels)
