"""Axes: from numbers to points on the paper and back, ticks at 1, 2 or 5 times a power of ten; and plots of lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.inspect.figures.marks import SERIES, Circle, Line, Mark, Rect, Text
from elman.inspect.figures.wording import fit

Floats = NDArray[np.float64]
LABEL = 11.0  # the size of small text
APART = 15.0  # px between two labels at the ends of curves
MOST = len(SERIES)  # curves with their own colour and label


@dataclass(frozen=True)
class Axis:
    """low is drawn at start and high at end (px); log: on a logarithmic scale, and then low > 0."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value is drawn."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, float(value)))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def value(self, place: float) -> float:
        """The value that is drawn at a position."""
        share = (place - self.start) / (self.end - self.start)
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return float(10.0 ** (low + share * (high - low)))
        return self.low + share * (self.high - self.low)

    def ticks(self, most: int = 6, *, whole: bool = False) -> list[tuple[float, str]]:
        """At most `most` round values with their labels; whole: integers only."""
        if self.log:
            low, high = round(math.log10(self.low)), round(math.log10(self.high))
            every = -(-(high - low) // (most - 1)) or 1
            return [(10.0**e, _power(e)) for e in range(high, low - 1, -every)][::-1]
        step = _step((self.high - self.low) / (most - 1), whole)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        largest = max(abs(self.low), abs(self.high))
        if largest >= 1e5 or digits > 5:  # as many digits as distinguish one tick from the next
            digits = max(0, math.floor(math.log10(largest) + 1e-9) - math.floor(math.log10(step) + 1e-9))
            label = f"{{:.{digits}e}}"
        else:
            label = f"{{:.{digits}f}}"
        return [(i * step, label.format(i * step).replace("-", "−")) for i in range(first, last + 1)]


def linear(values: Sequence[float] | Floats, start: float, end: float, *, zero: bool = False, most: int = 6) -> Axis:
    """An axis with all finite values between round numbers; zero: and 0."""
    finite = [float(v) for v in values if math.isfinite(v)] + ([0.0] if zero else [])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) / 2 or 0.5
        low, high = (0.0 if zero and low >= 0 else low - room), high + room
    step = _step((high - low) / (most - 1), False)
    return Axis(step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9), start, end)


def logarithmic(values: Sequence[float] | Floats, start: float, end: float) -> Axis:
    """An axis of whole decades with all finite positive values."""
    powers = [math.log10(v) for v in values if math.isfinite(v) and v > 0] or [0.0]
    low, high = math.floor(min(powers) + 1e-9), math.ceil(max(powers) - 1e-9)
    low = max(low, -300)  # 10**low must be a number
    return Axis(10.0 ** min(low, high - 1), 10.0**high, start, end, log=True)


@dataclass(frozen=True)
class Box:
    """The part of a drawing where a plot's lines are."""

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Curve:
    """A named line. xs, ys (n,): what is not finite is left out. colour, dash: as for a mark; a label is its name."""

    name: str
    xs: Floats
    ys: Floats
    colour: str = ""
    dash: tuple[float, ...] = ()
    label: bool = True


def coloured(curves: Sequence[Curve]) -> list[Curve]:
    """The curves with one colour each; when colours run out, grey and without a label."""
    every = [Curve(c.name, c.xs, c.ys, SERIES[i], c.dash, c.label) for i, c in enumerate(curves[:MOST])]
    return [*every, *(Curve(c.name, c.xs, c.ys, "muted", (2, 2), False) for c in curves[MOST:])]


def frame(
    x: Axis,
    y: Axis,
    across: str,
    up: str,
    *,
    whole: bool = True,
    heading: str = "",
    most: int = 6,
    counts: bool = False,
    at: Sequence[tuple[float, str]] | None = None,
) -> list[Mark]:
    """Grid, ticks and names of two axes. whole: ticks across are integers; counts: those up are; most: of those up;
    at: the ticks across with their labels, if not round values."""
    left, right, top, bottom = x.start, x.end, y.end, y.start
    marks: list[Mark] = []
    for value, label in y.ticks(most, whole=counts):
        marks.append(Line(((left, y(value)), (right, y(value))), "grid", 1))
        marks.append(Text(left - 6, y(value), label, "muted", LABEL, "end"))
    if at is None:
        at = x.ticks(most=max(2, min(9, int((right - left) / 36))), whole=whole)
    for value, label in at:
        marks.append(Line(((x(value), bottom), (x(value), bottom + 4)), "muted", 1))
        marks.append(Text(x(value), bottom + 13, label, "muted", LABEL, "middle"))
    marks.append(Line(((left, bottom), (right, bottom)), "muted", 1))
    if across:
        marks.append(Text((left + right) / 2, bottom + 31, across, "muted", LABEL, "middle"))
    if up:
        marks.append(Text(left - 50, (top + bottom) / 2, up, "muted", LABEL, "middle", rotate=-90))
    if heading:
        marks.append(Text(left, top - 14, heading, "ink", 12, bold=True))
    return marks


def plot(
    curves: Sequence[Curve],
    box: Box,
    across: str,
    up: str,
    *,
    log: bool = False,
    share: bool = False,
    zero: bool = False,
    whole: bool = True,
    heading: str = "",
    room: float = 120.0,
    more: Sequence[float] = (),
) -> tuple[list[Mark], Axis, Axis]:
    """Lines over common axes, with their names at their ends (`room` px at the right), and the axes, x and y.

    log: y on a logarithmic scale; share: y from 0 to 1; zero: y from 0; more: values that y must also include."""
    seen = [(c, np.isfinite(c.ys) & np.isfinite(c.xs) & ((c.ys > 0) | (not log))) for c in curves]
    ys = np.concatenate([np.asarray(more, float), *(c.ys[ok] for c, ok in seen)])
    xs = np.concatenate([np.zeros(0), *(c.xs for c, _ in seen)])
    right, bottom = box.x + box.w, box.y + box.h
    low, high = (float(xs.min()), float(xs.max())) if len(xs) else (0.0, 1.0)
    x = Axis(low, high, box.x, right) if high > low else Axis(low - 0.5, low + 0.5, box.x, right)
    if log:
        y = logarithmic(ys, bottom, box.y)
    else:
        y = Axis(0.0, 1.0, bottom, box.y) if share else linear(ys, bottom, box.y, zero=zero)
    marks = frame(x, y, across, up, whole=whole, heading=heading)
    for curve, ok in seen:
        marks += drawn(curve, ok, x, y)
    ends = [(c, y(c.ys[ok][-1])) for c, ok in seen if c.label and ok.any()]
    marks += labels(ends, right + 8, box.y, bottom, room - 10)
    if left_out := sum(not c.label and c.colour == "muted" for c in curves):
        marks.append(Text(right + 8, bottom + 31, f"grey: {left_out} more", "muted", LABEL))
    if not any(ok.any() for _, ok in seen):
        marks.append(Text((box.x + right) / 2, (box.y + bottom) / 2, "nothing to draw", "muted", 12, "middle"))
    return marks, x, y


def drawn(curve: Curve, ok: NDArray[np.bool_], x: Axis, y: Axis) -> list[Mark]:
    """One line, broken where it has no number; a single point is a dot."""
    marks: list[Mark] = []
    data = {"name": curve.name}
    for run in np.split(np.arange(len(ok)), np.flatnonzero(np.diff(ok.astype(int))) + 1):
        if not len(run) or not ok[run[0]]:
            continue
        points = [(x(curve.xs[i]), y(curve.ys[i])) for i in run]
        if len(points) > 1:
            marks.append(Line(points, curve.colour, 2, dash=curve.dash, data=data, title=curve.name))
        else:
            marks.append(Circle(*points[0], 3, curve.colour, data=data, title=curve.name))
    return marks


def labels(ends: Sequence[tuple[Curve, float]], x: float, top: float, bottom: float, room: float) -> list[Mark]:
    """Names next to the ends of their curves, moved apart where they would overlap."""
    ends = sorted(ends, key=lambda end: end[1])
    places: list[float] = []
    for _, y in ends:
        places.append(max(y, places[-1] + APART) if places else max(y, top))
    lowest = bottom
    for i in reversed(range(len(places))):  # back up from the bottom
        places[i] = min(places[i], lowest)
        lowest = places[i] - APART
    marks: list[Mark] = []
    for (curve, _), place in zip(ends, places, strict=True):
        name = fit(curve.name, room - 22, LABEL)
        marks.append(Line(((x, place), (x + 16, place)), curve.colour, 2, dash=curve.dash))
        marks.append(Text(x + 21, place, name, "ink", LABEL, title=curve.name))
    return marks


def band(low: float, high: float, x: Axis, y: Axis, name: str, opacity: float = 0.12) -> Rect:
    """A stripe over a part of the x axis."""
    left, right = (min(max(x(v), x.start), x.end) for v in (low, high))
    return Rect(left, y.end, max(right - left, 1.0), y.start - y.end, name, opacity=opacity)


def _step(least: float, whole: bool) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not less."""
    least = max(least, 1.0 if whole else 1e-300)
    power = 10.0 ** math.floor(math.log10(least) + 1e-9)
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def _power(exponent: int) -> str:
    if -3 <= exponent <= 3:
        return f"{10.0**exponent:.{max(0, -exponent)}f}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
