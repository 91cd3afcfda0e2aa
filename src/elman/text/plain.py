"""Plain text: one sentence per line, words separated by white space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import DataError, UsageError, shorten
from elman.text.sentence import Block, Sentence, check_tags


@dataclass
class PlainText:
    """The format. It has no tags of its own: with tags, a sentence is written as columns.

    That is one word per line, `word<TAB>tag`, and an empty line after the sentence. Without tags it is unchanged.
    """

    name: ClassVar[str] = "text"

    def read(
        self, lines: Iterable[tuple[int, str]], file: str, *, on_problem: Callable[[DataError], None] | None = None
    ) -> Iterator[Sentence]:
        """See Format.read. Any line is a sentence or empty, so there is nothing to report."""
        block: list[str] = []
        number = 0
        for number, line in lines:
            block.append(line)
            if words := line.split():
                source = Block(self.name, number + 1 - len(block), block)
                yield Sentence(words, None, file, number, [number] * len(words), source)
                block = []
        if block:
            first = number + 1 - len(block)
            yield Sentence([], None, file, first, [], Block(self.name, first, block))

    def write(self, sentence: Sentence, tags: list[str] | None) -> str:
        """See Format.write. Empty lines before the sentence are kept either way."""
        source = sentence.source
        own = isinstance(source, Block) and source.format == self.name
        if tags is None:
            if own:
                return source.text()
            for word in sentence.words:
                if word.split() != [word]:
                    raise UsageError(
                        f"the word {shorten(word)} cannot be written as text: it is empty or contains white space"
                    )
            return " ".join(sentence.words) + "\n" if sentence.words else ""
        check_tags(sentence, tags, "\t\r\n")
        before = "\n" * (len(source.lines) - (1 if sentence.words else 0)) if own else ""
        rows = [f"{word}\t{tag}\n" for word, tag in zip(sentence.words, tags, strict=True)]
        return before + "".join(rows) + ("\n" if rows else "")

    def columns_of(self, sentence: Sentence, *, tag: bool = False) -> list[int | None]:
        """See Format.columns_of."""
        source = sentence.source
        if tag or not (isinstance(source, Block) and source.format == self.name):
            return [None] * len(sentence.words)
        columns: list[int | None] = []
        end = 0
        for word in sentence.words:
            start = source.lines[-1].index(word, end)
            columns.append(start + 1)
            end = start + len(word)
        return columns
