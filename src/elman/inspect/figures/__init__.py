"""Figures: each a pure function from arrays to a `Figure`, and a row in FIGURES; `figure(name)` gives the function.

`figures_of(view)` draws everything that a View has data for.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from elman.errors import UsageError, nearest
from elman.inspect.figures.scene import Figure
from elman.inspect.view import OutputView, PlaceView, View

__all__ = ["FIGURES", "Figure", "figure", "figures_of", "of_extra"]

FIGURES: dict[str, str] = {
    "compact": "elman.inspect.figures.graph:compact",
    "unrolled": "elman.inspect.figures.graph:unrolled",
    "heat": "elman.inspect.figures.heat:heat",
    "coloured_text": "elman.inspect.figures.heat:coloured_text",
    "gradient_by_distance": "elman.inspect.figures.curves:gradient_by_distance",
    "contributions": "elman.inspect.figures.matrices:contributions",
    "lost": "elman.inspect.figures.curves:lost",
    "training_curves": "elman.inspect.figures.curves:training_curves",
    "confusion": "elman.inspect.figures.matrices:confusion",
    "reliability": "elman.inspect.figures.answers:reliability",
    "transitions": "elman.inspect.figures.matrices:transitions",
    "probe": "elman.inspect.figures.curves:probe",
    "horizon": "elman.inspect.figures.curves:horizon",
    "probabilities": "elman.inspect.figures.answers:probabilities",
    "spectral": "elman.inspect.figures.curves:spectral",
    "attribution": "elman.inspect.figures.matrices:attribution",
    "alignment": "elman.inspect.figures.matrices:alignment",
    "arcs": "elman.inspect.figures.arcs:arcs",
    "written": "elman.inspect.figures.matrices:written",
    "written_gradient": "elman.inspect.figures.matrices:written_gradient",
    "accuracy_by_length": "elman.inspect.figures.curves:accuracy_by_length",
    "learning_curve": "elman.inspect.figures.learning:learning_curve",
}
EXTRAS = {  # of a View -> the figures that draw it
    "cells": ("gradient_by_distance",),
    "history": ("training_curves",),
    "confusion": ("confusion",),
    "reliability": ("reliability",),
    "transitions": ("transitions",),
    "probe": ("probe",),
    "horizon": ("horizon",),
    "alignment": ("alignment", "arcs"),
    "written": ("written", "written_gradient"),
}
# extras that are a mapping of their figures' arguments
SEVERAL = ("confusion", "transitions", "horizon", "alignment", "written")


def figure(name: str) -> Callable[..., Figure]:
    """The function of a figure. Raises UsageError for an unknown name."""
    if name not in FIGURES:
        raise UsageError(f"unknown figure {name!r}; {nearest(name, FIGURES)}")
    module, _, function = FIGURES[name].partition(":")
    draw: Callable[..., Figure] = getattr(importlib.import_module(module), function)
    return draw


def of_extra(name: str, value: Any) -> dict[str, Figure]:
    """The figures of one of a View's extras, by their names. Raises UsageError for an unknown name."""
    if name not in EXTRAS:
        raise UsageError(f"unknown extra {name!r}; {nearest(name, EXTRAS)}")
    draw = {one: figure(one) for one in EXTRAS[name]}
    return {one: draw[one](**value) if name in SEVERAL else draw[one](value) for one in draw}


def figures_of(view: View) -> dict[str, Figure]:
    """All figures that a View has data for, by names fit for files: "unrolled", "states-layer-1-forward", ..."""
    drawn: dict[str, Figure] = {}
    for name, drawing in _figures(view):
        slug = re.sub(r"[^\w]+", "-", name).strip("-")
        known = {key.casefold() for key in drawn}  # some file systems ignore case
        number = next(
            n for n in range(1, len(drawn) + 2) if (slug if n == 1 else f"{slug}-{n}").casefold() not in known
        )
        drawn[slug if number == 1 else f"{slug}-{number}"] = drawing
    return drawn


def _figures(view: View) -> Iterator[tuple[str, Figure]]:
    outputs = [_name(output, view) for output in view.outputs]
    steps = [output.step for output in view.outputs]
    for name in ("compact", "unrolled"):
        yield name, figure(name)(view)
    for place in view.places:
        yield from _of_place(place, view)
        title = f"norm of dL/ds, {place.name}"
        yield (
            f"gradient {place.name}",
            figure("contributions")(place.gradient, view.tokens, outputs, title, steps=steps),
        )
    if view.places and view.outputs:
        yield "gradient by distance", figure("gradient_by_distance")(_by_distance(view))
    if any(np.isfinite(place.radius).any() or np.isfinite(place.jacobian).any() for place in view.places):
        yield "spectral", figure("spectral")(view.places)
    for name, values in view.contributions.items():
        title = f"what reaches {name} at each step from each output"
        yield f"contributions {name}", figure("contributions")(values, view.tokens, outputs, title, steps=steps)
    if view.lost:
        yield "lost", figure("lost")(view.lost)
    for name, values, words in (
        ("attribution", view.attribution, "gradient x input"),
        ("left out", view.left_out, "what is lost without the token"),
    ):
        if np.isfinite(values).any():
            title = f"what drove each output: {words}"
            yield name, figure("attribution")(values, view.tokens, outputs, title)
    if view.outputs:
        yield "probabilities", figure("probabilities")(view.outputs, view.tokens)
    for name, value in view.extras.items():
        if name not in EXTRAS:
            continue
        for one, drawing in of_extra(name, value).items():
            own = one if len(EXTRAS[name]) > 1 else name
            yield ("gradient by distance cells" if name == "cells" else own), drawing


def _of_place(place: PlaceView, view: View) -> Iterator[tuple[str, Figure]]:
    """States, gates, and the text coloured by the unit that varies most."""
    draw = figure("heat")
    for field, values in place.states.items():
        name = f"states {place.name}" if field == "h" else f"states {field} {place.name}"
        title = f"state {field}, {place.name}"
        yield name, draw(values, view.tokens, title, place=place.name, name=field)
    for gate, values in place.gates.items():
        title, signed = f"gate {gate}, {place.name}", bool((values < 0).any())
        yield (
            f"gate {gate} {place.name}",
            draw(values, view.tokens, title, signed=signed, place=place.name, name=gate),
        )
    if place.states:
        field = "h" if "h" in place.states else next(iter(place.states))
        values = place.states[field]
        if values.size:
            unit = int(np.argmax(values.std(0)))
            title = f"unit {unit} of {field}, {place.name}: the one that varies most"
            yield f"unit {place.name}", figure("coloured_text")(view.tokens, values[:, unit], title)


def _by_distance(view: View) -> Mapping[str, Any]:
    """Mean norm of dL_j / ds_i at each distance, by place."""
    from elman.inspect.backward import by_distance

    steps = [output.step for output in view.outputs]
    return {place.name: by_distance(place.gradient, steps) for place in view.places}


def _name(output: OutputView, view: View) -> str:
    """The label of an output next to a matrix."""
    return output.target if output.step is None else f"{view.tokens[output.step]} → {output.target}"
