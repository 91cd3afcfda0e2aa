"""The search over chunks against all sequences of chunks."""

import math
import random
import warnings

import pytest

from elman.tasks.language_model.rivals.ngram import NGram
from elman.tasks.seq2seq.rivals.search import ChunkModel, Reading, search

EVERYTHING = 10**6
CHUNKS = [
    (("a",), ("x",)),
    (("a",), ("y",)),
    (("a",), ()),
    (("b",), ("x",)),
    (("b",), ("y", "x")),
    (("a", "b"), ("x", "y")),
    (("a", "b"), ("y",)),
    (("b", "b", "a"), ("z",)),
    ((), ("y",)),
    (("<F>", "a"), ("z",)),
    (("<F>",), ()),
]


def copy(symbol):
    return symbol * 2


def toy(order, seed=1):
    generator = random.Random(seed)
    sentences = [[str(generator.randrange(len(CHUNKS))) for _ in range(generator.randrange(7))] for _ in range(40)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the discounts of order", UserWarning)
        ngram = NGram.fit([*sentences, *([str(i)] for i in range(len(CHUNKS)))], order)
    return ngram, ChunkModel(ngram, CHUNKS, copy)


def ways(symbols, features, place=0):
    """All sequences of chunks that spell a source, each as words of the n-gram model and the target."""
    if place == len(symbols):
        yield (), ()
    pieces = {piece for piece, _ in CHUNKS}
    for number, (piece, target) in enumerate(CHUNKS):
        if piece and tuple(symbols[place : place + len(piece)]) == piece:
            for words, rest in ways(symbols, features, place + len(piece)):
                yield (str(number), *words), target + rest
        elif not piece and not symbols:
            yield (str(number),), target
    if place < len(symbols) and (symbols[place],) not in pieces:
        for words, rest in ways(symbols, features, place + 1):
            yield ("?", *words), (() if place < features else tuple(copy(symbols[place]))) + rest


def slow(ngram, reading, summed):
    """log p of every target, best first."""
    scores = {}
    for words, target in ways(*reading):
        scores.setdefault(target, []).append(sum(ngram.score(words)))
    join = (lambda logs: math.log(sum(map(math.exp, logs)))) if summed else max
    return sorted(((join(logs), target) for target, logs in scores.items()), reverse=True)


READINGS = [
    Reading(list("abab"), 0),
    Reading([], 0),
    Reading(list("bbabba"), 0),
    Reading(["<F>", "a", "b"], 1),
    Reading(["<G>", "a", "中", "b"], 1),
    Reading(["<F>"], 1),
    Reading(list("ψ"), 0),
    Reading(list("aaaab"), 0),
]


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_beam_that_holds_everything_finds_what_enumeration_finds(order, summed):
    ngram, model = toy(order)
    for reading, found in zip(READINGS, search(model, READINGS, EVERYTHING, EVERYTHING, summed), strict=True):
        expected = slow(ngram, reading, summed)
        assert [one.log_probability for one in found] == pytest.approx([score for score, _ in expected], rel=1e-12)
        assert {one.target: one.log_probability for one in found} == pytest.approx(
            {target: score for score, target in expected}, rel=1e-12
        )
        for one in found:
            assert [x for piece, _ in one.chunks for x in piece] == list(reading.symbols)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_answers_are_the_same_alone_in_any_order_and_for_any_n(beam):
    _, model = toy(3)
    together = search(model, READINGS, beam, EVERYTHING, True)
    assert search(model, READINGS[::-1], beam, EVERYTHING, True) == together[::-1]
    assert [search(model, [reading], beam, EVERYTHING, True)[0] for reading in READINGS] == together
    assert search(model, READINGS, beam, 1, True) == [found[:1] for found in together]
    assert all(1 <= len(found) <= beam for found in together)


def test_more_sources_than_fit_into_a_block(monkeypatch):
    _, model = toy(2)
    whole = search(model, READINGS, 3, 3, True)
    monkeypatch.setattr("elman.tasks.seq2seq.rivals.search.TOGETHER", 3)
    assert search(model, READINGS, 3, 3, True) == whole
    assert search(model, [], 3, 3, True) == []
