"""Lines of a label and a text, fastText's lines of `__label__x` and a text, and lines of text alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import UsageError
from elman.text.example import Example, Fault, Layout, OnProblem, cut, one_line, settle, without_nul
from elman.text.sentence import reporter

PREFIX = "__label__"
SPACE = " \t"
LABEL = re.compile(r"[ \t]*([^ \t]+)")
FASTTEXT_LABEL = re.compile(r"[ \t]*__label__([^ \t]*)")


@dataclass
class _Lines:
    """What these formats have in common: one example per line, white space (spaces and tabs) around its text removed.

    An empty line is not an example.
    """

    name: ClassVar[str]
    several: bool = False
    labelled: bool = True

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Example]:
        """See ItemFormat.read."""
        report = reporter(file, on_problem)
        for number, line in without_nul(lines, report):
            if not line.strip(SPACE):
                continue
            try:
                text, labels = self._parse(line)
            except Fault as fault:
                fault.report_to(report, number)
            else:
                yield one_line(self.name, file, number, line, text, labels)

    def _parse(self, line: str) -> tuple[str, list[str] | None]:
        raise NotImplementedError


@dataclass
class LabelLines(_Lines):
    """`label`: the label, a space or a tab, the text. A label alone has the empty text.

    With `several` the label is split at `separator`. The first word is always the label, even with `labelled=False`:
    texts without labels are in the format `text`.
    """

    name: ClassVar[str] = "label"
    separator: str = "|"

    def _parse(self, line: str) -> tuple[str, list[str] | None]:
        match = LABEL.match(line)
        assert match is not None  # the line is not blank
        if line[0] in SPACE:
            raise Fault("expected a label at the start of the line, found white space; write a label", 0)
        labels = settle(cut(match[1], self.several, self.separator), self.several, self.labelled, 0)
        return line[match.end() :].strip(SPACE), labels


@dataclass
class FastText(_Lines):
    """`fasttext`: one or more `__label__x`, then the text. What looks like a label after the first word is text."""

    name: ClassVar[str] = "fasttext"

    def _parse(self, line: str) -> tuple[str, list[str] | None]:
        labels, at = [], 0
        while match := FASTTEXT_LABEL.match(line, at):
            if not match[1]:
                raise Fault(f"expected a label after {PREFIX}, found nothing; write one", match.start(1))
            labels.append(match[1])
            at = match.end()
        if not labels and self.labelled and not self.several:
            raise Fault(f"expected {PREFIX} and a label at the start of the line, found none; write one", 0)
        return line[at:].strip(SPACE), settle(labels, self.several, self.labelled, 0)


@dataclass
class TextLines:
    """`text`: every line is a text as it is, even an empty one, without labels; for prediction."""

    name: ClassVar[str] = "text"
    several: bool = False
    labelled: bool = True

    def __post_init__(self) -> None:
        if self.labelled:
            raise UsageError("the format text has no labels; expected csv, tsv, jsonl, label or fasttext")

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Example]:
        """See ItemFormat.read."""
        for number, line in without_nul(lines, reporter(file, on_problem)):
            yield one_line(self.name, file, number, line, line, None)
