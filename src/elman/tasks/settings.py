"""The settings of a model, by flat keys: its architecture (a class of its own) and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from elman.config import Config, TrainingConfig, config
from elman.errors import UsageError, nearest

M = TypeVar("M", bound=Config)


@config
class NoTraining(Config):
    """The training options of a model that is estimated in one go, not trained in steps."""


@dataclass(frozen=True)
class Settings(Generic[M]):
    """All settings of one model. model: its own class; training: `TrainingConfig`, with the task's own defaults."""

    model: M
    training: Any

    @classmethod
    def of(cls, values: Mapping[str, Any], model: type[M], training: type[Config] = TrainingConfig) -> Self:
        """From flat keys; raises UsageError for an unknown key (naming the nearest real one) or an invalid value."""
        known = [*model.names(), *training.names()]
        for key in values:
            if key not in known:
                raise UsageError(f"unknown setting {key!r}; {nearest(key, known)}")

        def build(kind: type[Any]) -> Any:
            return kind(**{key: value for key, value in values.items() if key in kind.names()})

        return cls(build(model), build(training))

    def flat(self) -> dict[str, Any]:
        """All keys with their values."""
        return {**self.model.to_dict(), **self.training.to_dict()}
