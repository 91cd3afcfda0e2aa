"""Opening text: encodings, line ends, gzip, the standard streams, and faults with their place."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from elman.errors import DataError, ResourceError, UsageError
from elman.text.files import open_output, open_text


def lines_of(path: Path | str, encoding: str = "utf-8") -> list[tuple[int, str]]:
    with open_text(path, encoding) as lines:
        return list(lines)


def put(folder: Path, data: bytes, name: str = "f") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\n\r\nb\r\n", ["a", "", "b"]),
        (b"a\r\r\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("a\u2028b\x0bc\x85d\n".encode(), ["a\u2028b\x0bc\x85d"]),
        (b" a \t\n", [" a \t"]),
    ],
)
def test_lines(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    expected_lines = list(enumerate(expected, 1))
    assert lines_of(put(tmp_path, data)) == expected_lines
    assert lines_of(put(tmp_path, gzip.compress(data), "f.gz")) == expected_lines


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037", "latin-1", "utf-7"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "eins\nzwei\r\n\nfünf"
    assert lines_of(put(tmp_path, text.encode(encoding)), encoding) == [(1, "eins"), (2, "zwei"), (3, ""), (4, "fünf")]


@pytest.mark.parametrize("encoding", ["no-such", "hex", "rot13", "undefined", "idna", "a\0b"])
def test_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UsageError, match="unknown encoding"):
        lines_of(put(tmp_path, b"a\n"), encoding)


@pytest.mark.parametrize(
    ("data", "encoding", "line", "column", "says"),
    [
        (b"ab\nc\xc3\xa9\xff\n", "utf-8", 2, 3, "0xff"),
        (b"ab\xc3", "utf-8", 1, 3, "0xc3"),
        (b"\xef\xbb\xbfa\x80", "utf-8", 1, 2, "0x80"),
        (b"\xff\xfea\x00", "utf-8", 1, 1, "--encoding utf-16"),
        (b"a\n\xe9", "ascii", 2, 1, "expected ascii text"),
        ("ab\ncd".encode("utf-16-le") + b"\x00", "utf-16-le", 2, 3, "utf-16-le"),
        (b"a\rb\rc", "utf-8", 1, 2, "carriage return"),
        ("x\na\rb".encode("utf-16"), "utf-16", 2, 2, "carriage return"),
    ],
)
def test_faults_have_line_and_column(
    tmp_path: Path, data: bytes, encoding: str, line: int, column: int, says: str
) -> None:
    path = put(tmp_path, data)
    with pytest.raises(DataError, match=says) as caught:
        lines_of(path, encoding)
    assert (caught.value.file, caught.value.line, caught.value.column) == (str(path), line, column)


def test_told_faults_do_not_stop(tmp_path: Path) -> None:
    told: list[DataError] = []
    path = put(tmp_path, b"\xffa\nb\nc\xfe\xfe\nd\r.\n")
    with open_text(path, on_problem=told.append) as lines:
        assert list(lines) == [(1, "\ufffda"), (2, "b"), (3, "c\ufffd\ufffd"), (4, "d\r.")]
    assert [(error.line, error.column) for error in told] == [(1, 1), (3, 2), (4, 2)]


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    cases = [
        (tmp_path / "none", "nothing of this name"),
        (tmp_path, "a folder"),
        (f"{tmp_path}/a\0b", "cannot be opened"),
    ]
    cases.append((put(tmp_path, b"plain text", "x.gz"), "expected gzip"))
    cases.append((put(tmp_path, gzip.compress(b"a\n" * 999)[:-9], "y.gz"), "expected gzip"))
    broken = bytearray(gzip.compress(os.urandom(999)))
    broken[20:40] = bytes(20)
    cases.append((put(tmp_path, bytes(broken), "z.gz"), "gz"))
    for path, says in cases:
        with pytest.raises(DataError, match=says) as caught:
            lines_of(path, "latin-1")
        assert caught.value.file == str(path)


def test_forbidden_file(tmp_path: Path) -> None:
    path = put(tmp_path, b"a\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DataError, match="permissions"):
        lines_of(path)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\n\xff")))
    with open_text("-") as lines:
        assert next(lines) == (1, "a")
        with pytest.raises(DataError, match="<stdin>:2:1"):
            next(lines)
    assert not sys.stdin.buffer.closed


def test_standard_input_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as source, os.fdopen(write_end, "wb", 0) as sink:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=source))
        sink.write(b"one\n")
        with open_text("-") as lines:
            assert next(lines) == (1, "one")  # though the pipe is still open


@pytest.mark.parametrize("name", ["out.txt", "out.gz"])
def test_output_reads_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for _ in range(2):
        with open_output(path) as out:
            out.write("ä\n\nb\n")
        data = path.read_bytes()
        assert lines_of(path) == [(1, "ä"), (2, ""), (3, "b")]
    raw = gzip.decompress(data) if name.endswith(".gz") else data
    assert raw == "ä\n\nb\n".encode()


def test_packed_output_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with open_output(tmp_path / name) as out:
            out.write("text\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_output("-") as out:
        out.write("ä\n")
    print("still open")
    assert capsysbinary.readouterr().out == "ä\nstill open\n".encode()


def test_output_that_cannot_be(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "f", tmp_path, f"{tmp_path}/a\0b"):
        with pytest.raises(UsageError), open_output(path):
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk() -> None:
    with pytest.raises(ResourceError, match="/dev/full"), open_output("/dev/full") as out:
        out.write("a" * 100000)
