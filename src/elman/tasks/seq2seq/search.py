"""Searching for answers: greedy, by beam or by drawing, for many sources together; with one network or several."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.layers.softmax import top_of
from elman.tasks.seq2seq.answers import SearchSettings
from elman.tasks.seq2seq.data import END_ID, Sources
from elman.tasks.seq2seq.modules import Scored, Seq2SeqNetwork
from elman.tasks.seq2seq.states import Encoded


@dataclass(frozen=True)
class Hypothesis:
    """ids: of the symbols, without the end; those beyond the vocabulary are `Sources.extra`. places: see
    `Answer.alignment`."""

    ids: list[int]
    log_probability: float
    score: float
    complete: bool
    places: list[int] | None


def search(
    networks: Sequence[Seq2SeqNetwork],
    sources: Sequence[Sources],
    settings: SearchSettings,
    limits: Sequence[int],
    texts: Sequence[str],
) -> list[list[Hypothesis]]:
    """For each source, in the caller's order, its best answers, best first. Defaults of `settings` are filled in.

    networks: of the same target symbols; several are an ensemble, whose probabilities are averaged at each step
    sources:  the sources as each network reads them
    limits:   the most symbols of each answer
    texts:    of the sources; with a temperature, what is drawn depends on the seed and the source alone

    At each step the likeliest continuations of all hypotheses of a source are kept, as many as the beam is wide; one
    that has ended leaves the beam and takes its place with it. So beam 1 is greedy, and a search ends by itself. It
    ends earlier when no hypothesis that is left could still be among the n best: probabilities only fall, and with a
    length penalty a score is at most log p / (longest possible length)^penalty."""
    order = torch.arange(len(limits))
    pairs = zip(networks, sources, strict=True)
    machines = [_Machine(network, network.encode(read, order)) for network, read in pairs]
    if settings.temperature:
        return _draw(machines, settings, limits, texts)
    return _beam(machines, settings, limits)


class _Machine:
    """A network over its encoded sources, with the state of every live row."""

    def __init__(self, network: Seq2SeqNetwork, encoded: Encoded) -> None:
        self.network, self.encoded = network, encoded
        self.state = network.start(encoded)
        self.scored: Scored | None = None

    def step(self, ids: Tensor, which: Tensor) -> Scored:
        self.scored = self.network.step(ids, which, self.state, self.encoded)
        return self.scored

    def keep(self, rows: Tensor, symbols: Tensor) -> None:
        assert self.scored is not None
        self.state = self.scored.next(rows, symbols)


def _step(machines: Sequence[_Machine], ids: Tensor, which: Tensor) -> list[Scored]:
    size = len(machines[0].network.bias)
    ids = torch.where(ids < size, ids, 0)  # what was copied and is unknown is read as unknown
    return [machine.step(ids, which) for machine in machines]


def _mean(steps: Sequence[Scored]) -> Tensor:
    """(rows, symbols) the log of the mean of their probabilities."""
    if len(steps) == 1:
        return steps[0].logs
    return torch.stack([step.logs for step in steps]).logsumexp(0) - math.log(len(steps))


def _first(length: int, settings: SearchSettings) -> int:
    """The first id that may be written: <unknown> never, the end not before the minimum length."""
    return END_ID if length >= settings.min_length else END_ID + 1


def _beam(machines: Sequence[_Machine], settings: SearchSettings, limits: Sequence[int]) -> list[list[Hypothesis]]:
    beam, penalty = settings.beam, settings.length_penalty
    assert beam is not None and penalty is not None
    n = len(limits)
    longest = torch.tensor(limits)
    finished: list[list[Hypothesis]] = [[] for _ in range(n)]
    cut: list[list[Hypothesis]] = [[] for _ in range(n)]
    room = torch.full((n,), beam)
    which, ids = torch.arange(n), torch.full((n,), END_ID)
    total = torch.zeros(n, dtype=torch.float64)
    written = torch.zeros(n, 0, dtype=torch.long)
    places: Tensor | None = None
    length = 0
    while len(which):
        steps, first = _step(machines, ids, which), _first(length, settings)
        logs, symbols = steps[0].best(beam, first) if len(steps) == 1 else top_of(_mean(steps), beam, first)
        slot = _slots(which)
        table = torch.full((n, beam, beam), -torch.inf, dtype=torch.float64)
        table[which, slot] = total.unsqueeze(1) + logs
        row_of = torch.zeros(n, beam, dtype=torch.long)
        row_of[which, slot] = torch.arange(len(which))
        running = which.unique_consecutive()
        best, index = table[running].reshape(len(running), -1).topk(beam, -1)
        taken = (torch.arange(beam) < room[running].unsqueeze(1)) & (best > -torch.inf)
        owner = running.unsqueeze(1).expand_as(best)[taken]
        rows = row_of[running.unsqueeze(1), index // beam][taken]
        chosen, sums = symbols[rows, (index % beam)[taken]], best[taken]
        at = steps[0].attended(rows, chosen)
        if at is not None:
            here = at.unsqueeze(1)
            places = here if places is None else torch.cat([places[rows], here], 1)
        written = written[rows]
        ends = chosen == END_ID
        stops = ~ends & (length + 1 >= longest[owner])
        for i in torch.nonzero(ends | stops).squeeze(1).tolist():
            tokens = written[i].tolist() + ([] if ends[i] else [int(chosen[i])])
            where = None if places is None else places[i].tolist()[: len(tokens)]
            p, source = float(sums[i]), int(owner[i])
            done = Hypothesis(tokens, p, p / (length + 1) ** penalty, bool(ends[i]), where)
            (finished if ends[i] else cut)[source].append(done)
            room[source] -= 1
        left = ~ends & ~stops & ~_decided(owner, sums, finished, settings, longest)
        length += 1
        for machine in machines:
            machine.keep(rows[left], chosen[left])
        which, ids, total = owner[left], chosen[left], sums[left]
        written = torch.cat([written[left], ids.unsqueeze(1)], 1)
        places = None if places is None else places[left]
    return [_ranked(done or over, settings.nbest) for done, over in zip(finished, cut, strict=True)]


def _slots(which: Tensor) -> Tensor:
    """The number of each row among those of its source, which are next to each other."""
    place = torch.arange(len(which))
    begins = torch.cat([torch.ones(1, dtype=torch.bool), which.diff() != 0])
    return place - torch.where(begins, place, 0).cummax(0).values


def _decided(
    owner: Tensor, sums: Tensor, finished: list[list[Hypothesis]], settings: SearchSettings, longest: Tensor
) -> Tensor:
    """(rows,) whether the n best answers of a row's source are certain already."""
    assert settings.length_penalty is not None
    bound = sums / (longest[owner] + 1.0) ** settings.length_penalty
    worst = {}
    for source in set(owner.tolist()):
        if len(finished[source]) >= settings.nbest:
            worst[source] = sorted(one.score for one in finished[source])[-settings.nbest]
    if not worst:
        return torch.zeros(len(owner), dtype=torch.bool)
    reached = torch.tensor([worst.get(source, -math.inf) for source in owner.tolist()], dtype=torch.float64)
    return bound <= reached


def _ranked(answers: list[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(answers, key=lambda one: -one.score)[:count]


def _draw(
    machines: Sequence[_Machine], settings: SearchSettings, limits: Sequence[int], texts: Sequence[str]
) -> list[list[Hypothesis]]:
    """`nbest` answers to each source, drawn symbol by symbol from p^(1/temperature)."""
    n, count, penalty = len(limits), settings.nbest, settings.length_penalty
    assert penalty is not None
    chance = [random.Random(f"{settings.seed} {text}") for text in texts]
    done: list[list[Hypothesis]] = [[] for _ in range(n)]
    which = torch.arange(n).repeat_interleave(count)
    for machine in machines:  # every draw has its own row
        machine.state = machine.state.take(which)
    ids, total = torch.full((len(which),), END_ID), torch.zeros(len(which), dtype=torch.float64)
    written = torch.zeros(len(which), 0, dtype=torch.long)
    places: Tensor | None = None
    length = 0
    while len(which):
        steps = _step(machines, ids, which)
        logs = _mean(steps)
        logs[:, : _first(length, settings)] = -torch.inf
        sums = (logs.double() / settings.temperature).softmax(-1).cumsum(-1)
        u = torch.tensor([chance[source].random() for source in which.tolist()], dtype=torch.float64)
        chosen = torch.searchsorted(sums, (u * sums[:, -1]).unsqueeze(1), right=True).squeeze(1)
        chosen = chosen.clamp(max=logs.shape[1] - 1)
        total = total + logs.gather(1, chosen.unsqueeze(1)).squeeze(1)
        at = steps[0].attended(torch.arange(len(which)), chosen)
        if at is not None:
            places = at.unsqueeze(1) if places is None else torch.cat([places, at.unsqueeze(1)], 1)
        ends = chosen == END_ID
        left = ~ends & (torch.tensor([limits[source] for source in which.tolist()]) > length + 1)
        for i in torch.nonzero(~left).squeeze(1).tolist():
            tokens = written[i].tolist() + ([] if ends[i] else [int(chosen[i])])
            where = None if places is None else places[i].tolist()[: len(tokens)]
            p = float(total[i])
            done[int(which[i])].append(Hypothesis(tokens, p, p / (length + 1) ** penalty, bool(ends[i]), where))
        rows = torch.nonzero(left).squeeze(1)
        for machine in machines:
            machine.keep(rows, chosen[rows])
        which, ids, total = which[rows], chosen[rows], total[rows]
        written = torch.cat([written[rows], ids.unsqueeze(1)], 1)
        places = None if places is None else places[rows]
        length += 1
    return [_ranked(answers, count) for answers in done]
