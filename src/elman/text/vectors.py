"""Word vectors from text files: word2vec, GloVe and fastText write one word and its numbers per line."""

from __future__ import annotations

import re
from array import array
from collections.abc import Container

import numpy as np

from elman.errors import DataError
from elman.text.files import name_of, open_text

_HEADER = re.compile(r"([0-9]+) ([0-9]+) *")


def read_vectors(
    path: str, *, only: Container[str] | None = None, encoding: str = "utf-8"
) -> tuple[list[str], np.ndarray]:
    """The words of a file, in its order, and their vectors: float32 (words, dimension).

    A first line of two whole numbers is a header, "words dimension" (word2vec, fastText); otherwise (GloVe) the first
    line sets the dimension. Fields are separated by single spaces or tabs, a line may end in one. A word may have
    spaces in it: the numbers are the last fields of a line. Compressed files by suffix, as everywhere.

    With `only`, other words are skipped while reading, so that only the words kept take memory; the number of fields
    of the skipped lines is still checked.

    Raises DataError with file and line: a wrong number of fields, something that is not a finite number, a repeated
    word, a number of words other than the header's, no vectors at all.
    """
    file = name_of(path)
    words: dict[str, int] = {}  # and the line of each
    values = array("f")
    dimension = announced = 0
    total = empty = number = 0
    with open_text(path, encoding) as lines:
        for number, raw in lines:
            line = raw.replace("\t", " ") if "\t" in raw else raw
            if line.endswith(" "):
                line = line.rstrip(" ")
            if not line:
                empty = empty or number
                continue
            if empty:
                raise DataError("expected a word and its vector, found an empty line: remove it", file=file, line=empty)
            if not dimension:
                header = _HEADER.fullmatch(line)
                if header:
                    announced, dimension = int(header[1]), int(header[2])
                    if not announced or not dimension:
                        raise DataError(
                            f"expected a header with two positive numbers, found {line!r}", file=file, line=number
                        )
                    continue
                dimension = _trailing_numbers(line)
                if not dimension:
                    raise DataError(
                        f"expected a word and the numbers of its vector, found {_short(line)}: "
                        "word vectors are read from text, not from the binary format",
                        file=file,
                        line=number,
                    )
            total += 1
            word = (
                line[: line.index(" ")]
                if line.count(" ") == dimension
                else _word_with_spaces(line, dimension, file, number)
            )
            if not word:
                raise DataError(
                    "expected a word before its vector, found none: remove the line", file=file, line=number
                )
            if only is not None and word not in only:
                continue
            first = words.setdefault(word, number)
            if first != number:
                raise DataError(
                    f"expected every word once, found {word!r} again (first on line {first}): remove one of the two",
                    file=file,
                    line=number,
                )
            rest = line[len(word) + 1 :]
            fields = rest.split(" ")
            try:
                values.extend(map(float, fields))
            except ValueError:
                raise _not_a_number(fields, file, number) from None
            if not rest.isascii() or "_" in rest:  # float() would accept 1_000 and the digits of other scripts
                raise _not_a_number(fields, file, number)
    if not total and not announced:
        raise DataError("expected word vectors, found an empty file", file=file)
    if announced and announced != total:
        raise DataError(
            f"expected {announced} words as the first line says, found {total}: is the file complete?",
            file=file,
            line=number,
        )
    if not words:
        return [], np.zeros((0, dimension), dtype=np.float32)
    vectors = np.frombuffer(values, dtype=np.float32).reshape(len(words), dimension)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise DataError(
            f"expected finite numbers (of float32), found {vectors[row][~np.isfinite(vectors[row])][0]} in the vector "
            f"of {list(words)[row]!r}: remove the line",
            file=file,
            line=list(words.values())[row],
        )
    return list(words), vectors


def _word_with_spaces(line: str, dimension: int, file: str, number: int) -> str:
    """The word of a line with more spaces than its vector needs. Raises DataError at too few or too many numbers."""
    word, *fields = line.rsplit(" ", dimension)
    if len(fields) < dimension or _is_number(word.rpartition(" ")[2]):
        raise DataError(
            f"expected a word and {dimension} numbers, found {_trailing_numbers(line)} numbers after {_short(word)}: "
            "fix or remove the line",
            file=file,
            line=number,
        )
    if word != word.strip(" "):
        raise DataError(f"expected single spaces between fields, found more around {word!r}", file=file, line=number)
    return word


def _trailing_numbers(line: str) -> int:
    """How many numbers are at the end of a line, the first field being the word."""
    fields = line.split(" ")[1:]
    return next((count for count, field in enumerate(reversed(fields)) if not _is_number(field)), len(fields))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return field.isascii() and "_" not in field


def _not_a_number(fields: list[str], file: str, number: int) -> DataError:
    wrong = next(field for field in fields if not _is_number(field))
    what = _short(wrong) if wrong else "an empty field (fields are separated by single spaces)"
    return DataError(f"expected a number, found {what}: fix or remove the line", file=file, line=number)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
