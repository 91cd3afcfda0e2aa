"""Text files in and out: gzip by suffix, "-" for the standard streams, and every fault reported with its location."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import BinaryIO, TextIO, cast

from elman.errors import DataError, ResourceError, UsageError

Problem = Callable[[DataError], None]
Path = str | os.PathLike[str]
Lines = Generator[tuple[int, str], None, None]
# A line is read as one piece, so it must fit into memory several times over; corpora of a single line (text8) do.
LONGEST_LINE = 1 << 27
# Text compresses to a third or a tenth. Data that unpacks to this many times its size is made to fill memory.
MOST_UNPACKED, UNJUDGED = 200, 1 << 22
# Failures of the machine, as opposed to wrong arguments.
SCARCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class FileFault(DataError):
    """A fault that is not confined to one sentence or example: what the bytes mean, or where one ends, is unknown."""


class LineFault(DataError):
    """A fault of one line, after which reading its sentence or example continues."""


def name_of(path: Path) -> str:
    """The name of a file in messages; standard input is `<stdin>`."""
    return "<stdin>" if os.fspath(path) == "-" else os.fspath(path)


def readable_again(path: Path) -> bool:
    """False for standard input, a pipe or a device, which can be read only once."""
    return os.fspath(path) != "-" and (os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path))


def require_file(path: Path) -> None:
    """Raise UsageError for what can be read only once."""
    if not readable_again(path):
        raise UsageError(
            f"{name_of(path)}: expected a file, which can be read more than once, found a pipe or a device; "
            "write it to a file first"
        )


@contextmanager
def open_text(
    path: Path, encoding: str = "utf-8", *, on_problem: Problem | None = None
) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text file as (line number from 1, line without its end).

    "-" is standard input; a name ending in ".gz" is unpacked. A byte order mark is removed. Lines end in LF or CRLF,
    the last may lack its end; a carriage return inside a line is a fault. Lines are streamed, whatever the encoding.

    Raises DataError, with line and column where there is one, for a file that is missing, a folder, not readable,
    not gzip or not in this encoding, for a line of more than LONGEST_LINE bytes and for gzip data that unpacks to
    MOST_UNPACKED times its size; UsageError for an unknown encoding. With `on_problem`, bytes that cannot be
    decoded are reported to it as a FileFault, one problem per line, and read as U+FFFD.
    """
    encoding = _known(encoding)
    name = name_of(path)
    stream = _open(path, name)
    try:
        with closing(_lines(stream, name, encoding, on_problem)) as lines:
            yield lines
    finally:
        if os.fspath(path) != "-":
            stream.close()


@contextmanager
def open_pieces(path: Path, encoding: str = "utf-8") -> Iterator[Iterator[str]]:
    """Open a text file as pieces of text, each as soon as it is there, without waiting for the end of a line.

    Otherwise as `open_text`, but for carriage returns, which are left in."""
    encoding = _known(encoding)
    name = name_of(path)
    stream = _open(path, name)
    try:
        yield _pieces(stream, name, encoding)
    finally:
        if os.fspath(path) != "-":
            stream.close()


def _pieces(stream: BinaryIO, name: str, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(_MARK)
    line, column, first = 1, 0, True  # where the next piece begins
    while True:
        try:
            data: bytes = stream.read1(1 << 16)  # type: ignore[attr-defined]
        except (OSError, EOFError, zlib.error) as error:
            raise FileFault(_reason(error), file=name) from error
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeError as error:
            message = f"expected {encoding} text, found something else ({error}); name the encoding and its byte order"
            raise FileFault(f"{message}, such as {encoding}-le", file=name, line=1, column=1) from error
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if marked := _MARKED.search(text):
            before = text[: marked.start()]
            line, ends = line + before.count("\n"), before.rfind("\n")
            at = marked.start() - ends if ends >= 0 else column + marked.start() + 1
            yield before
            _undecodable(encoding, ord(marked[0]) - 0xDC00, name, line, at, None)
        if text:
            yield text
            line, ends = line + text.count("\n"), text.rfind("\n")
            column = len(text) - ends - 1 if ends >= 0 else column + len(text)
        if column > LONGEST_LINE:
            raise _too_long(name, line)
        if not data:
            return


def _known(encoding: str) -> str:
    try:
        known = codecs.lookup(encoding).name
        "\n".encode(known)
        b"\xff".decode(known, "replace")  # some codecs are not for text, some cannot continue after an error
    except (LookupError, ValueError):
        raise UsageError(f"unknown encoding {encoding!r}; expected one that Python knows, such as utf-8") from None
    return "utf-8" if known == "utf-8-sig" else known


def _open(path: Path, name: str) -> BinaryIO:
    if os.fspath(path) == "-":
        if _closed(sys.stdin):
            raise DataError("expected text on standard input, found it closed; name a file", file=name)
        return sys.stdin.buffer
    try:
        plain = open(path, "rb")  # noqa: SIM115 - the caller closes it
    except (OSError, ValueError) as error:
        raise DataError(_reason(error), file=name) from error
    if not name.endswith(".gz"):
        return plain
    # The outer reader finds lines in C; GzipFile would do it in Python. Closing it closes both files below.
    return cast(BinaryIO, io.BufferedReader(_Gzip(plain, name), 1 << 16))


def _closed(stream: object) -> bool:
    """Whether the caller closed a standard stream. Python leaves None there, and the command line the null device."""
    return stream is None or getattr(stream, "name", None) == os.devnull


class _Counted:
    """A file that counts the bytes read from it; a pipe does not know its position."""

    def __init__(self, plain: BinaryIO) -> None:
        self.plain, self.count = plain, 0

    def read(self, size: int = -1) -> bytes:
        data = self.plain.read(size)
        self.count += len(data)
        return data


class _Gzip(gzip.GzipFile):
    """A gzip reader that closes the file it was passed, and refuses data that unpacks to far more than text does."""

    def __init__(self, plain: BinaryIO, name: str) -> None:
        self._plain, self._packed, self._name, self._unpacked = plain, _Counted(plain), name, 0
        super().__init__(fileobj=cast(BinaryIO, self._packed), mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._unpacked += len(data)
        if self._unpacked > UNJUDGED and self._unpacked > MOST_UNPACKED * self._packed.count:
            raise FileFault(
                f"expected compressed text, found data that unpacks to over {MOST_UNPACKED} times its size; "
                "if it is text, unpack it first",
                file=self._name,
            )
        return data

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
            return "no permission to read the file; check its permissions"
        case gzip.BadGzipFile() | EOFError() | zlib.error():
            return (
                f"expected gzip data because the name ends in .gz, found something else ({error}); unpack or rename it"
            )
        case OSError():
            return f"the file cannot be read: {error.strerror or error}"
        case _:
            return f"the file cannot be opened: {error}"


def _lines(stream: BinaryIO, name: str, encoding: str, on_problem: Problem | None) -> Lines:
    number = 0
    try:
        if "\n".encode(encoding) != b"\n":
            pieces = _decoded(stream, name, encoding, on_problem)
        else:
            pieces = _split(stream, name, encoding, on_problem)
        with closing(pieces):
            for number, piece in pieces:
                line = piece.rstrip("\r\n")
                if "\r" in line:
                    _bare(line, name, number, on_problem)
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(_reason(error), file=name, line=number + 1) from error


def _split(stream: BinaryIO, name: str, encoding: str, on_problem: Problem | None) -> Lines:
    """Numbered lines with their ends, of an encoding that can be cut at the byte 0x0a."""
    for number, raw in enumerate(iter(partial(stream.readline, LONGEST_LINE + 1), b""), 1):
        if len(raw) > LONGEST_LINE:
            raise _too_long(name, number)
        if number == 1 and encoding == "utf-8" and raw.startswith(codecs.BOM_UTF8):
            raw = raw[3:]
        try:
            line = raw.decode(encoding)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            column = len(raw[:start].decode(encoding, "replace")) + 1
            bad = raw[start] if isinstance(error, UnicodeDecodeError) else None
            utf16 = number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            _undecodable(encoding, bad, name, number, column, on_problem, utf16=utf16)
            line = raw.decode(encoding, "replace")
        if encoding != "utf-8" and (half := _HALF.search(line)):  # UTF-7 and Python's escapes can spell one
            _undecodable(encoding, None, name, number, half.start() + 1, on_problem)
            line = _HALF.sub("\ufffd", line)
        yield number, line


def _decoded(stream: BinaryIO, name: str, encoding: str, on_problem: Problem | None) -> Lines:
    """The same for all other encodings: decoded first. Half a surrogate pair, which no such text can contain, marks the
    place of a byte that cannot be decoded, so that its line and column are known when the line is complete."""
    decoder = io.TextIOWrapper(stream, encoding, _MARK, newline="\n")
    try:
        for number, line in enumerate(iter(partial(decoder.readline, LONGEST_LINE + 1), ""), 1):
            if len(line) > LONGEST_LINE:
                raise _too_long(name, number)
            if number == 1:
                line = line.removeprefix("\ufeff")
            if marked := _MARKED.search(line):
                bad, column = ord(marked[0]) - 0xDC00, marked.start() + 1
                _undecodable(encoding, bad, name, number, column, on_problem)
                line = _MARKED.sub("\ufffd", line)
            yield number, line
    except UnicodeError as error:  # no byte order mark, where there must be one
        message = f"expected {encoding} text, found something else ({error}); name the encoding and its byte order"
        raise FileFault(f"{message}, such as {encoding}-le", file=name, line=1, column=1) from error
    finally:
        decoder.detach()  # whoever opened the stream closes it


_MARK = "elman.mark"
_MARKED = re.compile("[\udc00-\udcff]")
_HALF = re.compile("[\ud800-\udfff]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error(_MARK, _mark)


def _too_long(name: str, number: int) -> DataError:
    return FileFault(
        f"expected a line of at most {LONGEST_LINE >> 20} MiB, found a longer one; is this text with line ends?",
        file=name,
        line=number,
    )


def _bare(line: str, name: str, number: int, on_problem: Problem | None) -> None:
    """A carriage return inside a line: a file with line ends of CR alone would be one long line of nonsense."""
    message = "expected lines that end in LF or CRLF, found a carriage return inside a line; convert the line ends"
    problem = LineFault(message, file=name, line=number, column=line.index("\r") + 1)
    if on_problem is None:
        raise problem
    on_problem(problem)


def _undecodable(
    encoding: str,
    bad: int | None,
    name: str,
    line: int,
    column: int,
    on_problem: Problem | None,
    *,
    utf16: bool = False,
) -> None:
    """Raise or report a byte that is not text in this encoding. utf16: the file begins with the mark of UTF-16."""
    what = "bytes that are not text" if bad is None else f"the byte 0x{bad:02x}"
    fix = "--encoding utf-16" if utf16 else "--encoding and its name, such as latin-1"
    problem = FileFault(
        f"expected {encoding} text, found {what}; save the file as UTF-8 or read it with {fix}",
        file=name,
        line=line,
        column=column,
    )
    if on_problem is None:
        raise problem
    on_problem(problem)


@contextmanager
def open_output(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing: UTF-8, lines end in LF, "-" is standard output, ".gz" is packed.

    Raises ResourceError where the machine is at fault (full, read-only, forbidden), UsageError for a path that cannot
    be a file. A closed pipe is left to the caller.
    """
    name = os.fspath(path)
    try:
        if name == "-":
            if _closed(sys.stdout):
                raise ResourceError("standard output is closed, so the answers cannot be written; name a file for them")
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
            shown = "standard output" if name == "-" else name
            raise ResourceError(
                f"{shown}: cannot be written: {error.strerror}; free space or choose another"
            ) from error
        if error.filename is not None and os.fspath(error.filename) == name:
            raise UsageError(
                f"{name}: cannot be written: {error.strerror}; name a file in a folder that exists"
            ) from error
        raise
    except ValueError as error:
        if "\0" in name:
            raise UsageError(f"{name!r}: a file name cannot contain a NUL character") from error
        raise


def _text(binary: BinaryIO | gzip.GzipFile) -> Iterator[TextIO]:
    with io.TextIOWrapper(cast(BinaryIO, binary), encoding="utf-8", newline="\n") as out:
        yield out
