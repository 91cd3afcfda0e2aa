"""Sentences in batches: at once when they come slowly, many at a time when they come fast."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Empty, Queue

from elman.text import Sentence

WAITING = 4000  # sentences that are read ahead


def batches(sentences: Iterator[Sentence], words: int) -> Iterator[list[Sentence]]:
    """What is there, at least one sentence and about `words` words at most, read by a thread.

    An exception of the reader comes after all the sentences before it.
    """
    queue: Queue[Sentence | BaseException | None] = Queue(WAITING)
    closed = threading.Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            for sentence in sentences:
                queue.put(sentence)
                if closed.is_set():
                    return
        except BaseException as problem:  # handed on, whatever it is
            end = problem
        queue.put(end)

    threading.Thread(target=read, name="reader", daemon=True).start()
    try:
        while True:
            batch, over, end = _take(queue, words)
            if batch:
                yield batch
            if end is not None:
                raise end
            if over:
                return
    finally:
        closed.set()
        _drain(queue)


def _take(
    queue: Queue[Sentence | BaseException | None], words: int
) -> tuple[list[Sentence], bool, BaseException | None]:
    """Wait for one, then take what is there: (sentences, whether that was all, what went wrong after them)."""
    batch: list[Sentence] = []
    item = queue.get()
    while True:
        if not isinstance(item, Sentence):
            return batch, True, item
        batch.append(item)
        words -= len(item)
        if words <= 0:
            return batch, False, None
        try:
            item = queue.get_nowait()
        except Empty:
            return batch, False, None


def _drain(queue: Queue[Sentence | BaseException | None]) -> None:
    """Make room, so that a reader that waits for it goes on and sees that it may stop."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
