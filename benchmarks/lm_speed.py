"""Training tokens/s of the language model, against the same written plainly: nn.LSTM, tied nn.Linear, cross-entropy.

Both start from the same weights and see the same windows of 20 x 35 tokens, in turn, in blocks of a few steps;
medians of the blocks. --epoch trains each for a whole pass and compares the dev perplexities."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import elman
from elman.recurrent import CELLS, detach
from elman.tasks.language_model.config import CorpusConfig, LanguageModelConfig
from elman.tasks.language_model.data import Corpus, TextSource, make_tokenizer, make_vocabulary
from elman.tasks.language_model.job import Lanes
from elman.tasks.language_model.modules import LanguageModelNetwork
from machine import machine

BATCH, BPTT, CLIP, RATE = 20, 35, 0.25, 20.0
NOTHING = {"input_dropout": 0.0, "hidden_dropout": 0.0, "dropout": 0.0}


class Plain(nn.Module):
    """What one writes in an hour."""

    def __init__(self, ours: LanguageModelNetwork, vocabulary: int, size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.lstm = nn.LSTM(size, size, layers)
        self.out = nn.Linear(size, vocabulary)
        self.out.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(ours.embedding)
            self.out.bias.copy_(ours.bias)
            theirs = dict(self.lstm.named_parameters())
            for name, value in elman.to_torch(ours.layers.layers[1]).named_parameters():
                theirs[name].copy_(value)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor, state: object) -> tuple[torch.Tensor, object]:
        ys, state = self.lstm(self.embedding(ids), state)
        logits = self.out(ys.view(-1, ys.shape[-1]))
        return nn.functional.cross_entropy(logits, targets, reduction="sum"), state


class Side:
    """One of the two, with its optimizer and its state."""

    def __init__(self, network: nn.Module, plain: bool, half: bool) -> None:
        self.network, self.plain, self.half, self.state = network, plain, half, None
        self.optimizer = torch.optim.SGD(network.parameters(), lr=RATE)

    def loss(self, batch, state):
        if self.plain:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                return self.network(batch.ids.data.view(batch.steps, -1), batch.targets, state)
        return self.network.loss(batch.ids, batch.targets, state)

    def step(self, batch) -> None:
        loss, state = self.loss(batch, None if batch.first else self.state)
        self.state = tuple(s.detach() for s in state) if self.plain else detach(state)
        self.optimizer.zero_grad()
        (loss / len(batch.targets)).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()

    @torch.no_grad()
    def perplexity(self, lanes: Lanes) -> float:
        total, state = 0.0, None
        for start in range(0, lanes.steps - 1, BPTT):
            batch = lanes.window(start, min(BPTT, lanes.steps - 1 - start))
            loss, state = self.loss(batch, state)
            total += float(loss)
        return math.exp(total / (lanes.count * (lanes.steps - 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("ELMAN_DATA"), help="folder of the corpora (or ELMAN_DATA)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 650])
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--steps", type=int, default=6, help="of a block")
    parser.add_argument("--epoch", action="store_true", help="train a whole pass, and compare dev perplexities")
    given = parser.parse_args()
    if not given.data:
        parser.error("expected --data DIR or ELMAN_DATA: the folder of the corpora")
    torch.set_num_threads(given.threads)
    print(machine(), f"{given.threads} threads, batch {BATCH} x {BPTT}, SGD", sep=", ")
    folder = Path(given.data) / "ptb-mikolov"
    texts = [TextSource.of(folder / name) for name in ("ptb.train.txt.gz", "ptb.valid.txt")]
    tokenizer = make_tokenizer(CorpusConfig(), texts[0])
    vocabulary = make_vocabulary(CorpusConfig(), texts[0], tokenizer)
    corpora = [Corpus.read(text, tokenizer, vocabulary) for text in texts]
    train, dev = Lanes(corpora[0].ids, BATCH), Lanes(np.asarray(corpora[1].ids), 10)
    for size in given.sizes:
        for precision in given.precision:
            compare(size, precision, len(vocabulary), train, dev, given)


def compare(size: int, precision: str, vocabulary: int, train: Lanes, dev: Lanes, given) -> None:
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=size, embedding_size=0, precision=precision, **NOTHING)
    ours = LanguageModelNetwork(config, CELLS["lstm"], vocabulary)
    half = precision == "bfloat16"
    sides = {"plain": Side(Plain(ours, vocabulary, size, 2), True, half), "elman": Side(ours, False, half)}
    starts = range(0, train.steps - BPTT, BPTT)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    count = len(starts) if given.epoch else (given.blocks + 1) * given.steps
    for first in range(0, count, given.steps):
        for name, side in sides.items():
            batches = [train.window(start, BPTT) for start in starts[first : min(first + given.steps, count)]]
            began = time.perf_counter()
            for batch in batches:
                side.step(batch)
            seconds[name].append((time.perf_counter() - began) / sum(len(b.targets) for b in batches))
    speed = {name: 1 / statistics.median(times[1:]) for name, times in seconds.items()}
    line = f"2 x {size} {precision}: plain {speed['plain']:,.0f} tokens/s, elman {speed['elman']:,.0f}, "
    ratios = [a / b for a, b in zip(seconds["plain"][1:], seconds["elman"][1:], strict=True)]
    line += f"ratio {statistics.median(ratios):.2f}"
    if given.epoch:
        line += "; dev perplexity after a pass: " + ", ".join(f"{n} {s.perplexity(dev):.2f}" for n, s in sides.items())
    print(line, flush=True)


if __name__ == "__main__":
    main()
