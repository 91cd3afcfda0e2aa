"""`check`: every kind of problem on little files, the numbers against counting by hand, and real corpora."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.text import get_format, read
from elman.text.check import PLACES, check
from elman.text.report import Report

DATA = os.environ.get("ELMAN_DATA")


@pytest.fixture
def put(tmp_path: Path):
    def write(data: str | bytes, name: str = "f.tsv") -> str:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return write


def found(report: Report) -> list[tuple[str, int | None, int | None]]:
    json.dumps(report.to_json(), allow_nan=False)
    for problem in report.problems:
        assert re.search(r"expected .*found .*[;]|may not be read|cannot be", problem.message), problem.message
        assert str(problem).startswith(problem.file)
    return [(one.severity, one.line, one.column) for one in report.problems]


def test_nothing_wrong(put) -> None:
    report = check([put("a\tO\nb\tB-x\n\nc\tO\n")])
    assert found(report) == [] and report.ok and report.scheme == "iob2"
    [one] = report.files
    assert (one.sentences, one.words, one.types, one.format) == (2, 3, 3, "columns")
    assert one.tags == {"O": 2, "B-x": 1} and list(one.tags) == ["O", "B-x"]


@pytest.mark.parametrize(
    ("name", "data", "where", "says"),
    [
        ("f.tsv", b"", [(None, None)], "no words in the whole file"),
        ("f.tsv", b"\n\n", [(None, None)], "no words in the whole file"),
        ("f.tsv", b"a\tO\nb\xff\xfe\tO\n", [(2, 2)], "0xff"),
        ("f.tsv", b"a\tO\nb\nc\tO\tO\n", [(2, 2), (3, 5)], "expected 2 columns"),
        ("f.tsv", b"a\tO\nb O\n", [(2, None)], "spaces and no TAB"),
        ("f.tsv", b"a\tO\nb\tB-x\n\nc\tI-x\n", [(4, 3)], "write B-x"),
        ("f.tsv", b"a" * 1_000_000 + b"\tO\n", [(1, 1)], "found 1000000"),
        ("f.tsv", b"\x00" * 5000, [(1, None), (1, 1)], "words only"),
        ("f.tsv", b"a\x00\tO\n", [(1, 2)], "U+0000"),
        ("f.tsv", "ab\u200bc\tO\n".encode(), [(1, 3)], "U+200B"),
        ("f.tsv", "\u200dab\tO\n".encode(), [(1, 1)], "U+200D"),
        ("f.tsv", b" a\tO\n", [(1, 1)], "without white space"),
        ("f.tsv", b"a\tO\x07\n", [(1, 4)], "a tag of visible"),
        ("f.tsv", b"a\rb\tO\n", [(1, 2), (1, 2)], "carriage return"),
        ("f.gz", b"a\tO\n", [(1, None)], "expected gzip"),
        ("f.gz", gzip.compress(b"a\tO\n" * 99, mtime=0)[:-5], [(1, None)], "expected gzip"),
        ("f.conllu", b"1 a _ X _ _ _ _ _ _\n", [(1, None)], "spaces and no TAB"),
        ("f.conllu", b"1\ta\t_\tX" + b"\t_" * 6 + b"\n2\tb\t_\t_" + b"\t_" * 6 + b"\n", [(2, 7)], "untagged"),
        ("f.jsonl", b'{"text": "a"}\n{"words": ["b"], "tags": ["X"]}\n{\n', [(1, None), (3, 2)], "other sentences"),
        ("f.txt", "a\nb c\u200b\n".encode(), [(2, 4)], "U+200B"),
    ],
)
def test_problems(put, name: str, data: bytes, where: list[tuple[int | None, int | None]], says: str) -> None:
    report = check([put(data, name)])
    assert [place[1:] for place in found(report)] == where
    assert any(says in str(problem) for problem in report.problems)


def test_what_is_only_a_warning(put) -> None:
    report = check([put("a\u200b\tO\nb\xad\u200c\u0631\tO\n")])
    assert found(report) == [("warning", 1, 2)] and report.ok and report.warnings == 1


def test_a_folder_and_a_missing_file(tmp_path: Path, put) -> None:
    report = check([str(tmp_path), tmp_path / "none", put("a\tO\n")])
    assert len(report.problems) == 2 and report.errors == 2 and not report.ok
    assert [one.sentences for one in report.files] == [0, 0, 1]
    assert report.files[2].unknown is None
    found(report)


def test_no_problem_is_left_out(put) -> None:
    report = check([put("a\tO\n" + "b\n" * 10_000 + "\u200bc\tO\n" * 10_000)])
    assert report.errors == 10_000 and report.warnings == 10_000
    lines = [problem.line or 0 for problem in report.problems]
    assert lines == sorted(lines)


def test_untagged_throughout_is_one_problem(put) -> None:
    row = "1\ta\t_\tX" + "\t_" * 6 + "\n\n"
    path = put(row * 100, "f.conllu")
    report = check([path], column="xpos")
    assert found(report) == [("error", 1, None)] and "all 100 words" in str(report.problems[0])
    assert found(check([path])) == []
    assert found(check([path], column="feats")) == []


def test_numbers_against_counting(put) -> None:
    first, second = [["a"], ["b", "a"], ["c"] * 9, ["b", "a"]], [["a", "d", "d"], ["b", "a"], ["e"]]
    paths = [
        put("\n".join("".join(f"{word}\tO\n" for word in one) for one in sentences), name)
        for name, sentences in (("1", first), ("2", second))
    ]
    one, two = (report := check(paths)).files
    assert one.lengths is not None
    assert (one.lengths.mean, one.lengths.minimum, one.lengths.median, one.lengths.maximum) == (3.5, 1, 2, 9)
    assert (one.lengths.p90, one.lengths.p99, one.lengths.longest_line) == (9, 9, 6)
    assert one.lengths.histogram == {"1": 1, "2-3": 2, "4-7": 0, "8-15": 1}
    assert two.unknown is not None and one.unknown is None
    assert (two.unknown.words, two.unknown.of_words, two.unknown.word_rate) == (3, 6, 0.5)
    assert (two.unknown.types, two.unknown.of_types, two.unknown.type_rate) == (2, 4, 0.5)
    assert [(one.file, one.earlier, one.count, one.places) for one in report.duplicates] == [
        (paths[0], paths[0], 1, [(16, 3)]),
        (paths[1], paths[0], 1, [(5, 3)]),
    ]
    plain = report.to_json()
    assert plain["files"][1]["unknown_words"]["word_rate"] == 0.5 and plain["ok"] is True and plain["errors"] == 0
    assert json.loads(json.dumps(plain)) == plain


def test_all_duplicates_are_counted(put) -> None:
    [one] = check([put("a\tO\n\n" * 50)]).duplicates
    assert one.count == 49 and len(one.places) == PLACES and one.places[0] == (3, 1)


IOB2 = "a\tB-x\nb\tI-x\nc\tB-x\n\n"
IO = "a\tI-x\nb\tI-x\nc\tI-x\n\n"


def test_schemes_of_the_files(put) -> None:
    report = check([put(IOB2 * 3, "1"), put(IO * 3, "2"), put("a\tB-x\n", "3")])
    assert report.scheme == "iob2" and [one.scheme for one in report.files] == ["iob2", "io", "iob2"]
    assert found(report) == [("error", 1, None)] and "found io" in str(report.problems[0])


def test_a_small_file_is_taken_as_the_first_is(put) -> None:
    report = check([put("a\tI-x\nb\tB-x\nc\tO\n\n", "1"), put(IO, "2")])
    assert found(report) == [] and [one.scheme for one in report.files] == ["iob1", "iob1"]


def test_strays_do_not_hide_the_scheme(put) -> None:
    report = check([put(IOB2 * 500 + "a\tO\nb\tI-x\n\n" + "a\tO\nb\t0\n")])
    assert report.scheme == "iob2" and found(report) == [("error", 2002, 3), ("error", 2005, 3)]


def test_a_scheme_that_was_asked_for(put) -> None:
    assert found(check([put(IO)], scheme="io")) == []
    report = check([put(IO)], scheme="bioes")
    assert [problem.line for problem in report.problems] == [1] and "as requested" in str(report.problems[0])
    assert found(check([put("a\tNOUN\n\nb\tVERB\n")], scheme="iob2")) == [
        ("error", 1, 3),
        ("error", 3, 3),
    ]
    with pytest.raises(UsageError):
        check([put(IO)], scheme="bilou")


def test_new_tags(put) -> None:
    report = check([put("a\tN\n", "1"), put("a\tV\nb\tV\nc\tN\n", "2")])
    assert found(report) == [("warning", 1, 3)] and report.files[1].new_tags == {"V": 2}


def test_formats_and_options(put) -> None:
    path = put("a DT O\n", "f.txt")
    assert check([path]).files[0].words == 3
    assert check([path], format="columns", column=2).files[0].tags == {"DT": 1}
    assert check([path], format=get_format("columns", column=None)).files[0].tags == {}
    assert check([put("é\tO\n".encode("latin-1"))], encoding="latin-1").ok
    with pytest.raises(UsageError):
        check([path], format="columns", colum=2)
    with pytest.raises(UsageError, match="a list"):
        check(path)
    assert check([]).to_json()["files"] == []


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
def test_corpora() -> None:
    folder = Path(DATA or "") / "ud-english-ewt"
    paths = [folder / f"en_ewt-ud-{part}.conllu.gz" for part in ("train", "dev", "test")]
    report = check(paths)
    assert report.problems == [] and report.scheme is None
    assert [(one.sentences, one.words, len(one.tags)) for one in report.files] == [
        (12544, 204577, 17),
        (2001, 25147, 17),
        (2077, 25094, 17),
    ]
    known = Counter(word for one in read(paths[0]) for word in one.words)
    test = [word for one in read(paths[2]) for word in one.words]
    assert report.files[2].unknown is not None
    assert report.files[2].unknown.words == sum(word not in known for word in test)
    assert report.files[2].unknown.types == len(set(test) - set(known))


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
def test_corpora_of_names() -> None:
    folder = Path(DATA or "")
    report = check(
        [folder / "wnut17/emerging.test.annotated", folder / "wnut17/submissions/spinningbytes.txt"], format="columns"
    )
    assert report.scheme == "iob2" and report.errors == 34
    assert check([folder / "wikigold/wikigold.conll.txt"]).scheme == "io"
