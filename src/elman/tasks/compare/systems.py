"""What is compared: models of a task, each with the settings requested for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elman.errors import UsageError
from elman.tasks import TASKS
from elman.tasks.load import model_class
from elman.tasks.model import Model


@dataclass(frozen=True)
class System:
    """name: as shown; keys: every setting that the model has; settings: those given."""

    name: str
    model: str
    settings: Mapping[str, Any]
    keys: frozenset[str]

    @property
    def random(self) -> bool:
        """Whether it depends on a seed that is not given: it is then run with several."""
        return "seed" in self.keys and "seed" not in self.settings

    def folder(self, seed: int) -> str:
        """The model's, below that of the comparison."""
        return f"{re.sub(r'[^A-Za-z0-9.=_,-]+', '-', self.name)}-{seed}"

    def seeds(self, count: int) -> list[int]:
        """Those to run it with: from 1 on, or the one given."""
        return list(range(1, count + 1)) if self.random else [int(self.settings.get("seed", 1))]


def default_systems(task: str) -> list[str]:
    """Every model of a task: its rivals, then the network. Raises UsageError for an unknown task."""
    if task not in TASKS:
        model_class(task)
    network, *rivals = TASKS[task]
    return [*rivals, network]


def make_system(task: str, name: str, model: str, settings: Mapping[str, Any] | None = None) -> System:
    """Checked. Raises UsageError for an unknown model or setting, and for a model that cannot be compared."""
    kind = model_class(task, model)
    if kind.statistics is Model.statistics:
        raise UsageError(f"a model of kind {task} {model} has no statistics, so it cannot be compared; leave it out")
    kind(**(settings or {}))  # raises if a setting is invalid
    keys = frozenset((*kind.config.names(), *kind.training.names()))
    return System(name, model, dict(settings or {}), keys)


def require_distinct(systems: Sequence[System]) -> None:
    """Raises UsageError if there are none, or if two would have the same folder."""
    if not systems:
        raise UsageError("expected systems to compare, found none")
    seen: dict[str, str] = {}
    for system in systems:
        other = seen.setdefault(system.folder(1).lower(), system.name)
        if other is not system.name:
            raise UsageError(f"expected different systems, found {other!r} and {system.name!r}; leave one out")
