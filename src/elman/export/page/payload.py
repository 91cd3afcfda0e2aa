"""A plan as JSON and bytes: what assets/payload.js reads."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.export.page.javascript import Function, function_of, identifier
from elman.recurrent.plan import Equation

SMALLEST = 1024  # numbers of an array below which it stays float32: biases, vectors, states
ACROSS = ("W", "U")  # in a `Direction`, whose outputs are columns: each has its own scale in int8


class Payload:
    """A plan taken apart. data: plain data, in which {"array": i} is arrays[i], {"texts": i} a list of texts, and
    {"step": i} the function `steps[i]`; steps: of every equation in it; bytes: of all arrays, one after the other."""

    def __init__(self, plan: Any, weights: str) -> None:
        self.weights = weights
        self.steps: list[Function] = []
        self._known: dict[Any, int] = {}
        self._arrays: list[dict[str, Any]] = []
        self._texts: list[list[str]] = []
        self._parts: list[bytes] = []
        self._size = 0
        plain = self._plain(plan)
        self.data = {"plan": plain, "arrays": self._arrays, "texts": self._texts}

    @property
    def bytes(self) -> bytes:
        return b"".join(self._parts)

    def _plain(self, value: Any, across: bool = False) -> Any:
        if isinstance(value, Equation):
            return {"step": self.function(value)}
        if isinstance(value, np.ndarray):
            return {"array": self._array(value, across)}
        if is_dataclass(value):
            named = {
                one.name: self._plain(getattr(value, one.name), across=one.name in ACROSS and hasattr(value, "U"))
                for one in fields(value)
            }
            return {"is": type(value).__name__, **named}
        if isinstance(value, tuple) and len(value) > 8 and isinstance(value[0], str):
            return {"texts": self._once(("texts", value), self._texts, list(value))}
        if isinstance(value, tuple | list):
            return [self._plain(one) for one in value]
        if isinstance(value, Mapping):
            return {key: self._plain(one) for key, one in value.items()}
        return value

    def function(self, equation: Equation) -> int:
        """The number of an equation's function in `steps`."""
        if equation.key not in self._known:
            name, taken = identifier(equation.name), {one.name for one in self.steps}
            while name in taken:
                name += "_"
            self._known[equation.key] = len(self.steps)
            self.steps.append(function_of(equation, name))
        return self._known[equation.key]

    def _array(self, values: NDArray[Any], across: bool) -> int:
        kind = "float64" if values.dtype == np.float64 else self.weights if values.size >= SMALLEST else "float32"
        data, more = encoded(values, kind, across)
        key = (kind, values.shape, data, *(map(str, more.values())))
        if key in self._known:
            return self._known[key]
        while self._size % 8:  # so that an array of any type can be a view
            self._parts.append(b"\0")
            self._size += 1
        row = {"type": kind, "shape": list(values.shape), "at": self._size, **more}
        self._parts.append(data)
        self._size += len(data)
        return self._once(key, self._arrays, row)

    def _once(self, key: Any, pool: list[Any], value: Any) -> int:
        if key not in self._known:
            self._known[key] = len(pool)
            pool.append(value)
        return self._known[key]


def encoded(values: NDArray[Any], kind: str, across: bool = False) -> tuple[bytes, dict[str, Any]]:
    """An array as bytes, little-endian, and what else its row says.

    bfloat16: the upper halves of float32, rounded to the nearest, ties to even
    int8: round(127 w / largest |w| of its row); across: of its column. "scales" are largest / 127, in base64"""
    if kind == "bfloat16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes(), {}
    if kind == "int8":
        rows = values.reshape(len(values), -1)
        scales = np.abs(rows).max(0 if across else 1, keepdims=True).astype(np.float32) / np.float32(127)
        whole = np.rint(rows / np.where(scales == 0, 1, scales)).astype(np.int8)
        scaled = base64.b64encode(scales.astype("<f4").tobytes()).decode("ascii")
        return whole.tobytes(), {"scales": scaled, "across": across}
    return values.astype({"float32": "<f4", "float64": "<f8"}[kind]).tobytes(), {}


def as_json(data: Any) -> str:
    """One line of JSON that cannot end the element that it stands in; a lone surrogate is escaped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff<\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
