"""The CRF against an enumeration of all paths, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman.errors import UsageError
from elman.layers.crf import CRF
from elman.layers.decoding import Constraint, constraint
from elman.recurrent import Packed


def layout(lengths: Sequence[int]) -> list[int]:
    """Batch sizes of lengths that fall."""
    return [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]


def packed(rows: torch.Tensor, sizes: Sequence[int], sequences: int) -> Packed:
    """Rows of sequences in the order of their lengths."""
    lengths = [sum(size > i for size in sizes) for i in range(sequences)]
    return Packed(rows, list(sizes), lengths, torch.arange(sequences))


def places(lengths: Sequence[int]) -> list[list[int]]:
    """The rows of every sequence in the packed batch."""
    sizes = layout(lengths)
    return [[sum(sizes[:t]) + index for t in range(length)] for index, length in enumerate(lengths)]


def random_crf(size: int, generator: torch.Generator, legal: Constraint | None = None, scale: float = 1.0) -> CRF:
    crf = CRF(size, legal).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)
    return crf


def random_constraint(size: int, generator: torch.Generator) -> Constraint:
    """Forbids about a third; label 0 may always stand, so that there is a path of any length."""
    start = torch.rand(size, generator=generator) > 0.33
    transitions = torch.rand(size, size, generator=generator) > 0.33
    end = torch.rand(size, generator=generator) > 0.33
    start[0] = end[0] = transitions[0, 0] = True
    return Constraint(start, transitions, end)


def is_legal(legal: Constraint | None, path: Sequence[int]) -> bool:
    if legal is None or not path:
        return True
    inner = all(legal.transitions[before, after] for before, after in pairwise(path))
    return bool(legal.start[path[0]] and legal.end[path[-1]]) and inner


def path_score(crf: CRF, rows: Tensor, path: Sequence[int]) -> float:
    if not path:
        return 0.0
    total = crf.start[path[0]].item() + crf.end[path[-1]].item()
    total += sum(rows[t, label].item() for t, label in enumerate(path))
    return total + sum(crf.transitions[before, after].item() for before, after in pairwise(path))


@st.composite
def problems(draw: st.DrawFn) -> tuple[CRF, Tensor, list[int], Constraint | None, torch.Generator]:
    lengths = sorted(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)), reverse=True)
    size = draw(st.integers(1, 4))
    # At 300 nearly every sum of weights underflows: both ways of a step must agree with the enumeration.
    scale = draw(st.sampled_from([0.1, 1.0, 30.0, 300.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    legal = random_constraint(size, generator) if draw(st.booleans()) else None
    crf = random_crf(size, generator, legal, draw(st.sampled_from([0.0, 1.0, 50.0])))
    rows = torch.randn(sum(lengths), size, generator=generator, dtype=torch.float64) * scale
    return crf, rows, lengths, legal, generator


class Loss(torch.nn.Module):
    """The loss as a call, for `functional_call`."""

    def __init__(self, crf: CRF) -> None:
        super().__init__()
        self.crf = crf

    def forward(self, rows: Tensor, tags: Tensor, sizes: list[int], number: int) -> Tensor:
        return self.crf.loss(packed(rows, sizes, number), tags)


@settings(max_examples=100, deadline=None)
@given(problems())
def test_partition_and_marginals_are_those_of_all_paths(problem) -> None:
    crf, rows, lengths, legal, _ = problem
    found = crf.log_partition(packed(rows, layout(lengths), len(lengths)))
    marginals = crf.marginals(packed(rows, layout(lengths), len(lengths)))
    assert found.shape == (len(lengths),) and marginals.shape == rows.shape
    for own, partition in zip(places(lengths), found.tolist(), strict=True):
        paths = [path for path in product(range(rows.shape[1]), repeat=len(own)) if is_legal(legal, path)]
        scores = torch.tensor([path_score(crf, rows[own], path) for path in paths], dtype=torch.float64)
        assert partition == pytest.approx(float(scores.logsumexp(0)), rel=1e-10, abs=1e-10)
        expected = torch.zeros(len(own), rows.shape[1], dtype=torch.float64)
        for path, weight in zip(paths, scores.softmax(0), strict=True):
            for t, label in enumerate(path):
                expected[t, label] += weight
        torch.testing.assert_close(marginals[own], expected, rtol=1e-9, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(problems())
def test_score_is_the_sum_along_the_path(problem) -> None:
    crf, rows, lengths, _, generator = problem
    free = CRF(rows.shape[1]).double()
    free.load_state_dict(crf.state_dict())
    tags = torch.randint(rows.shape[1], (len(rows),), generator=generator)
    found = free.score(packed(rows, layout(lengths), len(lengths)), tags).tolist()
    for own, score in zip(places(lengths), found, strict=True):
        assert score == pytest.approx(path_score(crf, rows[own], tags[own].tolist()), rel=1e-10, abs=1e-10)


def test_loss_is_the_summed_negative_log_likelihood_and_a_constraint_moves_it() -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = [4, 2, 0]
    rows = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    legal = random_constraint(3, generator)
    tags = torch.zeros(6, dtype=torch.int64)
    free, bound = random_crf(3, generator), CRF(3, legal).double()
    bound.load_state_dict(free.state_dict())
    losses = []
    for crf, rule in ((free, None), (bound, legal)):
        expected = 0.0
        for own in places(lengths):
            paths = [path for path in product(range(3), repeat=len(own)) if is_legal(rule, path)]
            scores = torch.tensor([path_score(crf, rows[own], path) for path in paths], dtype=torch.float64)
            expected += float(scores.logsumexp(0)) - path_score(crf, rows[own], [0] * len(own))
        losses.append(crf.loss(packed(rows, layout(lengths), 3), tags).item())
        assert losses[-1] == pytest.approx(expected, abs=1e-10)
    assert losses[1] < losses[0]  # the same path among fewer


@pytest.mark.parametrize("scale", [1.0, 60.0])  # 60: steps in log space
@pytest.mark.parametrize("constrained", [False, True])
def test_gradients_of_the_loss(constrained: bool, scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    lengths = [5, 3, 3, 1, 0]
    legal = random_constraint(3, generator) if constrained else None
    crf = random_crf(3, generator, legal)
    rows = (torch.randn(12, 3, generator=generator, dtype=torch.float64) * scale).requires_grad_()
    tags = torch.zeros(12, dtype=torch.int64)

    def loss(rows: Tensor, *values: Tensor) -> Tensor:
        named = {f"crf.{name}": value for (name, _), value in zip(crf.named_parameters(), values, strict=True)}
        return torch.func.functional_call(Loss(crf), named, (rows, tags, layout(lengths), len(lengths)))

    parameters = [parameter.detach().clone().requires_grad_() for parameter in crf.parameters()]
    assert torch.autograd.gradcheck(loss, (rows, *parameters))


def test_forbidden_entries_get_no_gradient_and_no_gradient_is_infinite_in_float32() -> None:
    # Label 2 can never be reached: the case in which minus infinity would give not-a-number.
    legal = Constraint(
        torch.tensor([True, True, False]),
        torch.tensor([[True, True, False], [True, False, False], [True, True, True]]),
        torch.tensor([True, False, True]),
    )
    crf = CRF(3, legal)
    rows = torch.randn(9, 3, generator=torch.Generator().manual_seed(3), requires_grad=True)
    crf.loss(packed(rows, [2, 2, 2, 1, 1, 1], 2), torch.zeros(9, dtype=torch.int64)).backward()
    for value, allowed in ((crf.start, legal.start), (crf.transitions, legal.transitions), (crf.end, legal.end)):
        assert value.grad is not None and torch.isfinite(value.grad).all()
        assert (value.grad[~allowed] == 0).all()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()
    assert (rows.grad[:, 2] == 0).all()
    inner = [row for own in places([6, 3]) for row in own[:-1]]  # at the end only label 0 may stand, with certainty
    assert (rows.grad[inner, 0] != 0).all()


def test_float32_does_not_lose_a_path_that_is_far_behind() -> None:
    # Only label 1 leads to label 2, the only end, and at step 0 label 1 is 200 behind: exp(-200) is 0 in float32.
    legal = Constraint(
        torch.ones(3, dtype=torch.bool),
        torch.tensor([[True, True, False], [True, True, True], [True, True, True]]),
        torch.tensor([False, False, True]),
    )
    rows = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    partition = CRF(3, legal).log_partition(packed(rows, [1, 1], 1))
    assert partition.item() == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-5)  # by way of 1 or of 2
    partition.sum().backward()
    torch.testing.assert_close(rows.grad, torch.tensor([[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]))


def test_a_sentence_is_the_same_alone_and_in_a_batch_in_float32() -> None:
    generator = torch.Generator().manual_seed(4)
    lengths = [40, 33, 33, 12, 7, 1, 1, 0]
    crf = random_crf(17, generator).float()
    rows = torch.randn(sum(lengths), 17, generator=generator) * 4
    tags = torch.randint(17, (len(rows),), generator=generator)
    sizes = layout(lengths)
    partition, score = crf.log_partition(packed(rows, sizes, 8)), crf.score(packed(rows, sizes, 8), tags)
    marginals = crf.marginals(packed(rows, sizes, 8))
    best = crf.decode(packed(rows, sizes, 8))
    for index, own in enumerate(places(lengths)):
        alone = packed(rows[own], [1] * len(own), 1)
        torch.testing.assert_close(crf.log_partition(alone)[0], partition[index], rtol=1e-5, atol=0)
        torch.testing.assert_close(crf.score(alone, tags[own])[0], score[index], rtol=1e-5, atol=0)
        torch.testing.assert_close(crf.marginals(alone), marginals[own], rtol=1e-5, atol=1e-6)
        assert crf.decode(alone).tolist() == best[own].tolist()


@pytest.mark.parametrize("offset", [-50.0, 0.0, 50.0])
def test_two_thousand_steps_in_float32_are_as_sharp_as_in_float64(offset: float) -> None:
    generator = torch.Generator().manual_seed(5)
    crf = random_crf(7, generator)
    rows = torch.randn(2000, 7, generator=generator, dtype=torch.float64) * 3 + offset
    partition, marginals = crf.log_partition(packed(rows, [1] * 2000, 1)), crf.marginals(packed(rows, [1] * 2000, 1))
    crf.float()
    torch.testing.assert_close(
        crf.log_partition(packed(rows.float(), [1] * 2000, 1)).double(), partition, rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        crf.marginals(packed(rows.float(), [1] * 2000, 1)).double(), marginals, rtol=0, atol=1e-4
    )


def test_marginals_without_a_gradient_mode_and_from_an_inference_tensor() -> None:
    generator = torch.Generator().manual_seed(6)
    crf, rows = random_crf(3, generator), torch.randn(5, 3, generator=generator, dtype=torch.float64)
    expected = crf.marginals(packed(rows, [2, 2, 1], 2))
    assert not expected.requires_grad and all(parameter.grad is None for parameter in crf.parameters())
    with torch.no_grad():
        assert torch.equal(crf.marginals(packed(rows, [2, 2, 1], 2)), expected)
    with torch.inference_mode():
        assert torch.equal(crf.marginals(packed(rows.clone(), [2, 2, 1], 2)), expected)


def test_a_batch_without_words_has_a_loss_of_zero_with_a_gradient() -> None:
    crf = CRF(3)
    rows = torch.zeros(0, 3, requires_grad=True)
    tags = torch.zeros(0, dtype=torch.int64)
    assert (
        crf.log_partition(packed(rows, [], 2)).tolist() == crf.score(packed(rows, [], 2), tags).tolist() == [0.0, 0.0]
    )
    loss = crf.loss(packed(rows, [], 2), tags)
    loss.backward()
    assert loss.item() == 0.0
    assert crf.marginals(packed(rows, [], 2)).shape == (0, 3)
    assert crf.decode(packed(rows, [], 2)).tolist() == []


def test_a_new_crf_is_a_softmax_at_each_row() -> None:
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(CRF(4).marginals(packed(rows, [2, 2, 1], 2)), rows.softmax(1))


def test_rows_of_a_lower_precision_are_taken() -> None:
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(8)).bfloat16()
    tags = torch.tensor([0, 1, 2])
    crf = CRF(4)
    torch.testing.assert_close(
        crf.loss(packed(rows, [1, 1, 1], 1), tags), crf.loss(packed(rows.float(), [1, 1, 1], 1), tags)
    )


def test_decoding_obeys_the_constraint_and_is_the_most_probable_path() -> None:
    generator = torch.Generator().manual_seed(9)
    legal = random_constraint(4, generator)
    crf = random_crf(4, generator, legal)
    rows = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    paths = [path for path in product(range(4), repeat=5) if is_legal(legal, path)]
    best = max(paths, key=lambda path: path_score(crf, rows, path))
    assert tuple(crf.decode(packed(rows, [1] * 5, 1)).tolist()) == best
    (ranked,) = crf.nbest(packed(rows, [1] * 5, 1), len(paths) + 1)
    assert len(ranked) == len(paths) and tuple(ranked[0][0]) == best
    partition = crf.log_partition(packed(rows, [1] * 5, 1)).item()
    probabilities = torch.tensor([score - partition for _, score in ranked], dtype=torch.float64).exp()
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-10)


def test_decoding_cannot_be_bought_out_of_the_constraint() -> None:
    crf = CRF(3, constraint(["O", "B-X", "I-X"], "iob2"))
    rows = torch.tensor([[0.0, -1.0, 1e30], [0.0, -1.0, 1e30]])
    assert crf.decode(packed(rows, [1, 1], 1)).tolist() == [1, 2]
    assert crf.nbest(packed(rows, [1, 1], 1), 9)[0][0][0] == [1, 2]
    assert len(crf.nbest(packed(rows, [1, 1], 1), 9)[0]) == 5  # OO, OB, BO, BB, BI


def test_the_constraint_is_not_saved_with_the_weights() -> None:
    legal = random_constraint(3, torch.Generator().manual_seed(10))
    assert sorted(CRF(3, legal).state_dict()) == ["end", "start", "transitions"]
    CRF(3).load_state_dict(CRF(3, legal).state_dict())


def test_calls_that_do_not_fit_are_usage_errors() -> None:
    crf, rows, tags = CRF(3), torch.zeros(3, 3), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(UsageError, match="expected rows"):
        crf.log_partition(packed(rows, [2, 2], 2))
    with pytest.raises(UsageError, match="expected batch sizes"):
        crf.log_partition(packed(rows, [1, 2], 2))
    with pytest.raises(UsageError, match="expected batch sizes"):
        crf.log_partition(packed(rows, [3], 2))
    with pytest.raises(UsageError, match="expected tags"):
        crf.score(packed(rows, [2, 1], 2), tags[:2])
    with pytest.raises(UsageError, match="at least 1 label"):
        CRF(0)
    with pytest.raises(UsageError, match="expected a constraint"):
        CRF(4, constraint(["O", "I"], "io"))
    with pytest.raises(UsageError, match="expected a legal sequence"):
        CRF(1, constraint(["B-X"], "bioes")).marginals(packed(torch.zeros(2, 1), [1, 1], 1))
