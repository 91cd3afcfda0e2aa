"""Text files in and out: gzip by suffix, "-" for the standard streams, and every fault named with its place."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO, cast

from elman.errors import DataError, ResourceError, UsageError

Problem = Callable[[DataError], None]
Path = str | os.PathLike[str]
# What the machine lacks, as against what was asked for wrongly.
SCARCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def name_of(path: Path) -> str:
    """The name of a file in messages; standard input is `<stdin>`."""
    return "<stdin>" if os.fspath(path) == "-" else os.fspath(path)


@contextmanager
def open_text(
    path: Path, encoding: str = "utf-8", *, on_problem: Problem | None = None
) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text file as (line number from 1, line without its end).

    "-" is standard input; a name ending in ".gz" is unpacked. A byte order mark is removed. Lines end in LF or CRLF,
    the last may lack its end; a carriage return inside a line is a fault. Encodings in which a line feed is one byte
    are streamed; others (UTF-16) are read whole.

    Raises DataError, with line and column where there is one, for a file that is missing, a folder, not readable,
    not gzip or not in this encoding; UsageError for an unknown encoding. With `on_problem`, bytes that cannot be
    decoded are told to it, one problem for a line, and read as U+FFFD.
    """
    encoding = _known(encoding)
    name = name_of(path)
    stream = _open(path, name)
    try:
        yield _lines(stream, name, encoding, on_problem)
    finally:
        if os.fspath(path) != "-":
            stream.close()


def _known(encoding: str) -> str:
    try:
        known = codecs.lookup(encoding).name
        "\n".encode(known)
        b"\xff".decode(known, "replace")  # some codecs are not for text, some cannot go on after a fault
    except (LookupError, ValueError):
        raise UsageError(f"unknown encoding {encoding!r}; expected one that Python knows, such as utf-8") from None
    return "utf-8" if known == "utf-8-sig" else known


def _open(path: Path, name: str) -> BinaryIO:
    if os.fspath(path) == "-":
        return sys.stdin.buffer
    try:
        plain = open(path, "rb")  # noqa: SIM115 - the caller closes it
    except (OSError, ValueError) as error:
        raise DataError(_reason(error), file=name) from error
    if not name.endswith(".gz"):
        return plain
    # The outer reader finds lines in C; GzipFile would do it in Python. Closing it closes both files below.
    return cast(BinaryIO, io.BufferedReader(_Gzip(plain), 1 << 16))


class _Gzip(gzip.GzipFile):
    """A gzip reader that closes the file it was given."""

    def __init__(self, plain: BinaryIO) -> None:
        self._plain = plain
        super().__init__(fileobj=plain, mode="rb")

    def close(self) -> None:
        super().close()
        self._plain.close()


def _reason(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "expected a file, found nothing of this name; check the path"
        case IsADirectoryError():
            return "expected a file, found a folder; name a file in it"
        case PermissionError():
            return "the file may not be read; check its permissions"
        case gzip.BadGzipFile() | EOFError() | zlib.error():
            return f"expected gzip data because of the name's .gz, found something else ({error}); unpack or rename it"
        case OSError():
            return f"the file cannot be read: {error.strerror or error}"
        case _:
            return f"the file cannot be opened: {error}"


def _lines(stream: BinaryIO, name: str, encoding: str, on_problem: Problem | None) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        if "\n".encode(encoding) != b"\n":
            yield from _whole(stream.read(), name, encoding, on_problem)
            return
        for raw in stream:
            number += 1
            if number == 1 and encoding == "utf-8" and raw.startswith(codecs.BOM_UTF8):
                raw = raw[3:]
            try:
                line = raw.decode(encoding)
            except UnicodeError as error:
                column = len(raw[: getattr(error, "start", 0)].decode(encoding, "replace")) + 1
                line = _mend(raw, encoding, error, name, number, column, on_problem)
            line = line.rstrip("\r\n")
            if "\r" in line:
                _bare(line, name, number, on_problem)
            yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(_reason(error), file=name, line=number + 1) from error


def _whole(data: bytes, name: str, encoding: str, on_problem: Problem | None) -> Iterator[tuple[int, str]]:
    """The lines of an encoding that cannot be cut at the byte 0x0a."""
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        good = data[: getattr(error, "start", 0)].decode(encoding, "ignore")
        row, column = good.count("\n") + 1, len(good) - good.rfind("\n")
        text = _mend(data, encoding, error, name, row, column, on_problem)
    lines = text.removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    for number, text in enumerate(lines, 1):
        line = text.rstrip("\r")
        if "\r" in line:
            _bare(line, name, number, on_problem)
        yield number, line


def _bare(line: str, name: str, number: int, on_problem: Problem | None) -> None:
    """A carriage return inside a line: a file with line ends of CR alone would be one long line of nonsense."""
    message = "expected lines that end in LF or CRLF, found a carriage return inside a line; convert the line ends"
    problem = DataError(message, file=name, line=number, column=line.index("\r") + 1)
    if on_problem is None:
        raise problem
    on_problem(problem)


def _mend(
    raw: bytes, encoding: str, error: UnicodeError, name: str, line: int, column: int, on_problem: Problem | None
) -> str:
    """Raise or report bytes that are not text; then read them with U+FFFD in the place of the bad ones."""
    found = f"the byte 0x{raw[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else "bytes that are not text"
    marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    mend = "--encoding utf-16" if line == 1 and raw.startswith(marks) else "--encoding and its name, such as latin-1"
    problem = DataError(
        f"expected {encoding} text, found {found}; save the file as UTF-8 or read it with {mend}",
        file=name,
        line=line,
        column=column,
    )
    if on_problem is None:
        raise problem from error
    on_problem(problem)
    return raw.decode(encoding, "replace")


@contextmanager
def open_output(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing: UTF-8, lines end in LF, "-" is standard output, ".gz" is packed.

    Raises ResourceError where the machine is at fault (full, read-only, forbidden), UsageError for a path that cannot
    be a file. A closed pipe is left to the caller.
    """
    name = os.fspath(path)
    try:
        if name == "-":
            out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
            try:
                yield out
                out.flush()
            finally:
                out.detach()  # standard output outlives us
        elif name.endswith(".gz"):
            # No name and no time inside, so that the same text gives the same file.
            with open(path, "wb") as plain, gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as packed:
                yield from _text(packed)
        else:
            with open(path, "wb") as plain:
                yield from _text(plain)
    except OSError as error:
        if error.errno in SCARCE:
            raise ResourceError(f"{name}: cannot be written: {error.strerror}; free space or choose another") from error
        if error.filename is not None and os.fspath(error.filename) == name:
            raise UsageError(
                f"{name}: cannot be written: {error.strerror}; name a file in a folder that exists"
            ) from error
        raise
    except ValueError as error:
        if "\0" in name:
            raise UsageError(f"{name!r}: a file's name cannot hold a NUL character") from error
        raise


def _text(binary: BinaryIO | gzip.GzipFile) -> Iterator[TextIO]:
    with io.TextIOWrapper(cast(BinaryIO, binary), encoding="utf-8", newline="\n") as out:
        yield out
