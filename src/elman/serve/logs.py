"""The log: lines of JSON on standard error, without the texts."""

from __future__ import annotations

import datetime
import sys
from contextlib import suppress
from typing import Any, TextIO

import msgspec


class Log:
    """requests: whether each request has a line."""

    def __init__(self, stream: TextIO | None = None, requests: bool = True) -> None:
        self._stream, self.requests = stream or sys.stderr, requests

    def write(self, event: str, **about: Any) -> None:
        """One line. about: no texts."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with suppress(OSError, ValueError):  # nobody reads it
            self._stream.write(msgspec.json.encode({"time": now, "event": event, **about}).decode() + "\n")
            self._stream.flush()
