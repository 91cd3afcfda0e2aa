"""Which path runs: compiled cells, or the loop in plain torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.errors import SlowPath, UsageError, nearest
from elman.recurrent import cell as cells
from elman.recurrent.call import Call
from elman.recurrent.cell import Cell
from elman.recurrent.kernels import cudnn, native
from elman.recurrent.kernels.build import BuildError
from elman.recurrent.kernels.compiled import Kernel
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed

BACKENDS = ("auto", "native", "reference")
VARIABLE = "ELMAN_BACKEND"
_chosen: ContextVar[str | None] = ContextVar("elman_backend", default=None)
_told: set[tuple[str, str]] = set()
T = TypeVar("T")


def current_backend() -> str:
    """The current backend: that of `use_backend`, otherwise the environment variable ELMAN_BACKEND, or "auto".

    "auto":      compiled if possible, otherwise the reference
    "native":    compiled, or UsageError saying why that is impossible
    "reference": the loop over time in plain torch
    """
    return _chosen.get() or _known(os.environ.get(VARIABLE) or "auto", f"the environment variable {VARIABLE}")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Inside the `with`, cells run on this backend. Raises UsageError for a name that is not in BACKENDS."""
    token = _chosen.set(_known(name, "backend"))
    try:
        yield
    finally:
        _chosen.reset(token)


def _known(name: str, where: str) -> str:
    if name not in BACKENDS:
        raise UsageError(f"{where}: unknown backend {name!r}; {nearest(name, BACKENDS)}")
    return name


def run_fast(calls: Sequence[Call], xs: Packed) -> tuple[Tensor, list[Any]] | None:
    """ys (rows, sum of output sizes) side by side and the final states, or None if the reference is to run."""
    if torch.compiler.is_compiling():  # torch.compile and torch.export trace cells step by step
        return None
    wanted = current_backend()
    if wanted == "reference" or cells.is_listened_to():
        return None
    if xs.data.is_cuda and wanted == "auto":
        return cudnn.run(calls, xs) if all(cudnn.serves(call) for call in calls) else None
    why = _transformed()
    if why is not None:
        _tell("torch", why, wanted)
    else:
        why = next(filter(None, (_unsuited(call, xs, wanted) for call in calls)), None)
    kernels = []
    for call in calls if why is None else ():
        name = type(call.cell).__name__
        try:
            kernels.append(_kernel(call))
        except Untraceable as problem:
            why = f"{name} cannot be compiled: {problem}"
        except BuildError as problem:
            why = f"{name} was not compiled: {problem.reason}"
        if why is not None:
            _tell(name, why, wanted)
            break
    if why is None:
        return native.run(calls, kernels, xs)
    if wanted == "native" and len(xs.data):
        raise UsageError(f"backend native: {why}; use backend auto or reference")
    return None


def path_of(cell: Cell) -> tuple[str, str]:
    """The path that the cell takes on the CPU in float32, "native" or "reference", and why if it is the reference."""
    if current_backend() == "reference":
        return "reference", "requested"
    if whole := _overrides(cell):
        return "reference", whole
    try:
        native.kernel(cells.evaluated(cell), torch.float32, False, False, False)
    except Untraceable as problem:
        return "reference", str(problem)
    except BuildError as problem:
        return "reference", problem.reason
    return "native", ""


def library_for(name: str, load: Callable[[], T], tensors: Sequence[Tensor]) -> T | None:
    """What `load` returns, a library for float32 numbers, or None if plain torch is to be used with these tensors:
    because that is requested, or torch must see every operation, or they are not float32 on the CPU.

    load: may raise BuildError, which is reported once, as a warning; name: of what is loaded. Raises UsageError
    if it cannot be built and the backend is "native"."""
    wanted = current_backend()
    if wanted == "reference" or torch.compiler.is_compiling() or _transformed():
        return None
    if not all(t.is_cpu and t.dtype == torch.float32 for t in tensors):
        return None
    try:
        return load()
    except BuildError as problem:
        if wanted == "native":
            raise UsageError(
                f"backend native: {name} was not compiled: {problem.reason}; use backend auto"
            ) from problem
        _tell(name, f"{name} was not compiled: {problem.reason}", wanted)
        return None


def half_wanted() -> bool:
    """Whether products are to be in bfloat16: inside `torch.autocast("cpu", torch.bfloat16)`."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _kernel(call: Call) -> Kernel:
    cell, noise, dtype = call.cell, call.noise or Noise(), call.cell.b.dtype
    half = half_wanted() and dtype == torch.float32
    return native.kernel(cell, dtype, half, noise.mask is not None, noise.zoneout is not None)


def _transformed() -> str | None:
    """Why torch must see every operation of the call, or None."""
    if torch._C._are_functorch_transforms_active():
        return "torch.func (grad, vmap, jvp, jacrev) cannot see inside compiled cells"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation cannot see inside compiled cells"
    return None


def _unsuited(call: Call, xs: Packed, wanted: str) -> str | None:
    """Why this call cannot be compiled, or None. Warns once about what a user would not expect to be slow."""
    cell = call.cell
    name = type(cell).__name__
    if not len(xs.data):
        return "there are no rows"
    if whole := _overrides(cell):
        _tell(name, f"{name} is not compiled: {whole}", wanted)
        return whole
    tensors = [xs.data, *call.state, *(p for p in cell._parameters.values() if p is not None)]
    if not all(t.is_cpu for t in tensors):
        return f"compiled cells run on the CPU, found {xs.data.device}"
    dtypes = {t.dtype for t in tensors} - ({torch.bfloat16} if half_wanted() else set())
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        return f"expected inputs, state and parameters all float32, found {sorted(map(str, dtypes))}"
    if torch.float64 in dtypes and wanted == "auto":
        return "float64 is compiled only on request: it is for checking, not for speed"
    if any(value.shape != (xs.sequences, cell.hidden_size) for value in call.state):
        return "its state has fields that are not (sequences, hidden)"
    noise = [] if call.noise is None else [call.noise.mask, *(call.noise.zoneout or ())]
    if any(isinstance(value, Tensor) and value.requires_grad for value in noise):
        return "a gradient with respect to the masks or zoneout is requested"
    if call.noise is not None and call.noise.mask is not None and cell.delays > 1:
        why = "recurrent dropout with delays: the masked history is not kept"
        _tell(name, f"{name} is not compiled: {why}", wanted)
        return why
    return None


def _overrides(cell: Cell) -> str:
    for name in ("R", "advance", "inputs", "O"):
        if getattr(type(cell), name) is not getattr(Cell, name):
            return f"it overrides {name}, so its products stay inside the loop over time"
    return ""


def _tell(name: str, why: str, wanted: str) -> None:
    if wanted == "auto" and (name, why) not in _told:
        _told.add((name, why))
        warnings.warn(f"{why}; it runs on the slower reference path", SlowPath, stacklevel=2)
