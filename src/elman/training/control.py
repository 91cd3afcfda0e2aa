"""What surrounds the loop: signals, threads, determinism and random states."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import torch
from torch import Tensor

from elman.errors import Interrupted
from elman.recurrent import current_backend
from elman.recurrent.kernels import build


class StopRequest:
    """Set by the first Ctrl-C or SIGTERM; the loop checks it between two steps."""

    def __init__(self) -> None:
        self.signal: str | None = None


@contextmanager
def stop_requests(announce: Callable[[str], None]) -> Iterator[StopRequest]:
    """Catch Ctrl-C and SIGTERM inside the `with`. The second one raises Interrupted at once, wherever the code is.

    Only the main thread can catch signals; elsewhere, and for signals that the caller ignores, nothing is changed.
    """
    stop = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None:
            raise Interrupted("stopped at once; continue from the last checkpoint with --resume")
        stop.signal = signal.Signals(number).name
        # the signal may have come in the middle of a write to the same terminal, or the terminal may be gone
        with suppress(RuntimeError, OSError):
            announce(f"{stop.signal}: finishing this step and saving; repeat to stop at once")

    caught = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        caught = []
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def reproducible(seed: int, threads: int | None, device: torch.device) -> Iterator[None]:
    """Inside the `with`, torch draws from `seed`, uses `threads` and only deterministic algorithms.

    Afterwards the caller's generators and settings are as they were before.

    Determinism is not a formality on a CPU: with two threads the gradient of `x[index]` differs from run to run without
    it. An operation that has no deterministic form raises RuntimeError.
    """
    threads_before = torch.get_num_threads()
    debug_before = torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS demands it for determinism
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.set_num_threads(threads or threads_before)
            # the same as use_deterministic_algorithms, which would first import torch's compiler for a second
            torch.set_deterministic_debug_mode("error")
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.set_deterministic_debug_mode(debug_before)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def environment(device: torch.device) -> dict[str, str]:
    """What, besides data and options, decides the last bit of a result."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "torch version": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "device": f"{device.type} ({name})",
        "recurrent cells": "reference" if current_backend() == "reference" or build.available() else "compiled",
    }


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's default generators."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_states` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
