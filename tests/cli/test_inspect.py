"""`elman inspect`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TEXT = "the boys that the dog saw"


@pytest.fixture(scope="module")
def classifier(elman, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    rows = [f"{'good' if i % 2 else 'bad'}\t{'a fine' if i % 2 else 'a dull'} film {i % 3}" for i in range(30)]
    (folder / "train.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n", encoding="utf-8")
    flags = ["--hidden-size", "6", "--word-size", "4", "--epochs", "2", "--threads", "1"]
    assert elman("train", "classify", "--train", folder / "train.tsv", "--out", folder / "model", *flags).code == 0
    return folder / "model"


@pytest.fixture(scope="module")
def lm(elman, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "train.txt").write_text("the sheep run\nthe dog sees the sheep\n" * 20, encoding="utf-8")
    flags = [
        "--hidden-size",
        "6",
        "--minimum",
        "1",
        "--epochs",
        "1",
        "--batch-size",
        "2",
        "--bptt",
        "5",
        "--threads",
        "1",
    ]
    assert elman("train", "lm", "--train", folder / "train.txt", "--out", folder / "model", *flags).code == 0
    return folder / "model"


def test_a_summary(elman, model: Path) -> None:
    ran = elman("inspect", model, TEXT)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split() == ["token", "answer", "likeliest", "probability", "loss"]
    assert [line.split()[0] for line in lines[1:7]] == TEXT.split()
    for heading in ("Norm of the gradient", "Gates: how often shut", "Share of the gradient"):
        assert heading in ran.out
    assert elman("inspect", model, "-", stdin=TEXT + "\n").out == ran.out


def test_arrays(elman, model: Path) -> None:
    answer = json.loads(elman("inspect", model, TEXT, "--json").out)
    assert answer["sequence"] == TEXT.split() and not answer["given"]
    names = [place["name"] for place in answer["places"]]
    assert names[:2] == ["layer 1 forward", "layer 1 backward"]
    assert len(answer["contributions"]["U, layer 1 forward"]) == 6 == len(answer["places"][0]["gradient"][0])
    gold = json.loads(elman("inspect", model, TEXT, "--gold", "DT NNS WDT DT NN VBD", "--json").out)
    assert gold["given"] and [output["target"] for output in gold["outputs"]] == ["DT", "NNS", "WDT", "DT", "NN", "VBD"]


def test_a_page_and_pictures(elman, model: Path, corpus: Path, inside: Path) -> None:
    data = ["--data", corpus / "train.conllu", "--texts", "20"]
    ran = elman("inspect", model, "的 Ωmega <script>alert(1)</script>", *data, "--html", "r.html", "--png", "figures",
                "--beside", model)  # fmt: skip
    assert ran.code == 0 and ran.out == "", ran.err
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<script>alert(1)" not in page and "Ωmega" in page
    names = {path.stem for path in Path("figures").iterdir()}
    assert {"unrolled", "compact", "horizon", "probe", "confusion", "reliability", "history", "lost"} <= names
    again = elman("inspect", model, "a sheep", "--html", "r.html")
    assert again.code == 0 and "Ωmega" not in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["classifier", "lm"])
def test_other_tasks(elman, which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    text = "a fine film 1" if which == "classifier" else "the sheep run"
    ran = elman("inspect", folder, text)
    assert ran.code == 0 and ("(whole text)" if which == "classifier" else "</s>") in ran.out, ran.err
    answer = json.loads(elman("inspect", folder, text, "--json").out)
    assert len(answer["outputs"]) == (1 if which == "classifier" else 4)
    if which == "classifier":
        assert (
            json.loads(elman("inspect", folder, text, "--gold", "bad", "--json").out)["outputs"][0]["target"] == "bad"
        )


def test_what_is_refused(elman, model: Path, lm: Path, corpus: Path, inside: Path) -> None:
    (inside / "empty.conllu").write_text("")
    (inside / "folder").mkdir()
    majority = ["--train", corpus / "train.conllu", "--column", "xpos", "--model", "majority", "--out", "majority"]
    assert elman("train", "tag", *majority).code == 0
    for arguments, code, words in (
        ([model, " "], 2, "at least one token, found none"),
        ([model, "a " * 257], 2, "at most 256 tokens, found 257"),
        ([model, "a b", "--gold", "DT"], 2, "expected 2 targets, one per token, found 1"),
        ([model, "a", "--gold", "NONSENSE"], 3, "found 'NONSENSE'"),
        ([model, "a", "--html", "no/such/r.html"], 2, "there is no folder"),
        ([model, "a", "--html", "folder"], 2, "found a folder"),
        ([model, "a", "--format", "conllu"], 2, "give --data FILE"),
        ([model, "a", "--data", "none.conllu"], 3, "none.conllu"),
        ([model, "a", "--data", "empty.conllu"], 3, "empty.conllu"),
        ([model, "a", "--beside", lm], 2, "expected a model of the task tag"),
        (
            [lm, "a", "--gold", "b"],
            2,
            "--gold is for the tasks tag and classify and seq2seq; this is a model",
        ),
        (["nowhere", "a"], 4, "nothing with this name"),
        (["majority", "a"], 2, "has no recurrent layers to inspect"),
        ([model], 2, "TEXT"),
    ):
        ran = elman("inspect", *arguments)
        assert (ran.code, words in ran.err) == (code, True), (arguments, ran.code, ran.err)
        assert ran.out == "" and "Traceback" not in ran.err
