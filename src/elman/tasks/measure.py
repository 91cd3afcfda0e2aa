"""How the models of a task are compared: what the statistics of their examples come to."""

from __future__ import annotations

from dataclasses import dataclass

from elman.metrics.significance import Score


@dataclass(frozen=True)
class Measure:
    """The score of `Model.statistics`.

    name:    of the score, as in the JSON of a result
    score:   sums of statistics (samples, k) -> (samples,)
    counted: the column of the statistics that holds an example's size, and `unit` what it is counted in
    lower:   the lower the better
    percent: shown in percent
    more:    keys of a result's JSON that are shown beside it
    """

    name: str
    score: Score
    counted: int = 1
    unit: str = "tokens"
    lower: bool = False
    percent: bool = True
    more: tuple[str, ...] = ()
