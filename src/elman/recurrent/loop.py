"""Cells over time: where the path is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from elman.recurrent.backend import run_fast
from elman.recurrent.call import Call
from elman.recurrent.packed import Packed
from elman.recurrent.reference import reference


def run(calls: Sequence[Call], xs: Packed) -> tuple[Packed, list[Any]]:
    """Several cells over the same packed rows: their outputs side by side, and the final state of each.

    Compiled cells where that is possible and wanted (`backend.py`), otherwise the reference. What backpropagation holds
    is not bounded here: see `bptt.run_bounded`."""
    fast = run_fast(calls, xs)
    if fast is not None:
        return xs.with_data(fast[0]), fast[1]
    results = [reference(call, xs) for call in calls]
    ys = [each.data for each, _ in results]
    return xs.with_data(ys[0] if len(ys) == 1 else torch.cat(ys, -1)), [final for _, final in results]
