"""Products of numbers rounded to bfloat16, with sums and results in float32, on every processor.

torch's own product of bfloat16 numbers also rounds its result, if the processor has such products. So where it has them
products are compiled (products.h); elsewhere the rounded numbers are multiplied in float32, which is exact."""

from __future__ import annotations

import ctypes
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman.errors import SlowPath
from elman.recurrent.kernels import build, compiled
from elman.recurrent.kernels.abi import COUNT, Product, Side, address


def rounded(values: Tensor) -> Tensor:
    """The nearest bfloat16 numbers, in float32. Without a gradient of its own: it would be rounded too."""
    return values.detach().bfloat16().float()


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left (rows, depth) times right (depth, columns), rounded to bfloat16, plus bias (columns,): float32, without a
    gradient. left and right may be float32 or bfloat16, and views, such as a transpose or some of the columns."""
    library = _library(compiled.DOT)
    if library is None or not (left.numel() and right.numel()):
        result = rounded(left) @ rounded(right)
        return result if bias is None else result.add_(bias.detach())
    left, right = _in_line(left), _in_line(right)
    bias = None if bias is None else bias.detach().float().contiguous()
    out = torch.empty(len(left), right.shape[1])
    call = Product(*left.shape[:1], right.shape[1], left.shape[1], _side(left), _side(right.t()))
    call.bias, call.out, call.out_stride = address(bias), address(out), out.shape[1]
    threads = torch.get_num_threads()
    room = torch.empty(library.elman_product_room(ctypes.byref(call), threads) + 64, dtype=torch.uint8)
    call.room = -(-room.data_ptr() // 64) * 64
    library.elman_product(ctypes.byref(call), threads)
    return out


def _in_line(values: Tensor) -> Tensor:
    """The same numbers, with those of a row or of a column side by side."""
    return values.detach() if 1 in values.stride() else values.detach().contiguous()


def _side(values: Tensor) -> Side:
    """values: (i, k), with k along the sum."""
    turned = values.stride(1) != 1
    return Side(address(values), values.stride(int(turned)), turned, values.dtype == torch.bfloat16)


@cache
def _library(dot: str | None) -> Any:
    """The compiled product, or None where the processor multiplies no bfloat16 numbers, or nothing can be compiled."""
    headers = build.headers("maths.h", "operands.h", "tiles.h", "products.h")
    try:
        made = build.load(f'{compiled.defined("float", True)}#include "products.h"\n', headers, "products")
    except build.BuildError as problem:
        why = f"products in bfloat16 were not compiled: {problem.reason}; they run in float32, which is slower"
        warnings.warn(why, SlowPath, stacklevel=2)
        return None
    if not made.elman_product_paired():
        return None
    made.elman_product_room.restype = COUNT
    for function in (made.elman_product_room, made.elman_product):
        function.argtypes = [ctypes.POINTER(Product), ctypes.c_int]
    return made


def affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x W + b, (rows, inputs) by (inputs, outputs), of rounded x and W; the incoming gradient is rounded too
    where it is multiplied."""
    result: Tensor = _Affine.apply(x, W, b)
    return result


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x.bfloat16(), W)
        return product(x, W, b)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        x, W = ctx.saved_tensors
        dx = product(upstream, W.t()) if ctx.needs_input_grad[0] else None
        dW = product(x.t(), upstream) if ctx.needs_input_grad[1] else None
        return dx, dW, upstream.sum(0)
