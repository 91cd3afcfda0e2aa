from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.training import TrainingConfig
from elman.training.schedule import planned_epochs, progress, rate


def rates(epochs: int, batches: int, **options: Any) -> list[float]:
    config = TrainingConfig(epochs=epochs, learning_rate=1.0, **options)
    plan = {"epochs": epochs, "batches": batches, "seconds": 0.0}
    return [
        rate(config, step=e * batches + b, done=progress(config, epoch=e, batch=b, **plan))
        for e in range(epochs)
        for b in range(batches)
    ]


def test_linear_by_hand() -> None:
    got = rates(2, 10, warmup_steps=2)
    assert got == pytest.approx([0.5 * 1.0, 1.0 * 0.95] + [1 - i / 20 for i in range(2, 20)])


def test_cosine_by_hand() -> None:
    got = rates(1, 8, warmup_steps=0, decay="cosine")
    assert got == pytest.approx([(1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)])


def test_without_decay_only_the_warm_up() -> None:
    assert rates(5, 10, warmup_steps=4, decay="none") == pytest.approx([0.25, 0.5, 0.75, 1.0] + [1.0] * 46)


def test_a_warm_up_longer_than_a_tenth_of_the_run_is_cut() -> None:
    got = rates(5, 10, warmup_steps=1000, decay="none")
    assert got[:6] == pytest.approx([0.001, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(got[5:]) == {1.0}


def test_time_counts_where_it_is_further() -> None:
    config = TrainingConfig(epochs=10, max_time=100.0)
    assert progress(config, epochs=config.epochs, epoch=5, batch=1, batches=2, seconds=10.0) == 0.55
    assert progress(config, epochs=config.epochs, epoch=5, batch=1, batches=2, seconds=80.0) == 0.8
    assert progress(config, epochs=config.epochs, epoch=5, batch=1, batches=2, seconds=500.0) == 1.0
    assert progress(TrainingConfig(epochs=10), epochs=10, epoch=5, batch=1, batches=2, seconds=500.0) == 0.55


@given(
    st.integers(0, 200),
    st.integers(0, 50),
    st.floats(0, 1),
    st.sampled_from(["linear", "cosine", "none"]),
    st.booleans(),
)
def test_never_above_the_learning_rate_never_below_zero(
    step: int, warmup: int, done: float, decay: str, late: bool
) -> None:
    config = TrainingConfig(learning_rate=0.3, warmup_steps=warmup, decay=decay)  # type: ignore[arg-type]
    value = rate(config, step=step, done=done)
    assert 0 <= value <= 0.3
    if late and done > 0.1:
        assert rate(config, step=step, done=min(1.0, done + 0.1)) <= value + 1e-12


@pytest.mark.parametrize(
    ("epochs", "batches", "planned"),
    [(None, 13, 77), (None, 1, 1000), (None, 66, 16), (None, 67, 15), (None, 5000, 15), (3, 13, 3), (3, 5000, 3)],
)
def test_small_data_is_read_until_there_are_enough_updates(epochs: int | None, batches: int, planned: int) -> None:
    assert planned_epochs(TrainingConfig(epochs=epochs), batches) == planned
