"""What a tagger is told: how its network looks (`TaggerConfig`) and how it is trained (`TrainingConfig`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elman.errors import UsageError, nearest
from elman.training.config import TrainingConfig


class TaggerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture of a tagger. The same defaults hold in Python and on the command line.

    hidden_size and char_hidden_size are those of each direction. Raises UsageError that says what was expected.
    """

    cell: str = "lstm"  # a registered cell, or file.py:MyCell
    hidden_size: int = 200
    layers: int = 1
    one_way: bool = False  # left to right only: the tagger can then run along with its input
    delays: int = 1  # how many earlier outputs U sees
    window_before: int = 0  # neighbouring words that each step sees at its input
    window_after: int = 0
    crf: bool = False
    scheme: str = "auto"  # io, iob1, iob2, bioes, none; auto looks at the training tags
    word_size: int = 128
    char_cell: str = "lstm"
    char_size: int = 48  # 0: no characters
    char_hidden_size: int = 96
    vectors: str | None = None  # a file of word vectors: word2vec, GloVe or fastText text
    dropout: float = 0.5  # variational, around and between the recurrent layers
    word_dropout: float = 0.2  # in training a word's own vector is 0 this often: its characters and neighbours must do
    unknown: float = 0.25  # in training a word seen n times is unknown with probability unknown / (unknown + n)

    def __post_init__(self) -> None:
        for name, (fits, expected) in _RULES.items():
            if not fits(getattr(self, name)):
                raise UsageError(f"setting {name}: expected {expected}, found {getattr(self, name)!r}")
        if self.word_size == 0 and self.char_size == 0 and self.vectors is None:
            raise UsageError("expected words, characters or vectors to read: word_size and char_size are both 0")
        if self.one_way and self.window_after:
            raise UsageError("one_way looks at nothing to the right, so window_after must be 0")


_COUNT = (lambda v: v >= 1, "a whole number of 1 or more")
_SIZE = (lambda v: v >= 0, "a whole number of 0 or more")
_SHARE = (lambda v: 0 <= v < 1, "a number from 0 to below 1")
_RULES: dict[str, tuple[Any, str]] = {
    "hidden_size": _COUNT,
    "layers": _COUNT,
    "delays": _COUNT,
    "char_hidden_size": _COUNT,
    "word_size": _SIZE,
    "char_size": _SIZE,
    "window_before": _SIZE,
    "window_after": _SIZE,
    "dropout": _SHARE,
    "word_dropout": _SHARE,
    "unknown": (lambda v: v >= 0, "a number of 0 or more"),
    "scheme": (lambda v: v in ("auto", "none", "io", "iob1", "iob2", "bioes"), "auto, none, io, iob1, iob2 or bioes"),
}


class Settings(msgspec.Struct, frozen=True):
    """Everything one run is told."""

    model: TaggerConfig
    training: TrainingConfig

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """From flat keys; raises UsageError for an unknown key (naming the nearest real one) or a wrong value."""
        names = {"model": TaggerConfig.__struct_fields__, "training": TrainingConfig.__struct_fields__}
        known = [*names["model"], *names["training"]]
        for key in values:
            if key not in known:
                raise UsageError(f"unknown setting {key!r}; {nearest(key, known)}")
        parts: dict[str, Any] = {}
        for part, kind in (("model", TaggerConfig), ("training", TrainingConfig)):
            chosen = {key: value for key, value in values.items() if key in names[part]}
            try:
                parts[part] = msgspec.convert(chosen, kind)
            except msgspec.ValidationError as problem:
                if isinstance(problem.__cause__, UsageError):
                    raise problem.__cause__ from None
                raise UsageError(f"setting {_key(problem)}: {problem}") from None
        return cls(**parts)

    def flat(self) -> dict[str, Any]:
        """All keys with their values."""
        return {**msgspec.to_builtins(self.model), **msgspec.to_builtins(self.training)}


def _key(problem: msgspec.ValidationError) -> str:
    _, _, path = str(problem).rpartition("$.")
    return path.rstrip("`") or "?"
