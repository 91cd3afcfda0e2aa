"""Tokens per second of a language model's samples, in float32 and bfloat16 in turn, and the perplexity of each."""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time

import numpy as np
import torch

import elman
from elman.tasks.language_model.data import END_ID
from elman.tasks.language_model.next_token import NextToken
from machine import machine

PRECISIONS = ("float32", "bfloat16")


def perplexity(model: elman.LanguageModel, ids: list[int], precision: str) -> float:
    """Of a stream, step by step as samples are drawn."""
    following, last, loss = NextToken(model.evaluated, precision), END_ID, 0.0
    for i in ids:
        logits = following(last).astype(np.float64)
        loss += np.logaddexp.reduce(logits) - logits[i]
        last = i
    return math.exp(loss / len(ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder of a language model")
    parser.add_argument("file", help="a text that it was not trained on: its first tokens are scored")
    parser.add_argument("--tokens", type=int, default=2000, help="of each sample")
    parser.add_argument("--scored", type=int, default=50_000, help="tokens of the text")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = elman.load(given.model)
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed, precision in itertools.product(range(given.runs), PRECISIONS):
        pieces = model.sample(given.tokens, seed=seed, precision=precision)
        next(pieces)  # the weights are packed before the first
        began = time.perf_counter()
        drawn = sum(1 for _ in pieces)
        seconds[precision].append((time.perf_counter() - began) / drawn)
    ids = model.corpus(given.file).ids[: given.scored].tolist()
    print(machine(), f"{given.threads} threads", sep=", ")
    for precision in PRECISIONS:
        median, best = statistics.median(seconds[precision]), min(seconds[precision])
        print(
            f"{precision}: {1 / median:,.0f} tokens/s (median of {given.runs}; the fastest {1 / best:,.0f}), "
            f"perplexity {perplexity(model, ids, precision):.4f} of {len(ids):,} tokens"
        )


if __name__ == "__main__":
    main()
