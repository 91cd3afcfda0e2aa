"""What stands before every path: the token, the time limit, errors in one form, the log and the counters."""

from __future__ import annotations

import asyncio
import hmac
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from elman.serve.config import ServeConfig
from elman.serve.logs import Log
from elman.serve.metrics import Metrics
from elman.serve.problems import TYPE, Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OPEN = ("/", "/healthz", "/readyz")  # without the token: the page that asks for it, and whether the server lives


@dataclass
class Seen:
    """What the log and the counters say of a request."""

    model: str = ""
    operation: str = ""
    texts: int = 0
    tokens: int = 0
    status: int = 0
    started: bool = False


class Guard:
    """Around an ASGI application that raises `Problem`."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        settings: ServeConfig,
        token: bytes | None,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._app, self._settings, self._metrics, self._log = app, settings, metrics, log
        self._expected = None if token is None else b"Bearer " + token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = scope["seen"] = Seen()
        began, complete = time.monotonic(), False

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                seen.started, seen.status = True, message["status"]
            await send(message)

        async def received() -> MutableMapping[str, Any]:
            nonlocal complete
            message = await receive()
            complete = not message.get("more_body")
            return message

        try:
            async with asyncio.timeout(self._settings.timeout):
                try:
                    self._check(scope)
                    await self._app(scope, received, sent)
                except Problem as problem:
                    if seen.started:
                        seen.status = problem.status  # the answer breaks off, which the client sees
                    else:
                        await _reply(sent, problem)
        except TimeoutError:
            limit = f"{self._settings.timeout:g} seconds"
            late = Problem(504, f"there was no answer within {limit}") if complete else _slow(limit)
            seen.status = late.status
            if not seen.started:
                await _reply(send, late)
        except Exception as problem:
            seen.status = 500
            self._wrong(seen, problem)
            if not seen.started:
                await _reply(send, Problem(500, "a bug in the server; its log says where"))
        finally:
            seconds = time.monotonic() - began
            self._metrics.request(seen.model, seen.operation, seen.status, seconds, seen.texts, seen.tokens)
            if self._log.requests:
                self._write("request", scope["method"], seen, seconds)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = scope["seen"] = Seen(status=101)
        began = time.monotonic()

        async def sent(message: MutableMapping[str, Any]) -> None:
            seen.started = seen.started or message["type"] == "websocket.accept"
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, sent)
        except Problem as problem:
            seen.status = problem.status
            if not seen.started:
                await _deny(scope, send, problem)
        except Exception as problem:
            seen.status = 500
            self._wrong(seen, problem)
            if seen.started:
                await send({"type": "websocket.close", "code": 1011})
            else:
                await _deny(scope, send, Problem(500, "a bug in the server; its log says where"))
        finally:
            seconds = time.monotonic() - began
            self._metrics.request(seen.model, seen.operation, seen.status, seconds, 0, 0)
            if self._log.requests:
                self._write("socket", "GET", seen, seconds)

    def _check(self, scope: Scope) -> None:
        """Raise Problem unless the request has the token."""
        if self._expected is None or scope["path"] in OPEN:
            return
        given = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
        if not hmac.compare_digest(given, self._expected):
            raise Problem(
                401,
                "expected the header Authorization: Bearer TOKEN with the token of this server",
                expected="Authorization: Bearer TOKEN",
                found="another token" if given else "none",
                headers={"www-authenticate": "Bearer"},
            )

    def _write(self, event: str, method: str, seen: Seen, seconds: float) -> None:
        self._log.write(
            event,
            method=method,
            model=seen.model,
            operation=seen.operation,
            status=seen.status,
            milliseconds=round(1000 * seconds, 2),
            texts=seen.texts,
            tokens=seen.tokens,
        )

    def _wrong(self, seen: Seen, problem: Exception) -> None:
        """Where, but not what the error says, which may quote a text."""
        places = [f"{at.filename}:{at.lineno}" for at in traceback.extract_tb(problem.__traceback__)][-8:]
        self._log.write("bug", kind=type(problem).__name__, at=places, model=seen.model, operation=seen.operation)


def _slow(limit: str) -> Problem:
    return Problem(408, f"expected the whole request within {limit}", headers={"connection": "close"})


def _headers(problem: Problem, body: bytes) -> list[tuple[bytes, bytes]]:
    more = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [(b"content-type", TYPE), (b"content-length", str(len(body)).encode()), *more]


async def _reply(send: Send, problem: Problem) -> None:
    body = problem.body()
    await send({"type": "http.response.start", "status": problem.status, "headers": _headers(problem, body)})
    await send({"type": "http.response.body", "body": body})


async def _deny(scope: Scope, send: Send, problem: Problem) -> None:
    """Refuse a WebSocket before it is accepted."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": problem.reply.detail[:120]})
        return
    body = problem.body()
    headers = _headers(problem, body)
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
