"""Check files before training: every problem with its location, none raised, none left out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from elman.errors import DataError, UsageError, shorten
from elman.schemes import detect, get_scheme, violations
from elman.text.files import Path, name_of, open_text
from elman.text.formats import Format, get_format, guess_format, sentences, untagged
from elman.text.report import Duplicates, FileReport, Lengths, Problem, Severity, TagReport, Unknown, left_out
from elman.text.sentence import Sentence
from elman.text.skipping import Sieve, Skipped

LONGEST = 1000  # characters that a word may have at most
PLACES = 5  # duplicates that are listed next to their count
# Control characters, and marks that have no width and no meaning inside a word. Joiners (U+200C, U+200D) spell words in
# Persian, in Indic scripts and in emoji, so they are suspicious only at the edge of a word.
INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|^[\u200c\u200d]|[\u200c\u200d]$"
)


def check(
    files: Sequence[Path],
    *,
    format: str | Format | None = None,
    column: str | int | None = None,
    scheme: str | None = None,
    encoding: str = "utf-8",
    skip_broken: bool = False,
    **options: Any,
) -> TagReport:
    """Read all the files, whatever they contain, and report.

    `format`, `column` and `options` as in `elman.text.read`; `scheme` is the tag scheme to expect, None to detect it.
    `skip_broken`: as for `elman.text.read`; what is left out is a warning instead of an error, and is not counted.
    The other files are compared with the first. Raises UsageError for a wrong call, never for a file.
    """
    if isinstance(files, str):
        raise UsageError(f"expected a list of files, found the single name {files!r}; put it in a list")
    if scheme is not None:
        get_scheme(scheme)
    if column is not None:
        options["column"] = column
    report = TagReport()
    skipped = Skipped() if skip_broken else None
    read = [_File(path, _format(format, path, options), encoding, report, skipped) for path in files]
    report.skipped = skipped
    for file in read:
        file.describe(report)
        file.judge_words(report)
        file.judge_untagged(report)
    _judge_schemes(read, scheme, report)
    _compare(read, report)
    _duplicates(read, report)
    report.sort()
    return report


def _format(format: str | Format | None, path: Path, options: dict[str, Any]) -> Format:
    if format is None or isinstance(format, str):
        return get_format(guess_format(path) if format is None else format, **options)
    return format


class _File:
    """One file: its sentences, as far as they could be read, and its part of the report."""

    def __init__(self, path: Path, format: Format, encoding: str, report: TagReport, skipped: Skipped | None) -> None:
        self.name, self.format = name_of(path), format
        self.report = FileReport(self.name, format.name)
        self.sentences: list[Sentence] = []
        self.types: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        report.files.append(self.report)
        before = len(report.problems)

        def add_error(error: DataError) -> None:
            report.problems.append(Problem("error", error.problem, self.name, error.line, error.column))

        try:
            if skipped is None:
                with open_text(path, encoding, on_problem=add_error) as lines:
                    read = format.read(lines, self.name, on_problem=add_error)
                    self.sentences += (sentence for sentence in read if sentence.words)
            else:
                self._read_whole(path, encoding, report, skipped)
        except DataError as error:
            add_error(error)
        if not self.sentences and len(report.problems) == before:
            add_error(DataError("expected sentences, found no words in the whole file; check the path and the format"))

    def _read_whole(self, path: Path, encoding: str, report: TagReport, skipped: Skipped) -> None:
        """Read the sentences that training would read, with a warning for each of the others. Raises DataError."""
        sieve, before = Sieve(skipped, "sentence"), skipped.count
        fault = untagged if getattr(self.format, "column", None) is not None else None
        with open_text(path, encoding, on_problem=sieve.report) as lines:
            for sentence in sentences(self.format, lines, self.name, fault, sieve):
                if sentence.words:
                    self.sentences.append(sentence)
        sieve.finish(len(self.sentences))
        report.problems += left_out(skipped.problems[before:])

    def describe(self, report: TagReport) -> None:
        """Count."""
        for sentence in self.sentences:
            self.types.update(sentence.words)
            self.tags.update(sentence.tags or ())
        self.report.sentences, self.report.words = len(self.sentences), self.types.total()
        self.report.types = len(self.types)
        self.report.tags = _ranked(self.tags)
        self.report.lengths = _lengths(self.sentences) if self.sentences else None

    def tagged(self) -> Iterator[tuple[Sentence, list[str]]]:
        """The sentences that have tags."""
        return ((sentence, sentence.tags) for sentence in self.sentences if sentence.tags is not None)

    def add(self, report: TagReport, severity: Severity, message: str, line: int, column: int | None = None) -> None:
        """One more problem of this file."""
        report.problems.append(Problem(severity, message, self.name, line, column))

    def judge_words(self, report: TagReport) -> None:
        """Strings that are not valid words or tags. Distinct ones are checked once, then located."""
        words = {word: fault for word in self.types if (fault := _fault(word, "word")) is not None}
        tags = {tag: fault for tag in self.tags if (fault := _fault(tag, "tag")) is not None}
        if not words and not tags:
            return
        for sentence in self.sentences:
            for items, faults, is_tag in ((sentence.words, words, False), (sentence.tags or [], tags, True)):
                if faults and not faults.keys().isdisjoint(items):
                    starts = self.format.columns_of(sentence, tag=is_tag)
                    for item, line, start in zip(items, sentence.lines, starts, strict=True):
                        if item in faults:
                            severity, at, message = faults[item]
                            self.add(report, severity, message, line, None if start is None else start + at)

    def judge_untagged(self, report: TagReport) -> None:
        """Words without a tag where others have one. A file in which no word has one is a single problem."""
        column = str(getattr(self.format, "column", "")).lower()
        if self.format.name == "conllu" and column in ("upos", "xpos"):
            if self.tags and set(self.tags) == {"_"}:
                message = f"expected {column} tags, found _ (untagged) for all {self.tags.total()} words"
                self.add(report, "error", f"{message}; choose another column, or tag the file", self.sentences[0].line)
            elif "_" in self.tags:
                for sentence, tags in self.tagged():
                    starts = self.format.columns_of(sentence, tag=True) if "_" in tags else []
                    for tag, line, start in zip(tags, sentence.lines, starts, strict=False):
                        if tag == "_":
                            message = f"expected a tag in {column}, found _ (untagged); tag the word"
                            self.add(report, "error", message, line, start)
        untagged = [sentence for sentence in self.sentences if sentence.tags is None]
        if len(untagged) < len(self.sentences):
            for sentence in untagged:
                message = "expected tags, as in the other sentences of this file, found none; add them"
                self.add(report, "error", message, sentence.line)

    def judge_scheme(self, scheme: str, report: TagReport) -> None:
        """Tags that violate the scheme."""
        for sentence, tags in self.tagged():
            if wrong := violations(tags, scheme):
                starts = self.format.columns_of(sentence, tag=True)
                for index, message in wrong:
                    self.add(report, "error", message, sentence.lines[index], starts[index])

    def first_break(self, scheme: str) -> Sentence | None:
        """The first sentence that is not legal in the scheme."""
        return next((sentence for sentence, tags in self.tagged() if violations(tags, scheme)), None)


def _fault(item: str, what: str) -> tuple[Severity, int, str] | None:
    """What is wrong with the characters of a word or tag, and at which index."""
    if len(item) > LONGEST:
        message = (
            f"expected a {what} of at most {LONGEST} characters, found {len(item)}; is a line end or a tab missing?"
        )
        return "error", 0, message
    if match := INVISIBLE.search(item):
        character = f"U+{ord(match[0]):04X} in {shorten(item)}"
        return "warning", match.start(), f"expected a {what} of visible characters, found {character}; remove it"
    if item != item.strip():
        return "warning", 0, f"expected a {what} without white space around it, found {shorten(item)}; remove it"
    return None


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _lengths(sentences: list[Sentence]) -> Lengths:
    ordered = sorted(len(sentence) for sentence in sentences)
    longest = max(sentences, key=len)
    buckets = Counter(length.bit_length() for length in ordered)
    names = {bits: f"{1 << bits - 1}-{(1 << bits) - 1}" if bits > 1 else "1" for bits in range(1, max(buckets) + 1)}

    def quantile(share: float) -> int:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return Lengths(
        mean=sum(ordered) / len(ordered),
        minimum=ordered[0],
        median=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        maximum=ordered[-1],
        longest_line=longest.line,
        histogram={name: buckets[bits] for bits, name in names.items()},
    )


def _judge_schemes(files: list[_File], scheme: str | None, report: TagReport) -> None:
    """Find the scheme, and what violates it.

    A file that is entirely in another scheme is one problem; its tags are then checked by its own scheme, since by the
    first file's nearly all would be wrong. A file that is legal in the first file's scheme is assumed to be in it.
    """
    detected = [detect(tags for _, tags in file.tagged()) for file in files]
    lead = next((place for place, name in enumerate(detected) if name is not None), None)
    report.scheme = scheme or (detected[lead] if lead is not None else None)
    if report.scheme is None:
        return
    for place, file in enumerate(files):
        if not file.tags:
            continue
        broken = file.first_break(report.scheme)
        own = detected[place] or scheme
        file.report.scheme = report.scheme if broken is None else own
        if file.report.scheme != report.scheme and broken is not None:
            origin = "as requested" if scheme else f"as in {files[lead or 0].name}"
            other = file.report.scheme or "tags of no known scheme"
            message = (
                f"expected tags in {report.scheme}, {origin}, found {other}; convert the file or choose another column"
            )
            file.add(report, "error", message, broken.line)
        if file.report.scheme is not None:
            file.judge_scheme(file.report.scheme, report)


def _compare(files: list[_File], report: TagReport) -> None:
    """Words and tags of the later files that do not occur in the first."""
    if not files or not files[0].sentences:
        return
    first = files[0]
    for file in files[1:]:
        if not file.sentences:
            continue
        new = {word: count for word, count in file.types.items() if word not in first.types}
        file.report.unknown = Unknown(sum(new.values()), file.types.total(), len(new), len(file.types))
        if not first.tags:
            continue
        file.report.new_tags = _ranked(Counter({t: n for t, n in file.tags.items() if t not in first.tags}))
        wanted = set(file.report.new_tags)
        for sentence, tags in file.tagged():
            if wanted.isdisjoint(tags):
                continue
            for index, tag in enumerate(tags):
                if tag in wanted:
                    wanted.remove(tag)
                    often = f"{shorten(tag)} (here; {file.tags[tag]} times in all)"
                    message = f"expected a tag that occurs in {first.name}, found {often}"
                    message += "; a model trained on it never predicts this one"
                    column = file.format.columns_of(sentence, tag=True)[index]
                    file.add(report, "warning", message, sentence.lines[index], column)


def _duplicates(files: list[_File], report: TagReport) -> None:
    seen: list[dict[tuple[str, ...], int]] = []
    for place, file in enumerate(files):
        counts: Counter[int] = Counter()
        places: dict[int, list[tuple[int, int]]] = {}
        own: dict[tuple[str, ...], int] = {}
        seen.append(own)
        for sentence in file.sentences:
            words = tuple(sentence.words)
            for earlier, lines in enumerate(seen):
                if words in lines:
                    counts[earlier] += 1
                    if counts[earlier] <= PLACES:
                        places.setdefault(earlier, []).append((sentence.line, lines[words]))
            own.setdefault(words, sentence.line)
        for earlier in sorted(counts, key=lambda one: (one != place, one)):
            report.duplicates.append(Duplicates(file.name, files[earlier].name, counts[earlier], places[earlier]))
