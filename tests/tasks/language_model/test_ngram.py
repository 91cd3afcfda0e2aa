"""N-gram models against the definition written out with dicts, against KenLM, and against themselves."""

import gzip
import json
import math
import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError, ModelError, UsageError
from elman.tasks.language_model.rivals.kneser_ney import FALLBACK
from elman.tasks.language_model.rivals.ngram import NGram, Perplexity

DATA = os.environ.get("ELMAN_DATA")
CORPUS = """\
a b c a
a b
b a b a c
<unk> a b
d
a b c d e
e d c b a
a a a b
b b c <unk> a
f g a b c
a b c a"""
CORPUS = [line.split() for line in CORPUS.splitlines()]
corpora = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "<unk>"]), max_size=6), min_size=1, max_size=12)
texts = st.lists(st.sampled_from(["a", "b", "c", "x", "<unk>"]), max_size=7)


def fit(sentences, order):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the discounts of order", UserWarning)
        return NGram.fit(sentences, order)


def log(p):
    return math.log(p) if p else -math.inf  # a discount of 0 leaves nothing for what was not seen


class Definition:
    """Chen and Goodman's definition, one probability at a time, on tuples of words."""

    def __init__(self, sentences, order):
        self.order, self.undefined = order, []
        text = [("<s>", *sentence, "</s>") for sentence in sentences]
        raw = Counter(
            s[i : i + k]
            for s in text
            for k in range(1, order + 1)
            for i in range(len(s) - k + 1)
            if s[i : i + k] != ("<s>",)
        )
        self.vocabulary = {"<unk>", "</s>", *(w for s in sentences for w in s)}
        before = Counter(gram[1:] for gram in raw)  # each distinct n-gram is one word before its rest
        self.counts = {}
        for gram in raw:
            self.counts[gram] = raw[gram] if len(gram) == order or gram[0] == "<s>" else before[gram]
        self.discounts = {k: self.discount(k) for k in range(1, order + 1)}

    def discount(self, k):
        of = Counter(count for gram, count in self.counts.items() if len(gram) == k)
        try:
            y = of[1] / (of[1] + 2 * of[2])
            d = 1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]
            if all(0 <= d[i] <= i + 1 for i in range(3)):
                return d
        except ZeroDivisionError:
            pass
        self.undefined += [k] if of else []
        return FALLBACK

    def p(self, word, context):
        """context: at most order - 1 words, cut at <s>."""
        lower = self.p(word, context[1:]) if context else 1 / len(self.vocabulary)
        after = {w: self.counts[(*context, w)] for w in self.vocabulary if (*context, w) in self.counts}
        total = sum(after.values())
        if not total:
            return lower
        d = self.discounts[len(context) + 1]
        free = sum(d[min(count, 3) - 1] for count in after.values())
        count = after.get(word, 0)
        return (count - (d[min(count, 3) - 1] if count else 0) + free * lower) / total

    def score(self, sentence):
        words = ["<s>", *(w if w in self.vocabulary else "<unk>" for w in sentence), "</s>"]
        contexts = [tuple(words[max(0, i - self.order + 1) : i]) for i in range(1, len(words))]
        return [log(self.p(words[i], context)) for i, context in enumerate(contexts, 1)]


@settings(deadline=None, max_examples=150)
@given(corpora, texts, st.integers(1, 5))
def test_scores_are_those_of_the_definition(sentences, text, order):
    oracle = Definition(sentences, order)
    assert fit(sentences, order).score(text) == pytest.approx(oracle.score(text), abs=1e-10)


@pytest.mark.parametrize("order", range(1, 8))
def test_a_text_that_has_discounts_of_its_own(order):
    """Long enough that the discounts are estimated, at least in some orders; the warning names all the others."""
    rng = np.random.default_rng(0)
    sentences = [[f"w{int(w)}" for w in rng.zipf(1.5, 9) if w < 500] for _ in range(120)]
    oracle = Definition(sentences, order)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = NGram.fit(sentences, order)
    assert len(oracle.undefined) < order
    for text in ([], *sentences[:4], ["w1", "w2", "new", "w1"]):
        assert model.score(text) == pytest.approx(oracle.score(text), abs=1e-10)
    named = f"order{'s' * (len(oracle.undefined) > 1)} {', '.join(map(str, oracle.undefined))} cannot"
    assert [named in str(w.message) for w in caught] == [True] * bool(oracle.undefined)


@settings(deadline=None, max_examples=100)
@given(corpora, texts, st.integers(1, 5), st.booleans())
def test_what_comes_next_sums_to_one_and_is_what_is_scored(sentences, context, order, begun):
    model = fit(sentences, order)
    chances = model.next_distribution(context, begun=begun)
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    words = [word for word in model.vocabulary if word != "<s>"]
    assert chances[model.vocabulary.index("<s>")] == 0
    for word in words:
        ids = model.ids([*context, word])
        scored = model.log_probabilities_of(ids, across=not begun)[-1]
        assert log(chances[model.vocabulary.index(word)]) == pytest.approx(scored, abs=1e-10)


def test_perplexity_counts_what_it_says():
    model = fit(CORPUS, 3)
    text = [["a", "b", "new"], [], ["<unk>", "c"]]
    scores = [log for sentence in text for log in model.score(sentence)]
    result = model.perplexity(iter(text))
    assert (result.tokens, result.sentences, result.unknown) == (8, 3, 2)
    assert result.log_likelihood == pytest.approx(sum(scores))
    assert result.perplexity == pytest.approx(math.exp(-sum(scores) / 8))
    assert str(Perplexity(141.186, 82430, 3761, 4794, -1.0)) == (
        "perplexity 141.19 over 82,430 tokens (with the ends of 3,761 sentences; 4,794 tokens scored as <unk>)"
    )


def test_a_long_text_is_scored_in_blocks(monkeypatch):
    model = fit(CORPUS, 3)
    whole = model.perplexity(CORPUS)
    monkeypatch.setattr("elman.tasks.language_model.rivals.ngram.BLOCK", 2)
    parts = model.perplexity(CORPUS)
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood)
    assert (parts.tokens, parts.sentences, parts.unknown) == (whole.tokens, whole.sentences, whole.unknown)
    with pytest.raises(DataError, match=r"^sentence 12: .*</s>"):
        model.perplexity([*CORPUS, ["a", "</s>"]])


def test_a_stream_is_its_sentences_or_runs_over_their_ends():
    model, oracle = fit(CORPUS, 3), Definition(CORPUS, 3)
    stream = [*CORPUS[0], "</s>", *CORPUS[5], "</s>", "b", "new"]
    expected = [*model.score(CORPUS[0]), *model.score(CORPUS[5]), *model.score(["b", "new"])[:-1]]
    assert model.log_probabilities_of(model.ids(stream)) == pytest.approx(expected)
    known = [word if word in oracle.vocabulary else "<unk>" for word in stream]
    expected = [math.log(oracle.p(word, tuple(known[max(0, i - 2) : i]))) for i, word in enumerate(known)]
    assert model.log_probabilities_of(model.ids(stream), across=True) == pytest.approx(expected)
    assert len(model.log_probabilities_of(model.ids([]))) == len(model.log_probabilities_of([], across=True)) == 0


@settings(deadline=None, max_examples=30)
@given(corpora, texts, st.integers(1, 4))
def test_arrays_round_trip_exactly(sentences, text, order):
    model = fit(sentences, order)
    tensors, config = model.to_tensors()
    again = NGram.from_tensors({k: v.copy() for k, v in tensors.items()}, json.loads(json.dumps(config)))
    assert again.score(text) == model.score(text) and again.order == order and again.vocabulary == model.vocabulary


@pytest.mark.parametrize("fault", ["missing", "unsorted", "short", "words", "order", "range", "dtype"])
def test_arrays_that_are_no_model(fault):
    tensors, config = fit(CORPUS, 3).to_tensors()
    match fault:
        case "missing":
            del tensors["log_backoff.2"]
        case "unsorted":
            tensors["keys.2"] = tensors["keys.2"][::-1]
        case "short":
            tensors["log_probability.3"] = tensors["log_probability.3"][1:]
        case "words":
            config["vocabulary"] = [*config["vocabulary"][:-1], "a"]
        case "order":
            config["order"] = 2
        case "range":
            tensors["keys.3"] = tensors["keys.3"] + 10**6
        case "dtype":
            tensors["keys.3"] = tensors["keys.3"].astype(float)
    with pytest.raises(ModelError, match="n-gram model"):
        NGram.from_tensors(tensors, config)


def test_misuse():
    for order in (0, 8, 2.0, "3"):
        with pytest.raises(UsageError, match="order from 1 to 7"):
            NGram.fit(CORPUS, order)
    with pytest.raises(UsageError, match="at least one sentence"):
        NGram.fit([])
    with pytest.raises(UsageError, match="found the string 'a b'"):
        NGram.fit(["a b"])
    for mark in ("<s>", "</s>"):
        with pytest.raises(DataError, match=f"^sentence 2: expected words, found .*{mark}"):
            NGram.fit([["a"], ["b", mark]])
    model = fit(CORPUS, 2)
    with pytest.raises(UsageError, match="at least one sentence"):
        model.perplexity([])
    with pytest.raises(UsageError, match="found the string"):
        model.score("a b")
    with pytest.raises(UsageError, match="found the string"):
        model.next_distribution("a b")
    for ids in ([-1], [99], model.ids(["a", "<s>"]), [[1]]):
        with pytest.raises(UsageError, match="one row of ids"):
            model.log_probabilities_of(ids)


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
def test_penn_treebank():
    """The perplexities that a 5-gram of this kind is known to have on Mikolov's split."""
    folder = Path(DATA) / "ptb-mikolov"
    with gzip.open(folder / "ptb.train.txt.gz", "rt") as train:
        model = NGram.fit(map(str.split, train))
    for part, tokens, expected in (("test", 82_430, 141.19), ("valid", 73_760, 148.01)):
        result = model.perplexity(line.split() for line in (folder / f"ptb.{part}.txt").read_text().splitlines())
        assert result.tokens == tokens and result.perplexity == pytest.approx(expected, abs=0.05)
