"""Lines: gradients and probes by distance, what a truncation loses, the horizon, spectra, training, lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elman.inspect.figures.axes import Box, Curve, band, coloured, plot
from elman.inspect.figures.colours import Floats
from elman.inspect.figures.scene import Circle, Figure, Line, Mark, Text
from elman.inspect.figures.wording import number, width
from elman.inspect.view import PlaceView

LEFT, TOP, WIDE, HIGH, ROOM = 64.0, 44.0, 400.0, 240.0, 190.0
METRICS = ("log_likelihood", "f1", "micro_f1", "accuracy")  # the dev scores that training uses, higher is better


def gradient_by_distance(curves: Mapping[str, Floats], title: str = "gradient norm by distance") -> Figure:
    """The norm of dL_j / ds_i by |j - i|, (D,) per name, on a logarithmic scale. nan and 0 are left out."""
    lines = coloured([_curve(name, values) for name, values in curves.items()])
    marks, _, _ = plot(lines, _box(), "steps between the state and the output", "norm of dL/ds", log=True, room=ROOM)
    ends = ", ".join(f"{name} from {_first(values)} to {_last(values)}" for name, values in curves.items())
    return _figure(marks, title, f"The norm of the gradient by its distance in steps: {ends or 'nothing'}.")


def lost(lost: Mapping[str, Floats], title: str = "what a truncation to k steps loses") -> Figure:
    """The share of each parameter's gradient, (T + 1,), that is lost when only what is fewer than k steps away counts.

    Drawn from most to least lost; beyond eight parameters the rest are grey."""
    order = sorted(lost, key=lambda name: -float(np.nansum(lost[name])))
    lines = coloured([_curve(name, lost[name]) for name in order])
    marks, _, _ = plot(lines, _box(), "truncation length k", "share of the gradient lost", share=True, room=ROOM)
    return _figure(marks, title, f"The share of the gradient lost by truncation length, of {len(lost)} parameter(s).")


def probe(curves: Mapping[str, tuple[Floats, Floats]], title: str = "what the state remembers") -> Figure:
    """A linear probe's accuracy by the distance of what it predicts, (D,) per name, and its shuffled control's."""
    lines: list[Curve] = []
    for line, (_, control) in zip(
        coloured([_curve(name, accuracy) for name, (accuracy, _) in curves.items()]), curves.values(), strict=True
    ):
        values = np.asarray(control, float)
        lines += [
            line,
            Curve(
                f"{line.name}, shuffled", np.arange(len(values), dtype=float), values, line.colour, (4, 3), line.label
            ),
        ]
    marks, _, _ = plot(lines, _box(), "steps back", "accuracy of the probe", share=True, room=ROOM)
    words = "; ".join(f"{name} from {_first(a)} to {_last(a)}" for name, (a, _) in curves.items())
    return _figure(marks, title, f"Held-out accuracy of a linear probe by distance: {words or 'nothing'}.")


def spectral(places: Sequence[PlaceView], title: str = "the one-step Jacobian") -> Figure:
    """The spectral radius of ds_t / ds_{t-1} by step, and dashed its norm, one colour per place. At 1 nothing fades."""
    lines: list[Curve] = []
    for line, place in zip(coloured([_curve(place.name, place.radius) for place in places]), places, strict=True):
        norm = _curve(f"{place.name}, norm", place.jacobian)
        lines += [line, Curve(norm.name, norm.xs, norm.ys, line.colour, (4, 3), line.label)]
    marks, _, y = plot(lines, _box(), "step", "spectral radius; norm", zero=True, room=ROOM, more=(1.0,))
    marks.append(Line(((LEFT, y(1)), (LEFT + WIDE, y(1))), "accent", 1.5, dash=(6, 4), title="1: nothing fades"))
    words = "; ".join(f"{place.name} {number(_mean(place.radius))}" for place in places)
    return _figure(marks, title, f"Mean spectral radius of the one-step Jacobian: {words or 'nothing'}.")


def horizon(
    curves: Mapping[str, Mapping[str, Floats]],
    found: Mapping[str, tuple[float, float, float]],
    title: str = "how far back context counts",
) -> Figure:
    """By side ("left", "right"): the loss by the number of tokens of context, (N + 1,), and the share of the gradient
    by distance; the horizon that was found (steps, low, high) as a line in the band of its interval."""
    marks: list[Mark] = []
    for panel, (key, up) in enumerate((("loss", "loss, nats"), ("gradient", "share of the gradient"))):
        lines = coloured([_curve(side, curve[key]) for side, curve in curves.items() if key in curve])
        across = "tokens of context" if key == "loss" else "distance in steps"
        more = (0.0,) if key == "gradient" else ()
        box = Box(LEFT + panel * (WIDE + 150), TOP, WIDE - 60, HIGH)
        drawn, x, y = plot(lines, box, across, up, room=80, more=more)
        below: list[Mark] = []
        for line in lines:
            if line.name in found:
                steps, low, high = found[line.name]
                below.append(band(low, high, x, y, line.colour))
                if math.isfinite(steps) and x.low <= steps <= x.high:
                    words = f"horizon, {line.name}: {number(steps)} steps ({number(low)} to {number(high)})"
                    points = ((x(steps), y.start), (x(steps), y.end))
                    data: dict[str, str | int] = {"name": line.name, "horizon": number(steps)}
                    below.append(Line(points, line.colour, 1.5, dash=(5, 3), title=words, data=data))
        marks += [*below, *drawn]
    words = "; ".join(
        f"{side} {number(s)} steps, interval {number(a)} to {number(b)}" for side, (s, a, b) in found.items()
    )
    marks.append(Text(LEFT, TOP + HIGH + 54, f"horizon: {words}" if words else "no horizon found", "muted", 11))
    return _figure(
        marks, title, f"The memory horizon: {words or 'not found'}.", wide=LEFT + 2 * WIDE + 150 + 40, more=14
    )


def accuracy_by_length(
    curves: Mapping[str, Mapping[int, float]],
    title: str = "accuracy by length of the source",
    *,
    known: int | None = None,
) -> Figure:
    """By name: the share of sources of each length that are answered right. known: the longest seen in training."""
    lines = coloured(
        [
            Curve(name, np.array(list(shares), float), np.array(list(shares.values()), float))
            for name, shares in curves.items()
        ]
    )
    marks, x, y = plot(lines, _box(), "symbols of the source", "share answered right", share=True, room=ROOM)
    if known is not None and x.low <= known <= x.high:
        words = f"up to {known}: lengths that training had"
        marks.append(Line(((x(known), y.start), (x(known), y.end)), "accent", 1.5, dash=(5, 3), title=words))
        marks.append(Text(LEFT, TOP + HIGH + 54, f"dashed: {known}, the longest in training", "muted", 11))
    words = "; ".join(f"{line.name} from {_first(line.ys)} to {_last(line.ys)}" for line in lines)
    return _figure(marks, title, f"Accuracy by the length of the source: {words or 'nothing'}.", more=14)


def training_curves(history: Sequence[Mapping[str, Any]], title: str = "training", metric: str | None = None) -> Figure:
    """The lines of log.jsonl: the loss and the dev scores by epoch, with the epoch of the best score marked.

    metric: the score that decides which is best; by default the one that training uses. Scores outside 0 to 1, such as
    perplexities, have one panel each."""
    epochs = np.array([line["epoch"] for line in history], float)
    losses = np.array([_float(line.get("loss")) for line in history])
    names = list(dict.fromkeys(name for line in history for name in line.get("dev") or {}))
    scores = {name: np.array([_float((line.get("dev") or {}).get(name)) for line in history]) for name in names}
    shares = {k: v for k, v in scores.items() if not (np.nan_to_num(v) > 1).any() and not (np.nan_to_num(v) < 0).any()}
    metric = metric or next((name for name in METRICS if name in scores), None)
    best = _best(scores[metric]) if metric in scores else None
    panels = [("training loss", {"loss": losses})] + ([("dev scores", shares)] if shares else [])
    panels += [(f"dev {name}", {name: values}) for name, values in scores.items() if name not in shares]
    marks: list[Mark] = []
    wide, at = 250.0, LEFT
    for heading, values in panels:
        lines = coloured([Curve(name, epochs, ys) for name, ys in values.items()])
        drawn, x, y = plot(lines, Box(at, TOP + 18, wide, HIGH), "epoch", "", heading=heading, room=140)
        if best is not None:
            place = x(epochs[best])
            words = f"best {metric}: {number(scores[str(metric)][best])} after epoch {number(epochs[best])}"
            data: dict[str, str | int] = {"best": int(epochs[best])}
            points = ((place, y.start), (place, y.end))
            marks.append(Line(points, "accent", 1.5, dash=(5, 3), title=words, data=data))
            if metric in values:
                marks.append(Circle(place, y(values[metric][best]), 5, "accent", title=words))
        marks += drawn
        at += wide + 190
    words = f"{len(history)} epochs"
    if best is not None:
        words += f"; best {metric} {number(scores[str(metric)][best])} after epoch {number(epochs[best])}"
        marks.append(Line(((LEFT, TOP + HIGH + 70), (LEFT + 20, TOP + HIGH + 70)), "accent", 1.5, dash=(5, 3)))
        text = f"epoch {number(epochs[best])}: the best {metric}"
        marks.append(Text(LEFT + 26, TOP + HIGH + 70, text, "muted", 11))
    return _figure(marks, title, f"{words}.", wide=at - 30, more=32)


def _curve(name: str, values: Floats) -> Curve:
    values = np.asarray(values, float)
    return Curve(name, np.arange(len(values), dtype=float), values)


def _box() -> Box:
    return Box(LEFT, TOP, WIDE, HIGH)


def _figure(
    marks: list[Mark], title: str, words: str, *, wide: float = LEFT + WIDE + ROOM, more: float = 0.0
) -> Figure:
    wide = max(wide, 16 + width(title, 13, bold=True))
    return Figure(wide, TOP + HIGH + 52 + more, [Text(8, 16, title, "ink", 13, bold=True), *marks], title, words)


def _best(values: Floats) -> int | None:
    """The index of the first maximum, as training keeps the first of equals."""
    return int(np.nanargmax(values)) if np.isfinite(values).any() else None


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _first(values: Floats) -> str:
    finite = np.asarray(values, float)[np.isfinite(values)]
    return number(float(finite[0])) if finite.size else "none"


def _last(values: Floats) -> str:
    finite = np.asarray(values, float)[np.isfinite(values)]
    return number(float(finite[-1])) if finite.size else "none"


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
