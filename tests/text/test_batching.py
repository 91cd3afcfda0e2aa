"""Batches by token budget: nothing dropped, nothing twice, lengths near each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import UsageError
from elman.text.batching import batches_by_tokens

LENGTHS = st.lists(st.integers(0, 60), max_size=80)


@given(LENGTHS, st.integers(1, 100), st.none() | st.integers(0, 5))
def test_every_sentence_once_and_no_batch_over_its_budget(lengths: list[int], budget: int, seed: int | None) -> None:
    batches = batches_by_tokens(lengths, budget, seed)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    sizes = [sum(lengths[i] for i in batch) for batch in batches]
    for batch, size in zip(batches, sizes, strict=True):
        assert batch and size - lengths[batch[-1]] < budget, "the last sentence is the one that filled it"
    assert sum(size < budget for size in sizes) <= 1, "only what is left over may be smaller"


@given(LENGTHS, st.integers(1, 100))
def test_without_a_seed_lengths_rise(lengths: list[int], budget: int) -> None:
    order = [lengths[i] for batch in batches_by_tokens(lengths, budget) for i in batch]
    assert order == sorted(lengths)


def test_each_seed_shuffles_and_lengths_stay_near() -> None:
    lengths = [i % 40 for i in range(2000)]
    first, again, other = (batches_by_tokens(lengths, 200, seed) for seed in (1, 1, 2))
    assert first == again and first != other
    spreads = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in first]
    assert max(spreads) <= 6
    means = [sum(lengths[i] for i in b) / len(b) for b in first]
    assert means != sorted(means), "the batches themselves are shuffled"
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in other}, "and so is what goes together"


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 token"):
        batches_by_tokens([1, 2], 0)
