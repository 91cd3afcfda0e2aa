"""`skip_broken` over every registered format: a file with a broken sentence reads as the file without it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from elman.errors import DataError, Notice, UsageError
from elman.text import FORMATS, Skipped, get_format, read
from elman.text.check import check
from elman.text.check_labelled import check_examples
from elman.text.labelled import EXAMPLE_FORMATS, iter_examples, read_examples

ROW = "\t_\tX\t_\t_\t_\t_\t_\t_\n"
# Whole sentences, and broken ones, each with the line of it at which the first fault is.
SENTENCES: dict[str, list[str]] = {
    "conllu": [f"# one\n1\tAda{ROW}2\tmet{ROW}\n", f"1-2\tab{ROW}1\ta{ROW}2\tb{ROW}\n", f"1\tend{ROW}\n"],
    "columns": ["Ada\tX\nmet\tY\n\n", "-DOCSTART-\tO\n\na\tX\nb\tY\n\n", "end\tX\n\n"],
    "text": ["Ada met\n", "a b c\n", "end\n"],
    "jsonl": [
        '{"words": ["Ada"], "tags": ["X"]}\n',
        '\n{"text": "a b", "tags": ["X", "Y"]}\n',
        '{"words": ["end"], "tags": ["X"]}\n',
    ],
}
BROKEN: dict[str, list[tuple[str, int]]] = {
    "conllu": [
        (f"1\tx{ROW}3\ty{ROW}2\tz{ROW}\n", 2),
        (f"# c\n1\tx{ROW}2\t{ROW}3\tz{ROW}\n", 3),
        ("1\tx\n\n", 1),
        (f"1\tx{ROW}3-4\ty{ROW}\n", 2),
        (f"1\tx{ROW}2\ty\rz{ROW}\n", 2),
    ],
    "columns": [
        ("x\tX\n\tY\nz\tX\n\n", 2),
        ("x\tX\ny\n\n", 2),
        ("x\tX\ny\tY\tZ\n\n", 2),
        ("x\n\n", 1),
        ("x\ny\tX\n\n", 1),
        ("x\tX\ny\rz\tX\n\n", 2),
    ],
    "text": [("x\ry\n", 1)],
    "jsonl": [
        ('{"words": ["x", ""], "tags": ["X", "Y"]}\n', 1),
        ('{"words": ["x"], "tags": []}\n', 1),
        ("{\n", 1),
        ('\n\n{"words": ["x"]}\n', 3),
        ('{"text": "\\ud800", "tags": ["X"]}\n', 1),
    ],
}
HEAD = {"csv": "text,label\n", "tsv": "text\tlabel\n"}
EXAMPLES: dict[str, list[str]] = {
    "csv": ['"good, ""very""\nindeed",A\n', "bad,B\n", "end,A\n"],
    "tsv": ["good\tA\n", "bad\tB\n", "end\tA\n"],
    "jsonl": ['{"text": "good", "label": "A"}\n', '{"text": "bad", "label": "B"}\n', '{"text": "end", "label": 1}\n'],
    "label": ["A good\n", "B bad\n", "A end\n"],
    "fasttext": ["__label__A good\n", "__label__B bad\n", "__label__A end\n"],
    "text": ["good\n", "bad\n", "end\n"],
}
BROKEN_EXAMPLES: dict[str, list[tuple[str, int]]] = {
    "csv": [
        ("only\n", 1),
        ("x,A,B\n", 1),
        ('"x\n\ny",\n', 3),
        ('"x\0\ny\0",A,B\n', 1),
        ("x\0,A\n", 1),
        ("x\ry,A\n", 1),
        ('"x" y",",A\n', 1),
    ],
    "tsv": [("only\n", 1), ("x\tA\tB\n", 1), ("x\t\n", 1), ("x\0\tA\n", 1)],
    "jsonl": [
        ('{"text": "x", "label": null}\n', 1),
        ("[]\n", 1),
        ('{"text": "x", "label": {}}\n', 1),
        ('{"text": "x\0", "label": 1}\n', 1),
    ],
    "label": [(" x\n", 1), ("A x\0\n", 1), ("A x\ry\n", 1)],
    "fasttext": [("x\n", 1), ("__label__ x\n", 1), ("__label__A __label__B x\n", 1)],
    "text": [("x\0\n", 1), ("x\ry\n", 1)],
}


def test_every_format_is_here() -> None:
    assert set(SENTENCES) == set(BROKEN) == set(FORMATS)
    assert set(EXAMPLES) == set(BROKEN_EXAMPLES) == set(EXAMPLE_FORMATS)


def cases(broken: dict[str, list[tuple[str, int]]]) -> list[Any]:
    return [
        pytest.param(name, text, line, place, id=f"{name}-{number}-{place}")
        for name, texts in broken.items()
        for number, (text, line) in enumerate(texts)
        for place in range(4)
    ]


@pytest.mark.parametrize(("name", "text", "line", "place"), cases(BROKEN))
def test_a_broken_sentence_is_as_if_it_were_not_there(
    name: str, text: str, line: int, place: int, tmp_path: Path
) -> None:
    whole, file = tmp_path / "whole", tmp_path / "file"
    parts = SENTENCES[name]
    whole.write_bytes("".join(parts).encode())
    file.write_bytes("".join([*parts[:place], text, *parts[place:]]).encode())
    tagged = name != "text"
    line += "".join(parts[:place]).count("\n")
    with pytest.raises(DataError):
        read(file, name, tagged=tagged)
    skipped = Skipped()
    sentences = read(file, name, tagged=tagged, skip_broken=skipped)
    assert [(one.words, one.tags) for one in sentences] == [(one.words, one.tags) for one in read(whole, name)]
    assert skipped.count == 1 and (skipped.problems[0].file, skipped.problems[0].line) == (str(file), line)
    for one in sentences:  # the places are those of the file
        starts = get_format(name).columns_of(one)
        rows = file.read_bytes().decode().split("\n")
        for word, at, start in zip(one.words, one.lines, starts, strict=True):
            assert word in rows[at - 1][(start or 1) - 1 :]
    with pytest.warns(Notice, match=f"left out 1 broken sentence:\n  {file}:{line}"):
        assert len(read(file, name, tagged=tagged, skip_broken=True)) == 3
    if tagged:
        report = check([file], format=name, skip_broken=True)
        assert report.ok and report.to_json()["skipped"] == 1 and report.files[0].sentences == 3
        assert [(one.severity, one.line) for one in report.problems if "left out" in one.message] == [("warning", line)]


@pytest.mark.parametrize(("name", "text", "line", "place"), cases(BROKEN_EXAMPLES))
def test_a_broken_text_is_as_if_it_were_not_there(name: str, text: str, line: int, place: int, tmp_path: Path) -> None:
    whole, file = tmp_path / "whole", tmp_path / "file"
    head, parts, labelled = HEAD.get(name, ""), EXAMPLES[name], name != "text"
    whole.write_bytes((head + "".join(parts)).encode())
    file.write_bytes((head + "".join([*parts[:place], text, *parts[place:]])).encode())
    line += (head + "".join(parts[:place])).count("\n")
    with pytest.raises(DataError):
        read_examples(file, name, labelled=labelled)
    skipped = Skipped()
    examples = read_examples(file, name, labelled=labelled, skip_broken=skipped)
    expected = read_examples(whole, name, labelled=labelled)
    assert [(one.text, one.labels) for one in examples] == [(one.text, one.labels) for one in expected]
    assert skipped.count == 1 and (skipped.problems[0].file, skipped.problems[0].line) == (str(file), line)
    with pytest.warns(Notice, match=f"left out 1 broken text:\n  {file}:{line}"):
        read_examples(file, name, labelled=labelled, skip_broken=True)
    report = check_examples([file], name, labelled=labelled, skip_broken=True).to_json()
    assert report["ok"] and report["skipped"] == 1 and report["files"][0]["examples"] == 3


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_reads_as_ever(name: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("".join(SENTENCES[name]))
    skipped = Skipped()
    assert read(path, name, skip_broken=skipped) == read(path, name) and skipped.count == 0


@pytest.mark.parametrize("name", EXAMPLE_FORMATS)
def test_whole_texts_read_as_ever(name: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(HEAD.get(name, "") + "".join(EXAMPLES[name]))
    skipped, labelled = Skipped(), name != "text"
    examples = read_examples(path, name, labelled=labelled, skip_broken=skipped)
    assert examples == read_examples(path, name, labelled=labelled) and skipped.count == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a\tX\n\nb\xff\tX\n\nc\tX\n\n", "0xff"),
        (b"a\n\nb\n\nc\n\n", "3 of 3 sentences are broken"),
        (b"a\tX\n\nb\tX\tY\n\nc\tX\tY\n\n", "2 of 3 sentences are broken"),
        (b"a\t\n\n", "1 of 1 sentences are broken"),
        (b"a\tX\rb\tX\r", "1 of 1 sentences are broken"),
        ("a\tX\n\n".encode("utf-16"), "--encoding utf-16"),
    ],
)
def test_what_is_not_of_one_sentence_stays_an_error(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        read(path, skip_broken=True)
    assert caught.value.file == str(path) and caught.value.line is not None
    report = check([path], skip_broken=True)
    assert not report.ok


def test_truncated_gzip_stays_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d\tX\n\n" % n for n in range(999)))[:-30])
    with pytest.raises(DataError, match="gzip"):
        read(path, skip_broken=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a,A\nb,"B\nc,C\nd,D\n', "closes this one"),  # where the text ends is not known
        ('a,A\n"b "x" and\nmore",B\nc,C\n', "after a quoted cell"),
    ],
)
def test_a_quote_left_open_stays_an_error(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("text,label\n" + text)
    with pytest.raises(DataError, match=says):
        read_examples(path, skip_broken=True)


def test_a_broken_header_stays_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("te\0xt,label\na,A\nb,B\n")
    with pytest.raises(DataError, match=r":1:3: .*NUL"):
        read_examples(path, text_column=1, label_column="label", skip_broken=True)
    path.write_text("text,label\na,A\n")
    with pytest.raises(UsageError, match="expected one of them"):
        iter_examples(path, skip_broken=True, on_problem=print)


def test_one_count_for_several_files(tmp_path: Path) -> None:
    skipped = Skipped()
    for number in range(5):
        path = tmp_path / f"{number}.tsv"
        path.write_text("a\tX\n\n\tX\n\n")
        read(path, skip_broken=skipped)
    assert skipped.count == 5
    lines = skipped.text().split("\n")
    assert lines[0] == "left out 5 broken sentences:" and len(lines) == 5 and lines[-1] == "  ..."
    assert all(f"{number}.tsv:3:1: expected a word" in lines[number + 1] for number in range(3))


def test_a_first_row_without_the_word_takes_its_sentence_with_it(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_text("1\tx\n2\tX\ty\n3\tX\tz\n\n1\tX\ta\n2\tX\tb\n\n1\tX\tc\n\n")
    skipped = Skipped()
    sentences = read(path, "columns", word=3, column=2, skip_broken=skipped)
    assert [one.words for one in sentences] == [["a", "b"], ["c"]]  # never a part of one
    assert [one.line for one in skipped.problems] == [1]
