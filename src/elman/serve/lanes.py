"""What waits, in fair order, and the threads that answer it: as much at once as the budget of a batch allows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from elman.serve.problems import busy

Run = Callable[[list[Any]], Sequence[Any]]
Done = tuple["Work", int, Any, Exception | None]  # an item of a request, and its answer or what went wrong


class Work:
    """One request's items, each with its size in tokens, and their answers as they come.

    key: items of the same key can be answered together. run: items -> their answers, called in the lane's thread; the
    answer to an item does not depend on the others. cheap: whether a token costs little, whatever was asked"""

    def __init__(self, key: Hashable, run: Run, items: Sequence[Any], sizes: Sequence[int], cheap: bool = True) -> None:
        self.key, self.run, self.items, self.sizes, self.cheap = key, run, items, sizes, cheap
        self.taken = 0  # items that were given to a batch; the lane's
        self.cancelled = False
        # from here on the event loop's
        self.answers: list[Any] = [None] * len(items)
        self.problem: Exception | None = None
        self._known = [False] * len(items)
        self._changed = asyncio.Event()

    def deliver(self, place: int, answer: Any, problem: Exception | None) -> None:
        """Called in the event loop."""
        if problem is not None:
            self.problem, self.cancelled = self.problem or problem, True
        else:
            self.answers[place], self._known[place] = answer, True
        self._changed.set()

    def known(self, place: int) -> bool:
        """Whether there is an answer to this item."""
        return self._known[place]

    async def answer(self, place: int) -> Any:
        """The answer to an item, when it is there. Raises what `run` raised."""
        while not self._known[place]:
            if self.problem is not None:
                raise self.problem
            self._changed.clear()
            await self._changed.wait()
        return self.answers[place]


class Lane:
    """One thread, and what waits for it. Where nothing else waits or runs, a few tokens are answered by the event loop
    itself: to wake a thread and be woken by it takes longer than they do.

    Requests take turns: each gives one item to a batch before any gives a second, until the budget is used up, and what
    is left of it goes behind the others. So a request of many texts does not hold up one of a few.
    budget: tokens of a batch; wait: seconds to wait for more, when nothing was waiting; most: requests that may wait;
    here: tokens that the event loop answers itself"""

    def __init__(self, name: str, budget: int, wait: float, most: int, here: int = 0) -> None:
        self.budget, self.wait, self.most, self.here = budget, wait, most, 0 if wait else here
        self.batch_sizes: Callable[[int], None] = lambda size: None
        self._waiting: deque[Work] = deque()
        self._there = threading.Condition()
        self._closed = False
        self._running = False  # a batch, in whichever thread
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self.most

    def require_room(self) -> None:
        """Raises Problem if too much waits already."""
        if self.full:
            raise busy(f"{len(self._waiting)} requests wait already; try again later")

    def submit(self, work: Work, *, going_on: bool = False) -> None:
        """going_on: of a request that has a part of its answer. Raises Problem if too much waits already."""
        if not going_on:
            self.require_room()
        with self._there:
            self._waiting.append(work)
            if self._running:
                return  # who runs looks again
            if not self.here:
                self._there.notify()
            elif len(self._waiting) == 1:  # after the others that came with it
                self._loop.call_soon(self._here)

    def _here(self) -> None:
        """Called in the event loop: answer what waits, or wake the thread if that is more than a little."""
        with self._there:
            if self._running or not self._waiting:
                return
            if any(not work.cheap for work in self._waiting) or self._waiting_tokens() > self.here:
                self._there.notify()
                return
            self._running, batch = True, self._take()
        _deliver(self._answers(batch) if batch else [])
        with self._there:
            self._running = False
            if self._waiting:
                self._there.notify()

    def _waiting_tokens(self) -> int:
        return sum(sum(work.sizes[work.taken :]) for work in self._waiting)

    async def close(self) -> None:
        """End the thread once everything is answered."""
        with self._there:
            self._closed = True
            self._there.notify()
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while True:
            with self._there:
                idle = not self._waiting
                while self._running or not (self._waiting or self._closed):
                    self._there.wait()
                if not self._waiting:
                    return
                self._running = True
            if idle and self.wait:
                time.sleep(self.wait)
            with self._there:
                batch = self._take()
            if batch:
                self._loop.call_soon_threadsafe(_deliver, self._answers(batch))
            with self._there:
                self._running = False

    def _take(self) -> list[tuple[Work, int]]:
        """The next batch: (request, place of one of its items), of one key."""
        while self._waiting and self._waiting[0].cancelled:
            self._waiting.popleft()
        if not self._waiting:
            return []
        key = self._waiting[0].key
        turns = deque(work for work in self._waiting if work.key == key and not work.cancelled)
        batch: list[tuple[Work, int]] = []
        rest = self.budget
        while turns:
            work = turns[0]
            size = work.sizes[work.taken]
            if batch and size > rest:  # its turn comes, as it is now before those that had theirs
                turns.popleft()
                continue
            rest -= size
            batch.append((work, work.taken))
            work.taken += 1
            turns.rotate(-1)
            if work.taken == len(work.items):
                turns.pop()
        touched = {work for work, _ in batch}
        later = [work for work in self._waiting if work in touched and work.taken < len(work.items)]
        self._waiting = deque(work for work in self._waiting if work not in touched and not work.cancelled)
        self._waiting.extend(later)
        return batch

    def _answers(self, batch: list[tuple[Work, int]]) -> list[Done]:
        self.batch_sizes(len(batch))
        try:
            answers: Sequence[Any] = batch[0][0].run([work.items[place] for work, place in batch])
            return [(work, place, answer, None) for (work, place), answer in zip(batch, answers, strict=True)]
        except Exception as problem:
            if len(batch) == 1:
                return [(*batch[0], None, problem)]
        # whoever caused it, the others have nothing to do with it
        return [done for one in batch for done in self._answers([one])]


def _deliver(done: Sequence[Done]) -> None:
    for work, place, answer, problem in done:
        work.deliver(place, answer, problem)
