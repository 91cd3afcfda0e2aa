"""Labelled texts: every format against an independent parser, options by enumeration, faults by their places."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.errors import DataError, ElmanError, UsageError
from elman.text.check_labelled import check_examples
from elman.text.labelled import EXAMPLE_FORMATS, get_example_format, iter_examples, read_examples

DATA = os.environ.get("ELMAN_DATA")
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pairs(path: Path, *arguments: Any, **options: Any) -> list[tuple[str, list[str] | None]]:
    return [(one.text, one.labels) for one in read_examples(path, *arguments, **options)]


def describe(path: Path, *arguments: Any, **options: Any) -> dict[str, Any]:
    """How a file is read, by its first example."""
    with contextlib.closing(iter_examples(path, *arguments, **options)) as examples:
        next(examples, None)
        return examples.how


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


SAME = {  # the same two examples in every format that has labels
    "a.csv": 'label,text\nx,one\ny,"two, ""three"""\n',
    "b.csv": 'x,one\ny,"two, ""three"""\n',
    "c.csv": 'id,Review,n,CLASS\n1,one,5,x\n\n2,"two, ""three""",6,y\n',
    "a.tsv": 'text\tlabel\none\tx\ntwo, "three"\ty\n',
    "b.tsv": 'x\tone\ny\ttwo, "three"\n',
    "a.jsonl": '{"sentence": "one", "n": [], "Label": "x"}\n\n{"Label": ["y"], "sentence": "two, \\"three\\""}\n',
    "a.json": '{"text": "one", "label": "x"}\n{"text": "two, \\"three\\"", "label": "y"}\n',
    "a": 'x one\ny\ttwo, "three" \n',
    "b": '__label__x one\n\n__label__y  two, "three"\n',
    "c.txt": 'y\ttwo, "three"\nx\tone\n',
    "d": '{"text": "one", "label": "x"}\n{"text": "two, \\"three\\"", "label": "y"}',
    "e": 'text,"label"\none,x\n"two, ""three""",y\n',
    "f.csv.gz": "",
}


@pytest.mark.parametrize("name", SAME)
def test_formats_say_the_same_and_how_they_are_read(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, SAME[name])
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(SAME["a.csv"].encode()))
    expected = [("one", ["x"]), ('two, "three"', ["y"])]
    assert sorted(pairs(path)) == expected
    how = describe(path)
    assert json.loads(json.dumps(how)) == how
    assert sorted(pairs(path, **how)) == expected
    assert sorted(pairs(path, **how | {"labelled": False})) == expected


def test_how(tmp_path: Path) -> None:
    table = {"encoding": "utf-8", "several": False, "separator": "|", "labelled": True}
    how = describe(write(tmp_path, "c.csv", SAME["c.csv"]))
    assert how == table | {"format": "csv", "text_column": "Review", "label_column": "CLASS", "header": True}
    how = describe(write(tmp_path, "b.tsv", SAME["b.tsv"]))
    assert how == table | {"format": "tsv", "text_column": 2, "label_column": 1, "header": False}
    # A name that stands twice, or is a number, is described by its place.
    path = write(tmp_path, "d.csv", "2,1,text,x,x\na,b,c,d,e\n")
    how = describe(path, text_column=5, label_column=1, header=True)
    assert (how["text_column"], how["label_column"]) == (5, 1) and pairs(path, **how) == [("e", ["a"])]


TABLE = "id,text,label\n1,a,x\n"
COLUMNS: list[tuple[str, dict[str, Any], Any]] = [
    (TABLE, {}, [("a", ["x"])]),
    (TABLE, {"text_column": "id", "label_column": "label"}, [("1", ["x"])]),
    (TABLE, {"text_column": "id"}, [("1", ["x"])]),
    (TABLE, {"text_column": 2, "label_column": "3"}, [("text", ["label"]), ("a", ["x"])]),
    (TABLE, {"text_column": 1, "label_column": 3, "header": True}, [("1", ["x"])]),
    (TABLE, {"text_column": 1, "label_column": "text"}, [("1", ["a"])]),
    (TABLE, {"header": True}, [("a", ["x"])]),
    (TABLE, {"text_column": 2}, UsageError),
    (TABLE, {"header": False}, UsageError),
    (TABLE, {"text_column": "label"}, UsageError),
    (TABLE, {"text_column": "text", "label_column": "text"}, UsageError),
    (TABLE, {"text_column": "text", "header": False}, UsageError),
    (TABLE, {"text_column": 0}, UsageError),
    (TABLE, {"text_column": "txt"}, r":1: expected a column named 'txt' for the text, found none; did you mean 'text'"),
    (TABLE, {"text_column": 9, "label_column": 1}, r":1: expected the text in column 9, found 3 columns"),
    ("1,a,x\n", {}, UsageError),
    ("a\n", {}, UsageError),
    ("x,a\n", {}, [("a", ["x"])]),
    ("text,label\na,x\n", {"header": False}, [("label", ["text"]), ("x", ["a"])]),
    ("text,x\na,y\n", {}, [("x", ["text"]), ("y", ["a"])]),
    ("x,a\n", {"text_column": 1}, [("x", ["a"])]),
    ("x,a\n", {"label_column": 2}, [("x", ["a"])]),
    ("one,two\nx,a\n", {"header": True}, [("a", ["x"])]),
    ("one,two\nx,a\n", {"text_column": "one"}, [("x", ["a"])]),
    ("text,text,label\na,b,x\n", {"text_column": "text"}, "expected one column named 'text', found 2"),
    # for prediction
    (TABLE, {"labelled": False}, [("a", ["x"])]),
    ("id,text\n1,a\n", {"labelled": False}, [("a", None)]),
    ("text\na\n", {"labelled": False}, [("a", None)]),
    ("a\nb\n", {"labelled": False}, [("a", None), ("b", None)]),
    ("a\nb\n", {"labelled": False, "text_column": 2, "label_column": 1, "header": False}, [("a", None), ("b", None)]),
    ("text\na\n", {"labelled": False, "text_column": "text", "label_column": "y", "header": True}, [("a", None)]),
    ("x,a\n,b\n", {"labelled": False}, [("a", ["x"]), ("b", None)]),
    ("1,a,x\n", {"labelled": False}, UsageError),
    ("1,a,x\n", {"labelled": False, "text_column": 2}, [("a", None)]),
    # several
    ("text,label\na,x| y \nb,\n", {"several": True}, [("a", ["x", "y"]), ("b", [])]),
    ("text,label\na,x;y|z\n", {"several": True, "separator": ";"}, [("a", ["x", "y|z"])]),
    ("text,label\na,x|y\n", {}, [("a", ["x|y"])]),
    ("text,label\na,x||y\n", {"several": True}, ":2:3: expected labels that are not empty"),
    ("text,label\na,x|y|x\n", {"several": True}, ":2:3: expected each label once, found 'x' again"),
]


@pytest.mark.parametrize(("text", "options", "expected"), COLUMNS)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_columns(suffix: str, text: str, options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    path = write(tmp_path, f"f.{suffix}", text.replace(",", "," if suffix == "csv" else "\t"))
    if isinstance(expected, list):
        assert pairs(path, **options) == expected
        assert pairs(path, **describe(path, **options)) == expected
    elif isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            read_examples(path, **options)
    else:
        with pytest.raises(expected):
            read_examples(path, **options)


LABELS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("jsonl", '{"text": "a", "label": 1}', {}, ["1"]),
    ("jsonl", '{"text": "a", "label": 1.50}', {}, ["1.5"]),
    ("jsonl", '{"text": "a", "label": true}', {}, ["true"]),
    ("jsonl", '{"text": "a", "label": ["x"]}', {}, ["x"]),
    ("jsonl", '{"text": "a", "labels": ["x", 2]}', {"several": True}, ["x", "2"]),
    ("jsonl", '{"text": "a", "label": []}', {"several": True}, []),
    ("jsonl", '{"text": "a"}', {"labelled": False}, None),
    ("jsonl", '{"text": "a", "label": null}', {"labelled": False}, None),
    ("jsonl", '{"a": "a", "b": "x", "text": "no"}', {"text_column": "a", "label_column": "b"}, ["x"]),
    ("fasttext", "__label__x __label__y\ta __label__z", {"several": True}, ["x", "y"]),
    ("fasttext", "a", {"several": True}, []),
    ("fasttext", "a", {"labelled": False}, None),
    ("label", "x|y a", {"several": True}, ["x", "y"]),
    ("label", "x|y a", {}, ["x|y"]),
    ("text", " a ", {"labelled": False}, None),
]


@pytest.mark.parametrize(("format", "line", "options", "expected"), LABELS)
def test_labels(format: str, line: str, options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    (example,) = read_examples(write(tmp_path, "f", line), format, **options)
    assert example.labels == expected
    assert example.text == ("a __label__z" if "z" in line else line if format == "text" else "a")
    assert example.source.lines == [line]


FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("csv", "text,label\na,x\nb,x,y\n", {}, "3:5: expected 2 columns, as on line 1, found 3"),
    ("csv", "text,label\na\n", {}, "2: expected 2 columns"),
    ("csv", "text,label\na,\n", {}, "2:3: expected a label, found nothing"),
    ("csv", 'text,label\n"a\nb", \n', {}, "3:4: expected a label, found nothing"),
    ("csv", 'text,label\n"a\nb"c,x\n', {}, "3:3: expected a comma"),
    ("csv", 'text,label\na,"x\ny,z\n', {}, "2:3: expected a quote that closes this one"),
    ("tsv", "text\tlabel\na\tx\ty\n", {}, "2:5: expected 2 columns"),
    ("tsv", "text\tlabel\na\0\tx\n", {}, "2:2: expected text, found a NUL"),
    ("csv", "text,label\n", {}, "1: expected examples, found none"),
    ("label", "\n \n", {}, "1: expected examples, found none"),
    ("label", " a\n", {}, "1:1: expected a label at the start"),
    ("fasttext", "a b\n", {}, "1:1: expected __label__ and a label"),
    ("fasttext", "__label__x __label__ b\n", {"several": True}, "1:21: expected a label after"),
    ("fasttext", "__label__x __label__y b\n", {}, "1:1: expected one label, found 2: 'x', 'y'"),
    ("jsonl", '{"text": "a", "label": ["x", "y"]}', {}, "1:24: expected one label, found 2"),
    ("jsonl", '{"text": "a", "text": "b"}', {}, "1:15: expected each key once, found 'text' again"),
    ("jsonl", '{"text": 3, "label": "x"}', {}, "1:10: expected a string for 'text', found a number"),
    ("jsonl", '{"text": "a", "label": {}}', {}, "1:24: expected a string, a number or a list .* found an object"),
    ("jsonl", '{"text": "a", "label": null}', {}, "1:24: .* found null"),
    ("jsonl", '{"text": "a", "label": [["x"]]}', {}, "1:24: .* found a list"),
    ("jsonl", '{"text": "a", "label": 1e999}', {}, "1:24: .* not finite"),
    ("jsonl", '{"text": "a", "label": ""}', {}, "1:24: expected a label, found nothing"),
    (
        "jsonl",
        '{"text": "a", "label": "x"}\n{"text": "a", "labl": "x"}',
        {},
        "2:1: .* 'label', found none; did you .*labl",
    ),
    ("jsonl", '{"text": "\\u0000", "label": "x"}', {}, "1:10: expected text, found a NUL"),
    ("jsonl", '{"text": "\\ud800", "label": "x"}', {}, "1:10: .* surrogate"),
    ("jsonl", "[\n]", {}, "1:1: expected an object"),
    ("text", "a\nb\0", {"labelled": False}, "2:2: expected text, found a NUL"),
]


@pytest.mark.parametrize(("format", "text", "options", "expected"), FAULTS)
def test_faults_and_their_places(
    format: str, text: str, options: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "f", text)
    with pytest.raises(DataError, match=f"^{path}:{expected}") as raised:
        read_examples(path, format, **options)
    first = check_examples([path], format, **options).to_json()["problems"][0]
    place = ":".join(str(first[part]) for part in ("line", "column") if first[part] is not None)
    assert str(raised.value) == f"{path}:{place}: {first['message']}"


def test_every_line_of_plain_texts_has_its_example(tmp_path: Path) -> None:
    path = write(tmp_path, "f.txt", "\n\n a\tb\n\n")
    assert pairs(path, labelled=False) == [("", None), ("", None), (" a\tb", None), ("", None)]


def test_reading_goes_on_after_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path, "f.csv", 'text,label\na,x\n"b"c,y\nd\n"e,\nf",x\n"g\nh,y\n')
    told: list[DataError] = []
    examples = [(one.text, one.labels, one.line) for one in iter_examples(path, on_problem=told.append)]
    assert examples == [("a", ["x"], 2), ("e,\nf", ["x"], 5), ("h", ["y"], 8)]
    assert [(one.line, one.column) for one in told] == [(3, 4), (4, None), (7, 1)]


def test_usage(tmp_path: Path) -> None:
    path = write(tmp_path, "f", "x a\n")
    for options in ({"format": "cvs"}, {"format": "label", "text_column": 1}, {"format": "text"}):
        with pytest.raises(UsageError):
            iter_examples(path, **options)
    with pytest.raises(UsageError, match="'csv'"):
        get_example_format("csw")
    with pytest.raises(UsageError, match="--text-column"):
        read_examples(write(tmp_path, "g.jsonl", '{"a": "b", "label": "x"}'))
    with pytest.raises(UsageError, match="column number 1"):
        read_examples(path, "jsonl", text_column=1)
    assert read_examples(write(tmp_path, "e", ""), allow_empty=True) == []


def test_examples_stream() -> None:
    """An example is out before the line after it is asked for; a quoted one waits for its end."""
    asked = []

    def lines(text: str) -> Any:
        for number, line in enumerate(text.split("\n"), 1):
            asked.append(number)
            yield number, line

    for name, text, ends in [
        ("csv", 'label,text\nx,"a\nb"\ny,c', [3, 4]),
        ("tsv", "x\ta\ny\tc", [1, 2]),
        ("label", "x a\ny c", [1, 2]),
        ("fasttext", "__label__x a\n__label__y c", [1, 2]),
        ("jsonl", '{"text": "a", "label": 1}\n{"text": "a", "label": 1}', [1, 2]),
    ]:
        asked.clear()
        assert [asked[-1] for _ in get_example_format(name).read(lines(text), "f")] == ends


CELL = st.text('ab",;| \t\né', max_size=6)


@QUICK
@given(rows=st.lists(st.tuples(CELL, st.sampled_from(["x", "y"]), CELL), min_size=1, max_size=6))
def test_csv_against_the_csv_module(rows: list[tuple[str, str, str]], tmp_path: Path) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    path = write(tmp_path, "f.csv", text.getvalue())
    examples = read_examples(path, text_column=3, label_column=2)
    assert [(one.text, one.labels) for one in examples] == [(cells[2], [cells[1]]) for cells in rows]
    assert "".join(one.source.text() for one in examples) == text.getvalue()
    line = 1
    for one, cells in zip(examples, rows, strict=True):
        assert one.line == line
        line += 1 + "".join(cells).count("\n")


@QUICK
@given(rows=st.lists(st.tuples(st.text("ab\" |,;'é", max_size=6), st.sampled_from("xy")), min_size=1, max_size=6))
def test_written_examples_are_read(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    """Also with empty texts."""
    expected = [(text, [label]) for text, label in rows]
    bare = [(text.strip(), labels) for text, labels in expected]
    path = write(tmp_path, "f.tsv", "".join(f"{label}\t{text}\n" for text, label in rows))
    assert pairs(path) == expected
    path = write(tmp_path, "f.jsonl", "".join(json.dumps({"text": text, "tag": label}) + "\n" for text, label in rows))
    assert pairs(path) == expected
    assert pairs(write(tmp_path, "f", "".join(f"{label} {text}\n" for text, label in rows)), "label") == bare
    lines = "".join(f"__label__{label} {text}\n" for text, label in rows)
    assert pairs(write(tmp_path, "f", lines)) == bare


def test_check(tmp_path: Path) -> None:
    train = write(tmp_path, "train", "x good day\ny bad\nx good day\nx bad\nx\n")
    test = write(tmp_path, "test", "z good day é\ny good day\nbroken\n\0\nz bad\n")
    report = check_examples([train, test]).to_json()
    json.dumps(report, allow_nan=False)
    first, second = report["files"]
    assert first["examples"] == 5 and first["empty_texts"] == {"count": 1, "lines": [5]}
    assert first["label_counts"] == {"x": {"count": 4, "share": 0.8}, "y": {"count": 1, "share": 0.2}}
    assert first["lengths"] == {"median": 1, "p95": 2, "maximum": 2, "longest_line": 1}
    assert second["new_labels"] == {"z": 2, "broken": 1, "\ufffd": 1} and second["new_characters"] == {"é": 1}
    assert report["duplicates"] == [
        {"file": str(train), "earlier": str(train), "count": 2, "places": [[3, 1], [4, 2]], "contradictory": 1},
        {"file": str(test), "earlier": str(train), "count": 2, "places": [[2, 1], [5, 2]], "contradictory": 2},
    ]
    assert report["errors"] == 1 and not report["ok"]
    places = [(one["severity"], Path(one["file"]).name, one["line"]) for one in report["problems"]]
    assert places == [
        ("warning", "train", 4),
        ("warning", "train", 5),
        *[("warning", "test", line) for line in (1, 2, 3, 3)],
        ("warning", "test", 4),
        ("error", "test", 4),
        ("warning", "test", 5),
    ]


LITTLE = {
    "csv": 'id,text,label\n1,"a, ""b""\nc",x\n2,é,y\n',
    "tsv": "text\tlabel\na b\tx\né\ty|z\n",
    "jsonl": '{"text": "a", "label": ["x"]}\n{"text": "é", "n": {}, "label": 2}\n',
    "label": "x a b\ny\té\nx\n",
    "fasttext": "__label__x a b\n__label__y é\n",
    "text": "a\n\nb\n",
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"several": True},
    {"labelled": False},
    {"several": True, "labelled": False},
    {"text_column": 2, "label_column": 1},
    {"text_column": "text", "label_column": "label"},
    {"header": True},
]


def survives(path: Path, format: str | None, data: bytes) -> None:
    path.write_bytes(data)
    for options in OPTIONS:
        try:
            examples = read_examples(path, format, **options)
        except ElmanError as error:
            assert len(str(error)) < 700
            assert not isinstance(error, DataError) or (error.file == str(path) and (error.line or 0) >= 1)
        else:
            for one in examples:
                assert "\0" not in one.text and all(one.labels or ())
                assert one.labels is not None or not options.get("labelled", True)
                assert len(one.labels or ()) <= 1 or "several" in options
                one.text.encode()
            assert read_examples(path, **describe(path, format, **options)) == examples
        with contextlib.suppress(UsageError):
            json.dumps(check_examples([path, path], format, **options).to_json(), allow_nan=False)


def test_every_format_is_fuzzed() -> None:
    assert set(LITTLE) == set(EXAMPLE_FORMATS)


@pytest.mark.parametrize("format", [*EXAMPLE_FORMATS, None])
@QUICK
@given(data=st.data())
def test_corrupted_files(format: str | None, tmp_path: Path, data: st.DataObject) -> None:
    bent = bytearray(LITTLE[format or data.draw(st.sampled_from(sorted(LITTLE)))].encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(bent)))
        strange = [b"\n", b"\t", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b",", b"{", b"[", b"|", b"__label__"]
        bent[at : at + data.draw(st.integers(0, 4))] = data.draw(st.sampled_from(strange) | st.binary(max_size=3))
    survives(tmp_path / "f", format, bytes(bent))


@pytest.mark.parametrize("format", [*EXAMPLE_FORMATS, None])
@QUICK
@given(data=st.binary(max_size=60) | st.text('ax,"|\t \n\r{}[]:1_\ufeff\u2028é', max_size=60).map(str.encode))
def test_random_bytes(format: str | None, tmp_path: Path, data: bytes) -> None:
    survives(tmp_path / "f", format, data)


@pytest.mark.parametrize("format", EXAMPLE_FORMATS)
@pytest.mark.parametrize("unit", [b"\n", b"\t", b" ", b'"', b'""\n', b'x,"\n', b"a,", b"[", b"a|", b"__label__a "])
def test_much_of_one_thing(format: str, unit: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(unit * (100_000 // len(unit)))
    try:
        check_examples([path], format, labelled=format != "text", several=format not in ("text", "jsonl"))
    except UsageError as error:
        assert len(str(error)) < 700


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
def test_real_corpora() -> None:
    """Against cutting each line at its first blank; the sizes are those the corpora are known by."""
    for name, encoding, size, empty in [
        ("cr/custrev.all", "utf-8", 3775, 4),
        ("mr/rt-polarity.all.gz", "latin-1", 10662, 0),
        ("sst/stsa.fine.train", "utf-8", 8544, 0),
    ]:
        path = Path(DATA or "") / name
        raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
        expected = [line.rstrip("\r").partition(" ") for line in raw.decode(encoding).rstrip("\n").split("\n")]
        found = read_examples(path, encoding=encoding)
        assert [(one.labels, one.text) for one in found] == [([a], b.strip(" \t")) for a, _, b in expected]
        assert (len(found), sum(not one.text for one in found)) == (size, empty)
