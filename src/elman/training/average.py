"""The moving average of the weights, which is what is scored and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of the trained parameters (Polyak averaging).

    After step t (from 0) the average moves by `1 - min(decay, (1 + t) / (10 + t))` towards the weights, so that the
    first, random weights are soon forgotten. With decay 0 there is no average and the weights themselves are used.
    Buffers and frozen parameters are not averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad and decay]
        self.names = [name for name, _ in named]
        self.weights: list[Tensor] = [p for _, p in named]
        self.values = [p.detach().clone() for p in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights as they are after step `step` (from 0)."""
        if self.values:
            torch._foreach_lerp_(self.values, self.weights, 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the `with`, the network has the averages as weights; afterwards its own again, bit for bit.

        Values are copied in place, so that whatever shares memory with a parameter stays right.
        """
        own = [p.detach().clone() for p in self.weights]
        _copy(self.values, self.weights)
        try:
            yield
        finally:
            _copy(own, self.weights)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by the name of their parameter; empty without averaging."""
        return dict(zip(self.names, self.values, strict=True))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore averages saved by `tensors`. Raises KeyError or RuntimeError where they do not fit."""
        _copy([tensors[name] for name in self.names], self.values)


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for new, old in zip(source, target, strict=True):
        old.copy_(new)
