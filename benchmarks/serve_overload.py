"""Overload: `elman serve` is asked for several times what it can answer. Each request is answered or refused with 503;
the times of the answers stay bounded, memory does not grow, and a second later it answers as before.

Capacity is measured with 16 connections; then many more ask, each again when it has its answer, at a rate that is
several times the capacity, as far as the server can even refuse so many.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from machine import machine
from serve_load import elman_server, load_elsewhere, predictions, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=200, help="units per direction")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--times", type=float, default=4.0, help="what is asked, in capacities")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--queue", type=int, default=64, help="--max-queue of the server")
    parser.add_argument("--requests", type=int, default=20_000, help="at most, to measure the capacity")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        requests = predictions(trained(folder, given.hidden))
        server = elman_server(folder, "--max-queue", str(given.queue))
        load_elsewhere(server.port, requests, 4, 400, given.seconds)  # once around
        before = load_elsewhere(server.port, requests, 16, given.requests, min(given.seconds, 10.0))
        memory, rate = server.memory, given.times * before.rate
        most = int(rate * given.seconds) + 1
        over = load_elsewhere(server.port, requests, given.connections, most, given.seconds, rate)
        time.sleep(1)
        after = load_elsewhere(server.port, requests, 16, given.requests, min(given.seconds, 10.0))
        grown, code = server.memory - memory, server.stop()
    asked = sum(over.statuses.values())
    figures = {
        "capacity_per_second": before.rate,
        "asked_per_second": asked / over.wall,
        "answered_per_second": over.rate,
        "refused": over.statuses.get(503, 0),
        "lost": asked - over.statuses.get(200, 0) - over.statuses.get(503, 0),
        "p50_ms": over.percentile(50),
        "p99_ms": over.percentile(99),
        "p99_ms_before": before.percentile(99),
        "p99_ms_after": after.percentile(99),
        "per_second_after": after.rate,
        "memory_grown_mb": grown,
        "exit_code": code,
    }
    if given.json:
        print(json.dumps({"machine": machine(), **figures}))
        return
    print(machine())
    for key, value in figures.items():
        print(f"{key:22} {value:12.1f}")


if __name__ == "__main__":
    main()
