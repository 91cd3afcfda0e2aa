"""Cells that the library has never seen, invented at random from a grammar of elementwise expressions (the tests'): the
compiled cell's GFLOP/s against the built-in LSTM's, and its time against its own loop in plain torch. One run,
interleaved, medians; batch 32, 35 steps, 200 wide, one direction, forward and backward."""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

import elman
from elman.recurrent import CELLS, Packed, Recurrent
from elman.recurrent.bench import products
from elman.recurrent.kernels.graph import kept_for_backward, ordered
from elman.recurrent.kernels.trace import trace
from machine import machine
from random_cells import random_cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(8)))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    xs = Packed.from_padded(torch.randn(32, 35, 200))
    xs.data.requires_grad_()
    subjects = {"lstm": CELLS["lstm"](200, 200)}
    for seed in given.seeds:
        kind = random_cell(seed)[0]
        if len(kind.gates) >= 3 and kind.recurrent != ():
            subjects[f"seed {seed}"] = kind(200, 200)
    times: dict[tuple[str, str], list[float]] = {}
    for run in range(given.runs + 1):
        for name, cell in subjects.items():
            for backend in ("native", "reference"):
                layer = Recurrent(cell)
                with elman.use_backend(backend):
                    began = time.perf_counter()
                    layer(xs)[0].data.sum().backward()
                    if run:  # the first is to warm up, and to compile
                        times.setdefault((name, backend), []).append(time.perf_counter() - began)
    print(machine(), f"{given.threads} threads", sep=", ")
    speeds = {}
    for name, cell in subjects.items():
        native, loop = (statistics.median(times[name, backend]) for backend in ("native", "reference"))
        speeds[name] = 3 * 2 * 32 * 35 * (products(cell) or 0) / native / 1e9
        steps, functions = work(cell)
        print(
            f"{name:8} {speeds[name]:6.1f} GFLOP/s {speeds[name] / speeds['lstm']:5.2f} of the LSTM "
            f"{loop / native:5.2f} x its loop   {len(cell.gates)} gates, {len(cell._Rec._fields)} with U, "
            f"{steps} kept, {functions} functions a unit"
        )


def work(cell: elman.Cell) -> tuple[int, int]:
    """Values kept a unit, and functions such as sigmoid, exp and division computed a unit, forward and backward."""
    traced = trace(cell, False, False)
    forward = [*traced.after, traced.y, traced.q]
    backward = [*traced.dx, *traced.dr, *traced.dvectors, *traced.dbefore]
    return len(kept_for_backward(forward, backward)), sum(n.expensive for n in ordered([*forward, *backward]))


if __name__ == "__main__":
    main()
