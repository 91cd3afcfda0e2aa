"""Scoring: a model on a file, and two files against each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOLD = "Ada\tB-PER\nmet\tO\nMary\tB-PER\nAnn\tI-PER\n\nLondon\tB-LOC\n\n"
GUESS = "Ada\tB-PER\nmet\tO\nMary\tI-PER\nAnn\tI-PER\n\nLondon\tO\n\n"


@pytest.fixture
def files(inside: Path) -> tuple[str, str]:
    (inside / "χρυσός.tsv").write_text(GOLD, encoding="utf-8")
    (inside / "guess.tsv").write_text(GUESS)
    return "χρυσός.tsv", "guess.tsv"


def test_a_model(elman, corpus: Path, model: Path) -> None:
    ran = elman("eval", model, corpus / "test.conllu", "--json")
    assert ran.code == 0 and ran.err == ""
    answer = json.loads(ran.out)
    metrics = json.loads((model / "metrics.json").read_text())["test"]
    assert {key: answer[key] for key in metrics} == metrics
    table = elman("eval", model, corpus / "test.conllu").out.splitlines()
    assert table[1].split() == ["accuracy", f"{100 * metrics['accuracy']:.2f}", *table[1].split()[2:]]
    assert table[-1] == metrics["signature"]


def test_a_model_of_spans(elman, ner: Path, ner_model: Path) -> None:
    answer = json.loads(elman("eval", ner_model, ner, "--json").out)
    assert answer["entities"].keys() == {"conlleval", "strict"} and "scheme:iob2" in answer["signature"]
    answer = json.loads(elman("eval", ner_model, ner, "--json", "--scheme", "none").out)
    assert answer["entities"] == {}
    ran = elman("eval", ner_model, ner, "--column", "2", "--json")
    assert ran.code == 0 and json.loads(ran.out)["accuracy"] == 0


def test_two_files(elman, files) -> None:
    ran = elman("eval", *files)
    assert ran.code == 0 and ran.err == ""
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line}
    assert rows["accuracy"] == ["60.00", "3", "5"] and rows["sentence_accuracy"] == ["0.00", "0", "2"]
    assert rows["conlleval_f1"] == ["80.00"] and rows["strict_f1"] == ["50.00"]
    assert "scheme:iob2" in ran.out.splitlines()[-1]
    answer = json.loads(elman("eval", *files, "--json").out)
    assert answer["differing_words"] == 0 and answer["counts"]["tokens"]["correct"] == 3
    assert elman("eval", "-", files[1], stdin=GOLD).out == ran.out


def test_two_files_need_no_torch(files, inside: Path) -> None:
    code = (
        "import sys\nfrom elman.cli.main import run\n"
        f"code = run(['eval', *{files!r}])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_columns_of_one_file(elman, inside: Path) -> None:
    (inside / "both.tsv").write_text("a\tX\tX\nb\tX\tY\n\n")
    ran = elman("eval", "both.tsv", "both.tsv", "--column", 2, "--predicted-column", 3, "--json")
    assert json.loads(ran.out)["accuracy"] == 0.5


def test_other_words_are_counted(elman, files, inside: Path) -> None:
    (inside / "guess.tsv").write_text(GUESS.replace("Ann", "Anne").replace("London", "Londres"))
    ran = elman("eval", *files)
    assert ran.code == 0 and "2 words differ" in ran.err and "guess.tsv:1" in ran.err


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (GUESS.replace("Ann\tI-PER\n", ""), ["guess.tsv:1: expected 4 words", "χρυσός.tsv:1", "found 3"]),
        (GUESS.replace("London\tO\n\n", ""), ["guess.tsv: expected 2 sentences", "found 1", "χρυσός.tsv:6"]),
        (GUESS + "more\tO\n", ["expected 2 sentences", "found 3", "guess.tsv:8"]),
    ],
)
def test_files_that_do_not_fit_are_told_with_both_places(elman, files, inside, text, messages) -> None:
    (inside / "guess.tsv").write_text(text)
    ran = elman("eval", *files)
    assert ran.code == 3 and ran.out == "" and all(message in ran.err for message in messages), ran.err


def test_refusals(elman, files, model: Path, ner_model: Path, inside: Path) -> None:
    assert elman("eval", model, files[0], "--predicted-column", 2).code == 2
    assert elman("eval", *files, "--format", "text").code == 2
    assert elman("eval", *files, "--format", "jsonl", "--word-column", 2).code == 2
    assert elman("eval", files[0], "none.tsv").code == 3
    (inside / "a.jsonl").write_text('{"words": ["a"]}\n')
    ran = elman("eval", "a.jsonl", "a.jsonl")
    assert ran.code == 3 and "a.jsonl:1: expected tags" in ran.err
    ran = elman("eval", ner_model, "a.jsonl")
    assert ran.code == 3 and "a.jsonl:1" in ran.err
