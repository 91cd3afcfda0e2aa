"""Draws follow the distribution that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from elman.errors import UsageError
from elman.tasks.language_model.sampling import Choice

P = np.array([0.05, 0.4, 0.1, 0.3, 0.15])


def frequencies(draws: int = 20_000, **given: object) -> np.ndarray:
    settings: dict[str, object] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 3, **given}
    choice = Choice(**settings)  # type: ignore[arg-type]
    logits = np.log(P) + 7
    return np.bincount([choice.draw(logits) for _ in range(draws)], minlength=len(P)) / draws


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, P),
        ({"temperature": 0.5}, P**2 / (P**2).sum()),
        ({"temperature": 2.0}, P**0.5 / (P**0.5).sum()),
        ({"temperature": 0.0}, [0, 1, 0, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_k": 9}, P),
        ({"top_p": 0.69}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.71}, [0, 40 / 85, 0, 30 / 85, 15 / 85]),
        ({"top_p": 0.01}, [0, 1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 0, 3 / 7, 0]),
    ],
)
def test_frequencies(given: dict[str, object], expected: object) -> None:
    wanted = np.asarray(expected, float)
    found = frequencies(**given)
    assert np.all(found[wanted == 0] == 0)
    assert np.abs(found - wanted).max() < 4.5 * np.sqrt(0.25 / 20_000)


def test_impossible_tokens_are_never_drawn_and_seeds_repeat() -> None:
    logits = np.array([-np.inf, 0.0, -np.inf, 1.0])
    choice = Choice(1.5, 0, 0.99, 1)
    assert {choice.draw(logits) for _ in range(200)} == {1, 3}
    draws = [
        [choice.draw(P) for _ in range(20)] for choice in (Choice(1, 0, 1, 5), Choice(1, 0, 1, 5), Choice(1, 0, 1, 6))
    ]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("given", [(-1, 0, 1.0), (float("inf"), 0, 1.0), (1, -1, 1.0), (1, 0, 0.0), (1, 0, 1.5)])
def test_values_out_of_range(given: tuple) -> None:
    with pytest.raises(UsageError, match="expected"):
        Choice(*given, None)
