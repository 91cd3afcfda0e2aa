"""What the decoder reads from where: against single steps, and against enumeration of all alignments."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.tasks.seq2seq.test_attention_oracle import KINDS, PAIRS, made, moving

from elman.tasks.seq2seq.data import END_ID


def batch_of(vocabularies: Any, pairs: Any) -> Any:
    return vocabularies.batch([list(s) for s, _ in pairs], [list(t) for _, t in pairs])


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
def test_every_symbol_is_read_from_somewhere(settings: dict[str, Any]) -> None:
    """Rows sum to 1 and stay within their source; those of soft attention are the weights of single steps, and of hard
    attention without monotony the posterior of single steps."""
    network, vocabularies = made(**settings)
    pairs = PAIRS if network.config.copy else PAIRS[:-1]
    batch = batch_of(vocabularies, pairs)
    found = network.eval().alignment(batch)
    if network.config.attention == "none":
        assert found is None
        return
    assert found is not None and not found.requires_grad
    assert torch.allclose(found.sum(1), torch.ones(len(found)).double())
    rows = batch.read.with_data(found).to_list()
    copies = batch.read.with_data(batch.copies).to_list()
    for k, (source, target) in enumerate(pairs):
        assert len(rows[k]) == len(target) + 1 and not rows[k][:, len(source) + 1 :].any()
        if network.config.monotonic:
            continue
        one = batch_of(vocabularies, [(source, target)])
        encoded = network.encode(one.sources, torch.zeros(1, dtype=torch.long))
        state, before = network.start(encoded), END_ID
        logs = network._emissions if network.config.attention == "hard" else None
        for t, wanted in enumerate(one.copies.tolist()):
            scored = network.step(torch.tensor([before]), torch.zeros(1, dtype=torch.long), state, encoded)
            weights = scored.weights[0]
            if logs is not None:
                s, _, _, reading = network._run(one.read, encoded)
                emitted = logs(s, encoded, reading).reshape(len(target) + 1, len(source) + 1, -1)[t, :, wanted]
                weights = (weights.log() + emitted).softmax(0)
            torch.testing.assert_close(rows[k][t, : len(source) + 1], weights, rtol=1e-9, atol=1e-12)
            state = scored.next(torch.zeros(1, dtype=torch.long), torch.tensor([wanted]))
            before = wanted if wanted < len(vocabularies.target) else 0
            assert copies[k][t] >= wanted  # beyond the vocabulary, ids depend on the batch


@pytest.mark.parametrize("copy", [False, True])
def test_the_posterior_is_the_share_of_all_monotonic_alignments(copy: bool) -> None:
    network, vocabularies = made(attention="hard", monotonic=True, copy=copy)
    source, target = "cab", "xzy"
    batch = batch_of(vocabularies, [(source, target)])
    encoded = network.encode(batch.sources, batch.read.order)
    s, _, _, reading = network._run(batch.read, encoded)
    emitted = network._emissions(s, encoded, reading).exp().reshape(4, 4, -1)
    places = network._place_scores(s, encoded, reading).reshape(4, 4)
    posterior = torch.zeros(4, 4).double()
    for path in itertools.combinations_with_replacement(range(4), 4):
        p, last = torch.ones(()).double(), -1
        for t, j in enumerate(path):
            p = p * moving(network, places[t], last, 0)[j] * emitted[t, j, batch.copies[t]]
            last = j
        for t, j in enumerate(path):
            posterior[t, j] += p.detach()
    posterior /= posterior.sum(1, keepdim=True)
    found = network.alignment(batch)
    assert found is not None
    torch.testing.assert_close(found, posterior, rtol=1e-9, atol=1e-12)


def test_a_symbol_is_copied_from_its_own_source_alone() -> None:
    """What another source of the batch has changes nothing."""
    for attention in ("general", "hard"):
        network, vocabularies = made(attention=attention, copy=True)
        alone = network.log_probabilities(batch_of(vocabularies, [("ab", "xqy")]))
        together = batch_of(vocabularies, [("qc", "q"), ("ab", "xqy")])
        rows = together.read.with_data(network.log_probabilities(together)).to_list()
        torch.testing.assert_close(rows[1], alone, rtol=1e-12, atol=0)


def test_the_symbols_of_a_batch_make_the_batch_again() -> None:
    for settings in ({"copy": True}, {"shared": True}):
        _, vocabularies = made(**settings)
        pairs = [*PAIRS, ("qäb", "bqä")]
        batch = batch_of(vocabularies, pairs)
        again = vocabularies.batch(*vocabularies.symbols(batch))
        assert (
            torch.equal(batch.sources.ids.data, again.sources.ids.data) and batch.sources.extra == again.sources.extra
        )
        assert torch.equal(batch.targets, again.targets) and torch.equal(batch.copies, again.copies)
        assert torch.equal(batch.sources.copies, again.sources.copies)
