"""Errors as application/problem+json (RFC 9457): what was expected, what was found, where; never a trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from elman.errors import DataError, ElmanError, UsageError, shorten

TYPE = b"application/problem+json"
_MISMATCH = re.compile(
    r"(?:Expected (?P<expected>.+?)(?:, got (?P<found>.+?))?|.+?)(?: - at (?P<where>.+))?", re.DOTALL
)


class ProblemReply(msgspec.Struct, omit_defaults=True):
    """The body of every answer that is an error. detail: one sentence; where: a place in the request, such as
    $.texts[3]."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    expected: str | None = None
    found: str | None = None
    where: str | None = None


class Problem(Exception):
    """A request that cannot be answered. headers: of the answer, besides its type."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.headers = status, dict(headers or {})
        self.reply = ProblemReply(HTTPStatus(status).phrase, status, detail, "about:blank", expected, found, where)

    def body(self) -> bytes:
        """The answer's body."""
        return msgspec.json.encode(self.reply)


def busy(detail: str, seconds: int = 1) -> Problem:
    """More than the server takes on now."""
    return Problem(503, detail, headers={"retry-after": str(seconds)})


def refused(problem: msgspec.DecodeError | RecursionError | UnicodeDecodeError, where: str = "") -> Problem:
    """A body that is not JSON, or not of the right form. where: of the JSON in the body, if it has several."""
    if isinstance(problem, RecursionError):
        return Problem(400, "expected JSON, found lists or objects nested too deeply", where=where or None)
    text = str(problem).replace("`", "")
    if not isinstance(problem, msgspec.ValidationError):
        return Problem(400, f"expected JSON: {text}", expected="JSON", found=text, where=where or None)
    match = _MISMATCH.fullmatch(text)
    assert match is not None
    place = where + (match["where"] or "")
    return Problem(422, text, expected=match["expected"], found=match["found"], where=place or None)


def of_error(problem: Exception, where: str | None = None) -> Problem:
    """An error of elman that a text or an option of a request caused."""
    if isinstance(problem, UsageError | DataError):
        expected, comma, found = str(problem).partition(", found ")
        halves = (expected.removeprefix("expected "), found) if comma else (None, None)
        return Problem(422, str(problem), expected=halves[0], found=halves[1], where=where)
    if isinstance(problem, ElmanError):
        return Problem(503, f"the model cannot answer now: {shorten(str(problem), 200)}")
    raise problem
