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
from statistics import median

import elman
from elman.export import export
from machine import machine

FLAGS = ("-O3", "-march=native", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion")


@dataclass(frozen=True)
class Texts:
    """file: one sentence per line, the data `times` over; empty: a file without any; lines: the sentences, once
    tags: of each word, once"""

    file: Path
    empty: Path
    lines: list[str]
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
    """A program that reads lines and writes a word, a tab and its tag in each; medians of several runs."""
    start = median(run(command, texts.empty, folder)[0] for _ in range(texts.runs))
    every = [run(command, texts.file, folder) for _ in range(texts.runs)]
    tags = [line.partition("\t")[2] for line in every[0][2].splitlines() if line]
    whole = median(seconds for seconds, _, _ in every)
    return Measured(start, max(peak for _, peak, _ in every), size, whole - start, tags)


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


def onnx(model: Path, texts: Texts, work: Path) -> Measured:
    """ONNX Runtime in a process without torch; its start is until one text is answered."""
    import export_onnx

    file = work / "model.onnx"
    export(elman.load(model), "onnx", file)
    lines = [line.split() for line in texts.lines]
    found = export_onnx.measure(file, lines, texts.runs)
    seconds = len(texts.tags) * texts.times / found["words"]
    return Measured(found["start"], int(found["memory"] * 1e6), file.stat().st_size, seconds, [])


def page(model: Path, texts: Texts, work: Path) -> Measured | None:
    """The page in Chromium, whose memory is that of a tab; a twentieth of the texts. None without Chromium."""
    import export_page

    found = export_page.measure(elman.load(model), texts.lines[::20], "bfloat16", 2, texts.runs)
    if found is None:
        return None
    print(f"page: a typed word is answered in {found['typing']:.0f} ms (median), at most {found['slowest']:.0f} ms")
    seconds = len(texts.tags) * texts.times / found["words_per_second"]
    return Measured(found["start"], int(found["memory"] * 1e6), int(found["size"]), seconds, [])


# name -> what measures it, from the model's folder, the texts and a folder to work in
ROWS: dict[str, Callable[[Path, Texts, Path], Measured | None]] = {
    "predict": predict,
    "onnx": onnx,
    "c-float32": c("float32"),
    "c-bfloat16": c("bfloat16"),
    "c-int8": c("int8"),
    "page": page,
}


def prepared(file: Path, column: str, times: int, runs: int, work: Path) -> Texts:
    """The sentences of a CoNLL-U file as lines. A space inside a word becomes a low line."""
    sentences = elman.read(file, column=column)
    lines = [" ".join("_".join(word.split()) for word in sentence.words) for sentence in sentences]
    text, empty = work / "texts.txt", work / "empty.txt"
    text.write_text("".join(f"{line}\n" for line in lines) * times, encoding="utf-8")
    empty.write_text("")
    return Texts(text, empty, lines, [tag for sentence in sentences for tag in sentence.tags or ()], times, runs)


def tagging(model: Path, texts: Texts, names: Sequence[str], work: Path) -> None:
    """One line for each row: how it compares with the first."""
    print(f"{'':16}{'start s':>9}{'peak MB':>9}{'size MB':>9}{'words/s':>10}{'accuracy':>10}{'other tags':>12}")
    first: list[str] = []
    for name in names:
        one = ROWS[name](model, texts, work)
        if one is None:
            continue
        first = first or one.tags
        gold = texts.tags * texts.times
        compared = ""
        if one.tags:
            right = 100 * sum(a == b for a, b in zip(one.tags, gold, strict=True)) / len(gold)
            others = sum(a != b for a, b in zip(one.tags, first, strict=True))
            compared = f"{right:10.2f}{others:12,}"
        print(
            f"{name:16}{one.start:9.3f}{one.peak / 1e6:9.1f}{one.size / 1e6:9.1f}"
            f"{len(gold) / max(one.seconds, 1e-9):10,.0f}{compared}",
            flush=True,
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
            seconds[count] = median(run(command, empty, folder)[0] for _ in range(runs))
        print(f"c-{kind}: {tokens / max(seconds[tokens] - seconds[0], 1e-9):,.0f} tokens/s drawn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the folder of a tagger")
    parser.add_argument("file", type=Path, help="CoNLL-U with the tags, such as en_ewt-ud-test.conllu.gz")
    parser.add_argument("--column", default="upos")
    parser.add_argument("--times", type=int, default=10, help="how often the data is read")
    parser.add_argument("--runs", type=int, default=5, help="of which the median counts")
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
