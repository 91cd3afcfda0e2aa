r"""N-gram models as ARPA text, which SRILM, KenLM and others read and write: base-10 logarithms.

    \data\
    ngram 1=4
    ngram 2=3

    \1-grams:
    -0.60206	<unk>	0
    ...
    \2-grams:
    -0.30103	<s> a
    ...
    \end\
"""

from __future__ import annotations

import math
import re
import warnings
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from elman.errors import DataError, UsageError
from elman.tasks.language_model.rivals.kneser_ney import Floats, Grams, Ints, find
from elman.text.files import Path, name_of, open_output, open_text

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"

ZERO = -99.0  # represents the logarithm of 0
MISSING = -100.0  # of <unk> if a file has none, as in KenLM
BLANK = re.compile(r"[\0\t\n\v\f\r ]")
TEN = np.log(10.0)


def write(path: Path, tables: Sequence[Grams], vocabulary: Sequence[str]) -> None:
    """Write a model; `.gz` is compressed, "-" is standard output.

    Raises UsageError for a word that the format cannot represent, ResourceError if writing fails.
    """
    for word in vocabulary:
        if not word or BLANK.search(word):
            raise UsageError(f"expected words without blanks, found {word!r}, which an ARPA file cannot represent")
    texts = list(vocabulary)
    with open_output(path) as out:
        out.write("\\data\\\n")
        out.writelines(f"ngram {k}={len(table.keys)}\n" for k, table in enumerate(tables, 1))
        for k, table in enumerate(tables, 1):
            if k > 1:
                parents, words = np.divmod(table.keys, len(vocabulary))
                pairs = zip(parents.tolist(), words.tolist(), strict=True)
                texts = [f"{texts[parent]} {vocabulary[word]}" for parent, word in pairs]
            out.write(f"\n\\{k}-grams:\n")
            # Nine digits hold a single-precision number exactly. Rounding must not raise a probability above 1.
            logs = np.clip(table.log_probability / TEN, ZERO, 0.0).tolist()
            if k < len(tables):
                backoffs = np.maximum(table.log_backoff / TEN, ZERO).tolist()
                rows = zip(logs, texts, backoffs, strict=True)
                out.writelines(f"{log:.9g}\t{text}\t{backoff:.9g}\n" for log, text, backoff in rows)
            else:
                out.writelines(f"{log:.9g}\t{text}\n" for log, text in zip(logs, texts, strict=True))
        out.write("\n\\end\\\n")


def read(path: Path) -> tuple[list[Grams], list[str]]:
    """Read a model as (n-grams of each order, vocabulary in the order of the unigrams).

    Probabilities are taken as is; <s> never follows anything and gets 0 whatever the file says. A file without
    <unk> gets one of probability 1e-100, with a UserWarning.

    Raises DataError, with file and line, for a file that does not match its own header.
    """
    name = name_of(path)
    with open_text(path) as lines:
        reader = _Reader(lines, name)
        sizes = reader.header()
        vocabulary: list[str] = []
        index: dict[str, int] = {}
        tables: list[Grams] = []
        for k, rows in enumerate(sizes, 1):
            reader.expect(f"\\{k}-grams:")
            first = reader.number + 1
            logs, words, backoffs = reader.section(k, rows, k == len(sizes), vocabulary, index)
            if k == 1:
                for word in (BEGIN, END):
                    if word not in index:
                        raise DataError(f"expected {word} among the 1-grams, found none", file=name, line=first)
                if UNKNOWN not in index:
                    warnings.warn(
                        f"{name}: has no <unk>; it is added with probability 1e-100", UserWarning, stacklevel=3
                    )
                    index[UNKNOWN] = len(vocabulary)
                    vocabulary.append(UNKNOWN)
                    logs, backoffs = np.append(logs, MISSING), np.append(backoffs, 0.0)
                logs[index[BEGIN]] = -np.inf
                keys = np.arange(len(vocabulary))
            else:
                parents = _parents(words[:, :-1], tables, len(vocabulary))
                if (bad := np.flatnonzero(parents < 0)).size:
                    raise DataError(
                        f"expected the first {k - 1} words among the {k - 1}-grams, found none; the file is incomplete",
                        file=name,
                        line=first + int(bad[0]),
                    )
                keys = parents * len(vocabulary) + words[:, -1]
                by_key = np.argsort(keys, kind="stable")
                keys, logs = keys[by_key], logs[by_key]
                backoffs = backoffs[by_key] if len(backoffs) else backoffs
                if (bad := by_key[1:][keys[1:] == keys[:-1]]).size:
                    message = f"expected each {k}-gram once, found one again"
                    raise DataError(message, file=name, line=first + int(bad.min()))
            tables.append(Grams(keys, logs * TEN, backoffs * TEN))
        reader.expect("\\end\\")
    return tables, vocabulary


def _parents(words: Ints, tables: Sequence[Grams], size: int) -> Ints:
    """The row of each n-gram in the highest order read so far, -1 without one. words: (rows, its order)."""
    rows = words[:, 0]
    for column, table in enumerate(tables[1:], 1):
        rows = find(table.keys, rows, words[:, column], size)
    return rows


class _Reader:
    """The lines of an ARPA file, one after the other; `number` is that of the last line taken."""

    def __init__(self, lines: Iterator[tuple[int, str]], name: str) -> None:
        self.lines, self.name, self.number = lines, name, 0

    def fault(self, message: str, line: int | None = None) -> DataError:
        return DataError(message, file=self.name, line=line or max(self.number, 1))

    def take(self) -> str | None:
        self.number, line = next(self.lines, (self.number, None))
        return line

    def filled(self) -> str | None:
        """The next line that is not blank, without the blanks around it."""
        line = self.take()
        while line is not None and not line.strip():
            line = self.take()
        return line if line is None else line.strip()

    def expect(self, text: str) -> None:
        line = self.filled()
        if line != text:
            found = "the end of the file" if line is None else repr(line[:60])
            raise self.fault(f"expected {text}, found {found}")

    def header(self) -> list[int]:
        r"""The number of n-grams of each order, up to the blank line that ends them."""
        self.expect("\\data\\")
        sizes: list[int] = []
        line = self.filled()
        while line:
            match = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line, re.ASCII)
            if not match or int(match[1]) != len(sizes) + 1:
                raise self.fault(f"expected 'ngram {len(sizes) + 1}=' and a number, found {line[:60]!r}")
            sizes.append(int(match[2]))
            line = (self.take() or "").strip()
        if not sizes:
            raise self.fault("expected 'ngram 1=' and a number, found the end of the file")
        return sizes

    def section(
        self, k: int, rows: int, highest: bool, vocabulary: list[str], index: dict[str, int]
    ) -> tuple[Floats, Ints, Floats]:
        """Logs (rows,), words (rows, k) and backoffs (rows,), empty in the highest order. Unigrams fill the words."""
        logs: array[float] = array("d")
        words: array[int] = array("q")
        backoffs: array[float] = array("d")
        infinity = math.inf
        for row in range(rows):
            line = self.take() or ""
            fields = line.replace("\t", " ").split(" ")
            if "" in fields:
                fields = [field for field in fields if field]
            if len(fields) == k + 1:
                backoff = 0.0
            elif len(fields) != k + 2 or highest:
                if not line or line == f"\\{k + 1}-grams:" or line == "\\end\\":
                    raise self.fault(f"expected {rows} {k}-grams as the header says, found {row}")
                other = "" if highest else ", and an optional backoff"
                raise self.fault(f"expected a logarithm and {k} word{'s' * (k > 1)}{other}, found {line[:60]!r}")
            try:
                log = float(fields[0])
                if len(fields) == k + 2:
                    backoff = float(fields[k + 1])
            except ValueError:
                raise self.fault(
                    f"expected a number before the words and at most one after, found {line[:60]!r}"
                ) from None
            if not log <= 0:
                raise self.fault(f"expected the logarithm of a probability, at most 0, found {fields[0]}")
            if not backoff < infinity:
                raise self.fault(f"expected the logarithm of a backoff, found {fields[-1]}")
            if k == 1:
                if fields[1] in index:
                    raise self.fault(f"expected each 1-gram once, found {fields[1]!r} again")
                index[fields[1]] = len(vocabulary)
                vocabulary.append(fields[1])
            try:
                words.extend([index[word] for word in fields[1 : k + 1]])
            except KeyError as error:
                raise self.fault(f"expected words from the 1-grams, found {error.args[0]!r}") from None
            logs.append(log)
            backoffs.append(backoff)
        ids = np.array(words, np.int64).reshape(rows, k)
        return np.array(logs, np.float64), ids, np.array([] if highest else backoffs, np.float64)
