"""Batches by token budget: sentences of nearby lengths together, nothing dropped, nothing padded."""

from __future__ import annotations

import random
from collections.abc import Sequence

from elman.errors import UsageError


def batches_by_tokens(lengths: Sequence[int], budget: int, seed: int | None = None) -> list[list[int]]:
    """Group the indices of sentences into batches of about `budget` tokens.

    A batch is full when it reaches the budget, so its last sentence may exceed it; every index occurs once. With a
    seed, sentences of nearby lengths (within 3 tokens) and the batches themselves are shuffled: pass another seed each
    epoch. Without one, the order is by length."""
    if budget < 1:
        raise UsageError(f"expected a budget of at least 1 token, found {budget}")
    order = list(range(len(lengths)))
    if seed is None:
        order.sort(key=lambda i: lengths[i])
    else:
        source = random.Random(seed)
        source.shuffle(order)
        order.sort(key=lambda i: lengths[i] + source.uniform(0, 3))
    batches: list[list[int]] = []
    batch: list[int] = []
    tokens = 0
    for i in order:
        batch.append(i)
        tokens += lengths[i]
        if tokens >= budget:
            batches.append(batch)
            batch, tokens = [], 0
    if batch:
        batches.append(batch)
    if seed is not None:
        source.shuffle(batches)
    return batches
