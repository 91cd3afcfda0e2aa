"""Pairs: every format says the same, columns by enumeration, several targets, faults by their places; their check."""

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

from elman.cli.tasks.seq2seq.check import print_report
from elman.cli.tasks.seq2seq.reading import COLUMNS as OPTIONS_OF_COLUMNS
from elman.cli.tasks.seq2seq.reading import how_to_read, pair_options
from elman.errors import DataError, ElmanError, UsageError
from elman.text.check_pairs import ODD_LENGTH, ODD_RATIO, PLACES, check_pairs
from elman.text.pairs import PAIR_FORMATS, get_pair_format, iter_pairs, read_pairs
from elman.text.skipping import Skipped
from elman.text.tokenizing import get_tokenizer

DATA = os.environ.get("ELMAN_DATA")
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(path: Any, *arguments: Any, **options: Any) -> list[Any]:
    """(source, targets) of each pair, and the features where there are some."""
    read = read_pairs(path, *arguments, **options)
    return [(one.source, one.targets, *([one.features] if one.features else [])) for one in read]


def describe(path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    """How a file is read, by its first pair."""
    with contextlib.closing(iter_pairs(path, *arguments, **options)) as pairs:
        next(pairs, None)
        return pairs.how


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def write_two(folder: Path, name: str, sources: str, targets: str) -> str:
    return f"{write(folder, f'{name}.x', sources)}::{write(folder, f'{name}.y', targets)}"


SAME = {  # the same two pairs in every format that has targets
    "a.tsv": 'be\twas\n\n say "so"\tsaid\n',
    "b.tsv": 'form\tid\tlemma\nwas\t1\tbe\nsaid\t2\t say "so"\n',
    "c.tsv.gz": "",
    "d.txt": 'be\twas\n say "so"\tsaid',
    "a.csv": 'be,was\n" say ""so""",said\n',
    "b.csv": 'Source,Target\nbe,was\n" say ""so""",said\n',
    "a.jsonl": '{"source": "be", "target": "was"}\n\n{"target": ["said"], "source": " say \\"so\\""}\n',
    "b.json": '{"form": "was", "n": {}, "Word": "be"}\n{"form": "said", "Word": " say \\"so\\""}\n',
    "two": "",
    "scan": 'IN: be OUT: was\n\nIN:  say "so" OUT: said\n',
}
EXPECTED = [("be", ["was"]), (' say "so"', ["said"])]


@pytest.mark.parametrize("name", SAME)
def test_formats_say_the_same_and_how_they_are_read(name: str, tmp_path: Path) -> None:
    path: Any = write(tmp_path, name, SAME[name])
    options = {"format": "scan"} if name == "scan" else {}
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(SAME["a.tsv"].encode()))
    elif name == "two":
        packed = tmp_path / "b.gz"
        packed.write_bytes(gzip.compress(b"was\r\nsaid"))
        path = f"{write(tmp_path, 'a', chr(10).join(source for source, _ in EXPECTED))}::{packed}"
    assert plain(path, **options) == EXPECTED
    how = describe(path, **options)
    assert json.loads(json.dumps(how)) == how
    for more in ({}, {"several": True}, {"answered": False}, {"several": True, "answered": False}):
        assert plain(path, **how | more) == EXPECTED
    assert {how["format"]} <= {*PAIR_FORMATS}


def test_how(tmp_path: Path) -> None:
    rest = {"encoding": "utf-8", "several": False, "separator": "|", "features_separator": ";", "answered": True}
    how = describe(write(tmp_path, "b.tsv", SAME["b.tsv"]))
    columns = {"source_column": "lemma", "target_column": "form", "features_column": None, "header": True}
    assert how == rest | columns | {"format": "tsv"}
    how = describe(write(tmp_path, "a.tsv", "a\tV;X\tb\n"), features_column=2)
    columns = {"source_column": 1, "target_column": 3, "features_column": 2, "header": False}
    assert how == rest | columns | {"format": "tsv"}
    # No column is chosen, and none follows from the file: every further cell is a target.
    how = describe(write(tmp_path, "a.tsv", "a\tb\na\tc\td\n"), several=True)
    columns = dict.fromkeys(("source_column", "target_column", "features_column"))
    assert how == rest | columns | {"format": "tsv", "header": False, "several": True}
    table = iter_pairs(write(tmp_path, "b.csv", '"source",target\na,b\n'))
    assert next(table).block.lines == ["a,b"] and table.header_lines == ['"source",target']


TABLE = "lemma,msd,form\na,V; X;;,b\n"
COLUMNS: list[tuple[str, dict[str, Any], Any]] = [
    (TABLE, {}, [("a", ["b"], ("V", "X"))]),
    (TABLE, {"features_separator": ":"}, [("a", ["b"], ("V; X;;",))]),
    (TABLE, {"target_column": "msd"}, [("a", ["V; X;;"])]),
    (TABLE, {"source_column": "form", "target_column": "lemma"}, [("b", ["a"], ("V", "X"))]),
    (TABLE, {"source_column": 1, "target_column": "3"}, [("lemma", ["form"]), ("a", ["b"])]),
    (TABLE, {"source_column": 1, "target_column": "3", "header": True}, [("a", ["b"], ("V", "X"))]),
    (TABLE, {"features_column": 2}, [("lemma", ["form"], ("msd",)), ("a", ["b"], ("V", "X"))]),
    (TABLE, {"source_column": 3, "features_column": 2}, [("form", ["lemma"], ("msd",)), ("b", ["a"], ("V", "X"))]),
    (TABLE, {"header": False}, UsageError),
    (TABLE, {"source_column": 1}, UsageError),
    (TABLE, {"source_column": "lemma", "target_column": "lemma"}, UsageError),
    (TABLE, {"source_column": "lemma", "target_column": 1}, UsageError),
    (TABLE, {"source_column": "lemma", "header": False}, UsageError),
    (TABLE, {"source_column": 0}, UsageError),
    (TABLE, {"features_separator": ""}, UsageError),
    (TABLE, {"source_column": "lema"}, r":1: expected a column named 'lema' for the source, found none; did you mean"),
    (TABLE, {"target_column": 9, "source_column": 1}, r":1: expected the target in column 9, found 3 columns"),
    ("a,b\n", {}, [("a", ["b"])]),
    ("a,b\n", {"source_column": 2}, [("b", ["a"])]),
    ("a,b\n", {"target_column": 1}, [("b", ["a"])]),
    ("a,b\n,\n c , d\n", {}, [("a", ["b"]), ("", [""]), (" c ", [" d"])]),
    ("a,b,c\n", {}, UsageError),
    ("a\n", {}, UsageError),
    ("a,b,c\nd,e,\n", {"features_column": 3}, [("a", ["b"], ("c",)), ("d", ["e"])]),
    ("a,b,c,d\n", {"features_column": 3}, UsageError),
    ("a,b,c,d\n", {"source_column": 1, "target_column": 4}, [("a", ["d"])]),
    ("x,y\na,b\n", {"header": True}, [("a", ["b"])]),
    ("x,word\na,b\n", {"header": True}, [("b", ["a"])]),
    ("a,b\nc\n", {}, ":2: expected 2 columns, as on line 1, found 1; add the missing ones"),
    ("a,b\nc,d,e\n", {}, ":2:5: expected 2 columns, as on line 1, found 3"),
    # for prediction
    (TABLE, {"answered": False}, [("a", ["b"], ("V", "X"))]),
    ("a\nb\n", {"answered": False}, [("a", None), ("b", None)]),
    ("word\na\n", {"answered": False}, [("a", None)]),
    ("a,V\n", {"answered": False, "features_column": 2}, [("a", None, ("V",))]),
    ("a,V\n", {"answered": False, "features_column": 2, "target_column": 3}, [("a", None, ("V",))]),
    ("a,b\nc,\n", {"answered": False}, [("a", ["b"]), ("c", None)]),
    ("a,b\n", {"answered": False, "source_column": 1}, [("a", None)]),
    ("a,b,c\n", {"answered": False}, UsageError),
    ("a,V\n", {"answered": False, "features_column": 3}, ":1: expected the features in column 3, found 2 columns"),
    # several
    ("a,b| c\n", {"several": True}, [("a", ["b", " c"])]),
    ("a,b|c\n", {}, [("a", ["b|c"])]),
    ("a,b;c|d\n", {"several": True, "separator": ";"}, [("a", ["b", "c|d"])]),
    ("a,b|c|b\n", {"several": True}, [("a", ["b", "c"])]),
    ("a,b\nc,d\na,e|b\nc,d\n", {"several": True}, [("a", ["b", "e"]), ("c", ["d"])]),
    ("a,b\na,c\na,b\n", {}, [("a", ["b"]), ("a", ["c"]), ("a", ["b"])]),
    ("a,b\na,c\n", {"several": True, "answered": False}, [("a", ["b"]), ("a", ["c"])]),
    (
        "a,b,V\na,c,N\na,d,V\n",
        {"several": True, "features_column": 3},
        [("a", ["b", "d"], ("V",)), ("a", ["c"], ("N",))],
    ),
    ("a,\n", {"several": True}, [("a", [""])]),
    ("a,b||c\n", {"several": True}, ":1:3: expected targets that are not empty where there are several"),
    ("a,b,c\nd,e,f\n", {"several": True}, UsageError),
    ("a,b\n", {"several": True, "separator": ""}, UsageError),
]


@pytest.mark.parametrize(("text", "options", "expected"), COLUMNS)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_columns(suffix: str, text: str, options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    path = write(tmp_path, f"f.{suffix}", text.replace(",", "," if suffix == "csv" else "\t"))
    if isinstance(expected, list):
        assert plain(path, **options) == expected
        assert plain(path, **describe(path, **options)) == expected
    elif isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            read_pairs(path, **options)
    else:
        with pytest.raises(expected):
            read_pairs(path, **options)


CELLS: list[tuple[str, dict[str, Any], Any]] = [  # of tsv, with several targets
    ("A\tx\nB\ty\tz\tx\nA\tw\tx\n", {}, [("A", ["x", "w"]), ("B", ["y", "z", "x"])]),
    ("B\ty\tz\nA\tx\n", {}, [("B", ["y", "z"]), ("A", ["x"])]),
    ("A\tx|y\tz\nB\tw\n", {}, [("A", ["x", "y", "z"]), ("B", ["w"])]),
    ("A\tx\ty\nB\tz\tw\n", {}, "1: expected a source and its targets in each row, found 3 cells in every one"),
    ("A\tx\ty\n", {}, "1: expected a source and its targets in each row, found 3 cells in every one"),
    ("A\tx\ty\nB\tz\tw\n", {"source_column": 1, "target_column": 2}, [("A", ["x"]), ("B", ["z"])]),
    ("A\tx\ty\nB\tz\tw\n", {"features_column": 3}, [("A", ["x"], ("y",)), ("B", ["z"], ("w",))]),
    ("A\tx\nB\ty\tz\n", {"source_column": 1, "target_column": 2}, [("A", ["x"]), ("B", ["y", "z"])]),
    ("word\tform\nA\tx\ty\nB\tz\tw\n", {}, [("A", ["x", "y"]), ("B", ["z", "w"])]),
    ("form\tword\nx\tA\n", {}, [("A", ["x"])]),
    ("form\tword\nx\tA\ty\n", {}, "2:5: expected 2 columns, as on line 1, found 3"),
    ("A\tx\nB\n", {}, "2: expected 2 columns, as on line 1, found 1"),
    ("A\tx\nB\ty\t\n", {}, "2:3: expected targets that are not empty"),
]


@pytest.mark.parametrize(("text", "options", "expected"), CELLS)
def test_further_cells_are_further_targets(text: str, options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "f.tsv", text)
    if isinstance(expected, list):
        assert plain(path, several=True, **options) == expected
        assert plain(path, **describe(path, several=True, **options)) == expected
        apart = read_pairs(path, several=True, answered=False, **options)
        assert len(apart) == text.count("\n") - text.count("form")
    else:
        with pytest.raises(ElmanError, match=f"^{path}:{expected}"):
            read_pairs(path, several=True, **options)


VX = ("V", "X")
JSON: list[tuple[str, dict[str, Any], Any]] = [
    ('{"source": "a", "target": ["b"]}', {}, ("a", ["b"])),
    ('{"source": "a", "target": ["b", "c", "b"]}', {"several": True}, ("a", ["b", "c"])),
    ('{"source": "a", "target": "b|c"}', {"several": True}, ("a", ["b|c"])),
    ('{"x": "a", "y": "b", "source": 1}', {"source_column": "x", "target_column": "y"}, ("a", ["b"])),
    ('{"src": "a", "tgt": "b", "tags": "V; ;X"}', {}, ("a", ["b"], ("V", "X"))),
    (
        '{"src": "a", "tgt": "b", "f": "V,X"}',
        {"features_column": "f", "features_separator": ","},
        ("a", ["b"], ("V", "X")),
    ),
    ('{"src": "a", "tgt": "b", "tags": ["V", "a b;c"]}', {}, ("a", ["b"], ("V", "a b;c"))),
    ('{"src": "a", "tgt": "b", "tags": null}', {}, ("a", ["b"])),
    ('{"src": "a", "tgt": ""}', {}, ("a", [""])),
    ('{"src": "a"}', {"answered": False}, ("a", None)),
    ('{"src": "a", "tgt": null}', {"answered": False}, ("a", None)),
    ('{"src": "a", "tgt": []}', {"answered": False, "several": True}, ("a", None)),
    ('{"src": "a", "tgt": ["b", "c"]}', {}, "1:21: expected one target, found 2: 'b', 'c'"),
    ('{"src": "a", "tgt": ["b", ""]}', {"several": True}, "1:21: expected targets that are not empty"),
    ('{"src": "a", "tgt": []}', {}, "1:21: expected a target, found none"),
    ('{"src": "a", "tgt": 3}', {}, "1:21: expected a string or a list of strings for 'tgt', found a number"),
    ('{"src": null, "tgt": "b"}', {}, "1:9: expected a string for 'src', found null"),
    (
        '{"src": "a", "tgt": "b", "tags": [1]}',
        {},
        "1:34: expected a string or a list of strings for 'tags', found a num",
    ),
    ('{"src": "a", "tgt": "\\u0000"}', {}, "1:21: expected text, found a NUL"),
    ('{"src": "\\ud800", "tgt": "b"}', {}, "1:9: .* surrogate"),
    ('{"src": "a", "tgt": "b", "tags": "\\u0000"}', {}, "1:34: expected text, found a NUL"),
    ('{"src": "a", "tgt": "b"}\n{"src": "a"}', {}, "2:1: expected the key 'tgt', found none"),
    ('{"src": "a", "x": "b"}', {}, "1: expected a key for the target, found the keys 'src', 'x'"),
    ('{"src": "a", "tgt": "b"}', {"features_column": "f"}, "1:1: expected the key 'f', found none"),
]


@pytest.mark.parametrize(("text", "options", "expected"), JSON)
def test_json(text: str, options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "f.jsonl", text)
    if isinstance(expected, str):
        with pytest.raises(ElmanError, match=f"^{path}:{expected}"):
            read_pairs(path, **options)
    else:
        assert plain(path, **options) == [expected]
        assert plain(path, **describe(path, **options)) == [expected]


def test_parallel_files(tmp_path: Path) -> None:
    one, other = write(tmp_path, "a.xy", "a\n\nc\td \n"), write(tmp_path, "b.tsv", "A\nB\n\n")
    pairs = read_pairs(f"{one}::{other}")
    assert [(p.source, p.targets, p.file, p.line) for p in pairs] == [
        ("a", ["A"], str(one), 1),
        ("", ["B"], str(one), 2),
        ("c\td ", [""], str(one), 3),
    ]
    assert (
        plain(one, "parallel", answered=False)
        == plain(one, answered=False)
        == [("a", None), ("", None), ("c\td ", None)]
    )
    for left, right, counts in ((one, write(tmp_path, "c", "A\n"), (1, 3)), (write(tmp_path, "d", ""), other, (3, 0))):
        told: list[DataError] = []
        with pytest.raises(DataError) as raised:
            read_pairs(f"{left}::{right}")
        for part in (
            f"{left}:{min(counts) + 1}: expected {counts[0]} lines, as many as in {right}, found {counts[1]}",
        ):
            assert part in str(raised.value)
        with pytest.raises(DataError, match="as many as in"):
            read_pairs(f"{left}::{right}", skip_broken=True)
        found = list(iter_pairs(f"{left}::{right}", on_problem=told.append))
        assert len(found) == min(counts) and len(told) == 1
    with pytest.raises(DataError, match=f"{other}x: expected a file"):
        read_pairs(f"{one}::{other}x")
    # A fault is located in the file that has it.
    broken = write(tmp_path, "e", "A\nB\0\nC\n")
    with pytest.raises(DataError, match=f"{broken}:2:2: .*NUL"):
        read_pairs(f"{one}::{broken}")
    skipped = Skipped()
    assert plain(f"{one}::{broken}", skip_broken=skipped) == [("a", ["A"]), ("c\td ", ["C"])]
    assert [(problem.file, problem.line) for problem in skipped.problems] == [(str(broken), 2)]
    report = check_pairs([f"{one}::{broken}", f"{one}::{other}"])
    assert report.errors == 1 and [p.file for p in report.problems if p.severity == "error"] == [str(broken)]
    for path in ("a", "a::", "::b", "a::b::c", "-::-"):
        with pytest.raises(UsageError, match="SOURCE_FILE::TARGET_FILE"):
            iter_pairs(path, "parallel")


FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("csv", 'a,b\n"c\nd",e,f\n', {}, "3:6: expected 2 columns, as on line 1, found 3"),
    ("csv", 'a,b\n"c\nd"e,f\n', {}, "3:3: expected a comma"),
    ("csv", 'a,b\nc,"d\ne,f\n', {}, "2:3: expected a quote that closes this one"),
    ("csv", 'a,b\n"c\nd",e||f\n', {"several": True}, "3:4: expected targets that are not empty"),
    ("tsv", "a\tb\nc\0\td\n", {}, "2:2: expected text, found a NUL"),
    ("tsv", "\n\n", {}, "1: expected pairs, found none"),
    ("scan", "IN: a OUT: b\nIN a OUT: b\n", {}, "2:1: expected `IN: words OUT: ACTIONS`"),
    ("scan", "IN: a OUT: b OUT: c\n", {}, "1:5: expected one OUT: between spaces, found 2"),
    ("scan", "IN: a\n", {}, "1:5: expected one OUT: between spaces, found 0"),
    ("jsonl", "[\n]", {}, "1:1: expected an object"),
    ("text", "a\nb\0", {"answered": False}, "2:2: expected text, found a NUL"),
]


@pytest.mark.parametrize(("format", "text", "options", "expected"), FAULTS)
def test_faults_and_their_places(
    format: str, text: str, options: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "f", text)
    with pytest.raises(DataError, match=f"^{path}:{expected}") as raised:
        read_pairs(path, format, **options)
    errors = [one for one in check_pairs([path], format, **options).problems if one.severity == "error"]
    assert str(errors[0]) == str(raised.value)


BROKEN = {
    "csv": ('a,b\n"c\nd",e\nf,g\n', "x,y,z\n", 2, 1),
    "tsv": ("a\tb\nc\td\ne\tf\n", "x\n", 2, 1),
    "jsonl": ('{"src": "a", "tgt": "b"}\n{"src": "c", "tgt": "d"}\n', '{"src": "x"}\n', 2, 1),
    "scan": ("IN: a OUT: b\nIN: c OUT: d\n", "IN: x\n", 2, 1),
    "text": ("a\nb\n", "x\ry\n", 2, 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pair_is_as_if_it_were_not_there(name: str, tmp_path: Path) -> None:
    whole, line, at, after = BROKEN[name]
    lines = whole.splitlines(keepends=True)
    clean, file = write(tmp_path, "a", whole), write(tmp_path, "b", "".join([*lines[:after], line, *lines[after:]]))
    answered = name != "text"
    skipped = Skipped()
    assert plain(file, name, answered=answered, skip_broken=skipped) == plain(clean, name, answered=answered)
    assert [(one.file, one.line) for one in skipped.problems] == [(str(file), at)]
    report = check_pairs([file], name, answered=answered, skip_broken=True)
    assert report.ok and "left out" in str(report.problems[0]) and report.to_json()["skipped"] == 1
    with pytest.raises(UsageError, match="expected one of them"):
        iter_pairs(file, name, answered=answered, skip_broken=True, on_problem=print)


def test_every_format_is_skipped_in() -> None:
    assert {*BROKEN, "parallel"} == {*PAIR_FORMATS}  # of two files, see above


def test_scan_for_prediction_and_plain_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "f", "IN: a b\nIN: c OUT: d\n")
    assert plain(path, "scan", answered=False) == [("a b", None), ("c", ["d"])]
    assert plain(write(tmp_path, "g.txt", "\n a\tb\n\n"), answered=False) == [("", None), (" a\tb", None), ("", None)]


def test_usage(tmp_path: Path) -> None:
    path = write(tmp_path, "f", "a b\n")
    for options in (
        {"format": "tvs"},
        {"format": "text"},
        {"format": "scan", "source_column": 1},
        {"format": "jsonl", "source_column": 1},
        {"format": "jsonl", "separator": ";"},
        {"format": "jsonl", "source_column": "a", "target_column": "a"},
    ):
        with pytest.raises(UsageError):
            iter_pairs(path, **options)
    with pytest.raises(UsageError, match=r"--format \(tsv, csv, jsonl"):
        read_pairs(path)
    assert read_pairs(write(tmp_path, "e", ""), allow_empty=True) == []
    with pytest.raises(DataError, match="e:1: expected pairs, found none"):
        read_pairs(tmp_path / "e")


def test_pairs_stream() -> None:
    """A pair is out before the line after it is asked for; a quoted one waits for its end."""
    asked = []

    def lines(text: str) -> Any:
        for number, line in enumerate(text.split("\n"), 1):
            asked.append(number)
            yield number, line

    for name, text, ends in [
        ("csv", 'x,"a\nb"\ny,c', [2, 3]),
        ("tsv", "x\ta\ny\tc", [1, 2]),
        ("scan", "IN: a OUT: b\nIN: c OUT: d", [1, 2]),
        ("jsonl", '{"src": "a", "tgt": "b"}\n{"src": "a", "tgt": "b"}', [1, 2]),
        ("text", "a\nb", [1, 2]),
    ]:
        asked.clear()
        options = {"several": True, "answered": False}
        assert [asked[-1] for _ in get_pair_format(name, **options).read(lines(text), "f")] == ends


CELL = st.text('ab",;| \t\né', max_size=6)


@QUICK
@given(rows=st.lists(st.tuples(CELL, st.sampled_from(["V;X", ""]), CELL), min_size=1, max_size=6))
def test_csv_against_the_csv_module(rows: list[tuple[str, str, str]], tmp_path: Path) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    path = write(tmp_path, "f.csv", text.getvalue())
    read = read_pairs(path, features_column=2)
    expected = [(source, [target], ("V", "X") if features else ()) for source, features, target in rows]
    assert [(one.source, one.targets, one.features) for one in read] == expected
    assert "".join(one.block.text() for one in read) == text.getvalue()


TEXT = st.text("ab\" ,;'é", max_size=4)


@QUICK
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_one_pair_for_each_source(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    """In every format: the sources in the order in which they come, and their targets without repetitions."""
    expected: dict[str, dict[str, None]] = {}
    for source, target in rows:
        expected.setdefault(source, {})[target] = None
    merged = [(source, list(targets)) for source, targets in expected.items()]
    table = write(tmp_path, "f.tsv", "".join(f"{source}\t{target}\n" for source, target in rows))
    objects = "".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in rows)
    sources, targets = ("".join(f"{row[side]}\n" for row in rows) for side in (0, 1))
    two = write_two(tmp_path, "a", sources, targets)
    for path in (table, write(tmp_path, "f.jsonl", objects), two):
        assert plain(path, several=True) == merged
        assert plain(path) == [(source, [target]) for source, target in rows]
        assert [one.source for one in read_pairs(path, several=True, answered=False)] == [source for source, _ in rows]


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "b" * ODD_LENGTH * ODD_RATIO
    train = write(tmp_path, "train.tsv", f"ab\tba\tV\nab\tba\tV\nab\tbb\tV\nab\taa\tN\n\tb\tN\nb\t\tN\na\t{long}\tN\n")
    dev = write(tmp_path, "dev.tsv", 'ab\tba\tV;X\nbb\tbbb\tN\nab\tbc\tV\nx"\taxx"\tN\nbroken\nxx\tb\tN\n')
    report = check_pairs([train, dev], features_column=3)
    plain = report.to_json()
    json.dumps(plain, allow_nan=False)
    first, second = plain["files"]
    counts = ("pairs", "sources", "several_targets", "unanswered", "source_symbols", "target_symbols", "feature_count")
    assert [first[key] for key in counts] == [7, 5, 1, 0, 2, 2, 2]
    assert [second[key] for key in counts] == [5, 5, 0, 0, 4, 5, 3]
    assert first["source_lengths"] == {"median": 2, "p95": 2, "maximum": 2, "longest_line": 1}
    assert first["target_lengths"] == {"median": 2, "p95": len(long), "maximum": len(long), "longest_line": 7}
    assert first["empty_sources"] == {"count": 1, "lines": [5]} and first["empty_targets"] == {"count": 1, "lines": [6]}
    assert first["odd_lengths"] == {"usual_ratio": 1.0, "count": 1, "lines": [7]}
    assert second["new_source_symbols"] == {"x": 3, '"': 1} and second["new_features"] == {"X": 1}
    assert second["new_target_symbols"] == {"x": 2, '"': 1, "c": 1}
    assert plain["duplicates"] == [
        {"file": str(train), "earlier": str(train), "sources": 2, "pairs": 1, "places": [[2, 1], [3, 1]]},
        {"file": str(dev), "earlier": str(train), "sources": 1, "pairs": 0, "places": [[3, 1]]},
    ]
    places = [(Path(one.file).name, one.line, one.column, one.severity) for one in report.problems]
    assert places == [
        ("train.tsv", 3, None, "warning"),  # another target than line 1
        ("train.tsv", 5, None, "warning"),  # no source
        ("train.tsv", 6, None, "warning"),  # no target
        ("train.tsv", 7, None, "warning"),  # odd lengths
        ("dev.tsv", 1, None, "warning"),  # the feature X
        ("dev.tsv", 3, None, "warning"),  # a source of train
        ("dev.tsv", 3, 5, "warning"),  # the target symbol c
        ("dev.tsv", 4, 1, "warning"),  # the source symbol x
        ("dev.tsv", 5, None, "error"),
    ]
    assert "found another one (1 such sources" in str(report.problems[0]) and "line 1" in str(report.problems[0])
    print_report(report)
    shown = capsys.readouterr().out
    assert "train.tsv" in shown and "source symbols of dev.tsv that the first file does not have: 'x'" in shown
    # With several right targets another one is no contradiction, and the counts stay.
    allowed = check_pairs([train], features_column=3, several=True)
    assert allowed.files[0]["several_targets"] == 1 and not any("same source" in str(one) for one in allowed.problems)


def test_check_says_each_thing_a_few_times(tmp_path: Path) -> None:
    rows = "".join(f"a\t{number}\n" for number in range(99)) + "a\t1\n"
    report = check_pairs([write(tmp_path, "f.tsv", rows)])
    assert len(report.problems) == PLACES and report.problems[0].line == 2
    assert report.files[0]["sources"] == report.files[0]["several_targets"] == 1
    assert (report.duplicates[0]["sources"], report.duplicates[0]["pairs"]) == (99, 1)


def test_check_of_short_and_of_empty_sources(tmp_path: Path) -> None:
    """A ratio of short texts says little; empty sources are no duplicates, features alone are a source."""
    short = ODD_LENGTH - 1
    rows = [("a", "a"), ("b", "b"), ("c", "c"), ("d", "d" * short), ("e", "e" * (short + 1)), ("f" * (short + 1), "f")]
    report = check_pairs([write(tmp_path, "f.tsv", "".join(f"{one}\t{other}\n" for one, other in rows))])
    assert report.files[0]["odd_lengths"] == {"usual_ratio": 1.0, "count": 2, "lines": [5, 6]}
    path = write(tmp_path, "g.tsv", "\ta\tV\n\ta\tV\n\ta\t\n\ta\t\n")
    (row,) = check_pairs([path], features_column=3).duplicates
    assert (row["sources"], row["places"]) == (1, [[2, 1]])


def test_check_of_parallel_files_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = get_tokenizer("words")
    train = write_two(tmp_path, "a", "one two\nsevens\n", "uno due\nsettes\n")
    dev = write_two(tmp_path, "b", "two sevens seven\n", "due settes sette\n")
    report = check_pairs([train, dev], source_tokenizer=words, target_tokenizer=words)
    assert [(Path(one.file).name, one.line, one.column) for one in report.problems] == [("b.x", 1, 12), ("b.y", 1, 12)]
    assert "a.x, found 'seven'" in str(report.problems[0]) and "a.y, found 'sette'" in str(report.problems[1])
    assert report.files[0]["source_lengths"]["maximum"] == 2
    print_report(report)
    assert "b.x::b.y" in capsys.readouterr().out
    # A file without targets for prediction, next to one that has them.
    report = check_pairs([train, str(tmp_path / "b.x")], answered=False)
    assert report.files[1]["unanswered"] == 1 and report.files[1]["target_lengths"] is None
    print_report(report)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_the_column_of_a_new_symbol(suffix: str, tmp_path: Path) -> None:
    """Of a target that is spelled like its source; JSON and quotes give a column only where there is no doubt."""
    rows = {"csv": "aa,bb\n", "tsv": "aa\tbb\n", "jsonl": '{"src": "aa", "tgt": "bb"}\n'}
    same = {"csv": "ax,ax\n", "tsv": "ax\tax\n", "jsonl": '{"src": "ax", "tgt": "ax"}\n'}
    quoted = {"csv": '"ax",axb\n', "tsv": '"ax"\taxb\n', "jsonl": '{"src": "\\u0061x", "tgt": "axb"}\n'}
    clear = {"csv": "aa,bx\n", "tsv": "aa\tbx\n", "jsonl": '{"src": "aa", "tgt": "bx"}\n'}
    train = write(tmp_path, f"a.{suffix}", rows[suffix])
    columns = []
    for text in (same, quoted, clear):
        report = check_pairs([train, write(tmp_path, f"b.{suffix}", text[suffix])])
        columns.append(sorted((one.message[9:15], one.column) for one in report.problems if "symbols" in one.message))
    expected = {
        "csv": [[("source", 2), ("target", 4)], [("source", None), ("target", None)], [("target", 5)]],
        "tsv": [[("source", 2), ("target", 4)], [("source", 1), ("target", 6)], [("target", 5)]],
        "jsonl": [[("source", None), ("target", None)], [("source", None), ("target", None)], [("target", 24)]],
    }
    assert columns == expected[suffix]


def test_options_of_the_command_line() -> None:
    assert tuple(option.name for option in pair_options()) == OPTIONS_OF_COLUMNS


def test_how_commands_read(tmp_path: Path) -> None:
    given: dict[str, Any] = dict.fromkeys((*OPTIONS_OF_COLUMNS, "format", "encoding"))
    config: dict[str, Any] = {
        "reading": {
            "format": "tsv",
            "encoding": "latin-1",
            "source_column": 1,
            "target_column": 2,
            "features_column": 3,
        },
        "settings": {"several": True},
    }
    rest = {"several": True, "answered": True}
    like = {"source_column": 1, "target_column": 2, "features_column": 3}
    assert how_to_read("f", given, config, answered=True) == {"format": "tsv", "encoding": "latin-1", **like, **rest}
    how = how_to_read("f.jsonl.gz", given, config, answered=True)
    assert how == {"format": "jsonl", "encoding": "utf-8", **rest}
    # What is given takes its place from the other role.
    how = how_to_read("f.tsv", given | {"features_column": "2"}, config, answered=False)
    assert how == {"format": "tsv", "encoding": "latin-1", "source_column": 1, "features_column": "2"} | rest | {
        "answered": False
    }
    assert plain(write(tmp_path, "f.tsv", "a\tV\n"), **how) == [("a", None, ("V",))]
    for path in ("-", "f.txt"):
        assert how_to_read(path, given, config, answered=False)["format"] == "text"
    assert how_to_read("f", given, config, answered=False)["format"] == "tsv"
    assert how_to_read("a::b", given, config, answered=True)["format"] == "parallel"
    two = {"reading": {"format": "parallel"}, "settings": {}}
    assert how_to_read("a", given, two, answered=False)["format"] == "text"
    assert how_to_read("a", given, {"reading": {}, "settings": {}}, answered=True)["format"] == "tsv"
    with pytest.raises(UsageError, match="no targets"):
        how_to_read("a", given | {"format": "text"}, config, answered=True)
    with pytest.raises(UsageError, match="no option 'source_column'"):
        how_to_read("a::b", given | {"source_column": "1"}, config, answered=True)


LITTLE = {
    "csv": 'id,source,target\n1,"a, ""b""\nc",x\n2,é,y\n',
    "tsv": "source\ttarget\na b\tx\né\ty|z\n",
    "jsonl": '{"source": "a", "target": ["x"]}\n{"source": "é", "n": {}, "target": "2", "tags": "a;b"}\n',
    "scan": "IN: a b OUT: x\n\nIN: é OUT: y\n",
    "parallel": "a b\n\né\n",
    "text": "a\n\nb\n",
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"several": True},
    {"answered": False},
    {"several": True, "answered": False},
    {"source_column": 2, "target_column": 1},
    {"features_column": 1},
    {"source_column": "source", "target_column": "target"},
    {"header": True},
]


def survives(path: Path, format: str | None, data: bytes) -> None:
    path.write_bytes(data)
    name = f"{path}::{path}" if format == "parallel" else str(path)
    for options in OPTIONS:
        try:
            pairs = read_pairs(name, format, **options)
        except ElmanError as error:
            assert len(str(error)) < 700
            assert not isinstance(error, DataError) or (error.file in (str(path), name) and (error.line or 0) >= 1)
        else:
            for one in pairs:
                assert "\0" not in one.source + "".join(one.targets or ())
                assert one.targets is not None or not options.get("answered", True)
                assert one.targets is None or 1 <= len(one.targets) <= (99 if "several" in options else 1)
                one.source.encode()
            assert read_pairs(name, **describe(name, format, **options)) == pairs
        with contextlib.suppress(UsageError):
            json.dumps(check_pairs([name, name], format, **options).to_json(), allow_nan=False)


def test_every_format_is_fuzzed() -> None:
    assert {*LITTLE} == {*PAIR_FORMATS}


@pytest.mark.parametrize("format", [*PAIR_FORMATS, None])
@QUICK
@given(data=st.data())
def test_corrupted_files(format: str | None, tmp_path: Path, data: st.DataObject) -> None:
    bent = bytearray(LITTLE[format or data.draw(st.sampled_from(sorted(LITTLE)))].encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(bent)))
        strange = [b"\n", b"\t", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b",", b"{", b"[", b"|", b" OUT: "]
        bent[at : at + data.draw(st.integers(0, 4))] = data.draw(st.sampled_from(strange) | st.binary(max_size=3))
    survives(tmp_path / "f", format, bytes(bent))


@pytest.mark.parametrize("format", [*PAIR_FORMATS, None])
@QUICK
@given(data=st.binary(max_size=60) | st.text('ax,"|\t \n\r{}[]:1_\ufeff\u2028é', max_size=60).map(str.encode))
def test_random_bytes(format: str | None, tmp_path: Path, data: bytes) -> None:
    survives(tmp_path / "f", format, data)


CORPORA: list[tuple[str, dict[str, Any], int, int, int]] = [  # pairs; most targets and features of one
    ("scan/tasks_test_simple.txt", {"format": "scan"}, 4182, 1, 0),
    ("sigmorphon2016-inflection/navajo-task1-test", {"features_column": 2, "features_separator": ","}, 458, 1, 5),
    ("sigmorphon2017-inflection/latin-train-medium", {"features_column": 3}, 1000, 1, 7),
    ("sigmorphon2020-g2p/kor_dev.tsv", {}, 450, 1, 0),
    ("cmudict-pronasyl2007/g014b2b.ref", {"several": True}, 12000, 6, 0),
    ("cmudict-pronasyl2007/g014b2b.train.gz", {"several": True}, 106837, 6, 0),
    ("histnorm/german-ridges.dev.txt", {}, 11329, 1, 0),
    ("multi30k/raw/val.de.gz::multi30k/raw/val.en.gz", {}, 1014, 1, 0),
    ("ne-transliteration/wd_hebrew_16", {"source_column": 1, "target_column": 2}, 8006, 1, 0),
]


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
@pytest.mark.parametrize(("name", "options", "size", "targets", "features"), CORPORA)
def test_real_corpora(name: str, options: dict[str, Any], size: int, targets: int, features: int) -> None:
    pairs = read_pairs("::".join(str(Path(DATA or "") / part) for part in name.split("::")), **options)
    most = max(len(one.targets or ()) for one in pairs), max(len(one.features) for one in pairs)
    assert (len(pairs), *most) == (size, targets, features)
