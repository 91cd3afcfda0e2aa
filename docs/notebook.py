"""Runs the lecture, without Jupyter, and draws the figures of reading-the-report.md.

    python docs/notebook.py                      run lecture.ipynb and write what its cells show into it
    elman demo --out elman-demo                  then
    python docs/notebook.py figures elman-demo   draw docs/figures from the taggers of the demo

A cell runs as in Jupyter: all in one namespace, what is printed is kept, and so is the value of the last expression, as
SVG or HTML where it has such a form. Beside the outputs lies the fingerprint of the sources that they came of, so that
a test can tell an edited lecture from one that was run.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import linecache
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parent
LECTURE = DOCS / "lecture.ipynb"
SENTENCE = "the boys that the dog saw near the old barn must be your sheep ."  # of the demo
SHEEP = 13  # the step of that sentence whose output is looked at


def read(path: Path = LECTURE) -> dict[str, Any]:
    """A notebook. A source may be one text or a list of lines; here it is one text."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def write(notebook: Mapping[str, Any], path: Path = LECTURE) -> None:
    """As Jupyter writes it: texts as lists of lines, so that differences can be read."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    text = json.dumps({**notebook, "cells": cells}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def fingerprint(notebook: Mapping[str, Any]) -> str:
    """Of the sources of all cells of code, as each cell runs after all before it."""
    sources = json.dumps([cell["source"] for cell in code_cells(notebook)])
    return hashlib.sha256(sources.encode()).hexdigest()


def run(notebook: Mapping[str, Any], namespace: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The outputs of each cell of code, run one after the other in the namespace. What a cell raises is raised."""
    namespace.setdefault("__name__", "lecture")
    return [outputs(cell["source"], namespace, number) for number, cell in enumerate(code_cells(notebook), 1)]


def outputs(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run one cell; what it shows, as nbformat has it."""
    name = f"<cell {number}>"
    # So that tracebacks, and the lenses that show a cell's equation, find its lines.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        found.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        data = {kind: text.splitlines(keepends=True) for kind, text in bundle(value).items()}
        found.append({"output_type": "execute_result", "execution_count": number, "data": data, "metadata": {}})
    return found


def bundle(value: Any) -> dict[str, str]:
    """Kind -> the value in that form: SVG or HTML if it can, and text, which for a figure is its description."""
    methods = {"image/svg+xml": "_repr_svg_", "text/html": "_repr_html_"}
    found = {kind: getattr(value, method)() for kind, method in methods.items() if hasattr(value, method)}
    described = value.description if "image/svg+xml" in found else repr(value)
    return {**found, "text/plain": described}


def execute(path: Path = LECTURE) -> None:
    """Run a notebook and write what its cells show into it."""
    notebook = read(path)
    for number, (cell, found) in enumerate(zip(code_cells(notebook), run(notebook, {}), strict=True), 1):
        cell["outputs"], cell["execution_count"] = found, number
    notebook["metadata"]["elman"] = {"outputs_of": fingerprint(notebook)}
    write(notebook, path)


def kind(output: Mapping[str, Any]) -> str:
    """What one output is: "stdout", or its richest form, such as "image/svg+xml"."""
    return str(output["name"]) if output["output_type"] == "stream" else next(iter(output["data"]))


def draw(demo: Path, out: Path = DOCS / "figures") -> None:
    """The figures of reading-the-report.md, of the LSTM and the Elman network of `elman demo`."""
    import elman
    from elman.inspect import figure, look

    taggers = {name: elman.load(demo / name) for name in ("lstm", "elman")}
    view = look(taggers["lstm"], SENTENCE, title="lstm", beside={"elman": taggers["elman"]})
    place, steps = view.places[0], [output.step for output in view.outputs]
    answers = [f"{token} → {output.target}" for token, output in zip(view.tokens, view.outputs, strict=True)]
    named = "what reaches U at each step from each output; kept: fewer than 5 steps away"
    found = {
        "unrolled": figure("unrolled")(view),
        "forget-gate": figure("heat")(place.gates["f"], view.tokens, "gate f of the LSTM", signed=False),
        "gradient-by-distance": figure("gradient_by_distance")(view.extras["cells"]),
        "contributions": figure("contributions")(
            view.contributions["U, layer 1 forward"], view.tokens, answers, named, truncation=5, steps=steps
        ),
        "lost": figure("lost")(view.lost),
    }
    out.mkdir(exist_ok=True)
    for name, drawing in found.items():
        (out / f"{name}.svg").write_text(_without_images(drawing).svg() + "\n", encoding="utf-8")


def _without_images(drawing: Any) -> Any:
    """The drawing with a box for every cell of its rasters: a page that shows it may forbid images within images."""
    from elman.inspect.figures.marks import Raster, Rect, rgb

    hues = {rgb(name): name for name in ("positive", "negative")}
    marks: list[Any] = []
    for mark in drawing.marks:
        if not isinstance(mark, Raster):
            marks.append(mark)
            continue
        rows, cols, _ = mark.rgba.shape
        w, h = mark.w / cols, mark.h / rows
        for i, j in np.argwhere(mark.rgba[..., 3] > 0).tolist():
            red, green, blue, alpha = mark.rgba[i, j].tolist()
            place = (mark.x + j * w, mark.y + i * h, w, h)
            marks.append(Rect(*place, hues[red, green, blue], opacity=alpha / 255))
    return replace(drawing, marks=marks)


if __name__ == "__main__":
    if sys.argv[1:2] == ["figures"] and len(sys.argv) == 3:
        draw(Path(sys.argv[2]))
    elif len(sys.argv) == 1:
        execute()
    else:
        sys.exit(__doc__)
