"""Reading a file one item at a time, and what is known of how it is read. The formats are a table of the caller's."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar, cast

from elman.errors import DataError, UsageError, nearest
from elman.text.example import Layout, OnProblem
from elman.text.files import Path, name_of, open_text
from elman.text.sentence import Block
from elman.text.skipping import Sieve, Skipped

Numbered = Iterator[tuple[int, str]]
U = TypeVar("U")
U_co = TypeVar("U_co", covariant=True)


class ItemFormat(Protocol[U_co]):
    """A file format. It is a dataclass; its fields are its options."""

    name: str

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[U_co]:
        """Yield the items of numbered lines as soon as each is complete.

        A problem is raised as DataError; `on_problem` is passed it instead, the faulty item is left out and reading
        continues as far as it can. `on_layout` is passed, before the first item, the options that the file itself
        determines. Raises UsageError where it is not clear from the file which columns to read.
        """
        ...


def get_format(formats: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    """The format of this name in a table of "module:Name", with these options; those that are None count as omitted.

    Raises UsageError, with the nearest real name, for unknown ones.
    """
    if name not in formats:
        raise UsageError(f"unknown format {name!r}; {nearest(name, formats)}")
    module, _, attribute = formats[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    known = [field.name for field in fields(kind)]
    options = {option: value for option, value in options.items() if value is not None}
    for option in options:
        if option not in known:
            raise UsageError(f"the format {name} has no option {option!r}; leave it out, or choose another format")
    return kind(**options)


def suffix_of(path: Path) -> str:
    """The suffix of a file's name in lower case, below that of its packing."""
    return os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))[1]


def peek(lines: Numbered) -> tuple[str, Numbered]:
    """The first line that is not empty ("" without one), and the lines again from the first."""
    held = []
    for number, line in lines:
        held.append((number, line))
        if line.strip():
            break
    return held[-1][1] if held else "", itertools.chain(held, lines)


@dataclass(frozen=True)
class Kind(Generic[U]):
    """What a file is read into.

    one, many: what an item is called where broken ones are counted ("text") and where none is found ("examples")
    get:       name, options -> the format
    guess:     path, lines, options -> the name of the format, and the lines again from the first
    block:     the lines of an item
    open:      path, encoding, on_problem, name of the format -> the numbered lines
    """

    one: str
    many: str
    get: Callable[..., ItemFormat[U]]
    guess: Callable[[Path, Numbered, dict[str, Any]], tuple[str, Numbered]]
    block: Callable[[U], Block] = attrgetter("source")
    open: Callable[[Path, str, OnProblem | None, str | None], AbstractContextManager[Numbered]] = (
        lambda path, encoding, on_problem, _: open_text(path, encoding, on_problem=on_problem)
    )


class Items(Iterator[U]):
    """The items of a file, one by one, and `how` it is read.

    `how` is complete once the first item has been yielded (or the end is reached): a plain dict of the format's name
    and all its options. Passed as options, it reads another file in the same way. `header_lines` are those of the row
    that names a table's columns, unchanged; complete at the same time.
    """

    def __init__(
        self,
        kind: Kind[U],
        path: Path,
        format: str | None,
        encoding: str,
        options: dict[str, Any],
        *,
        allow_empty: bool = False,
        on_problem: OnProblem | None = None,
        skip_broken: bool | Skipped = False,
    ) -> None:
        if skip_broken is not False and on_problem is not None:
            raise UsageError("skip_broken and on_problem: expected one of them, found both")
        self.how: dict[str, Any] = {}
        self.header_lines: list[str] = []
        if format is not None:
            kind.get(format, **options)  # a wrong call is reported here, not at the first item
        self._steps = self._read(kind, path, format, encoding, options, allow_empty, on_problem, skip_broken)

    def __next__(self) -> U:
        return cast(U, next(self._steps))

    def close(self) -> None:
        """Close the file before its end."""
        self._steps.close()

    def _read(
        self,
        kind: Kind[U],
        path: Path,
        format: str | None,
        encoding: str,
        options: dict[str, Any],
        allow_empty: bool,
        on_problem: OnProblem | None,
        skip_broken: bool | Skipped,
    ) -> Any:
        reported, name = False, name_of(path)
        sieve = None if skip_broken is False else Sieve(skip_broken, kind.one, kind.block)

        def report(problem: DataError) -> None:
            nonlocal reported
            reported = True
            assert on_problem is not None
            on_problem(problem)

        def settled(layout: dict[str, Any]) -> None:
            if "header" in layout and sieve is not None:
                sieve.require_none()  # the first row of a table determines how the others are read
            self.header_lines = layout.pop("header_lines", [])
            self.how.update(layout)

        reporter = sieve.report if sieve is not None else None if on_problem is None else report
        count = 0
        with kind.open(path, encoding, reporter, format) as lines:
            if format is None:
                format, lines = kind.guess(path, lines, options)
            reader = kind.get(format, **options)
            self.how.update({"format": format, "encoding": encoding, **asdict(cast(Any, reader))})
            items = reader.read(lines, name, on_problem=reporter, on_layout=settled)
            for item in items if sieve is None else sieve.whole(lambda: items, fault=None):
                count += 1
                yield item
        if sieve is not None:
            sieve.finish(count)
        if not count and not allow_empty and not reported:
            problem = DataError(
                f"expected {kind.many}, found none in the whole file; check the path", file=name, line=1
            )
            if on_problem is None:
                raise problem
            on_problem(problem)
