from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError
from elman.text.vectors import read_vectors


def write(folder: Path, text: str | bytes, name: str = "v.txt") -> str:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


@pytest.mark.parametrize("name", ["v.txt", "v.vec.gz"])
@pytest.mark.parametrize("header", ["", "3 2\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_the_usual_kinds_of_file(tmp_path: Path, name: str, header: str, end: str) -> None:
    text = header + f"the 0.5 -1{end}été 1e-3 .25{end}2 3 4{end}"
    words, vectors = read_vectors(write(tmp_path, text, name))
    assert words == ["the", "été", "2"]
    assert vectors.dtype == np.float32 and vectors.flags.writeable
    np.testing.assert_array_equal(vectors, np.array([[0.5, -1], [1e-3, 0.25], [3, 4]], dtype=np.float32))


def test_tabs_a_byte_order_mark_and_no_last_newline(tmp_path: Path) -> None:
    words, vectors = read_vectors(write(tmp_path, b"\xef\xbb\xbfa\t1\t2\nb 3 4"))
    assert words == ["a", "b"] and vectors.tolist() == [[1, 2], [3, 4]]


def test_another_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, "été 1 2\n".encode("latin-1"))
    assert read_vectors(path, encoding="latin-1")[0] == ["été"]
    with pytest.raises(DataError, match="utf-8"):
        read_vectors(path)


def test_a_word_may_have_spaces_in_it(tmp_path: Path) -> None:
    words, vectors = read_vectors(write(tmp_path, ". . . 1 2\na b 3 4\n\u00a0 5 6\nc 7 8\n"))
    assert words == [". . .", "a b", "\u00a0", "c"]
    assert vectors[:, 0].tolist() == [1, 3, 5, 7]


def test_only_some_words_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "4 2\na 1 2\nb 3 4\nc c 5 6\nd 7 8\n")
    words, vectors = read_vectors(path, only={"d", "c c", "zebra"})
    assert words == ["c c", "d"] and vectors.tolist() == [[5, 6], [7, 8]]
    words, vectors = read_vectors(path, only=set())
    assert words == [] and vectors.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "", "empty file"),
        ("\n\n", "", "empty file"),
        ("a\n", ":1", "expected a word and the numbers of its vector"),
        ("a b c\n", ":1", "expected a word and the numbers of its vector"),
        ("a 1 2\nb 1\n", ":2", "expected a word and 2 numbers, found 1 numbers"),
        ("a 1 2\nb\n", ":2", "expected a word and 2 numbers, found 0 numbers"),
        ("a 1 2\nb 1 2 3\n", ":2", "expected a word and 2 numbers, found 3 numbers"),
        ("a 1 2\nb 1 x\n", ":2", "expected a number, found 'x'"),
        ("a 1 2\nb 1 1_0\n", ":2", "expected a number, found '1_0'"),
        ("a 1 2\nb 1 ٣\n", ":2", "expected a number, found '٣'"),
        ("a 1 2\nb  1 2\n", ":2", "expected single spaces .* around 'b '"),
        ("a 1 2\nb 1  2\n", ":2", "expected a word and 2 numbers, found 1 numbers after 'b 1'"),
        ("a 1 2\n 1 2\n", ":2", "expected a word before its vector"),
        ("a 1 2\n b 1 2\n", ":2", "expected single spaces"),
        ("a 1 2\nb nan 2\nc 3 4\n", ":2", "finite numbers .*found nan in the vector of 'b'"),
        ("nan inf 2\n", ":1", "found inf"),
        ("a 1 2\nb 1 1e39\n", ":2", "found inf"),
        ("a 1 2\nb 3 4\na 5 6\n", ":3", r"'a' again \(first on line 1\)"),
        ("a 1 2\n\nb 3 4\n", ":2", "empty line"),
        ("3 2\na 1 2\nb 3 4\n", ":3", "expected 3 words as the first line says, found 2"),
        ("1 2\na 1 2\nb 3 4\n", ":3", "expected 1 words as the first line says, found 2"),
        ("5 2\n", ":1", "expected 5 words as the first line says, found 0"),
        ("0 2\n", ":1", "header"),
        ("2 0\n", ":1", "header"),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path: Path, text: str, where: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_vectors(path)
    assert caught.value.where == path + where


def test_skipped_lines_are_still_counted_and_measured(tmp_path: Path) -> None:
    for text, line in (("a 1 2\nb 1\n", 2), ("3 2\na 1 2\nb 3 4\n", 3), ("a 1 2\nb 1 2 3\n", 2)):
        with pytest.raises(DataError) as caught:
            read_vectors(write(tmp_path, text), only={"a"})
        assert caught.value.line == line


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read_vectors(str(tmp_path / "none.txt"))


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" "), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(words, unique=True, min_size=1, max_size=6),
    st.integers(2, 4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_what_was_written_is_read(tmp_path_factory, words, dimension, header, seed) -> None:
    values = np.random.default_rng(seed).normal(size=(len(words), dimension)).astype(np.float32)
    lines = [" ".join([word, *(repr(float(value)) for value in row)]) for word, row in zip(words, values, strict=True)]
    text = "\n".join([f"{len(words)} {dimension}", *lines]) if header else "\n".join(lines)
    found, vectors = read_vectors(write(tmp_path_factory.mktemp("v"), text))
    assert found == words
    np.testing.assert_array_equal(vectors, values)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from("ab01.e- \n\t")).map("".join).map(str.encode))
def test_any_bytes_give_vectors_or_a_data_error(tmp_path_factory, data: bytes) -> None:
    path = write(tmp_path_factory.mktemp("v"), data)
    try:
        words, vectors = read_vectors(path)
    except DataError as error:
        assert error.file == path
    else:
        assert vectors.shape[0] == len(words) > 0 and np.isfinite(vectors).all()
