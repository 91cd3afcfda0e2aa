"""Plain text, the table of formats, and reading by the suffix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.text import FORMATS, Sentence, get_format, guess_format, iter_read, read


def parse(text: str) -> list[Sentence]:
    return list(get_format("text").read(enumerate(text.split("\n")[:-1], 1), "f"))


def test_words_and_places() -> None:
    first, second, rest = parse("\n a  b\tc \nd\u3000e\xa0f\n\n")
    assert (first.words, first.tags, first.line, first.lines) == (["a", "b", "c"], None, 2, [2, 2, 2])
    assert (second.words, second.file) == (["d", "e", "f"], "f")
    assert rest.words == []
    assert get_format("text").columns_of(first) == [2, 5, 7]


def test_repeated_words_have_their_own_places() -> None:
    assert get_format("text").columns_of(parse("ab a  b a\n")[0]) == [1, 4, 7, 9]


def test_tagged_text_is_written_as_columns() -> None:
    form = get_format("text")
    first, second, rest = parse("a b\n\nc\n\n")
    written = form.write(first, ["X", "Y"]) + form.write(second, ["Z"]) + form.write(rest, [])
    assert written == "a\tX\nb\tY\n\n\nc\tZ\n\n\n"
    assert [one.tags for one in get_format("columns").read(enumerate(written.split("\n")[:-1], 1), "f")][:2] == [
        ["X", "Y"],
        ["Z"],
    ]


def test_written_afresh() -> None:
    assert get_format("text").write(Sentence(["a", "b"]), None) == "a b\n"
    assert get_format("text").write(Sentence(["a"]), ["X"]) == "a\tX\n\n"
    with pytest.raises(UsageError):
        get_format("text").write(Sentence(["a b"]), None)
    with pytest.raises(UsageError):
        get_format("text").write(Sentence(["a"]), ["X\tY"])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30).map(lambda text: text + "\n"))
def test_what_was_read_is_written(text: str) -> None:
    sentences = parse(text)
    assert "".join(get_format("text").write(one, None) for one in sentences) == text
    assert [word for one in sentences for word in one.words] == text.split()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.conllu", "conllu"),
        ("a.CONLLU.gz", "conllu"),
        ("a.jsonl", "jsonl"),
        ("a.txt", "text"),
        ("a.txt.gz", "text"),
        ("a.conll.txt", "columns"),
        ("a.tsv", "columns"),
        ("a.bio.gz", "columns"),
        ("some.txt/file", "columns"),
        ("-", "columns"),
        (Path("x/y.jsonl"), "jsonl"),
    ],
)
def test_guess(path: str | Path, name: str) -> None:
    assert guess_format(path) == name


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_in_order(name: str) -> None:
    form = get_format(name)
    assert form.name == name
    assert list(form.read([], "f")) == []
    with pytest.raises(UsageError, match="no option 'colum'"):
        get_format(name, colum=1)


def test_misspelt_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'conllu'"):
        get_format("conlu")
    with pytest.raises(UsageError, match="did you mean 'column'"):
        get_format("columns", colunm=1)
    with pytest.raises(UsageError, match="expected one of: 'conllu', 'columns', 'text', 'jsonl'"):
        get_format("xyz")


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_text("a\tDT\tO\n\nb\tNN\tO\n\n\n")
    assert [one.tags for one in read(path)] == [["O"], ["O"]]
    assert [one.tags for one in read(str(path), column=2)] == [["DT"], ["NN"]]
    assert [one.tags for one in read(path, get_format("columns", column=None))] == [None, None]
    assert [one.words for one in read(path, "columns", word=2, column=3)] == [["DT"], ["NN"]]
    assert [one.words for one in iter_read(path, wordless=True)] == [["a"], ["b"], []]
    assert [one.file for one in read(path)] == [str(path)] * 2
    with pytest.raises(UsageError, match="has its options"):
        read(path, get_format("columns"), column=2)
    with pytest.raises(UsageError, match="no option"):
        read(path, "text", column=2)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b" \n\t\n"])
def test_empty_files(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    assert read(path, name, allow_empty=True) == []
    with pytest.raises(DataError, match="no words in the whole file") as caught:
        read(path, name)
    assert caught.value.file == str(path)


def test_iter_read_streams(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_bytes(b"good\n" * 9 + b"\xff")
    sentences = iter_read(path)
    assert [next(sentences).words for _ in range(9)] == [["good"]] * 9
    with pytest.raises(DataError, match=":10:1"):
        next(sentences)


def test_reading_needs_no_torch() -> None:
    program = (
        "import sys, elman.text, elman.text.check; [elman.text.get_format(n) for n in elman.text.FORMATS];"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
