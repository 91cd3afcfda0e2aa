"""Two texts, one above the other, and what of the one each part of the other is made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elman.errors import UsageError
from elman.inspect.figures.axes import LABEL
from elman.inspect.figures.colours import Floats
from elman.inspect.figures.scene import Figure, Line, Mark, Text
from elman.inspect.figures.wording import fit, number, visible, width

LEFT, TOP, HIGH = 76.0, 44.0, 96.0  # HIGH: between the two lines of text
SIZE, WIDEST = 13.0, 120.0  # of a token
FAINT = 0.05  # a smaller weight is not drawn


def arcs(
    weights: Floats,
    sources: Sequence[str],
    targets: Sequence[str],
    title: str = "alignment",
    what: str = "weights",
) -> Figure:
    """(J, T) weights from 0 to 1 between T source symbols above and J target symbols below: lines as thick and as dark
    as their weights. what: what they are. Raises UsageError unless there is a row a target and a column a source."""
    weights = np.asarray(weights, float)
    if weights.shape != (len(targets), len(sources)):
        found = f"{weights.shape}"
        raise UsageError(f"arcs: expected {len(targets)} targets by {len(sources)} sources, found {found}")
    lines = [_places(tokens) for tokens in (sources, targets)]
    end = max(end for _, end in lines)
    # the shorter line in the middle of the longer
    places = [[x + (end - own) / 2 for x in xs] for xs, own in lines]
    title = f"{title}: {what}"
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    over, under = TOP + 10, TOP + HIGH - 10
    drawn = 0
    for j, i in zip(*np.nonzero(np.nan_to_num(weights) >= FAINT), strict=True):
        weight = float(weights[j, i])
        words = f"{visible(targets[j])} from {visible(sources[i])}: {number(weight)}"
        points = ((places[0][i], over), (places[1][j], under))
        data: dict[str, str | int] = {"step": int(i), "output": int(j)}
        marks.append(Line(points, "series1", 0.5 + 2.5 * weight, opacity=min(weight, 1.0), data=data, title=words))
        drawn += 1
    for label, y, tokens, xs, key in (
        ("source", TOP, sources, places[0], "step"),
        ("target", TOP + HIGH, targets, places[1], "output"),
    ):
        marks.append(Text(8, y, label, "muted", LABEL))
        for k, (token, x) in enumerate(zip(tokens, xs, strict=True)):
            marks.append(
                Text(x, y, fit(token, WIDEST, SIZE), "ink", SIZE, "middle", data={key: k}, title=f"{k}: {token}")
            )
    marks.append(Text(8, TOP + HIGH + 26, f"weights below {FAINT} are not drawn", "muted", LABEL))
    words = f"{title}: {drawn} lines between {len(sources)} source and {len(targets)} target symbols."
    wide = max(end + 8, LEFT + 240, 16 + width(title, 13, bold=True))
    return Figure(wide, TOP + HIGH + 42, marks, title, words)


def _places(tokens: Sequence[str]) -> tuple[list[float], float]:
    """The middle of each token in a line of text, and the line's end."""
    places, x = [], LEFT
    for token in tokens:
        room = max(min(width(visible(token), SIZE), WIDEST) + 10, 20.0)
        places.append(x + room / 2)
        x += room
    return places, x
