"""A tagger in training is killed at random moments, resumed each time, and ends as one that never was."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import elman
from elman import Tagger, UsageError
from elman.text import grammar, read

SETTINGS = {
    "hidden_size": 12,
    "word_size": 8,
    "char_size": 4,
    "char_hidden_size": 6,
    "crf": True,
    "layers": 2,
    "cell": "gru",
    "dropout": 0.3,
    "epochs": 5,
    "batch_tokens": 120,
    "threads": 1,
    "checkpoint_every": 0.1,
}

SCRIPT = f"""
import sys
import elman
data, out, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"
train = elman.read(data, column="xpos")
print("ready", flush=True)
elman.Tagger(**{SETTINGS!r}).fit(train, 0.2, out=out, resume=resume)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.conllu"
    path.write_text("".join(grammar.make(70, seed=5)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    began = time.monotonic()
    Tagger(**SETTINGS).fit(read(data, column="xpos"), 0.2, out=out)
    return (out / "model.safetensors").read_bytes(), time.monotonic() - began


def start(data: Path, out: Path, resume: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(data), str(out), "resume" if resume else "new"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_killed_and_resumed_is_never_killed(data: Path, undisturbed: tuple[bytes, float], tmp_path: Path) -> None:
    weights, seconds = undisturbed
    out, source = tmp_path / "model", random.Random(11)
    kills = 0
    for attempt in range(60):
        process = start(data, out, resume=(out / "training").exists())
        try:
            # Early ones fall into the first checkpoint, later ones anywhere; at the end it is left alone.
            _, errors = process.communicate(timeout=source.uniform(0.02, 0.45) * seconds if kills < 4 else 120)
            assert process.returncode == 0, errors
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL if kills % 3 else signal.SIGTERM)
            process.communicate()
            kills += 1
            assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 1), attempt
    assert kills >= 2
    assert (out / "model.safetensors").read_bytes() == weights
    assert not (out / "training").exists()
    assert elman.load(out).labels


def test_resuming_with_other_data_is_refused_and_harms_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    process = start(data, out, resume=False)
    while not (out / "training" / "current").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    changed = read(data, column="xpos")[1:]
    with pytest.raises(UsageError, match="training data"):
        Tagger(**SETTINGS).fit(changed, 0.2, out=out, resume=True)
    with pytest.raises(UsageError, match="dropout"):
        Tagger(**{**SETTINGS, "dropout": 0.1}).fit(read(data, column="xpos"), 0.2, out=out, resume=True)
    with pytest.raises(UsageError, match="--resume"):
        Tagger(**SETTINGS).fit(changed, 0.2, out=out)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
