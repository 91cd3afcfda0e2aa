"""What the jobs of all tasks share: batches made on demand, and what a run depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from elman import __version__
from elman.recurrent import Packed

B = TypeVar("B")


class Lazy(Sequence[B], Generic[B]):
    """`size` batches, each made on demand by make(i)."""

    def __init__(self, size: int, make: Callable[[int], B]) -> None:
        self.size, self.make = size, make

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> B:  # type: ignore[override]
        if not 0 <= i < self.size:
            raise IndexError(i)
        return self.make(i)


def beginnings(layout: Packed, sequences: int, steps: int) -> Packed:
    """The first steps of the longest sequences: its data (rows,) says which rows of `layout` they are."""
    plan = Packed.plan([min(length, steps) for length in layout.lengths[:sequences]])
    return plan.with_data(layout.offsets[plan.position_of_row] + plan.sequence_of_row)


def epoch_seed(seed: int, epoch: int) -> int:
    """For the order of an epoch's batches, which depends on nothing else."""
    return seed * 1_000_003 + epoch


def depends_on(
    settings: Any, train: str, dev: str | None, inputs: Mapping[str, str | bytes | None] | None
) -> dict[str, str]:
    """A job's fingerprint: this version, the settings of its model, hashes of its data and of all other inputs.

    inputs: name -> content; None if absent"""
    parts = {"elman": __version__, "training data": train, "settings": repr(settings)}
    if dev is not None:
        parts["dev data"] = dev
    for name, content in (inputs or {}).items():
        if content is not None:
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            parts[name] = hashlib.sha256(data).hexdigest()
    return parts
