from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import UsageError
from elman.training import TrainingConfig, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h", 3600),
        ("2h3m4s", 7384),
        ("45", 45),
        ("1.5h", 5400),
        (" 1M ", 60),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "-5s", "0", "0m", "10m5h", "1 0m", "ten", "nan", "inf", "1e3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="1h30m"):
        parse_duration(text)


@given(st.text(max_size=8))
def test_any_text_is_a_duration_or_a_typed_error(text: str) -> None:
    with suppress(UsageError):
        assert parse_duration(text) > 0


WRONG: list[tuple[str, Any]] = [
    ("optimizer", "adam"),
    ("learning_rate", 0),
    ("learning_rate", float("nan")),
    ("learning_rate", "fast"),
    ("momentum", 1.0),
    ("weight_decay", -0.1),
    ("warmup_steps", -1),
    ("warmup_steps", 1.5),
    ("decay", "exp"),
    ("clip", -1),
    ("clip", float("inf")),
    ("epochs", 0),
    ("epochs", True),
    ("patience", -1),
    ("max_time", 0),
    ("max_time", -3.0),
    ("max_time", [1]),
    ("average", 1),
    ("batch_tokens", 0),
    ("seed", -1),
    ("seed", 2**63),
    ("threads", 0),
    ("checkpoint_every", -1.0),
    ("memory", "lots"),
    ("memory", 256),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name}: expected .*found"):
        TrainingConfig(**{name: value})


def test_every_option_is_checked() -> None:
    assert {name for name, _ in WRONG} == set(TrainingConfig.names())


def test_time_limit_from_text() -> None:
    assert TrainingConfig(max_time="10m") == TrainingConfig(max_time=600.0)
    assert TrainingConfig(max_time="10m").max_time == 600
    assert TrainingConfig().max_time is None


def test_what_is_stored_reads_back_the_same() -> None:
    config = TrainingConfig(max_time="1h30m", threads=2, optimizer="sgd")
    assert TrainingConfig(**json.loads(json.dumps(config.to_dict()))) == config
