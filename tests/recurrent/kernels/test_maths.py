"""The functions that compiled cells are written in, each mapped over an array, against numpy in float64."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import elman.recurrent.kernels as kernels
from elman.recurrent.kernels import build
from elman.recurrent.kernels.operations import OPERATIONS

pytestmark = pytest.mark.usefixtures("compiler")
TYPES = {"float": np.float32, "double": np.float64}
ENDS = [0.0, -0.0, 1e-45, -1e-45, 1e-40, 1.2e-38, 3.4e38, -3.4e38, 1.0, -1.0, 0.5, 2.0, 87.0, 88.7, 88.8, 89.5, 104.5]
ENDS += [-v for v in ENDS] + [np.inf, -np.inf, np.nan, 9.0, -9.0, 8.999, 9.001, 2.0**24, -(2.0**24), 0.70710678, 1e-7]
RANGES = [(-110, 110), (-10, 10), (-1, 1), (-1e-3, 1e-3), (-1e-20, 1e-20), (-3e38, 3e38), (-1e6, 1e6)]
GRID = np.concatenate([np.linspace(a, b, 20_001) for a, b in RANGES] + [np.logspace(-44, 38, 20_001), ENDS])
GRID = GRID.astype(np.float32)


@pytest.fixture(scope="module", params=TYPES)
def library(request):
    """Every operation that a cell may have, as f_OP(a, b, c, out, n); arrays hold whole vectors."""
    text = f'#define REAL {request.param}\n#include "maths.h"\nextern "C" {{\nint lanes() {{ return LANES; }}\n'
    for op, operation in OPERATIONS.items():
        form = operation.cpp
        truths = 2 if op in LOGIC else int(op == "where")
        arguments = [f"({name} > 0)" if i < truths else name for i, name in enumerate("abc")]
        value = form.format(*arguments)
        value = f"({value}) ? all(1) : V{{}}" if operation.truth else value
        text += f"""void f_{op}(const real* A, const real* B, const real* C, real* out, int64_t n) {{
  for (int64_t i = 0; i < n; i += LANES) {{
    V a = load(A + i, LANES), b = load(B + i, LANES), c = load(C + i, LANES);
    (void)b, (void)c;
    store(out + i, {value}, LANES);
  }}
}}
"""
    text += "void part(const real* from, real* to, int n) { store(to, load(from, n), n); }\n}\n"
    header = (Path(kernels.__file__).parent / "maths.h").read_text(encoding="utf-8")
    made = build.load(text, {"maths.h": header}, "maths")
    made.real = TYPES[request.param]
    return made


def mapped(library, op, *arrays):
    lanes, count = library.lanes(), len(arrays[0])
    rooms = [np.resize(v, -(-count // lanes) * lanes).astype(library.real) for v in (arrays * 3)[:3]]
    out = np.full_like(rooms[0], 7.0)
    function = getattr(library, f"f_{op}")
    function(*(ctypes.c_void_p(v.ctypes.data) for v in (*rooms, out)), ctypes.c_int64(len(out)))
    return out[:count]


ARITY = {op: operation.cpp.count("{") for op, operation in OPERATIONS.items()}
LOGIC = ("and", "or", "xor", "not")  # of a > 0 and b > 0
EXACT = ("neg", "abs", "sign", "floor", "ceil", "trunc", "round")


def expected_of(meaning, op, *arrays):
    arrays = [array > 0 for array in arrays] if op in LOGIC else [array.astype(np.float64) for array in arrays]
    with np.errstate(all="ignore"):
        return np.asarray(meaning[op](*arrays), dtype=np.float64)


def same_kind(got, expected):
    """NaN where NaN is due and nowhere else, and the same infinities."""
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    endless = np.isinf(expected)
    assert np.array_equal(got[endless], expected[endless]) and np.isfinite(got[~endless & ~np.isnan(expected)]).all()


@pytest.mark.parametrize("op", [op for op, count in ARITY.items() if count == 1])
def test_one_argument(library, op, meaning):
    x = GRID if op not in ("sin", "cos", "tan") else GRID[np.abs(GRID) < 1e6]
    if op in ("log", "sqrt") and library.real is np.float32:  # denormal numbers are 0 to a cell in float32
        x = x[(np.abs(x) >= 1.18e-38) | (x == 0)]
    expected = expected_of(meaning, op, x)
    with np.errstate(all="ignore"):
        rounded = expected.astype(library.real).astype(np.float64)
    got = mapped(library, op, x).astype(np.float64)
    tiny, unit = np.finfo(library.real).tiny, 4e-7 if library.real is np.float32 else 1e-15
    same_kind(got, rounded)
    normal = (np.abs(rounded) >= tiny) & np.isfinite(rounded)
    error = np.abs(got[normal] - expected[normal]) / np.abs(expected[normal])
    assert error.max() <= unit, f"{x[normal][error.argmax()]!r}: {error.max():.2e}"
    small = np.abs(rounded) < tiny  # 0, or too small for a normal number
    assert (np.abs(got[small]) <= 2 * tiny).all()
    if op in EXACT:
        assert np.array_equal(got, rounded, equal_nan=True)


@pytest.mark.parametrize("op", [op for op, count in ARITY.items() if count == 2])
def test_two_arguments(library, op, meaning):
    draw = np.random.default_rng(0)
    a, b = (draw.normal(0, 3, 4000).astype(np.float32) for _ in range(2))
    b[:500] = a[:500]
    if op == "pow":
        a = np.abs(a) + np.float32(0.01)
    else:
        pairs = np.array([(p, q) for p in (0, 1, -2, np.inf, -np.inf, np.nan) for q in (0, 1, -2, np.inf, np.nan)])
        a, b = np.concatenate([a, pairs[:, 0]]), np.concatenate([b, pairs[:, 1]])
    expected = expected_of(meaning, op, a, b)
    got = mapped(library, op, a, b).astype(np.float64)
    same_kind(got, expected)
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=4e-7 if library.real is np.float32 else 1e-14)


def test_where_takes_each_unit_by_itself(library):
    draw = np.random.default_rng(1)
    a, b, c = (draw.normal(size=1001).astype(np.float32) for _ in range(3))
    assert np.array_equal(mapped(library, "where", a, b, c), np.where(a > 0, b, c))


def test_saturated_functions_are_exact_and_keep_signs(library):
    big = np.array([20.0, 50.0, 1e4, 3e38, np.inf], np.float32)
    assert (mapped(library, "tanh", big) == 1).all() and (mapped(library, "tanh", -big) == -1).all()
    assert (mapped(library, "sigmoid", big[1:]) == 1).all()
    assert (mapped(library, "sigmoid", np.array([-3e38, -np.inf], np.float32)) == 0).all()
    assert mapped(library, "exp", np.zeros(1)).tolist() == [1.0] and mapped(library, "tanh", np.zeros(1))[0] == 0
    assert np.signbit(mapped(library, "tanh", np.array([-0.0, -1e-30]))).all()
    assert (np.abs(mapped(library, "tanh", np.linspace(-12, 12, 20_001))) <= 1).all()


def test_a_part_of_a_vector_touches_no_number_beyond_it(library):
    lanes = library.lanes()
    source = np.arange(1, lanes + 1, dtype=library.real)
    for n in range(1, lanes + 1):
        to = np.full(lanes, -1, library.real)
        library.part(ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(to.ctypes.data), n)
        assert np.array_equal(to[:n], source[:n]) and (to[n:] == -1).all()
