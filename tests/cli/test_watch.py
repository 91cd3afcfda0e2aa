"""`elman train ... --watch`: what is logged, what is shown, and that --resume watches again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from elman.inspect.watch import Watcher


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every step."""
    monkeypatch.setattr(Watcher, "_due", lambda self: True)


def log(folder: str) -> list[dict]:
    return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def test_the_same_model_and_more_in_the_log(elman, corpus: Path, inside: Path, tiny, always) -> None:
    given = ["train", "tag", "--train", corpus / "train.conllu", "--dev", "20%", *tiny]
    ran = elman(*given, "--out", "watched", "--watch")
    assert ran.code == 0, ran.err
    assert ran.err.count("watch: gradient") == 3 and "watch" not in ran.out
    assert elman(*given, "--out", "plain", "--quiet").code == 0
    assert Path("watched/model.safetensors").read_bytes() == Path("plain/model.safetensors").read_bytes()
    assert all(line["watch"]["looks"] > 0 for line in log("watched"))
    assert all("watch" not in line for line in log("plain"))


def test_going_on_watches_again(elman, corpus: Path, inside: Path, tiny, always, monkeypatch) -> None:
    from elman.training import progress

    steps = [0]

    def step(self, report) -> None:
        steps[0] += 1
        if steps[0] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(progress.Quiet, "step", step)
        ran = elman(
            "train", "tag", "--train", corpus / "train.conllu", *tiny, "--quiet", "--watch", "--out", "m"
        )  # fmt: skip
    assert ran.code == 130, ran.err
    assert elman("train", "--resume", "m", "--quiet").code == 0
    lines = log("m")
    assert len(lines) == 3 and all(line["watch"]["looks"] > 0 for line in lines)


def test_what_has_no_steps_has_nothing_to_watch(elman, corpus: Path, inside: Path) -> None:
    given = ["train", "tag", "--train", corpus / "train.conllu", "--model", "majority", "--watch", "--out", "m"]
    ran = elman(*given)
    assert ran.code == 2 and "these have steps: network, window" in ran.err and not Path("m").exists()
