"""What `--watch` costs: the same training with and without it, in turn.

A tagger at its default settings and a language model, on sentences of the embedded grammar. Each pair of runs gives a
ratio of seconds per step; the medians of the pairs are printed, beside the share of the time that the watcher itself
says it took."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

import elman
from elman.inspect.watch import Watcher
from elman.text.grammar import make
from machine import machine

TASKS = ("tag", "lm")


class Enough(Exception):
    """Ends a training."""


class Counted:
    """Ends a training after so many steps; with a watcher or none."""

    def __init__(self, steps: int, watcher: Watcher | None) -> None:
        self.left, self.watcher = steps, watcher
        self.began = self.seconds = 0.0

    @contextmanager
    def step(self, job: Any, batch: Any) -> Iterator[None]:
        self.began = self.began or time.perf_counter()
        if self.watcher is None:
            yield
        else:
            with self.watcher.step(job, batch):
                yield
        self.left -= 1
        if not self.left:
            self.seconds = time.perf_counter() - self.began
            raise Enough

    def epoch(self) -> tuple[dict[str, Any], str]:
        return self.watcher.epoch() if self.watcher else ({}, "")


def data(task: str, sentences: int) -> list[Any]:
    """Sentences with tags, or lines."""
    found = []
    for block in make(sentences, seed=4):
        rows = [line.split("\t") for line in block.splitlines() if line and not line.startswith("#")]
        found.append(elman.Sentence([row[1] for row in rows], [row[4] for row in rows]))
    return found if task == "tag" else [" ".join(sentence.words) for sentence in found]


def train(task: str, given: list[Any], steps: int, threads: int, watcher: Watcher | None) -> float:
    """Seconds of so many steps."""
    common = {"epochs": 1000, "threads": threads}
    model = elman.Tagger(**common) if task == "tag" else elman.LanguageModel(**common)
    counted = Counted(steps, watcher)
    with suppress(Enough):
        model.fit(given, watch=counted)
    return counted.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results = {}
    for task in TASKS:
        texts = data(task, given.sentences)
        train(task, texts, min(30, given.steps), given.threads, Watcher())  # compiles, and warms up
        ratios, shares, looks, plain = [], [], [], []
        for pair in range(given.pairs):
            seconds, watcher = {}, Watcher()
            for watched in ((False, True), (True, False))[pair % 2]:
                seconds[watched] = train(task, texts, given.steps, given.threads, watcher if watched else None)
            ratios.append(seconds[True] / seconds[False])
            shares.append(watcher.seconds / seconds[True])
            looks.append(watcher.looks)
            plain.append(seconds[False])
        results[task] = {
            "ratio": statistics.median(ratios),
            "own_share": statistics.median(shares),
            "looks": statistics.median(looks),
            "seconds": statistics.median(plain),
            "ratios": ratios,
        }
    if given.json:
        print(json.dumps({"machine": machine(), "threads": given.threads, "steps": given.steps, "tasks": results}))
        return
    print(machine(), f"{given.threads} threads, {given.steps} steps", sep=", ")
    for task, found in results.items():
        print(
            f"{task:4} {found['ratio']:.3f} x the time without ({min(found['ratios']):.3f} to "
            f"{max(found['ratios']):.3f}), {found['own_share']:.1%} by its own clock, {found['looks']:.0f} looks in "
            f"{found['seconds']:.1f} s"
        )


if __name__ == "__main__":
    main()
