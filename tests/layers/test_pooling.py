"""Poolings against plain loops over the steps of each sequence, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from elman.errors import UsageError
from elman.layers.pooling import POOLINGS, Pooling, pool_weighted
from elman.recurrent import Packed

LENGTHS = [3, 0, 1, 5, 2, 0, 5]


def sequences(seed: int = 1, size: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, size, generator=generator, dtype=torch.float64) for n in LENGTHS]


def looped(pooling: Pooling, steps: Tensor) -> list[float]:
    """One sequence, unit by unit."""
    rows = steps.tolist()
    if not rows:
        return [0.0] * steps.shape[1]
    columns = list(zip(*rows, strict=True))
    if pooling.how == "max":
        return [max(column) for column in columns]
    weights = [1.0 / len(rows)] * len(rows)
    if pooling.how == "attention":
        scores = []
        for row in rows:
            hidden = [
                math.tanh(sum(w * y for w, y in zip(of, row, strict=True)) + b)
                for of, b in zip(pooling.hidden.weight.tolist(), pooling.hidden.bias.tolist(), strict=True)
            ]
            scores.append(sum(v * h for v, h in zip(pooling.score.weight[0].tolist(), hidden, strict=True)))
        total = sum(math.exp(score) for score in scores)
        weights = [math.exp(score) / total for score in scores]
    return [sum(w * y for w, y in zip(weights, column, strict=True)) for column in columns]


@pytest.mark.parametrize("how", [how for how in POOLINGS if how != "final"])
def test_against_a_loop(how: str) -> None:
    torch.manual_seed(2)
    pooling = Pooling(how, 4).double()
    for seed in range(3):
        given = sequences(seed)
        packed = Packed.from_list(given)
        found = packed.caller_rows(pooling(packed)).tolist()
        for one, steps in zip(found, given, strict=True):
            assert one == pytest.approx(looped(pooling, steps), abs=1e-12)


@pytest.mark.parametrize("how", [how for how in POOLINGS if how != "final"])
def test_gradients(how: str) -> None:
    torch.manual_seed(2)
    pooling = Pooling(how, 4).double()
    packed = Packed.from_list(sequences())
    data = packed.data.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: pooling(packed.with_data(rows)), (data,))


def test_final_is_what_is_given_and_nothing_at_all_is_legal() -> None:
    final = torch.randn(2, 4)
    nothing = Packed.from_list([torch.zeros(0, 4), torch.zeros(0, 4)])
    assert Pooling("final", 4)(nothing, final) is final
    for how in ("max", "mean", "attention"):
        assert torch.equal(Pooling(how, 4)(nothing), torch.zeros(2, 4))


def test_large_scores_do_not_overflow() -> None:
    packed = Packed.from_list([torch.tensor([[1.0], [2.0]]), torch.tensor([[5.0]])])
    scores = torch.tensor([-2000.0, 3000.0, 0.0])[torch.tensor([0, 1, 2])]
    # rows in packed order: step 0 of the first, of the second, step 1 of the first
    assert pool_weighted(packed, scores).squeeze(1).tolist() == [2.0, 5.0]


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'mean'"):
        Pooling("meen", 4)
