"""The gradient through time and depth: dL_j / ds_i for every output j and step i."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elman.inspect.array import Array
from elman.inspect.subject import Subject


def gradients(subject: Subject, place: str, field: str = "h") -> Array:
    """dL_j / d(field of s_i): axes (output, step, unit).

    The state is taken as it is passed on, to the next step and to O: for an LSTM, dL_j / dh_i does not go through c_i,
    which is a separate field. Raises UsageError for an unknown place or field."""
    where = subject.place(place)
    state = where.record.after[0]
    values = Array(np.arange(len(state._fields)), ("field",), {"field": list(state._fields)}).at(field=field)
    number = int(values.values)
    sizes = [value[0].numel() if value.is_floating_point() else 0 for value in state]
    start = sum(sizes[:number])
    part = subject.gradients[subject.places.index(where)][:, :, start : start + sizes[number]]
    return Array(part.numpy(), ("output", "step", "unit"), _names(subject))


def gradient_norms(subject: Subject) -> dict[str, Array]:
    """Place -> the norm of dL_j / ds_i over the whole state: axes (output, step)."""
    return {
        place.name: Array(gradient.norm(dim=2).numpy(), ("output", "step"), _names(subject))
        for place, gradient in zip(subject.places, subject.gradients, strict=True)
    }


def input_norms(subject: Subject) -> Array:
    """The norm of dL_j / dx_i, x being what the lowest layer reads: axes (output, step)."""
    return Array(subject.at_inputs.norm(dim=2).numpy(), ("output", "step"), _names(subject))


def read_norms(subject: Subject) -> Array | None:
    """The norm of the gradient of L_j w.r.t. the vector that the decoder read to make output i: axes (output, read).

    What it read is the symbol written before. For one text; None for a network without a decoder."""
    if subject.at_read is None:
        return None
    return Array(subject.at_read.norm(dim=2).numpy(), ("output", "read"), names_of_read(subject))


def names_of_read(subject: Subject) -> dict[str, list[str]]:
    """The names of outputs, and of what a decoder read to make them: the end, then all targets but the last."""
    return {"output": subject.targets, "read": [*subject.targets[-1:], *subject.targets[:-1]]}


def by_distance(values: NDArray[np.floating], steps: Sequence[int | None]) -> NDArray[np.float64]:
    """(J, T) of one text -> (T,) the mean over outputs at each distance |j - i|; nan where there are none.

    steps: of each output; None for one of the whole text, which counts as its end."""
    count = values.shape[1]
    where = np.array([count - 1 if step is None else step for step in steps])
    return mean_by_distance(values, np.abs(where[:, None] - np.arange(count)))


def mean_by_distance(values: NDArray[np.floating], apart: NDArray[np.integer]) -> NDArray[np.float64]:
    """The mean of values (J, rows) at each distance; apart is -1 where undefined. See `Subject.apart`."""
    known = apart >= 0
    size = int(apart.max()) + 1 if known.any() else 0
    total = np.bincount(apart[known], weights=values[known].astype(np.float64), minlength=size)
    number = np.bincount(apart[known], minlength=size)
    return np.divide(total, number, out=np.full(size, np.nan), where=number > 0)


def _names(subject: Subject) -> dict[str, list[str]]:
    return {"output": subject.targets, "step": subject.tokens}
