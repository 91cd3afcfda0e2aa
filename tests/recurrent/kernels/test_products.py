"""Products of rounded numbers: operands are bfloat16, results and sums float32, whatever the processor has."""

from __future__ import annotations

import torch

from elman.recurrent.kernels.products import affine


def test_operands_are_rounded_and_results_are_not():
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
