"""The state of a run: everything about it that is not a tensor."""

from __future__ import annotations

import math
from typing import Any

import msgspec

FORMAT = 1


class Sums(msgspec.Struct, forbid_unknown_fields=True):
    """The sums of the current epoch so far, so that a resumed epoch reports what the whole one would."""

    loss: float = 0.0
    tokens: int = 0
    steps: int = 0
    norm: float = 0.0
    largest_norm: float = 0.0
    seconds: float = 0.0

    def add(self, *, loss: float, tokens: int, norm: float, seconds: float) -> None:
        self.loss += loss
        self.tokens += tokens
        self.steps += 1
        self.norm += norm
        self.largest_norm = max(self.largest_norm, norm)
        self.seconds += seconds

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.tokens, 1)

    @property
    def mean_norm(self) -> float:
        return self.norm / max(self.steps, 1)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


class State(msgspec.Struct, forbid_unknown_fields=True):
    """The cursor, the scores and the clock of a run.

    `epoch` counts from 0 and `batch` is the next batch of it. `history` holds the lines of log.jsonl. `stopped` says
    why training ended: "epochs", "patience" or "time"; None while it runs.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int | None = None
    sums: Sums = msgspec.field(default_factory=Sums)
    history: list[dict[str, Any]] = msgspec.field(default_factory=list)
    stopped: str | None = None

    def line(self, scores: dict[str, float]) -> dict[str, Any]:
        """One line of log.jsonl: the epoch just ended, counted from 1."""
        return {
            "epoch": self.epoch + 1,
            "step": self.step,
            "loss": self.sums.mean_loss,
            "dev": scores,
            "lr": self.rate,
            "grad_norm": {"mean": self.sums.mean_norm, "max": self.sums.largest_norm},
            "tokens_per_second": round(self.sums.tokens_per_second, 1),
            "seconds": round(self.seconds, 3),
        }

    def improves(self, score: float | None) -> bool:
        """Whether weights with this dev score are to be kept. Without a score the last weights count."""
        return score is None or self.best is None or math.isnan(self.best) or score > self.best

    def next_epoch(self) -> None:
        self.epoch += 1
        self.batch = 0
        self.sums = Sums()
