"""Every benchmark runs: here with the smallest setting, on a made-up corpus."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import elman
from elman.text import grammar

FOLDER = Path(__file__).parent.parent / "benchmarks"
PARTS = ("machine", "random_cells", "serve_load")  # what several benchmarks use
# The smallest setting of each; {data} is a folder of corpora, {model} that of a tagger,
# {lm} that of a language model.
TINY = {
    "agreement": "--sentences 300 --hidden-size 4 --epochs 1 --threads 1",
    "export_onnx": "{model} {data}/ud-english-ewt/en_ewt-ud-test.conllu.gz --words 50 --runs 1",
    "export_page": "{model} {data}/ud-english-ewt/en_ewt-ud-test.conllu.gz --texts 5 --typed 1 --weights int8 --runs 1",
    "export_speed": "{model} {data}/ud-english-ewt/en_ewt-ud-test.conllu.gz --times 1 --runs 1 --rows predict "
    "c-int8 --lm {lm} --tokens 9 --weights int8",
    "hashes": "--sentences 60 --only tag/majority",
    "help": "--runs 1",
    "inspect_cost": "--repeats 1 --steps 3 --width 4 --tokens 4 --sentences 20",
    "lm_speed": "--data {data} --sizes 4 --precision float32 bfloat16 --threads 1 --blocks 1 --steps 1 --memory",
    "long_sequence": "--steps 200 --hidden 8 --memory 1MB --threads 1",
    "long_session": "--words 500 --hidden 4 --crf",
    "sampling": "{lm} {data}/ptb-mikolov/ptb.valid.txt --tokens 9 --scored 20 --runs 1",
    "predict": "{model} {data}/ud-english-ewt/en_ewt-ud-test.conllu.gz --words 50 --runs 1 --threads 1",
    "seq2seq": "g2p --data {data} --languages ady --threads 1 --out {out} --epochs 1 --hidden 4 --embedding-size 4",
    "seq2seq:rivals": "g2p --data {data} --languages ady --rivals --out {out}",
    "seq2seq_speed": "--data {data} --sets cmudict --hidden 4 --threads 1 --blocks 1 --steps 1 --out {out}",
    "serve_overload": "--hidden 4 --seconds 0.5 --requests 50 --connections 30 --queue 2 --json",
    "serve_soak": "--hidden 4 --minutes 0.01 --round 0.3 --connections 2 --json",
    "serve_speed": "--hidden 4 --requests 30 --seconds 2 --blocks 1 --connections 1 4 --json",
    "tagger_speed": "{data}/ud-english-ewt/en_ewt-ud-train.conllu.gz --batches 2 --threads 1 --reference",
    "tagging": "ewt --data {data} --threads 1 --out {out} --epochs 1 --hidden 4 --set word_size=4",
    "unseen_cells": "--seeds 1 --threads 1 --runs 1",
    "watch_cost": "--steps 2 --pairs 1 --sentences 40 --threads 1 --json",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("corpora")
    for name in ("ud-english-ewt", "ptb-mikolov"):
        (folder / name).mkdir()
    blocks = list(grammar.make(220, seed=1))
    for part, some in (("train", blocks[:180]), ("dev", blocks[180:200]), ("test", blocks[200:])):
        path = folder / "ud-english-ewt" / f"en_ewt-ud-{part}.conllu.gz"
        path.write_bytes(gzip.compress("".join(some).encode()))
        sentences = elman.read(path, column="xpos")
        text = "".join(" ".join(sentence.words) + "\n" for sentence in sentences).encode()
        for name, content in (("ptb.train.txt.gz", gzip.compress(text)), ("ptb.valid.txt", text)):
            if ("train" in name) == (part == "train"):
                (folder / "ptb-mikolov" / name).write_bytes(content)
    pairs = [f"{word}\t{' '.join(word.upper())}\n" for word in dict.fromkeys(text.decode().split())]
    pairs = [pair.replace("\t", f"{i}\t", 1) for i in range(-(-400 // len(pairs))) for pair in pairs]
    for name in ("sigmorphon2020-g2p/ady_{}.tsv", "cmudict-pronasyl2007/g014b2b.{}"):
        (folder / name).parent.mkdir()
        for part in ("train", "dev", "test", "ref"):
            (folder / name.format(part)).write_text("".join(pairs if part == "train" else pairs[:20]))
    train = [*("train", "tag", "--train", folder / "ud-english-ewt" / "en_ewt-ud-test.conllu.gz", "--column", "upos")]
    small = ["--epochs", "1", "--hidden", "4", "--threads", "1", "--out", folder / "model", "--quiet"]
    subprocess.run([sys.executable, "-m", "elman", *train, *small], check=True, stdout=subprocess.DEVNULL)
    elman.LanguageModel(hidden_size=4, epochs=1, minimum=1).fit(["the sheep run", "the dog sees"], out=folder / "lm")
    return {name: str(folder / path) for name, path in (("data", ""), ("model", "model"), ("lm", "lm"), ("out", "out"))}


def test_every_benchmark_has_a_smallest_setting() -> None:
    assert {name.partition(":")[0] for name in TINY} | set(PARTS) == {path.stem for path in FOLDER.glob("*.py")}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.usefixtures("compiler")
def test_it_runs(name: str, made: dict[str, str], tmp_path: Path) -> None:
    if name == "export_onnx":
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
        pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    for package in ("uvicorn", "starlette", "fastapi") if name.startswith("serve_") else ():
        pytest.importorskip(package)
    arguments = TINY[name].format(**made).split()
    command = [sys.executable, str(FOLDER / f"{name.partition(':')[0]}.py"), *arguments]
    ran = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert any(character.isdigit() for character in ran.stdout)
    if "--json" in arguments:
        json.loads(ran.stdout)
