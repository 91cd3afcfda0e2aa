"""What looking inside costs: the (output, step) norms of every parameter of a layer, and everything for a long text.

python benchmarks/inspect_cost.py --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import torch

import elman
from elman.inspect.contributions import Contributions
from elman.inspect.looking import look
from elman.inspect.report import html
from elman.inspect.subject import Subject
from elman.recurrent import CELLS, recurrent_stack
from elman.text.grammar import make
from machine import machine


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """The median of some repeats, after one that does not count."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def norms(cell: str, steps: int, width: int) -> Callable[[], Any]:
    """The contributions of all pairs of an output and a step, for one layer."""
    layer = recurrent_stack(CELLS[cell], width, width, 1, bidirectional=False)
    xs, targets = torch.randn(steps, width), torch.randint(width, (steps,))

    def loss(ys: Any, _: Any) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(ys.data, targets, reduction="none")

    return lambda: Contributions(Subject.of_layer(layer, [xs], loss)).norms


def sentences(count: int) -> list[elman.Sentence]:
    """Sentences of the embedded grammar with their tags."""
    blocks = [[line.split("\t") for line in text.splitlines() if "\t" in line] for text in make(count)]
    return [elman.Sentence([row[1] for row in rows], [row[4] for row in rows]) for rows in blocks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--sentences", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{machine()}, {given.threads} thread(s)")
    for cell in ("lstm", "gru", "elman", "lstm-layernorm"):
        taken = seconds(norms(cell, given.steps, given.width), given.repeats)
        print(f"{given.steps} x {given.steps} norms, {cell}, {given.width} wide: {taken:.2f} s")
    data = sentences(given.sentences)
    text = list(islice(cycle(word for sentence in data for word in sentence.words), given.tokens))
    for name, settings in (
        ("the default tagger", {}),
        (f"one way, one layer of {given.width}", {"one_way": True, "layers": 1, "hidden_size": given.width}),
        (f"both ways, two layers of {given.width}", {"layers": 2, "hidden_size": given.width}),
    ):
        tagger = elman.Tagger(epochs=1, threads=given.threads, **settings).fit(data)
        began = time.perf_counter()
        view = look(tagger, text)
        looked = time.perf_counter() - began
        page = html(view)
        written = time.perf_counter() - began - looked
        print(
            f"a text of {given.tokens} tokens, {name}: {looked:.1f} s, and {written:.1f} s for a page of "
            f"{len(page) / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
