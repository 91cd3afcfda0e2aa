"""The rivals of the tagger from the command line: trained, scored and used as the network is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elman.tasks import TASKS


@pytest.mark.parametrize("kind", [kind for kind in TASKS["tag"] if kind != "network"])
def test_from_training_to_answers(elman, corpus: Path, tmp_path: Path, kind: str) -> None:
    if kind == "crf":
        pytest.importorskip("pycrfsuite")
    more = ["--hidden", "8", "--epochs", "1", "--threads", "1"] if kind == "window" else []
    files = [f"--{part}={corpus / part}.conllu" for part in ("train", "dev", "test")]
    out = tmp_path / "model"
    ran = elman("train", "tag", *files, "--column", "xpos", "--model", kind, "--out", out, "--json", "--quiet", *more)
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    scored = json.loads(elman("eval", out, corpus / "test.conllu", "--json").out)
    assert scored["accuracy"] == told["test"]["accuracy"] and told["training"]["seconds"] >= 0
    assert not (out / "training").exists()

    ran = elman("predict", out, "-p", stdin=f"the cat {'x' * 70} Ω\n\nZoë\n")
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert ran.code == 0 and ran.err == "" and [line[0] for line in lines if line != [""]][:2] == ["the", "cat"]
    assert all(0 <= float(line[2]) <= 1 for line in lines if line != [""])
    ran = elman("predict", out, "--format", "jsonl", "--nbest", "2", stdin='{"words": ["the", "cat"]}\n')
    if kind in ("hmm", "window"):
        assert len(json.loads(ran.out)["nbest"]) == 2
    else:
        assert ran.code == 2 and "no n-best sequences" in ran.err
    shown = elman("info", out).out
    assert f"model       {kind}" in shown and "tags" in shown and "words" in shown
    card = (out / "README.md").read_text()
    assert "accuracy on unseen words" in card and "Tags: " in card

    other = {"majority": "--smoothing=1", "hmm": "--c1=1", "trigram": "--epochs=3", "window": "--layers=2"}
    ran = elman("train", "tag", *files, "--model", kind, "--out", tmp_path / "b", other.get(kind, "--decoding=viterbi"))
    assert ran.code == 2 and f"--model {kind} has no setting" in ran.err and not (tmp_path / "b").exists()
