"""States and gates under their tokens; text coloured by one number per token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elman.errors import UsageError
from elman.inspect.figures.axes import LABEL, Axis
from elman.inspect.figures.colours import Floats, legend, ramp, scale_of
from elman.inspect.figures.columns import Columns, columns, token_row
from elman.inspect.figures.scene import Figure, Line, Mark, Raster, Rect, Text
from elman.inspect.figures.wording import fit, number, width

WIDE = 760.0  # of a coloured text
STRONGEST = 0.75  # opacity behind letters, so that they stay legible


def heat(
    values: Floats,
    tokens: Sequence[str],
    title: str,
    *,
    signed: bool = True,
    place: str | None = None,
    name: str | None = None,
    columns: Columns | None = None,
) -> Figure:
    """(T, U) numbers, one column per step and one row per unit, under the T tokens.

    place, name: whose numbers they are, for a page's scripts; columns: of the drawing that this one lines up with.
    Raises UsageError unless there is one token per step."""
    values = np.asarray(values, float)
    if values.ndim != 2 or len(values) != len(tokens):
        raise UsageError(f"heat: expected (steps, units) for {len(tokens)} tokens, found {values.shape}")
    T, U = values.shape
    at = columns or _columns(tokens)
    scale = scale_of(values, signed=signed)
    top, height = 54.0, max(20.0, min(U * 14.0, max(240.0, float(U))))
    data: dict[str, str | int] = {k: v for k, v in (("place", place), ("name", name)) if v is not None}
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True), *token_row(tokens, at, top - 14)]
    if T and U:
        rgba = ramp(values.T, scale)
        marks.append(Raster(at.start, top, at.end - at.start, height, rgba, data=data, title=title))
    marks.append(Rect(at.start, top, at.end - at.start, height, None, "grid"))
    rows = Axis(0, max(U, 1), top, top + height)
    for value, label in rows.ticks(most=max(2, min(9, int(height / 16))), whole=True):
        if value < U:
            y = rows(value + 0.5)
            marks.append(Line(((at.start - 4, y), (at.start, y)), "muted", 1))
            marks.append(Text(at.start - 8, y, f"unit {label}", "muted", LABEL, "end"))
    bottom = top + height + 20
    marks += legend(at.start, bottom, scale, signed=signed)
    wide = max(at.end + 8, at.start + 260, 16 + width(title, 13, bold=True))
    words = f"{title}: {U} units by {T} steps, from {_least(values)} to {_most(values)}."
    return Figure(wide, bottom + 16, marks, title, words)


def coloured_text(tokens: Sequence[str], values: Floats, title: str, *, signed: bool = True) -> Figure:
    """The text in lines, each token on a background coloured by its one of (T,) numbers.

    Raises UsageError unless there is one number per token."""
    values = np.asarray(values, float)
    if values.shape != (len(tokens),):
        raise UsageError(f"coloured_text: expected a number for each of {len(tokens)} tokens, found {values.shape}")
    scale, high = scale_of(values, signed=signed), 24.0
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    x, y = 8.0, 34.0
    for step, (token, value) in enumerate(zip(tokens, values, strict=True)):
        text = fit(token, 200, 13)
        wide = max(width(text, 13) + 10, 18.0)
        if x + wide > WIDE - 8 and x > 8:
            x, y = 8.0, y + high + 6
        known = bool(np.isfinite(value))
        fill = ("negative" if value < 0 else "positive") if known else None
        strength = STRONGEST * min(abs(value) / scale, 1.0) if known else 0.0
        words = f"{token}: {number(value)}" if known else f"{token}: unknown"
        data: dict[str, str | int] = {"step": step}
        marks.append(Rect(x, y, wide, high, fill, "grid", radius=3, opacity=strength, data=data, title=words))
        marks.append(Text(x + wide / 2, y + high / 2, text, "ink", 13, "middle", data=data, title=words))
        x += wide + 3
    bottom = y + high + 20
    marks += _text_legend(bottom, scale, signed)
    words = f"{title}: {len(tokens)} tokens, from {_least(values)} to {_most(values)}."
    return Figure(max(WIDE, 16 + width(title, 13, bold=True)), bottom + 16, marks, title, words)


_columns = columns


def _text_legend(y: float, scale: float, signed: bool) -> list[Mark]:
    """The scale of `coloured_text`, at the same opacity."""
    marks: list[Mark] = []
    x = 8.0
    for share in ([-1.0, -0.5] if signed else []) + [0.0, 0.5, 1.0]:
        text = number(share * scale)
        wide = width(text, 11) + 14
        fill = "negative" if share < 0 else "positive"
        marks.append(Rect(x, y - 9, wide, 18, fill, "grid", radius=3, opacity=STRONGEST * abs(share)))
        marks.append(Text(x + wide / 2, y, text, "ink", 11, "middle"))
        x += wide + 3
    return marks


def _least(values: Floats) -> str:
    return number(float(np.nanmin(values))) if np.isfinite(values).any() else "none"


def _most(values: Floats) -> str:
    return number(float(np.nanmax(values))) if np.isfinite(values).any() else "none"
