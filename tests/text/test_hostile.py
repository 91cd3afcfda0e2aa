"""Files that someone made to break a reader: every format gives the right result or a DataError that names the place,
in a process that may not take much memory."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from elman.errors import DataError, UsageError
from elman.text import FORMATS, read
from elman.text.files import LONGEST_LINE, open_text, require_file
from elman.text.labelled import EXAMPLE_FORMATS, iter_examples
from elman.text.pairs import PAIR_FORMATS

MEMORY = 3 << 29  # bytes of address space; Python and the readers take a tenth of it
# Reads a file in every format of all registries, and prints what became of it: how many, or the error.
CHILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
from elman.errors import DataError, UsageError
from elman.text import FORMATS, iter_read
from elman.text.labelled import EXAMPLE_FORMATS, iter_examples
from elman.text.pairs import PAIR_FORMATS, iter_pairs
path, encoding, *only = sys.argv[1:]
told = {{}}
def attempt(name, begin):
    if only and name not in only:
        return
    try:
        told[name] = sum(1 for _ in begin())
    except (DataError, UsageError) as error:
        told[name] = str(error)
for name in FORMATS:
    attempt("words " + name, lambda: iter_read(path, name, encoding=encoding))
for name in EXAMPLE_FORMATS:
    how = dict(labelled=name != "text", encoding=encoding)
    attempt("texts " + name, lambda: iter_examples(path, name, **how))
for name in PAIR_FORMATS:
    how = dict(answered=name != "text", encoding=encoding)
    attempt("pairs " + name, lambda: iter_pairs(f"{{path}}::{{path}}" if name == "parallel" else path, name, **how))
print(json.dumps(told))
"""
ALL = [f"words {name}" for name in FORMATS] + [f"texts {name}" for name in EXAMPLE_FORMATS]
ALL += [f"pairs {name}" for name in PAIR_FORMATS]
OPENED = [name for name in ALL if not name.startswith("pairs") or name == "pairs parallel"]  # others open as texts do


def read_everywhere(path: Path | str, encoding: str = "utf-8", only: Sequence[str] = ()) -> dict[str, int | str]:
    """What every format, or some, makes of a file, in a process of little memory."""
    code = CHILD.format(memory=MEMORY)
    ran = subprocess.run([sys.executable, "-c", code, str(path), encoding, *only], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    told: dict[str, int | str] = json.loads(ran.stdout)
    assert list(told) == list(only or ALL)
    for result in told.values():
        assert isinstance(result, int) or len(result) < 700
    return told


def bomb(piece: bytes) -> Callable[[Path], str]:
    """Two gigabytes in a few megabytes."""

    def make(path: Path) -> str:
        packed = path.with_suffix(".gz")
        size = 1 << 24
        packed.write_bytes(gzip.compress(piece * (size // len(piece)), 6) * (2**31 // size))
        return str(packed)

    return make


def sparse(path: Path) -> str:
    with open(path, "wb") as file:
        file.truncate(3 * LONGEST_LINE)
    return str(path)


def put(data: bytes) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        path.write_bytes(data)
        return str(path)

    return make


REFUSED: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "bomb of zeros": (bomb(b"\0"), "utf-8", "unpacks to over"),
    "bomb of line ends": (bomb(b"\n"), "utf-8", "unpacks to over"),
    "bomb of one word": (bomb(b"word "), "utf-8", "unpacks to over"),
    "line without an end": (sparse, "utf-8", ":1: expected a line of at most 128 MiB"),
    "UTF-16 without an end": (sparse, "utf-16-le", ":1: expected a line of at most 128 MiB"),
    "folder": (lambda path: str(path.parent), "utf-8", "found a folder"),
    "UTF-16 unannounced": (put("a\tX\n".encode("utf-16")), "utf-8", "--encoding utf-16"),
    "UTF-16 without its mark": (put("a\tX\n".encode("utf-16-le")), "utf-16", "utf-16-le"),
    "half a surrogate pair": (put(b"a\xed\xa0\x80\tX\n"), "utf-8", ":1:2: expected utf-8 text"),
    "half of a pair in UTF-16": (put(b"\xff\xfea\x00\x00\xd8\n\x00"), "utf-16", ":1:2: expected utf-16 text"),
    "half of a pair in UTF-7": (put(b"a+2AA-\n"), "utf-7", ":1:2: expected utf-7 text"),
    "line ends of CR": (put(b"a\tX\rb\tX\r\rc\tX\r"), "utf-8", ":1:4: expected lines that end in LF or CRLF"),
}
DEVICES = {
    "/dev/zero": ("utf-8", ":1: expected a line of at most 128 MiB"),
    "/dev/urandom": ("utf-8", "expected "),  # not utf-8 text, unless its first line is by chance
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_every_format(name: str, tmp_path: Path) -> None:
    make, encoding, says = REFUSED[name]
    path = make(tmp_path / "f")
    only = (
        ["words columns", "texts csv", "pairs tsv"] if name == "bomb of line ends" else []
    )  # 4 million lines take a second
    for result in read_everywhere(path, encoding, only).values():
        assert isinstance(result, str) and result.startswith(path) and says in result, result


@pytest.mark.parametrize("device", DEVICES)
def test_devices_are_refused(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"no {device} on this system")
    encoding, says = DEVICES[device]
    for result in read_everywhere(device, encoding, OPENED).values():
        assert isinstance(result, str) and says in result, result


@pytest.mark.parametrize("data", [b"", b"\n\r\n\n", b"\n" * 100_000], ids=["nothing", "empty lines", "many"])
def test_files_without_anything(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    for name, result in read_everywhere(path).items():
        if name in ("texts text", "pairs text", "pairs parallel"):  # where an empty line is an empty text
            assert result == data.count(b"\n") or not data
        else:
            assert isinstance(result, str) and "found no" in result, (name, result)


def test_a_long_word(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 10_000_000 + b"\tX\n\nend\tX\n")
    told = read_everywhere(path)
    assert told["words columns"] == told["words text"] == told["texts tsv"] == told["texts label"] == 2
    assert told["texts text"] == told["pairs text"] == told["pairs parallel"] == 3 and told["pairs tsv"] == 2
    words = read(path, "columns")
    assert [len(one.words[0]) for one in words] == [10_000_000, 3] and words[1].line == 3


def test_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\t".join(b"c%d" % number for number in range(100_000)) + b"\n")
    told = read_everywhere(path)
    assert told["words columns"] == told["words text"] == 1
    assert "100000" in str(told["words conllu"]) and "found 100000 columns" in str(told["texts tsv"])
    assert read(path, "columns", column=77_777)[0].tags == ["c77776"]


def test_nul(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\0b\tX\n")
    told = read_everywhere(path)
    for name in (*(f"texts {name}" for name in EXAMPLE_FORMATS), *(f"pairs {name}" for name in PAIR_FORMATS)):
        if not name.endswith("csv"):  # one column, which is a matter of its own
            assert "NUL" in str(told[name]), told
    assert read(path, "columns")[0].words == ["a\0b"]  # `elman check` warns of it


def test_utf16_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes("ä\tX\r\n\r\n𝄞\tX\n".encode("utf-16"))
    assert [one.words for one in read(path, "columns", encoding="utf-16")] == [["ä"], ["𝄞"]]
    problems: list[DataError] = []
    path.write_bytes("a\nb".encode("utf-16-le") + b"\x00\xd8" + "c\nd\n".encode("utf-16-le"))
    with open_text(path, "utf-16-le", on_problem=problems.append) as lines:
        assert list(lines) == [(1, "a"), (2, "b\ufffdc"), (3, "d")]
    assert [(one.line, one.column) for one in problems] == [(2, 2)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_named_pipe_is_read_like_a_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    data = b"a\tX\n\nb\tX\n\n"
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(data) if suffix else data,))
    writer.start()
    assert len(read(path, "columns")) == 2
    writer.join()
    with pytest.raises(UsageError, match="read more than once"):
        require_file(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_changes_while_it_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{suffix}"
    data = os.urandom(1 << 20).hex("\n").encode()  # more than any buffer holds
    path.write_bytes(gzip.compress(data) if suffix else data)
    with open_text(path) as lines:
        assert next(lines)[0] == 1
        path.unlink()
        assert len(list(lines)) == (1 << 20) - 1  # it is gone for others only
    path.write_bytes(gzip.compress(data) if suffix else data)
    with open_text(path) as lines:
        next(lines)
        os.truncate(path, 10)
        if suffix:
            with pytest.raises(DataError, match="expected gzip data"):
                list(lines)
        else:
            assert len(list(lines)) < (1 << 20) - 1


def test_gzip_that_shrinks_well_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    line = b"the same sentence over and over, as in a file of templates %d\n"
    path.write_bytes(gzip.compress(b"".join(line % (n % 1000) for n in range(400_000))))
    with open_text(path) as lines:
        assert sum(1 for _ in lines) == 400_000


@pytest.mark.parametrize("name", EXAMPLE_FORMATS)
def test_a_text_of_ten_megabytes(name: str, tmp_path: Path) -> None:
    text = "word " * 2_000_000 + "end"
    path = tmp_path / "f"
    whole = {"csv": f"A,{text}", "tsv": f"A\t{text}", "jsonl": json.dumps({"text": text, "label": "A"})}
    whole |= {"label": f"A {text}", "fasttext": f"__label__A {text}", "text": text}
    path.write_text(whole[name] + "\n")
    (example,) = iter_examples(path, name, labelled=name != "text")
    assert example.text == text
