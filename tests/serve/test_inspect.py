"""/inspect answers what elman.inspect does, within its limits; sessions take texts, and can be peeked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.serve.conftest import TEXTS, WORDS, Server

from elman.inspect import look
from elman.serve.inspecting import MINUTE, Inspected, Rate
from elman.serve.messages import InspectRequest
from elman.serve.problems import Problem
from elman.text.pair import Pair

LINE = "the cat Sees"


def inspect(http: httpx.Client, name: str, text: Any, **more: Any) -> httpx.Response:
    return http.post(f"/v1/models/{name}/inspect", json={"text": text, **more})


def near(found: Any, expected: Any) -> None:
    """Equal, numbers to within the rounding of float32."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            near(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            near(one, other)
    elif isinstance(expected, float) and found is not None:
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
    else:
        assert found == expected


def test_every_network_answers_what_elman_inspect_does(http: httpx.Client, models: dict[str, Any]) -> None:
    inspected = [one["name"] for one in http.get("/v1/models").json()["models"] if "inspect" in one["operations"]]
    assert set(models) - set(inspected) == {"hmm", "ngram"}
    for name in inspected:
        given = "cat" if name == "seq2seq" else LINE
        reply = inspect(http, name, given)
        assert reply.status_code == 200, reply.text
        near(reply.json(), json.loads(json.dumps(look(models[name], given, title=name).to_json())))


def test_words_features_and_targets(http: httpx.Client, models: dict[str, Any]) -> None:
    words, tags = ["the", "cat"], ["c", "c"]
    found = inspect(http, "both", words, targets=tags).json()
    near(found, json.loads(json.dumps(look(models["both"], words, tags, title="both").to_json())))
    assert found["given"] and not inspect(http, "both", words).json()["given"]
    source = inspect(http, "seq2seq", {"text": "cat", "features": []}).json()
    near(source, json.loads(json.dumps(look(models["seq2seq"], Pair("cat"), title="seq2seq").to_json())))


def test_the_report(http: httpx.Client) -> None:
    reply = http.post("/v1/models/both/inspect", json={"text": LINE}, headers={"accept": "text/html"})
    assert reply.headers["content-type"].startswith("text/html")
    for panel in ("graph", "equation", "states", "gradients", "contributions", "outputs"):
        assert f'<section id="{panel}"' in reply.text
    assert len(re.findall(r'data-step="0"', reply.text)) > 3


def test_what_cannot_be_inspected(http: httpx.Client) -> None:
    for name, body, status, words in (
        ("hmm", {"text": "a"}, 404, "has no inspect"),
        ("ngram", {"text": "a"}, 404, "has no inspect"),
        ("both", {"text": ""}, 422, "at least one token"),
        ("both", {"text": "a b", "targets": ["c"]}, 422, "expected"),
        ("both", {"text": 3}, 422, "expected"),
        ("both", {}, 422, "text"),
        ("both", {"text": "a", "other": 1}, 422, "other"),
        ("both", {"text": " ".join(["cat"] * 61)}, 413, "at most 60 tokens"),
        ("characters", {"text": "c" * 61}, 413, "at most 60 tokens"),
        ("seq2seq", {"text": "cat", "targets": ["x"] * 61}, 413, "at most 60 targets"),
        ("both", {"text": "c" * 2401}, 413, "at most 2,400 characters"),
    ):
        reply = http.post(f"/v1/models/{name}/inspect", json=body)
        assert reply.status_code == status, (name, body, reply.text)
        assert reply.headers["content-type"] == "application/problem+json"
        assert words.lower() in reply.json()["detail"].lower()


def test_limits_are_flags(start: Callable[..., Server]) -> None:
    server = start("both lm", "--inspect-tokens", "5", "--inspect-rate", "2")
    with httpx.Client(base_url=server.url, timeout=60) as http:
        assert inspect(http, "both", "a b c d e").status_code == 200
        assert inspect(http, "lm", "a b c d e f").status_code == 413
        refused = inspect(http, "both", "a")  # the rate is that of all models
        assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 60
        assert http.post("/v1/models/both/predict", json={"text": "a"}).status_code == 200


def test_a_rate_lets_through_so_many_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("elman.serve.inspecting.time.monotonic", lambda: now)
    rate = Rate(3)
    passed: list[float] = []
    for _ in range(300):
        now += 1.0
        try:
            rate.take()
        except Problem as problem:
            wait = int(problem.headers["retry-after"])
            assert now + wait >= passed[-3] + MINUTE > now + wait - 2
        else:
            passed.append(now)
        assert sum(one > now - MINUTE for one in passed) <= 3
    assert len(passed) == 15


def test_it_looks_into_modules_of_its_own(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """To look is to hook into modules, which others call meanwhile; the weights are the same."""
    seen: list[Any] = []

    def spy(model: Any, *given: Any, **named: Any) -> Any:
        seen.append(model)
        return look(model, *given, **named)

    monkeypatch.setattr("elman.serve.inspecting.look", spy)
    for name in ("both", "classifier", "lm", "seq2seq"):
        inspected, network = Inspected(models[name]), models[name].network
        for _ in range(2):
            inspected.body(name, InspectRequest("cat"), 60, False)
        assert seen[-1] is seen[-2]
        mine = seen[-1].network
        assert not set(map(id, mine.modules())) & set(map(id, network.modules()))
        assert list(map(id, mine.parameters())) == list(map(id, network.parameters()))


# Sessions that read texts, as the playground does


def session(http: httpx.Client, name: str) -> Callable[..., Any]:
    where = http.post(f"/v1/models/{name}/sessions").headers["location"]

    def push(**body: Any) -> Any:
        reply = http.post(f"{where}/push", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    return push


@pytest.mark.parametrize("name", ["delayed", "crf"])
def test_a_tagger_reads_a_text_and_is_peeked_at(http: httpx.Client, models: dict[str, Any], name: str) -> None:
    push, words, tags = session(http, name), TEXTS[8], list[str]()
    for i, word in enumerate(words):
        peeked = push(text=f" {word}", finish=True, peek=True)  # as if it ended here
        assert peeked["read"] == [word]
        assert tags + peeked["tags"] == models[name](words[: i + 1])
        got = push(text=f" {word}\n")
        assert got["read"] == [word]
        tags += got["tags"]
    assert tags + push(finish=True)["tags"] == models[name](words)


@pytest.mark.parametrize("name", ["lm", "characters"])
def test_a_language_model_reads_a_text_and_is_peeked_at(http: httpx.Client, models: dict[str, Any], name: str) -> None:
    push, model = session(http, name), models[name]
    text = " ".join(WORDS[:5])
    expected = next(iter(model.score([text])))
    first, rest = push(text=text[:7]), push(text=text[7:], peek=True)
    again = push(text=text[7:])
    assert again == rest and first["read"] + again["read"] == expected.tokens[:-1]
    logs = first["log_probabilities"] + again["log_probabilities"]
    assert logs == pytest.approx(list(expected.log_probabilities[:-1]), abs=2e-6)
    plain = session(http, name)(tokens=list(model.tokenizer.split(text)))
    assert plain == {"next": again["next"]}
    long = " ".join(TEXTS[0] * 40)  # more than what is answered at once
    whole = session(http, name)(text=long[:900])
    assert len(whole["read"]) == len(whole["log_probabilities"]) == len(model.tokenizer.split(long[:900]))


def test_a_classifier_reads_a_text_and_is_peeked_at(http: httpx.Client, models: dict[str, Any]) -> None:
    push = session(http, "classifier")
    push(text="the cat")
    peeked, once = push(text=" dogs run", peek=True), push(peek=True)
    (expected,) = models["classifier"].predict(["the cat dogs run"], probabilities=True)
    assert peeked["label_probabilities"] == pytest.approx(expected.probabilities, abs=2e-6)
    (expected,) = models["classifier"].predict(["the cat"], probabilities=True)
    assert once["label_probabilities"] == pytest.approx(expected.probabilities, abs=2e-6)


def test_a_text_that_is_pushed_has_limits(http: httpx.Client) -> None:
    where = http.post("/v1/models/characters/sessions").headers["location"]
    for text, what in (("a" * 1001, "tokens of a push"), ("a" * 100_000, "tokens a request")):
        reply = http.post(f"{where}/push", json={"text": text})
        assert reply.status_code == 413 and what in reply.json()["detail"]
    assert http.post(f"{where}/push", json={"text": "a" * 1000}).status_code == 200
