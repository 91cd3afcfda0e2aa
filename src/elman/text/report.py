"""What `elman check` reports about files, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from elman.errors import DataError
    from elman.text.skipping import Skipped

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `str` gives `file:line:column: what was expected, what was found, how to fix it`, with
    "warning: " before the message of one that is not an error."""

    severity: Severity
    message: str
    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{where}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


def left_out(problems: Sequence[DataError]) -> list[Problem]:
    """The warnings for what `skip_broken` leaves out."""
    return [
        Problem("warning", f"{problem.problem} (left out)", problem.file or "", problem.line, problem.column)
        for problem in problems
    ]


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the sentences are, in words; the quantiles are lengths that occur (nearest rank).

    `histogram` counts the lengths from each power of two up to the next: "1", "2-3", "4-7" and so on.
    """

    mean: float
    minimum: int
    median: int
    p90: int
    p99: int
    maximum: int
    longest_line: int
    histogram: dict[str, int]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Words of a file that the first file lacks: how many, of how many, in running words and in distinct ones."""

    words: int
    of_words: int
    types: int
    of_types: int

    @property
    def word_rate(self) -> float:
        """Share of running words, 0 for an empty file."""
        return self.words / self.of_words if self.of_words else 0.0

    @property
    def type_rate(self) -> float:
        """Share of distinct words, 0 for an empty file."""
        return self.types / self.of_types if self.of_types else 0.0


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Sentences of `file` whose words already occur in `earlier` (the same file: earlier in it).

    `count` is all of them; `places` the first few, as (line, line of the earlier one).
    """

    file: str
    earlier: str
    count: int
    places: list[tuple[int, int]]


@dataclass(slots=True)
class FileReport:
    """One file. `lengths` is None without sentences; `unknown` and `new_tags` compare it with the first."""

    file: str
    format: str
    sentences: int = 0
    words: int = 0
    types: int = 0
    lengths: Lengths | None = None
    tags: dict[str, int] = field(default_factory=dict)
    scheme: str | None = None
    unknown: Unknown | None = None
    new_tags: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """What a check of some files found, whatever they contain.

    files:    for each, what it contains; the others are compared with the first
    problems: all of them, in the order of the files
    skipped:  what was left out of all the files, None if nothing was to be left out
    """

    files: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: Skipped | None = None

    @property
    def errors(self) -> int:
        """How many problems are errors: what a reader refuses, or what is surely not intended."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """How many problems are warnings: legal, but rarely intended."""
        return len(self.problems) - self.errors

    @property
    def ok(self) -> bool:
        """No errors."""
        return not self.errors

    def sort(self) -> None:
        """Sort the problems by location."""
        names = {name: place for place, name in reversed(list(enumerate(self._names())))}
        self.problems.sort(key=lambda one: (names[one.file], one.line or 0, one.column or 0))

    def _names(self) -> list[str]:
        return [file["file"] for file in self.files]

    def to_json(self) -> dict[str, Any]:
        """The report in plain dicts, lists, strings and numbers."""
        return {
            "files": self.files,
            "problems": [asdict(problem) for problem in self.problems],
            "skipped": 0 if self.skipped is None else self.skipped.count,
            "errors": self.errors,
            "warnings": self.warnings,
            "ok": self.ok,
        }


@dataclass(slots=True)
class TagReport(Report):
    """For files of words with tags. `scheme` is that of all the files: the one passed, or that of the first file."""

    files: list[FileReport] = field(default_factory=list)
    scheme: str | None = None
    duplicates: list[Duplicates] = field(default_factory=list)

    def _names(self) -> list[str]:
        return [file.file for file in self.files]

    def to_json(self) -> dict[str, Any]:
        """The report in plain dicts, lists, strings and numbers."""
        answer = Report.to_json(self) | {"scheme": self.scheme, "files": [asdict(file) for file in self.files]}
        for report, plain in zip(self.files, answer["files"], strict=True):
            plain["unknown_words"], plain["tag_counts"] = plain.pop("unknown"), plain.pop("tags")
            plain["word_count"] = plain.pop("words")
            if report.unknown is not None:
                plain["unknown_words"] |= {"word_rate": report.unknown.word_rate, "type_rate": report.unknown.type_rate}
        answer["duplicates"] = [asdict(twice) for twice in self.duplicates]
        for plain in answer["duplicates"]:
            plain["places"] = [list(place) for place in plain["places"]]
        return answer


@dataclass(slots=True)
class ExamplesReport(Report):
    """For files of labelled texts.

    files:      for each: file, reading (see Items.how), examples, label_counts {label: {count, share}} (the share of
                the examples that have it), unlabelled, lengths {median, p95, maximum, longest_line}, empty_texts
                {count, lines}, new_labels {label: count} and new_characters {character: count} (relative to the first)
    duplicates: texts that already occur in an earlier file, or earlier in the same one: file, earlier, count,
                places [[line, line of the earlier one]], contradictory (how many have different labels there)
    """

    duplicates: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report in plain dicts, lists, strings and numbers."""
        return Report.to_json(self) | {"duplicates": self.duplicates}


@dataclass(slots=True)
class PairsReport(Report):
    """For files of sources and targets. Lengths and symbols are tokens; "first" is the first file.

    files:      for each: file, parts (the files that it consists of), reading (see Items.how), pairs, sources (distinct
                ones, with their features), several_targets (how many of them have more than one), unanswered;
                source_lengths and target_lengths {median, p95, maximum, longest_line}; source_symbols, target_symbols,
                feature_count (different ones); empty_sources and empty_targets {count, lines}; odd_lengths
                {usual_ratio (in the first file), count, lines}; new_source_symbols, new_target_symbols and
                new_features {symbol: count} (relative to the first)
    duplicates: file, earlier (a file before it, or the same), sources (how many pairs of `file` have a source that
                occurs in `earlier`, in the same file: before), pairs (how many of them with the same targets),
                places [[line, line of the earlier one]]
    """

    duplicates: list[dict[str, Any]] = field(default_factory=list)

    def _names(self) -> list[str]:
        return [part for file in self.files for part in file["parts"]]

    def to_json(self) -> dict[str, Any]:
        """The report in plain dicts, lists, strings and numbers."""
        return Report.to_json(self) | {"duplicates": self.duplicates}


@dataclass(slots=True)
class TextReport(Report):
    """For plain texts, split into tokens by the tokenizer of this name."""

    tokenizer: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report in plain dicts, lists, strings and numbers."""
        return {"tokenizer": self.tokenizer} | Report.to_json(self)
