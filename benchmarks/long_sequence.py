"""Exact backpropagation through one long sequence within a memory bound: seconds, and the peak of the process beyond
what inputs and outputs hold. Random inputs, batch 1; the gradient of the sum of the outputs by the weights."""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

import torch

import elman
from elman.recurrent import Packed, get_cell, memory_plan
from machine import machine


def held() -> int:
    """Bytes in memory now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cell = get_cell(given.cell)(given.hidden, given.hidden)
    elman.unroll(cell, torch.randn(1, 50, given.hidden))[0].sum().backward()  # compiled and warm
    xs = Packed.from_padded(torch.randn(1, given.steps, given.hidden))
    before, peak, over = held(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    ys, _ = elman.unroll(cell, xs, memory=given.memory)
    ys.data.sum().backward()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    beyond = peak - before - ys.data.numel() * ys.data.element_size()
    print(machine(), f"{given.threads} threads", sep=", ")
    print(f"{given.cell}, {given.steps:,} steps, {given.hidden} wide: {memory_plan(cell, xs, given.memory)}")
    print(f"{seconds:.1f} s forward and backward; peak {beyond / 1e6:,.0f} MB beyond inputs and outputs")


if __name__ == "__main__":
    main()
