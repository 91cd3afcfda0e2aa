"""Requests a second and their times: `elman serve` and a plain FastAPI app around torch's nn.LSTM, one forward pass a
request. The load comes from a third process; sentences of 20 words.

The rival's network has the same recurrent layer but reads words alone, without their characters and forms, and its
endpoint is `async def`, which on two cores is faster than threads (--rival-threads: try).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from machine import machine
from serve_load import Server, elman_server, free_port, load_elsewhere, predictions, trained

RIVAL = """
import sys
import torch
from fastapi import FastAPI
from pydantic import BaseModel

torch.set_num_threads(1)
WORDS, TAGS, SIZE, HIDDEN = 20_000, 17, 128, int(sys.argv[2])


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, SIZE)
        self.lstm = torch.nn.LSTM(SIZE, HIDDEN, bidirectional=True, batch_first=True)
        self.out = torch.nn.Linear(2 * HIDDEN, TAGS)

    def forward(self, ids):
        return self.out(self.lstm(self.embedding(ids))[0])


class Request(BaseModel):
    text: list[str]


class Answer(BaseModel):
    words: list[str]
    tags: list[str]


app, tagger = FastAPI(), Tagger().eval()
numbers, names = {}, [f"tag{i}" for i in range(TAGS)]


@app.get("/healthz")
def health():
    return {}


def answer(request: Request) -> Answer:
    ids = torch.tensor([[numbers.setdefault(word, len(numbers) % WORDS) for word in request.text]])
    with torch.inference_mode():
        best = tagger(ids)[0].argmax(-1).tolist()
    return Answer(words=request.text, tags=[names[i] for i in best])


@app.post("/predict")
async def predict(request: Request) -> Answer:
    return answer(request)


@app.post("/threads")
def threads(request: Request) -> Answer:
    return answer(request)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=200, help="units per direction")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--requests", type=int, default=20_000, help="at most, for each number of connections")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most, for each")
    parser.add_argument("--blocks", type=int, default=3, help="turns; the median is shown")
    parser.add_argument("--rival-threads", action="store_true", help="the rival's endpoint runs in threads")
    parser.add_argument("--serve", nargs="*", default=[], help="options of elman serve, without --")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sentences = trained(folder, given.hidden)
        (folder / "rival.py").write_text(RIVAL, encoding="utf-8")
        port = free_port()
        servers = {
            "elman": elman_server(folder, *(f"--{one}" for one in given.serve)),
            "FastAPI": Server(
                [sys.executable, str(folder / "rival.py"), str(port), str(given.hidden)], port, "/healthz"
            ),
        }
        paths = {"elman": "/v1/models/tagger/predict", "FastAPI": "/threads" if given.rival_threads else "/predict"}
        for who, server in servers.items():
            load_elsewhere(server.port, predictions(sentences, paths[who]), 4, 400, given.seconds)  # once around
        for connections in given.connections:
            for _ in range(given.blocks):
                for who, server in servers.items():
                    load = load_elsewhere(
                        server.port, predictions(sentences, paths[who]), connections, given.requests, given.seconds
                    )
                    if set(load.statuses) != {200}:
                        raise SystemExit(f"{who}: expected answers alone, found {load.statuses}")
                    row = {"server": who, "connections": connections, "per_second": load.rate}
                    rows.append(row | {"p50_ms": load.percentile(50), "p99_ms": load.percentile(99)})
        for server in servers.values():
            server.stop()
    if given.json:
        print(json.dumps({"machine": machine(), "rows": rows}))
        return
    print(machine())
    print(f"{'server':8} {'connections':>11} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for connections in given.connections:
        for who in servers:
            some = [row for row in rows if (row["server"], row["connections"]) == (who, connections)]
            keys = ("per_second", "p50_ms", "p99_ms")
            rate, p50, p99 = (sorted(row[key] for row in some)[len(some) // 2] for key in keys)
            print(f"{who:8} {connections:11} {rate:10.0f} {p50:8.2f} {p99:8.2f}")


if __name__ == "__main__":
    main()
