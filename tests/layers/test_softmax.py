"""The softmax in blocks against torch's own, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, linear

from elman.layers import softmax


def parts(rows: int, words: int, size: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    made = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((rows, size), (words, size), (words,)))
    return *made, torch.randint(0, words, (rows,))


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(1, 9), st.integers(1, 5), st.integers(1, 40), st.floats(-2, 2))
def test_loss_and_gradients_are_torchs(rows: int, words: int, size: int, block: int, factor: float) -> None:
    torch.manual_seed(rows + words)
    h, weight, bias, targets = parts(rows, words, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, "BLOCK", block)
        loss = softmax.vocabulary_loss(h, weight, bias, targets)
        logs = softmax.log_probabilities(h.detach(), weight.detach(), bias.detach(), targets)
    expected = cross_entropy(linear(h, weight, bias), targets, reduction="none")
    torch.testing.assert_close(loss, expected.sum(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(-logs, expected.detach(), rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(factor * loss, (h, weight, bias))
    for mine, theirs in zip(found, torch.autograd.grad(factor * expected.sum(), (h, weight, bias)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


def test_large_logits_neither_overflow_nor_vanish() -> None:
    h, weight, bias, targets = torch.tensor([[1000.0, -1000.0]]), torch.eye(2), torch.zeros(2), torch.tensor([0])
    assert softmax.vocabulary_loss(h, weight, bias, targets).item() == 0
    assert softmax.vocabulary_loss(h, weight, bias, 1 - targets).item() == 2000


def test_bfloat16_rounds_what_is_multiplied_and_nothing_else() -> None:
    torch.manual_seed(0)
    h, weight, bias, targets = parts(60, 50, 32, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = softmax.vocabulary_loss(h, weight, bias, targets)
    logits = linear(h.bfloat16().double(), weight.bfloat16().double(), bias.double())
    expected = cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    exact = cross_entropy(linear(h, weight, bias), targets, reduction="sum")
    for mine, theirs in zip(
        torch.autograd.grad(loss, (h, weight, bias)), torch.autograd.grad(exact, (h, weight, bias)), strict=True
    ):
        assert (mine - theirs).norm() < 2e-2 * theirs.norm()
        assert not torch.equal(mine, theirs)


def test_no_more_than_a_block_of_logits_exists_at_once() -> None:
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                seen.append(made.numel())
            return made

    h, weight, bias, targets = parts(64, 100, 4, torch.float32)
    with pytest.MonkeyPatch.context() as patch, Watch():
        patch.setattr(softmax, "BLOCK", 800)
        softmax.vocabulary_loss(h, weight, bias, targets)
    assert max(seen) == 800  # 8 rows of logits; h, weight and their gradients are smaller
