"""What a model answers: its probabilities, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elman.inspect.figures.axes import LABEL, Axis, frame
from elman.inspect.figures.scene import Circle, Figure, Line, Mark, Rect, Text
from elman.inspect.figures.wording import fit, number, visible
from elman.inspect.view import OutputView

CARD, LINE, ACROSS = 236.0, 17.0, 4


def probabilities(outputs: Sequence[OutputView], tokens: Sequence[str], title: str = "answers") -> Figure:
    """For each output its most likely answers, best first, as bars with numbers; the target has another colour."""
    most = max((len(output.top) for output in outputs), default=0)
    high = 34 + most * LINE + 8
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    for j, output in enumerate(outputs):
        x, y = 8 + (j % ACROSS) * CARD, 32 + (j // ACROSS) * high
        where = "the whole text" if output.step is None else visible(tokens[output.step])
        data: dict[str, str | int] = {"output": j} if output.step is None else {"output": j, "step": output.step}
        words = f"output {j}, {where}: target {visible(output.target)}, loss {number(output.loss)} nats"
        box = Rect(
            x, y, CARD - 10, high - 8, "grid", "grid", radius=6, opacity=0.25, data=data, title=words, focus=True
        )
        marks.append(box)
        marks.append(Text(x + 8, y + 13, fit(where, 120, 12, bold=True), "ink", 12, bold=True, title=where))
        marks.append(Text(x + CARD - 18, y + 13, f"loss {number(round(output.loss, 3))}", "muted", LABEL, "end"))
        for i, (answer, p) in enumerate(output.top):
            middle, long = y + 32 + i * LINE, 84 * min(max(p, 0.0), 1.0)
            hue = "series3" if answer == output.target else "series1"
            marks.append(Text(x + 92, middle, fit(answer, 84, LABEL), "ink", LABEL, "end", title=visible(answer)))
            words = f"{visible(answer)}: {number(p)}"
            marks.append(Rect(x + 98, middle - 5, long, 10, hue, opacity=0.85, title=words, data={"answer": i}))
            marks.append(Text(x + 102 + long, middle, f"{p:.3f}", "muted", 10))
    lines = -(-len(outputs) // ACROSS)
    bottom = 32 + lines * high + 12
    marks += [Rect(8, bottom - 5, 10, 10, "series3"), Text(24, bottom, "the target", "muted", LABEL)]
    marks += [Rect(104, bottom - 5, 10, 10, "series1"), Text(120, bottom, "another answer", "muted", LABEL)]
    wide = 8 + max(1, min(len(outputs), ACROSS)) * CARD
    right = sum(bool(output.top) and output.top[0][0] == output.target for output in outputs)
    words = f"The most likely answers of {len(outputs)} output(s); in {right} the first is the target."
    return Figure(max(wide, 260.0), bottom + 16, marks, title, words)


def reliability(bins: Sequence[Any], title: str = "reliability") -> Figure:
    """For each bin (low, high, count, confidence, accuracy), the last two None if empty: accuracy as a bar next to the
    diagonal, its gap to the mean confidence, and below the counts. The expected calibration error is in the title."""
    rows = [_bin(b) for b in bins]
    total = sum(count for _, _, count, _, _ in rows)
    error = sum(c * abs(a - p) for _, _, c, p, a in rows if c) / total if total else float("nan")
    title += f": expected calibration error {error:.3f}" if total else ": no predictions"
    left, top, side, low = 64.0, 40.0, 280.0, 70.0
    x, y = Axis(0, 1, left, left + side), Axis(0, 1, top + side, top)
    counts = Axis(0, max([row[2] for row in rows] or [1]) or 1, top + side + 20 + low, top + side + 20)
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    marks += [mark for mark in frame(x, y, "", "accuracy", whole=False) if not _across(mark, top + side)]
    for a, b, count, p, accuracy in rows:
        words = f"{number(a)} to {number(b)}: {count} predictions"
        if count:
            words += f", confidence {number(p)}, accuracy {number(accuracy)}"
            high = y(0) - y(accuracy)
            data: dict[str, str | int] = {"count": count}
            marks.append(
                Rect(x(a) + 1, y(accuracy), x(b) - x(a) - 2, high, "series1", opacity=0.7, title=words, data=data)
            )
            gap = sorted((y(p), y(accuracy)))
            marks.append(Rect(x(a) + 1, gap[0], x(b) - x(a) - 2, gap[1] - gap[0], "warn", "warn", 1, opacity=0.25))
            marks.append(Circle(x(p), y(p), 2.5, "warn"))
        marks.append(Rect(x(a) + 1, counts(count), x(b) - x(a) - 2, counts(0) - counts(count), "muted", title=words))
    marks.append(Line(((x(0), y(0)), (x(1), y(1))), "ink", 1.2, dash=(5, 4)))
    marks += frame(Axis(0, 1, left, left + side), counts, "confidence", "count", whole=False, most=3, counts=True)
    for k, (name, words) in enumerate((("series1", "accuracy"), ("warn", "gap to the confidence"))):
        marks.append(Rect(left + side + 16, top + 6 + 20 * k - 5, 10, 10, name, opacity=0.7 if k == 0 else 0.35))
        marks.append(Text(left + side + 32, top + 6 + 20 * k, words, "muted", LABEL))
    words = f"{total} predictions in {len(rows)} bins by their probability; {title}."
    return Figure(left + side + 190, top + side + low + 72, marks, title, words)


def _bin(row: Any) -> tuple[float, float, int, float, float]:
    """From a tuple, or from a result's bin with these fields."""
    if hasattr(row, "lower"):
        row = (row.lower, row.upper, row.count, row.confidence, row.accuracy)
    low, high, count, confidence, accuracy = row
    nan = float("nan")
    return low, high, int(count), nan if confidence is None else confidence, nan if accuracy is None else accuracy


def _across(mark: Mark, bottom: float) -> bool:
    """Whether it belongs to the axis below, which the lower plot has."""
    return isinstance(mark, Text) and mark.y > bottom + 6
