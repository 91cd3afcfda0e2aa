"""`Columns`: where the steps of a text are in every drawing with one column per token, so that drawings line up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elman.inspect.figures.marks import Mark, Text
from elman.inspect.figures.wording import fit, visible, width

MARGIN = 148.0  # for the names of rows, at the left
NARROWEST, WIDEST = 44.0, 88.0
SIZE = 12.0  # of a token's letters


@dataclass(frozen=True)
class Columns:
    """`count` columns of one width, the first from `start`."""

    start: float
    width: float
    count: int

    def left(self, step: int) -> float:
        return self.start + step * self.width

    def middle(self, step: int) -> float:
        return self.start + (step + 0.5) * self.width

    @property
    def end(self) -> float:
        return self.start + self.count * self.width


def columns(tokens: Sequence[str]) -> Columns:
    """One width for all, so that most tokens fit: longer ones are cut where they are drawn."""
    widths = [width(visible(token), SIZE) + 10 for token in tokens] or [NARROWEST]
    return Columns(MARGIN, min(max(float(np.quantile(widths, 0.95)), NARROWEST), WIDEST), len(tokens))


def token_row(tokens: Sequence[str], columns: Columns, y: float) -> list[Mark]:
    """The tokens, each in the middle of its column, around y."""
    marks: list[Mark] = []
    for step, token in enumerate(tokens):
        text = fit(token, columns.width - 4, SIZE)
        x = columns.middle(step)
        marks.append(Text(x, y, text, "ink", SIZE, "middle", data={"step": step}, title=f"{step}: {token}"))
    return marks
