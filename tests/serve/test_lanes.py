"""The queue: turns, budgets, cancelled requests, and a request that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from elman.errors import UsageError
from elman.serve.lanes import Lane, Work
from elman.serve.problems import Problem


class Held:
    """Work for a lane; the first holds the thread until the rest is in the queue. batches: what ran together."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()

    def run(self, items: list[Any]) -> list[Any]:
        if items == ["first"]:
            self.go.wait(20)
            return items
        self.batches.append(items)
        if "poison" in items:
            raise UsageError("expected a text, found poison")
        return [item * 2 for item in items]


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def runs() -> None:
        async def whole() -> None:
            held, lane = Held(), Lane("test", 10, 0.0, 5)
            try:
                await test(held, lane)
            finally:
                held.go.set()
                await lane.close()

        asyncio.run(asyncio.wait_for(whole(), 30))

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs


async def hold(held: Held, lane: Lane) -> None:
    lane.submit(Work("hold", held.run, ["first"], [1]))
    while len(lane):
        await asyncio.sleep(0.001)


def work(held: Held, name: str, count: int, size: int = 1, key: str = "k") -> Work:
    return Work(key, held.run, [f"{name}{i}" for i in range(count)], [size] * count)


async def answers(work: Work) -> list[Any]:
    return [await work.answer(i) for i in range(len(work.items))]


@in_loop
async def test_requests_take_turns(held: Held, lane: Lane) -> None:
    """One of many texts does not hold up one of a few, and a batch is no larger than its budget."""
    await hold(held, lane)
    many, few = work(held, "a", 7, 4), work(held, "b", 2, 4)
    lane.submit(many)
    lane.submit(few)
    held.go.set()
    assert await answers(few) == ["b0b0", "b1b1"] and await answers(many) == [f"a{i}a{i}" for i in range(7)]
    assert held.batches == [["a0", "b0"], ["a1", "b1"], ["a2", "a3"], ["a4", "a5"], ["a6"]]


@in_loop
async def test_other_options_are_other_batches(held: Held, lane: Lane) -> None:
    await hold(held, lane)
    works = [work(held, name, 2, 1, key) for name, key in (("a", "x"), ("b", "y"), ("c", "x"))]
    for one in works:
        lane.submit(one)
    held.go.set()
    for one in works:
        await answers(one)
    assert held.batches == [["a0", "c0", "a1", "c1"], ["b0", "b1"]]


@in_loop
async def test_a_text_over_the_budget_is_a_batch_of_its_own(held: Held, lane: Lane) -> None:
    await hold(held, lane)
    lane.submit(large := work(held, "a", 2, 99))
    lane.submit(small := work(held, "b", 3, 3))
    held.go.set()
    await answers(large)
    await answers(small)
    assert held.batches == [["a0"], ["b0", "b1", "b2"], ["a1"]]


@in_loop
async def test_what_nobody_waits_for_is_not_answered(held: Held, lane: Lane) -> None:
    await hold(held, lane)
    gone, kept = work(held, "a", 3), work(held, "b", 1)
    lane.submit(gone)
    lane.submit(kept)
    gone.cancelled = True
    held.go.set()
    assert await answers(kept) == ["b0b0"] and held.batches == [["b0"]]


@in_loop
async def test_a_request_that_fails_is_alone(held: Held, lane: Lane) -> None:
    await hold(held, lane)
    bad = Work("k", held.run, ["poison"], [1])
    good = [work(held, name, 1) for name in "ab"]
    for one in (good[0], bad, good[1]):
        lane.submit(one)
    held.go.set()
    with pytest.raises(UsageError, match="found poison"):
        await bad.answer(0)
    assert [await answers(one) for one in good] == [["a0a0"], ["b0b0"]]


@in_loop
async def test_no_more_wait_than_may(held: Held, lane: Lane) -> None:
    await hold(held, lane)
    works = [work(held, str(i), 1) for i in range(5)]
    for one in works:
        lane.submit(one)
    assert lane.full
    with pytest.raises(Problem) as refused:
        lane.submit(work(held, "x", 1))
    assert refused.value.status == 503 and refused.value.headers == {"retry-after": "1"}
    held.go.set()
    for one in works:
        await answers(one)


@in_loop
async def test_a_little_is_answered_by_the_loop_itself(held: Held, _: Lane) -> None:
    """Together with what came with it, unless it is expensive, or more than a little, or something runs already."""
    threads: list[bool] = []

    def run(items: list[Any]) -> list[Any]:
        threads.append(threading.current_thread() is threading.main_thread())
        return held.run(items)

    lane = Lane("here", 100, 0.0, 50, here=10)

    async def ask(*given: tuple[int, bool]) -> list[bool]:
        threads.clear()
        held.batches.clear()
        works = [Work("k", run, [str(size)], [size], cheap) for size, cheap in given]
        for one in works:
            lane.submit(one)
        assert [await one.answer(0) for one in works] == [2 * str(size) for size, _ in given]
        return threads

    assert await ask((4, True)) == [True]
    assert await ask((4, True), (5, True)) == [True] and held.batches == [["4", "5"]]
    assert await ask((11, True)) == [False]
    assert await ask((6, True), (5, True)) == [False] and held.batches == [["6", "5"]]
    assert await ask((1, False)) == [False]
    lane.submit(Work("hold", held.run, ["first"], [99]))
    while len(lane):
        await asyncio.sleep(0.001)
    waiting = asyncio.ensure_future(ask((1, True)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    held.go.set()
    assert await waiting == [False]
    await lane.close()
