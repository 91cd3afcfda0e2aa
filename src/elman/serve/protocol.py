"""One connection: uvicorn's protocol, with limits on what it may cost before a request begins."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from elman.serve.problems import TYPE, Problem, busy

HEAD = 1 << 16  # bytes of a request line and its headers


class Protocol(HttpToolsProtocol):
    """most: connections at a time; one more is answered with 503 and closed. patience: seconds for a request's headers.

    So nobody who is slow, or sends headers without end, keeps a connection."""

    most: ClassVar[int] = 1000
    patience: ClassVar[float] = 30.0

    _head = 0  # bytes of headers so far
    _reading_head = True
    _complete = False  # whether headers, or a whole request, ended in the last bytes
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(busy(f"{self.most} connections are open already; try again later"))
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._reading_head and self._late is None:
            self._wait_for_head()
        self._complete = False
        super().data_received(data)
        if self._reading_head and not self._complete:
            self._head += len(data)
            if self._head > HEAD and not self.transport.is_closing():
                self._refuse(Problem(431, f"expected at most {HEAD:,} bytes of headers, found more"))

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._reading_head, self._head, self._complete = False, 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading_head, self._complete = True, True

    def send_400_response(self, msg: str) -> None:
        """Of bytes that are not a request. The name is uvicorn's."""
        self._refuse(Problem(400, "expected an HTTP request, found something else"))

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self.patience, self._too_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refuse(Problem(408, f"expected a request's headers within {self.patience:g} seconds"))

    def _refuse(self, problem: Problem) -> None:
        body = problem.body()
        lines = [
            f"HTTP/1.1 {problem.status} {problem.reply.title}",
            f"content-type: {TYPE.decode()}",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()
