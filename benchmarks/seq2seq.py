"""Test scores of sequence to sequence on real corpora: the commands a user would type, one after the other.

One configuration for every language of a set. Dev data chooses the epoch; test data is scored once, after training."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from machine import machine

Files = tuple[str, str, str]  # train, dev, test
INFLECTION = ["--source-column", "1", "--features-column"]
SPACE = ["--source-tokenizer", "space", "--target-tokenizer", "space"]
HARD = ["--attention", "hard", "--monotonic"]
SMALL = ["--copy", "--batch-tokens", "300", "--learning-rate", "3e-3"]
G2P = ["ady", "arm", "bul", "dut", "fre", "geo", "gre", "hin", "hun", "ice", "jpn", "kor", "lit", "rum", "vie"]
SETS: dict[str, dict] = {
    "scan": {"languages": ["simple"], "flags": SPACE, "time": "10m"},
    "inflection-2016": {
        "languages": ["arabic", "hungarian", "navajo", "russian"],
        "flags": [*INFLECTION, "2", "--target-column", "3", "--features-separator", ",", *HARD],
        "time": "15m",
    },
    "inflection-medium": {
        "languages": ["arabic", "french", "hungarian", "latin", "navajo", "russian"],
        "flags": [*INFLECTION, "3", "--target-column", "2", *HARD, *SMALL, "--hidden", "200", "--epochs", "60"],
        "time": "3m",
    },
    "inflection-low": {
        "languages": ["arabic", "french", "hungarian", "latin", "navajo", "russian"],
        "flags": [
            *[*INFLECTION, "3", "--target-column", "2", *HARD, *SMALL, "--hidden", "100", "--epochs", "15"],
            *["--invented", "2000"],
        ],
        "time": "2m",
    },
    "g2p": {
        "languages": G2P,
        "flags": ["--target-tokenizer", "space", *HARD],
        "time": "5m",
    },
    "cmudict": {"languages": ["english"], "flags": ["--target-tokenizer", "space", "--several"], "time": "30m"},
    "histnorm": {
        "languages": ["german-ridges", "slovene-goo300k-bohoric", "icelandic-icepahc"],
        "flags": HARD,
        "time": "10m",
    },
    "multi30k": {
        "languages": ["de-en"],
        "flags": [*SPACE, "--minimum", "2", "--epochs", "14", "--batch-tokens", "2000"],
        "time": "60m",
        "bleu": True,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", default=os.environ.get("ELMAN_DATA"), help="folder of the corpora (or ELMAN_DATA)")
    parser.add_argument("--languages", nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="several: their ensemble is scored too")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--dev-only", action="store_true", help="leave the test data unread")
    parser.add_argument("--out", default="benchmark-models", help="folder for the models")
    parser.epilog = "Further flags are passed on to `elman train seq2seq`."
    given, rest = parser.parse_known_args()
    if not given.data:
        parser.error("expected --data DIR or ELMAN_DATA: the folder of the corpora")
    chosen = SETS[given.set]
    print(machine(), f"{given.threads} threads", f"beam {given.beam}", " ".join(chosen["flags"]), sep=", ", flush=True)
    means: dict[str, list[float]] = {}
    for language in given.languages or chosen["languages"]:
        out = Path(given.out) / f"{given.set}-{language}"
        out.mkdir(parents=True, exist_ok=True)
        files = FILES[given.set](Path(given.data), language, out)
        folders = []
        for seed in given.seeds:
            folders.append(str(out / f"seed-{seed}"))
            command = ["train", "seq2seq", "--train", files[0], "--dev", files[1], "--format", FORMATS[given.set]]
            command += [*chosen["flags"], "--max-time", chosen["time"], "--seed", str(seed), "--out", folders[-1]]
            began = time.monotonic()
            elman(*command, "--threads", str(given.threads), *rest, "--quiet")
            minutes = (time.monotonic() - began) / 60
            scores = scored(folders[-1:], files, given, bool(chosen.get("bleu")))
            training = json.loads(Path(folders[-1], "metrics.json").read_text())["training"]
            best = f"best epoch {training['best_epoch']} of {training['epochs']}, {minutes:.1f} min"
            print(f"{language}  seed {seed}  {shown(scores)}  {best}", flush=True)
            for name, value in scores.items():
                means.setdefault(name, []).append(value)
        if len(folders) > 1:
            print(
                f"{language}  {len(folders)} together  {shown(scored(folders, files, given, bool(chosen.get('bleu'))))}"
            )
    print(f"{given.set}: mean  " + shown({name: statistics.mean(values) for name, values in means.items()}))


def elman(*arguments: str) -> str:
    command = [sys.executable, "-m", "elman", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def scored(folders: list[str], files: Files, given: argparse.Namespace, bleu: bool) -> dict[str, float]:
    """Accuracy (and BLEU) on dev and test."""
    scores = {}
    for part, file in (("dev", files[1]), ("test", files[2])):
        if part == "test" and given.dev_only:
            continue
        command = ["eval", folders[0], file, "--beam", str(given.beam), "--threads", str(given.threads), "--json"]
        for other in folders[1:]:
            command += ["--ensemble", other]
        result = json.loads(elman(*command, *(["--text-scores"] if bleu else [])))
        scores[part] = 100 * result["accuracy"]
        if bleu:
            scores[f"{part} BLEU"] = result["bleu"]
    return scores


def shown(scores: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in scores.items())


def rows(path: Path) -> list[str]:
    path = path if path.exists() else path.with_name(path.name + ".gz")
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return text.removesuffix("\n").split("\n")


def written(path: Path, lines: Iterable[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def named(path: Path) -> str:
    return str(path if path.exists() else path.with_name(path.name + ".gz"))


def scan(data: Path, split: str, out: Path) -> Files:
    """A tenth of the training data is held out for dev: every tenth line."""
    lines = rows(data / "scan" / f"tasks_train_{split}.txt")
    train = written(out / "train.txt", (line for i, line in enumerate(lines) if i % 10))
    dev = written(out / "dev.txt", lines[::10])
    return train, dev, named(data / "scan" / f"tasks_test_{split}.txt")


def inflection_2016(data: Path, language: str, out: Path) -> Files:
    folder = data / "sigmorphon2016-inflection"
    return tuple(named(folder / f"{language}-task1-{part}") for part in ("train", "dev", "test"))  # type: ignore[return-value]


def inflection_2017(size: str):
    def files(data: Path, language: str, out: Path) -> Files:
        folder = data / "sigmorphon2017-inflection"
        return tuple(named(folder / f"{language}-{part}") for part in (f"train-{size}", "dev", "test"))  # type: ignore[return-value]

    return files


def g2p(data: Path, language: str, out: Path) -> Files:
    folder = data / "sigmorphon2020-g2p"
    return tuple(named(folder / f"{language}_{part}.tsv") for part in ("train", "dev", "test"))  # type: ignore[return-value]


def cmudict(data: Path, language: str, out: Path) -> Files:
    """The last 2,670 words of the training data (at most a tenth) are dev."""
    folder = data / "cmudict-pronasyl2007"
    lines = rows(folder / "g014b2b.train")
    words = list(dict.fromkeys(line.split("\t")[0] for line in lines))
    held = set(words[-min(2670, len(words) // 10) :])
    train = written(out / "train.tsv", (line for line in lines if line.split("\t")[0] not in held))
    dev = written(out / "dev.tsv", (line for line in lines if line.split("\t")[0] in held))
    return train, dev, named(folder / "g014b2b.ref")


def histnorm(data: Path, language: str, out: Path) -> Files:
    """As published: lower case, composed, without lines of punctuation, digits the same on both sides as 0, spaces
    inside a word as a division sign."""

    def kept(lines: list[str]) -> Iterable[str]:
        for line in lines:
            cells = line.split("\t")
            if len(cells) != 2:
                continue
            source, target = (unicodedata.normalize("NFC", cell).lower() for cell in cells)
            if not source or not target or all(unicodedata.category(c)[0] == "P" for c in source):
                continue
            if source == target and source.isdigit():
                source = target = "0" * len(source)
            yield f"{source.replace(' ', chr(0xF7))}\t{target.replace(' ', chr(0xF7))}"

    parts = ("train", "dev", "test")
    return tuple(  # type: ignore[return-value]
        written(out / f"{part}.tsv", kept(rows(data / "histnorm" / f"{language}.{part}.txt"))) for part in parts
    )


def multi30k(data: Path, languages: str, out: Path) -> Files:
    folder = data / "multi30k" / "tok"
    sides = languages.split("-")
    parts = ("train", "val", "test_2016_flickr")
    return tuple("::".join(named(folder / f"{part}.lc.norm.tok.{side}") for side in sides) for part in parts)  # type: ignore[return-value]


FILES = {
    "scan": scan,
    "inflection-2016": inflection_2016,
    "inflection-medium": inflection_2017("medium"),
    "inflection-low": inflection_2017("low"),
    "g2p": g2p,
    "cmudict": cmudict,
    "histnorm": histnorm,
    "multi30k": multi30k,
}
FORMATS = dict.fromkeys(SETS, "tsv") | {"scan": "scan", "multi30k": "parallel"}


if __name__ == "__main__":
    main()
