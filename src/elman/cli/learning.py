"""`elman compare --sizes`: which sizes, and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.cli.tasks.base import Task
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.inspect.figures import Figure
    from elman.tasks.compare.curve import LearningCurve

ALL = "all"


def read_sizes(text: str) -> list[int | None]:
    """The numbers of --sizes, None for `all`. Raises UsageError unless they are positive and ascending."""
    sizes: list[int | None] = []
    for part in (part.strip() for part in text.split(",")):
        if part != ALL and not (part.isascii() and part.isdecimal() and int(part) > 0):
            raise UsageError(f"--sizes: expected whole numbers above 0, or {ALL}, found {part!r}")
        sizes.append(None if part == ALL else int(part))
    for before, after in pairwise(sizes):
        if before is None or (after is not None and after <= before):
            raise UsageError(f"--sizes: expected each size once, in ascending order, found {text!r}")
    return sizes


def numbers_of(sizes: Sequence[int | None], task: Task, train: Any) -> list[int]:
    """The sizes as numbers of examples. Raises UsageError if there are not so many."""
    size = task.size(train)
    numbers = [size if number is None else number for number in sizes]
    if max(numbers) > size:
        raise UsageError(f"--sizes: expected at most the {size:,} {task.unit}s there are, found {max(numbers):,}")
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--sizes: {ALL} is {size:,} {task.unit}s, which is given as a number too; leave one out")
    return numbers


def check_figure(path: str, sizes: object) -> None:
    """What can be checked before training. Raises UsageError."""
    import importlib.util

    if sizes is None:
        raise UsageError("--figure draws a learning curve; give --sizes too, such as --sizes 100,1000,all")
    if Path(path).suffix not in (".svg", ".png"):
        raise UsageError(f"--figure {path}: expected a name that ends in .svg or .png")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"--figure {path}: there is no folder {Path(path).absolute().parent}; create it first")
    if Path(path).suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"--figure {path}: PNG needs matplotlib: pip install 'elman[figures]'; SVG does not")


def learning_figure(curve: LearningCurve) -> Figure:
    """Scores and intervals, as in the table."""
    import numpy as np

    from elman.inspect.figures import figure

    measure = curve.measure
    factor, unit = (100.0, " in %") if measure is not None and measure.percent else (1.0, "")

    def numbers(values: Sequence[float | None]) -> Any:
        return np.array([math.nan if value is None else factor * value for value in values])

    scores, low, high = {}, {}, {}
    for name in curve.systems:
        rows = curve.rows(name)
        scores[name] = numbers([row.mean for row in rows])
        low[name] = numbers([None if row.interval is None else row.interval.low for row in rows])
        high[name] = numbers([None if row.interval is None else row.interval.high for row in rows])
    up = f"{'score' if measure is None else measure.name}{unit} on {curve.part}"
    drawn: Figure = figure("learning_curve")(curve.sizes, scores, low, high, f"training {curve.unit}s", up)
    return drawn
