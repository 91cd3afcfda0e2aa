"""`Array`: numbers whose axes have names, and whose positions along an axis may have names too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError, nearest


@dataclass(frozen=True)
class Array:
    """values, one name per axis, and for some axes one per position: the tokens along `step`, the gates along `gate`.

        norms.at(output=3)          one output, by its index
        gates.at(gate="f")          one gate, by its name
        norms.along("output").sum() along an axis, in numpy

    Raises UsageError where names and values do not fit, or for an axis or a position that does not exist."""

    values: NDArray[Any]
    axes: tuple[str, ...]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.axes):
            raise UsageError(f"expected a name for each of {self.values.ndim} axes, found {self.axes}")
        for axis, names in self.names.items():
            if len(names) != self.values.shape[self._axis(axis)]:
                size = self.values.shape[self._axis(axis)]
                raise UsageError(f"axis {axis}: expected {size} names, found {len(names)}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def size(self, axis: str) -> int:
        """The number of positions along an axis."""
        return self.values.shape[self._axis(axis)]

    def at(self, **where: int | str) -> Array:
        """The part at one position of each given axis; these axes are dropped."""
        index: list[Any] = [slice(None)] * len(self.axes)
        for axis, place in where.items():
            index[self._axis(axis)] = self._place(axis, place)
        axes = tuple(axis for axis in self.axes if axis not in where)
        return Array(self.values[tuple(index)], axes, {k: v for k, v in self.names.items() if k in axes})

    def along(self, *axes: str) -> NDArray[Any]:
        """The values with these axes first, in this order, the others after them."""
        first = [self._axis(axis) for axis in axes]
        return self.values.transpose(*first, *(i for i in range(len(self.axes)) if i not in first))

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is not a number is null."""
        return {
            "axes": list(self.axes),
            "names": {k: list(v) for k, v in self.names.items()},
            "values": plain(self.values),
        }

    def _axis(self, name: str) -> int:
        if name not in self.axes:
            raise UsageError(f"unknown axis {name!r}; {nearest(name, self.axes)}")
        return self.axes.index(name)

    def _place(self, axis: str, place: int | str) -> int:
        names = self.names.get(axis, ())
        if isinstance(place, str):
            if place not in names:
                raise UsageError(f"axis {axis} has no {place!r}; {nearest(place, names)}")
            return list(names).index(place)
        size = self.size(axis)
        if not -size <= place < size:
            raise UsageError(f"axis {axis}: expected an index from 0 to {size - 1}, found {place}")
        return place


def plain(values: NDArray[Any]) -> Any:
    """Nested lists; what is not finite is None, as JSON cannot express it."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        nullable = values.astype(object)
        nullable[~np.isfinite(values)] = None
        return nullable.tolist()
    return values.tolist()
