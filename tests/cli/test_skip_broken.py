"""`--skip-broken` on check, train, eval and compare, every task: refused without it, counted and reported with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elman.tasks import TASKS

GOOD = {
    "tag": ("tsv", ["Ada\tN\nmet\tV\nMary\tN\n\n", "Mary\tN\nleft\tV\n\n", "he\tP\nleft\tV\n\n"] * 4),
    "classify": ("csv", ["a good film,good\n", "a bad film,bad\n", '"fine, really",good\n'] * 4),
    "lm": ("txt", ["Ada met Mary\n", "Mary left\n", "\n", "he left\n"] * 4),
    "seq2seq": ("tsv", ["walk\twalked\n", "go\twent\n", "sing\tsang\n"] * 4),
}
BROKEN = {
    "tag": "Ada\tN\n\tV\n\n",
    "classify": "a film without a label,\n",
    "lm": "Ada </s> left\n",
    "seq2seq": "one\tcell\ttoo many\n",
}
# The line of the fault when it is put after the first sentence, text or line, and a header row before them.
LINE = {"tag": 6, "classify": 3, "lm": 2, "seq2seq": 2}
MODEL = {"tag": "majority", "classify": "majority", "lm": "ngram", "seq2seq": "memory"}
WHAT = {"tag": "sentence", "classify": "text", "lm": "line", "seq2seq": "pair"}


def test_every_task_is_here() -> None:
    assert set(GOOD) == set(TASKS)


@pytest.fixture(params=GOOD)
def task(request: pytest.FixtureRequest, inside: Path) -> str:
    """A task; its files are train.x, dev.x and test.x, the first and the last with one that is broken."""
    name = request.param
    suffix, parts = GOOD[name]
    head = "text,label\n" if name == "classify" else ""
    broken = [parts[0], BROKEN[name], *parts[1:]]
    for part, texts in (("train", broken), ("dev", parts), ("test", broken), ("whole", parts)):
        (inside / f"{part}.{suffix}").write_text(head + "".join(texts))
    return name


def test_train_and_eval(elman, task: str, inside: Path) -> None:
    suffix, what = GOOD[task][0], WHAT[task]
    files = [f"--train=train.{suffix}", f"--dev=dev.{suffix}", f"--test=test.{suffix}"]
    train = ["train", task, "--model", MODEL[task], "-q", "--json"]
    ran = elman(*train, *files, "--out", "m")
    assert ran.code == 3 and f"train.{suffix}:{LINE[task]}" in ran.err
    ran = elman(*train, *files, "--out", "n", "--skip-broken")
    assert ran.code == 0, ran.err
    for part in ("train", "test"):
        assert f"{part}: left out 1 broken {what}:\n" in ran.err and f"{part}.{suffix}:{LINE[task]}:" in ran.err
    answer = json.loads(ran.out)
    assert answer["skipped"] == 2
    card = (inside / "n" / "README.md").read_text()
    assert "were left out (`--skip-broken`): 1 of train, 0 of dev, 1 of test." in card and "skipped" not in card
    ran = elman(
        *train, *(one.replace("train.", "whole.").replace("test.", "whole.") for one in files[:2]), "--out", "w"
    )
    assert ran.code == 0 and json.loads(ran.out)["dev"] == answer["dev"] and json.loads(ran.out)["skipped"] == 0
    assert "left out" not in ran.err and "left out" not in (inside / "w" / "README.md").read_text()
    ran = elman("eval", "n", f"test.{suffix}", "--json")
    assert ran.code == 3 and f"test.{suffix}:{LINE[task]}" in ran.err
    ran = elman("eval", "n", f"test.{suffix}", "--json", "--skip-broken")
    assert ran.code == 0 and f"left out 1 broken {what}:\n" in ran.err
    scored = json.loads(ran.out)
    assert scored.pop("skipped") == 1
    assert {key: value for key, value in scored.items() if key not in ("model", "file")} == answer["test"]


def test_check(elman, task: str) -> None:
    suffix, what = GOOD[task][0], WHAT[task]
    command = ["check", "--task", task, f"train.{suffix}", f"dev.{suffix}", "--json"]
    ran = elman(*command)
    assert ran.code == 3 and json.loads(ran.out)["skipped"] == 0
    ran = elman(*command, "--skip-broken")
    report = json.loads(ran.out)
    assert ran.code == 0 and report["skipped"] == 1
    assert f"left out 1 broken {what}:\n" in ran.err and f"train.{suffix}:{LINE[task]}:" in ran.err
    counted = {"tag": "sentences", "classify": "examples", "lm": "lines", "seq2seq": "pairs"}[task]
    assert [file[counted] for file in report["files"]] == [len(GOOD[task][1])] * 2


def test_compare(elman, task: str) -> None:
    suffix = GOOD[task][0]
    command = ["compare", task, f"train.{suffix}", f"dev.{suffix}", "--systems", MODEL[task], "-q", "--json"]
    assert elman(*command).code == (2 if task == "lm" else 3)  # lines are cut into tokens only in training
    ran = elman(*command, "--skip-broken")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["skipped"] == 1 and answer["systems"][0]["problems"] == {} and "train: left out 1 broken" in ran.err


def test_two_files_are_not_thinned(elman, inside: Path) -> None:
    (inside / "a.tsv").write_text("a\tN\n\n")
    ran = elman("eval", "a.tsv", "a.tsv", "--skip-broken")
    assert ran.code == 2 and "aligned by position" in ran.err


def test_folds_say_it_too(elman, inside: Path) -> None:
    (inside / "f.csv").write_text("text,label\n" + "".join(GOOD["classify"][1]) + BROKEN["classify"])
    ran = elman(
        *("train", "classify", "--model", "majority", "--train", "f.csv", "--folds", "2", "--out", "f"),
        *("-q", "--json", "--skip-broken"),
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["skipped"] == 1
