"""One-step Jacobians of the whole state, and their products: why gradients fade, and where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elman.errors import UsageError
from elman.inspect.array import Array
from elman.inspect.step import Step, flat, rows_of
from elman.inspect.subject import CHUNK, Place, Subject, floats


def jacobians(subject: Subject, place: str, steps: list[int] | None = None) -> Array:
    """ds_t / ds_{t-1} (for a cell that reads backwards ds_t / ds_{t+1}): axes (step, to, from).

    The state is everything the cell carries: for an LSTM h and c, for a cell with delays its past too; its numbers,
    field after field, are the names along `to` and `from`. steps: which rows; default all."""
    where = subject.place(place)
    chosen = torch.arange(subject.rows) if steps is None else torch.tensor(steps, dtype=torch.long)
    rows = rows_of(where).pick(chosen)
    size = flat(rows.before).shape[1]
    step, found = Step(where), []
    many = max(CHUNK // (16 * size * size), 1)  # a step of a cell keeps about 16 numbers for each one of its state
    for part in chosen.new_tensor(range(len(chosen))).split(many):
        # Row k of the Jacobian of a step is the gradient of number k of a separate copy.
        copies = rows.pick(part.repeat_interleave(size))
        before = type(copies.before)(
            *[v.requires_grad_() if v.is_floating_point() else v for v in (value.clone() for value in copies.before)]
        )
        with torch.enable_grad():
            new = flat(step(before, copies.x)).view(len(part), size, size)
            own = new.diagonal(dim1=1, dim2=2).sum()
            grads = torch.autograd.grad(own, floats(before), allow_unused=True, materialize_grads=True)
        found.append(torch.cat([g.flatten(1) for g in grads], 1).view(len(part), size, size))
    tokens = subject.tokens
    names = {"step": [tokens[int(i)] for i in chosen], **dict.fromkeys(("to", "from"), _numbers(rows.before))}
    return Array(torch.cat(found).numpy(), ("step", "to", "from"), names)


def products(found: Array, end: int = -1) -> Array:
    """ds_end / ds_k for every step k up to `end`, of a cell that reads forward: axes (step, to, from).

    At k = end it is the identity. found: the Jacobians of all steps of one text. For a cell that reads backwards pass
    them in its order."""
    jacobians_, steps = found.values, found.size("step")
    end = range(steps)[end]
    result = [np.eye(jacobians_.shape[1], dtype=jacobians_.dtype)]
    for k in range(end, 0, -1):
        result.append(result[-1] @ jacobians_[k])
    names = {k: v if k != "step" else v[: end + 1] for k, v in found.names.items()}
    return Array(np.stack(result[::-1]), found.axes, names)


def spectral_radius(found: Array) -> Array:
    """The largest absolute eigenvalue of each Jacobian: axes (step,). Below 1 throughout, what is passed on fades."""
    return _of_steps(found, np.abs(np.linalg.eigvals(found.values)).max(-1))


def spectral_norm(found: Array) -> Array:
    """The largest singular value of each Jacobian: axes (step,)."""
    return _of_steps(found, np.linalg.norm(found.values, 2, axis=(1, 2)))


def _of_steps(found: Array, values: Any) -> Array:
    if found.axes != ("step", "to", "from"):
        raise UsageError(f"expected Jacobians with axes (step, to, from), found {found.axes}")
    return Array(values, ("step",), {"step": found.names["step"]})


def _numbers(state: Any) -> list[str]:
    named = [(name, value) for name, value in zip(state._fields, state, strict=True) if value.is_floating_point()]
    return [f"{name}{i}" for name, value in named for i in range(value[0].numel())]


def few_steps(subject: Subject, place: Place, budget: float) -> list[int]:
    """Evenly spaced rows whose Jacobians and eigenvalues take about `budget` seconds; all of them if that suffices.

    An eigenvalue problem of n numbers takes about 25 n^3 operations, at about 4 billion per second."""
    size = flat(rows_of(place).pick(torch.tensor([0])).before).shape[1]
    many = int(budget / (25 * size**3 / 4e9 + 1e-3))
    if many >= subject.rows:
        return list(range(subject.rows))
    return sorted(set(np.linspace(0, subject.rows - 1, max(many, 1)).round().astype(int).tolist()))
