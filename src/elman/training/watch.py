"""What may observe training. The observer is not known here: the loop calls it, and logs what it returns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from elman.training.job import Job


class Watch(Protocol):
    """Observes a training run that must end as if it had not been observed: bit for bit the same weights.

    It may read weights, gradients, random states and what the job carries over, and must leave them as they are."""

    def step(self, job: Job, batch: Any) -> AbstractContextManager[None]:
        """Entered around each step of the optimizer: before it the gradients of the batch exist, after it the new
        weights."""
        ...

    def epoch(self) -> tuple[dict[str, Any], str]:
        """At the end of an epoch: what goes into its line of log.jsonl as "watch", and a line for the terminal."""
        ...
