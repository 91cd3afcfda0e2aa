"""What happened inside: states and named gates of every step, and the live numbers of a cell's equation."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.inspect.array import Array
from elman.inspect.step import Step, rows_of, stepped
from elman.inspect.subject import Place, Subject

SATURATED = 0.05
"""A gate below this is practically shut, above 1 - this practically open."""


def states(subject: Subject, place: str) -> dict[str, Array]:
    """Field of the state -> its value after each step: axes (step, unit). Raises UsageError for an unknown place."""
    after = rows_of(subject.place(place)).after
    return {name: _by_unit(subject, value) for name, value in zip(after._fields, after, strict=True)}


def gates(subject: Subject, place: str) -> dict[str, Array]:
    """Name of a gate -> its value at each step: axes (step, unit). Empty for a cell that names none."""
    gates = subject.place(place).record.gates
    return {name: _by_unit(subject, torch.cat(values).detach()) for name, values in gates.items()}


def saturation(values: Array | NDArray[np.floating]) -> tuple[float, float]:
    """The shares of a gate's values that are below 0.05 and above 0.95."""
    numbers = np.asarray(values)
    return float((numbers < SATURATED).mean()), float((numbers > 1 - SATURATED).mean())


@dataclass(frozen=True)
class Equation:
    """A cell's equation with its actual numbers.

    source:     the lines of `step`, or of R where the cell overrides that; empty where unavailable
    assigned:   line of source (from 0) -> the names that get their value there
    quantities: name -> (rows, hidden): "x.f" = x_t W_f + b_f, "r.f" = h_{t-1} U_f, "s.c" (the state before the step),
                the local names, and the fields of the new state
    """

    source: tuple[str, ...]
    assigned: dict[int, tuple[str, ...]]
    quantities: dict[str, NDArray[np.floating]]


def equation(place: Place) -> Equation:
    """The steps of a place recomputed, all at once, recording every name."""
    cell = place.record.cell
    rows, step = rows_of(place), Step(place)
    function: Any = type(cell).step if cell.fits else type(cell).R
    with torch.no_grad():
        if cell.fits:
            with stepped(cell) as calls, _Locals(function.__code__) as kept:
                new = step(rows.before, rows.x)
            ((s, x, r),) = calls
            given = {"x": x, "r": r or (), "s": s}
        else:
            with _Locals(function.__code__) as kept:
                new = step(rows.before, rows.x)
            given = {"s": rows.before}
    shape = new[0].shape
    quantities: dict[str, Tensor] = {}
    for letter, tensors in given.items():
        quantities |= {f"{letter}.{name}": getattr(tensors, name) for name in getattr(tensors, "_fields", ())}
    quantities |= {name: v for name, v in kept.found.items() if isinstance(v, Tensor) and name not in ("x",)}
    quantities |= dict(zip(new._fields, new, strict=True))
    source, assigned = _source(function)
    usable = {name: v.detach().numpy() for name, v in quantities.items() if v.shape == shape}
    named = {line: tuple(n for n in names if n in usable) for line, names in assigned.items()}
    return Equation(source, {line: names for line, names in named.items() if names}, usable)


class _Locals:
    """While inside, the local names of a function are kept each time it returns."""

    def __init__(self, code: CodeType) -> None:
        self.code, self.found = code, dict[str, Any]()

    def __enter__(self) -> _Locals:
        self._before = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        before: Any = self._before
        sys.setprofile(before if before is None or callable(before) else None)
        if hasattr(before, "enable"):  # cProfile hooks in below Python
            before.enable()

    def _see(self, frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is self.code:
            self.found = dict(frame.f_locals)


def _source(function: Any) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    """The lines of a function, and by line the names that get their last value there, the only one that is known."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        body: Any = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return (), {}
    last: dict[str, int] = {}
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            last[node.id] = max(last.get(node.id, 0), node.lineno - 1)
    for node in ast.walk(body):
        if isinstance(node, ast.Return):
            for field in re.findall(r"(\w+)=", ast.get_source_segment(text, node) or ""):
                last.setdefault(field, node.lineno - 1)
    assigned: dict[int, tuple[str, ...]] = {}
    for name, line in sorted(last.items(), key=lambda item: item[1]):
        assigned[line] = (*assigned.get(line, ()), name)
    return tuple(text.rstrip().splitlines()), assigned


def _by_unit(subject: Subject, values: Tensor) -> Array:
    return Array(values.flatten(1).numpy(), ("step", "unit"), {"step": subject.tokens})
