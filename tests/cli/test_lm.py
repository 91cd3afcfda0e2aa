"""Language models from the command line: train, resume, eval, score, sample, check."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

draw = random.Random(5)
LINES = [" ".join(draw.choices(["the", "cat", "dog", "sees", "北京", "και", "runs"], k=1 + n % 6)) for n in range(80)]
TINY = ["--hidden", "8", "--epochs", "2", "--bptt", "6", "--batch-size", "3", "--threads", "1", "--minimum", "1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, lines in (("train", LINES[:60]), ("dev", LINES[60:70]), ("test", LINES[70:])):
        (folder / f"{name}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def models(files: Path) -> Path:
    """Two models of one text, made by the command itself."""
    from elman.cli.main import run

    data = [
        "--train",
        str(files / "train.txt"),
        "--dev",
        str(files / "dev.txt"),
        "--test",
        str(files / "test.txt"),
        "-q",
    ]
    assert run(["train", "lm", *data, *TINY, "--out", str(files / "net")]) == 0
    given = ["--model", "ngram", "--order", "3", "--minimum", "1"]
    assert run(["train", "lm", *data, *given, "--out", str(files / "ngram")]) == 0
    return files


def test_training_reports_what_it_scores(elman, files: Path, tmp_path: Path) -> None:
    data = ["--train", files / "train.txt", "--dev", "20%", "--test", files / "test.txt"]
    done = elman("train", "lm", *map(str, data), *TINY, "--out", str(tmp_path / "m"), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    tokens = sum(len(line.split()) + 1 for line in LINES[70:])
    assert told["test"]["tokens"] == tokens and told["test"]["ends"] == 10 and told["test"]["unknown_tokens"] == 0
    assert told["test"]["characters"] == sum(len(line) + 1 for line in LINES[70:])
    assert told["dev"]["ends"] == 12 and "train: 60 lines" in done.err
    shown = elman("info", str(tmp_path / "m"))
    assert shown.code == 0 and "task        lm" in shown.out and "perplexity" in shown.out


def test_eval_score_and_their_sums(elman, models: Path) -> None:
    test = str(models / "test.txt")
    told = json.loads(elman("eval", str(models / "net"), test, "--json").out)
    scored = elman("score", str(models / "net"), test)
    rows = [line.split("\t") for line in scored.out.splitlines()]
    assert [row[2] for row in rows] == LINES[70:]
    assert math.isclose(sum(float(row[0]) for row in rows), told["log_likelihood"], rel_tol=1e-5)
    assert sum(int(row[1]) for row in rows) == told["tokens"] and "perplexity" in scored.err
    by_token = elman("score", str(models / "net"), test, "--tokens").out.split("\n\n")
    assert [[line.split("\t")[1] for line in block.splitlines()] for block in by_token if block] == [
        [*line.split(), "</s>"] for line in LINES[70:]
    ]
    first = json.loads(elman("score", str(models / "net"), test, "--json").out.splitlines()[0])
    assert math.isclose(sum(first["log_probabilities"]), first["log_probability"], abs_tol=1e-4)


def test_standard_input_gives_what_a_file_gives(elman, models: Path) -> None:
    text = (models / "test.txt").read_text(encoding="utf-8")
    for model in ("net", "ngram"):
        file = elman("score", str(models / model), str(models / "test.txt"))
        assert elman("score", str(models / model), stdin=text).out == file.out
    empty = elman("score", str(models / "net"), stdin="")
    assert (empty.code, empty.out) == (0, "")
    assert elman("score", str(models / "net"), stdin="\n").out.endswith("\t1\t\n")


def test_mixing(elman, models: Path) -> None:
    net, ngram, dev, test = (str(models / name) for name in ("net", "ngram", "dev.txt", "test.txt"))
    one, other, both = (
        json.loads(elman("eval", *given, test, "--json").out)["perplexity"]
        for given in ([net], [ngram], [net, "--interpolate", ngram, "--tune", dev])
    )
    assert both <= max(one, other) and both not in (one, other)
    whole = json.loads(elman("eval", net, test, "--interpolate", ngram, "--weight", "1", "--json").out)
    assert math.isclose(whole["perplexity"], one, rel_tol=1e-9) and whole["signature"].count("+ngram:1") == 1
    for wrong in (["--weight", "0.5"], ["--interpolate", ngram, "--weight", "0.5", "--tune", dev]):
        assert elman("eval", net, test, *wrong).code == 2
    assert "a text other" in elman("eval", net, test, "--interpolate", ngram, "--tune", test).err


def test_samples(elman, models: Path) -> None:
    for model in ("net", "ngram"):
        once = elman("sample", str(models / model), "-n", "30", "--seed", "3")
        assert once.code == 0 and once.out == elman("sample", str(models / model), "-n", "30", "--seed", "3").out
        assert once.out != elman("sample", str(models / model), "-n", "30", "--seed", "4").out
    told = elman("sample", str(models / "net"), "-n", "2", "--seed", "1", "--prompt", "the unheard-of")
    assert told.out.startswith("the unheard-of") and "does not know unheard-of" in told.err
    assert elman("sample", str(models / "net"), "--prompt", "-", "-n", "0", stdin="the cat\n").out == "the cat\n"
    for wrong in (["--temperature", "-1"], ["--top-p", "0"], ["--seed", "-1"], ["--top-k", "-2"]):
        assert elman("sample", str(models / "net"), *wrong).code == 2


def test_wrong_uses(elman, models: Path, tmp_path: Path) -> None:
    train, dev = str(models / "train.txt"), str(models / "dev.txt")
    missing = elman("train", "lm", "--train", "no.txt", "--out", str(tmp_path / "x"))
    assert missing.code == 3 and "no.txt" in missing.err and not (tmp_path / "x" / "model.safetensors").exists()
    bad = tmp_path / "bad.txt"
    bad.write_text("a b\nc </s> d\n", encoding="utf-8")
    assert "bad.txt:2:3" in elman("train", "lm", "--train", str(bad), *TINY, "--out", str(tmp_path / "x")).err
    assert elman("score", str(models / "net"), str(bad)).code == 3
    empty = tmp_path / "empty.txt"
    empty.write_text("", encoding="utf-8")
    assert elman("train", "lm", "--train", str(empty), *TINY, "--out", str(tmp_path / "y")).code == 3
    assert (
        "--model ngram has no setting"
        in elman("train", "lm", "--model", "ngram", "--hidden", "3", "--train", train, "--out", str(tmp_path / "z")).err
    )
    again = elman("train", "lm", "--train", train, *TINY, "--out", str(models / "net"))
    assert again.code == 2 and "found a model" in again.err
    same = elman("train", "lm", "--train", train, "--dev", train, *TINY, "--out", str(tmp_path / "z"))
    assert same.code == 2 and "would be meaningless" in same.err
    tagger = elman("predict", str(models / "net"), dev)
    assert tagger.code == 2 and "elman score" in tagger.err


def test_compare(elman, models: Path) -> None:
    train, dev = str(models / "train.txt"), str(models / "dev.txt")
    systems = "ngram:minimum=1,network:hidden_size=8,epochs=1,minimum=1"
    told = elman("compare", "lm", train, dev, "--systems", systems, "--seeds", "1", "--threads", "1", "-q")
    assert told.code == 0, told.err
    rows = {line.split()[0]: line.split() for line in told.out.splitlines()[1:3]}
    other = json.loads(
        elman(
            "train",
            "lm",
            "--model",
            "ngram",
            "--minimum",
            "1",
            "--train",
            train,
            "--dev",
            dev,
            "--out",
            str(models / "five"),
            "--json",
            "-q",
        ).out
    )["dev"]
    assert rows["ngram:minimum=1"][2] == f"{other['perplexity']:.2f}" and "perplexity" in told.out
    assert f"{other['bits_per_character']:.4f}" in rows["ngram:minimum=1"]


def test_check(elman, models: Path, tmp_path: Path) -> None:
    told = json.loads(elman("check", "--task", "lm", str(models / "train.txt"), str(models / "dev.txt"), "--json").out)
    assert [file["lines"] for file in told["files"]] == [60, 10] and told["problems"] == []
    assert told["files"][0]["tokens"] == sum(len(line.split()) for line in LINES[:60])
    assert told["files"][1]["unknown_tokens"] == 0 and told["files"][0]["unknown_tokens"] is None
    assert told["files"][0]["repeated_lines"] == 60 - len(set(LINES[:60]))
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"a </s>\n\n\xff b\nq\0\n")
    found = elman("check", "--task", "lm", str(models / "train.txt"), str(bad))
    assert found.code == 3
    for place in ("bad.txt:1:3", "bad.txt:3:1", "bad.txt:4:2"):
        assert place in found.out
    assert elman("check", "--task", "lm", str(bad), "--column", "2").code == 2
