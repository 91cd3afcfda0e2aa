"""`elman predict --stream`: each word is answered as soon as it can be, and in the end all are as without it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman as package
from elman.cli.stream import words

TEXT = "the boys that the dog saw run\n\n  the dog sees the boys  \nrun\n\n\nthe boys see"


@pytest.fixture(scope="module")
def delayed(elman: Callable, corpus: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "delayed"
    files = ["--train", corpus / "train.conllu", "--column", "xpos"]
    ran = elman("train", "tag", *files, "--delay", "2", "--out", folder, "--quiet", *tiny)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    data = [package.Example(f"{word} film", [word]) for word in ("good", "bad", "odd")] * 4
    package.Classifier(hidden_size=4, word_size=4, one_way=True, epochs=2, threads=1).fit(data, out=folder)
    return folder


def test_answers_are_those_of_the_whole_text(elman: Callable, delayed: Path) -> None:
    for text in (TEXT, TEXT + "\n", TEXT + "\n\n", "", "\n", "one", " ", "one \n two"):
        whole = elman("predict", delayed, stdin=text)
        assert whole.code == 0 and elman("predict", delayed, "--stream", stdin=text).out == whole.out, repr(text)


def test_a_word_a_line(elman: Callable, delayed: Path) -> None:
    for text in ("the\nboys\n\nrun\n", "the\nboys\n\nrun", "\nthe\n\n\nrun\n\n"):
        whole = elman("predict", delayed, "--format", "columns", stdin=text)
        got = elman("predict", delayed, "--stream", "--format", "columns", stdin=text)
        assert [line for line in got.out.splitlines() if line] == [line for line in whole.out.splitlines() if line]
    ran = elman("predict", delayed, "--stream", "--format", "columns", stdin="the\nboys NN\n")
    assert ran.code == 3 and "<stdin>:2: expected one word per line, found another, 'NN'" in ran.err


def test_json_says_the_line(elman: Callable, delayed: Path) -> None:
    ran = elman("predict", delayed, "--stream", "--json", stdin="the dog\nsees")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["line"], row["words"]) for row in rows] == [(1, ["the"]), (1, ["dog"]), (2, ["sees"])]
    assert all(len(row["tags"]) == 1 for row in rows)


def test_a_classifier_says_the_label_so_far(elman: Callable, classifier: Path) -> None:
    text = "bad film\n\ngood"
    ran = elman("predict", classifier, "--stream", stdin=text)
    assert ran.code == 0, ran.err
    model = package.load(classifier)
    prefixes = ["bad", "bad film", None, None, "good", None]
    for line, prefix in zip(ran.out.splitlines(), prefixes, strict=True):
        if prefix is None:
            assert line == ""
        else:
            answer = model.predict([prefix])[0]
            assert line.split("\t") == [prefix.split()[-1], answer.labels[0], f"{answer.chances[0]:.4f}"]
    rows = [
        json.loads(line) for line in elman("predict", classifier, "--stream", "--json", stdin=text).out.splitlines()
    ]
    assert [row["text"] for row in rows] == ["bad", "film", "good"] and "label_probabilities" not in rows[0]


def test_each_answer_leaves_when_its_delay_is_over(delayed: Path) -> None:
    """In the middle of a line, and of a character."""
    process = subprocess.Popen(
        [sys.executable, "-m", "elman", "predict", str(delayed), "--stream"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None

    def answered() -> list[bytes]:
        return os.read(process.stdout.fileno(), 1 << 16).splitlines()  # type: ignore[union-attr]

    with process:
        for piece in (b"the bo", b"ys na", "naïve".encode()[2:4], "naïve".encode()[4:] + b" "):
            process.stdin.write(piece)
            process.stdin.flush()
        assert [line.split(b"\t")[0] for line in answered()] == [b"the"]
        assert not select.select([process.stdout], [], [], 0.2)[0]
        process.stdin.write(b"run ")
        process.stdin.flush()
        assert [line.split(b"\t")[0] for line in answered()] == [b"boys"]
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert [line.split(b"\t")[0].decode() for line in answered()] == ["nanaïve"[0:2] + "ïve", "run", ""]
        process.stdin.close()
        assert process.wait() == 0


def test_what_cannot_be_streamed_is_refused(elman: Callable, model: Path, delayed: Path) -> None:
    ran = elman("predict", model, "--stream", stdin="the dog")
    assert ran.code == 2 and "reads in both; train it with one_way=True, or with delay=K" in ran.err
    ran = elman("predict", delayed, "--stream", "--format", "conllu", stdin="")
    assert ran.code == 2 and "a format with words one by one (text, columns), found conllu" in ran.err
    ran = elman("predict", delayed, "--stream", "-p", stdin="")
    assert ran.code == 2 and "--probabilities needs the whole text" in ran.err


def test_bytes_that_are_no_text_are_placed(elman: Callable, delayed: Path) -> None:
    ran = elman("predict", delayed, "--stream", stdin=b"the dog\nsees \xff the")
    assert ran.code == 3 and "<stdin>:2:6: expected utf-8 text, found the byte 0xff" in ran.err
    assert ran.out.startswith("the\t")
    ran = elman("predict", delayed, "--stream", "--encoding", "utf-16", stdin="the dog".encode("utf-16"))
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["the", "dog", ""]


@settings(deadline=None)
@given(st.lists(st.text("ab \n\t\u2028", max_size=5), max_size=8))
def test_pieces_do_not_matter(pieces: list[str]) -> None:
    whole = "".join(pieces)
    lines = whole.split("\n")
    expected = [[*((i, word) for word in line.split()), (i, None)] for i, line in enumerate(lines, 1)]
    if not lines[-1]:
        expected.pop()
    flat = [place for line in expected for place in line]
    assert [tuple(place) for some in words(iter(piece for piece in pieces if piece)) for place in some] == flat
