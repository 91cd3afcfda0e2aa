"""What may look on while the loop trains. Whoever looks is not known here: the loop calls, and logs what it is told."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from elman.training.job import Job


class Watch(Protocol):
    """Looks on at a training that must come out as if nobody had: bit for bit the same weights.

    Weights, gradients, random states and what the job carries over are for it to read and to leave as they are."""

    def step(self, job: Job, batch: Any) -> AbstractContextManager[None]:
        """Entered around each step of the optimizer: before it the gradients of the batch are there, after it the new
        weights."""
        ...

    def epoch(self) -> tuple[dict[str, Any], str]:
        """At the end of an epoch: what goes into its line of log.jsonl as "watch", and a line for the terminal."""
        ...
