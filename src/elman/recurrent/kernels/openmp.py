"""The OpenMP runtime that torch uses in this process: the one that compiled cells must share."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_RUNTIME = re.compile(r"lib(gomp|omp|iomp5)\b.*\.(so|dylib)[.\d]*")


@cache
def openmp_runtime() -> Path | None:
    """The OpenMP runtime that torch uses in this process, or None. A second one would start its own threads."""
    import torch

    folder = Path(torch.__file__).parent / "lib"
    mapped = mapped_files()
    if not mapped:  # a system without /proc
        return next((path for path in sorted(folder.iterdir()) if _RUNTIME.fullmatch(path.name)), None)
    torch_cpu = next((name for _, _, name in mapped if os.path.basename(name).startswith("libtorch_cpu.")), "")
    try:  # several may be mapped: which one do torch's own calls reach?
        function = ctypes.CDLL(torch_cpu).omp_get_max_threads if torch_cpu else None
    except (OSError, AttributeError):
        return None
    if function is None:
        return next((Path(name) for name in runtimes_in(mapped)), None)
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    owner = next((name for start, end, name in mapped if start <= address < end), "")
    return Path(owner) if _RUNTIME.fullmatch(os.path.basename(owner)) else None


def mapped_files() -> list[tuple[int, int, str]]:
    """(start, end, file) of everything mapped into this process; empty if the system does not report it."""
    files = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                place, *_, name = line.rstrip("\n").split(maxsplit=5)
                if name.startswith("/"):
                    start, end = place.split("-")
                    files.append((int(start, 16), int(end, 16), name))
    except OSError:
        pass
    return files


def runtimes_in(mapped: Sequence[tuple[int, int, str]]) -> list[str]:
    """The OpenMP runtimes among them."""
    return sorted({name for _, _, name in mapped if _RUNTIME.fullmatch(os.path.basename(name))})
