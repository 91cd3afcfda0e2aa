"""`View`: everything to show about one model and one text, as plain data; what the report is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlaceView:
    """One cell in one direction, over the text. T steps, H units, J outputs; steps in the order of the text.

    name:       "layer 2 backward"
    layer:      from 1, the lowest
    reverse:    whether it reads from the end
    below:      the places whose outputs it reads directly; none for the lowest layer
    cell:       the class's name
    equation:   the class's docstring
    source:     the lines of its `step`, or of `R` where it overrides that; empty where unavailable
    assigned:   line of `source` (from 0) -> the names of `quantities` that the line gives a value
    quantities: name -> (T, H): the live numbers of the equation: "x.f", "r.f", "s.c" (before the step), the local
                names of the step such as "f", "c", and the new state, "h", "c"
    states:     field -> (T, H), after each step
    gates:      name -> (T, H)
    saturation: gate -> (near 0, near 1): the shares of its numbers below 0.05 and above 0.95
    gradient:   (J, T) norms of dL_j / ds_i, over the whole state
    radius:     (T,) spectral radius of ds_t / ds_{t-1} (of ds_t / ds_{t+1} in reverse); nan where not requested
    jacobian:   (T,) its spectral norm; nan likewise
    """

    name: str
    layer: int
    reverse: bool
    below: tuple[str, ...]
    cell: str
    equation: str
    source: tuple[str, ...]
    assigned: Mapping[int, tuple[str, ...]]
    quantities: Mapping[str, Floats]
    states: Mapping[str, Floats]
    gates: Mapping[str, Floats]
    saturation: Mapping[str, tuple[float, float]]
    gradient: Floats
    radius: Floats
    jacobian: Floats


@dataclass(frozen=True)
class OutputView:
    """One output: step (None: made from the whole text), what it was scored against, its loss in nats, the most
    likely answers with their probabilities, best first."""

    step: int | None
    target: str
    loss: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class View:
    """title: the model's folder or name; task: its name in `TASKS`; about: further facts about the model, by name.

    tokens:        the T steps as they were read
    outputs:       J of them
    given:         whether the targets were given; otherwise they are the model's own answers
    places:        lowest layer first; of a layer, forward first
    contributions: parameter -> (J, T) norms of what reaches it at step i from output j
    at_output:     parameter -> (J,) norms for parameters above the recurrent layers, which each output reaches directly
    lost:          parameter -> (T + 1,) the share of its gradient, norm by norm, that is lost when only what is fewer
                   than k steps away counts; k = 0 loses everything, k = T nothing
    attribution:   (J, T) gradient x input of the most likely answer's log-probability
    left_out:      (J, T) by how much that falls when token i is left out; nan where undefined
    extras:        what was requested besides the text: "horizon", "probe", "history", "confusion", "reliability",
                   "transitions", "cells" (gradient by distance of several models), "alignment", "written" (what each
                   output owes to what was written before it); each as its figures take it
    warnings:      sentences
    """

    title: str
    task: str
    about: Mapping[str, str | int]
    tokens: tuple[str, ...]
    outputs: tuple[OutputView, ...]
    given: bool
    places: tuple[PlaceView, ...]
    contributions: Mapping[str, Floats]
    at_output: Mapping[str, Floats]
    lost: Mapping[str, Floats]
    attribution: Floats
    left_out: Floats
    extras: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data: arrays as nested lists of 6 digits, what is not a number as null."""
        plain: dict[str, Any] = _plain(self)
        # in the answers of other commands these two are numbers
        plain["sequence"], plain["notes"] = plain.pop("tokens"), plain.pop("warnings")
        return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
