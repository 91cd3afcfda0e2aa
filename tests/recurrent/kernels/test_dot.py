"""Products of bfloat16 numbers: by the processor's instruction, the same in software, and as rounded floats. Every
processor runs the last two; they agree with each other, with the instruction where there is one, and with float64."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch

from elman.recurrent import CELLS, Bidirectional
from elman.recurrent.backend import use_backend
from elman.recurrent.bench import HALF_FLAGS, processor
from elman.recurrent.kernels import build, native

pytestmark = pytest.mark.usefixtures("compiler")
HARDWARE = "avx512_bf16" in processor()[1] & HALF_FLAGS
PAIRED = ["SOFTWARE", pytest.param("INSTRUCTION", marks=pytest.mark.skipif(not HARDWARE, reason="no avx512_bf16"))]
SOURCE = """#define REAL float
#define HALF 1
#define DOT {form}
#include "maths.h"
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


def bfloat16(values):
    """(n, 2) -> the two numbers of each row in one word, the first in its low half; and their values."""
    bits = torch.from_numpy(values).bfloat16()
    words = bits.view(torch.int16).numpy().view(np.uint16).astype(np.uint32)
    return words[:, 0] | (words[:, 1] << 16), bits.float().numpy()


@pytest.mark.parametrize("form", PAIRED)
def test_two_products_and_two_sums_the_odd_one_first(form):
    here = Path(native.__file__).parent
    headers = {name: (here / name).read_text(encoding="utf-8") for name in ("maths.h", "engine.h")}
    library = build.load(SOURCE.format(form=form), headers, "dots")
    draw = np.random.default_rng(0)
    for scale in (1.0, 1e15, 1e-15):
        n = 1 << 16
        sums = (draw.normal(size=n) * scale**2).astype(np.float32)
        (a, x), (b, y) = (bfloat16((draw.normal(size=(n, 2)) * scale).astype(np.float32)) for _ in range(2))
        out = np.zeros(n, np.float32)
        arrays = (sums, a, b, out)
        library.dots(*(ctypes.c_void_p(v.ctypes.data) for v in arrays), ctypes.c_int64(n))
        products = x.astype(np.float64) * y  # exact, and rounded once with each sum
        expected = (sums + products[:, 1]).astype(np.float32).astype(np.float64) + products[:, 0]
        assert np.array_equal(out, expected.astype(np.float32))


def ran(cells, xs, form, monkeypatch):
    """Outputs and gradients of a layer whose products are made in this way."""
    monkeypatch.setattr(native, "DOT", form)
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
    if HARDWARE:
        for software, hardware in zip(forms["SOFTWARE"], ran(cells, xs, "INSTRUCTION", monkeypatch), strict=True):
            assert torch.equal(software, hardware)
    exact = [cell.double() for cell in cells]
    with use_backend("reference"):
        ys, _ = Bidirectional(*exact)([x.detach().double() for x in xs])
    assert (forms["SOFTWARE"][0] - torch.cat(ys)).norm() < 2e-2 * torch.cat(ys).norm()


def test_the_processor_decides_where_nobody_asks(monkeypatch):
    torch.manual_seed(2)
    cells, xs = [CELLS["elman"](3, 8) for _ in range(2)], [torch.randn(4, 3, requires_grad=True)]
    by_itself = ran(cells, xs, None, monkeypatch)
    asked = ran(cells, xs, "INSTRUCTION" if HARDWARE else "ROUNDED", monkeypatch)
    assert all(torch.equal(a, b) for a, b in zip(by_itself, asked, strict=True))
