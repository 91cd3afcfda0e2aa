"""Check plain texts before a language model is trained on them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from elman.errors import DataError
from elman.text.files import FileFault, Path, name_of, open_text
from elman.text.report import Problem, TextReport
from elman.text.skipping import Sieve, Skipped
from elman.text.tokenizing import Tokenizer

END = "</s>"  # what language models append to each line


def check_text(
    paths: Sequence[Path], tokenizer: Tokenizer, *, encoding: str = "utf-8", skip_broken: bool = False
) -> TextReport:
    """Counts for each file, what in it does not occur in the first, and every problem.

    Files are read once, line by line; what is kept is the first file's tokens and a hash of each line.
    skip_broken: lines that training could not read are not problems, and are left out of the counts.
    Raises DataError for a file that cannot be read at all, UsageError for an unknown encoding."""
    first: Counter[str] | None = None
    lines_of_first: set[int] = set()
    skipped = Skipped() if skip_broken else None
    report = TextReport(tokenizer=tokenizer.name, skipped=skipped)
    broken: list[DataError] = []

    def add_error(problem: DataError) -> None:
        report.problems.append(Problem("error", problem.problem, problem.file or name, problem.line, problem.column))

    def break_line(problem: DataError) -> None:
        if skipped is None or isinstance(problem, FileFault):
            add_error(problem)
        elif not broken or broken[-1].line != problem.line:
            broken.append(problem)

    for path in paths:
        name = name_of(path)
        counts: Counter[str] = Counter()
        lengths: list[int] = []
        seen: set[int] = set()
        tally = {"characters": 0, "empty_lines": 0, "repeated_lines": 0, "lines_of_the_first": 0}

        broken.clear()
        with open_text(path, encoding, on_problem=break_line) as lines:
            for number, line in lines:
                tokens = tokenizer.split(line)
                if END in tokens:
                    message = f"{END} marks the end of a line, which training adds; remove it"
                    break_line(DataError(message, file=name, line=number, column=line.find(END) + 1 or None))
                if broken and broken[-1].line == number:
                    continue
                counts.update(tokens)
                lengths.append(len(tokens))
                tally["characters"] += len(line) + 1
                tally["empty_lines"] += not tokens
                if tokens:
                    tally["repeated_lines"] += hash(line) in seen
                    tally["lines_of_the_first"] += first is not None and hash(line) in lines_of_first
                    seen.add(hash(line))
                if "\0" in line:
                    message = "expected text, found a NUL character; remove it or give the right --encoding"
                    add_error(DataError(message, file=name, line=number, column=line.index("\0") + 1))
        if skipped is not None:
            sieve = Sieve(skipped, "line")
            skipped.problems += broken
            try:
                sieve.finish(len(lengths))
            except DataError as problem:
                add_error(problem)
        if not counts:
            add_error(DataError("expected text, found none", file=name))
        tokens_read = sum(lengths)
        unknown = {} if first is None else {token: n for token, n in counts.items() if token not in first}
        report.files.append(
            {
                "file": name,
                "lines": len(lengths),
                "tokens": tokens_read,
                **tally,
                "distinct_tokens": len(counts),
                "seen_once": sum(n == 1 for n in counts.values()),
                "written_unknown": counts["<unk>"],
                "median_length": statistics.median(lengths) if lengths else 0,
                "longest": max(lengths, default=0),
                "unknown_tokens": None if first is None else sum(unknown.values()),
                "unknown_share": None if first is None or not tokens_read else sum(unknown.values()) / tokens_read,
                "frequent_unknown": sorted(unknown, key=lambda token: (-unknown[token], token))[:10],
            }
        )
        if first is None:
            first, lines_of_first = counts, seen
    return report
