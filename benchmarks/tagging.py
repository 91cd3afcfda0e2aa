"""Test scores of the default tagger on real corpora, over seeds: the commands a user would type, one after the other.

Dev data chooses the epoch; test data is scored once, at the end of each run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

CORPORA = {
    "ewt": ("ud-english-ewt", "en_ewt-ud-{}.conllu.gz", ("train", "dev", "test"), ["--column", "upos"]),
    "sequoia": ("ud-french-sequoia", "fr_sequoia-ud-{}.conllu", ("train", "dev", "test"), ["--column", "upos"]),
    "tamil": ("ud-tamil-ttb", "ta_ttb-ud-{}.conllu", ("train", "dev", "test"), ["--column", "upos"]),
    "hungarian": ("ud-hungarian-szeged", "hu_szeged-ud-{}.conllu", ("train", "dev", "test"), ["--column", "upos"]),
    "greek": ("ud-greek-gdt", "el_gdt-ud-{}.conllu", ("train", "dev", "test"), ["--column", "upos"]),
    "ncbi": ("ncbi-disease", "{}.tsv", ("train", "devel", "test"), ["--crf"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", choices=CORPORA)
    parser.add_argument("--data", default=os.environ.get("ELMAN_DATA"), help="folder of the corpora (or ELMAN_DATA)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", default="benchmark-models", help="folder for the models")
    parser.epilog = "Further flags are passed on to `elman train tag`."
    given, rest = parser.parse_known_args()
    if not given.data:
        parser.error("expected --data DIR or ELMAN_DATA: the folder of the corpora")
    folder, pattern, parts, flags = CORPORA[given.corpus]
    paths = []
    for part in parts:
        plain = Path(given.data) / folder / pattern.format(part)
        path = plain if plain.exists() else plain.with_name(plain.name + ".gz")
        paths.append(str(path))
    print(machine(), f"{given.threads} threads", sep=", ")
    scores = []
    for seed in given.seeds:
        out = Path(given.out) / f"{given.corpus}-{seed}"
        command = [sys.executable, "-m", "elman", "train", "tag", "--train", paths[0], "--dev", paths[1]]
        command += ["--test", paths[2], *flags, "--seed", str(seed), "--threads", str(given.threads), "--out", str(out)]
        command += [*rest, "--quiet"]
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        metrics = json.loads((out / "metrics.json").read_text())
        row = {part: main_score(metrics[part]) for part in ("dev", "test")}
        scores.append(row["test"])
        best, epochs = metrics["training"]["best_epoch"], metrics["training"]["epochs"]
        print(
            f"seed {seed}  dev {100 * row['dev']:.2f}  test {100 * row['test']:.2f}  best epoch {best} of {epochs}  "
            f"{seconds / 60:.1f} min for the whole command",
            flush=True,
        )
    spread = f", from {100 * min(scores):.2f} to {100 * max(scores):.2f}" if len(scores) > 1 else ""
    print(f"{given.corpus}: mean test score over {len(scores)} seeds {100 * statistics.mean(scores):.2f}{spread}")


def main_score(result: dict) -> float:
    """Strict entity F1 where there are entities, else accuracy."""
    entities = result["entities"]
    return entities["strict"]["f1"] if entities else result["accuracy"]


if __name__ == "__main__":
    main()
