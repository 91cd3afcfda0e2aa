"""Texts as ids: read line by line, split into tokens, numbered, and kept on disk, however long they are."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import DataError, UsageError
from elman.tasks.language_model.config import CorpusConfig
from elman.text.files import FileFault, name_of, open_text, require_file
from elman.text.skipping import Sieve, Skipped
from elman.text.tokenizing import Tokenizer, get_tokenizer
from elman.text.vocabulary import Vocabulary
from elman.training import atomic

UNKNOWN, END = "<unk>", "</s>"
END_ID = 1
_CHUNK = 1 << 20


@dataclass(frozen=True)
class TextSource:
    """A text to be read line by line, as often as needed: a file, or lines in memory.

    first, last: the selected part of it, in lines, or in tokens (including line ends) with `tokens`
    left_out:    the numbers of lines that are skipped; see `without_broken`
    most:        how many lines there are, of those not skipped; the file may go on"""

    source: Path | Sequence[str]
    encoding: str = "utf-8"
    first: int = 0
    last: int | None = None
    tokens: bool = False
    left_out: frozenset[int] = frozenset()
    most: int | None = None

    @classmethod
    def of(cls, given: TextSource | str | Path | Sequence[str], encoding: str = "utf-8") -> TextSource:
        """A path (text or Path) is a file; a list of text is its lines. Raises UsageError for anything else."""
        if isinstance(given, TextSource):
            return given
        if isinstance(given, str | Path):
            return cls(Path(given), encoding)
        lines = list(given)
        if not all(isinstance(line, str) and "\n" not in line for line in lines):
            raise UsageError("expected a file path or a list of lines of text without line ends")
        return cls(lines)

    @property
    def name(self) -> str:
        return name_of(self.source) if isinstance(self.source, Path) else "the text"

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number, line) of the whole text. Raises DataError as `open_text` does."""

        def raise_others(problem: DataError) -> None:
            if problem.line not in self.left_out:
                raise problem

        if isinstance(self.source, Path):
            with open_text(self.source, self.encoding, on_problem=raise_others) as lines:
                yield from islice((pair for pair in lines if pair[0] not in self.left_out), self.most)
        else:
            numbered = enumerate(self.source, 1)
            yield from islice((pair for pair in numbered if pair[0] not in self.left_out), self.most)

    def beginning(self, count: int) -> TextSource:
        """The first `count` lines."""
        return replace(self, most=count)

    def require_file(self) -> None:
        """Raise UsageError for what cannot be read a second time, as training must."""
        if isinstance(self.source, Path):
            require_file(self.source)

    def without_broken(self, tokenizer_name: str, skip_broken: bool | Skipped = True) -> TextSource:
        """The text without the lines that cannot be read: those with a carriage return inside, or with END as a token.

        Warns about them; a `Skipped` counts them instead. What cannot be read a second time is kept in memory. Raises
        DataError if more lines are broken than intact, and for a fault that is not in one line."""
        broken: dict[int, DataError] = {}
        sieve = Sieve(skip_broken, "line")

        def take(problem: DataError) -> None:
            if isinstance(problem, FileFault) or problem.line is None:
                raise problem
            broken[problem.line] = problem

        source, held, count = self.source, list[str](), 0
        readable_again = not isinstance(source, Path) or source.is_file()
        opened: AbstractContextManager[Iterator[tuple[int, str]]]
        if isinstance(source, Path):
            opened = open_text(source, self.encoding, on_problem=take)
        else:
            opened = nullcontext(enumerate(source, 1))
        with opened as lines:
            for number, line in lines:
                count += 1
                if not readable_again:
                    held.append(line)
                if tokenizer_name == "space" and END in line.split():
                    broken.setdefault(number, self._end_inside(number, line))
        sieve.skipped.problems += broken.values()
        sieve.finish(count - len(broken))
        return replace(self, source=source if readable_again else held, left_out=frozenset(broken))

    def _end_inside(self, number: int, line: str) -> DataError:
        message = f"{END} marks the end of a line and is added automatically; remove it from the text"
        return DataError(message, file=self.name, line=number, column=line.find(END) + 1 or None)

    def pieces(self, tokenizer: Tokenizer) -> Iterator[tuple[list[str], int]]:
        """(the tokens of each line with END after them, its characters with its end), of the selected part.

        Raises DataError for END among the tokens, which is reserved for line ends."""
        place = 0
        for number, line in self.lines():
            tokens = tokenizer.split(line)
            if END in tokens:
                raise self._end_inside(number, line)
            tokens.append(END)
            size = len(tokens) if self.tokens else 1
            first, last = self.first - place, size if self.last is None else self.last - place
            place += size
            if self.tokens:
                tokens = tokens[max(first, 0) : max(last, 0)]
            elif not first <= 0 < last:
                tokens = []
            if tokens:
                yield tokens, len(tokens) if self.tokens else len(line) + 1
            if self.last is not None and place >= self.last:
                return

    def split(self, fraction: float, tokenizer_name: str) -> tuple[TextSource, TextSource]:
        """All but the last fraction of the text, and that: characters are cut anywhere, everything else at line ends.

        Raises UsageError for an invalid fraction, DataError if a part would be empty."""
        if not 0 < fraction < 1:
            raise UsageError(f"expected a fraction of the training text between 0 and 1 for dev, found {fraction}")
        tokens = tokenizer_name == "characters"
        size = sum(len(line) + 1 if tokens else 1 for _, line in self.lines())
        cut = int(size * (1 - fraction))
        if not 0 < cut < size:
            raise DataError(f"expected enough text to set {fraction:.0%} aside, found {size} lines", file=self.name)
        return replace(self, first=0, last=cut, tokens=tokens), replace(self, first=cut, last=None, tokens=tokens)


def make_tokenizer(config: CorpusConfig, text: TextSource) -> Tokenizer:
    """The tokenizer that the settings name; subwords are trained on the text."""
    if config.tokenizer != "subwords":
        return get_tokenizer(config.tokenizer)
    from elman.text.subwords import Subwords

    lines = (line for _, line in text.lines())
    return Subwords.train(islice(lines, text.first, text.last), config.subword_size)


def make_vocabulary(config: CorpusConfig, text: TextSource, tokenizer: Tokenizer) -> Vocabulary:
    """<unk>, the end of a line, then the tokens by descending count. Raises DataError for an empty text."""
    counts: Counter[str] = Counter()
    for tokens, _ in text.pieces(tokenizer):
        counts.update(tokens)
    if not counts:
        raise DataError("expected text to train on, found none", file=text.name)
    words = config.tokenizer in ("space", "words")
    minimum = config.minimum or (2 if words and UNKNOWN not in counts else 1)
    del counts[END]
    known = Vocabulary.from_counts(counts, minimum).items
    return Vocabulary([END, *(item for item in known if item != UNKNOWN)], UNKNOWN)


@dataclass(frozen=True)
class Corpus:
    """A text as ids, END_ID at the end of each line. ids may be mapped from a file, so that no text is too long.

    characters: of the text, including one for each line end
    digest:     a hash of the ids"""

    ids: np.ndarray[Any, np.dtype[np.int32]]
    characters: int
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ends(self) -> int:
        return int((self.ids == END_ID).sum())

    @property
    def unknown(self) -> int:
        return int((self.ids == 0).sum())

    @classmethod
    def read(cls, text: TextSource, tokenizer: Tokenizer, vocabulary: Vocabulary, file: Path | None = None) -> Corpus:
        """Number a text. With `file`, the ids are written there and mapped, and memory stays small.

        Raises DataError for a text without tokens, ResourceError if the ids cannot be written."""
        digest = hashlib.sha256()
        characters = count = 0
        held = array("i")
        kept: list[bytes] = []

        def put() -> None:
            nonlocal count
            data = held.tobytes()
            digest.update(data)
            count += len(held)
            if out is None:
                kept.append(data)
            else:
                with atomic.writing(out_path):
                    out.write(data)
            del held[:]

        out, out_path = None, Path() if file is None else file
        if file is not None:
            with atomic.writing(file):
                out = open(file, "wb")  # noqa: SIM115 - closed below
        try:
            for tokens, length in text.pieces(tokenizer):
                held.extend(vocabulary.ids(tokens))
                characters += length
                if len(held) > _CHUNK:
                    put()
            put()
        finally:
            if out is not None:
                out.close()
        if not count:
            raise DataError("expected text, found none", file=text.name)
        ids = np.frombuffer(b"".join(kept), np.int32) if file is None else np.memmap(file, np.int32, mode="r")
        return cls(ids, characters, digest.hexdigest())


def counts(ids: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """How often each id occurs: (size,)."""
    totals = np.zeros(size)
    for first in range(0, len(ids), _CHUNK):
        totals += np.bincount(ids[first : first + _CHUNK], minlength=size)
    return totals


def line_starts(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where each line begins, and where the last ends: (lines + 1,)."""
    ends = np.flatnonzero(ids == END_ID) + 1
    return np.concatenate([[0], ends] if len(ends) and ends[-1] == len(ids) else [[0], ends, [len(ids)]])
