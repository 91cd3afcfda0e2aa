"""`Watcher`: gradients through time, gates and the size of the updates, observed while a network trains."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.inspect.backward import mean_by_distance
from elman.inspect.subject import Place, Subject, backward, floats
from elman.inspect.trace import saturation
from elman.recurrent import Layer
from elman.tasks.examine import Outcome
from elman.training import Job

SEQUENCES = 8
"""Sequences of a batch that are inspected: its longest."""

STEPS = 32
"""Their first steps, at most, so gradients are seen at distances 0 to 31."""

BRIEF = 8
"""Steps of the first look, whose cost is not yet known; each one after it takes twice as many."""

WARM = 20
"""Steps of training before the first look."""

BACK = 10
"""The distance that is shown on the terminal."""


class Watcher:
    """Observes while `fit(..., watch=Watcher())` trains, and adds a part "watch" to each line of log.jsonl:

    looks, seconds:       how many looks it took in this epoch, and how long they took
    gradient_by_distance: place -> the mean norm of dL_j / ds_i at the distances 0, 1, ... of i from j. Output j is that
                          where the cell has read everything: at the last step, at the first for a cell that runs
                          backward, or for the whole text. It fades where gradients vanish
    saturation:           place -> gate -> [the share of its values below 0.05, the share above 0.95]
    update_ratio:         part of the network -> |W_after - W_before| / |W_before| of one step of the optimizer. Often
                          about 1e-3; far more means the learning rate is too high, far less too low
    left_out:             why there are no gradients and gates, if there are none

    Each is a mean over the looks of the epoch; null where there is nothing, or nothing finite. A look takes a few
    sequences of the current batch, each from a fresh state and without dropout.

    share: it takes at most this share of the time so far, by its own clock and by what the last look took, so when it
           looks depends on the machine. It changes nothing in training. One Watcher is for one training run.
    """

    def __init__(self, share: float = 0.03) -> None:
        if not 0 < share < 1:
            raise UsageError(f"expected a share of the time between 0 and 1, found {share}")
        self.share = share
        self.looks, self.seconds = 0, 0.0
        self._began: float | None = None
        self._steps = 0
        self._cost: float | None = None  # about how many seconds the next look will take
        self._length = BRIEF
        self._left_out: str | None = None
        self._epoch = _Epoch()

    @contextmanager
    def step(self, job: Job, batch: Any) -> Iterator[None]:
        """Around a step of the optimizer; see `elman.training.Watch`."""
        if not self._due():
            yield
            return
        began = time.monotonic()
        self._look(job, batch)
        before = {name: p.detach().clone() for name, p in job.network.named_parameters() if p.requires_grad}
        spent = time.monotonic() - began
        yield
        began = time.monotonic()
        self._epoch.add(update_ratios(before, job.network), "update_ratio")
        spent += time.monotonic() - began
        longer = min(2 * self._length, STEPS)
        self._cost, self._length = spent * longer / self._length, longer
        self.looks += 1
        self.seconds += spent
        self._epoch.looks += 1
        self._epoch.seconds += spent

    def epoch(self) -> tuple[dict[str, Any], str]:
        """(the part "watch" of the epoch's line, a line for the terminal); then a new epoch begins."""
        seen, self._epoch = self._epoch, _Epoch()
        line: dict[str, Any] = {"looks": seen.looks, "seconds": round(seen.seconds, 3)}
        if self._left_out is not None:
            line["left_out"] = self._left_out
        line["gradient_by_distance"] = seen.means("gradient_by_distance")
        line["saturation"] = seen.means("saturation")
        line["update_ratio"] = {part: value for part, (value,) in seen.means("update_ratio").items()}
        return line, summary(line)

    def _due(self) -> bool:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        elapsed, steps = now - self._began, self._steps
        self._steps += 1
        if steps < WARM:
            return False
        # The first look is short, and assumed to be as expensive as a training step.
        cost = elapsed / steps if self._cost is None else self._cost
        return self.seconds + cost <= self.share * elapsed

    def _look(self, job: Job, batch: Any) -> None:
        """Gradients and gates."""
        if self._left_out is not None:
            return
        cuda = sorted({p.device.index for p in job.network.parameters() if p.device.type == "cuda"})
        with torch.random.fork_rng(devices=cuda):  # nothing is drawn here, but the network may be custom
            try:
                subject = subject_of(job, batch, SEQUENCES, self._length)
            except UsageError as problem:
                self._left_out = str(problem)
                return
            self._epoch.add(gradient_by_distance(subject), "gradient_by_distance")
            self._epoch.add({place.name: shares(place) for place in subject.places}, "saturation")


def subject_of(job: Job, batch: Any, sequences: int, steps: int) -> Subject:
    """The first steps of the longest sequences of a batch, run by the network as it is.

    Raises UsageError for a job without an `excerpt`, and for a network without recurrent layers."""
    layers = getattr(job.network, "layers", None)
    if not isinstance(layers, Layer):
        raise UsageError("the network has no recurrent layers named `layers`")
    excerpt = job.excerpt(batch, sequences, steps)
    if excerpt is None:
        raise UsageError(f"{type(job).__name__} has no method `excerpt`, which returns a part of a batch")

    def run() -> Outcome:
        losses = excerpt.losses()
        return Outcome(losses, None, losses.detach().new_zeros(len(losses), 0), losses.detach())

    return Subject(layers, job.network, run, excerpt.outputs)


def gradient_by_distance(subject: Subject) -> dict[str, list[float]]:
    """Place -> the mean norm of dL_j / ds_i at each distance, j being one output per sequence; see `Watcher`.

    Sequences are independent, so one backward pass from the sum of their losses gives the gradient of each."""
    position, lengths = subject.layout.position_of_row, torch.tensor(subject.layout.lengths)
    sequence = subject.layout.sequence_of_row
    curves: dict[str, list[float]] = {}
    for reverse in (False, True):
        places = [place for place in subject.places if place.reverse == reverse]
        ends = [
            (j, text)
            for j, (row, text) in enumerate(subject.outputs)
            if row is None or int(position[row]) == (0 if reverse else int(lengths[text]) - 1)
        ]
        if not places or not ends:
            continue
        loss = subject.outcome.losses[[j for j, _ in ends]].sum()
        states = [[floats(state) for state in place.record.after] for place in places]
        wanted = [value for steps in states for state in steps for value in state]
        gradients = iter(backward(subject.results, wanted, backward([loss], subject.leaves, [None])))
        apart = position if reverse else lengths.to(position.device)[sequence] - 1 - position
        seen = torch.isin(sequence, torch.tensor([text for _, text in ends], device=sequence.device))
        distances = torch.where(seen, apart, -1).cpu().numpy()[None]
        for place, steps in zip(places, states, strict=True):
            rows = place.rows([[next(gradients) for _ in state] for state in steps])
            norms = rows.double().norm(dim=1).cpu().numpy()
            curves[place.name] = mean_by_distance(norms[None], distances).tolist()
    return {place.name: curves[place.name] for place in subject.places if place.name in curves}


def shares(place: Place) -> dict[str, tuple[float, float]]:
    """Gate -> the shares of its values that are practically shut, and practically open."""
    gates = place.record.gates
    return {name: saturation(torch.cat(values).detach().float().cpu().numpy()) for name, values in gates.items()}


def update_ratios(before: Mapping[str, Tensor], network: nn.Module) -> dict[str, list[float]]:
    """Part of the network (what a parameter's name begins with) -> [the norm of the change of its parameters, over
    their norm before]; left out where that was 0."""
    moved: dict[str, float] = defaultdict(float)
    size: dict[str, float] = defaultdict(float)
    now = dict(network.named_parameters())
    for name, old in before.items():
        part = name.partition(".")[0]
        moved[part] += float((now[name].detach() - old).norm()) ** 2
        size[part] += float(old.norm()) ** 2
    return {part: [math.sqrt(moved[part] / size[part])] for part in moved if size[part] > 0}


def summary(line: Mapping[str, Any]) -> str:
    """The line for the terminal: from everything in the log, the lowest cell's fading and its most saturated gate, and
    the smallest and largest update."""
    if not line["looks"]:
        return "watch: nothing measured in this epoch; it was too short"
    parts = []
    for place, values in line["gradient_by_distance"].items():
        back = min(BACK, len(values) - 1)
        if back > 0 and values[0] and values[back] is not None:
            steps = "step" if back == 1 else "steps"
            parts.append(f"gradient {back} {steps} back {values[back] / values[0]:.2g} of that at 0 ({place})")
        break
    for gates in line["saturation"].values():
        known = {name: pair for name, pair in gates.items() if None not in pair}
        if known:
            name, (low, high) = max(known.items(), key=lambda item: sum(item[1]))
            parts.append(f"{name} shut {100 * low:.0f} % open {100 * high:.0f} %")
        break
    ratios = {name: value for name, value in line["update_ratio"].items() if value is not None}
    if ratios:
        low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
        many = f" ({low}) to {ratios[high]:.1e} ({high})" if low != high else f" ({low})"
        parts.append(f"update/weight {ratios[low]:.1e}{many}")
    return "watch: " + "; ".join(parts or ["nothing to report"])


class _Epoch:
    """What the looks of an epoch measured: numbers by a path of names."""

    def __init__(self) -> None:
        self.looks, self.seconds = 0, 0.0
        self._seen: dict[tuple[str, ...], list[Sequence[float]]] = {}

    def add(self, found: Mapping[str, Any], *path: str) -> None:
        """What one look measured: lists of numbers, nested by name to any depth."""
        for name, value in found.items():
            if isinstance(value, Mapping):
                self.add(value, *path, name)
            else:
                self._seen.setdefault((*path, name), []).append(value)

    def means(self, *path: str) -> dict[str, Any]:
        """The mean of each list over the looks, by the names that come after `path`."""
        means: dict[str, Any] = {}
        for names, lists in self._seen.items():
            if names[: len(path)] == path:
                *above, last = names[len(path) :]
                inner = means
                for name in above:
                    inner = inner.setdefault(name, {})
                inner[last] = _mean(lists)
        return means


def _mean(lists: Sequence[Sequence[float]]) -> list[float | None]:
    """Element by element, over the lists that are long enough. None where the mean is not finite, which JSON cannot
    express."""
    means: list[float | None] = []
    for k in range(max(len(values) for values in lists)):
        mean = fmean(values[k] for values in lists if len(values) > k)
        means.append(mean if math.isfinite(mean) else None)
    return means
