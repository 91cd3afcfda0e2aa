"""What a model is told, by flat keys: how it looks (a struct of its own) and how it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import msgspec

from elman.errors import UsageError, nearest, shorten
from elman.schemes import SCHEMES
from elman.training.config import TrainingConfig

M = TypeVar("M", bound=msgspec.Struct)
Rules = Mapping[str, tuple[Any, str]]
LARGEST = 2**63 - 1  # that torch can be given


class NoTraining(msgspec.Struct, frozen=True):
    """The training options of a model that is counted, not trained by steps."""


@dataclass(frozen=True)
class Settings(Generic[M]):
    """Everything one model is told. model: its own struct; training: `TrainingConfig`, of the task's own defaults."""

    model: M
    training: Any

    @classmethod
    def of(cls, values: Mapping[str, Any], model: type[M], training: type[msgspec.Struct] = TrainingConfig) -> Self:
        """From flat keys; raises UsageError for an unknown key (naming the nearest real one) or a wrong value."""
        known = [*model.__struct_fields__, *training.__struct_fields__]
        for key in values:
            if key not in known:
                raise UsageError(f"unknown setting {key!r}; {nearest(key, known)}")
        return cls(_convert(values, model), _convert(values, training))

    def flat(self) -> dict[str, Any]:
        """All keys with their values."""
        return {**msgspec.to_builtins(self.model), **msgspec.to_builtins(self.training)}


def _convert(values: Mapping[str, Any], kind: type[Any]) -> Any:
    chosen = {key: value for key, value in values.items() if key in kind.__struct_fields__}
    for key, value in chosen.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            raise UsageError(f"setting {key}: expected a number of at most {LARGEST:,}, found {shorten(value)}")
    try:
        return msgspec.convert(chosen, kind)
    except msgspec.ValidationError as problem:
        if isinstance(problem.__cause__, UsageError):
            raise problem.__cause__ from None
        _, _, path = str(problem).rpartition("$.")
        raise UsageError(f"setting {path.rstrip('`') or '?'}: {problem}") from None


def check_rules(config: msgspec.Struct, rules: Rules) -> None:
    """Raise UsageError at the first field that does not fit its rule: field -> (test, what was expected)."""
    for name, (fits, expected) in rules.items():
        if not fits(getattr(config, name)):
            raise UsageError(f"setting {name}: expected {expected}, found {getattr(config, name)!r}")


def one_of(*names: str) -> tuple[Any, str]:
    """The rule of a field that is one of these words."""
    return lambda value: value in names, "one of " + ", ".join(names)


COUNT = (lambda v: v >= 1, "a whole number of 1 or more")
SIZE = (lambda v: v >= 0, "a whole number of 0 or more")
SHARE = (lambda v: 0 <= v < 1, "a number from 0 to below 1")
NUMBER = (lambda v: 0 <= v < math.inf, "a number of 0 or more")
SCHEME = one_of("auto", "none", *SCHEMES)
