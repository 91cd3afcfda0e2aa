"""What a training run is told: one flat, frozen record, checked where it is made."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import msgspec

from elman.errors import UsageError

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?", re.IGNORECASE
)


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `10m`, `1h30m`, `1.5h` or a bare number of seconds. Raises UsageError on all else and on 0."""
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total < math.inf:
        raise UsageError(f"expected a duration above zero such as 90s, 10m or 1h30m, found {text!r}")
    return total


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the loop trains. The same defaults hold in Python and on the command line.

    `max_time` may be given as text (`"10m"`) and is kept in seconds. With it, bit-for-bit reproducibility holds only
    where the clock plays no part: the decay of the learning rate follows the larger of step and time progress.
    Raises UsageError that says what was expected, on construction and (as msgspec.ValidationError) on decoding.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.0
    warmup_steps: int = 100  # at most a tenth of the run
    decay: Literal["linear", "cosine", "none"] = "linear"
    clip: float = 5.0  # largest gradient norm; 0: no clipping
    epochs: int = 15
    patience: int = 0  # epochs without a better dev score before stopping; 0: never
    max_time: float | str | None = None  # seconds of the whole run, resumed parts added up
    average: float = 0.999  # decay of the moving average of the weights; 0: none
    batch_tokens: int = 500
    seed: int = 1
    threads: int | None = None  # None: as torch is set
    checkpoint_every: float = 60.0  # seconds

    def __post_init__(self) -> None:
        if isinstance(self.max_time, str):
            msgspec.structs.force_setattr(self, "max_time", parse_duration(self.max_time))
        for name, (kind, fits, expected) in _RULES.items():
            value = getattr(self, name)
            # bool is an int to Python, never to us
            if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
                raise UsageError(f"training option {name}: expected {expected}, found {value!r}")

    @property
    def time_limit(self) -> float | None:
        """`max_time` in seconds."""
        return self.max_time if self.max_time is None else float(self.max_time)


def _one_of(*names: str) -> tuple[Any, Any, str]:
    return str, lambda value: value in names, "one of " + ", ".join(names)


_NUMBER = (int, float)
# field -> (type, test, what was expected)
_RULES: dict[str, tuple[Any, Any, str]] = {
    "optimizer": _one_of("adamw", "sgd"),
    "learning_rate": (_NUMBER, lambda v: 0 < v < math.inf, "a number above 0"),
    "momentum": (_NUMBER, lambda v: 0 <= v < 1, "a number from 0 to below 1"),
    "weight_decay": (_NUMBER, lambda v: 0 <= v < math.inf, "a number of 0 or more"),
    "warmup_steps": (int, lambda v: v >= 0, "a whole number of 0 or more"),
    "decay": _one_of("linear", "cosine", "none"),
    "clip": (_NUMBER, lambda v: 0 <= v < math.inf, "a number of 0 or more (0 switches clipping off)"),
    "epochs": (int, lambda v: v >= 1, "a whole number of 1 or more"),
    "patience": (int, lambda v: v >= 0, "a whole number of 0 or more (0 switches early stopping off)"),
    "max_time": (
        (int, float, type(None)),
        lambda v: v is None or 0 < v < math.inf,
        "seconds above 0, a duration such as 10m, or none",
    ),
    "average": (_NUMBER, lambda v: 0 <= v < 1, "a number from 0 to below 1 (0 switches averaging off)"),
    "batch_tokens": (int, lambda v: v >= 1, "a whole number of 1 or more"),
    "seed": (int, lambda v: 0 <= v < 2**63, "a whole number from 0 to below 2**63"),
    "threads": ((int, type(None)), lambda v: v is None or v >= 1, "a whole number of 1 or more, or none"),
    "checkpoint_every": (_NUMBER, lambda v: 0 <= v < math.inf, "seconds, 0 or more"),
}
