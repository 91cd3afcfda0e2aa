"""The learning rate as a function of how much of the run is done."""

from __future__ import annotations

import math

from elman.config import TrainingConfig
from elman.config.training import EPOCHS

# A warm-up longer than this part of a short run would leave no time to learn.
LONGEST_WARMUP = 0.1


def planned_epochs(config: TrainingConfig, batches: int) -> int:
    """Passes over the training data, of so many batches each."""
    return max(EPOCHS, -(-config.updates // max(batches, 1))) if config.epochs is None else config.epochs


def progress(config: TrainingConfig, *, epochs: int, epoch: int, batch: int, batches: int, seconds: float) -> float:
    """How much of the run is done, 0 to 1: the larger of the part of the steps and the part of the time.

    `epoch` counts from 0, `batch` of `batches` is the position in it. Steps count as parts of an epoch, so epochs may
    differ in their number of batches. Where there is a time limit its part counts too, so that a run cut short by
    time still ends on a decayed learning rate.
    """
    steps = (epoch + batch / batches) / epochs
    return min(1.0, steps if config.max_time is None else max(steps, seconds / config.max_time))


def rate(config: TrainingConfig, *, step: int, done: float) -> float:
    """The learning rate of step `step` (from 0) when `done` of the run (see `progress`) is over.

    It rises linearly over `warmup_steps` (or over a tenth of the run, where that is shorter), times a decay
    over the whole run: `1 - done` (linear), half a cosine (cosine) or 1 (none).
    """
    warm = 1.0
    if step < config.warmup_steps:
        warm = min(1.0, max((step + 1) / config.warmup_steps, done / LONGEST_WARMUP))
    decay = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "none": 1.0}[config.decay]
    return config.learning_rate * warm * decay
