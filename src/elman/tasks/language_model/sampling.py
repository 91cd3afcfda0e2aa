"""Drawing a token from a distribution: temperature, the k likeliest, the likeliest that make up a share."""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.errors import UsageError


class Choice:
    """How tokens are drawn, with its own generator. Raises UsageError for values out of range."""

    def __init__(self, temperature: float, top_k: int, top_p: float, seed: int | None) -> None:
        if not 0 <= temperature < np.inf:
            raise UsageError(f"expected a temperature of 0 or more, found {temperature}")
        if top_k < 0:
            raise UsageError(f"expected top_k of 0 (any) or more, found {top_k}")
        if not 0 < top_p <= 1:
            raise UsageError(f"expected top_p above 0 and at most 1, found {top_p}")
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.source = np.random.default_rng(seed)

    def draw(self, logits: np.ndarray[Any, Any]) -> int:
        """An index of logits (vocabulary,), which may be off by a constant. Those of minus infinity are never drawn."""
        if self.temperature == 0:
            return int(logits.argmax())
        kept = None
        if self.top_k and self.top_k < len(logits):
            kept = np.argpartition(logits, -self.top_k)[-self.top_k :]
            logits = logits[kept]
        chances = np.exp((logits - logits.max()) / self.temperature)
        if self.top_p < 1:
            order = np.argsort(-chances, kind="stable")
            sums = np.cumsum(chances[order])
            count = int(np.searchsorted(sums, self.top_p * sums[-1])) + 1
            order = order[:count]
            kept, chances = order if kept is None else kept[order], chances[order]
        sums = chances.cumsum()
        i = int(sums.searchsorted(self.source.random() * sums[-1], side="right"))
        i = min(i, len(sums) - 1)
        return i if kept is None else int(kept[i])
