"""Sentences or lines in batches: immediately when they come slowly, many at a time when they come fast."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any, NamedTuple, TypeVar

WAITING = 4000  # items that are read ahead
T = TypeVar("T")


class Arrived(NamedTuple):
    """A word, or None for the end of a line; line: its number, from 1."""

    line: int
    word: str | None


def words(pieces: Iterator[str]) -> Iterator[list[Arrived]]:
    """The words and line ends that each piece of text completes: a word is complete when white space follows."""
    line, rest, begun = 1, "", False
    for piece in pieces:
        if piece.split(maxsplit=1) == [piece]:
            rest, begun = rest + piece, True
            continue
        found: list[Arrived] = []
        *whole, last = (rest + piece).split("\n")
        for text in whole:
            found += [Arrived(line, word) for word in text.split()]
            found.append(Arrived(line, None))
            line += 1
        inside = last.split()
        rest = inside.pop() if inside and not last[-1].isspace() else ""
        found += [Arrived(line, word) for word in inside]
        begun = bool(last)
        if found:
            yield found
    if begun:
        yield [*([Arrived(line, rest)] if rest else []), Arrived(line, None)]


class _End(NamedTuple):
    """What comes after the last item: what went wrong, or None."""

    problem: BaseException | None


def batches(items: Iterator[T], budget: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """What is available, at least one item and at most about `budget` in total size, read by a thread.

    An exception in the reader is raised after all the items before it.
    """
    queue: Queue[Any] = Queue(WAITING)
    closed = threading.Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                queue.put(item)
                if closed.is_set():
                    return
        except BaseException as problem:  # passed on, whatever it is
            end = problem
        queue.put(_End(end))

    threading.Thread(target=read, name="reader", daemon=True).start()
    try:
        while True:
            batch, end = _take(queue, budget, size)
            if batch:
                yield batch
            if end is not None:
                if end.problem is not None:
                    raise end.problem
                return
    finally:
        closed.set()
        _drain(queue)


def _take(queue: Queue[Any], budget: int, size: Callable[[Any], int]) -> tuple[list[Any], _End | None]:
    """Wait for one item, then take what is available: items, and the end if it has been reached."""
    batch: list[Any] = []
    item = queue.get()
    while not isinstance(item, _End):
        batch.append(item)
        budget -= size(item)
        if budget <= 0:
            return batch, None
        try:
            item = queue.get_nowait()
        except Empty:
            return batch, None
    return batch, item


def _drain(queue: Queue[Any]) -> None:
    """Make room, so that a reader waiting for it continues and sees that it may stop."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
