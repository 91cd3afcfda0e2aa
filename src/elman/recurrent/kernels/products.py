"""Products of numbers rounded to bfloat16, with sums and results in float32, on every processor.

torch's own product of bfloat16 numbers also rounds its result, if the processor has such products. So the rounded
numbers are multiplied in float32, which is exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rounded(values: Tensor) -> Tensor:
    """The nearest bfloat16 numbers, in float32. Without a gradient of its own: it would be rounded too."""
    return values.detach().bfloat16().float()


def affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x W + b, (rows, inputs) by (inputs, outputs), of rounded x and W; the incoming gradient is rounded too
    where it is multiplied."""
    result: Tensor = _Affine.apply(x, W, b)
    return result


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x.bfloat16(), W.bfloat16())
        return torch.addmm(b.float(), rounded(x), rounded(W))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        x, W = ctx.saved_tensors
        d = rounded(upstream)
        dx = d @ W.float().t() if ctx.needs_input_grad[0] else None
        dW = x.float().t() @ d if ctx.needs_input_grad[1] else None
        return dx, dW, upstream.sum(0)
