"""Check files of pairs before training: what they contain, and every problem with its location."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from elman.errors import DataError, UsageError, shorten
from elman.text.files import Path, name_of
from elman.text.pair import Pair
from elman.text.pair_lines import two_files
from elman.text.pairs import Pairs
from elman.text.report import PairsReport, Problem, left_out
from elman.text.skipping import Skipped
from elman.text.tokenizing import Tokenizer, get_tokenizer

PLACES = 5  # problems of one kind that are located next to their count
ODD_RATIO = 4  # so many times the usual ratio of the lengths, or a fraction of it
ODD_LENGTH = 10  # tokens of the longer side; below it the ratio says little
Key = tuple[str, tuple[str, ...]]  # a source with its features


def check_pairs(
    paths: Sequence[Path],
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
    source_tokenizer: Tokenizer | None = None,
    target_tokenizer: Tokenizer | None = None,
    skip_broken: bool = False,
) -> PairsReport:
    """Read all the files, whatever they contain, and report. Rows with the same source stay apart.

    Options as for `elman.text.pairs.iter_pairs`; lengths and symbols are the tokens of the tokenizers, by default
    `characters`. The other files are compared with the first, the training one. Empty sources without features are
    counted, not compared.

        skip_broken: a broken pair is a warning, and is not counted.

    Lengths are odd where (tokens of the target + 1) / (tokens of the source + 1) is more than ODD_RATIO times its
    median in the first file, or less than 1 / ODD_RATIO of it, and one side has at least ODD_LENGTH tokens and none
    is empty. Quantiles are lengths that occur (nearest rank). Raises UsageError for a wrong call, and for a file from
    which it is not clear how to read it.
    """
    if isinstance(paths, str):
        raise UsageError(f"expected a list of files, found the single name {paths!r}; put it in a list")
    characters = get_tokenizer("characters")
    tokenizers = (source_tokenizer or characters, target_tokenizer or characters)
    skipped = Skipped() if skip_broken else None
    report = PairsReport(skipped=skipped)
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
    files: list[_File] = []
    for path in paths:
        file = _File(name_of(path), report.problems)
        pairs = Pairs(
            path,
            format,
            encoding,
            options,
            merged=False,
            on_problem=file.add_error if skipped is None else None,
            skip_broken=skipped or False,
        )
        before = 0 if skipped is None else skipped.count
        try:
            file.pairs.extend(pairs)
        except DataError as error:
            file.add_error(error)
        else:
            report.problems += [] if skipped is None else left_out(skipped.problems[before:])
        file.describe(pairs.how, pairs.header_lines, tokenizers, several)
        files.append(file)
    for file in files:
        file.compare(files[0])
    report.duplicates = _duplicates(files)
    report.files = [file.report for file in files]
    report.sort()
    return report


class _Side:
    """The sources or the targets of a file: what they are called, where they are, and their symbols."""

    def __init__(self, what: str, file: str, tokenizer: Tokenizer) -> None:
        self.what, self.file, self.tokenizer = what, file, tokenizer
        self.lengths: list[tuple[int, int]] = []  # with the line
        self.symbols: Counter[str] = Counter()
        self.empty: list[int] = []
        self._cell: tuple[str, int] | None = None  # what separates the cells of a row, and which one is this side's

    def settle(self, how: dict[str, Any], header: list[str], place: int) -> None:
        """How the file is read, and its header. place: of this side where no column has a number or name."""
        mark = {"tsv": "\t", "csv": ","}.get(how.get("format", ""))
        column = how.get(f"{self.what}_column") or place + 1
        if isinstance(column, str):
            names = [name.strip() for name in "\n".join(header).split(mark)]
            column = names.index(column) + 1 if column in names else 0
        self._cell = (mark, column - 1) if mark and column else None

    def column(self, pair: Pair, text: str, at: int, *, first: bool) -> int | None:
        """Where in its line the place `at` of a text is; None where the line may spell it in another way, or has it
        more than once. first: of several targets."""
        if self.file != pair.file:  # of two parallel files, the one of the targets
            return at + 1
        line, format = pair.block.lines[0], pair.block.format
        if (format == "csv" and '"' in line) or (format == "jsonl" and "\\" in line):
            return None
        if self._cell is not None and first:
            mark, place = self._cell
            return sum(len(cell) + 1 for cell in line.split(mark)[:place]) + at + 1
        spelled, inside = (f'"{text}"', 1) if format == "jsonl" else (text, 0)
        start = line.find(spelled)
        return start + inside + at + 1 if start >= 0 and start == line.rfind(spelled) else None

    def add(self, text: str, line: int) -> int:
        """Count one; returns its number of tokens."""
        tokens = self.tokenizer.split(text)
        self.symbols.update(tokens)
        self.lengths.append((len(tokens), line))
        if not tokens:
            self.empty.append(line)
        return len(tokens)

    def quantiles(self) -> dict[str, int] | None:
        """How long they are, in tokens."""
        if not self.lengths:
            return None
        ordered = sorted(length for length, _ in self.lengths)
        return {
            "median": ordered[math.ceil(0.5 * len(ordered)) - 1],
            "p95": ordered[math.ceil(0.95 * len(ordered)) - 1],
            "maximum": ordered[-1],
            "longest_line": next(line for length, line in self.lengths if length == ordered[-1]),
        }


class _File:
    """One file: its pairs, as far as they could be read, and its part of the report."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name, self.problems = name, problems
        self.pairs: list[Pair] = []
        self.features: Counter[str] = Counter()
        self.ratios: list[tuple[float, int, Pair]] = []  # of each target, with the length of the longer side
        self.report: dict[str, Any] = {}

    def add_error(self, error: DataError) -> None:
        """One more problem that a reader found."""
        self.problems.append(Problem("error", error.problem, error.file or self.name, error.line, error.column))

    def warn(self, message: str, line: int, column: int | None = None, file: str | None = None) -> None:
        """One more problem of this file."""
        self.problems.append(Problem("warning", message, file or self.name, line, column))

    def describe(
        self, how: dict[str, Any], header: list[str], tokenizers: tuple[Tokenizer, Tokenizer], several: bool
    ) -> None:
        """Count."""
        parts = two_files(self.name) if how.get("format") == "parallel" else (self.name, self.name)
        names = [name_of(part) for part in parts]
        sides = [_Side(*each) for each in zip(("source", "target"), names, tokenizers, strict=True)]
        self.source, self.target = sides
        for place, side in enumerate(sides):
            side.settle(how, header, place)
        known: dict[Key, tuple[Pair, set[str]]] = {}  # a source's first pair, and all its targets
        against = []
        for pair in self.pairs:
            self.features.update(pair.features)
            length = self.source.add(pair.source, pair.line)
            for target in pair.targets or ():
                other = self.target.add(target, pair.line)
                if length and other:
                    self.ratios.append(((other + 1) / (length + 1), max(length, other), pair))
            first, targets = known.setdefault((pair.source, pair.features), (pair, set()))
            if targets and not targets.issuperset(pair.targets or ()):
                against.append((pair, first))
            targets.update(pair.targets or ())
        many = sum(len(targets) > 1 for _, targets in known.values())
        for pair, first in [] if several else against[:PLACES]:
            found = f"found another one ({many:,} such sources in this file)"
            message = f"expected the target that the same source has on line {first.line}, {found}"
            self.warn(f"{message}; fix one, or read several targets per source", pair.line, file=self.source.file)
        for side in sides:
            if side.empty:
                message = f"expected a {side.what}, found an empty one (here; {len(side.empty):,} in all)"
                self.warn(f"{message}; add it unless it is meant to be empty", side.empty[0], file=side.file)
        ratios = sorted(ratio for ratio, _, _ in self.ratios)
        self.ratio = ratios[math.ceil(0.5 * len(ratios)) - 1] if ratios else None
        self.report = {
            "file": self.name,
            "parts": list(dict.fromkeys([self.name, *names])),
            "reading": how,
            "pairs": len(self.pairs),
            "sources": len(known),
            "several_targets": many,
            "unanswered": sum(pair.targets is None for pair in self.pairs),
            "source_lengths": self.source.quantiles(),
            "target_lengths": self.target.quantiles(),
            "source_symbols": len(self.source.symbols),
            "target_symbols": len(self.target.symbols),
            "feature_count": len(self.features),
            "empty_sources": {"count": len(self.source.empty), "lines": self.source.empty[:PLACES]},
            "empty_targets": {"count": len(self.target.empty), "lines": self.target.empty[:PLACES]},
            "odd_lengths": {"usual_ratio": None, "count": 0, "lines": []},
            "new_source_symbols": {},
            "new_target_symbols": {},
            "new_features": {},
        }

    def compare(self, first: _File) -> None:
        """Odd lengths, by the usual ratio of the first file; symbols and features that the first file lacks."""
        if (usual := first.ratio) is not None:
            odd = {
                pair.line: ratio
                for ratio, longer, pair in self.ratios
                if longer >= ODD_LENGTH and not usual / ODD_RATIO <= ratio <= usual * ODD_RATIO
            }
            self.report["odd_lengths"] = {"usual_ratio": usual, "count": len(odd), "lines": list(odd)[:PLACES]}
            for line in list(odd)[:PLACES]:
                found = f"found {odd[line]:.2g} ({len(odd):,} such pairs in all)"
                message = f"expected a target of about {usual:.2g} times the source's length, {found}"
                self.warn(f"{message}; do the two belong together?", line, file=self.source.file)
        if self is first or not first.pairs:
            return
        for side, other in ((self.source, first.source), (self.target, first.target)):
            new = _ranked(side.symbols, other.symbols) if other.symbols else {}
            self.report[f"new_{side.what}_symbols"] = new
            if new:
                self._locate(side, new, other.file)
        if first.features:
            new = self.report["new_features"] = _ranked(self.features, first.features)
            pair = next((pair for pair in self.pairs if not new.keys().isdisjoint(pair.features)), None)
            if pair is not None:
                feature = next(feature for feature in pair.features if feature in new)
                found = f"found {shorten(feature)} (here; {len(new):,} features, {sum(new.values()):,} times in all)"
                self.warn(f"expected features that occur in {first.name}, {found}", pair.line, file=self.source.file)

    def _locate(self, side: _Side, new: dict[str, int], other: str) -> None:
        """Warn of the first of the new symbols."""
        for pair in self.pairs:
            for place, text in enumerate([pair.source] if side is self.source else pair.targets or ()):
                at = 0
                for symbol in side.tokenizer.split(text):
                    at = text.index(symbol, at)
                    if symbol in new:
                        found = f"{shorten(symbol)} (here; {len(new):,} symbols, {sum(new.values()):,} times in all)"
                        message = f"expected {side.what} symbols that occur in {other}, found {found}"
                        column = side.column(pair, text, at, first=not place)
                        self.warn(f"{message}; a model trained on it does not know them", pair.line, column, side.file)
                        return
                    at += len(symbol)


def _ranked(counts: Counter[str], known: Counter[str]) -> dict[str, int]:
    """What is not known, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {symbol: count for symbol, count in ranked if symbol not in known}


def _duplicates(files: list[_File]) -> list[dict[str, Any]]:
    """A row for each pair of files that share sources, which is also a warning, and for each file that repeats some."""
    rows = []
    seen: list[dict[Key, list[Pair]]] = []  # for each file: a source's pairs
    for place, file in enumerate(files):
        own: dict[Key, list[Pair]] = {}
        seen.append(own)
        shared: dict[int, list[tuple[Pair, Pair]]] = {}  # with the first of the same source
        same: Counter[int] = Counter()
        for pair in file.pairs:
            key = (pair.source, pair.features)
            if not any(key):
                continue
            for earlier, sources in enumerate(seen):
                if others := sources.get(key):
                    shared.setdefault(earlier, []).append((pair, others[0]))
                    same[earlier] += any(_answers(pair) == _answers(other) for other in others)
            others = own.setdefault(key, [])
            if not any(_answers(pair) == _answers(other) for other in others):
                others.append(pair)
        for earlier in sorted(shared, key=lambda one: (one != place, one)):
            pairs = shared[earlier]
            if earlier != place:
                (pair, other), where = pairs[0], files[earlier].source.file
                found = f"found the one of line {other.line} (here; {len(pairs):,} of {len(file.pairs):,} pairs)"
                message = f"expected sources that do not occur in {where}, {found}"
                file.warn(f"{message}; scores on them say how well a model remembers", pair.line, file=file.source.file)
            rows.append(
                {
                    "file": file.name,
                    "earlier": files[earlier].name,
                    "sources": len(pairs),
                    "pairs": same[earlier],
                    "places": [[one.line, other.line] for one, other in pairs[:PLACES]],
                }
            )
    return rows


def _answers(pair: Pair) -> set[str] | None:
    return None if pair.targets is None else set(pair.targets)
