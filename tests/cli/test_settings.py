"""What may be said by --config, --set and flags, and which of them wins."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.cli import settings
from elman.cli.tasks.tag.task import TASK
from elman.errors import DataError, UsageError

TABLE = TASK.table


@pytest.mark.parametrize("setting", [*TABLE.models["network"]], ids=lambda s: s.key)
def test_set_reaches_every_setting(setting: settings.Setting) -> None:
    from elman import Tagger

    other = {
        "int": "3",
        "float": "0.125",
        "switch": "true",
        "text": "gru",
        "max_time": "2m",
        "memory": "2MB",
        "threads": "1",
    }
    text = other.get(setting.key) or (setting.kind[-1] if isinstance(setting.kind, tuple) else other[setting.kind])
    values = TABLE.from_pairs([f"{setting.key}={text}"])
    found = Tagger(**values).settings.flat()[setting.key]
    assert found == (120.0 if setting.key == "max_time" else values[setting.key])
    assert found != setting.default
    if setting.default is None:
        assert TABLE.from_pairs([f"{setting.key}=none"]) == {setting.key: None}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("hiden=3", "unknown key 'hiden'; did you mean 'hidden_size'"),
        ("epochs", "expected key=value"),
        ("epochs=ten", "epochs: expected a whole number, found 'ten'"),
        ("dropout=", "dropout: expected a number"),
        ("crf=maybe", "crf: expected true or false"),
        ("decay=steep", "expected one of 'linear', 'cosine', 'none'"),
    ],
)
def test_set_refuses(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match="--set") as caught:
        TABLE.from_pairs([pair])
    assert message in str(caught.value)


@given(st.text(max_size=30))
def test_any_pair_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        TABLE.from_pairs([text])


def test_keys_may_be_spelt_as_options() -> None:
    assert TABLE.from_pairs(["learning-rate=0.5"]) == {"learning_rate": 0.5}
    assert TABLE.from_pairs(["hidden=32"]) == {"hidden_size": 32}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden = 3", "unknown key 'hiden'; did you mean 'hidden_size'"),
        ("[network]\ncell = 'gru'", "expected flat keys"),
        ("train = 3", "train: expected text in quotes"),
        ("word_column = true", "expected a whole number"),
        ("format = 'conlu'", "did you mean 'conllu'"),
    ],
)
def test_config_refuses(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        TABLE.from_file(str(path))
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_config_that_is_no_toml(tmp_path) -> None:
    (tmp_path / "run.toml").write_bytes(b"epochs = \xff\n")
    with pytest.raises(DataError):
        TABLE.from_file(str(tmp_path / "run.toml"))
    with pytest.raises(UsageError, match="No such file"):
        TABLE.from_file(str(tmp_path / "none.toml"))


def test_flags_win_over_set_and_set_over_config(elman, corpus, inside) -> None:
    (inside / "run.toml").write_text(
        f"train = '{corpus}/train.conllu'\ncolumn = 'xpos'\nout = 'model'\ndev = '20%'\ncell = 'elman'\n"
        "hidden_size = 5\nlayers = 2\nword_size = 4\nchar_size = 0\nepochs = 1\nthreads = 1\n",
        encoding="utf-8",
    )
    ran = elman(
        *("train", "tag", "--config", "run.toml", "--set", "hidden_size=6", "--set", "layers=1"),
        *("--hidden", "7", "--window", "2,1", "--json"),
    )
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["model"] == "model" and answer["dev"]["counts"]["tokens"]["total"] > 0 and "test" not in answer
    stored = json.loads((inside / "model" / "config.json").read_text())["settings"]
    found = {key: stored[key] for key in ("cell", "hidden_size", "layers", "window_before", "window_after", "seed")}
    assert found == {
        "cell": "elman",
        "hidden_size": 7,
        "layers": 1,
        "window_before": 2,
        "window_after": 1,
        "seed": 1,
    }
