"""A long run at half load, with sessions opened and abandoned: memory and open files of `elman serve` over time."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from machine import machine
from serve_load import elman_server, load_elsewhere, predictions, request, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=200, help="units")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--round", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        requests = predictions(trained(folder, given.hidden, delay=2))
        server = elman_server(folder, "--session-age", "5", "--max-sessions", "500")
        opening = request("POST", "/v1/models/tagger/sessions", b"{}")
        mixed = [*requests[:19], opening] * 5
        full = load_elsewhere(server.port, requests, given.connections, 10**6, min(given.round, 10.0))
        rows, began = [], time.monotonic()
        while not rows or time.monotonic() - began < 60 * given.minutes:
            load = load_elsewhere(server.port, mixed, given.connections, 10**6, given.round, full.rate / 2)
            wrong = {status: count for status, count in load.statuses.items() if status not in (200, 201, 503)}
            if wrong:
                raise SystemExit(f"expected answers, found {wrong}")
            row = {"seconds": time.monotonic() - began, "memory_mb": server.memory, "files": server.files}
            rows.append(row | {"per_second": load.rate, "p99_ms": load.percentile(99)})
        code = server.stop()
    # the first tenth fills what is remembered of words
    first, last = rows[len(rows) // 10], rows[-1]
    figures = {
        "minutes": last["seconds"] / 60,
        "memory_grown_percent": 100 * (last["memory_mb"] / first["memory_mb"] - 1),
        "files_grown": last["files"] - first["files"],
        "exit_code": code,
    }
    if given.json:
        print(json.dumps({"machine": machine(), **figures, "rows": rows}))
        return
    print(machine())
    for row in (rows[0], first, rows[len(rows) // 2], last):
        print(", ".join(f"{key} {value:.1f}" for key, value in row.items()))
    print(", ".join(f"{key} {value:.2f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
