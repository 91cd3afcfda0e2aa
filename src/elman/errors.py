"""The errors that elman raises on purpose.

    ElmanError                 exit code
      UsageError               2   a wrong flag, key or argument; a call that cannot be served
      DataError                3   a user's file that is not what it should be (file:line:column)
      ModelError               4   a model folder that is broken, too new, or needs --allow-code
      ResourceError            5   disk full, read-only folder, too little memory, a missing tool
      Interrupted            130   stopped by Ctrl-C or SIGTERM; a checkpoint is saved

Everything else that escapes is a bug of ours (exit code 1).
"""

from __future__ import annotations

from collections.abc import Iterable


class ElmanError(Exception):
    """Base of all errors raised on purpose. The message says what was expected, what was found and how to fix it."""

    exit_code = 1


class UsageError(ElmanError, ValueError):
    """The call itself is wrong: an unknown key, an impossible combination, an argument of the wrong shape."""

    exit_code = 2


class DataError(ElmanError, ValueError):
    """A file or text is not what it should be.

    `where` is `file:line:column` as far as known (line and column count from 1, columns in characters).
    """

    exit_code = 3

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        self.file, self.line, self.column = file, line, column
        self.problem = message
        self.where = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{self.where}: {message}" if self.where else message)


class ModelError(ElmanError):
    """A model folder cannot be loaded or resumed; the message names the file in it that is at fault."""

    exit_code = 4


class ResourceError(ElmanError):
    """The machine lacks what the work needs: disk space, a writable folder, memory."""

    exit_code = 5


class Interrupted(ElmanError):
    """Training was asked to stop (Ctrl-C, SIGTERM) and can be resumed; the message says from where and how."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the known name that was probably meant, or all of them."""
    import difflib  # late: every `elman --help` loads this file

    name, known = name[:80], list(known)  # it may come from anywhere, and comparing takes time
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"expected one of: {quoted(known)}"


def shorten(value: object, limit: int = 40) -> str:
    """A value from a file, quoted for a message and kept short."""
    if not isinstance(value, str):
        return repr(value) if len(repr(value)) <= limit else repr(value)[: limit - 3] + "..."
    return repr(value if len(value) <= limit else value[: limit - 3] + "...")


def quoted(names: Iterable[str]) -> str:
    """A list of names in an error: each in quotes, so that a space or a comma in one is visible."""
    return ", ".join(repr(name) for name in names) or "none"


class Notice(UserWarning):
    """Something that a user should know but that is not an error. The command line prints it as a note."""


class SlowPath(Notice):
    """Something runs correctly but slower than it could, such as a cell that is not compiled; reported once."""
