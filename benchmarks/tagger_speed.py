"""Training speed of the tagger at its default settings: our layers against torch's packed nn.LSTM in the same network.

Two networks of the same sizes take the same batches in turn, each with its own optimizer: loss, gradients, clipping and
step, as `elman train tag` does them. Medians of tokens/s over the batches of the second half."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

import torch
from torch import nn

import elman
from elman.config import TrainingConfig
from elman.recurrent import Bidirectional, Layer, Packed, to_torch
from elman.tasks.settings import Settings
from elman.tasks.tagging.config import TaggerConfig
from elman.tasks.tagging.data import Vocabularies
from elman.tasks.tagging.job import TaggerJob
from elman.tasks.tagging.modules import RecurrentTaggerNetwork
from elman.training.optimizer import clip_gradients, make_optimizer
from machine import machine


class TorchLSTM(Layer):
    """nn.LSTM in both directions over torch's PackedSequence, with the weights of one of our layers."""

    causal = False

    def __init__(self, ours: Bidirectional) -> None:
        super().__init__()
        self.module = to_torch(ours)
        self.input_size, self.output_size = ours.input_size, ours.output_size

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        ys, (h, _) = self.module(xs.to_torch())
        unsorted = torch.argsort(xs.order)  # torch gives states in the caller's order
        return xs.with_data(ys.data), h[:, xs.order] if len(unsorted) else h

    def initial(self, sequences: int, like: Any = None) -> Any:
        return ()

    def check(self, state: Any, sequences: int) -> Any:
        return state

    def final(self, state: Any) -> torch.Tensor:
        return torch.cat([state[0], state[1]], -1)


def with_torch(network: nn.Module) -> nn.Module:
    """Put TorchLSTM in the place of every Bidirectional."""
    for name, child in network.named_children():
        if isinstance(child, Bidirectional):
            setattr(network, name, TorchLSTM(child))
        else:
            with_torch(child)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", help="a training file, such as en_ewt-ud-train.conllu.gz")
    parser.add_argument("--format", default="conllu")
    parser.add_argument("--batches", type=int, default=120)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--reference", action="store_true", help="our layers on the reference path too")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = elman.read(given.train, format=given.format)
    settings = Settings(TaggerConfig(), TrainingConfig())
    runs: dict[str, list[float]] = {}
    jobs = {}
    for name in ("torch", "elman", *(["elman, reference"] if given.reference else [])):
        torch.manual_seed(settings.training.seed)
        vocabularies = Vocabularies.of(data, None, None)
        cell = elman.recurrent.get_cell("lstm")
        network = RecurrentTaggerNetwork(settings.model, (cell, cell), vocabularies, None, None)
        if name == "torch":
            with_torch(network)
        network.train()
        jobs[name] = (
            TaggerJob(network, vocabularies, settings, None, data, None),
            make_optimizer(network, TrainingConfig()),
        )
        runs[name] = []
    batches = next(iter(jobs.values()))[0].batches(0)
    losses: dict[str, float] = {}
    for i in range(given.batches):
        batch = batches[i]
        for name, (job, optimizer) in jobs.items():
            with elman.use_backend("reference" if "reference" in name else "auto"):
                began = time.perf_counter()
                optimizer.zero_grad()
                loss, tokens = job.loss(batch)
                (loss / tokens).backward()
                clip_gradients(optimizer, 5.0)
                optimizer.step()
                losses[name] = loss.item() / tokens
                runs[name].append(tokens / (time.perf_counter() - began))
    speeds = {name: statistics.median(values[given.batches // 2 :]) for name, values in runs.items()}
    if given.json:
        print(json.dumps({"machine": machine(), "threads": given.threads, "tokens_per_second": speeds}))
        return
    print(machine(), f"{given.threads} threads", sep=", ")
    for name, speed in speeds.items():
        print(f"{name:18} {speed:8,.0f} tokens/s   {speed / speeds['torch']:5.2f} x   last loss {losses[name]:.3f}")


if __name__ == "__main__":
    main()
