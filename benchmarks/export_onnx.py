"""A tagger as ONNX, in processes that have neither torch nor elman: size, seconds until the first answer, peak memory,
words per second on one thread, and accuracy, with weights of each precision."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import elman
from elman.export import FORMATS, export
from machine import machine

READER = Path(elman.__file__).parent / "export" / "onnx" / "reader.py"
ANSWER = """
import importlib.util, json, resource, sys, time
spec = importlib.util.spec_from_file_location("reader", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
network = reader.Network(sys.argv[2])
with open(sys.argv[3], encoding="utf-8") as file:
    texts = json.load(file)
network.answers(texts[:1])
began = time.perf_counter()
for start in range(0, len(texts), 1000):
    network.answers(texts[start : start + 1000])
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
assert "torch" not in sys.modules
"""


def measure(file: str | Path, texts: Sequence[Sequence[str]], runs: int = 3) -> dict[str, float]:
    """Of a tagger or classifier, for texts as tokens: start (seconds until a new process has answered one text), memory
    (MB, peak, while it answers all), size (MB), words (per second on one thread). Medians of several runs."""
    words = sum(map(len, texts))
    starts, speeds, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        one, every = Path(folder) / "one.json", Path(folder) / "every.json"
        one.write_text(json.dumps([texts[0]]), encoding="utf-8")
        every.write_text(json.dumps(list(texts)), encoding="utf-8")
        for _ in range(runs):
            began = time.monotonic()
            _answer(file, one)
            starts.append(time.monotonic() - began)
            seconds, kilobytes = _answer(file, every)
            speeds.append(words / seconds)
            memory.append(kilobytes / 1000)
    columns = {"start": starts, "memory": memory, "words": speeds}
    return {"size": Path(file).stat().st_size / 1e6, **{k: statistics.median(v) for k, v in columns.items()}}


def _answer(file: str | Path, texts: Path) -> tuple[float, float]:
    """Seconds to answer the texts, once started, and the peak memory in kB."""
    command = [sys.executable, "-c", ANSWER, str(READER), str(file), str(texts)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, kilobytes = map(float, ended.stdout.split())
    return seconds, kilobytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder of a tagger")
    parser.add_argument("file", help="a CoNLL-U file")
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    model, sentences = elman.load(given.model), elman.read(given.file, column="upos")
    texts: list[list[str]] = []
    while sum(map(len, texts)) < given.words:
        texts += [list(sentence.words) for sentence in sentences]
    print(machine(), f"{sum(map(len, texts)):,} words, one thread, medians of {given.runs}", sep=", ")
    print(f"{'weights':<9}{'MB':>8}{'start s':>9}{'peak MB':>9}{'words/s':>9}{'accuracy':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for weights in FORMATS["onnx"].weights:
            file = Path(folder) / f"{weights}.onnx"
            accuracy = export(model, "onnx", file, weights=weights, check=sentences)["check"]["accuracy"]["onnx"]
            row = measure(file, texts, given.runs)
            print(
                f"{weights:<9}{row['size']:>8.1f}{row['start']:>9.2f}{row['memory']:>9.0f}{row['words']:>9,.0f}"
                f"{100 * accuracy:>10.2f}"
            )


if __name__ == "__main__":
    main()
