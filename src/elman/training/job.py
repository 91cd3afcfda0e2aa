"""A task as the training loop sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Excerpt(NamedTuple):
    """A few sequences of a batch, cut short, from which single outputs can be backpropagated through the network.

    losses:  a pass that gives the loss (J,) of each output, with gradients; it calls `network.layers` once
    outputs: (sequence, step) of each of them; a step of None is an output for the whole sequence
    """

    losses: Callable[[], Tensor]
    outputs: Sequence[tuple[int, int | None]]


class Job:
    """What the loop trains.

    network     what is trained; the loop switches it between training and evaluation mode
    metric      the dev score to be maximized, or None without dev data: then the last weights count
    score_every how many epochs there are from one dev score to the next; there is always one after the last
    """

    network: nn.Module
    metric: str | None
    score_every: int = 1

    def fingerprint(self) -> dict[str, str]:
        """Name -> hash or setting of everything that must be the same on resuming: data, architecture."""
        raise NotImplementedError

    def batches(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch (from 0), in an order that depends on the seed and the epoch only."""
        raise NotImplementedError

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """The loss summed over the tokens of a batch, and their number. Noise comes from torch's default generator."""
        raise NotImplementedError

    def score(self) -> dict[str, float]:
        """The scores of the network, as it is, on dev data."""
        raise NotImplementedError

    def rate_scale(self, batch: Any) -> float:
        """What the learning rate is multiplied by for this batch."""
        return 1.0

    def carried(self) -> dict[str, Tensor]:
        """What is carried over from one batch to the next, such as the state of a stream: part of the checkpoint."""
        return {}

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `carried` returned."""

    def excerpt(self, batch: Any, sequences: int, steps: int) -> Excerpt | None:
        """The first steps of the longest few sequences of a batch, for observers (`fit(..., watch=)`); None where
        there is nothing to see. It carries nothing over."""
        return None
