"""The softmax over a vocabulary, in blocks of rows: the logits of a window are never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.backend import half_wanted
from elman.recurrent.kernels.products import rounded

# Numbers in a block of logits: 16 MB, which stay close to the processor until their gradients are computed.
BLOCK = 4_000_000


def vocabulary_loss(h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of `targets` under softmax(h weight' + bias), summed: a scalar with gradients.

    h (rows, size), weight (vocabulary, size), bias (vocabulary,), targets (rows,) ids. The gradients are computed with
    the loss, block by block, so only a block's logits exist at a time and no logit is computed twice.
    Inside `torch.autocast("cpu", torch.bfloat16)` the numbers that are multiplied are rounded to bfloat16; softmax and
    sums stay in float32."""
    loss: Tensor = _Loss.apply(h, weight, bias, targets, half_wanted())
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    @torch.autocast("cpu", enabled=False)  # `_operand` rounds by itself
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: bool) -> Tensor:
        wanted = any(ctx.needs_input_grad[:3])
        loss = h.new_zeros(())
        dh, dW, db = (torch.zeros_like(t) if wanted else None for t in (h, weight, bias))
        W = _operand(weight, half)
        for rows in _blocks(len(h), len(weight)):
            x, gold = _operand(h[rows], half), targets[rows]
            e = (x @ W.t()).add_(bias)
            at = e.gather(1, gold.unsqueeze(1)).squeeze(1)
            top = e.amax(1)
            total = e.sub_(top.unsqueeze(1)).exp_().sum(1)
            loss += (total.log() + top - at).sum()
            if dh is None or dW is None or db is None:
                continue
            # d logits = e / total - [gold]. The division is done on the narrow sides of the products.
            share = total.reciprocal().unsqueeze(1)
            dh[rows] = (_operand(e, half) @ W).mul_(share).sub_(weight[gold])
            dW.addmm_(_operand(e, half).t(), _operand(h[rows] * share, half))
            dW.index_add_(0, gold, h[rows], alpha=-1)
            db.add_(share.squeeze(1) @ e).index_add_(0, gold, torch.ones_like(at), alpha=-1)
        ctx.gradients = (dh, dW, db)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return *(gradient * upstream for gradient in ctx.gradients), None, None


def log_probabilities(h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """(rows,) the log-probability of each target, without gradients. Shapes as in `vocabulary_loss`."""
    with torch.no_grad():
        logs = h.new_empty(len(h))
        for rows in _blocks(len(h), len(weight)):
            logits = torch.addmm(bias, h[rows], weight.t())
            logs[rows] = logits.gather(1, targets[rows].unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
        return logs


def _operand(values: Tensor, half: bool) -> Tensor:
    """A side of a product."""
    return rounded(values) if half else values


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows, as even as possible, whose logits are about BLOCK numbers."""
    count = max(1, round(rows * width / BLOCK))
    size = max(-(-rows // count), 1)
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))
