"""Matrices: what reaches a parameter from output j at step i, attributions, alignments, confusions, transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.inspect.figures.colours import Floats, legend, log_ramp, ramp, scale_of
from elman.inspect.figures.marks import Bytes
from elman.inspect.figures.scene import Figure, Line, Mark, Raster, Rect, Text
from elman.inspect.figures.wording import fit, number, visible, width

Look = Callable[[int, int], tuple[str, float, str, str]]  # of a cell: hue, opacity, text, tooltip
NAMES = 130.0  # the width of the names of rows
STRONGEST = 0.7  # opacity behind numbers, so that they stay legible


def contributions(
    values: Floats,
    tokens: Sequence[str],
    outputs: Sequence[str],
    title: str,
    *,
    truncation: int | None = None,
    steps: Sequence[int | None] | None = None,
) -> Figure:
    """(J, T) norms, output j downwards and step i to the right, on a logarithmic scale.

    truncation: the length k; what is k or more steps away is left blank, outside the dashed line. steps: where the
    outputs are; None, the whole text, counts as its end. By default one per step, or all at the end."""
    values = _matrix(values, tokens, outputs, "contributions")
    J, T = values.shape
    ends = list(steps) if steps is not None else [j if J == T else None for j in range(J)]
    places = np.array([T - 1 if end is None else end for end in ends], int)
    kept = np.abs(places[:, None] - np.arange(T)) < (T + 1 if truncation is None else truncation)
    scale = scale_of(values)
    rgba = log_ramp(np.where(kept, values, 0.0), scale)
    total = float(np.nansum(values))
    share = float(np.nansum(values[kept])) / total if total else 0.0
    words = f"{title}: norms of {J} outputs by {T} steps, the largest {number(scale) if total else 0}"
    words += "." if truncation is None else f"; what is fewer than {truncation} steps away is {share:.1%} of their sum."
    figure, cell, top = _labelled(rgba, tokens, outputs, title, words)
    marks = [*figure.marks, *legend(NAMES, figure.height - 16, scale, signed=False, log=True)]
    if truncation is not None:
        marks += _edges(kept, cell, top)
    return Figure(figure.width, figure.height, marks, title, words)


def attribution(values: Floats, tokens: Sequence[str], outputs: Sequence[str], title: str) -> Figure:
    """(J, T) signed numbers, output j downwards and the token that drove it to the right. nan is left blank."""
    values = _matrix(values, tokens, outputs, "attribution")
    scale = scale_of(values)
    words = f"{title}: {len(outputs)} outputs by {len(tokens)} tokens, the largest {number(scale)} in size."
    figure, _, _ = _labelled(ramp(values, scale), tokens, outputs, title, words)
    return Figure(figure.width, figure.height, [*figure.marks, *legend(NAMES, figure.height - 16, scale)], title, words)


def alignment(
    weights: Floats,
    sources: Sequence[str],
    targets: Sequence[str],
    title: str = "alignment",
    what: str = "weights",
) -> Figure:
    """(J, T) weights from 0 to 1, target symbol j downwards and source symbol i to the right. what: what they are."""
    weights = _matrix(weights, sources, targets, "alignment")
    words = f"{title}: the {what} of {len(targets)} target symbols over {len(sources)} source symbols."
    title = f"{title}: {what}"
    figure, _, _ = _labelled(ramp(weights, 1.0), sources, targets, title, words)
    marks = [*figure.marks, *legend(NAMES, figure.height - 16, 1.0, signed=False)]
    return Figure(figure.width, figure.height, marks, title, words)


def written(gradient: Floats, attribution: Floats, read: Sequence[str], outputs: Sequence[str]) -> Figure:
    """(J, J) signed numbers: by how much each output is owed to what the decoder read, gradient x input."""
    title = "what drove each output: gradient x input of what was written before"
    values = _matrix(attribution, read, outputs, "written")
    scale = scale_of(values)
    words = f"{title}: {len(outputs)} outputs by {len(read)} symbols, the largest {number(scale)} in size."
    figure, _, _ = _labelled(ramp(values, scale), read, outputs, title, words, across="read")
    return Figure(figure.width, figure.height, [*figure.marks, *legend(NAMES, figure.height - 16, scale)], title, words)


def written_gradient(gradient: Floats, attribution: Floats, read: Sequence[str], outputs: Sequence[str]) -> Figure:
    """(J, J) norms of the gradient of each output's loss with respect to what the decoder read."""
    title = "norm of dL_j / dy_i, y being what was written before"
    values = _matrix(gradient, read, outputs, "written_gradient")
    scale = scale_of(values)
    words = f"{title}: {len(outputs)} outputs by {len(read)} symbols, the largest {number(scale)}."
    figure, _, _ = _labelled(log_ramp(values, scale), read, outputs, title, words, across="read")
    marks = [*figure.marks, *legend(NAMES, figure.height - 16, scale, signed=False, log=True)]
    return Figure(figure.width, figure.height, marks, title, words)


def confusion(
    labels: Sequence[str], counts: NDArray[np.int64], limit: int = 25, title: str = "confusion matrix"
) -> Figure:
    """(K, K) counts, gold label downwards and predicted to the right; a cell is as opaque as its share of its row.

    With more than `limit` labels, only those most often confused, and the title says how many are left out."""
    counts = np.asarray(counts)
    K = len(labels)
    if counts.shape != (K, K):
        raise UsageError(f"confusion: expected counts of {K} labels by {K}, found {counts.shape}")
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    shown = list(range(K)) if limit >= K else [int(i) for i in np.argsort(-wrong, kind="stable")[:limit]]
    if limit < K:
        title += f": the {limit} labels most often confused, {K - limit} left out"
    rows = np.maximum(counts.sum(1), 1)

    def look(i: int, j: int) -> tuple[str, float, str, str]:
        gold, predicted, count = labels[shown[i]], labels[shown[j]], int(counts[shown[i], shown[j]])
        share = count / rows[shown[i]]
        words = f"{count} of {gold} predicted as {predicted} ({share:.1%})"
        return "positive" if i == j else "negative", STRONGEST * share, str(count) if count else "", words

    right, total = int(counts.diagonal().sum()), int(counts.sum())
    words = f"{right} of {total} right, over {K} labels."
    return _cells([labels[i] for i in shown], title, words, look, "gold", "predicted", None)


def transitions(
    labels: Sequence[str], scores: Floats, legal: NDArray[np.bool_] | None = None, title: str = "transitions"
) -> Figure:
    """(K, K) scores of a CRF, from a label downwards to a label rightwards; what is illegal is crossed out."""
    scores = np.asarray(scores, float)
    K = len(labels)
    allowed = np.ones((K, K), bool) if legal is None else np.asarray(legal, bool)
    if scores.shape != (K, K) or allowed.shape != (K, K):
        raise UsageError(f"transitions: expected scores of {K} labels by {K}, found {scores.shape} and {allowed.shape}")
    scale = scale_of(np.where(allowed, scores, np.nan))

    def look(i: int, j: int) -> tuple[str, float, str, str]:
        score, words = scores[i, j], f"{labels[i]} to {labels[j]}"
        if not allowed[i, j]:
            return "grid", 0.5, "×", f"{words}: forbidden"
        if not np.isfinite(score):
            return "grid", 0.0, "", f"{words}: unknown"
        fill = "negative" if score < 0 else "positive"
        shown = (f"{score:.1f}" if scale >= 1 else f"{score:.1g}").replace("-", "−")
        return fill, STRONGEST * abs(score) / scale, shown, f"{words}: {number(score)}"

    words = f"Transition scores of {K} labels; {int((~allowed).sum())} of {K * K} are forbidden."
    return _cells(labels, title, words, look, "from", "to", scale)


def _matrix(values: Floats, tokens: Sequence[str], outputs: Sequence[str], name: str) -> Floats:
    values = np.asarray(values, float)
    if values.shape != (len(outputs), len(tokens)):
        raise UsageError(f"{name}: expected {len(outputs)} outputs by {len(tokens)} tokens, found {values.shape}")
    return values


def _labelled(
    rgba: Bytes, tokens: Sequence[str], outputs: Sequence[str], title: str, words: str, across: str = "step"
) -> tuple[Figure, float, float]:
    """A raster under its tokens and next to its outputs; the size of a cell, and where the raster begins. across: what
    the columns are, for a page's scripts."""
    J, T, _ = rgba.shape
    cell = max(9.0, min(26.0, 640 / max(J, T, 1)))
    size = min(11.0, cell)
    longest = max([width(visible(t), size) for t in tokens] or [0.0])
    top = 36 + min(longest, 90.0) + 6
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    for i, token in enumerate(tokens):
        x = NAMES + (i + 0.5) * cell
        text = fit(token, 92, size)
        marks.append(Text(x, top - 6, text, "ink", size, rotate=-90, data={across: i}, title=f"{across} {i}: {token}"))
    for j, output in enumerate(outputs):
        y = top + (j + 0.5) * cell
        text = fit(output, NAMES - 14, size)
        marks.append(Text(NAMES - 6, y, text, "ink", size, "end", data={"output": j}, title=f"output {j}: {output}"))
    if J and T:
        marks.append(Raster(NAMES, top, T * cell, J * cell, rgba, data={"rows": J, "cols": T}, title=title))
    marks.append(Rect(NAMES, top, T * cell, J * cell, None, "grid"))
    wide = max(NAMES + T * cell + 12, 16 + width(title, 13, bold=True), NAMES + 320)
    return Figure(wide, top + J * cell + 40, marks, title, words), cell, top


def _edges(kept: NDArray[np.bool_], cell: float, top: float) -> list[Mark]:
    """The stairs between the cells that are kept and those that are not: one line per run of edges."""
    J, T = kept.shape
    marks: list[Mark] = []
    for left in (True, False):
        points: list[tuple[float, float]] = []
        for j in range(J):
            cols = np.flatnonzero(kept[j])
            i = (int(cols[0]) if left else int(cols[-1]) + 1) if len(cols) else 0
            inside = len(cols) > 0 and 0 < i < T
            if inside:
                x = NAMES + i * cell
                points += [(x, top + j * cell), (x, top + (j + 1) * cell)]
            if points and (not inside or j == J - 1):
                marks.append(Line(points, "accent", 1.2, dash=(4, 2), data={"edge": "left" if left else "right"}))
                points = []
    return marks


def _cells(
    labels: Sequence[str], title: str, words: str, look: Look, down: str, across: str, scale: float | None
) -> Figure:
    """K by K boxes; look(i, j): hue, opacity, what is written in the cell where it fits, and its tooltip."""
    K = len(labels)
    cell = max(14.0, min(44.0, 640 / max(K, 1)))
    size = min(11.0, max(8.0, cell * 0.36))
    letters = min(11.0, cell - 2)
    left = 32 + min(max([width(visible(t), letters) for t in labels] or [0.0]), 120.0)
    top = 34 + left - 12
    marks: list[Mark] = [Text(8, 16, title, "ink", 13, bold=True)]
    marks.append(Text(left + max(K * cell, 60) / 2, 38, across, "muted", 11, "middle"))
    marks.append(Text(12, top + max(K * cell, 40) / 2, down, "muted", 11, "middle", rotate=-90))
    for i, label in enumerate(labels):
        middle, text = (i + 0.5) * cell, fit(label, 122, letters)
        marks.append(Text(left - 6, top + middle, text, "ink", letters, "end", title=label))
        marks.append(Text(left + middle, top - 6, text, "ink", letters, rotate=-90, title=label))
    for i in range(K):
        for j in range(K):
            fill, strength, text, title_ = look(i, j)
            x, y = left + j * cell, top + i * cell
            data: dict[str, str | int] = {"row": i, "col": j}
            marks.append(Rect(x, y, cell, cell, fill, "grid", opacity=strength, data=data, title=title_))
            if text == "×":
                marks.append(Line(((x + 3, y + 3), (x + cell - 3, y + cell - 3)), "muted", 1))
                marks.append(Line(((x + 3, y + cell - 3), (x + cell - 3, y + 3)), "muted", 1))
            elif text and width(text, size) <= cell - 2:
                marks.append(Text(x + cell / 2, y + cell / 2, text, "ink", size, "middle"))
    bottom = top + max(K * cell, 40)
    if scale is not None:
        marks += legend(left, bottom + 20, scale, strongest=STRONGEST)
    wide = max(left + K * cell + 12, 120, 16 + width(title, 13, bold=True), left + 260 if scale is not None else 0)
    return Figure(wide, bottom + (40 if scale is not None else 12), marks, title, words)
