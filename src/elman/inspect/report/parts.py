"""The building blocks of panels: drawings in their boxes, tables over the tokens, controls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.inspect.figures import wording
from elman.inspect.figures.scene import Figure
from elman.inspect.report.markup import Markup, element, join, scripts


def drawing(figure: Figure, **data: Any) -> Markup:
    """A figure in a box in which it scrolls, at its full width; `data` becomes data-* of the whole.

    One with a place, a what or a parameter is shown only while that is selected."""
    box = element("div", Markup(figure.svg()), class_="drawing", tabindex=0, role="group", aria_label=figure.title)
    named = {f"data_{key}": value for key, value in data.items()}
    choice = "choice" if {"place", "what", "parameter"} & data.keys() else None
    return element("figure", box, class_=choice, **named)


def token(text: object) -> Markup:
    """A piece of the user's text, whose direction does not reverse what is next to it."""
    return element("bdi", wording.visible(str(text)))


def choose(key: str, label: str, options: Iterable[tuple[object, str]], selected: object = None) -> Markup:
    """A list to choose from, bound to `key` of the selection that the scripts share."""
    lines = [element("option", words, value=value, selected=value == selected) for value, words in options]
    return element("label", f"{label} ", element("select", *lines, data_bind=key), class_="scripted")


def number(key: str, label: str, largest: int, value: int) -> Markup:
    """A whole number from 0, bound in the same way."""
    box = element("input", type="number", min=0, max=largest, value=value, step=1, data_bind=key)
    return element("label", f"{label} ", box, class_="scripted")


def columns(*inside: object) -> Markup:
    """Side by side where the window is wide enough."""
    return element("div", *inside, class_="columns")


def controls(*inside: Markup) -> Markup:
    return element("div", *inside, class_="controls")


def chips(tokens: Sequence[str], kind: str) -> Markup:
    """The text, one box per token, whose colours a script sets."""
    boxes = [element("span", token(word), class_="chip", data_step=i) for i, word in enumerate(tokens)]
    return element("p", *boxes, class_="chips scripted", data_chips=kind, tabindex=0)


def grid(
    kind: str, label: str, heads: Sequence[str], rows: Mapping[str, NDArray[np.float64]], axis: str = "step"
) -> Markup:
    """A table of numbers, coloured by their share of the largest: one column per token, one row per name.

    rows: name -> one number per column; axis: what a column is, "step" or "output"."""
    at = f"data_{axis}"
    cells = [element("th", token(word), scope="col", **{at: i}) for i, word in enumerate(heads)]
    lines = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(element("td", show(value), style=_colour(value, values), **{at: i}) for i, value in enumerate(values)),
            data_row=row,
        )
        for row, (name, values) in enumerate(rows.items())
    ]
    head = element("thead", element("tr", element("td", label), *cells))
    table = element("table", head, element("tbody", *lines), class_="grid", data_grid=kind)
    return element("div", table, class_="drawing", tabindex=0, role="group", aria_label=label)


def table(label: str, head: Sequence[object], lines: Iterable[Sequence[object]]) -> Markup:
    """A plain table whose first column names its rows; label: what it is, for those who cannot see it."""
    rows = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in lines
    ]
    heads = element("thead", element("tr", *(element("th", cell, scope="col") for cell in head)))
    inside = element("table", heads, element("tbody", *rows))
    return element("div", inside, class_="drawing", tabindex=0, role="group", aria_label=label)


def show(value: float) -> str:
    """A number in three digits, as in assets/data.js."""
    return wording.number(float(value)) if math.isfinite(value) else "–"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"


def paragraphs(text: str) -> Markup:
    """A docstring: its first paragraph and the others, with subscripts and superscripts."""
    blocks = [" ".join(block.split()) for block in text.strip().split("\n\n")]
    return join(*(element("p", scripts(block)) for block in blocks if block))


def _colour(value: float, values: NDArray[np.float64]) -> str | None:
    """The cell's share of the largest, and its sign, as the style sheet expects them."""
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if not math.isfinite(value) or not largest:
        return None
    sign = "; --hue: var(--negative)" if value < 0 else ""
    return f"--share: {math.sqrt(abs(value) / largest):.3f}{sign}"
