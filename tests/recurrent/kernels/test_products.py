"""Products of rounded numbers: operands are bfloat16, results and sums float32, whatever the processor has."""

from __future__ import annotations

import pytest
import torch

from elman.errors import SlowPath
from elman.recurrent.kernels import build, compiled, products
from elman.recurrent.kernels.products import affine, product


@pytest.fixture(params=["ROUNDED", "SOFTWARE", "INSTRUCTION"])
def form(request, monkeypatch):
    """How bfloat16 numbers are multiplied."""
    request.getfixturevalue("compiler")
    monkeypatch.setattr(compiled, "DOT", request.param)
    if request.param == "INSTRUCTION" and not request.getfixturevalue("multiplies_bfloat16"):
        pytest.skip("no avx512_bf16 here")


SIZES = [(1, 1, 1), (0, 3, 2), (3, 0, 2), (5, 7, 3), (2, 3, 100), (100, 65, 49), (33, 2100, 50), (97, 33, 17)]


@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
def test_a_product_of_any_size_and_any_views(form, rows, depth, columns):
    torch.manual_seed(rows + depth)
    for i in range(16):
        left, right, wide, narrow = (bool(i >> k & 1) for k in range(4))
        a = torch.randn(depth, rows).t() if left else torch.randn(rows, depth + 3)[:, 1 : depth + 1]
        b = torch.randn(depth, columns + 2)[:, 2:] if right else torch.randn(columns, depth).t()
        a, b = a.bfloat16() if wide else a, b.bfloat16() if narrow else b
        bias = torch.randn(columns) if left else None
        expected = a.bfloat16().double() @ b.bfloat16().double() + (0 if bias is None else bias.double())
        got = product(a, b, bias)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5 * max(1, depth) ** 0.5)


def test_a_product_is_the_same_on_any_number_of_threads(form):
    torch.manual_seed(0)
    a, b, threads = torch.randn(90, 1500), torch.randn(1500, 130), torch.get_num_threads()
    try:
        first = product(a, b)
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            torch.testing.assert_close(
                product(a, b), first, rtol=0 if products._library(compiled.DOT) else 1e-5, atol=0
            )
    finally:
        torch.set_num_threads(threads)


def test_a_number_that_is_none_stays_one(form):
    a, b = torch.randn(20, 30), torch.randn(30, 40)
    a[3, 4], b[5, 6] = torch.nan, torch.inf
    assert torch.equal(product(a, b).isfinite(), (a @ b).isfinite())


def test_without_a_compiler_it_runs_in_float32_and_says_so(monkeypatch):
    def broken(*_):
        raise build.BuildError("no compiler here")

    monkeypatch.setattr(build, "load", broken)
    monkeypatch.setattr(compiled, "DOT", "another form, so that nothing is known of it")
    with pytest.warns(SlowPath, match="no compiler here"):
        y = product(torch.ones(2, 3), torch.ones(3, 2))
    assert torch.equal(y, torch.full((2, 2), 3.0))


def test_operands_are_rounded_and_results_are_not(form):
    torch.manual_seed(0)
    x, W, b = (torch.randn(shape, requires_grad=True) for shape in ((30, 70), (70, 50), (50,)))
    upstream = torch.randn(30, 50)
    y = affine(x, W, b)
    dx, dW, db = torch.autograd.grad(y, (x, W, b), upstream)
    rx, rW, d = (v.detach().bfloat16().double() for v in (x, W, upstream))
    for got, expected in (
        (y, rx @ rW + b.double()),
        (dx, d @ rW.t()),
        (dW, rx.t() @ d),
        (db, upstream.double().sum(0)),
    ):
        torch.testing.assert_close(got.detach().double(), expected.detach(), rtol=1e-5, atol=1e-5)
        assert not torch.equal(got, got.bfloat16().float()), "the result is rounded"
