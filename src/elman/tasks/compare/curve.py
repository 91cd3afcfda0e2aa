"""`compare_sizes`: the same comparison on more and more training data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elman.errors import UsageError
from elman.tasks.compare.comparison import STATE, Comparison, Row, Split, compare
from elman.tasks.compare.systems import System
from elman.tasks.measure import Measure


@dataclass(frozen=True)
class LearningCurve:
    """unit: what an example is called; sizes: how many training examples, ascending; comparisons: one for each."""

    unit: str
    sizes: list[int]
    comparisons: list[Comparison]

    @property
    def measure(self) -> Measure | None:
        """None if no training succeeded."""
        return next((one.measure for one in self.comparisons if one.measure is not None), None)

    @property
    def part(self) -> str:
        """ "dev" or "test", what was scored."""
        return self.comparisons[0].part

    @property
    def systems(self) -> list[str]:
        """Their names, as requested."""
        return [row.system for row in self.comparisons[0].rows]

    def rows(self, system: str) -> list[Row]:
        """Those of one system, by size."""
        return [next(row for row in one.rows if row.system == system) for one in self.comparisons]

    def to_json(self) -> dict[str, Any]:
        pairs = zip(self.sizes, self.comparisons, strict=True)
        return {"unit": self.unit, "sizes": [{"first": size, **one.to_json()} for size, one in pairs]}


def compare_sizes(
    task: str,
    systems: Sequence[System],
    split: Split,
    scored: Any,
    out: Path,
    sizes: Sequence[int],
    unit: str,
    *,
    resume: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    **more: Any,
) -> LearningCurve:
    """`compare` with the first N training examples (`elman train --first N`) for every N of `sizes`, in out/N.

    The other arguments are those of `compare`. Raises as it does."""
    if out.exists() and not (resume and out.is_dir()) and (not out.is_dir() or any(out.iterdir())):
        how = "; a comparison is resumed with --resume" if out.is_dir() else ""
        raise UsageError(f"{out}: expected a new or empty folder to write models into, found something else{how}")
    if (out / STATE).exists():
        raise UsageError(f"{out}: expected a comparison of several sizes, found one without; name another folder")
    comparisons = []
    for size in sizes:
        some = replace(split, options=[*split.options, f"--first={size}"])
        note = _prefixed(tell, f"{size:,} {unit}s ")
        comparisons.append(compare(task, systems, some, scored, out / str(size), resume=resume, tell=note, **more))
    return LearningCurve(unit, list(sizes), comparisons)


def _prefixed(tell: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: tell(prefix + text)
