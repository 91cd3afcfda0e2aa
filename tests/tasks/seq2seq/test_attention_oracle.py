"""Every kind of attention against a loop over single steps in float64, and against enumeration of all alignments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent import use_backend
from elman.recurrent.cells import CELLS, get_cell
from elman.tasks.seq2seq.config import Seq2SeqConfig
from elman.tasks.seq2seq.data import END_ID, Vocabularies
from elman.tasks.seq2seq.modules import Seq2SeqNetwork

SOURCES = ["abca", "", ["<F>", "<G>", "b", "d"], "cab", ["<F>", "d"], "qa"]
PAIRS = list(zip(SOURCES, ["xyx", "y", "", "xxzyx", "z", "qx"], strict=True))
KINDS: list[dict[str, Any]] = [
    {"attention": "none"},
    {"attention": "none", "tied": False, "layers": 2},
    {"attention": "dot", "one_way": True},
    {"attention": "dot"},
    {"attention": "general"},
    {"attention": "general", "copy": True},
    {"attention": "general", "input_feeding": True, "layers": 2},
    {"attention": "general", "output_feedback": True},
    {"attention": "dot", "input_feeding": True, "output_feedback": True, "copy": False, "shared": True},
    {"attention": "additive"},
    {"attention": "additive", "copy": True},
    {"attention": "hard"},
    {"attention": "hard", "copy": True},
    {"attention": "hard", "monotonic": True},
    {"attention": "hard", "monotonic": True, "copy": True, "tied": False},
]


def made(seed: int = 1, cell: str = "lstm", **settings: Any) -> tuple[Seq2SeqNetwork, Vocabularies]:
    """A network in float64 without dropout, and its vocabularies; q is a symbol that only copying can write."""
    torch.manual_seed(seed)
    config = Seq2SeqConfig(**{"hidden_size": 5, "embedding_size": 4, "dropout": 0.0, "unknown": 0.0, **settings})
    vocabularies = Vocabularies.of(PAIRS[:-1], 1, config.shared)
    network = Seq2SeqNetwork(config, get_cell(cell), get_cell(cell), vocabularies).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network, vocabularies


def single(network: Seq2SeqNetwork, vocabularies: Vocabularies, source: Sequence[str], target: str) -> Tensor:
    """log p(target and end | source) of one pair, one product and one sum at a time."""
    config = network.config
    symbols = [*source, "</s>"]
    assert network.source.embedding is not None
    xs = network.source.embedding.weight[torch.tensor(vocabularies.source.ids(symbols))]
    with use_backend("reference"):
        hs, state = network.layers(xs)
    final = network.layers.final(state).reshape(1, -1)
    parts = torch.tanh(final @ network.bridge.weight.T + network.bridge.bias).split(network.units, -1)
    layers = [layer.cell for layer in network.decoder.layers if layer.recurrent]
    states, at = [], 0
    for cell in layers:
        fields = len(cell.initial(1))
        states.append(cell.Carried(*parts[at : at + fields]))
        at += fields
    E, W, b = network.target.weight, network.output_weight, network.bias
    fed_h, fed_p = torch.zeros(1, network.hidden.out_features).double(), torch.zeros(1, config.embedding_size).double()
    total, place = torch.zeros((), dtype=torch.float64), None
    features = [one for one in symbols if one in ("<F>", "<G>")]
    before = END_ID
    for symbol in [*target, "</s>"]:
        x = E[before].reshape(1, -1)
        for feature in features:
            x = x + network.source.embedding.weight[vocabularies.source[feature]] @ network.features.weight.T
        context = weights = None
        if config.attention == "additive":
            a = network.additive
            query = layers[-1].O(states[-1]) @ a.query.weight.T
            e = torch.stack([torch.tanh(query[0] + a.key.weight @ h + a.key.bias) @ a.v for h in hs])
            weights = e.softmax(0)
            context = (weights.unsqueeze(1) * hs).sum(0, keepdim=True)
            x = torch.cat([x, context], 1)
        if config.input_feeding:
            x = torch.cat([x, fed_h], 1)
        if config.output_feedback:
            x = torch.cat([x, fed_p], 1)
        for i, cell in enumerate(layers):
            states[i] = cell.R(states[i], x)
            x = cell.O(states[i])
        s = x[0]
        if config.attention in ("dot", "general"):
            query = s if network.query is None else network.query.weight @ s
            keys = hs if network.key is None else hs @ network.key.weight.T
            weights = (keys @ query).softmax(0)
            context = (weights.unsqueeze(1) * hs).sum(0, keepdim=True)
        known = symbol in vocabularies.target
        wanted = vocabularies.target[symbol]
        same = torch.tensor([one == symbol for one in symbols])
        if config.attention == "hard":
            z = torch.tanh(network.hidden.weight @ s + hs @ network.read_h.weight.T + network.read_h.bias)
            emitted = (z @ W.T + b).softmax(-1)[:, wanted] * known
            if network.gate is not None:
                g = torch.sigmoid(z @ network.gate.weight[0] + network.gate.bias)
                emitted = g * emitted + (1 - g) * same
            elif not known:
                emitted = (z @ W.T + b).softmax(-1)[:, wanted]
            scores = hs @ (network.query.weight @ s)
            if config.monotonic:
                prior = sum(
                    (1.0 if place is None else place[i]) * moving(network, scores, i, len(features))
                    for i in ([-1] if place is None else range(len(hs)))
                )
            else:
                prior = scores.softmax(0)
            joint = prior * emitted
            p = joint.sum()
            place = joint / p
        else:
            if context is None:
                h = network.hidden.weight @ s + network.hidden.bias
                h = h if config.tied else torch.tanh(h)
            else:
                h = torch.tanh(network.hidden.weight @ torch.cat([context[0], s]) + network.hidden.bias)
            chances = (W @ h + b).softmax(0)
            p = chances[wanted]
            if network.gate is not None:
                g = torch.sigmoid(network.gate.weight[0] @ h + network.gate.bias[0])
                p = g * p * known + (1 - g) * (weights * same).sum()
            fed_h, fed_p = h.reshape(1, -1), (chances @ E).reshape(1, -1)
        total = total + p.log()
        before = wanted
    return total


def moving(network: Seq2SeqNetwork, scores: Tensor, place: int, features: int) -> Tensor:
    """(positions,) the distribution over where monotonic attention goes from a place, -1: from the start."""
    assert network.moves is not None
    weights = []
    for to, score in enumerate(scores):
        distance = to - (features - 1 if place < 0 else place)
        legal = distance >= (1 if place < 0 else 0)
        weights.append((score + network.moves[min(distance, 4)]).exp() if legal else score * 0)
    return torch.stack(weights) / sum(weights)


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
def test_loss_and_gradients_equal_a_loop_over_single_steps(settings: dict[str, Any]) -> None:
    network, vocabularies = made(**settings)
    pairs = PAIRS if network.config.copy else PAIRS[:-1]
    batch = vocabularies.batch([list(s) for s, _ in pairs], [list(t) for _, t in pairs])
    ours = network.eval().loss(batch)
    network.zero_grad()
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    wanted = -sum(single(network, vocabularies, *pair) for pair in pairs)
    assert ours.item() == pytest.approx(wanted.item(), rel=1e-12)
    network.zero_grad()
    wanted.backward()
    for name, parameter in network.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients.get(name, torch.zeros_like(parameter)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("monotonic", [False, True])
def test_hard_attention_equals_the_sum_over_all_alignments(monotonic: bool) -> None:
    network, vocabularies = made(attention="hard", monotonic=monotonic)
    source, target = "cab", "xz"
    batch = vocabularies.batch([list(source)], [list(target)])
    encoded = network.encode(batch.sources, batch.read.order)
    s, _, _, reading = network._run(batch.read, encoded)
    z = network._pair_hidden(s, encoded, reading)
    emitted = (z @ network.output_weight.T + network.bias).softmax(-1).reshape(3, 4, -1)
    places = network._place_scores(s, encoded, reading).reshape(3, 4)
    total = 0.0
    for path in itertools.product(range(4), repeat=3):
        p, last = 1.0, -1
        for t, j in enumerate(path):
            row = moving(network, places[t], last, 0) if monotonic else places[t].softmax(0)
            p *= float(row[j] * emitted[t, j, batch.targets[t]])
            last = j
        total += p
    assert float(network.log_probabilities(batch).sum()) == pytest.approx(math.log(total), rel=1e-10)


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
def test_single_steps_equal_teacher_forcing(settings: dict[str, Any]) -> None:
    network, vocabularies = made(**settings)
    pairs = PAIRS if network.config.copy else PAIRS[:-1]
    batch = vocabularies.batch([list(s) for s, _ in pairs], [list(t) for _, t in pairs])
    forced = batch.read.with_data(network.eval().log_probabilities(batch)).to_list()
    copies = batch.read.with_data(batch.copies).to_list()
    encoded = network.encode(batch.sources, torch.arange(len(pairs)))
    state, which, ids = network.start(encoded), torch.arange(len(pairs)), torch.full((len(pairs),), END_ID)
    step = 0
    while len(which):
        scored = network.step(ids, which, state, encoded)
        torch.testing.assert_close(scored.logs.exp().sum(-1), torch.ones(len(which)).double())
        wanted = torch.stack([copies[i][step] for i in which.tolist()])
        got = scored.logs.gather(1, wanted.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(got, torch.stack([forced[i][step] for i in which.tolist()]), rtol=1e-9, atol=1e-9)
        step += 1
        left = torch.tensor([k for k, i in enumerate(which.tolist()) if len(copies[i]) > step], dtype=torch.long)
        state, which = scored.next(left, wanted[left]), which[left]
        ids = torch.where(wanted[left] < len(vocabularies.target), wanted[left], 0)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_a_decoder(cell: str) -> None:
    for settings in ({"attention": "general"}, {"attention": "general", "input_feeding": True}):
        network, vocabularies = made(cell=cell, **settings)
        pairs = PAIRS[:-1]
        batch = vocabularies.batch([list(s) for s, _ in pairs], [list(t) for _, t in pairs])
        wanted = sum(single(network, vocabularies, *pair) for pair in pairs)
        assert float(network.eval().log_probabilities(batch).sum()) == pytest.approx(float(wanted), rel=1e-9)


def test_settings_that_contradict_each_other_are_refused() -> None:
    for settings in (
        {"monotonic": True},
        {"copy": True, "attention": "none"},
        {"input_feeding": True, "attention": "hard"},
        {"label_smoothing": 0.1, "copy": True},
        {"output_feedback": True, "copy": True},
    ):
        with pytest.raises(UsageError):
            Seq2SeqConfig(**settings)


def test_label_smoothing_is_a_share_of_the_mean_over_all_symbols() -> None:
    network, vocabularies = made(attention="general", label_smoothing=0.2)
    batch = vocabularies.batch([list(s) for s, _ in PAIRS[:-1]], [list(t) for _, t in PAIRS[:-1]])
    logs = network.train().outcome(batch).log_probabilities
    gold = logs.gather(1, batch.targets.unsqueeze(1)).squeeze(1)
    wanted = -(0.8 * gold + 0.2 * logs.mean(-1)).sum()
    assert float(network.loss(batch)) == pytest.approx(float(wanted), rel=1e-12)
    assert float(network.eval().loss(batch)) == pytest.approx(float(-gold.sum()), rel=1e-12)
