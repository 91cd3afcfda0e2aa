"""`--first N` of every task, and `elman compare --sizes`: the same as with files that hold the first N examples."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from elman.cli.learning import read_sizes
from elman.errors import UsageError

SYSTEMS = ["majority", "hmm"]
LINES = ["the fine film", "a dull film", "so fine", "so dull , and long", "the film", "a fine , long film"] * 3
LABELLED = [f"{'pos' if 'fine' in line else 'neg'} {line}" for line in LINES]


def first_sentences(path: Path, count: int) -> str:
    return "\n\n".join(path.read_text(encoding="utf-8").strip().split("\n\n")[:count]) + "\n\n"


def command(corpus: Path, *more: Any) -> list[Any]:
    files = [corpus / f"{part}.conllu" for part in ("train", "dev")]
    return ["compare", "tag", *files, "--column", "xpos", "--systems", ",".join(SYSTEMS), "--threads", "1", "-q", *more]


@pytest.fixture(scope="module")
def curve(elman, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("curve")
    more = ["--sizes", "3, 20,all", "--out", folder / "out", "--figure", folder / "curve.svg", "--json"]
    ran = elman(*command(corpus, *more))
    assert ran.code == 0 and ran.err == "", ran.err
    return folder, json.loads(ran.out)


def test_each_size_is_a_comparison_on_so_many_sentences(elman, corpus: Path, curve, tmp_path: Path) -> None:
    folder, answer = curve
    assert answer["unit"] == "sentence" and [each["first"] for each in answer["sizes"]] == [3, 20, 40]
    for each in answer["sizes"]:
        part = tmp_path / f"{each['first']}"
        part.mkdir()
        (part / "train.conllu").write_text(first_sentences(corpus / "train.conllu", each["first"]), encoding="utf-8")
        (part / "dev.conllu").write_bytes((corpus / "dev.conllu").read_bytes())
        alone = json.loads(elman(*command(part, "--json")).out)
        assert each["best_rival"] == alone["best_rival"] and each["examples"] == alone["examples"]
        for mine, other in zip(each["systems"], alone["systems"], strict=True):
            for key in ("system", "seeds", "scores", "mean", "interval", "test", "more"):
                assert mine[key] == other[key], key
        assert (folder / "out" / part.name / "hmm-1" / "config.json").exists()
    means = [row["mean"] for each in answer["sizes"] for row in each["systems"] if row["system"] == "hmm"]
    assert len(set(means)) > 1


def test_the_figure_shows_the_table(elman, corpus: Path, curve) -> None:
    folder, answer = curve
    ran = elman(*command(corpus, "--sizes", "3,20,40", "--out", folder / "out", "--resume"))
    assert ran.code == 0, ran.err
    shown = {(line.split()[1], line.split()[0]): line.split()[3] for line in ran.out.splitlines()[1:7]}
    root = ElementTree.parse(folder / "curve.svg").getroot()
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    marks = {(mark.get("data-name"), mark.get("data-size")): mark for mark in circles}
    assert shown.keys() == marks.keys() == {(name, size) for name in SYSTEMS for size in ("3", "20", "40")}
    points = []
    for (name, size), mark in marks.items():
        score = float(shown[name, size])
        title = next(element.text for element in mark if element.tag.endswith("title"))
        assert title == f"{name}, {size}: {score:.4g}"
        points.append((math.log(int(size)), float(mark.get("cx")), score, float(mark.get("cy"))))
    across, cx, scores, cy = np.array(points).T
    for values, places, sign in ((across, cx, 1), (scores, cy, -1)):
        slope, start = np.polyfit(values, places, 1)
        assert sign * slope > 0 and np.abs(start + slope * values - places).max() < 0.1  # px; the table is rounded
    # An upright line from one end of the interval to the other.
    row = answer["sizes"][0]["systems"][0]
    ends = sorted(start + slope * 100 * row["interval"][end] for end in ("low", "high"))
    paths = [re.findall(r"[\d.]+", element.get("d")) for element in root.iter() if element.tag.endswith("path")]
    upright = [sorted(map(float, (p[1], p[3]))) for p in paths if len(p) == 4 and p[0] == p[2] == f"{cx[0]:g}"]
    assert any(np.allclose(one, ends, atol=0.1) for one in upright), (ends, upright)
    assert "against" in ran.out and ran.out.splitlines()[0].startswith("sentences  system ")


def test_markdown_has_the_size_first(elman, corpus: Path, curve) -> None:
    folder, _ = curve
    ran = elman(*command(corpus, "--sizes", "3,20", "--out", folder / "out", "--resume", "--markdown"))
    lines = ran.out.splitlines()
    assert lines[0].startswith("| sentences | system | seeds |") and lines[2].startswith("| 3 | majority | 1 |")
    assert lines[5].startswith("| 20 | hmm | 1 |") and len({line.count("|") for line in lines[:6]}) == 1


@pytest.mark.parametrize(
    ("task", "model", "suffix", "lines"),
    [
        ("classify", "ngrams", "label", LABELLED),
        ("lm", "ngram", "txt", LINES),
        ("tag", "hmm", "tsv", [re.sub(r"(\w+|,)( |$)", r"\1\tX\n", line) for line in LINES]),
    ],
)
def test_first_is_the_beginning_of_the_file(
    elman, task: str, model: str, suffix: str, lines: list[str], tmp_path: Path
) -> None:
    reading = ["--format", "label"] if task == "classify" else []
    weights = []
    for name, kept, more in (("whole", lines, ["--first", "5"]), ("part", lines[:5], []), ("all", lines, [])):
        (tmp_path / f"{name}.{suffix}").write_text("\n".join(kept) + "\n")
        files = ["--train", tmp_path / f"{name}.{suffix}", "--out", tmp_path / name]
        ran = elman("train", task, "--model", model, *files, *reading, *more)
        assert ran.code == 0, ran.err
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        counted = {"tag": "sentences", "classify": "texts", "lm": "lines"}[task]
        assert f"train: {5 if name != 'all' else 18} {counted}" in ran.err
    assert weights[0] == weights[1] != weights[2]
    for number, words in (("19", "expected at most the 18"), ("0", "above 0, found 0")):
        more = ["--first", number, "--out", tmp_path / "none"]
        ran = elman("train", task, "--model", model, "--train", tmp_path / f"all.{suffix}", *reading, *more)
        assert ran.code == 2 and "--first: " in ran.err and words in ran.err


def test_first_comes_before_what_is_set_aside_and_after_what_is_broken(elman, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n".join(["a </s> b", *LINES]) + "\n")
    ran = elman(
        *("train", "lm", "--model", "ngram", "--train", tmp_path / "train.txt", "--first", "6", "--dev", "50%"),
        *("--skip-broken", "--out", tmp_path / "out", "--json"),
    )
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["skipped"] == 1
    assert answer["dev"]["tokens"] == sum(len(line.split()) + 1 for line in LINES[3:6])


@pytest.mark.parametrize(
    ("text", "expected"), [("1", [1]), ("3, 20", [3, 20]), ("all", [None]), ("7,100000,all", [7, 100000, None])]
)
def test_sizes_are_read(text: str, expected: list[int | None]) -> None:
    assert read_sizes(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "found '0'"),
        ("-5", "found '-5'"),
        ("1.5", "found '1.5'"),
        ("", "found ''"),
        ("5,,6", "found ''"),
        ("ten", "found 'ten'"),
        ("²", "found '²'"),
        ("5,5", "ascending"),
        ("20,3", "ascending"),
        ("all,5", "ascending"),
        ("all,all", "ascending"),
    ],
)
def test_sizes_that_are_none(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_sizes(text)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--sizes", "5,41"], "expected at most the 40 sentences there are, found 41"),
        (["--sizes", "40,all"], "all is 40 sentences"),
        (["--figure", "x.svg"], "give --sizes too"),
        (["--sizes", "5", "--figure", "x.pdf"], ".svg or .png"),
        (["--sizes", "5", "--figure", "none/x.svg"], "there is no folder"),
    ],
)
def test_what_is_refused_before_anything_is_trained(elman, corpus: Path, tmp_path: Path, more: list[str], words: str):
    ran = elman(*command(corpus, "--out", tmp_path / "out", *more))
    assert ran.code == 2 and words in ran.err and ran.out == "" and not (tmp_path / "out").exists()


def test_folders_of_one_size_and_of_several_are_different(elman, corpus: Path, curve, tmp_path: Path) -> None:
    folder, _ = curve
    ran = elman(*command(corpus, "--sizes", "3", "--out", folder / "out"))
    assert ran.code == 2 and "--resume" in ran.err
    assert elman(*command(corpus, "--out", tmp_path / "one")).code == 0
    ran = elman(*command(corpus, "--sizes", "3", "--out", tmp_path / "one", "--resume"))
    assert ran.code == 2 and "without" in ran.err
