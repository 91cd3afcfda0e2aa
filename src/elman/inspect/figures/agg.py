"""A figure as PNG, drawn by matplotlib."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.errors import ResourceError, UsageError
from elman.inspect.figures.marks import BASELINE, PALETTE, Circle, Line, Mark, Raster, Rect, Text
from elman.inspect.figures.wording import clean

POINT = 0.72  # of a px, at 100 px per inch
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Hiragino Sans", "Yu Gothic", "SimHei")


def write_png(marks: Sequence[Mark], width: float, height: float, path: str | os.PathLike[str], scale: float) -> None:
    """Draw marks on paper of width x height px and write it, `scale` times as large.

    Raises UsageError when matplotlib is missing, ResourceError when the file cannot be written."""
    try:
        figures, agg = (importlib.import_module(f"matplotlib.{name}") for name in ("figure", "backends.backend_agg"))
        fonts = importlib.import_module("matplotlib.font_manager")
    except ImportError:
        raise UsageError("a PNG needs matplotlib; get it: pip install 'elman[figures]'") from None
    installed = {font.name for font in fonts.fontManager.ttflist}
    families = [name for name in FONTS if name in installed] or ["sans-serif"]
    canvas = figures.Figure(figsize=(width / 100, height / 100), dpi=100 * scale)
    agg.FigureCanvasAgg(canvas)
    axes = canvas.add_axes((0, 0, 1, 1))
    canvas.patch.set_facecolor(PALETTE["paper"])
    axes.axis("off")
    for order, mark in enumerate(marks):
        for artist in _artists(mark, axes, families):
            artist.set_zorder(order)
            artist.set_clip_on(False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    try:
        with warnings.catch_warnings():
            # A script without an installed font shows as boxes; that is not an error of the picture.
            warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
            canvas.savefig(path, format="png")
    except OSError as error:
        raise ResourceError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from None


def _artists(mark: Mark, axes: Any, families: list[str]) -> list[Any]:
    """The mark, added to matplotlib's axes by `add_artist`: `add_patch` would measure it for limits already set."""
    patches = importlib.import_module("matplotlib.patches")
    if isinstance(mark, Rect):
        if mark.radius:
            radius = min(mark.radius, mark.w / 2, mark.h / 2)
            style = patches.BoxStyle("round", pad=0, rounding_size=radius)
            box = patches.FancyBboxPatch((mark.x, mark.y), mark.w, mark.h, boxstyle=style, **_paint(mark))
        else:
            box = patches.Rectangle((mark.x, mark.y), mark.w, mark.h, **_paint(mark))
        return [axes.add_artist(box)]
    if isinstance(mark, Circle):
        return [axes.add_artist(patches.Circle((mark.x, mark.y), mark.r, **_paint(mark)))]
    if isinstance(mark, Line):
        return _line(mark, axes, patches)
    if isinstance(mark, Raster):
        extent = (mark.x, mark.x + mark.w, mark.y + mark.h, mark.y)
        return [axes.imshow(mark.rgba, extent=extent, interpolation="nearest", aspect="auto")]
    assert isinstance(mark, Text), mark
    return [_text(mark, axes, families)]


def _paint(mark: Rect | Circle) -> dict[str, Any]:
    colors = importlib.import_module("matplotlib.colors")
    return {
        "facecolor": colors.to_rgba(PALETTE[mark.fill], mark.opacity) if mark.fill else "none",
        "edgecolor": PALETTE[mark.stroke] if mark.stroke else "none",
        "linewidth": mark.width * POINT if mark.stroke else 0.0,
    }


def _line(mark: Line, axes: Any, patches: Any) -> list[Any]:
    paths = importlib.import_module("matplotlib.path").Path
    codes = {"M": [paths.MOVETO], "L": [paths.LINETO], "Q": [paths.CURVE3, paths.CURVE3]}
    commands = mark.path()
    path = paths([p for _, points in commands for p in points], [c for name, _ in commands for c in codes[name]])
    width = mark.width * POINT
    dash = (0, [length / mark.width for length in mark.dash]) if mark.dash else "solid"
    look = {"edgecolor": PALETTE[mark.stroke], "alpha": mark.opacity, "linewidth": width, "linestyle": dash}
    artists = [axes.add_artist(patches.PathPatch(path, facecolor="none", joinstyle="round", capstyle="butt", **look))]
    if mark.arrow:
        fill = {"facecolor": PALETTE[mark.stroke], "edgecolor": "none", "alpha": mark.opacity}
        artists.append(axes.add_artist(patches.Polygon(mark.head(), closed=True, **fill)))
    return artists


def _text(mark: Text, axes: Any, families: list[str]) -> Any:
    turn, down = np.radians(mark.rotate), BASELINE * mark.size
    return axes.text(
        mark.x - down * np.sin(turn),
        mark.y + down * np.cos(turn),
        clean(mark.text),
        color=PALETTE[mark.fill],
        fontsize=mark.size * POINT,
        fontfamily=["DejaVu Sans Mono", *families] if mark.mono else families,
        fontweight="bold" if mark.bold else "normal",
        ha={"start": "left", "middle": "center", "end": "right"}[mark.anchor],
        va="baseline",
        rotation=-mark.rotate,
        rotation_mode="anchor",
        parse_math=False,
    )
