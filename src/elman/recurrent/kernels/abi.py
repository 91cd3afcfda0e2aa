"""The engine's interface: structs, sizes and functions of engine.h, by name."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

from torch import Tensor

POINTERS = ctypes.c_void_p
COUNT = ctypes.c_int64


class Pass(ctypes.Structure):
    """`struct Pass` of engine.h: one direction of one call, as addresses."""

    _fields_ = [
        *((name, COUNT) for name in ("steps", "sequences", "hidden", "reverse", "keep")),
        *((name, POINTERS) for name in ("size", "offset", "a", "panels", "vectors", "mask", "noise", "state", "seen")),
        ("y", POINTERS),
        ("y_stride", COUNT),
        ("kept", POINTERS),
        ("dy", POINTERS),
        ("dy_stride", COUNT),
        *((name, POINTERS) for name in ("dstate", "dseen", "grads")),
    ]


class Step(ctypes.Structure):
    """`struct Step` of engine.h."""

    _fields_ = [
        ("whole", Pass),
        ("x", POINTERS),
        ("inputs", COUNT),
        *((name, POINTERS) for name in ("weights", "bias", "before", "after", "given")),
    ]


class Softmax(ctypes.Structure):
    """`struct Softmax` of softmax.h."""

    _fields_ = [
        *((name, COUNT) for name in ("rows", "words", "size")),
        *((name, POINTERS) for name in ("h", "weight", "bias", "targets", "logs", "dh", "dweight", "dbias")),
        ("factor", ctypes.c_double),
        ("block", COUNT),
        ("room", POINTERS),
    ]


class Side(ctypes.Structure):
    """`struct Side` of products.h."""

    _fields_ = [("data", POINTERS), *((name, COUNT) for name in ("stride", "turned", "narrow"))]


class Product(ctypes.Structure):
    """`struct Product` of products.h."""

    _fields_ = [
        *((name, COUNT) for name in ("rows", "columns", "depth")),
        ("left", Side),
        ("right", Side),
        ("bias", POINTERS),
        ("out", POINTERS),
        ("out_stride", COUNT),
        ("room", POINTERS),
    ]


class Attention(ctypes.Structure):
    """`struct Attention` of attention.h."""

    _fields_ = [
        *((name, COUNT) for name in ("sources", "dim", "width")),
        *((name, POINTERS) for name in ("rows", "positions", "pairs", "order", "queries", "keys", "values", "weights")),
        ("softmax", COUNT),
        *((name, POINTERS) for name in ("context", "dcontext", "dweights", "dqueries", "dkeys", "dvalues", "dpairs")),
    ]


class Size(IntEnum):
    """`enum Size` of engine.h: what `elman_sizes` can return."""

    FORWARD_PANELS = 0  # weights in U's panels
    BACKWARD_PANELS = 1
    STORED_BYTES = 2  # of a number that products read
    INPUT_PANEL = 3  # weights in a row of W's panels
    KEPT = 4  # numbers in a row of what the backward pass reads


def declare(library: Any) -> None:
    """Declare the engine's functions to ctypes."""
    integer = ctypes.c_int
    library.elman_sizes.restype = COUNT
    library.elman_sizes.argtypes = [integer, COUNT]
    for name, *arguments in (
        ("pack_forward", POINTERS, POINTERS, COUNT, integer, integer),
        ("pack_backward", POINTERS, POINTERS, COUNT, integer),
        ("pack_inputs", POINTERS, POINTERS, COUNT, COUNT, integer),
        ("forward", ctypes.POINTER(Pass), integer, integer),
        ("backward", ctypes.POINTER(Pass), integer, integer),
    ):
        function = getattr(library, f"elman_{name}")
        function.restype, function.argtypes = None, arguments


def single_step(library: Any, name: str) -> Any:
    """`elman_step` or `elman_advance`. They keep Python's lock, which costs less than releasing it for microseconds; so
    one stepper may serve many threads."""
    function = getattr(ctypes.PyDLL(None, handle=library._handle), name)
    function.restype, function.argtypes = None, [ctypes.POINTER(Step), ctypes.c_int]
    return function


def address(tensor: Tensor | None) -> int | None:
    """Where the numbers of a tensor are."""
    return None if tensor is None else tensor.data_ptr()
