"""Marks: what drawings are made of.

A mark has its position in user units (px, y downwards), colours by name, and what a page's scripts may need: `data`
becomes data-* attributes, `title` a tooltip, `focus` makes it reachable by keyboard. Marks are drawn in their order.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.inspect.figures.wording import clean

# Name -> colour, in light and in dark. In SVG a colour is the CSS variable of its name, with the light one as fallback.
# Series and hues are after Okabe and Ito 2008, which colour-blind readers can distinguish.
PALETTE = {
    "ink": "#1b1f24",
    "muted": "#5b6470",
    "grid": "#d5dae0",
    "paper": "#ffffff",
    "forward": "#0072b2",
    "backward": "#b03a78",
    "accent": "#b45309",
    "warn": "#c0392b",
    "positive": "#0072b2",
    "negative": "#d55e00",
    "series1": "#0072b2",
    "series2": "#d55e00",
    "series3": "#009e73",
    "series4": "#cc79a7",
    "series5": "#b8860b",
    "series6": "#56b4e9",
    "series7": "#882255",
    "series8": "#666666",
}
DARK = {
    **PALETTE,
    "ink": "#e8eaed",
    "muted": "#a4adb8",
    "grid": "#3a424c",
    "paper": "#14181d",
    "forward": "#56b4e9",
    "backward": "#e38fbb",
    "accent": "#f0b35a",
    "warn": "#ff7b6b",
    "series1": "#4aa3e0",
    "series2": "#f0813a",
    "series3": "#2ec49a",
    "series5": "#e6b93f",
    "series7": "#d17ba0",
    "series8": "#b0b0b0",
}
SERIES = tuple(f"series{i}" for i in range(1, 9))
SANS, MONO = "system-ui, 'DejaVu Sans', 'Noto Sans CJK JP', sans-serif", "ui-monospace, 'DejaVu Sans Mono', monospace"
BASELINE = 0.35  # of a text's size, from its middle down to its baseline

Points = Sequence[tuple[float, float]]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What every mark may carry besides its shape."""

    data: Mapping[str, str | int] = field(default_factory=dict)
    title: str = ""
    focus: bool = False

    def shape(self) -> tuple[str, str]:
        """The SVG element's name with its attributes, and its text."""
        raise NotImplementedError

    def svg(self) -> str:
        shape, text = self.shape()
        attributes = "".join(f' data-{name}="{safe(value)}"' for name, value in self.data.items())
        if self.focus:
            attributes += f' tabindex="0" role="button" aria-label="{safe(self.title)}"'
        title = f"<title>{safe(self.title)}</title>" if self.title else ""
        return f"<{shape}{attributes}>{title}{safe(text)}</{shape.split()[0]}>"


@dataclass(frozen=True)
class Rect(Mark):
    """A box. fill, stroke: names of colours, None for none. opacity: of the fill, from 0 to 1."""

    x: float
    y: float
    w: float
    h: float
    fill: str | None = "paper"
    stroke: str | None = None
    width: float = 1.0
    radius: float = 0.0
    opacity: float = 1.0

    def shape(self) -> tuple[str, str]:
        place = f'x="{n(self.x)}" y="{n(self.y)}" width="{n(self.w)}" height="{n(self.h)}"'
        corner = f' rx="{n(self.radius)}"' if self.radius else ""
        return f"rect {place}{corner}{_paint(self.fill, self.stroke, self.width, self.opacity)}", ""


@dataclass(frozen=True)
class Circle(Mark):
    x: float
    y: float
    r: float
    fill: str | None = "paper"
    stroke: str | None = None
    width: float = 1.0
    opacity: float = 1.0

    def shape(self) -> tuple[str, str]:
        place = f'cx="{n(self.x)}" cy="{n(self.y)}" r="{n(self.r)}"'
        return f"circle {place}{_paint(self.fill, self.stroke, self.width, self.opacity)}", ""


@dataclass(frozen=True)
class Line(Mark):
    """A line through points. dash: lengths drawn and skipped; arrow: a head at the end; radius: of rounded corners."""

    points: Points
    stroke: str = "ink"
    width: float = 1.5
    dash: tuple[float, ...] = ()
    arrow: bool = False
    radius: float = 0.0
    opacity: float = 1.0

    def shape(self) -> tuple[str, str]:
        drawn = " ".join(command + " ".join(f"{n(x)},{n(y)}" for x, y in points) for command, points in self.path())
        dash = f' stroke-dasharray="{" ".join(map(n, self.dash))}"' if self.dash else ""
        faint = f' stroke-opacity="{n(self.opacity)}"' if self.opacity < 1 else ""
        paint = f'{_paint(None, self.stroke, self.width, 1)} stroke-linejoin="round"{dash}{faint}'
        return f'path d="{drawn}"{paint}', ""

    def svg(self) -> str:
        if not self.arrow:
            return super().svg()
        head = " ".join(f"{n(x)},{n(y)}" for x, y in self.head())
        return super().svg() + f'<polygon points="{head}"{_paint(self.stroke, None, 0, self.opacity)}/>'

    def path(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """The commands of SVG that draw it: M and L with one point each, Q with two where a corner is round."""
        points = [(float(x), float(y)) for x, y in self.points]
        if self.arrow:  # the line ends inside its head, so that the tip stays sharp
            points[-1] = _toward(points[-1], points[-2], 4)
        commands = [("M", points[:1])]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            r = min(self.radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
            if r > 0:
                commands += [("L", [_toward(corner, before, r)]), ("Q", [corner, _toward(corner, after, r)])]
            else:
                commands.append(("L", [corner]))
        return [*commands, ("L", points[-1:])]

    def head(self) -> list[tuple[float, float]]:
        """The three corners of the arrow's head."""
        (x, y), before = self.points[-1], self.points[-2]
        length = _distance((x, y), before) or 1.0
        dx, dy = (x - before[0]) / length, (y - before[1]) / length
        long, half = 3.5 + 1.8 * self.width, 1.6 + 1.0 * self.width
        bx, by = x - long * dx, y - long * dy
        return [(x, y), (bx - half * dy, by + half * dx), (bx + half * dy, by - half * dx)]


@dataclass(frozen=True)
class Text(Mark):
    """One line of text. x: where its `anchor` is (start, middle, end); y: its middle. rotate: degrees, clockwise."""

    x: float
    y: float
    text: str
    fill: str = "ink"
    size: float = 12.0
    anchor: str = "start"
    bold: bool = False
    mono: bool = False
    rotate: float = 0.0

    def shape(self) -> tuple[str, str]:
        place = f'x="{n(self.x)}" y="{n(self.y + BASELINE * self.size)}" font-size="{n(self.size)}"'
        look = ' font-weight="bold"' if self.bold else ""
        look += f' font-family="{MONO}"' if self.mono else ""
        look += f' text-anchor="{self.anchor}"' if self.anchor != "start" else ""
        look += f' transform="rotate({n(self.rotate)} {n(self.x)} {n(self.y)})"' if self.rotate else ""
        return f'text {place}{look} fill="{colour(self.fill)}"', self.text


@dataclass(frozen=True)
class Raster(Mark):
    """An image of hard-edged cells, (rows, cols, 4) uint8 red green blue alpha, stretched over a box."""

    x: float
    y: float
    w: float
    h: float
    rgba: Bytes

    def shape(self) -> tuple[str, str]:
        place = f'x="{n(self.x)}" y="{n(self.y)}" width="{n(self.w)}" height="{n(self.h)}"'
        look = 'preserveAspectRatio="none" image-rendering="pixelated"'
        image = base64.b64encode(encode_png(self.rgba)).decode("ascii")
        return f'image {place} {look} href="data:image/png;base64,{image}"', ""


def colour(name: str) -> str:
    """A colour as SVG writes it."""
    return f"var(--{name}, {PALETTE[name]})"


def rgb(name: str) -> tuple[int, int, int]:
    """A colour of the light palette as numbers up to 255."""
    value = PALETTE[name]
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def encode_png(rgba: Bytes) -> bytes:
    """(rows, cols, 4) uint8 as the bytes of a PNG file."""
    rows, cols, _ = rgba.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(rgba))  # 0: no filter
    header = struct.pack(">IIBBBBB", cols, rows, 8, 6, 0, 0, 0)  # 8 bits, red green blue alpha
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 6)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def safe(value: Any) -> str:
    """Any text, escaped for XML, attributes included."""
    return escape(clean(str(value)), quote=True)


def n(value: float) -> str:
    """A length, rounded to a hundredth, as short as possible."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _paint(fill: str | None, stroke: str | None, width: float, opacity: float) -> str:
    text = f' fill="{colour(fill)}"' if fill else ' fill="none"'
    text += f' fill-opacity="{opacity:.4g}"' if fill and opacity < 1 else ""
    return text + (f' stroke="{colour(stroke)}" stroke-width="{n(width)}"' if stroke else "")


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _toward(a: tuple[float, float], b: tuple[float, float], by: float) -> tuple[float, float]:
    """The point at distance `by` from a on the way to b, at most halfway."""
    length = _distance(a, b)
    share = min(by / length, 0.5) if length else 0.0
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
