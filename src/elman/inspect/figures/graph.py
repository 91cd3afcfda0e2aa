"""The recurrent graph: as a loop with its delay, and unrolled over the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from elman.inspect.figures.axes import LABEL
from elman.inspect.figures.columns import Columns, columns, token_row
from elman.inspect.figures.scene import Circle, Figure, Line, Mark, Rect, Text
from elman.inspect.figures.wording import fit, number, visible, width
from elman.inspect.view import OutputView, PlaceView, View

WIRE = "muted"


def compact(view: View) -> Figure:
    """The graph with its loops: x below, one box per place, whose state comes back through a delay of one step (the
    filled square), the output o, the loss L and the target y above. The two directions are side by side."""
    wide, high, gap, rise = 132.0, 64.0, 150.0, 46.0
    layers = _layers(view.places)
    most = max((len(layer) for layer in layers), default=1)
    middle = 84.0 + (most * wide + (most - 1) * (gap - 60)) / 2
    total = 120.0 + len(layers) * (high + rise) + 118
    marks: list[Mark] = []
    y = total - 46
    tops: dict[str, tuple[float, float]] = {}
    _node(marks, middle, y, "x", "ink", "one token", f"x: {len(view.tokens)} tokens, one per step")
    source = (middle, y - 16)
    for layer in layers:
        level, y = y - 16 - rise / 2, y - 16 - rise - high / 2
        for place, x in zip(layer, _spread(len(layer), middle, wide + gap - 60), strict=True):
            bottom = (x, y + high / 2)
            for below in [tops[name] for name in place.below if name in tops] or [source]:
                marks.append(Line(_bend(below, bottom, level), WIRE, 1.5, arrow=True, radius=6))
            _box(marks, view, place, x, y, wide, high, len(layer))
        for place, x in zip(layer, _spread(len(layer), middle, wide + gap - 60), strict=True):
            tops[place.name] = (x, y - high / 2)
        y -= high / 2 - 16
    whole = any(output.step is None for output in view.outputs)
    level, y = y - 16 - rise / 2, y - 16 - rise - 16
    for x, top in (tops[place.name] for place in (layers[-1] if layers else [])):
        marks.append(Line(_bend((x, top), (middle, y + 16), level), WIRE, 1.5, arrow=True, radius=6))
    _node(marks, middle, y, "o", "ink", _pooling(view) if whole else "", "o: the output")
    if "V" in {name for key in view.at_output for name in re.findall(r"\w+", key)}:
        marks.append(Text(middle - 14, y + 28, "V", "muted", 12, "end", mono=True))
    marks.append(Line(((middle, y - 16), (middle, y - 40)), WIRE, 1.5, arrow=True))
    _node(marks, middle, y - 56, "L", "accent", "", "L: the loss")
    _node(marks, middle + 84, y - 56, "y", "ink", "", "y: the target")
    marks.append(Line(((middle + 68, y - 56), (middle + 16, y - 56)), WIRE, 1.5, arrow=True))
    cells = ", ".join(dict.fromkeys(place.cell for place in view.places))
    words = f"{cells}: {len(layers)} layer(s), {most} direction(s); a state returns to its cell one step later."
    return Figure(2 * middle, total, marks, "the recurrent graph", words)


def unrolled(view: View) -> Figure:
    """The graph, one column per token: tokens at the bottom, above them the places from the lowest layer up, the
    outputs with their most likely answers, targets and losses. Backward states run from right to left. A sequence that
    is written has columns of its own above, from left to right."""
    at = columns(view.tokens)
    layers = _layers(view.places)
    rows, levels, top = _rows(layers)
    whole = [output for output in view.outputs if output.step is None]
    height = top + (40 if whole else 14) + 82 + 26
    marks: list[Mark] = [Text(8, 16, "unrolled over the text", "ink", 13, bold=True)]
    marks += [Text(8, height - 16, "token", "muted", LABEL), *token_row(view.tokens, at, height - 16)]
    xs = {place.name: _offset(layer.index(place), len(layer), at) for layer in layers for place in layer}
    for layer in layers:
        for place in layer:
            y = height - rows[place.name]
            marks += _inputs(place, layers, xs, rows, levels, at, height)
            marks += _chain(place, xs[place.name], y, at, _half(layer, at))
    if layers:
        marks += _up_to_outputs(view, layers[-1], xs, rows, at, height - top)
    for layer in layers:
        for place in layer:
            marks += _cells(view, place, xs[place.name], height - rows[place.name], at, _half(layer, at))
    y = height - top - (40 if whole else 14)
    for label, up in (("output", 8), ("answer", 32), ("target" if view.given else "", 48), ("loss", 66)):
        marks.append(Text(8, y - up, label, "muted", LABEL))
    above = Columns(at.start, at.width, len(whole)) if len(whole) > 1 else None
    if above is not None:
        marks += _decoder(above, y)
    for j, output in enumerate(view.outputs):
        marks += _output(view, j, output, at, y, above)
    cells = ", ".join(f"{place.name} ({place.cell})" for place in view.places)
    words = f"{len(view.tokens)} steps of {cells or 'no recurrent layer'}, with {len(view.outputs)} output(s)."
    wide = max(at.end, 0.0 if above is None else above.end) + 36
    return Figure(wide, height, marks, "the graph unrolled over the text", words)


def _layers(places: Sequence[PlaceView]) -> list[list[PlaceView]]:
    """The places by layer, lowest first; within a layer, forward first."""
    numbers = sorted({place.layer for place in places})
    return [sorted((p for p in places if p.layer == n), key=lambda p: p.reverse) for n in numbers]


# The loop


def _spread(count: int, middle: float, apart: float) -> list[float]:
    return [middle + (i - (count - 1) / 2) * apart for i in range(count)]


def _bend(start: tuple[float, float], end: tuple[float, float], level: float) -> list[tuple[float, float]]:
    """Up from start to a level, across, and up to the end."""
    return [start, end] if start[0] == end[0] else [start, (start[0], level), (end[0], level), end]


def _node(marks: list[Mark], x: float, y: float, letter: str, colour: str, note: str, title: str) -> None:
    marks.append(Circle(x, y, 16, "paper", colour, 1.5, title=title))
    marks.append(Text(x, y, letter, colour, 14, "middle", mono=True, title=title))
    if note:
        marks.append(Text(x + 24, y, note, "muted", LABEL))


def _box(marks: list[Mark], view: View, place: PlaceView, x: float, y: float, w: float, h: float, count: int) -> None:
    """A place, with its loop on the outer side: left if it reads forward, right in reverse."""
    colour = _colour(place)
    title = f"{place.name}: {place.cell}"
    marks.append(Rect(x - w / 2, y - h / 2, w, h, "paper", radius=8))
    data: dict[str, str | int] = {"place": place.name}
    marks.append(Rect(x - w / 2, y - h / 2, w, h, colour, colour, 2, 8, 0.12, data=data, title=title))
    marks.append(Text(x, y - 10, fit(place.cell, w - 12, 14, bold=True), "ink", 14, "middle", bold=True))
    marks.append(Text(x, y + 11, fit(place.name, w - 10, LABEL), "muted", LABEL, "middle"))
    side = 1 if place.reverse else -1
    edge, far = x + side * w / 2, x + side * (w / 2 + 34)
    loop = [(edge, y - 18), (far, y - 18), (far, y + 18), (edge, y + 18)]
    title = "one step later" if not place.reverse else "one step earlier"
    marks.append(Line(loop, colour, 2, arrow=True, radius=9, title=title))
    marks.append(Rect(far - 6, y - 6, 12, 12, "ink", title=f"the delay: {title}"))
    previous = "sₜ₊₁" if place.reverse else "sₜ₋₁"
    marks.append(Text(far + side * 12, y, previous, "ink", 13, "end" if side < 0 else "start"))
    if re.search(r"\bU\b", " ".join(key for key in view.contributions if place.name in key)):
        marks.append(Text((edge + far) / 2, y - 28, "U", "muted", 12, "middle", mono=True))
    if re.search(r"\bW\b", " ".join(key for key in view.contributions if place.name in key)):
        marks.append(Text(x + 8, y + h / 2 + 12, "W", "muted", 12, mono=True))


# The unrolled graph


def _rows(layers: list[list[PlaceView]]) -> tuple[dict[str, float], dict[tuple[int, int], float], float]:
    """Heights above the bottom: of each place's middle; of the bus that leads to the n-th set of sources of a layer;
    and of the top of everything."""
    rows: dict[str, float] = {}
    levels: dict[tuple[int, int], float] = {}
    up = 30.0
    for number_, layer in enumerate(layers):
        for kind in range(len(_sources(layer))):
            levels[number_, kind] = up + 8
            up += 8
        up += 12
        for place in layer:
            rows[place.name] = up + 14
            up += 40
    return rows, levels, up


def _sources(layer: list[PlaceView]) -> list[tuple[str, ...]]:
    """The different sets of places that a layer reads; those that read the same share their wires."""
    return list(dict.fromkeys(place.below for place in layer))


def _offset(index: int, count: int, at: Columns) -> float:
    """How far right of its column's middle a place is: next to its twin, so that wires pass each other's cells."""
    return (index - (count - 1) / 2) * at.width * 0.44


def _half(layer: list[PlaceView], at: Columns) -> float:
    """Half the width of a layer's cells."""
    return min(at.width * (0.3 if len(layer) == 1 else 0.18), 17.0)


def _inputs(
    place: PlaceView,
    layers: list[list[PlaceView]],
    xs: Mapping[str, float],
    rows: Mapping[str, float],
    levels: Mapping[tuple[int, int], float],
    at: Columns,
    height: float,
) -> list[Mark]:
    """The wires into one place, one column per step: from its sources up to a bus, along it, up into the cell."""
    index = next(i for i, layer in enumerate(layers) if place in layer)
    level = height - levels[index, _sources(layers[index]).index(place.below)]
    marks: list[Mark] = []
    for step in range(at.count):
        x, end = at.middle(step) + xs[place.name], height - rows[place.name] + 12
        starts = [(at.middle(step) + xs[name], height - rows[name] - 12, name) for name in place.below if name in xs]
        for left, y, name in starts or [(at.middle(step), height - 26, "")]:
            if name and not any(p.name == name for p in layers[index - 1]):
                # From further down than the layer below: along the column's edge, past the cells between.
                edge, out = at.left(step) + 2, y - 6
                marks.append(Line([(left, y), (left, out), (edge, out), (edge, level), (x, level)], WIRE, 1))
            else:
                marks.append(Line([(left, y), (left, level), (x, level)], WIRE, 1))
        marks.append(Line([(x, level), (x, end)], WIRE, 1, arrow=True))
    return marks


def _chain(place: PlaceView, offset: float, y: float, at: Columns, half: float) -> list[Mark]:
    """The arrows of the state from step to step, the first from the initial state; in reverse from right to left."""
    steps = range(at.count)
    data: dict[str, str | int] = {"place": place.name, "chain": "backward" if place.reverse else "forward"}
    marks: list[Mark] = []
    for step in steps:
        x = at.middle(step) + offset
        if place.reverse:
            start = at.end + 24 if step == at.count - 1 else at.middle(step + 1) + offset - half
            points = [(start, y), (x + half, y)]
        else:
            start = at.start - 8 if step == 0 else at.middle(step - 1) + offset + half
            points = [(start, y), (x - half, y)]
        marks.append(Line(points, _colour(place), 1.5, arrow=True, data={**data, "step": step}))
    name, cell = (fit(text, at.start - 26, LABEL) for text in (place.name, place.cell))
    title = f"{place.name}: {place.cell}"
    marks += [Text(8, y - 7, name, _colour(place), LABEL, title=title), Text(8, y + 7, cell, "muted", LABEL)]
    return marks


def _cells(view: View, place: PlaceView, offset: float, y: float, at: Columns, half: float) -> list[Mark]:
    """One box per step, over an opaque background."""
    marks: list[Mark] = []
    colour = _colour(place)
    for step, token in enumerate(view.tokens):
        x = at.middle(step) + offset
        data: dict[str, str | int] = {"place": place.name, "step": step}
        title = f"{place.name}, step {step}: {visible(token)}"
        marks.append(Rect(x - half, y - 12, 2 * half, 24, "paper", radius=4))
        marks.append(
            Rect(x - half, y - 12, 2 * half, 24, colour, colour, 1.5, 4, 0.16, data=data, title=title, focus=True)
        )
    return marks


def _up_to_outputs(
    view: View, layer: list[PlaceView], xs: Mapping[str, float], rows: Mapping[str, float], at: Columns, top: float
) -> list[Mark]:
    """From the highest layer to the output of the step, or to the bar that stands for the whole text."""
    marks: list[Mark] = []
    whole = sum(output.step is None for output in view.outputs)
    steps = {output.step for output in view.outputs if output.step is not None}
    bottoms = {place.name: top + 0.0 for place in layer}
    bar = top - 18
    for place in layer:
        y = top + (max(rows.values()) - rows[place.name]) + 14 + 0.0  # the cell's top
        bottoms[place.name] = y
        last = 0 if place.reverse else at.count - 1
        for step in range(at.count):
            x = at.middle(step) + xs[place.name]
            if step in steps:
                marks.append(Line([(x, y), (x, top), (at.middle(step), top)], WIRE, 1))
            if whole and (not _final(view) or step == last):
                marks.append(Line([(x, y), (x, bar + 9)], WIRE, 1, arrow=True))
    marks += [Line([(at.middle(s), top), (at.middle(s), top - 14)], WIRE, 1, arrow=True) for s in sorted(steps)]
    if whole:
        end = max(at.end, at.start + whole * at.width) if whole > 1 else at.end
        marks.append(Rect(at.start + 2, bar - 9, end - at.start - 4, 18, "grid", radius=5, opacity=0.6))
        name = _pooling(view)
        if width(name, LABEL) < end - at.start - 12:
            marks.append(Text((at.start + end) / 2, bar, name, "muted", LABEL, "middle"))
        for k in range(whole) if whole > 1 else (at.count - 1,):
            x = at.middle(k)
            marks.append(Line([(x, bar - 9), (x, top - 40)], WIRE, 1, arrow=True))
    return marks


def _decoder(at: Columns, y: float) -> list[Mark]:
    """The state of the decoder, from each output to the next."""
    marks: list[Mark] = []
    for k in range(1, at.count):
        points = [(at.middle(k - 1) + 7, y - 8), (at.middle(k) - 7, y - 8)]
        data: dict[str, str | int] = {"chain": "decoder", "output": k}
        marks.append(Line(points, "accent", 1.5, arrow=True, data=data, title="the decoder, one step later"))
    return marks


def _output(view: View, j: int, output: OutputView, at: Columns, y: float, above: Columns | None) -> list[Mark]:
    """The node of one output with its answer, its target if given, and its loss; y: the node's bottom. above: the
    columns of a sequence that is written."""
    step = at.count - 1 if output.step is None else output.step
    x = at.middle(step) if above is None else above.middle(j)
    anchor, room, edge = "middle", at.width - 4, x
    if output.step is None and above is None:  # one for the whole text: it may be as wide as the text
        anchor, room, edge = "end", at.end - at.start + 40, at.end
    answer = output.top[0][0] if output.top else ""
    right = answer == output.target
    data: dict[str, str | int] = {"output": j} if output.step is None else {"output": j, "step": output.step}
    chance = f", probability {number(output.top[0][1])}" if output.top else ""
    target = f", target {visible(output.target)}" if view.given else ""
    title = f"output {j}: {visible(answer)}{chance}{target}, loss {number(output.loss)} nats"
    marks: list[Mark] = [Circle(x, y - 8, 7, "paper")]
    marks.append(Circle(x, y - 8, 7, "accent", "accent", 1.5, 0.2, data=data, title=title, focus=True))
    colour = "ink" if right or not view.given else "warn"
    marks.append(Text(edge, y - 32, fit(answer, room, 11), colour, 11, anchor, data=data, title=title))
    if view.given:
        marks.append(Text(edge, y - 48, fit(output.target, room, 11), "ink", 11, anchor, data=data, title=title))
    marks.append(Text(edge, y - 66, number(round(output.loss, 2)), "muted", 10, anchor, data=data, title=title))
    return marks


def _colour(place: PlaceView) -> str:
    return "backward" if place.reverse else "forward"


def _final(view: View) -> bool:
    """Whether an output of the whole text is made from the final state of each direction alone."""
    return view.about.get("pooling") == "final" or view.about.get("attention") == "none"


def _pooling(view: View) -> str:
    if "attention" in view.about:
        return "the final state" if _final(view) else f"{view.about['attention']} attention"
    return f"{view.about['pooling']} pooling" if "pooling" in view.about else "the whole text"
