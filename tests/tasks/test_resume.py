"""A tagger that was killed in training is resumed only with what it was begun with."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    "epochs": 500,
    "batch_tokens": 120,
    "threads": 1,
    "checkpoint_every": 0.1,
}

SCRIPT = f"""
import sys
import elman
data, out = sys.argv[1:]
train = elman.read(data, column="xpos")
elman.Tagger(**{SETTINGS!r}).fit(train, 0.2, out=out)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.conllu"
    path.write_text("".join(grammar.make(70, seed=5)), encoding="utf-8")
    return path


def test_resuming_with_other_data_is_refused_and_harms_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    command = [sys.executable, "-c", SCRIPT, str(data), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (out / "training" / "current").exists():
        assert process.poll() is None, process.communicate()
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
