"""One sentence as every reader returns it, and what the readers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from elman.errors import DataError, UsageError


@dataclass(slots=True)
class Sentence:
    """Words, their tags, and where they were read.

    `tags` are the raw values of the requested column ("_" included), or None without one.
    `line` is the line of the first word (of the sentence itself where it has no words); `lines` holds the line of each
    word. `source` is private to the format that read the sentence: what it needs to write everything else back.
    """

    words: list[str]
    tags: list[str] | None = None
    file: str = ""
    line: int = 0
    lines: list[int] = field(default_factory=list)
    source: Any = None

    def __len__(self) -> int:
        return len(self.words)


@dataclass(slots=True)
class Block:
    """The lines of one sentence as they were in the file, from the line after the sentence before it.

    `first` is the number of `lines[0]`, so the line of word k is `lines[sentence.lines[k] - first]`.
    `format` names the format that may write it back; the fields of a sub-class are private to that format.
    """

    format: str
    first: int
    lines: list[str]

    def text(self) -> str:
        """The block as it was, every line closed with a newline."""
        return "\n".join(self.lines) + "\n" if self.lines else ""


class Reporter(Protocol):
    """Called with a problem: raises it, or reports it and returns. kind: the class of the error."""

    def __call__(
        self, message: str, line: int, column: int | None = None, *, kind: type[DataError] = DataError
    ) -> None: ...


def reporter(file: str, on_problem: Callable[[DataError], None] | None) -> Reporter:
    """What a reader does with a problem: raise it, or pass it to `on_problem` and continue."""

    def report(message: str, line: int, column: int | None = None, *, kind: type[DataError] = DataError) -> None:
        error = kind(message, file=file, line=line, column=column)
        if on_problem is None:
            raise error
        on_problem(error)

    return report


def check_tags(sentence: Sentence, tags: list[str], forbidden: str) -> None:
    """Refuse tags that cannot be written: too many or few, empty, or containing one of the `forbidden` characters."""
    if len(tags) != len(sentence.words):
        raise UsageError(f"expected a tag for each of the {len(sentence.words)} words, found {len(tags)} tags")
    for tag in set(tags):
        if not tag or any(character in tag for character in forbidden):
            raise UsageError(f"the tag {tag!r} cannot be written: it is empty or contains white space")
