"""Training tokens/s of the language model, against the same written plainly: nn.LSTM, tied nn.Linear, cross-entropy.

Both start from the same weights and see the same windows of 20 x 35 tokens, in turn, in blocks of a few steps;
medians of the blocks. --epoch trains each for a whole pass and compares the dev perplexities; --memory runs each in a
process of its own and compares their peak memory."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import elman
from elman.config import TrainingConfig
from elman.recurrent import CELLS, detach
from elman.tasks.language_model.config import CorpusConfig, LanguageModelConfig
from elman.tasks.language_model.data import Corpus, TextSource, make_tokenizer, make_vocabulary
from elman.tasks.language_model.job import Lanes
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.training.optimizer import clip_gradients, make_optimizer
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
        if plain:
            self.optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        else:
            self.optimizer = make_optimizer(
                network, TrainingConfig(optimizer="sgd", learning_rate=RATE, weight_decay=0)
            )

    def loss(self, batch, state):
        if self.plain:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                return self.network(batch.ids.data.view(batch.steps, -1), batch.targets, state)
        return self.network.loss(batch.ids, batch.targets, state)

    def step(self, batch) -> None:
        self.optimizer.zero_grad()
        loss, state = self.loss(batch, None if batch.first else self.state)
        self.state = tuple(s.detach() for s in state) if self.plain else detach(state)
        (loss / len(batch.targets)).backward()
        if self.plain:
            nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        else:
            clip_gradients(self.optimizer, CLIP)
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
    parser.add_argument("--memory", action="store_true", help="peak memory of each, in a process of its own")
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
            if given.memory:
                batches = [train.window(start, BPTT) for start in range(0, 3 * BPTT, BPTT)]
                peaks = {name: peak(name, size, precision, len(vocabulary), batches, given.threads) for name in SIDES}
                print("  peak memory: " + ", ".join(f"{name} {mb:,.0f} MB" for name, mb in peaks.items()), flush=True)


SIDES = ("plain", "elman")


def made(size: int, precision: str, vocabulary: int, names: tuple[str, ...] = SIDES) -> dict[str, Side]:
    """These sides, with the same weights."""
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=size, embedding_size=0, precision=precision, **NOTHING)
    ours = LanguageModelNetwork(config, CELLS["lstm"], vocabulary)
    half = precision == "bfloat16"
    both = {
        "plain": lambda: Side(Plain(ours, vocabulary, size, 2), True, half),
        "elman": lambda: Side(ours, False, half),
    }
    return {name: both[name]() for name in names}


def peak(name: str, size: int, precision: str, vocabulary: int, batches: list, threads: int) -> float:
    """The peak of training beyond that of the process with its weights, before its first step, in MB."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=alone, args=(send, name, size, precision, vocabulary, batches, threads))
    process.start()
    result = receive.recv()
    process.join()
    return result


def alone(send, name: str, size: int, precision: str, vocabulary: int, batches: list, threads: int) -> None:
    torch.set_num_threads(threads)
    side = made(size, precision, vocabulary, (name,))[name]
    before = most_held()
    for batch in batches:
        side.step(batch)
    send.send(most_held() - before)


def most_held() -> float:
    """The peak memory of this process, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def compare(size: int, precision: str, vocabulary: int, train: Lanes, dev: Lanes, given) -> None:
    sides = made(size, precision, vocabulary)
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
