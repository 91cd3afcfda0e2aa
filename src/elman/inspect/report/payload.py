"""The numbers that the report's scripts show, as one JSON text that is small and cannot end its own element."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.inspect.figures.wording import clean, visible
from elman.inspect.view import PlaceView, View

NAN = -32768  # in int16 arrays
_LARGEST = 32767


def payload(view: View) -> str:
    """JSON that assets/data.js reads. Equal arrays, such as a gate and the quantity of its name, are stored once."""
    pool = Pool()
    data = {
        "tokens": [visible(token) for token in view.tokens],
        "outputs": [
            {
                "step": output.step,
                "target": visible(output.target),
                "loss": _number(output.loss),
                "top": [[visible(answer), _number(p)] for answer, p in output.top],
            }
            for output in view.outputs
        ],
        "places": [_place(place, pool) for place in view.places],
        "contributions": {clean(name): pool.wide(values) for name, values in view.contributions.items()},
        "lost": {clean(name): pool.wide(values) for name, values in view.lost.items()},
        "attribution": pool.wide(view.attribution),
        "left_out": pool.wide(view.left_out),
    }
    text = json.dumps({**data, "arrays": pool.arrays}, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _place(place: PlaceView, pool: Pool) -> dict[str, Any]:
    return {
        "name": clean(place.name),
        "quantities": {name: pool.small(values) for name, values in place.quantities.items()},
        "states": {name: pool.small(values) for name, values in place.states.items()},
        "gates": {name: pool.small(values) for name, values in place.gates.items()},
        "gradient": pool.wide(place.gradient),
    }


class Pool:
    """Arrays as JSON, each once; `small` and `wide` return the index in `arrays`."""

    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def small(self, values: NDArray[Any]) -> int:
        """Two bytes per number, all on one scale: for the states of many units, which are of similar size."""
        with np.errstate(invalid="ignore"):
            finite = np.isfinite(values)
            scale = float(np.abs(values, where=finite, out=np.zeros(values.shape)).max(initial=0.0)) / _LARGEST or 1.0
            numbers = np.where(finite, np.rint(values / scale), NAN).astype("<i2")
        return self._add("int16", numbers, scale=scale)

    def wide(self, values: NDArray[Any]) -> int:
        """Four bytes per number: for norms, which differ by many powers of ten."""
        with np.errstate(over="ignore"):
            return self._add("float32", np.asarray(values).astype("<f4"))

    def _add(self, kind: str, values: NDArray[Any], **more: float) -> int:
        data = values.tobytes()
        key = (f"{kind}{more}", values.shape, data)
        if key not in self._known:
            self._known[key] = len(self.arrays)
            text = base64.b64encode(data).decode("ascii")
            self.arrays.append({"shape": list(values.shape), kind: text, **more})
        return self._known[key]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
