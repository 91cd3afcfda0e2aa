"""A small tagging-like job, and a script around it that tests start, kill and resume.

python toy.py run OUT [--resume]      trains; prints one line when training has begun
python toy.py torment OUT SEED KILLS  trains in child processes, each killed at a random moment
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elman.errors import Interrupted
from elman.training import Job, TrainingConfig, fit, make_progress, prepare


class Network(nn.Module):
    """Frozen and trained vectors, a recurrent layer, dropout, a head tied to nothing; a buffer that training moves."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 8)
        self.fixed = nn.Embedding(40, 4).requires_grad_(False)
        self.rnn = nn.RNN(12, 16, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(16, 5)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, words: Tensor) -> Tensor:
        if self.training:
            self.seen += words.numel()
        vectors = torch.cat([self.embedding(words), self.fixed(words)], dim=-1)
        return self.head(self.dropout(self.rnn(self.dropout(vectors))[0]))


class Toy(Job):
    """Tag each of eight words by the sum of itself and the word before; batches of unequal size."""

    metric: str | None = "accuracy"

    def __init__(self, *, sentences: int = 60, pause: float = 0.0, data: str = "aa11") -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.network = Network()
            self.words = torch.randint(0, 40, (sentences, 8))
        self.tags = (self.words + self.words.roll(1, dims=1)) % 5
        self.train = sentences * 2 // 3
        self.pause = pause
        self.data = data

    def fingerprint(self) -> dict[str, str]:
        return {"train.conllu": self.data, "architecture": "toy"}

    def batches(self, epoch: int) -> list[Tensor]:
        order = torch.randperm(self.train, generator=torch.Generator().manual_seed(100 + epoch))
        return list(order.split(7 + epoch % 2))

    def loss(self, batch: Tensor) -> tuple[Tensor, int]:
        time.sleep(self.pause)
        logits = self.network(self.words[batch])
        return nn.functional.cross_entropy(logits.flatten(0, 1), self.tags[batch].flatten(), reduction="sum"), len(
            batch
        ) * 8

    def score(self) -> dict[str, float]:
        right = self.network(self.words[self.train :]).argmax(-1) == self.tags[self.train :]
        return {"accuracy": right.double().mean().item()}


def config(**options: Any) -> TrainingConfig:
    """The options of the script."""
    return TrainingConfig(**{"epochs": 12, "learning_rate": 0.01, "warmup_steps": 10, "threads": 1, **options})


def train(out: Path, *, resume: bool, pause: float) -> None:
    job = Toy(pause=pause)
    with prepare(out, resume=resume) as folder:
        print("begun", flush=True)
        fit(job, config(checkpoint_every=0.0), folder, make_progress(quiet=True))
        folder.finish()


def torment(out: Path, seed: int, kills: int) -> None:
    """Train in children, the first `kills` of them killed after a random time; say what became of each."""
    importlib.import_module("torch._dynamo")  # which torch.optim imports late: once here, not in every child
    draw = random.Random(seed)
    outcome: list[int] = []
    for _ in range(200):
        child = os.fork()  # torch is imported but has computed nothing here, so forking it is safe
        if child == 0:
            try:
                train(out, resume=(out / "training").is_dir(), pause=0.04)
            except (Interrupted, KeyboardInterrupt):  # the latter before training has begun
                os._exit(130)
            except BaseException as problem:
                print(f"{type(problem).__name__}: {problem}", flush=True)
                os._exit(1)
            os._exit(0)
        signum = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        if len(outcome) < kills:
            time.sleep(draw.uniform(0.02, 0.25))
            os.kill(child, signum)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcome.append(status)
        if status not in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130):
            break
    print(*outcome, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    setattr(os, "fsync", lambda handle: None)  # noqa: B010  a kill, unlike a power cut, loses nothing that was written
    if sys.argv[1] == "run":
        try:
            train(Path(sys.argv[2]), resume=False, pause=0.01)
        except Interrupted as stop:
            print(stop, flush=True)
            sys.exit(stop.exit_code)
    else:
        torment(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
