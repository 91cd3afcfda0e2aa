"""Attention on ragged memory against one product, one softmax and one sum at a time, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elman.layers.attention import Memory, Reading, attend, mix, monotonic_steps, scores
from elman.recurrent import use_backend


def oracle(q: Tensor, k: Tensor, v: Tensor, memory: Memory, which: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Context by row, and the products and weights of each row."""
    contexts, products, weights = [], [], []
    for row, source in enumerate(which.tolist()):
        a, b = memory.starts[source], memory.starts[source + 1]
        e = torch.stack([(q[row] * k[j]).sum() for j in range(a, b)]) if b > a else q.new_zeros(0)
        w = e.softmax(0)
        contexts.append(sum((w[j - a] * v[j] for j in range(a, b)), v.new_zeros(v.shape[1])))
        products.append(e)
        weights.append(w)
    return torch.stack(contexts) if contexts else v.new_zeros(0, v.shape[1]), products, weights


CASES = [
    ([3, 1, 0, 17, 5], [0, 0, 1, 2, 3, 3, 3, 4], 7, 9),
    ([4, 6, 2], [2, 0, 1, 0, 2, 0, 1], 16, 33),
    ([35], [0] * 5, 130, 200),
    ([2, 3], [1, 1], 1, 1),  # no row reads the first
    ([0, 0], [0, 1, 1], 4, 4),
    ([2, 3], [], 5, 6),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_values_and_gradients_equal_the_oracle(case, threads: int, backend: str) -> None:
    lengths, rows, dim, width = case
    if backend == "native" and not _compiles():
        pytest.skip("nothing can be compiled here")
    torch.manual_seed(len(rows) + dim)
    memory, which = Memory.of(lengths), torch.tensor(rows, dtype=torch.long)
    q, k, v = (
        torch.randn(n, m).requires_grad_() for n, m in ((len(rows), dim), (sum(lengths), dim), (sum(lengths), width))
    )
    exact = [t.detach().double().requires_grad_() for t in (q, k, v)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with use_backend(backend):
            reading = Reading.of(memory, which)
            context, weights = attend(q, k, v, reading)
            products = scores(q, k, reading)
            mixed = mix(products * 0.1, v, reading)
            g = [torch.randn_like(t) for t in (context, weights, products, mixed)]
            grads = torch.autograd.grad([context, weights, products, mixed], [q, k, v], g)
    finally:
        torch.set_num_threads(before)
    wanted, es, ws = oracle(*exact, memory, which)
    order = torch.arange(len(rows)) if reading.order is None else reading.order
    flat = lambda values: torch.cat([values[i] for i in order.tolist()] or [exact[0].new_zeros(0)])  # noqa: E731
    other = (
        torch.stack(
            [
                (0.1 * es[i].unsqueeze(1) * exact[2][memory.starts[s] : memory.starts[s + 1]]).sum(0)
                for i, s in enumerate(rows)
            ]
        )
        if rows
        else exact[2].new_zeros(0, width)
    )
    for got, expected in ((context, wanted), (weights, flat(ws)), (products, flat(es)), (mixed, other)):
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)
    nothing = sum(one.sum() for one in exact) * 0  # so that there is a gradient without rows
    outputs = [one + nothing for one in (wanted, flat(ws), flat(es), other)]
    expected = torch.autograd.grad(
        outputs, exact, [one.double() for one in g], allow_unused=True, materialize_grads=True
    )
    for got, one in zip(grads, expected, strict=True):
        torch.testing.assert_close(got.double(), one, rtol=2e-5, atol=2e-5)
    # sums over the positions of each row, by the arrays of pairs
    torch.testing.assert_close(reading.sums(torch.ones(reading.pairs)), torch.tensor([float(lengths[s]) for s in rows]))
    assert memory.starts[-1] == 0 or reading.pairs == 0 or int(reading.position.max()) < memory.starts[-1]


def _compiles() -> bool:
    from elman.recurrent.kernels import build

    return build.available() is None


def test_large_scores_and_a_threads_count_change_nothing() -> None:
    torch.manual_seed(0)
    memory, which = Memory.of([7, 30, 2, 11] * 5), torch.arange(20).repeat(6)
    q, k = 40 * torch.randn(120, 24), 10 * torch.randn(250, 24)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2, 1, 2):
        torch.set_num_threads(threads)
        results.append(torch.cat([part.flatten() for part in attend(q, k, k, Reading.of(memory, which))]))
    torch.set_num_threads(before)
    assert all(torch.equal(results[0], one) for one in results[1:]) and results[0].isfinite().all()


def test_monotonic_steps_are_distributions_that_never_move_back() -> None:
    torch.manual_seed(0)
    scores, moves, first = torch.randn(3, 6).double(), torch.randn(4).double(), torch.tensor([0, 2, 5])
    steps = monotonic_steps(scores, moves, first).exp()
    assert steps.shape == (3, 7, 6)
    torch.testing.assert_close(steps.sum(-1), torch.ones(3, 7).double())
    assert (steps[:, 1:].tril(-1) == 0).all()
    for row, begin in enumerate(first.tolist()):
        assert (steps[row, 0, :begin] == 0).all() and (steps[row, 0, begin:] > 0).all()
        for place in range(-1, 6):
            reached = range(begin if place < 0 else place, 6)
            far = [min(to - (begin - 1 if place < 0 else place), 3) for to in reached]
            expected = (scores[row, list(reached)] + moves[far]).softmax(0)
            torch.testing.assert_close(steps[row, place + 1, list(reached)], expected)
