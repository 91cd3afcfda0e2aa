"""Nothing that a client does makes the server answer 500, show a trace, hold up others or forget its limits."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.conftest import WORDS, Server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from elman.serve.problems import ProblemReply

# The whole run of the benchmark is REQUESTS=20000 pytest tests/serve/test_robust.py
EXAMPLES = int(os.environ.get("REQUESTS", "400"))


def checked(reply: httpx.Response) -> httpx.Response:
    """No bug, no trace; errors in their one form."""
    assert (
        reply.status_code not in (500, 501, 502) and b"Traceback" not in reply.content and b"File " not in reply.content
    )
    if reply.status_code >= 400:
        assert reply.headers["content-type"] == "application/problem+json", reply.text
        problem = msgspec.json.decode(reply.content, type=ProblemReply)
        assert problem.status == reply.status_code and problem.title and problem.detail
    return reply


keys = st.sampled_from(
    ["text", "texts", "probabilities", "nbest", "tokens", "finish", "prompt", "seed", "beam", "top_p", "top_k", "x"]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([10**400, -1, 2**63])
strange = st.text(max_size=30) | st.sampled_from(["", "the cat", "\x00", "\ud800", "a" * 5000, "🦊\u202e"])
values = st.recursive(
    st.none() | st.booleans() | numbers | strange,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | strange, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)


@st.composite
def bodies(draw: Any) -> bytes:
    """JSON that is nearly right, JSON of anything, JSON that was damaged, and bytes."""
    whole = json.dumps(draw(objects | values)).encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 5)):
        case 0:
            place = draw(st.integers(0, len(whole)))
            return whole[:place] + draw(st.binary(max_size=4)) + whole[place + draw(st.integers(0, 3)) :]
        case 1:
            return draw(st.binary(max_size=60))
        case 2:
            return b"\n".join(json.dumps(draw(objects)).encode() for _ in range(draw(st.integers(0, 3))))
        case 3:
            return b"[" * draw(st.sampled_from([1, 1000, 100_000])) + whole
    return whole


paths = st.sampled_from(
    [
        *[f"/v1/models/{name}/predict" for name in ("both", "crf", "classifier", "hmm")],
        *[
            "/v1/models/lm/score",
            "/v1/models/lm/sample",
            "/v1/models/seq2seq/translate",
            "/v1/models/classifier/encode",
        ],
        *["/v1/models/delayed/sessions", "/v1/models/delayed/sessions/x/push", "/v1/models/none/predict", "/v1/models"],
        *["/healthz", "/metrics", "/openapi.json", "/", "//", "/v1/models/%00/predict", "/v1/models/../healthz", "/é"],
    ]
)
kinds = st.sampled_from(["application/json", "application/x-ndjson", "text/plain", "", "application/json; charset=x"])
methods = st.sampled_from(["POST"] * 6 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(methods, paths, kinds, bodies(), st.booleans())
def test_malformed_requests(http: httpx.Client, method: str, path: str, kind: str, body: bytes, lines: bool) -> None:
    headers = {"content-type": kind, **({"accept": "application/x-ndjson"} if lines else {})}
    reply = http.request(method, path, content=body, headers=headers)
    if method != "HEAD":
        checked(reply)


GARBAGE = [
    b"GARBAGE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/models/both/predict HTTP/1.1\r\ncontent-length: -3\r\n\r\n",
    b"POST /v1/models/both/predict HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nx: " + bytes(range(256)) + b"\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 100,
    b"POST /v1/models/both/predict HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
    b"GET /v1/models/both/sessions HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n" * 300,
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_bytes_that_are_no_request(server: Server, http: httpx.Client, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as one:
        try:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            received = one.recv(1 << 20)
        except OSError:
            received = b""
    assert b" 500 " not in received[:20] and b"Traceback" not in received
    if received[9:12] == b"400":
        head, _, body = received.partition(b"\r\n\r\n")
        if b"problem+json" in head:
            assert msgspec.json.decode(body, type=ProblemReply).status == 400
    assert http.get("/healthz").status_code == 200


def test_slow_clients_hold_up_nobody(start: Callable[..., Server]) -> None:
    """Twenty that send a byte at a time, and ten that do not read: the others do not notice, and they are sent away."""
    server = start("delayed", "--timeout", "3")
    body = json.dumps({"texts": [WORDS] * 300}).encode()
    head = b"POST /v1/models/delayed/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    for one in slow[20:]:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    whole = head + b"content-length: 9999\r\n\r\n" + b" " * 9999
    ended, began, longest = set[int](), time.monotonic(), 0.0
    with httpx.Client(base_url=server.url, timeout=20) as http:
        for i in range(len(whole)):
            for k, one in enumerate(slow[:20]):
                if k not in ended:
                    try:
                        one.send(whole[i : i + 1])
                        one.setblocking(False)
                        if one.recv(1 << 16):
                            ended.add(k)
                    except BlockingIOError:
                        pass
                    except OSError:
                        ended.add(k)
            asked = time.monotonic()
            assert http.post("/v1/models/delayed/predict", json={"text": ["the"]}).status_code == 200
            longest = max(longest, time.monotonic() - asked)
            if len(ended) == 20 or time.monotonic() - began > 60:
                break
            time.sleep(0.05)
    assert len(ended) == 20 and longest < 20
    for one in slow:
        one.close()


LIMITS = [
    ("--max-body 200", "/v1/models/both/predict", {"text": "a " * 200}, 413, "a body of at most 200 bytes"),
    ("--max-texts 3", "/v1/models/both/predict", {"texts": ["a"] * 4}, 413, "at most 3 texts a request"),
    (
        "--max-tokens 50",
        "/v1/models/both/predict",
        {"texts": ["a " * 19] * 3},
        413,
        "at most 50 tokens a request",
    ),
    ("--max-tokens 50", "/v1/models/lm/sample", {"tokens": 51}, 413, "at most 50 tokens a request"),
]


def test_each_limit_has_its_answer(start: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    small = start(
        "both lm delayed",
        *["--max-body", "200", "--max-texts", "3", "--max-tokens", "50", "--max-sessions", "2", "--session-age", "0.5"],
        *["--token-file", tmp_path / "token", "--max-connections", "3"],
    )
    headers = {"authorization": "Bearer s3cret"}
    with httpx.Client(base_url=small.url, timeout=20, headers=headers) as http:
        for _, path, body, status, words in LIMITS:
            reply = checked(http.post(path, json=body))
            assert reply.status_code == status and words in reply.json()["detail"], reply.text

        def chunks() -> Any:
            for _ in range(30):
                yield b" " * 20

        reply = checked(
            http.post("/v1/models/both/predict", content=chunks(), headers={"content-type": "application/json"})
        )
        assert reply.status_code == 413
        lines = b'{"text": "a"}\n' * 4
        reply = http.post("/v1/models/both/predict", content=lines, headers={"content-type": "application/x-ndjson"})
        assert checked(reply).status_code == 413
        made = [http.post("/v1/models/delayed/sessions") for _ in range(3)]
        assert [checked(one).status_code for one in made] == [201, 201, 503] and "retry-after" in made[2].headers
        time.sleep(0.7)  # unused for too long
        where = made[0].headers["location"]
        assert checked(http.post(f"{where}/push", json={})).status_code == 404
        assert http.post("/v1/models/delayed/sessions").status_code == 201
        for wrong in ({"authorization": ""}, {"authorization": "Bearer s3cre"}, {"authorization": "Basic s3cret"}):
            reply = checked(http.get("/v1/models", headers=wrong))
            assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
            assert http.get("/healthz", headers=wrong).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{small.port}/v1/models/delayed/sessions")
    assert refused.value.response.status_code == 401
    options = {"additional_headers": headers}
    with connect(f"ws://127.0.0.1:{small.port}/v1/models/delayed/sessions", **options) as socket_one:
        socket_one.send('{"tokens": ["' + "a" * 300 + '"]}')
        with pytest.raises(ConnectionClosed):
            socket_one.recv()
    with (
        connect(f"ws://127.0.0.1:{small.port}/v1/models/delayed/sessions", **options) as idle,
        pytest.raises(ConnectionClosed),
    ):
        idle.recv()
    many = [socket.create_connection(("127.0.0.1", small.port), timeout=20) for _ in range(4)]
    assert many[3].recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable")
    for one in many:
        one.close()
    assert small.stop() == 0
    text = small.path.read_text(encoding="utf-8")
    assert "s3cret" not in text and '"event":"bug"' not in text


def test_the_log_has_no_texts(start: Callable[..., Server]) -> None:
    server = start("both classifier")
    with httpx.Client(base_url=server.url, timeout=20) as http:
        http.post("/v1/models/both/predict", json={"text": "Geheimnis"})
        http.post("/v1/models/both/predict", json={"Geheimnis": 1})
        http.post(
            "/v1/models/both/predict", content=b'{"text": "Geheimnis', headers={"content-type": "application/json"}
        )
        http.get("/v1/models/Geheimnis?Geheimnis")
    lines = [line for line in server.log if line["event"] == "request"]
    assert [line["status"] for line in lines] == [200, 422, 400, 404]
    assert lines[0] | {"time": 0, "milliseconds": 0} == {
        "time": 0, "event": "request", "method": "POST", "model": "both", "operation": "predict", "status": 200,
        "milliseconds": 0, "texts": 1, "tokens": 2,
    }  # fmt: skip
    assert server.stop() == 0 and "Geheimnis" not in server.path.read_text(encoding="utf-8")


def test_overload_is_refused_and_over_at_once(start: Callable[..., Server], models: dict[str, Any]) -> None:
    """Far more than fits into the queue: each is answered rightly or refused, and then it answers as before."""
    server = start("both", "--max-queue", "4", "--batch-tokens", "30", "--quiet")
    text, statuses, lock = WORDS * 4, [], threading.Lock()
    wanted = models["both"](text)

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for _ in range(15):
                reply = checked(http.post("/v1/models/both/predict", json={"text": text}))
                with lock:
                    statuses.append(reply.status_code)
                if reply.status_code == 200:
                    assert reply.json()["answer"]["tags"] == wanted
                else:
                    assert int(reply.headers["retry-after"]) >= 1

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(statuses) == 240 and set(statuses) == {200, 503} and statuses.count(200) > 10
    with httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.get("/readyz").status_code == 200
        assert http.post("/v1/models/both/predict", json={"text": text}).json()["answer"]["tags"] == wanted
