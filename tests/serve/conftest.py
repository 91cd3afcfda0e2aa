"""One server of small models of every task, in its own process; requests over its socket."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.text.pair import Pair

for name in ("starlette", "uvicorn", "httptools", "websockets", "prometheus_client", "httpx"):
    pytest.importorskip(name, reason="the extra serve is not installed")

draw = random.Random(3)
WORDS = ["the", "cat", "dogs", "Sees", "run", "北京", "naïve", "."]
TEXTS = [draw.choices(WORDS, k=1 + n % 9) for n in range(40)]
SMALL = {"hidden_size": 8, "word_size": 6, "epochs": 2, "threads": 1}


class Server:
    """A running `elman serve`. log: its lines so far."""

    def __init__(self, folders: dict[str, Path], log: Path, *arguments: Any) -> None:
        models = [f"{name}={folder}" for name, folder in folders.items()]
        port = [] if "--port" in arguments else ["--port", "0"]
        command = [sys.executable, "-m", "elman", "serve", *models, *port, *map(str, arguments)]
        self.path = log
        with open(log, "ab") as file:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(command, stderr=file, stdout=subprocess.DEVNULL, env=environment)
        self.port = self.wait_for("serving")["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """The count-th line of the log about this."""
        import time

        for _ in range(2000):
            found = [line for line in self.log if line["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None:
                break
            time.sleep(0.03)
        raise AssertionError(f"no {event}: {self.path.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("served")
    tagged = [elman.Sentence(text, [word[:1].lower() for word in text]) for text in TEXTS]
    spans = [elman.Sentence(text, ["B-X" if word == "cat" else "O" for word in text]) for text in TEXTS]
    lines = [" ".join(text) for text in TEXTS]
    labelled = [elman.Example(line, ["short" if len(line) < 20 else "long"]) for line in lines]
    pairs = [Pair(word, [word.upper()]) for word in WORDS * 3]
    models: dict[str, Any] = {
        "both": elman.Tagger(**SMALL, char_size=4, char_hidden_size=4).fit(tagged),
        "delayed": elman.Tagger(**SMALL, char_size=0, delay=1).fit(tagged),
        "crf": elman.Tagger(**SMALL, char_size=0, delay=1, crf=True).fit(spans),
        "classifier": elman.Classifier(**SMALL, one_way=True).fit(labelled),
        "lm": elman.LanguageModel(hidden_size=8, minimum=1, epochs=1, threads=1).fit(lines),
        "characters": elman.LanguageModel(hidden_size=8, tokenizer="characters", epochs=1, threads=1).fit(lines),
        "seq2seq": elman.Seq2Seq(hidden_size=8, embedding_size=6, epochs=2, threads=1).fit(pairs),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from elman.tasks.load import model_class

        models["hmm"] = model_class("tag", "hmm")().fit(tagged)
        models["ngram"] = model_class("lm", "ngram")(order=2, minimum=1).fit(lines)
    for name, model in models.items():
        model.save(folder / name)
    return {name: folder / name for name in models}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, Any]:
    return {name: elman.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All models, with the usual limits, but for the rate of inspections. It must end well: exit 0, and no bug in its
    log."""
    running = Server(folders, tmp_path_factory.mktemp("server") / "log", "--inspect-rate", 1000)
    yield running
    assert running.process.poll() is None, running.log[-3:]
    assert running.stop() == 0
    assert not [line for line in running.log if line["event"] == "bug"]


@pytest.fixture
def start(folders: dict[str, Path], tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """start(names, *arguments): servers of one test."""
    running: list[Server] = []

    def begin(names: str, *arguments: Any, **more: Path) -> Server:
        chosen = {name: folders[name] for name in names.split()} | more
        running.append(Server(chosen, tmp_path / f"log{len(running)}", *arguments))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[Any]:
    import httpx

    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
