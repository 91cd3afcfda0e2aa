"""Every registered format on bytes that nobody meant: only DataError, with file and line, and `check` never raises."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.errors import DataError
from elman.text import FORMATS, get_format, read
from elman.text.check import check

ROW = "\t_\tX\t_\tCase=Nom\t_\t_\t_\t_\n"
LITTLE = {
    "conllu": f"# c\n1-2\tab{ROW}1\ta b{ROW}2\té{ROW}2.1\tc{ROW}\n# d\n1\t#{ROW}\n",
    "columns": "-DOCSTART- O\n\n# one comment here\na O\né B-x\nb I-x\n\n# O\n\n",
    "text": "a b é\n\n# c  d\n",
    "jsonl": '{"words": ["a", "é"], "tags": ["X", "Y"], "n": 1}\n\n{"text": "a b", "tags": ["X", "X"], "o": [{}]}\n',
}
SUFFIX = {"conllu": ".conllu", "columns": ".tsv", "text": ".txt", "jsonl": ".jsonl"}
OPTIONS = {
    "conllu": [{}, {"column": "feats:Case"}, {"column": "misc:x"}, {"column": None}],
    "columns": [{}, {"column": None}, {"column": 2, "optional": True}, {"word": 2, "column": 1}, {"separator": "tab"}],
    "text": [{}],
    "jsonl": [{}, {"column": None}],
}
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_format_is_fuzzed() -> None:
    assert set(LITTLE) == set(SUFFIX) == set(OPTIONS) == set(FORMATS)


@st.composite
def corrupted(draw: st.DrawFn, data: bytes) -> bytes:
    """Well-formed bytes after some flips, deletions, insertions and cuts."""
    bent = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(bent) - 1, 0)))
        match draw(st.sampled_from(["flip", "delete", "insert", "repeat", "cut"])):
            case "flip" if bent:
                bent[at] ^= 1 << draw(st.integers(0, 7))
            case "delete":
                del bent[at : at + draw(st.integers(1, 5))]
            case "insert":
                strange = [
                    b"\n",
                    b"\t",
                    b" ",
                    b"\r",
                    b"\0",
                    b"\xff",
                    b"\xef\xbb\xbf",
                    b"\xe2\x80\xa8",
                    b'"',
                    b"-",
                    b"{",
                    b"0",
                ]
                bent[at:at] = draw(st.sampled_from(strange) | st.binary(max_size=4))
            case "repeat":
                bent[at:at] = bent[at : at + draw(st.integers(1, 40))]
            case "cut":
                del bent[at:]
    return bytes(bent)


def survives(path: Path, name: str, data: bytes) -> None:
    """Read with every set of options; where that works, what is written reads as the same; `check` reports the rest."""
    path.write_bytes(data)
    for options in OPTIONS[name]:
        form = get_format(name, **options)
        try:
            sentences = read(path, form, wordless=True, allow_empty=True)
        except DataError as error:
            assert error.file == str(path) and error.line is not None and error.line >= 1
            assert error.column is None or error.column >= 1
            assert len(str(error)) < 600
            fault = error
        else:
            fault = None
            for sentence in sentences:
                assert sentence.tags is None or len(sentence.tags) == len(sentence.words)
                assert len(sentence.lines) == len(sentence.words) and all(sentence.words)
                assert len(form.columns_of(sentence)) == len(form.columns_of(sentence, tag=True)) == len(sentence.words)
            text = "".join(form.write(one, None) for one in sentences)
            plain = data.decode().removeprefix("\ufeff")
            assert text.split("\n")[: plain.count("\n")] == [line.rstrip("\r") for line in plain.split("\n")[:-1]]
            again = list(form.read(enumerate(text.split("\n")[:-1], 1), str(path)))
            assert [(one.words, one.tags) for one in again] == [(one.words, one.tags) for one in sentences]
        report = check([path, path], format=form)
        json.dumps(report.to_json(), allow_nan=False)
        if fault is not None:
            assert any(
                (one.line, one.column, one.message) == (fault.line, fault.column, fault.problem)
                for one in report.problems
            )
        elif not any(one.words for one in sentences):
            assert not report.ok


@pytest.mark.parametrize("name", FORMATS)
def test_the_little_files_are_well_formed(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{SUFFIX[name]}"
    path.write_text(LITTLE[name])
    assert len(read(path)) == 2 and check([path]).ok
    survives(path, name, LITTLE[name].encode())


@pytest.mark.parametrize("name", FORMATS)
@QUICK
@given(data=st.data())
def test_corrupted_files(name: str, tmp_path: Path, data: st.DataObject) -> None:
    survives(tmp_path / f"f{SUFFIX[name]}", name, data.draw(corrupted(LITTLE[name].encode())))


@pytest.mark.parametrize("name", FORMATS)
@QUICK
@given(data=st.binary(max_size=60) | st.text('aO#\t \n\r{}"[],:1-._\ufeff\u2028é', max_size=60).map(str.encode))
def test_random_bytes(name: str, tmp_path: Path, data: bytes) -> None:
    survives(tmp_path / f"f{SUFFIX[name]}", name, data)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "latin-1", "shift_jis", "cp037", "utf-7", "gb18030"])
@QUICK
@given(data=st.data())
def test_other_encodings(encoding: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "f"
    text = "ab O\n\nc O\n# d e f\n"
    path.write_bytes(data.draw(corrupted(text.encode(encoding)) | st.binary(max_size=30)))
    try:
        read(path, "columns", encoding=encoding, allow_empty=True)
    except DataError as error:
        assert error.file == str(path) and error.line is not None
    check([path], format="columns", encoding=encoding)


@QUICK
@given(data=corrupted(gzip.compress(LITTLE["columns"].encode(), mtime=0)))
def test_corrupted_gzip(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(data)
    try:
        read(path, allow_empty=True)
    except DataError as error:
        assert error.file == str(path) and error.line is not None
    check([path])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "unit", [b"\n", b"\t", b" ", b"a ", b"\x01 ", b"\x00", b"[", b'{"text": "a"} ', b"# ", b"\xff", b"1\t"]
)
def test_much_in_one_line_or_of_empty_lines(name: str, unit: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(unit * (200_000 // len(unit)))
    try:
        read(path, name, allow_empty=True)
    except DataError as error:
        assert len(str(error)) < 600
    check([path], format=name)
