"""The softmax over a vocabulary: the logits of a batch are never all in memory.

On the CPU in float32 it is compiled (`elman.recurrent.kernels.softmax`), for ROWS rows and WORDS words or more: fewer
leave most of a tile empty, and one row is not worth packing the weight. Otherwise it is plain torch, in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.backend import half_wanted, library_for
from elman.recurrent.kernels import softmax, top
from elman.recurrent.kernels.products import rounded

# Numbers in a block of logits: 16 MB, which stay close to the processor until their gradients are computed.
BLOCK = 4_000_000
ROWS, WORDS = 8, 16


def vocabulary_loss(h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of `targets` under softmax(h weight' + bias), summed: a scalar with gradients.

    h (rows, size), weight (vocabulary, size), bias (vocabulary,), targets (rows,) ids. The gradients are computed with
    the loss, so only a part of the logits exists at a time and no logit is computed twice.
    Inside `torch.autocast("cpu", torch.bfloat16)` the numbers that are multiplied are rounded to bfloat16; softmax and
    sums stay in float32."""
    loss: Tensor = _Loss.apply(h, weight, bias, targets, half_wanted())
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    @torch.autocast("cpu", enabled=False)  # operands are rounded here, results are not
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: bool) -> Tensor:
        wanted = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:3])
        library = _library(h, weight, bias, targets, half)
        if library is None:
            ctx.factor = h.new_ones(())
            loss, ctx.gradients = _in_blocks(h, weight, bias, targets, half, any(wanted))
        else:
            # training asks for the gradients of the mean, which then need not be multiplied again
            ctx.factor = h.new_ones(()) / max(len(h), 1)
            logs, *gradients = softmax.log_probabilities(
                library, h, weight, bias, targets, *wanted, factor=ctx.factor.item()
            )
            loss, ctx.gradients = -logs.sum(), gradients
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        gradients = ctx.gradients
        if gradients is None:
            raise RuntimeError("the loss of a vocabulary has no second backward pass without retain_graph=True")
        if torch._C._autograd._get_current_graph_task_keep_graph():
            gradients = [None if g is None else g.clone() for g in gradients]
        else:
            ctx.gradients = None  # whoever gets them may add to them in place
        if upstream != ctx.factor:
            gradients = [None if g is None else g.mul_(upstream / ctx.factor) for g in gradients]
        return *gradients, None, None


def _library(h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: bool) -> Any:
    """The compiled softmax, or None where plain torch is to be used. Raises RuntimeError for a target out of range."""
    if len(h) < ROWS or len(weight) < WORDS:
        return None
    library = library_for("the softmax", partial(softmax.library, half), (h, weight, bias))
    if library is not None:
        bias.gather(0, targets)
    return library


def _in_blocks(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: bool, wanted: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """The loss, and its gradients with respect to h, weight and bias if `wanted`."""
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
    return loss, (dh, dW, db)


def log_probabilities(h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """(rows,) the log-probability of each target, without gradients. Shapes as in `vocabulary_loss`."""
    with torch.no_grad():
        if (library := _library(h, weight, bias, targets, False)) is not None:
            return softmax.log_probabilities(library, h, weight, bias, targets)[0]
        logs = h.new_empty(len(h))
        for rows in _blocks(len(h), len(weight)):
            logits = torch.addmm(bias, h[rows], weight.t())
            logs[rows] = logits.gather(1, targets[rows].unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
        return logs


def top_log_probabilities(h: Tensor, weight: Tensor, bias: Tensor, count: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Of the words from id `first` on, the `count` likeliest of each row, best first: their log-probabilities among all
    words (rows, count), and their ids. Without gradients. Shapes as in `vocabulary_loss`."""
    with torch.no_grad():
        logits = torch.addmm(bias, h, weight.t())
        return top_of(logits, count, first)


def top_of(logits: Tensor, count: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """`top_log_probabilities` from logits (rows, vocabulary), or from log-probabilities, which are normalised already.

    Where fewer than `count` words are left, the last ones have the log-probability minus infinity."""
    library = library_for("the search", top.library, (logits,))
    if library is not None:
        return top.top(library, logits, first, count)
    logs = logits.log_softmax(-1)
    logs[:, :first] = -torch.inf
    found, words = min(count, logs.shape[1]), logs.shape[1]
    values, ids = logs.topk(found, -1)
    if found < count:
        values = torch.cat([values, values.new_full((len(values), count - words), -torch.inf)], -1)
        ids = torch.cat([ids, ids.new_full((len(ids), count - words), min(first, words - 1))], -1)
    return values, ids


def _operand(values: Tensor, half: bool) -> Tensor:
    """A side of a product."""
    return rounded(values) if half else values


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows, as even as possible, whose logits are about BLOCK numbers."""
    count = max(1, round(rows * width / BLOCK))
    size = max(-(-rows // count), 1)
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))
