"""Products of bfloat16 numbers: by the processor's instruction, the same in software, and as rounded floats. Every
processor runs the last two; they agree with each other, with the instruction where there is one, and with float64."""

from __future__ import annotations

import ctypes
import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch

from elman.recurrent import CELLS, Bidirectional, Recurrent, stepper
from elman.recurrent.backend import use_backend
from elman.recurrent.kernels import build, compiled

pytestmark = pytest.mark.usefixtures("compiler")
TINY = 2.0**-126  # the smallest normal number of float32
PAIRED = ["SOFTWARE", "INSTRUCTION"]
ASKED = """extern "C" int elman_has_it() {
#ifdef __AVX512BF16__
  return 1;
#else
  return 0;
#endif
}
"""
SOURCE = """#define REAL float
#define HALF 1
#define DOT {form}
#include "operands.h"
namespace {{
struct Cell {{
  static constexpr int GATES = 1, RECURRENT = 1, FIELDS = 1, DELAYS = 1, VECTORS = 0, NOISE = 0, KEPT = 0, BLOCKS = 1;
  static constexpr bool MASKED = false, READS_X = false;
  static constexpr int COLUMN[] = {{0}};
  static void forward(const V*, const V*, const V*, const V*, V, const V*, V*, V&, V&, V*) {{}}
  static void backward(const V*, const V*, const V*, V, const V*, const V*, V, V, V*, V*) {{}}
}};
}}
#include "engine.h"
extern "C" void dots(const float* sum, const uint32_t* a, const uint32_t* b, float* out, int64_t n) {{
  FlushDenormals flush;
  for (int64_t i = 0; i + LANES <= n; i += LANES) {{
    Pairs x, y;
    std::memcpy(&x, a + i, sizeof x), std::memcpy(&y, b + i, sizeof y);
    store(out + i, dot(load(sum + i, LANES), x, y), LANES);
  }}
}}
"""


@cache
def hardware():
    """Whether the compiler makes the instruction for this processor."""
    return bool(build.load(ASKED, {}, "asked").elman_has_it())


def require(form):
    if form == "INSTRUCTION" and not hardware():
        pytest.skip("no avx512_bf16 here, or a compiler that does not know it")


def bfloat16(values):
    """(n, 2) -> the two numbers of each row in one word, the first in its low half; and their values."""
    bits = torch.from_numpy(values).bfloat16()
    words = bits.view(torch.int16).numpy().view(np.uint16).astype(np.uint32)
    return words[:, 0] | (words[:, 1] << 16), bits.float().numpy()


def dots(form, sums, a, b):
    """sums + two products each, in this way. sums float32, a and b words of two bfloat16 numbers."""
    require(form)
    headers = build.headers("maths.h", "operands.h", "engine.h")
    library = build.load(SOURCE.format(form=form), headers, "dots")
    out = np.zeros_like(sums)
    arrays = (ctypes.c_void_p(v.ctypes.data) for v in (sums, a, b, out))
    library.dots(*arrays, ctypes.c_int64(len(sums)))
    return out


@pytest.mark.parametrize("form", PAIRED)
def test_two_products_and_two_sums_the_odd_one_first(form):
    draw = np.random.default_rng(0)
    for scale in (1.0, 1e15, 1e-15):
        n = 1 << 16
        sums = (draw.normal(size=n) * scale**2).astype(np.float32)
        (a, x), (b, y) = (bfloat16((draw.normal(size=(n, 2)) * scale).astype(np.float32)) for _ in range(2))
        out = dots(form, sums, a, b)
        products = x.astype(np.float64) * y  # exact, and rounded once with each sum
        expected = (sums + products[:, 1]).astype(np.float32).astype(np.float64) + products[:, 0]
        assert np.array_equal(out, expected.astype(np.float32))


def any_bits(n, exponents):
    """sums, a and b: every sign and mantissa, with exponents from these of each; some are 0, infinite or NaN."""
    draw = np.random.default_rng(2)

    def numbers(low, high):
        biased = draw.integers(low, high + 1, n).astype(np.uint32)
        return draw.integers(0, 2, n, np.uint32) << 31 | biased << 23 | draw.integers(0, 1 << 23, n, np.uint32)

    of_sums, of_factors = exponents
    sums, *factors = numbers(*of_sums), *(numbers(*of_factors) for _ in range(4))
    for i, ends in enumerate((0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000)):
        for k, values in enumerate((sums, *factors)):
            values[200 * i + 30 * k : 200 * i + 30 * k + 50] = ends
    a, b = (odd & 0xFFFF0000 | even >> 16 for even, odd in (factors[:2], factors[2:]))
    return sums.view(np.float32), a, b


def fused(a, b, c):
    """a b + c by exact fractions, rounded once to float32, ties to even. Denormal numbers are 0 on both sides."""
    a, b, c = (math.copysign(0.0, v) if abs(v) < TINY else v for v in map(float, (a, b, c)))
    if not all(map(math.isfinite, (a, b, c))) or (a * b == 0 and c == 0):
        return float(np.float64(a) * b + c)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return 0.0
    exponent = math.floor(math.log2(abs(exact.numerator))) - math.floor(math.log2(exact.denominator))
    exponent = max(exponent - (abs(exact) < Fraction(2) ** exponent), -126)
    value = round(exact / Fraction(2) ** (exponent - 23)) * Fraction(2) ** (exponent - 23)
    if abs(value) >= 2**128:
        return math.copysign(math.inf, exact)
    return float(value) if abs(value) >= TINY else math.copysign(0.0, exact)


# Exponents as they are stored (127: from 1 to 2) of sums, and of factors: all there are, both ends, cancelling sums
ALL_BITS = {
    "all": ((0, 255), (0, 255)),
    "tiny": ((0, 30), (55, 80)),
    "huge": ((245, 254), (185, 193)),
    "near": ((125, 129), (125, 129)),
}


@pytest.mark.parametrize("exponents", ALL_BITS)
@pytest.mark.parametrize("form", PAIRED)
@np.errstate(all="ignore")
def test_ends_of_the_range_and_what_is_no_number(form, exponents):
    sums, a, b = any_bits(4096, ALL_BITS[exponents])
    even, odd = ([(v << 16).view(np.float32) for v in (a, b)], [(v & 0xFFFF0000).view(np.float32) for v in (a, b)])
    expected = [
        fused(*low, fused(*high, c))
        for low, high, c in zip(zip(*even), zip(*odd), sums, strict=True)  # noqa: B905
    ]
    found = dots(form, sums, a, b)
    assert np.isnan(expected).any() and np.isfinite(expected).any()
    np.testing.assert_array_equal(found, np.array(expected, np.float32))  # NaN as NaN, whatever its bits
    zeros = found == 0
    assert np.array_equal(np.signbit(found[zeros]), np.signbit(np.array(expected)[zeros]))


@pytest.mark.parametrize("exponents", ALL_BITS)
def test_the_software_is_the_instruction_bit_for_bit(exponents):
    bits = any_bits(1 << 20, ALL_BITS[exponents])
    software, instruction = (dots(form, *bits) for form in PAIRED)
    assert np.array_equal(np.isnan(software), np.isnan(instruction))
    numbers = ~np.isnan(software)
    assert np.array_equal(software[numbers].view(np.uint32), instruction[numbers].view(np.uint32))


def ran(cells, xs, form, monkeypatch):
    """Outputs and gradients of a layer whose products are made in this way."""
    monkeypatch.setattr(compiled, "DOT", form)
    with use_backend("native"), torch.autocast("cpu", torch.bfloat16):
        ys, _ = Bidirectional(*cells)(xs)
    flat = torch.cat(ys)
    weights = torch.linspace(-1, 1, flat.numel()).view_as(flat)
    parameters = [p for cell in cells for p in cell.parameters()]
    return [flat.detach(), *torch.autograd.grad((flat * weights).sum(), [*xs, *parameters])]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_all_forms_are_one(name, monkeypatch):
    torch.manual_seed(1)
    cells = [CELLS[name](5, 37) for _ in range(2)]  # odd sizes: a pair is cut at the end
    xs = [torch.randn(n, 5, requires_grad=True) for n in (7, 1, 4, 9)]
    forms = {form: ran(cells, xs, form, monkeypatch) for form in ("SOFTWARE", "ROUNDED")}
    for software, rounded in zip(*forms.values(), strict=True):
        # one more bit of rounding where a sum comes out otherwise and is stored as bfloat16
        assert (software - rounded).norm() <= 2e-3 * rounded.norm()
    if hardware():
        for software, instruction in zip(forms["SOFTWARE"], ran(cells, xs, "INSTRUCTION", monkeypatch), strict=True):
            assert torch.equal(software, instruction)
    exact = [cell.double() for cell in cells]
    with use_backend("reference"):
        ys, _ = Bidirectional(*exact)([x.detach().double() for x in xs])
    assert (forms["SOFTWARE"][0] - torch.cat(ys)).norm() < 2e-2 * torch.cat(ys).norm()


def test_the_processor_decides_where_nobody_asks(monkeypatch):
    torch.manual_seed(2)
    cells, xs = [CELLS["elman"](3, 8) for _ in range(2)], [torch.randn(4, 3, requires_grad=True)]
    by_itself = ran(cells, xs, None, monkeypatch)
    asked = ran(cells, xs, "INSTRUCTION" if hardware() else "ROUNDED", monkeypatch)
    assert all(torch.equal(a, b) for a, b in zip(by_itself, asked, strict=True))


@pytest.mark.parametrize("form", ["ROUNDED", *PAIRED])
def test_single_steps_are_the_steps_of_a_sequence(form, monkeypatch):
    require(form)
    torch.manual_seed(3)
    layer, x = Recurrent(CELLS["gru"](5, 37, delays=2)), torch.randn(6, 5)
    monkeypatch.setattr(compiled, "DOT", form)
    step, state, one_by_one = stepper(layer, dtype=torch.bfloat16), None, []
    for row in x:
        y, state = step(row[None], state)
        one_by_one.append(y)
    with use_backend("native"), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        (whole,), _ = layer([x])
    torch.testing.assert_close(torch.cat(one_by_one), whole, rtol=1e-2, atol=1e-3)
