"""check, info, demo, data; tables."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from elman.cli import output

# check -----------------------------------------------------------------------------------------------------------


def test_check_without_errors(elman, corpus: Path) -> None:
    names = [str(corpus / f"{part}.conllu") for part in ("train", "dev")]
    ran = elman("check", *names, "--column", "xpos")
    lines = ran.out.splitlines()
    assert ran.code == 0 and ran.err == "" and lines[-1].startswith("no errors")
    assert lines[0].split()[:4] == ["file", "format", "sentences", "words"]
    assert lines[1].split()[:3] == ["train.conllu", "conllu", "40"]
    answer = json.loads(elman("check", *names, "--column", "xpos", "--json").out)
    assert answer["ok"] and [file["sentences"] for file in answer["files"]] == [40, 5]


def test_check_prints_every_problem_with_its_place(elman, inside: Path) -> None:
    (inside / "a.tsv").write_text("Ada\tB-PER\nLovelace\tI-PER\n\nmet\tI-LOC\nno tab here\n\n")
    (inside / "b.tsv").write_bytes(b"caf\xe9\tO\n\nAda\tB-PER\nLovelace\tI-PER\n\n")
    ran = elman("check", "a.tsv", "b.tsv", "none.tsv")
    assert ran.code == 3 and ran.err == ""
    for place in ("a.tsv:4:5: expected B-LOC", "a.tsv:5: expected 2 columns", "b.tsv:1:4: expected utf-8", "none.tsv:"):
        assert any(line.startswith(place) for line in ran.out.splitlines()), place
    assert ran.out.splitlines()[-1].startswith("4 errors")
    assert any(line.split()[:2] == ["b.tsv", "a.tsv"] for line in ran.out.splitlines())  # the duplicate
    answer = json.loads(elman("check", "a.tsv", "b.tsv", "none.tsv", "--json").out)
    assert not answer["ok"] and answer["errors"] == 4


def test_check_warnings_leave_the_exit_code_at_0(elman, inside: Path) -> None:
    (inside / "a.tsv").write_text("zero\u200bwidth\tX\n\n", encoding="utf-8")
    ran = elman("check", "a.tsv")
    assert ran.code == 0 and "a.tsv:1:5: warning: " in ran.out and "no errors, 1 warning" in ran.out


# info ------------------------------------------------------------------------------------------------------------


def test_info(elman, model: Path) -> None:
    ran = elman("info", model)
    assert ran.code == 0 and ran.err == ""
    answer = json.loads(elman("info", model, "--json").out)
    assert answer["task"] == "tag" and "NNS" in answer["vocabularies"]["tags"] and answer["resume"] is None
    assert answer["changed_settings"]["hidden_size"] == 12 and "layers" not in answer["changed_settings"]
    assert f"{answer['parameters']:,}" in ran.out and "hidden_size 12" in ran.out
    assert answer["file_sizes"]["model.safetensors"] == (model / "model.safetensors").stat().st_size


@pytest.mark.parametrize("which", ["model", "ner_model"])
def test_info_counts_the_parameters(elman, which: str, request: pytest.FixtureRequest) -> None:
    import elman as package

    folder = request.getfixturevalue(which)
    tagger = package.load(folder)
    counted = json.loads(elman("info", folder, "--json").out)["parameters"]
    assert counted == sum(p.numel() for p in tagger.network.parameters())


def test_info_names_a_damaged_file(elman, model: Path, inside: Path) -> None:
    import shutil

    for name, data in (("model.safetensors", b"12345678"), ("tags.json", b"[]"), ("metrics.json", b"{")):
        folder = inside / name.partition(".")[0]
        shutil.copytree(model, folder)
        (folder / name).write_bytes(data)
        ran = elman("info", folder)
        assert ran.code == 4 and name in ran.err and ran.out == ""


# demo, data ------------------------------------------------------------------------------------------------------


def test_demo_and_again(elman, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.training import progress

    steps = [0]

    def interrupt(self, report) -> None:
        steps[0] += 1
        if steps[0] == 3:  # in the second model
            os.kill(os.getpid(), signal.SIGINT)

    command = ["demo", "--out", "δ", "--sentences", 60, "--epochs", 1]
    with monkeypatch.context() as patch:
        patch.setattr(progress.Plain, "step", interrupt)
        ran = elman(*command)
    assert ran.code == 130 and "the same command resumes" in ran.err and ran.out == ""
    first = elman(*command)
    assert first.code == 0, first.err
    assert "an Elman network: already trained" in first.err and "an LSTM: resuming" in first.err
    again = elman(*command)
    assert again.out == first.out and again.err.count("already trained") == 3
    assert "sheep/" in first.out.splitlines()[-1] and "elman predict" in first.err
    answer = json.loads(elman(*command, "--json").out)
    assert "Type here" in (inside / "δ" / "model.html").read_text(encoding="utf-8")
    assert answer["models"].keys() == {"elman", "lstm", "bilstm"} and answer["tagged"][0][0] == "the"
    other = elman("demo", "--out", "δ", "--sentences", 50, "--epochs", 1)
    assert other.code == 0 and "made again" in other.err and "already trained" not in other.err


def test_demo_of_attention(elman, inside: Path) -> None:
    command = ["demo", "seq2seq", "--out", "δ", "--pairs", 40, "--epochs", 1]
    ran = elman(*command)
    assert ran.code == 0, ran.err
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[1] == ["letters", "none", "attention", "hard"] and [line[0] for line in lines[2:6]] == [
        "2-5", "6-10", "11-16", "17-20",
    ]  # fmt: skip
    for file, words in (
        ("accuracy.svg", "accuracy by length"),
        ("report.html", "What is written from where"),
        ("model.html", "Type here"),
    ):
        assert words in (inside / "δ" / file).read_text(encoding="utf-8")
    answer = json.loads(elman(*command, "--json").out)
    for result in answer["models"].values():
        hits, totals = zip(*result["by_length"].values(), strict=True)
        assert list(result["by_length"]) == [str(n) for n in range(2, 21)] and set(totals) == {1}
        assert result["accuracy"] == sum(hits) / 19
    assert elman(*command).err.count("already trained") == 3
    ran = elman("demo", "--out", "δ", "--sentences", 60)
    assert ran.code == 2 and "found that of another" in ran.err


def test_demo_leaves_other_folders_alone(elman, inside: Path) -> None:
    (inside / "mine").mkdir()
    (inside / "mine" / "notes").write_text("x")
    ran = elman("demo", "--out", "mine")
    assert ran.code == 2 and [path.name for path in (inside / "mine").iterdir()] == ["notes"]


def test_data_make_grammar(elman, inside: Path) -> None:
    ran = elman("data", "make", "grammar", "--sentences", 20, "--out", "a b", "--distance", 3, "--json")
    answer = json.loads(ran.out)
    assert ran.code == 0 and answer["files"][0]["sentences"] == 16
    text = (inside / "a b" / "train.conllu").read_text()
    assert text.count("Distance=") == text.count("Distance=3|") == 16
    assert "'a b/train.conllu'" in ran.err
    assert elman("data", "make", "grammar", "--sentences", 20, "--out", "c").out.split()[:3] == [
        "file",
        "sentences",
        "words",
    ]


# tables ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("colour", [True, False])
def test_tables_on_a_terminal(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    if colour:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", "1")
    output.table(["tag", "n"], [["[bold]猫", "1"], ["b", "20"]])
    text = screen.getvalue()
    assert "[bold]猫" in text and "─" in text
    assert "\x1b[3" not in text or colour


def test_tables_elsewhere_are_plain_and_aligned(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    output.table(["tag", "n"], [["猫", "1"], ["word", "20"]])
    assert capsys.readouterr().out == "tag    n\n猫     1\nword  20\n"
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    output.table(["tag", "n"], [["a", "1"]])
    assert screen.getvalue() == "tag  n\na    1\n"
