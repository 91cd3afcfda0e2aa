"""Words per second of `elman predict`, as whole commands: on the file, repeated to about 250,000 words, and on one
sentence of it; the difference is prediction without loading. How long one sentence takes stands beside how long
`import torch` takes, each measured in turn."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import elman
from machine import machine


def seconds(*arguments: str) -> float:
    command = [sys.executable, *arguments]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model folder")
    parser.add_argument("file", help="a CoNLL-U file")
    parser.add_argument("--words", type=int, default=250_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    sentences = elman.read(given.file, format="conllu")
    writer = elman.text.get_format("conllu")
    blocks = [writer.write(sentence, None) for sentence in sentences]
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder) / "long.conllu", Path(folder) / "short.conllu"
        words = 0
        with long.open("w", encoding="utf-8") as file:
            while words < given.words:
                for sentence, block in zip(sentences, blocks, strict=True):
                    file.write(block)
                    words += len(sentence)
        short.write_text(blocks[0], encoding="utf-8")
        end = ("--threads", str(given.threads))
        commands = [("-m", "elman", "predict", given.model, str(path), *end) for path in (long, short)]
        commands.append(("-c", "import torch"))
        seconds(*commands[1])
        rows = [[seconds(*command) for command in commands] for _ in range(given.runs)]
    whole, loading, torch = (statistics.median(column) for column in zip(*rows, strict=True))
    print(machine(), f"{given.threads} threads", sep=", ")
    print(f"{words:,} words in {whole:.1f} s, loading {loading:.1f} s (medians of {given.runs})")
    print(f"{words / whole:,.0f} words/s with loading, {words / (whole - loading):,.0f} words/s without")
    print(f"one sentence: {loading:.2f} s; import torch alone: {torch:.2f} s")


if __name__ == "__main__":
    main()
