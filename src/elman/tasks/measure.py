"""How the models of a task are compared: the score of their examples' statistics."""

from __future__ import annotations

from dataclasses import dataclass

from elman.metrics.significance import Score


@dataclass(frozen=True)
class Measure:
    """The score of `Model.statistics`.

    name:    of the score, as in a result's JSON
    score:   sums of statistics (samples, k) -> (samples,)
    counted: the column of the statistics that holds an example's size, and `unit` its unit
    lower:   lower is better
    percent: shown as a percentage
    more:    keys of a result's JSON that are shown next to it
    """

    name: str
    score: Score
    counted: int = 1
    unit: str = "tokens"
    lower: bool = False
    percent: bool = True
    more: tuple[str, ...] = ()
