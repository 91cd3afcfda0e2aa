"""Language modelling as the training loop sees it: windows of a stream or batches of lines, a loss, a dev score."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.recurrent import Packed, detach
from elman.recurrent.states import map_state
from elman.tasks.jobs import Lazy, beginnings, depends_on, epoch_seed
from elman.tasks.language_model.config import LanguageModelConfig
from elman.tasks.language_model.data import END_ID, Corpus, line_starts
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.tasks.settings import Settings
from elman.text.batching import batches_by_tokens
from elman.training import Excerpt, Job

DEV_LANES = 10
DEV_STEPS = 256
DEV_TOKENS = 4000


@dataclass(frozen=True)
class Batch:
    """ids: what is read, targets (rows,): what comes next, in packed order. first: a new pass, from a fresh state."""

    ids: Packed
    targets: Tensor
    first: bool
    steps: int


class Lanes:
    """A stream in `count` lanes side by side, read in windows; nothing is left out: the first lanes may be one longer.

    Every token is predicted once: the first one after a line end placed before the text."""

    def __init__(self, ids: np.ndarray[Any, Any], count: int) -> None:
        self.ids, self.count = ids, min(count, len(ids))
        short, longer = divmod(len(ids), self.count)
        self.lengths = [short + (lane < longer) for lane in range(self.count)]
        self.starts = np.cumsum([0, *self.lengths[:-1]])

    @property
    def steps(self) -> int:
        return self.lengths[0]

    def window(self, start: int, steps: int) -> Batch:
        """The tokens of steps start, start + 1, ... of each lane."""
        lengths = [min(max(length - start, 0), steps) for length in self.lengths]
        sizes = [sum(length > step for length in lengths) for step in range(lengths[0])]
        pieces = np.full((lengths[0] + 1, self.count), END_ID, np.int64)
        for lane, (first, length) in enumerate(zip(self.starts + start, lengths, strict=True)):
            part = self.ids[max(first - 1, 0) : first + length]
            pieces[lengths[lane] + 1 - len(part) : length + 1, lane] = part
        if sizes and sizes[-1] == self.count:
            read, written = pieces[:-1].reshape(-1), pieces[1:].reshape(-1)
        else:
            rows = np.arange(self.count) < np.array(sizes)[:, None]
            read, written = pieces[:-1][rows], pieces[1:][rows]
        ids = Packed(torch.from_numpy(read.copy()), sizes, lengths, torch.arange(self.count))
        return Batch(ids, torch.from_numpy(written.copy()), start == 0, lengths[0])


def window_lengths(steps: int, bptt: int, source: random.Random) -> list[tuple[int, int]]:
    """(start, length) of the windows of a pass: bptt, or half of it one time in twenty, with a deviation of 5 (less for
    short windows), at least 5 (Merity, Keskar and Socher 2018)."""
    windows, start = [], 0
    while start < steps:
        mean = bptt if source.random() < 0.95 else bptt / 2
        length = max(min(5, bptt), round(source.gauss(mean, min(5.0, bptt / 7))))
        windows.append((start, min(length, steps - start)))
        start += length
    return windows


def line_batch(ids: np.ndarray[Any, Any], starts: np.ndarray[Any, Any], chosen: Sequence[int]) -> Batch:
    """Some lines, each from a fresh state after a line end."""
    lines = [ids[starts[i] : starts[i + 1]].astype(np.int64) for i in chosen]
    plan = Packed.plan([len(line) for line in lines])
    read = np.concatenate([np.concatenate([[END_ID], line[:-1]]) for line in lines])
    order = plan.data.numpy()
    written = np.concatenate(lines)
    return Batch(plan.with_data(torch.from_numpy(read[order])), torch.from_numpy(written[order]), True, plan.lengths[0])


class LanguageModelJob(Job):
    """What `elman.training.fit` trains. inputs: what else the run depends on, name -> content."""

    network: LanguageModelNetwork

    def __init__(
        self,
        network: LanguageModelNetwork,
        settings: Settings[LanguageModelConfig],
        train: Corpus,
        dev: Corpus | None,
        inputs: Mapping[str, str | bytes | None],
    ) -> None:
        self.network, self.settings, self.train, self.dev, self.inputs = network, settings, train, dev, inputs
        self.metric = None if dev is None else "log_likelihood"
        self.lanes = Lanes(train.ids, settings.training.batch_size)
        self._state: Any = None
        self._starts = line_starts(train.ids) if settings.model.lines else None

    def fingerprint(self) -> dict[str, str]:
        dev = None if self.dev is None else self.dev.digest
        return depends_on(self.settings.model, self.train.digest, dev, self.inputs)

    def batches(self, epoch: int) -> Sequence[Batch]:
        training = self.settings.training
        seed = epoch_seed(training.seed, epoch)
        if (starts := self._starts) is not None:
            groups = batches_by_tokens(np.diff(starts).tolist(), training.batch_tokens, seed)
            return Lazy(len(groups), lambda i: line_batch(self.train.ids, starts, groups[i]))
        windows = window_lengths(self.lanes.steps, training.bptt, random.Random(seed))
        return Lazy(len(windows), lambda i: self.lanes.window(*windows[i]))

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """In a stream the state is carried from batch to batch; its gradient stops there."""
        loss, state = self.network.loss(batch.ids, batch.targets, None if batch.first else self._state)
        self._state = None if self._starts is not None else detach(state)
        return loss, len(batch.targets)

    def excerpt(self, batch: Batch, sequences: int, steps: int) -> Excerpt:
        """From a fresh state, only the last output of each sequence: a softmax over a vocabulary is expensive."""
        layout = beginnings(batch.ids, sequences, steps)
        ids = layout.with_data(batch.ids.data[layout.data])
        ends = [(i, length - 1) for i, length in enumerate(layout.lengths) if length]
        rows = torch.tensor([int(layout.offsets[step]) + i for i, step in ends], dtype=torch.long)
        targets = batch.targets[layout.data[rows]]
        return Excerpt(lambda: -self.network.log_probabilities(ids, rows).gather(1, targets[:, None])[:, 0], ends)

    def rate_scale(self, batch: Batch) -> float:
        """Windows of unusual length move the weights in proportion (Merity, Keskar and Socher 2018)."""
        return 1.0 if self._starts is not None else batch.steps / self.settings.training.bptt

    def carried(self) -> dict[str, Tensor]:
        values: list[Tensor] = []
        if self._state is not None:
            map_state(lambda value: values.append(value) or value, self._state)  # type: ignore[func-returns-value]
        return {f"state.{i}": value for i, value in enumerate(values)}

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        if tensors:
            values = iter(tensors[f"state.{i}"] for i in range(len(tensors)))
            initial = self.network.layers.initial(self.lanes.count, self.network.bias)
            self._state = map_state(lambda _: next(values), initial)

    def score(self) -> dict[str, float]:
        """Of the dev text; a stream is read in ten lanes at once, so the start of each lacks its context."""
        assert self.dev is not None
        total = 0.0
        state: Any = None
        for batch in self._dev_batches():
            loss, state = self.network.loss(batch.ids, batch.targets, None if batch.first else state)
            total += float(loss)
        mean = total / len(self.dev)
        return {"log_likelihood": -mean, "perplexity": math.exp(min(mean, 700.0))}

    def _dev_batches(self) -> Sequence[Batch]:
        assert self.dev is not None
        ids = self.dev.ids
        if self._starts is not None:
            starts = line_starts(ids)
            groups = batches_by_tokens(np.diff(starts).tolist(), DEV_TOKENS)
            return Lazy(len(groups), lambda i: line_batch(ids, starts, groups[i]))
        lanes = Lanes(ids, DEV_LANES)
        return Lazy(-(-lanes.steps // DEV_STEPS), lambda i: lanes.window(i * DEV_STEPS, DEV_STEPS))
