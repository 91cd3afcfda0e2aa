"""The likeliest words of rows of logits, compiled: what top.h computes, on torch's tensors."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.kernels import build, compiled
from elman.recurrent.kernels.abi import COUNT, POINTERS, address


@cache
def library() -> Any:
    """The library for float32 numbers. Raises BuildError."""
    source = f'{compiled.defined("float", False)}#include "top.h"\n'
    made = build.load(source, build.headers("maths.h", "operands.h", "tiles.h", "top.h"), "top")
    made.elman_top.restype = None
    made.elman_top.argtypes = [POINTERS, COUNT, COUNT, COUNT, COUNT, POINTERS, POINTERS, ctypes.c_int]
    return made


def top(library: Any, logits: Tensor, first: int, count: int) -> tuple[Tensor, Tensor]:
    """logits (rows, words) float32 -> of the words from `first` on the `count` likeliest: their log-probabilities among
    all words (rows, count), best first, and their ids."""
    logits = logits.contiguous()
    rows, words = logits.shape
    values, ids = torch.empty(rows, count), torch.empty(rows, count, dtype=torch.long)
    if rows:
        threads = torch.get_num_threads()
        library.elman_top(address(logits), rows, words, first, count, address(values), address(ids), threads)
    return values, ids
