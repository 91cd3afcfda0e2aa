"""The paths that the server answers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router, WebSocketRoute

from elman.errors import ElmanError
from elman.serve import playground, schema
from elman.serve.guard import Guard, Seen
from elman.serve.hosting import Hosted, Models, OpenSession, Sessions
from elman.serve.inspecting import Rate
from elman.serve.lanes import Lane, Work
from elman.serve.logs import Log
from elman.serve.messages import Answers, Health, InspectRequest, ModelList, Opened, Piece, Push, SampleRequest
from elman.serve.metrics import Metrics
from elman.serve.operations import Operation
from elman.serve.problems import Problem, of_error, refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

HTML = b"text/html; charset=utf-8"
JSON, NDJSON, EVENTS = b"application/json", b"application/x-ndjson", b"text/event-stream"
Asked = list[tuple[Work, int]]  # of each text: its work, and its place in it
AT_ONCE = 64  # tokens of a session, after which others have their turn
encode = msgspec.json.Encoder().encode
Decoder = msgspec.json.Decoder


class App:
    """The server as an ASGI application."""

    def __init__(self, models: Models, token: bytes | None, log: Log) -> None:
        self.models, self.settings, self.log = models, models.settings, log
        self.sessions = Sessions(self.settings.max_sessions, self.settings.session_age)
        self.metrics = Metrics(lambda: len(models.quick) + len(models.slow), lambda: len(self.sessions))
        for lane in (models.quick, models.slow):
            lane.batch_sizes = self.metrics.batch
        models.changed = self._changed
        self.draining = False
        self._inspections = Rate(self.settings.inspect_rate)
        self._asks = token is not None
        self._decoders: dict[type, Decoder[Any]] = {}
        one = "/v1/models/{model}"
        session = one + "/sessions/{session}"
        routes = [
            *(_post(f"{one}/{name}", self.answering(name)) for name in schema.ANSWERING),  # asked most, so found first
            _get("/", self.playground),
            _get("/healthz", self.healthy),
            _get("/readyz", self.ready),
            _get("/metrics", self.measured),
            _get("/openapi.json", self.described),
            _get("/v1/models", self.listed),
            _get(one, self.about),
            _post(f"{one}/sample", self.sample),
            _post(f"{one}/inspect", self.inspect),
            _post(f"{one}/sessions", self.open),
            WebSocketRoute(f"{one}/sessions", _Asgi(self.socket)),
            _post(f"{session}/push", self.push),
            Route(session, _Asgi(self.close), methods=["DELETE"]),
        ]
        self._router = Router(routes, redirect_slashes=False)
        self._guard = Guard(self._route, self.settings, token, self.metrics, log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "POST":
            self.models.quick.require_room()  # before anything is read, or even looked for
        scope["app"] = self  # so that what is not found is raised
        try:
            await self._router(scope, receive, send)
        except HTTPException as problem:
            raise _of_http(problem, scope) from None

    def _changed(self, name: str, problem: str | None) -> None:
        self.metrics.reload(name, problem is None)
        if problem is None:
            self.log.write("loaded again", model=name)
        else:
            self.log.write("cannot be loaded, the old one stays", model=name, problem=problem)

    # About the server

    async def healthy(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, encode(Health("ok")))

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        busy = "draining" if self.draining else "full" if self.models.quick.full else None
        await reply(send, 503 if busy else 200, encode(Health(busy or "ok")))

    async def measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, self.metrics.text(), b"text/plain; version=0.0.4; charset=utf-8")

    @cached_property
    def _description(self) -> bytes:
        return encode(schema.openapi())

    async def described(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, self._description)

    @cached_property
    def _page(self) -> bytes:
        return playground.document(asks=self._asks)

    async def playground(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, self._page, HTML, playground.HEADERS)

    async def listed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, encode(ModelList([hosted.info() for hosted in self.models])))

    async def about(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, encode(self._hosted(scope).info()))

    # Answers to texts

    def answering(self, name: str) -> Endpoint:
        """The endpoint of an operation."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            hosted = self._hosted(scope)
            operation = hosted.operation(name)
            self._seen(scope).operation = name
            kind = content_type(scope)
            body = await read_body(scope, receive, self.settings.max_body)
            requests = self._lines(body, operation) if kind == NDJSON else [self._decode(body, operation.request)]
            asked = self._ask(scope, hosted, operation, requests)
            try:
                if kind == NDJSON or NDJSON in header(scope, b"accept"):
                    await self._stream(send, receive, asked)
                    return
                answers = [await work.answer(place) for work, place in asked]
            except ElmanError as problem:
                raise of_error(problem) from problem
            finally:
                cancel(asked)
            whole: Answers[Any] = Answers(answers[0]) if requests[0].text is not None else Answers(None, answers)
            await reply(send, 200, encode(whole))

        return answer

    def _lines(self, body: bytes, operation: Operation) -> list[Any]:
        """One request a line."""
        lines = [(i, line) for i, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(lines) > self.settings.max_texts:
            raise self._too_many("texts", self.settings.max_texts, len(lines))
        return [self._decode(line, operation.request, f"line {i}: ") for i, line in lines]

    def _ask(self, scope: Scope, hosted: Hosted, operation: Operation, requests: Sequence[Any]) -> Asked:
        """Check what is asked, and let it wait for its turn."""
        settings, tokens = self.settings, 0
        texts = [text for one in requests for text in _texts(one)]
        if len(texts) > settings.max_texts:
            raise self._too_many("texts", settings.max_texts, len(texts))
        parts: dict[bool, list[tuple[Any, int]]] = {False: [], True: []}
        order: list[tuple[bool, int]] = []
        for text in texts:
            item, size = operation.item(hosted.quick, text)
            tokens += size
            if tokens > settings.max_tokens:
                raise self._too_many("tokens", settings.max_tokens, tokens)
            long = size > settings.long_text
            order.append((long, len(parts[long])))
            parts[long].append((item, size))
        if any(operation.key(one) != operation.key(requests[0]) for one in requests):
            same = "the same options in every line"
            raise Problem(422, f"expected {same}, found different ones", expected=same)
        seen = self._seen(scope)
        seen.texts, seen.tokens = len(texts), tokens
        works = {long: hosted.work(operation, requests[0], some, long) for long, some in parts.items() if some}
        asked = [(works[long], place) for long, place in order]
        try:
            for long, work in works.items():
                self._lane(long).submit(work)
        except Problem:
            cancel(asked)
            raise
        return asked

    async def _stream(self, send: Send, receive: Receive, asked: Asked) -> None:
        """Answers as lines of JSON, each as soon as those before it are there; what goes wrong is the last line."""
        started, gone = False, asyncio.create_task(_left(receive))
        try:
            async for some in _in_order(asked):
                if gone.done():
                    return
                if not started:
                    await start(send, 200, NDJSON)
                    started = True
                await part(send, b"".join(encode(one) + b"\n" for one in some))
        except ElmanError as problem:
            if not started:
                raise
            await part(send, encode({"problem": of_error(problem).reply}) + b"\n")
        finally:
            gone.cancel()
        if not started:
            await start(send, 200, NDJSON)
        await part(send, b"", last=True)

    async def sample(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drawn text as server-sent events."""
        hosted = self._hosted(scope)
        self._seen(scope).operation = "sample"
        content_type(scope)
        request = self._decode(await read_body(scope, receive, self.settings.max_body), SampleRequest)
        if request.tokens + len(request.prompt) // 4 > self.settings.max_tokens:
            raise self._too_many("tokens", self.settings.max_tokens, request.tokens + len(request.prompt) // 4)
        more, started, gone = hosted.sampling(request), False, asyncio.create_task(_left(receive))
        try:
            while pieces := await self._done(self.models.slow, more(), going_on=started):
                if not started:
                    await start(send, 200, EVENTS, [(b"cache-control", b"no-store")])
                    started = True
                if gone.done():
                    return
                await part(send, b"".join(b"data: " + encode(Piece(text)) + b"\n\n" for text in pieces))
        finally:
            gone.cancel()
        if not started:
            await start(send, 200, EVENTS, [(b"cache-control", b"no-store")])
        await part(send, b"event: end\ndata: {}\n\n", last=True)

    async def inspect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The inside of a text: a View as JSON or, if that is accepted, the report."""
        hosted = self._hosted(scope)
        self._seen(scope).operation = "inspect"
        content_type(scope)
        request = self._decode(await read_body(scope, receive, self.settings.max_body), InspectRequest)
        as_page = b"text/html" in header(scope, b"accept")
        work = hosted.inspection(request, self.settings.inspect_tokens, as_page)
        self.models.inspecting.require_room()
        self._inspections.take()
        body = await self._done(self.models.inspecting, work)
        await reply(send, 200, body, HTML if as_page else JSON)

    # Sessions

    async def open(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosted = self._with_sessions(scope)
        self._seen(scope).operation = "open"
        await read_body(scope, receive, self.settings.max_body)
        session, name = await self._begin(hosted), secrets.token_urlsafe(18)
        self.sessions.add(name, session)
        where = f"/v1/models/{hosted.name}/sessions/{name}"
        await reply(send, 201, encode(Opened(name, self.settings.session_age)), headers=[(b"location", where.encode())])

    async def push(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hosted(scope)
        self._seen(scope).operation = "push"
        model, name = scope["path_params"]["model"], scope["path_params"]["session"]
        content_type(scope)
        push = self._decode(await read_body(scope, receive, self.settings.max_body), Push)
        await reply(send, 200, encode(await self._pushed(self.sessions.get(model, name), push, self._seen(scope))))

    async def close(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hosted(scope)
        self._seen(scope).operation = "close"
        self.sessions.remove(scope["path_params"]["model"], scope["path_params"]["session"])
        await reply(send, 204, b"")

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A session as a WebSocket: every message is a push, every answer what it gave; closing it ends the session."""
        hosted = self._with_sessions(scope)
        self._seen(scope).operation = "socket"
        assert (await receive())["type"] == "websocket.connect"
        session, name = await self._begin(hosted), secrets.token_urlsafe(18)
        self.sessions.add(name, session)
        try:
            await send({"type": "websocket.accept"})
            while True:
                async with asyncio.timeout(self.settings.session_age):
                    message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                body = message.get("text") or message.get("bytes") or b""
                try:
                    push = self._decode(body.encode() if isinstance(body, str) else body, Push)
                    async with asyncio.timeout(self.settings.timeout):
                        answer = encode(await self._pushed(session, push, self._seen(scope)))
                except TimeoutError:
                    answer = encode({"problem": Problem(504, "there was no answer in time").reply})
                except Problem as problem:
                    answer = encode({"problem": problem.reply})
                await send({"type": "websocket.send", "text": answer.decode()})
        except TimeoutError:
            await send({"type": "websocket.close", "code": 1001, "reason": "not used for too long"})
        finally:
            self.sessions.forget(name)

    async def _pushed(self, one: OpenSession, push: Push, seen: Seen) -> Any:
        if one.busy:
            raise Problem(409, "another push to this session is still being answered; wait for it")
        tokens = sum(1 + len(token) // 4 for token in push.tokens) + len(push.text) // 4
        if tokens > self.settings.max_tokens:
            raise self._too_many("tokens", self.settings.max_tokens, tokens)
        if push.text:
            push.tokens = [*push.tokens, *one.hosted.following.tokens(one.hosted.quick, push.text)]
        if len(push.tokens) > self.settings.max_texts:
            raise self._too_many("tokens of a push", self.settings.max_texts, len(push.tokens))
        seen.texts, seen.tokens = 1, len(push.tokens)
        read = one.reader(push)
        answers: list[Any] = []
        one.busy = True
        try:
            for first in range(0, max(len(push.tokens), 1), AT_ONCE):  # others have their turn in between
                some, last = push.tokens[first : first + AT_ONCE], first + AT_ONCE >= len(push.tokens)
                part_of = msgspec.structs.replace(push, tokens=some, finish=push.finish and last)
                work = Work(object(), lambda _, p=part_of: [read(p)], [None], [max(len(some), 1)])  # type: ignore[misc]
                answers.append(await self._done(self.models.quick, work, going_on=bool(answers)))
        finally:
            one.busy, one.used = False, time.monotonic()
        return one.hosted.following.joined(answers)

    async def _begin(self, hosted: Hosted) -> OpenSession:
        """A new session. Raises Problem if there are too many."""
        self.sessions.require_room()
        work = Work(object(), lambda _: [hosted.quick.session()], [None], [1])
        return OpenSession(hosted, await self._done(self.models.quick, work))

    async def _done(self, lane: Lane, work: Work, *, going_on: bool = False) -> Any:
        """The answer to a work of one item."""
        lane.submit(work, going_on=going_on)
        try:
            return await work.answer(0)
        except ElmanError as problem:
            raise of_error(problem) from problem
        finally:
            work.cancelled = True

    # What they share

    def _hosted(self, scope: Scope) -> Hosted:
        hosted = self.models[scope["path_params"]["model"]]
        self._seen(scope).model = hosted.name
        return hosted

    def _with_sessions(self, scope: Scope) -> Hosted:
        hosted = self._hosted(scope)
        if not hosted.sessions:
            raise Problem(
                404,
                f"{hosted.name} has no sessions: they need a tagger, a classifier or a language model that reads "
                "in one direction",
            )
        return hosted

    def _seen(self, scope: Scope) -> Seen:
        seen: Seen = scope["seen"]
        return seen

    def _lane(self, long: bool) -> Lane:
        return self.models.slow if long else self.models.quick

    def _decode(self, body: bytes, kind: type, where: str = "") -> Any:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = Decoder(kind)
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
            raise refused(problem, where) from None

    def _too_many(self, what: str, most: int, found: int) -> Problem:
        expected = f"at most {most:,} {what} a request"
        return Problem(413, f"expected {expected}, found {found:,}", expected=expected, found=f"{found:,}")


class _Asgi:
    """An endpoint that Starlette takes for an application of its own, and does not wrap."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.endpoint(scope, receive, send)


def _get(path: str, endpoint: Endpoint) -> Route:
    return Route(path, _Asgi(endpoint), methods=["GET"])


def _post(path: str, endpoint: Endpoint) -> Route:
    return Route(path, _Asgi(endpoint), methods=["POST"])


def _of_http(problem: HTTPException, scope: Scope) -> Problem:
    headers = dict(problem.headers or {})
    if problem.status_code == 405:
        allowed = headers.get("Allow", "")
        return Problem(
            405,
            f"expected {allowed}, found {scope['method']}",
            expected=allowed,
            found=scope["method"],
            headers=headers,
        )
    return Problem(problem.status_code, "nothing is served at this path; see /openapi.json", headers=headers)


def _texts(request: Any) -> list[Any]:
    """Its texts. Raises Problem unless there is one `text` or a list of `texts`."""
    if (request.texts is None) == (request.text is None):
        expected, found = "either text or texts", "neither" if request.text is None else "both"
        raise Problem(422, f"expected {expected}, found {found}", expected=expected, found=found, where="$")
    if request.texts is None:
        return [request.text]
    return list(request.texts)


async def _in_order(asked: Asked) -> AsyncIterator[list[Any]]:
    """The answers in the order of the texts, as many at a time as are there."""
    some: list[Any] = []
    for work, place in asked:
        if some and not work.known(place):
            yield some
            some = []
        some.append(await work.answer(place))
    if some:
        yield some


async def _left(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def cancel(asked: Asked) -> None:
    """Nobody waits for the rest of the answers."""
    for work, _ in asked:
        work.cancelled = True


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of this name, in lower case; empty if there is none."""
    value: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return value.lower()


def content_type(scope: Scope) -> bytes:
    """JSON or NDJSON. Raises Problem for anything else: a browser sends other types to any address without asking."""
    kind = header(scope, b"content-type").partition(b";")[0].strip()
    if kind not in (JSON, NDJSON):
        expected = f"content-type: {JSON.decode()} or {NDJSON.decode()}"
        shown = kind[:80].decode("latin-1") or "none"
        raise Problem(415, f"expected {expected}, found {shown}", expected=expected, found=shown)
    return kind


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """All of it. Raises Problem for more than so many bytes, and where the client went away."""
    expected = f"a body of at most {most:,} bytes"
    stated = header(scope, b"content-length")
    if stated.isdigit() and int(stated) > most:
        raise Problem(413, f"expected {expected}, found {int(stated):,}", expected=expected, headers=CLOSE)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "expected a whole body, found its end too early", headers=CLOSE)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise Problem(413, f"expected {expected}, found more", expected=expected, headers=CLOSE)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


CLOSE = {"connection": "close"}  # the rest of the request is not read


async def reply(
    send: Send, status: int, body: bytes, kind: bytes = JSON, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A whole answer."""
    length = [] if status == 204 else [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def start(send: Send, status: int, kind: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """The beginning of an answer in parts."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *headers]})


async def part(send: Send, body: bytes, *, last: bool = False) -> None:
    """A part of it."""
    await send({"type": "http.response.body", "body": body, "more_body": not last})
