"""Does a language model know which verb agrees, and how far back? On the embedded grammar corpus, by distance.

A present verb of the test part has a subject before it that alone says whether it is singular or plural. The share of
the right form is P(right) / (P(right) + P(wrong)) after the words before it. Chance is 50 %."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import defaultdict
from pathlib import Path

import torch

import elman
from elman.tasks.language_model.network_model import LanguageModel
from elman.tasks.language_model.rivals.ngram_model import NGramModel
from elman.text.grammar import write_corpus
from machine import machine

BINS = [(1, 1), (2, 2), (3, 4), (5, 6), (7, 9), (10, 20)]
NETWORK = {"lines": True, "layers": 1, "input_dropout": 0.0, "hidden_dropout": 0.0, "dropout": 0.1, "batch_tokens": 500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=20_000)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), f"{given.threads} threads, {given.sentences} sentences, seeds {given.seeds}", sep=", ")
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), given.sentences)
        parts = {part: blocks(Path(folder) / f"{part}.conllu") for part in ("train", "dev", "test")}
    lines = {part: [" ".join(row[1] for row in block) for block in found] for part, found in parts.items()}
    items = verbs(parts["test"], other_forms(parts["train"]))
    shared = {"hidden_size": given.hidden_size, "epochs": given.epochs, "threads": given.threads, **NETWORK}
    models = {"5-gram": [NGramModel(order=5).fit(lines["train"])]}
    for cell in ("elman", "lstm"):
        fitted = [LanguageModel(cell=cell, seed=seed, **shared) for seed in given.seeds]
        models[cell] = [model.fit(lines["train"], lines["dev"]) for model in fitted]
    found = {name: [shares(model, items) for model in same] for name, same in models.items()}
    print("\n| distance | verbs | " + " | ".join(models) + " |\n| --- | ---: |" + " ---: |" * len(models))
    for low, high in BINS:
        count = sum(low <= distance <= high for *_, distance in items)
        row = [f"{low}" if low == high else f"{low}-{high}", str(count)]
        for runs in found.values():
            values = [s for run in runs for (*_, d), s in zip(items, run, strict=True) if low <= d <= high]
            row.append(f"{100 * sum(values) / len(values):.1f}" if values else "-")
        print("| " + " | ".join(row) + " |")
    for name, same in models.items():
        print(
            f"{name}: test perplexity", ", ".join(f"{model.evaluate(lines['test']).perplexity:.2f}" for model in same)
        )


def blocks(path: Path) -> list[list[list[str]]]:
    """Sentences as rows of fields."""
    text = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [[line.split("\t") for line in block.split("\n") if not line.startswith("#")] for block in text]


def other_forms(sentences: list) -> dict[str, str]:
    """Each present verb's form in the other number."""
    forms: dict[str, dict[str, str]] = defaultdict(dict)
    for row in (row for block in sentences for row in block if row[4] in ("VBP", "VBZ")):
        forms[row[2]][row[4]] = row[1]
    pairs = [(both["VBP"], both["VBZ"]) for both in forms.values() if len(both) == 2]
    return dict(pairs) | {singular: plural for plural, singular in pairs}


def verbs(sentences: list, other: dict[str, str]) -> list[tuple[list[str], str, str, int]]:
    """(words before, right form, wrong form, distance) of verbs whose subject shows its number."""
    found = []
    for block in sentences:
        words = [row[1] for row in block]
        for row in block:
            verb = int(row[6]) - 1
            if row[7] != "nsubj" or verb < int(row[0]) or block[verb][4] not in ("VBP", "VBZ"):
                continue
            if row[4] not in ("NN", "NNS") or (row[1] == row[2] and row[4] == "NNS") or "Distance=" in row[9]:
                continue
            found.append((words[:verb], words[verb], other[words[verb]], verb - int(row[0]) + 1))
    return found


def shares(model: elman.LanguageModel, items: list) -> list[float]:
    """The right form's share for each."""
    right, wrong = (list(model.score(" ".join([*i[0], i[k]]) for i in items)) for k in (1, 2))
    at = [(a.log_probabilities[-2], b.log_probabilities[-2]) for a, b in zip(right, wrong, strict=True)]
    return [1 / (1 + math.exp(b - a)) for a, b in at]


if __name__ == "__main__":
    main()
