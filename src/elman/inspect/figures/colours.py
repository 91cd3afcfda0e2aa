"""Numbers as colours: the hue shows the sign, the opacity the size, so that light and dark paper both work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.inspect.figures.marks import Bytes, Mark, Raster, Text, rgb
from elman.inspect.figures.wording import number, width

Floats = NDArray[np.float64]
DECADES = 4  # that a logarithmic ramp spans


def scale_of(values: Floats, *, signed: bool = True) -> float:
    """What is drawn opaque: the largest size; 1 for shares, whose largest is between 1/4 and 1, and where all is 0."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    return 1.0 if largest == 0 or (not signed and 0.25 <= largest <= 1) else largest


def ramp(values: Floats, scale: float) -> Bytes:
    """(..., 4) red green blue alpha of values (...): alpha is |value| / scale. What is not a number is transparent."""
    size = np.nan_to_num(np.abs(values) / scale, nan=0.0, posinf=1.0)
    return _paint(values, size)


def log_ramp(values: Floats, scale: float) -> Bytes:
    """As `ramp`, for values of 0 or more, but alpha falls evenly with each decade below scale, to 0 after DECADES."""
    size = np.zeros(values.shape)
    seen = np.isfinite(values) & (values > 0)
    size[seen] = 1 + np.log10(values[seen] / scale) / DECADES
    return _paint(values, size)


def legend(
    x: float, y: float, scale: float, *, signed: bool = True, log: bool = False, strongest: float = 1.0
) -> list[Mark]:
    """A bar of the ramp with its numbers, 16 high, from x, around y; strongest: the largest opacity."""
    length = 120
    if log:
        bar = log_ramp(scale * np.logspace(-DECADES, 0, length), scale)
        low = number(scale * 10.0**-DECADES)
    else:
        bar = ramp(scale * np.linspace(-1 if signed else 0, 1, length), scale)
        low = number(-scale) if signed else "0"
    bar[:, 3] = np.rint(bar[:, 3] * strongest)
    left = x + width(low, 11) + 6
    marks: list[Mark] = [
        Text(left - 6, y, low, "muted", 11, "end"),
        Raster(left, y - 5, length, 10, bar[None]),
        Text(left + length + 6, y, number(scale), "muted", 11),
    ]
    if log:
        marks.append(Text(left + length + 6 + width(number(scale), 11) + 10, y, "logarithmic", "muted", 11))
    return marks


def _paint(values: Floats, size: Floats) -> Bytes:
    rgba = np.zeros((*values.shape, 4), np.uint8)
    rgba[..., :3] = np.where((values < 0)[..., None], rgb("negative"), rgb("positive"))
    rgba[..., 3] = np.rint(255 * np.clip(size, 0, 1))
    return rgba
