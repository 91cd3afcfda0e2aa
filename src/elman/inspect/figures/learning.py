"""Learning curves: the scores of several systems by how much they were trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from elman.inspect.figures.axes import LABEL, Axis, Curve, Floats, coloured, drawn, frame, labels, linear
from elman.inspect.figures.marks import Circle, Line, Text
from elman.inspect.figures.scene import Figure
from elman.inspect.figures.wording import width

LEFT, TOP, WIDE, HIGH, ROOM = 64.0, 44.0, 440.0, 260.0, 190.0
GAP = 8.0  # px between two labels of sizes


def learning_curve(
    sizes: Sequence[int],
    scores: Mapping[str, Floats],
    low: Mapping[str, Floats],
    high: Mapping[str, Floats],
    across: str,
    up: str,
    title: str = "score by the size of the training data",
) -> Figure:
    """The score of each system, (sizes,), by the number of training examples, on a logarithmic scale.

    low, high: the ends of each score's interval, drawn as an upright line; nan: there is none. A score that is nan is
    left out. across, up: what is counted, and the score."""
    xs = np.array(sizes, float)
    start, end = (sizes[0], sizes[-1]) if len(sizes) else (1, 1)
    alone = start == end
    x = Axis(start / (2 if alone else 1), end * (2 if alone else 1), LEFT, LEFT + WIDE, log=True)
    every = [np.zeros(0), *scores.values(), *low.values(), *high.values()]
    y = linear(np.concatenate(every), TOP + HIGH, TOP)
    marks = frame(x, y, across, up, at=_ticks(x, sizes))
    lines = coloured([Curve(name, xs, np.asarray(values, float)) for name, values in scores.items()])
    for line in lines:
        seen = np.isfinite(line.ys)
        for i in np.flatnonzero(seen).tolist():
            place, ends = x(sizes[i]), (float(low[line.name][i]), float(high[line.name][i]))
            if all(math.isfinite(v) for v in ends):
                marks.append(Line(((place, y(ends[0])), (place, y(ends[1]))), line.colour, 1))
        marks += [mark for mark in drawn(line, seen, x, y) if isinstance(mark, Line)]
        for i in np.flatnonzero(seen).tolist():
            words = f"{line.name}, {sizes[i]:,}: {line.ys[i]:.4g}"
            data: dict[str, str | int] = {"name": line.name, "size": sizes[i]}
            marks.append(Circle(x(sizes[i]), y(line.ys[i]), 3, line.colour, title=words, data=data))
    ends_of = [(line, y(line.ys[np.isfinite(line.ys)][-1])) for line in lines if np.isfinite(line.ys).any()]
    marks += labels([pair for pair in ends_of if pair[0].label], LEFT + WIDE + 12, TOP, TOP + HIGH, ROOM - 14)
    if not ends_of:
        marks.append(Text(LEFT + WIDE / 2, TOP + HIGH / 2, "nothing to draw", "muted", 12, "middle"))
    words = "; ".join(f"{line.name} {_ends(line.ys)}" for line in lines)
    wide = max(LEFT + WIDE + ROOM, 16 + width(title, 13, bold=True))
    description = f"{up} by {across}: {words or 'nothing'}."
    return Figure(wide, TOP + HIGH + 52, [Text(8, 16, title, "ink", 13, bold=True), *marks], title, description)


def _ticks(x: Axis, sizes: Sequence[int]) -> list[tuple[float, str]]:
    """The sizes; those whose labels would lie on an earlier one have a tick without one."""
    ticks: list[tuple[float, str]] = []
    free = -math.inf
    for size in sizes:
        half = width(f"{size:,}", LABEL) / 2
        fits = x(size) - half >= free
        ticks.append((size, f"{size:,}" if fits else ""))
        free = x(size) + half + GAP if fits else free
    return ticks


def _ends(values: Floats) -> str:
    seen = values[np.isfinite(values)]
    return f"from {seen[0]:.4g} to {seen[-1]:.4g}" if len(seen) else "nowhere"
