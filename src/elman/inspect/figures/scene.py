"""`Figure`: a drawing as a list of marks, that becomes SVG for pages and notebooks, or PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from elman.errors import ResourceError, UsageError
from elman.inspect.figures.agg import write_png
from elman.inspect.figures.marks import (
    DARK,
    PALETTE,
    SANS,
    Circle,
    Line,
    Mark,
    Raster,
    Rect,
    Text,
    colour,
    n,
    safe,
)

__all__ = ["DARK", "PALETTE", "Circle", "Figure", "Line", "Mark", "Raster", "Rect", "Text"]


@dataclass(frozen=True, repr=False)
class Figure:
    """width, height: user units. title: what it is; description: one sentence for those who cannot see it."""

    width: float
    height: float
    marks: Sequence[Mark]
    title: str
    description: str

    def svg(self) -> str:
        """A whole <svg>, colours as CSS variables that a page may set (--ink, --paper, ...), text escaped."""
        # An image has no parts for a screen reader; where parts can be reached by keyboard it is a group.
        role = "group" if any(mark.focus for mark in self.marks) else "img"
        size = f'viewBox="0 0 {n(self.width)} {n(self.height)}" width="{n(self.width)}" height="{n(self.height)}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="{role}" aria-label="{safe(self.title)}" '
            f'font-family="{SANS}"><title>{safe(self.title)}</title><desc>{safe(self.description)}</desc>'
            f'<rect width="{n(self.width)}" height="{n(self.height)}" fill="{colour("paper")}" class="paper"/>'
            + "".join(mark.svg() for mark in self.marks)
            + "</svg>"
        )

    def png(self, path: str | os.PathLike[str], scale: float = 2.0) -> None:
        """Write a PNG of width x height x scale pixels, in light colours. Raises UsageError without matplotlib,
        ResourceError when the file cannot be written."""
        write_png(self.marks, self.width, self.height, path, scale)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write an SVG or a PNG, by the suffix. Raises UsageError for another suffix, and as `png` does."""
        suffix = os.path.splitext(path)[1]
        if suffix == ".png":
            self.png(path)
            return
        if suffix != ".svg":
            raise UsageError(f"{os.fspath(path)}: expected a name that ends in .svg or .png")
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.svg())
        except OSError as problem:
            raise ResourceError(f"{os.fspath(path)}: cannot be written: {problem.strerror or problem}") from None

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return f"<Figure {self.title!r}, {n(self.width)} x {n(self.height)}, {len(self.marks):,} marks>"
