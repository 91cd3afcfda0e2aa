"""What every model of every task gives after some steps of training, as hashes: of the weights, and of the answers.

For changes that must change no number: run it before and after, on one machine, and compare the two outputs. Each model
is trained by `elman train` on the embedded corpus, on both paths, with one thread."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.numpy import load_file

TAG = ["--column", "xpos"]
SMALL = {"batch_tokens": 200}
NETWORK = {"epochs": 2, "hidden_size": 20}
# (task, model, settings beyond the small ones): what a network may be made of, and every rival
RUNS: list[tuple[str, str, dict[str, object]]] = [
    ("tag", "network", NETWORK),
    ("tag", "network", NETWORK | {"cell": "gru", "crf": True, "layers": 2, "window_before": 1, "delays": 2}),
    ("tag", "network", NETWORK | {"cell": "lstm-layernorm", "one_way": True, "char_size": 0}),
    ("tag", "majority", {}),
    ("tag", "hmm", {}),
    ("tag", "trigram", {}),
    ("tag", "window", NETWORK),
    ("tag", "crf", {"max_iterations": 10}),
    ("classify", "network", NETWORK),
    ("classify", "network", NETWORK | {"pooling": "final", "tokenizer": "characters", "cell": "elman"}),
    ("classify", "majority", {}),
    ("classify", "cbow", {"epochs": 2}),
    ("classify", "ngrams", {}),
    ("lm", "network", NETWORK),
    ("lm", "network", NETWORK | {"tokenizer": "characters", "cell": "gru", "layers": 2}),
    ("lm", "ngram", {"order": 3}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--only", help="runs whose task and model are TASK or TASK/MODEL")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = made(Path(folder), arguments.sentences)
        for number, (task, model, settings) in enumerate(RUNS):
            if arguments.only not in (None, task, f"{task}/{model}"):
                continue
            for backend in ("auto", "reference"):
                out = Path(folder) / f"{number}-{backend}"
                weights, answers = trained(corpus, out, task, model, settings, backend)
                more = " ".join(f"{k}={v}" for k, v in settings.items() if NETWORK.get(k) != v)
                print(f"{task:8} {model:8} {backend:9} {weights} {answers}  {more}".rstrip(), flush=True)


def made(folder: Path, sentences: int) -> Path:
    """The grammar corpus as taggers, classifiers and language models read it."""
    elman("data", "make", "grammar", "--sentences", str(sentences), "--out", str(folder / "corpus"))
    for part in ("train", "dev", "test"):
        lines = (folder / "corpus" / f"{part}.conllu").read_text(encoding="utf-8").split("\n\n")
        texts = [" ".join(row.split("\t")[1] for row in block.splitlines() if row[:1].isdigit()) for block in lines]
        texts = [text for text in texts if text]
        labelled = "".join(f"{'long' if len(text) > 60 else 'short'}\t{text}\n" for text in texts)
        (folder / "corpus" / f"{part}.tsv").write_text("label\ttext\n" + labelled, encoding="utf-8")
        (folder / "corpus" / f"{part}.txt").write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return folder / "corpus"


def trained(
    corpus: Path, out: Path, task: str, model: str, settings: dict[str, object], backend: str
) -> tuple[str, str]:
    """The hash of the weights and that of the answers on the test part."""
    ending = {"tag": "conllu", "classify": "tsv", "lm": "txt"}[task]
    files = {part: str(corpus / f"{part}.{ending}") for part in ("train", "dev", "test")}
    given = [f"--{key}={value}" for key, value in files.items()] + [f"--out={out}", f"--model={model}", "--quiet"]
    given += TAG if task == "tag" else []
    has_steps = "epochs" in settings
    known = settings | (SMALL if has_steps else {}) | ({"threads": 1} if has_steps else {})
    for key, value in known.items():
        given += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
    elman("train", task, *given, backend=backend)
    tensors = load_file(out / "model.safetensors") if (out / "model.safetensors").exists() else {}
    weights = hashlib.sha256()
    for name in sorted(tensors):
        weights.update(name.encode() + tensors[name].tobytes())
    asked = ["score", str(out), files["test"]] if task == "lm" else ["predict", str(out), files["test"]]
    answers = elman(*asked, backend=backend)
    return weights.hexdigest()[:12] if tensors else "-" * 12, hashlib.sha256(answers).hexdigest()[:12]


def elman(*arguments: str, backend: str = "auto") -> bytes:
    environment = os.environ | {"ELMAN_BACKEND": backend, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "elman", *arguments], env=environment, capture_output=True)
    if done.returncode:
        sys.exit(f"elman {' '.join(arguments)}\n{done.stderr.decode()}")
    return done.stdout


if __name__ == "__main__":
    main()
