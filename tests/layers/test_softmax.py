"""The softmax over a vocabulary, compiled and in plain torch, against torch's own in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, linear

from elman.errors import UsageError
from elman.layers import softmax
from elman.layers.softmax import top_log_probabilities
from elman.recurrent import use_backend
from elman.recurrent.kernels import build, compiled
from elman.recurrent.kernels import softmax as kernel

CLOSE = {
    None: 1e-5,
    "ROUNDED": 2e-2,
    "SOFTWARE": 2e-2,
    "INSTRUCTION": 2e-2,
}  # of gradients, by the precision of products


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
    with pytest.MonkeyPatch.context() as patch, use_backend("reference"), Watch():
        patch.setattr(softmax, "BLOCK", 800)
        softmax.vocabulary_loss(h, weight, bias, targets)
    assert max(seen) == 800  # 8 rows of logits; h, weight and their gradients are smaller


# Compiled -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=CLOSE, ids=str)
def products(request, monkeypatch):
    """How the compiled softmax multiplies; rows and words as few as there may be."""
    request.getfixturevalue("compiler")
    monkeypatch.setattr(compiled, "DOT", request.param)
    if request.param == "INSTRUCTION" and not request.getfixturevalue("multiplies_bfloat16"):
        pytest.skip("no avx512_bf16 here")
    monkeypatch.setattr(softmax, "ROWS", 0)
    monkeypatch.setattr(softmax, "WORDS", 0)
    with use_backend("native"), torch.autocast("cpu", torch.bfloat16, enabled=request.param is not None):
        yield request.param


def exact(products, h, weight, bias, targets):
    """The loss of numbers rounded as they are, and the gradients of those that are not, in float64."""
    h, weight, bias = (t.detach().double().requires_grad_() for t in (h, weight, bias))
    with torch.autocast("cpu", enabled=False):
        sides = (h, weight) if products is None else (h.bfloat16().double(), weight.bfloat16().double())
        losses = cross_entropy(linear(*sides, bias), targets, reduction="none")
        total = cross_entropy(linear(h, weight, bias), targets, reduction="sum")
        return losses.detach(), torch.autograd.grad(total, (h, weight, bias))


def compare(products, h, weight, bias, targets):
    loss = softmax.vocabulary_loss(h, weight, bias, targets)
    found = torch.autograd.grad(loss, (h, weight, bias))
    losses, expected = exact(products, h, weight, bias, targets)
    torch.testing.assert_close(loss.detach().double(), losses.sum(), rtol=1e-5, atol=1e-5 * max(1, len(h)))
    for mine, theirs in zip(found, expected, strict=True):
        # rounding a number is as large an error where the gradient is almost nothing
        assert (mine - theirs).norm() <= CLOSE[products] * (theirs.norm() + 0.1)
    return found


@pytest.mark.parametrize(
    ("rows", "words", "size"),
    [(0, 7, 13), (1, 1, 1), (1, 10_001, 13), (5, 7, 1), (5, 100, 650), (33, 49, 16), (700, 7, 200), (700, 100, 13)],
)
def test_compiled_loss_and_gradients(products, rows, words, size) -> None:
    torch.manual_seed(rows + words)
    h, weight, bias, targets = parts(rows, words, size, torch.float32)
    weight = (weight.detach() * 2 / size**0.5).requires_grad_()
    compare(products, h, weight, bias, targets)


def test_a_large_vocabulary_in_several_blocks_on_two_threads(products, monkeypatch) -> None:
    torch.manual_seed(1)
    h, weight, bias, targets = parts(70, 10_001, 13, torch.float32)
    whole = compare(products, h, weight, bias, targets)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 2, 3):
            torch.set_num_threads(count)
            assert all(
                torch.equal(a, b) for a, b in zip(whole, compare(products, h, weight, bias, targets), strict=True)
            )
        monkeypatch.setattr(kernel, "BLOCK", 30 * 4 * 10_001)
        compare(products, h, weight, bias, targets)
    finally:
        torch.set_num_threads(threads)


def test_only_what_is_asked_has_a_gradient(products) -> None:
    torch.manual_seed(2)
    tensors = *made, targets = parts(20, 50, 30, torch.float32)
    every = torch.autograd.grad(softmax.vocabulary_loss(*tensors), made)
    for i in range(8):
        chosen = [t.detach().requires_grad_(bool(i >> k & 1)) for k, t in enumerate(made)]
        loss = softmax.vocabulary_loss(*chosen, targets)
        assert loss.requires_grad == (i > 0)
        if i:
            loss.backward()
            for one, gradient in zip(chosen, every, strict=True):
                assert torch.equal(one.grad, gradient) if one.requires_grad else one.grad is None
    logs = softmax.log_probabilities(*tensors)
    losses, _ = exact(None, *tensors)  # evaluation does not round
    torch.testing.assert_close(-logs.double(), losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["rising", "falling", "one", "last"])
def test_extreme_logits(products, order) -> None:
    """The maximum so far is outdone again and again, by far, in the middle of a panel and at its ends."""
    torch.manual_seed(3)
    words, targets = 700, torch.tensor([0, 350, 699, 1, 699, 0, 5, 6, 7])
    steps = torch.linspace(-1e4, 1e4, words)
    bias = {"rising": steps, "falling": steps.flip(0)}.get(order, torch.zeros(words))
    h = torch.randn(9, 30)
    weight = torch.randn(words, 30)
    if order in ("one", "last"):
        h[:4] *= 3e3
        bias[300 if order == "one" else -1] = 1e4
    found = compare(products, *(t.requires_grad_() for t in (h, weight, bias)), targets)
    assert all(t.isfinite().all() for t in found)


def test_logits_that_rise_by_less_than_the_exponents_reach(products) -> None:
    torch.manual_seed(4)
    h, weight, bias, targets = parts(11, 900, 8, torch.float32)
    compare(products, h, weight, (bias.detach() + torch.linspace(0, 400, 900)).requires_grad_(), targets)


def test_infinite_logits_are_those_of_torch(products) -> None:
    torch.manual_seed(5)
    h, weight, bias, targets = parts(9, 120, 8, torch.float32)
    banned = bias.detach().clone()
    banned[:60] = -torch.inf
    targets = targets % 60 + 60
    compare(products, h, weight, banned.requires_grad_(), targets)
    for value, part in ((torch.inf, bias), (torch.nan, h), (-torch.inf, h), (torch.inf, weight)):
        broken = [t.detach().clone().requires_grad_() for t in (h, weight, bias)]
        next(b for b, t in zip(broken, (h, weight, bias), strict=True) if t is part).data.view(-1)[5] = value
        loss = softmax.vocabulary_loss(*broken, targets)
        assert not loss.isfinite()
        assert any(not g.isfinite().all() for g in torch.autograd.grad(loss, broken))


def test_a_target_out_of_range_is_an_error(products) -> None:
    h, weight, bias, _ = parts(2, 9, 3, torch.float32)
    for wrong in (9, -1):
        for function in (softmax.vocabulary_loss, softmax.log_probabilities):
            with pytest.raises(RuntimeError, match="out of bounds"):
                function(h, weight, bias, torch.tensor([0, wrong]))


def test_backward_twice(products) -> None:
    torch.manual_seed(6)
    h, weight, bias, targets = parts(10, 20, 3, torch.float32)
    loss = softmax.vocabulary_loss(h, weight, bias, targets)
    first = torch.autograd.grad(2 * loss, (h, weight, bias), retain_graph=True)
    kept = [t.clone() for t in first]
    second = torch.autograd.grad(loss, (h, weight, bias))
    for a, b, c in zip(first, second, kept, strict=True):
        torch.testing.assert_close(a, 2 * b)
        assert torch.equal(a, c)
    mean = softmax.vocabulary_loss(h, weight, bias, targets) / 10  # which is what training asks for
    for a, b in zip(torch.autograd.grad(mean, (h, weight, bias)), second, strict=True):
        torch.testing.assert_close(a, b / 10)
    with pytest.raises(RuntimeError, match="retain_graph"):
        loss.backward()


def test_few_rows_other_precisions_and_other_backends_are_plain_torch(compiler, monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("compiled")

    monkeypatch.setattr(kernel, "log_probabilities", refuse)
    for rows, words, dtype, backend in (
        (7, 50, torch.float32, "native"),
        (50, 15, torch.float32, "native"),
        (50, 50, torch.float64, "native"),
        (50, 50, torch.float32, "reference"),
    ):
        with use_backend(backend):
            softmax.vocabulary_loss(*parts(rows, words, 3, dtype))
    with pytest.raises(AssertionError, match="compiled"):
        softmax.vocabulary_loss(*parts(8, 16, 3, torch.float32))


def test_without_a_compiler_it_is_plain_torch_and_says_so(monkeypatch) -> None:
    def broken(*_):
        raise build.BuildError("no compiler here")

    monkeypatch.setattr(kernel, "library", broken)
    monkeypatch.setattr("elman.recurrent.backend._told", set())
    with pytest.warns(match="the softmax was not compiled: no compiler here"):
        softmax.vocabulary_loss(*parts(20, 20, 3, torch.float32))
    with use_backend("native"), pytest.raises(UsageError, match="no compiler here"):
        softmax.vocabulary_loss(*parts(20, 20, 3, torch.float32))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    ("rows", "words", "count", "first"), [(0, 5, 2, 0), (1, 1, 3, 0), (7, 40, 5, 1), (3, 7800, 8, 2)]
)
def test_the_likeliest_words(backend: str, rows: int, words: int, count: int, first: int) -> None:
    torch.manual_seed(rows + words)
    h, weight, bias = torch.randn(rows, 9), torch.randn(words, 9), 3 * torch.randn(words)
    with use_backend(backend):
        values, ids = top_log_probabilities(h, weight, bias, count, first)
    logs = (h.double() @ weight.double().T + bias.double()).log_softmax(-1)
    logs[:, :first] = -torch.inf
    wanted = logs.sort(dim=-1, descending=True, stable=True)
    kept = min(count, words - first)
    torch.testing.assert_close(values[:, :kept].double(), wanted.values[:, :kept], rtol=1e-5, atol=1e-5)
    assert torch.equal(ids[:, :kept], wanted.indices[:, :kept]) and (values[:, kept:] == -torch.inf).all()
    assert ((ids >= 0) & (ids < max(words, first + 1))).all()
