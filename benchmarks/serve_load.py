"""What the benchmarks of the server share: a model, servers in processes of their own, and load on them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import elman
from elman.text import grammar

WORDS = 20  # of a sentence


def trained(folder: Path, hidden: int, **settings: Any) -> list[list[str]]:
    """A tagger in this folder, trained for a moment, which does not change its speed; and sentences of WORDS words."""
    blocks = list(grammar.make(300, seed=1))
    (folder / "corpus.conllu").write_text("".join(blocks), encoding="utf-8")
    data = elman.read(folder / "corpus.conllu", column="xpos")
    elman.Tagger(hidden_size=hidden, epochs=1, threads=1, **settings).fit(data, out=folder / "tagger")
    words = [word for sentence in data for word in sentence.words]
    return [words[i : i + WORDS] for i in range(0, len(words) - WORDS, WORDS)]


class Server:
    """A process that serves HTTP on this port."""

    def __init__(self, command: Sequence[str], port: int, path: str, threads: int = 1) -> None:
        self.port = port
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        for _ in range(1200):
            time.sleep(0.05)
            if self.process.poll() is not None:
                self.log.seek(0)
                raise SystemExit(self.log.read().decode()[-3000:])
            try:
                if run_load(port, [request("GET", path, b"")], 1, 1).statuses.get(200):
                    return
            except OSError:
                continue
        raise SystemExit("the server does not answer")

    @property
    def memory(self) -> float:
        """Resident, in MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def files(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.log.close()
        return code


def elman_server(folder: Path, *arguments: str, threads: int = 1) -> Server:
    """`elman serve` with the usual settings, without a log of requests."""
    port = free_port()
    command = [sys.executable, "-m", "elman", "serve", f"tagger={folder / 'tagger'}", "--port", str(port), "--quiet"]
    return Server([*command, *arguments], port, "/healthz", threads)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def request(method: str, path: str, body: bytes) -> bytes:
    """The bytes of a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


class Load(NamedTuple):
    """seconds: of each request that was answered with 200; statuses: how many of each; wall: seconds in all."""

    seconds: np.ndarray
    statuses: dict[int, int]
    wall: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.seconds, share)) * 1000 if len(self.seconds) else float("nan")


def run_load(
    port: int, requests: Sequence[bytes], connections: int, count: int, seconds: float = 60.0, rate: float = 0.0
) -> Load:
    """At most `count` requests over so many connections, each sending the next when the last is answered, for at most
    `seconds`, from this process. rate: requests a second in all, instead of as many as there can be."""
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_load(port, requests, connections, count, seconds, rate))


def load_elsewhere(*arguments: Any) -> Load:
    """`run_load` in another process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run_load, arguments)


async def _load(
    port: int, requests: Sequence[bytes], connections: int, count: int, seconds: float, rate: float
) -> Load:
    loop = asyncio.get_running_loop()
    shared = _Shared(requests, count, time.perf_counter() + seconds, connections / rate if rate else 0.0)
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(shared), "127.0.0.1", port)
    shared.open += connections
    await asyncio.wait_for(shared.finished.wait(), seconds + 30)
    return Load(np.array(shared.seconds), dict(shared.statuses), time.perf_counter() - began)


class _Shared:
    def __init__(self, requests: Sequence[bytes], count: int, until: float, pause: float) -> None:
        self.requests, self.count, self.until, self.pause = requests, count, until, pause
        self.sent = self.open = 0
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.finished = asyncio.Event()


class _Connection(asyncio.Protocol):
    def __init__(self, shared: _Shared) -> None:
        self.shared, self.buffer, self.end = shared, b"", -1

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        shared = self.shared
        now = time.perf_counter()
        if shared.sent >= shared.count or now > shared.until or self.transport.is_closing():
            self.transport.close()
            return
        self.began = now
        self.transport.write(shared.requests[shared.sent % len(shared.requests)])
        shared.sent += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.end < 0:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            lines = self.buffer[:head].lower().split(b"\r\n")
            self.status = int(lines[0][9:12])
            self.closes = b"connection: close" in lines
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self.end = head + 4 + length
        if len(self.buffer) < self.end:
            return
        self.buffer, self.end = b"", -1
        shared = self.shared
        shared.statuses[self.status] += 1
        took = time.perf_counter() - self.began
        if self.status == 200:
            shared.seconds.append(took)
        if self.closes:
            self.transport.close()
        elif shared.pause > took:
            asyncio.get_running_loop().call_later(shared.pause - took, self.send)
        else:
            self.send()

    def connection_lost(self, problem: Exception | None) -> None:
        self.shared.open -= 1
        if problem is not None:
            self.shared.statuses[0] += 1
        if self.shared.open == 0:
            self.shared.finished.set()


def predictions(sentences: Sequence[Sequence[str]], path: str = "/v1/models/tagger/predict") -> list[bytes]:
    """A request for each sentence."""
    return [request("POST", path, json.dumps({"text": list(words)}).encode()) for words in sentences]
