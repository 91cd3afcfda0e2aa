"""The settings of a training run: one flat, frozen record, checked when it is created."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

from elman.config.setting import COUNT, NUMBER, SHARE, SIZE, Config, Rule, config, one_of, setting
from elman.errors import UsageError

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?", re.IGNORECASE
)


def parse_duration(text: str) -> float:
    """`90s`, `10m`, `1h30m`, `1.5h` or bare seconds, as seconds. Raises UsageError on anything else and on 0."""
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total < math.inf:
        raise UsageError(f"expected a duration above zero such as 90s, 10m or 1h30m, found {text!r}")
    return total


_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B|B)\s*", re.IGNORECASE)


def parse_memory(memory: str | int) -> int:
    """Bytes of `256MB`, `1.5GiB`, `4096B` or a whole number above 0. Raises UsageError on everything else."""
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    match = _SIZE.fullmatch(memory) if isinstance(memory, str) else None
    if match is None:
        raise UsageError(f'memory: expected a number of bytes or text such as "256MB", found {memory!r}')
    return int(float(match[1]) * _UNITS[match[2].upper()])


EPOCHS, UPDATES = 15, 1000  # without --epochs; small data is read more often: its passes have few updates
_ABOVE = Rule(lambda v: 0 < v < math.inf, "a number above 0")


def passes(updates: int) -> str:
    """The help of --epochs."""
    return f"passes over the training data (default: {EPOCHS}, or as many as make {updates:,} updates of the weights)"


@config
class TrainingConfig(Config):
    """How the loop trains. The same defaults hold in Python and on the command line.

    `max_time` may be given as text (`"10m"`) and is kept in seconds. With it, bit-for-bit reproducibility holds only
    if the clock plays no part: the decay of the learning rate follows the larger of step and time progress.

    updates: without `epochs`, the least number of updates of the weights
    """

    updates: ClassVar[int] = UPDATES

    optimizer: str = setting("adamw", "--optimizer", "how weights are updated", one_of("adamw", "sgd"))
    learning_rate: float = setting(2e-3, "--learning-rate", "peak learning rate", _ABOVE)
    momentum: float = setting(0.9, "--momentum", "momentum of sgd", SHARE)
    weight_decay: float = setting(0.0, "--weight-decay", "pulls the weights towards 0", NUMBER)
    # at most a tenth of the run
    warmup_steps: int = setting(100, "--warmup-steps", "steps with rising learning rate", SIZE)
    decay: str = setting("linear", "--decay", "how the learning rate falls", one_of("linear", "cosine", "none"))
    clip: float = setting(5.0, "--clip", "largest gradient norm; 0: no limit", NUMBER)
    epochs: int | None = setting(
        None,
        "--epochs",
        passes(UPDATES),
        COUNT,
    )
    patience: int = setting(0, "--patience", "epochs without a better dev score before stopping; 0: no limit", SIZE)
    # seconds of the whole run, resumed parts added up
    max_time: float | None = setting(None, "--max-time", "stop after 90s, 10m, 1h30m", _ABOVE, kind="text")
    average: float = setting(0.999, "--average", "decay of the moving average of the weights; 0: none", SHARE)
    batch_tokens: int = setting(500, "--batch-tokens", "words per batch, approximately", COUNT)
    seed: int = setting(1, "--seed", "seed of everything random", SIZE)
    threads: int | None = setting(None, "--threads", "CPU threads", COUNT)
    # some steps of every batch are computed twice where that is too little: see elman.recurrent.memory_plan
    memory: str | None = setting(
        None,
        "--memory",
        "bound on what backpropagation through each recurrent layer holds, such as 256MB",
        Rule(lambda v: _SIZE.fullmatch(v) is not None, 'a size such as "256MB"'),
    )
    checkpoint_every: float = setting(60.0, "--checkpoint-every", "seconds between checkpoints", NUMBER)

    def __post_init__(self) -> None:
        value: Any = self.max_time
        if isinstance(value, str):
            object.__setattr__(self, "max_time", parse_duration(value))
        super().__post_init__()
