"""Attention on a ragged memory, compiled: what attention.h computes, on torch's tensors."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.kernels import build, compiled
from elman.recurrent.kernels.abi import Attention, address

Layout = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""(sources + 1,) the rows of each source, its positions and its pairs, int64; the order of the rows, or None."""


@cache
def library() -> Any:
    """The library for float32 numbers. Raises BuildError."""
    source = f'{compiled.defined("float", False)}#include "attention.h"\n'
    made = build.load(source, build.headers("maths.h", "operands.h", "tiles.h", "attention.h"), "attention")
    for function in (made.elman_attention, made.elman_attention_backward):
        function.restype, function.argtypes = None, [ctypes.POINTER(Attention), ctypes.c_int]
    return made


def forward(
    library: Any,
    layout: Layout,
    queries: Tensor | None,
    keys: Tensor | None,
    values: Tensor | None,
    weights: Tensor,
    softmax: bool,
) -> Tensor | None:
    """Fill weights (pairs,) from queries (rows, dim) and keys (positions, dim), unless there are none; the context
    (rows, width) from values (positions, width), or None. All float32 and contiguous."""
    call = _call(layout, queries, keys, values, weights, softmax)
    context = None
    if values is not None:
        rows = int(layout[0][-1])
        context = torch.zeros(rows, values.shape[1]) if not len(weights) else torch.empty(rows, values.shape[1])
        call.context = address(context)
    if len(weights):  # an empty tensor has no address
        library.elman_attention(ctypes.byref(call), torch.get_num_threads())
    return context


def backward(
    library: Any,
    layout: Layout,
    queries: Tensor | None,
    keys: Tensor | None,
    values: Tensor | None,
    weights: Tensor,
    softmax: bool,
    dcontext: Tensor | None,
    dweights: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """The gradients of queries, keys and values, if wanted, and of given weights; None for the others."""
    call = _call(layout, queries, keys, values, weights, softmax)
    given = zip((queries, keys, values), wanted, strict=True)
    new = torch.empty_like if len(weights) else torch.zeros_like
    gradients = tuple(new(t) if t is not None and needed else None for t, needed in given)
    dpairs = torch.empty_like(weights)
    call.dcontext, call.dweights = address(dcontext), address(dweights)
    call.dqueries, call.dkeys, call.dvalues = map(address, gradients)
    call.dpairs = address(dpairs)
    if len(weights):
        library.elman_attention_backward(ctypes.byref(call), torch.get_num_threads())
    return *gradients, dpairs  # type: ignore[return-value]


def _call(
    layout: Layout, queries: Tensor | None, keys: Tensor | None, values: Tensor | None, weights: Tensor, softmax: bool
) -> Attention:
    dim = 0 if queries is None else queries.shape[1]
    width = 0 if values is None else values.shape[1]
    call = Attention(len(layout[0]) - 1, dim, width, *map(address, layout))
    call.queries, call.keys, call.values = address(queries), address(keys), address(values)
    call.weights, call.softmax = address(weights), softmax
    return call
