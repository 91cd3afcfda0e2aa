"""Starting, stopping, loading again, dying: what runs is finished, what is new is taken only if it is whole."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.conftest import SMALL, TEXTS, WORDS, Server
from websockets.sync.client import connect

import elman
from elman.cli.main import run
from elman.errors import DataError, ResourceError, UsageError


def test_sigterm_ends_what_runs_and_takes_nothing_new(start: Callable[..., Server], models: dict[str, Any]) -> None:
    server = start("both")
    texts = [WORDS * 2] * 900
    replies: list[httpx.Response] = []
    body = json.dumps({"texts": texts}).encode()

    def ask() -> None:
        replies.append(httpx.post(f"{server.url}/v1/models/both/predict", content=body, headers=JSON, timeout=60))

    idle = socket.create_connection(("127.0.0.1", server.port))
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for one in threads:
        one.start()
    with httpx.Client(base_url=server.url) as http:
        for _ in range(500):
            if float(counters(http).get("elman_waiting_requests", 0)) or len(replies):
                break
    assert server.stop() == 0
    for one in threads:
        one.join()
    assert [reply.status_code for reply in replies] == [200] * 3
    assert replies[0].json()["answers"][0]["tags"] == models["both"](WORDS * 2)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    idle.close()
    assert [line["event"] for line in server.log if line["event"] != "request"] == ["serving", "stopping", "stopped"]


JSON = {"content-type": "application/json"}


def counters(http: httpx.Client) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line[:1] != "#")  # type: ignore[misc]


def test_a_socket_is_told_that_the_server_stops(start: Callable[..., Server]) -> None:
    server = start("delayed", "--timeout", "5")
    with connect(f"ws://127.0.0.1:{server.port}/v1/models/delayed/sessions") as one:
        one.send('{"tokens": ["the"]}')
        assert json.loads(one.recv()) == {"tags": []}
        assert server.stop() == 0
        with pytest.raises(Exception, match=r"1012|1001"):
            one.recv(timeout=10)


@pytest.mark.parametrize("way", ["signal", "watched"])
def test_a_changed_folder_is_taken_if_it_loads(
    way: str, start: Callable[..., Server], folders: dict[str, Path], tmp_path: Path
) -> None:
    """Sessions stay with the model that they began with."""
    folder = tmp_path / "model"
    shutil.copytree(folders["delayed"], folder)
    server = start("", *(["--reload"] if way == "watched" else []), name=folder)

    def again() -> None:
        if way == "signal":
            server.process.send_signal(signal.SIGHUP)

    new = [elman.Sentence(text, ["new"] * len(text)) for text in TEXTS]
    elman.Tagger(**SMALL, char_size=0, delay=1).fit(new, out=tmp_path / "other")
    with httpx.Client(base_url=server.url, timeout=60) as http:

        def tags() -> list[str]:
            return http.post("/v1/models/name/predict", json={"text": WORDS}).json()["answer"]["tags"]  # type: ignore[no-any-return]

        old = tags()
        where = http.post("/v1/models/name/sessions").headers["location"]
        broken = (folder / "model.safetensors").read_bytes()[:100]
        (folder / "model.safetensors").write_bytes(broken)
        again()
        problem = server.wait_for("cannot be loaded, the old one stays")
        assert "model.safetensors" in problem["problem"] and tags() == old
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "other", folder)
        again()
        server.wait_for("loaded again")
        assert set(tags()) == {"new"} != set(old)
        pushed = http.post(f"{where}/push", json={"tokens": WORDS, "finish": True}).json()["tags"]
        assert pushed == old
        fresh = http.post("/v1/models/name/sessions").headers["location"]
        pushed = http.post(f"{fresh}/push", json={"tokens": WORDS, "finish": True}).json()["tags"]
        assert set(pushed) == {"new"}
        seen = counters(http)
        assert seen['elman_reloads_total{model="name",result="failed"}'] == "1.0"
    assert server.stop() == 0


def test_what_cannot_be_served_is_said(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    (tmp_path / "empty").write_text("", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = [
            ((tmp_path,), 4, "config.json"),
            ((f"a/b={folders['both']}",), 2, "expected a name of letters"),
            ((folders["both"], folders["both"]), 2, "found 'both' twice"),
            ((folders["both"], "--port", 70000), 2, "setting port: expected 0 to 65535"),
            ((folders["both"], "--token-file", tmp_path / "none"), 2, "none: cannot be read"),
            ((folders["both"], "--token-file", tmp_path / "empty"), 2, "expected one token"),
            ((folders["hmm"], "--port", port), 5, f"cannot listen on 127.0.0.1:{port}"),
        ]
        for arguments, code, words in cases:
            assert run(["serve", *map(str, arguments)]) == code and words in capsys.readouterr().err


# The client


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Callable[..., elman.Client]]:
    with ExitStack() as open_ones:
        yield lambda name=None, **more: open_ones.enter_context(elman.Client(more.pop("url", server.url), name, **more))


def test_the_client_is_the_model(client: Callable[..., elman.Client], models: dict[str, Any]) -> None:
    texts = [*TEXTS, *TEXTS, *TEXTS]
    with client("crf") as tagger:
        assert tagger(TEXTS[3]) == models["crf"](TEXTS[3])
        sentences = [elman.Sentence(text) for text in texts]
        assert tagger.predict(sentences) == models["crf"].predict(sentences)
        (got,), (wanted,) = (one.predict([WORDS], probabilities=True, nbest=2) for one in (tagger, models["crf"]))
        assert got.probabilities == pytest.approx(wanted.probabilities, abs=1e-6)
        assert [tags for tags, _ in got.nbest] == [tags for tags, _ in wanted.nbest]
    classifier, model = client("classifier"), models["classifier"]
    lines = [" ".join(text) for text in TEXTS]
    assert classifier(lines[0]) == model(lines[0])
    assert [one.labels for one in classifier.predict(lines)] == [one.labels for one in model.predict(lines)]
    assert classifier.encode(lines) == pytest.approx(model.encode(lines), abs=1e-6)
    for name in ("characters", "ngram"):
        got = list(client(name).score(lines[:5]))
        for one, line in zip(got, lines, strict=False):
            (wanted,) = models[name].score([line])
            assert one.tokens == wanted.tokens
            assert one.log_probabilities == pytest.approx(wanted.log_probabilities, abs=1e-6)
        options = {"prompt": "the ", "seed": 3, "temperature": 0.5}
        assert list(client(name).sample(30, **options)) == list(models[name].sample(30, **options))
    assert client("seq2seq")("cat") == models["seq2seq"]("cat")
    with client("delayed").session() as session:
        got = [tag for word in WORDS for tag in session.push(word)] + session.finish()
        assert got == models["delayed"](WORDS)
        session.close()
    assert client("lm").session().push("the")[0][1] == pytest.approx(max(_after(models["lm"], "the")), abs=1e-6)
    assert client("classifier").session().push("the cat").labels == models["classifier"].predict(["the cat"])[0].labels


def _after(model: Any, token: str) -> list[float]:
    return model.session().push(token).tolist()  # type: ignore[no-any-return]


def test_the_client_says_what_is_wrong(client: Callable[..., elman.Client], server: Server) -> None:
    with pytest.raises(UsageError, match="no model has this name; there are: both, delayed"):
        client("nothing")(["a"])
    with pytest.raises(UsageError, match="name one, Client"):
        client()(["a"])
    with pytest.raises(UsageError, match="it has: predict"):
        list(client("both").score(["a"]))
    with pytest.raises(UsageError, match=r"has no predict; it has: score, sample"):
        client("lm")("a")
    with pytest.raises(UsageError, match=r"\$.texts\[1\]|texts"):
        client("both").predict([["a"], [""]])
    with pytest.raises(UsageError, match="put it in a list"):
        client("both").predict("the cat")
    with pytest.raises(UsageError, match=r"Expected int"):
        client("both").predict([["a"]], nbest=1000)
    with pytest.raises(DataError, match="at most 20,000 tokens"):
        client("both").predict([["a"] * 30_000])
    with pytest.raises(UsageError, match="cannot be sent as JSON"):
        client("both")(["\ud800"])
    with pytest.raises(UsageError, match="both has no sessions"):
        client("both").session()
    with pytest.raises(UsageError, match="expected a URL"):
        elman.Client("http://[")
    with pytest.raises(ResourceError, match="no answer"):
        client("x", url="http://127.0.0.1:9", retries=0)(["a"])
    with pytest.raises(UsageError, match="expected retries"):
        elman.Client(server.url, retries=-1)


def test_a_client_that_tries_again_survives_kill_9(start: Callable[..., Server], models: dict[str, Any]) -> None:
    """In the middle of a load the server dies, and another takes its port: every answer is right, none is lost."""
    server = start("both", "--quiet")
    texts = [text for text in TEXTS if text] * 4
    wanted = [one.tags for one in models["both"].predict(texts)]
    answers: list[list[list[str]]] = []

    def ask(n: int) -> None:
        with elman.Client(server.url, "both", retries=12) as client:
            answers.append([client(text) for text in texts])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    time.sleep(0.5)
    server.process.kill()
    server.process.wait()
    second = start("both", "--quiet", "--port", server.port)
    for one in threads:
        one.join(120)
    assert answers == [wanted] * 4 and second.stop() == 0
