"""Search against enumeration of every answer, and against what the network says of single symbols."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.seq2seq.test_attention_oracle import made

from elman.errors import UsageError
from elman.tasks.seq2seq.answers import SearchSettings
from elman.tasks.seq2seq.data import Vocabularies
from elman.tasks.seq2seq.modules import Seq2SeqNetwork
from elman.tasks.seq2seq.search import Hypothesis, search

SOURCES = ["abca", "", "bd", "cab", "d", "q", "abca"]
KINDS: list[dict[str, Any]] = [
    {"attention": "none"},
    {"attention": "general"},
    {"attention": "general", "copy": True},
    {"attention": "dot", "input_feeding": True},
    {"attention": "additive"},
    {"attention": "hard"},
    {"attention": "hard", "monotonic": True},
    {"attention": "hard", "monotonic": True, "copy": True},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))


def found(
    network: Seq2SeqNetwork,
    vocabularies: Vocabularies,
    sources: list[str],
    longest: int = 12,
    penalty: float = 0.0,
    **how: Any,
) -> list[list[Hypothesis]]:
    how = SearchSettings(length_penalty=penalty, **how).settled(False).__dict__
    read = vocabularies.sources([list(source) for source in sources])
    with torch.inference_mode():
        return search([network.eval()], [read], SearchSettings(**how), [longest] * len(sources), sources)


def texts(answers: list[Hypothesis], vocabularies: Vocabularies, extra: list[str]) -> list[str]:
    items = [*vocabularies.target.items, *extra]
    return ["".join(items[i] for i in one.ids) for one in answers]


@kinds
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_full_beam_finds_what_enumeration_finds(kind: dict[str, Any], penalty: float) -> None:
    network, vocabularies = made(seed=3, **kind)
    symbols, longest = ["x", "y", "z"], 3
    every = ["".join(w) for n in range(longest) for w in itertools.product(symbols, repeat=n)]
    for source in ("abca", "", "bd"):
        batch = vocabularies.batch([list(source)] * len(every), [list(target) for target in every])
        rows = batch.read.with_data(network.eval().log_probabilities(batch)).to_list()
        scores = {
            target: float(row.sum()) / (len(target) + 1) ** penalty for target, row in zip(every, rows, strict=True)
        }
        ranked = sorted(every, key=lambda target: -scores[target])
        read = vocabularies.sources([list(source)])
        extra = [one for one in read.extra if len(one) == 1]
        # what can only be copied is possible too: compare among the answers of known symbols
        (best,) = found(network, vocabularies, [source], longest, penalty, beam=400, nbest=400)
        answers = [(text, one) for text, one in zip(texts(best, vocabularies, read.extra), best, strict=True)]
        answers = [(text, one) for text, one in answers if one.complete and not set(text) & set(extra)]
        assert [text for text, _ in answers if set(text) <= set(symbols)][:5] == ranked[:5]
        for text, one in answers:
            if text in scores:
                assert one.score == pytest.approx(scores[text], rel=1e-9)


@kinds
def test_beam_one_is_greedy_and_its_score_is_that_of_the_pair(kind: dict[str, Any]) -> None:
    network, vocabularies = made(seed=5, **kind)
    read = vocabularies.sources([list(source) for source in SOURCES])
    answers = found(network, vocabularies, SOURCES, beam=1)
    items = [*vocabularies.target.items, *read.extra]
    for source, (one,) in zip(SOURCES, answers, strict=True):
        written: list[str] = []
        for step in range(12):
            best, best_log = "", -math.inf
            copied = [c for c in dict.fromkeys(source) if c not in vocabularies.target] if kind.get("copy") else []
            for symbol in [*vocabularies.target.items[1:], *copied]:
                target = [*written, *([] if symbol == "</s>" else [symbol])]
                batch = vocabularies.batch([list(source)], [target])
                log = float(network.eval().log_probabilities(batch)[step])
                if log > best_log:
                    best, best_log = symbol, log
            if best == "</s>":
                break
            written.append(best)
        assert [items[i] for i in one.ids] == written
        assert one.complete == (len(written) < 12)
        batch = vocabularies.batch([list(source)], [written])
        logs = network.log_probabilities(batch)
        assert one.log_probability == pytest.approx(float(logs.sum() if one.complete else logs[:-1].sum()), rel=1e-9)


@kinds
@pytest.mark.parametrize("beam", [1, 3])
def test_an_answer_is_the_same_alone_in_any_batch_and_in_any_order(kind: dict[str, Any], beam: int) -> None:
    network, vocabularies = made(seed=7, **kind)
    together = found(network, vocabularies, SOURCES, beam=beam)
    backwards = found(network, vocabularies, SOURCES[::-1], beam=beam)[::-1]
    for source, one, other in zip(SOURCES, together, backwards, strict=True):
        (alone,) = found(network, vocabularies, [source], beam=beam)
        extra, known = (
            vocabularies.sources([list(s) for s in SOURCES]).extra,
            vocabularies.sources([list(source)]).extra,
        )
        assert texts(one, vocabularies, extra) == texts(alone, vocabularies, known)
        assert [a.score for a in one] == pytest.approx([a.score for a in alone], rel=1e-12)
        assert [a.score for a in one] == pytest.approx([a.score for a in other], rel=1e-12)


@given(st.integers(0, 50), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=30, deadline=None)
def test_asking_for_more_answers_never_changes_the_best(seed: int, beam: int, penalty: float) -> None:
    network, vocabularies = made(seed=seed, attention="general")
    ones = found(network, vocabularies, SOURCES, penalty=penalty, beam=beam)
    for count in range(2, beam + 1):
        more = found(network, vocabularies, SOURCES, penalty=penalty, beam=beam, nbest=count)
        for one, several in zip(ones, more, strict=True):
            assert several[0].ids == one[0].ids
            assert [a.score for a in several] == sorted((a.score for a in several), reverse=True)


def test_lengths_are_bounded_and_a_cut_answer_says_so() -> None:
    network, vocabularies = made(attention="general")
    with torch.no_grad():
        network.bias[1] = -50.0  # hardly ever ends
    for beam in (1, 3):
        for best in found(network, vocabularies, SOURCES, longest=4, beam=beam):
            assert len(best[0].ids) == 4 and not best[0].complete
        with torch.no_grad():
            network.bias[1] = 50.0
        for best in found(network, vocabularies, SOURCES, longest=4, beam=beam, min_length=2):
            assert len(best[0].ids) == 2 and best[0].complete
        with torch.no_grad():
            network.bias[1] = -50.0


def test_draws_follow_the_distribution_and_depend_on_seed_and_source_alone() -> None:
    network, vocabularies = made(seed=2, attention="general")
    one = found(network, vocabularies, SOURCES, temperature=1.0, nbest=4, seed=3)
    again = found(network, vocabularies, SOURCES[2:], temperature=1.0, nbest=4, seed=3)
    assert [[a.ids for a in best] for best in one[2:]] == [[a.ids for a in best] for best in again]
    other = found(network, vocabularies, SOURCES, temperature=1.0, nbest=4, seed=4)
    assert [[a.ids for a in best] for best in one] != [[a.ids for a in best] for best in other]
    # first symbols of many draws against the distribution of the first step
    (drawn,) = found(network, vocabularies, ["bd"], temperature=1.0, nbest=3000, seed=1)
    firsts = [a.ids[0] if a.ids else 1 for a in drawn]
    read = vocabularies.sources([list("bd")])
    encoded = network.encode(read, torch.arange(1))
    p = network.step(torch.tensor([1]), torch.tensor([0]), network.start(encoded), encoded).logs[0].exp()
    p[0] = 0
    p = p / p.sum()
    for i in range(1, len(p)):
        share, sd = firsts.count(i) / 3000, math.sqrt(float(p[i] * (1 - p[i])) / 3000)
        assert abs(share - float(p[i])) < 4.5 * sd + 1e-9


def test_an_ensemble_averages_probabilities() -> None:
    (one, vocabularies), (other, _) = made(seed=1, attention="general"), made(seed=2, attention="hard")
    read = vocabularies.sources([["a", "b"]])
    how = SearchSettings(beam=300, nbest=10, length_penalty=0.0)
    with torch.inference_mode():
        ((best, *_),) = search([one.eval(), other.eval()], [read, read], how, [3], ["ab"])
        batch = vocabularies.batch([["a", "b"]], [[vocabularies.target.items[i] for i in best.ids]])
        logs = torch.stack([network.log_probabilities(batch) for network in (one, other)])
        mean = logs.exp().mean(0).log().sum()
    assert best.log_probability == pytest.approx(float(mean), rel=1e-9)


@pytest.mark.parametrize(
    "wrong", [{"beam": 0}, {"nbest": 2, "beam": 1}, {"length_penalty": -1.0}, {"min_length": 5, "max_length": 2},
              {"temperature": -1.0}, {"temperature": 1.0, "beam": 3}]
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SearchSettings(**wrong)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("beam", [2, 4])
def test_it_is_a_beam_written_plainly_that_never_stops_early(beam: int, penalty: float) -> None:
    """One hypothesis after the other; what has ended leaves the beam and takes its place with it."""
    longest = 6
    for seed in range(8):
        network, vocabularies = made(seed=seed, attention="general")
        with torch.no_grad():
            network.target.weight.mul_(3)  # sure of some symbols, so that a longer answer may be the better one
        for source in ("abca", "", "bd"):
            live, ended, cut = [((), 0.0)], [], []
            for length in range(longest):
                options = []
                for ids, total in live:
                    target = [vocabularies.target.items[i] for i in ids]
                    batch = vocabularies.batch([list(source)], [target])
                    logs = network.eval().outcome(batch).log_probabilities[length].tolist()
                    options += [((*ids, i), total + log) for i, log in enumerate(logs) if i > 0]
                options = sorted(options, key=lambda one: -one[1])[: beam - len(ended)]
                ended += [(ids[:-1], p / (length + 1) ** penalty) for ids, p in options if ids[-1] == 1]
                live = [one for one in options if one[0][-1] != 1]
                cut = live
            best = sorted(ended or [(ids, p / longest**penalty) for ids, p in cut], key=lambda one: -one[1])
            (answers,) = found(network, vocabularies, [source], longest, penalty, beam=beam, nbest=1)
            assert tuple(answers[0].ids) == best[0][0]
            assert answers[0].score == pytest.approx(best[0][1], rel=1e-9)
