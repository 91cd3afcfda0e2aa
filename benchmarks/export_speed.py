"""A tagger as `elman predict` and outside Python: seconds to start, peak memory, size, words per second, accuracy; and
the characters per second that a language model draws."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import elman
from elman.export import export
from machine import machine

FLAGS = ("-O3", "-march=native", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion")


@dataclass(frozen=True)
class Texts:
    """file: one sentence per line, the data `times` over; empty: a file without any; tags: of each word, once"""

    file: Path
    empty: Path
    tags: list[str]
    times: int
    runs: int


@dataclass(frozen=True)
class Measured:
    """start: seconds until an empty input is answered; peak, size: bytes; seconds: of the texts, beyond the start"""

    start: float
    peak: int
    size: int
    seconds: float
    tags: list[str]


# Linux counts the memory of the process that starts another as its own, so that process must be a small one.
STARTER = """
import os, subprocess, sys, time
with open(sys.argv[1], "rb") as given, open(sys.argv[2], "wb") as out:
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[3:], stdin=given, stdout=out, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    print(time.perf_counter() - began, usage.ru_maxrss, status)
"""


def run(command: Sequence[str | Path], given: Path, folder: Path | None = None) -> tuple[float, int, str]:
    """Seconds, peak resident bytes, and what was written."""
    with tempfile.NamedTemporaryFile() as out:
        start = [sys.executable, "-I", "-S", "-c", STARTER, given, out.name, *command]
        measured = subprocess.run([str(part) for part in start], cwd=folder, capture_output=True, text=True, check=True)
        seconds, peak, status = measured.stdout.split()
        if status != "0":
            raise SystemExit(f"{command[0]} failed with status {status}")
        return float(seconds), int(peak) * 1024, out.read().decode()


def program(command: Sequence[str | Path], size: int, texts: Texts, folder: Path | None = None) -> Measured:
    """A program that reads lines and writes a word, a tab and its tag in each; the fastest of several runs."""
    start = min(run(command, texts.empty, folder)[0] for _ in range(texts.runs))
    every = [run(command, texts.file, folder) for _ in range(texts.runs)]
    tags = [line.partition("\t")[2] for line in every[0][2].splitlines() if line]
    best = min(seconds for seconds, _, _ in every)
    return Measured(start, max(peak for _, peak, _ in every), size, best - start, tags)


def predict(model: Path, texts: Texts, work: Path) -> Measured:
    """`elman predict --threads 1`."""
    size = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    command = [sys.executable, "-m", "elman", "predict", model.resolve(), "--threads", "1", "--format", "text"]
    return program(command, size, texts)


def compiled(model: Path, work: Path, weights: str) -> Path:
    """The folder of a model's C program."""
    folder = work / f"{model.name}-{weights}"
    export(elman.load(model), "c", folder, weights=weights)
    subprocess.run(["cc", *FLAGS, "-DELMAN_MAIN", "model.c", "-lm", "-o", "program"], cwd=folder, check=True)
    return folder


def c(weights: str) -> Callable[[Path, Texts, Path], Measured]:
    """The row of C with these weights."""

    def row(model: Path, texts: Texts, work: Path) -> Measured:
        folder = compiled(model, work, weights)
        return program([folder / "program"], (folder / "model.bin").stat().st_size, texts, folder)

    return row


# name -> what measures it, from the model's folder, the texts and a folder to work in
ROWS: dict[str, Callable[[Path, Texts, Path], Measured]] = {
    "predict": predict,
    "c-float32": c("float32"),
    "c-bfloat16": c("bfloat16"),
    "c-int8": c("int8"),
}


def prepared(file: Path, column: str, times: int, runs: int, work: Path) -> Texts:
    """The sentences of a CoNLL-U file as lines. A space inside a word becomes a low line."""
    sentences = elman.read(file, column=column)
    lines = [" ".join("_".join(word.split()) for word in sentence.words) for sentence in sentences]
    text, empty = work / "texts.txt", work / "empty.txt"
    text.write_text("".join(f"{line}\n" for line in lines) * times, encoding="utf-8")
    empty.write_text("")
    return Texts(text, empty, [tag for sentence in sentences for tag in sentence.tags or ()], times, runs)


def tagging(model: Path, texts: Texts, names: Sequence[str], work: Path) -> None:
    """One line for each row: how it compares with the first."""
    print(f"{'':16}{'start s':>9}{'peak MB':>9}{'size MB':>9}{'words/s':>10}{'accuracy':>10}{'other tags':>12}")
    first: list[str] = []
    for name in names:
        one = ROWS[name](model, texts, work)
        first = first or one.tags
        gold = texts.tags * texts.times
        right = 100 * sum(a == b for a, b in zip(one.tags, gold, strict=True)) / len(gold)
        others = sum(a != b for a, b in zip(one.tags, first, strict=True))
        print(
            f"{name:16}{one.start:9.3f}{one.peak / 1e6:9.1f}{one.size / 1e6:9.1f}"
            f"{len(gold) / max(one.seconds, 1e-9):10,.0f}{right:10.2f}{others:12,}"
        )


def sampling(model: Path, tokens: int, runs: int, weights: Sequence[str], work: Path) -> None:
    """Tokens per second, beyond the start."""
    empty = work / "empty.txt"
    empty.write_text("")
    for kind in weights:
        folder = compiled(model, work, kind)
        seconds = {}
        for count in (0, tokens):
            command = [folder / "program", "--sample", str(count), "--seed", "1"]
            seconds[count] = min(run(command, empty, folder)[0] for _ in range(runs))
        print(f"c-{kind}: {tokens / max(seconds[tokens] - seconds[0], 1e-9):,.0f} tokens/s drawn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the folder of a tagger")
    parser.add_argument("file", type=Path, help="CoNLL-U with the tags, such as en_ewt-ud-test.conllu.gz")
    parser.add_argument("--column", default="upos")
    parser.add_argument("--times", type=int, default=10, help="how often the data is read")
    parser.add_argument("--runs", type=int, default=5, help="of which the fastest counts")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--lm", type=Path, help="the folder of a language model, to be sampled from")
    parser.add_argument("--tokens", type=int, default=20_000, help="that are sampled")
    parser.add_argument("--weights", nargs="*", default=["float32", "bfloat16", "int8"], help="of the language model")
    given = parser.parse_args()
    print(machine(), "1 thread", sep=", ")
    if shutil.which("cc") is None:
        print("there is no C compiler (cc): without the rows of C")
        given.rows = [name for name in given.rows if not name.startswith("c-")]
        given.lm = None
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tagging(given.model, prepared(given.file, given.column, given.times, given.runs, work), given.rows, work)
        if given.lm is not None:
            sampling(given.lm, given.tokens, given.runs, given.weights, work)


if __name__ == "__main__":
    main()
