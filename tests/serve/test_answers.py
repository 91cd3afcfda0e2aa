"""What the server answers is what the model answers: alone, in batches, in order, streamed, and in sessions."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest
from tests.serve.conftest import TEXTS, WORDS
from websockets.sync.client import connect

from elman.serve import messages, schema
from elman.serve.operations import OPERATIONS, SESSIONS
from elman.tasks import TASKS

LINES = [" ".join(text) for text in TEXTS]
EMPTY_TOO = [*LINES[:6], "", "unseen " * 30]
LONG = " ".join(WORDS * 40)  # goes its own way


def close(value: Any) -> Any:
    return pytest.approx(value, abs=2e-6)


def expected(model: Any, operation: str, texts: list[str]) -> list[dict[str, Any]]:
    """What elman answers in this process."""
    if model.task == "tag":
        words = [text.split() for text in texts]
        return [{"words": w, "tags": a.tags} for w, a in zip(words, model.predict(words), strict=True)]
    if operation == "encode":
        return [{"vector": close(row)} for row in model.encode(texts).tolist()]
    if model.task == "classify":
        rows = []
        for a in model.predict(texts):
            unknown = {} if a.unknown is None else {"unknown_share": close(a.unknown)}
            rows.append({"labels": a.labels, "chances": close(a.chances), **unknown})
        return rows
    if model.task == "lm":
        scored = [next(iter(model.score([text]))) for text in texts]
        return [
            {
                "tokens": row.tokens,
                "log_probabilities": close(row.log_probabilities),
                "log_probability": pytest.approx(row.total, abs=1e-4),
            }
            for row in scored
        ]
    answers = model.predict(texts)
    return [
        {
            "answers": [
                {
                    "text": a.text,
                    "log_probability": close(a.log_probability),
                    "score": close(a.score),
                    "complete": a.complete,
                    "symbols": list(a.symbols),
                    "alignment": a.alignment,
                }
                for a in one.answers
            ]
        }
        for one in answers
    ]


ROWS = [
    *[(name, "predict") for name in ("both", "delayed", "crf", "hmm", "classifier")],
    *[("classifier", "encode"), ("lm", "score"), ("characters", "score"), ("ngram", "score"), ("seq2seq", "translate")],
]


@pytest.mark.parametrize(("name", "operation"), ROWS)
def test_answers_are_the_models(name: str, operation: str, http: httpx.Client, models: dict[str, Any]) -> None:
    texts = [*EMPTY_TOO, LONG] if operation != "translate" else EMPTY_TOO[:7]
    wanted = expected(models[name], operation, texts)
    path = f"/v1/models/{name}/{operation}"
    together = http.post(path, json={"texts": texts})
    assert together.status_code == 200, together.text
    assert together.json() == {"answers": wanted}
    for text, one in zip(texts, wanted, strict=True):
        assert http.post(path, json={"text": text}).json() == {"answer": one}
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    for streamed in (
        http.post(path, content=lines, headers={"content-type": "application/x-ndjson"}),
        http.post(path, json={"texts": texts}, headers={"accept": "application/x-ndjson"}),
    ):
        assert streamed.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in streamed.text.splitlines()] == wanted
    assert http.post(path, json={"texts": []}).json() == {"answers": []}


def test_options_of_the_answers(http: httpx.Client, models: dict[str, Any]) -> None:
    words = ["the", "cat", "."]
    got = http.post("/v1/models/crf/predict", json={"text": words, "probabilities": True, "nbest": 3}).json()["answer"]
    (one,) = models["crf"].predict([words], probabilities=True, nbest=3)
    assert got["probabilities"] == close(one.probabilities)
    assert [(path["tags"], path["probability"]) for path in got["nbest"]] == [(t, close(p)) for t, p in one.nbest]
    got = http.post("/v1/models/classifier/predict", json={"text": "the cat", "probabilities": True}).json()["answer"]
    (one,) = models["classifier"].predict(["the cat"], probabilities=True)
    assert got["label_probabilities"] == close(one.probabilities)
    source = {"text": "cat", "features": ["X"]}
    got = http.post("/v1/models/seq2seq/translate", json={"text": source, "beam": 2, "nbest": 2}).json()["answer"]
    assert len(got["answers"]) == 2
    refused = http.post("/v1/models/hmm/predict", json={"text": words, "nbest": 2})
    assert refused.status_code in (200, 422)


def test_many_clients_share_batches_and_get_their_own(http: httpx.Client, server: Any, models: dict[str, Any]) -> None:
    texts = [[*text, f"word{n}"] for n, text in enumerate(TEXTS * 3)]
    wanted = [one.tags for one in models["both"].predict(texts)]

    async def ask() -> list[Any]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            posts = [client.post("/v1/models/both/predict", json={"text": text}) for text in texts]
            return [reply.json()["answer"] for reply in await asyncio.gather(*posts)]

    answers = asyncio.run(ask())
    assert [one["words"] for one in answers] == texts and [one["tags"] for one in answers] == wanted
    counters = dict(line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line[:1] != "#")
    assert float(counters["elman_batch_texts_sum"]) > float(counters["elman_batch_texts_count"])  # some were shared


@pytest.mark.parametrize("name", ["lm", "characters", "ngram"])
def test_drawn_text_comes_as_events(name: str, http: httpx.Client, models: dict[str, Any]) -> None:
    for options in ({"prompt": "the ", "seed": 4}, {"temperature": 0.7, "top_k": 3, "top_p": 0.9, "seed": 1}):
        with http.stream("POST", f"/v1/models/{name}/sample", json={"tokens": 40, **options}) as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            events = reply.read().decode().split("\n\n")
        assert events[-2:] == ["event: end\ndata: {}", ""]
        pieces = [json.loads(event.removeprefix("data: "))["text"] for event in events[:-2]]
        assert pieces == list(models[name].sample(40, **options))
    reply = http.post(f"/v1/models/{name}/sample", json={"tokens": 0})
    assert reply.text == "event: end\ndata: {}\n\n"


def opened(http: httpx.Client, name: str) -> str:
    reply = http.post(f"/v1/models/{name}/sessions")
    assert reply.status_code == 201 and reply.headers["location"].endswith(reply.json()["session"])
    return reply.headers["location"]


def test_a_session_of_a_tagger(http: httpx.Client, models: dict[str, Any]) -> None:
    text = WORDS * 20
    where, session = opened(http, "crf"), models["crf"].session()
    for some in (text[:1], [], text[1:150], text[150:]):
        got = http.post(f"{where}/push", json={"tokens": some}).json()
        assert got == {"tags": [tag for word in some for tag in session.push(word)]}
    assert http.post(f"{where}/push", json={"finish": True}).json() == {"tags": session.finish()}
    got = http.post(f"{where}/push", json={"tokens": text, "finish": True}).json()
    assert got == {"tags": models["crf"](text)}
    assert http.delete(where).status_code == 204
    assert http.post(f"{where}/push", json={}).status_code == http.delete(where).status_code == 404


def test_a_session_of_a_language_model(http: httpx.Client, models: dict[str, Any]) -> None:
    where, session, model = opened(http, "lm"), models["lm"].session(), models["lm"]
    for tokens, finish in ((["the"], False), (["cat", "unseen"], True), ([], False)):
        got = http.post(f"{where}/push", json={"tokens": tokens, "finish": finish, "nbest": 3}).json()["next"]
        for token in tokens:
            session.push(token)
        logs = session.finish() if finish else session.next
        assert [one["log_probability"] for one in got] == close(sorted(logs, reverse=True)[:3])
        assert all(logs[model.vocabulary[one["token"]]] == close(one["log_probability"]) for one in got)


def test_a_session_of_a_classifier(http: httpx.Client, models: dict[str, Any]) -> None:
    where, session = opened(http, "classifier"), models["classifier"].session()
    for pieces, finish in ((["the cat"], False), (["Sees", "dogs"], True)):
        got = http.post(f"{where}/push", json={"tokens": pieces, "finish": finish}).json()
        answers = [session.push(piece) for piece in pieces]
        assert got["labels"] == answers[-1].labels and got["chances"] == close(answers[-1].chances)


def test_a_web_socket_is_a_session(server: Any, models: dict[str, Any]) -> None:
    text = WORDS * 2
    with connect(f"ws://127.0.0.1:{server.port}/v1/models/delayed/sessions") as socket:
        got = []
        for word in text:
            socket.send(json.dumps({"tokens": [word]}))
            got += json.loads(socket.recv())["tags"]
        socket.send(json.dumps({"finish": True}).encode())
        assert got + json.loads(socket.recv())["tags"] == models["delayed"](text)
        for wrong in ("{", "[]", '{"tokens": [3]}', b"\xff", '{"tokens": [""]}'):
            socket.send(wrong)
            assert json.loads(socket.recv())["problem"]["status"] in (400, 422)
        socket.send(json.dumps({"tokens": ["the"], "finish": True}))
        assert json.loads(socket.recv())["tags"] == models["delayed"](["the"])


def test_what_is_there_is_listed(http: httpx.Client, models: dict[str, Any]) -> None:
    listed = msgspec.json.decode(http.get("/v1/models").content, type=messages.ModelList).models
    assert [one.name for one in listed] == list(models)
    has = {one.name: (one.operations, one.sessions) for one in listed}
    assert has["both"] == (["predict", "inspect"], False) and has["delayed"] == (["predict", "inspect"], True)
    assert has["classifier"] == (["predict", "encode", "inspect"], True) and has["hmm"] == (["predict"], False)
    assert has["seq2seq"] == (["translate", "inspect"], False)
    assert has["lm"] == (["score", "sample", "inspect"], True) and has["ngram"] == (["score", "sample"], False)
    assert msgspec.json.decode(http.get("/v1/models/lm").content, type=messages.ModelInfo) in listed
    assert http.get("/healthz").json() == http.get("/readyz").json() == {"status": "ok"}


def test_every_task_is_served() -> None:
    assert set(OPERATIONS) == set(TASKS) and set(SESSIONS) < set(TASKS)


def test_the_description_is_of_these_paths(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()
    assert described == json.loads(msgspec.json.encode(schema.openapi()))
    references = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            references.update([value["$ref"]] if "$ref" in value else [])
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(described)
    assert references == {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    for path, ways in described["paths"].items():
        for method in ways.keys() - {"parameters"}:
            reply = http.request(method, path.replace("{model}", "lm").replace("{session}", "none"))
            assert reply.status_code != 405 and "nothing is served" not in reply.text, path
