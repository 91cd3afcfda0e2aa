"""The softmax over a vocabulary, compiled: what softmax.h computes, on torch's tensors."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.kernels import build, compiled
from elman.recurrent.kernels.abi import COUNT, Softmax, address

# Bytes of a block's exponentials. If the weight is larger, there may be as many exponentials as it has numbers: every
# block reads all of it, and adds to all of its gradient.
BLOCK = 32 << 20


def library(half: bool) -> Any:
    """The library for float32 numbers. half: products in bfloat16. Raises BuildError."""
    return _library(half, compiled.DOT)


@cache
def _library(half: bool, dot: str | None) -> Any:
    source = f'{compiled.defined("float", half)}#include "softmax.h"\n'
    made = build.load(source, build.headers("maths.h", "operands.h", "tiles.h", "softmax.h"), "softmax")
    made.elman_softmax_room.restype = COUNT
    for function in (made.elman_softmax_room, made.elman_softmax):
        function.argtypes = [ctypes.POINTER(Softmax), ctypes.c_int]
    return made


def log_probabilities(
    library: Any,
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    dh: bool = False,
    dweight: bool = False,
    factor: float = 1.0,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """(rows,) log softmax(h weight' + bias)[target], and the gradients of their sum times -factor with respect to h,
    weight and bias: of h with `dh`, of weight and bias with `dweight`, otherwise None.

    h (rows, size), weight (words, size), bias (words,) float32, targets (rows,) int64, none of them out
    of range."""
    h, weight, bias, targets = (t.detach().contiguous() for t in (h, weight, bias, targets))
    rows, (words, size) = len(h), weight.shape
    logs = torch.empty(rows)
    new = torch.empty_like if rows else torch.zeros_like
    gradients = (new(h) if dh else None, new(weight) if dweight else None, new(bias) if dweight else None)
    threads, unit = torch.get_num_threads(), library.elman_softmax_rows()
    block = max(BLOCK // (4 * words), size) if dh or dweight else rows
    call = Softmax(rows, words, size, *map(address, (h, weight, bias, targets, logs, *gradients)))
    blocks = max(1, -(-rows // block))
    call.factor = factor
    call.block = -(-rows // (blocks * unit)) * unit
    room = torch.empty(library.elman_softmax_room(ctypes.byref(call), threads) + 64, dtype=torch.uint8)
    call.room = -(-room.data_ptr() // 64) * 64
    library.elman_softmax(ctypes.byref(call), threads)
    return logs, *gradients
