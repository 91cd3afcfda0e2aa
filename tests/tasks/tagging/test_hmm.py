"""The hidden Markov models against counts by hand, and against an enumeration of all sequences of tags."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from math import exp, inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError, ModelError, UsageError
from elman.tasks.tagging.rivals.hmm import HiddenMarkov
from elman.tasks.tagging.rivals.majority import MajorityTagger
from elman.tasks.tagging.rivals.trigrams import TrigramTagger, deleted_interpolation
from elman.text import Sentence
from elman.text.vocabulary import UNKNOWN, Vocabulary

FIVE = [
    ("the dog barks", "D N V"),
    ("the cat sleeps", "D N V"),
    ("dog barks", "N N"),
    ("Rex barks the cat", "P V D N"),
    ("the", "D"),
]


def sentences(pairs: Sequence[tuple[str, str]]) -> list[Sentence]:
    return [Sentence(words.split(), tags.split()) for words, tags in pairs]


CORPUS = [*sentences(FIVE), Sentence([])]  # the last as readers give what stands after the last sentence


def random_hmm(tags: int, words: int, seed: int, zeros: float = 0.0) -> HiddenMarkov:
    """Random tables; about a share of `zeros` of the probabilities is 0."""
    random = np.random.default_rng(seed)

    def rows(*shape: int) -> np.ndarray:
        table = random.gamma(0.5, size=shape) * (random.random(shape) >= zeros)
        table[..., 0] += 1e-3
        return table / table.sum(-1, keepdims=True)

    vocabulary = Vocabulary([f"w{i}" for i in range(1, words)], UNKNOWN)
    names = Vocabulary([f"T{i}" for i in range(tags)])
    return HiddenMarkov().set_tables(names, vocabulary, rows(tags), rows(tags, tags), rows(tags, words))


def enumerate_all(score: Callable[[tuple[str, ...]], float], tags: Sequence[str], words: Sequence[str]):
    """From log p(words, tags) of every sequence: the best score, log p(words), and the posteriors (steps, tags)."""
    paths = list(product(tags, repeat=len(words)))
    scores = np.array([score(path) for path in paths])
    peak = scores.max()
    weights = np.exp(scores - peak)
    posterior = np.array(
        [
            [sum(w for path, w in zip(paths, weights, strict=True) if path[t] == tag) for tag in tags]
            for t in range(len(words))
        ]
    )
    return peak, peak + log(weights.sum()), posterior / weights.sum()


def check_against_all(model, score, words: Sequence[str], tags: Sequence[str]) -> None:
    best, likelihood, posterior = enumerate_all(score, tags, words)
    chosen = model.tag(words)
    assert score(tuple(chosen)) == pytest.approx(best, abs=1e-10)
    assert model.log_probability(words, chosen) == pytest.approx(best, abs=1e-10)
    assert model.log_likelihood(words) == pytest.approx(likelihood, abs=1e-10)
    np.testing.assert_allclose(model.posterior(words), posterior, rtol=0, atol=1e-10)


# ---- first order


def hmm_score(model: HiddenMarkov, words: Sequence[str]) -> Callable[[tuple[str, ...]], float]:
    """log p(words, tags) straight from the public tables."""
    columns = [model.words.items.index(word) if word in model.words.items else 0 for word in words]

    def score(path: tuple[str, ...]) -> float:
        ids = [model.tags.items.index(tag) for tag in path]
        p = [model.start[ids[0]], *(model.transitions[a, b] for a, b in pairwise(ids))]
        p += [model.emissions[i, column] for i, column in zip(ids, columns, strict=True)]
        return sum(log(x) if x > 0 else -inf for x in p)

    return score


@pytest.mark.parametrize("zeros", [0.0, 0.3])
@settings(deadline=None, max_examples=40)
@given(tags=st.integers(2, 4), seed=st.integers(0, 10**6), data=st.data())
def test_hmm_is_the_sum_and_the_best_of_all_paths(zeros, tags, seed, data):
    model = random_hmm(tags, 5, seed, zeros)
    words = data.draw(st.lists(st.sampled_from(["w1", "w2", "w3", "w4", "new"]), min_size=1, max_size=5))
    score = hmm_score(model, words)
    paths = list(product(model.tags.items, repeat=len(words)))
    for path in paths[:: max(1, len(paths) // 10)]:
        assert model.log_probability(words, path) == pytest.approx(score(path), abs=1e-10)
    if max(map(score, paths)) > -inf:
        check_against_all(model, score, words, model.tags.items)
    else:
        assert model.log_likelihood(words) == -inf
        for method in (model.tag, model.posterior):
            with pytest.raises(UsageError, match="found none"):
                method(words)


def test_hmm_counts_by_hand():
    model = HiddenMarkov(smoothing=0).fit(CORPUS)
    assert model.tags.items == ["D", "N", "P", "V"]
    assert model.words.items == [UNKNOWN, "the", "barks", "cat", "dog", "Rex", "sleeps"]
    np.testing.assert_allclose(model.start, [3 / 5, 1 / 5, 1 / 5, 0])
    # D: N N N. N: V V N. P: V. V: D.
    np.testing.assert_allclose(model.transitions, [[0, 1, 0, 0], [0, 1 / 3, 0, 2 / 3], [0, 0, 0, 1], [1, 0, 0, 0]])
    # Seen once: Rex (P) and sleeps (V), which is what the unknown word is counted as.
    np.testing.assert_allclose(
        model.emissions,
        [
            [0, 1, 0, 0, 0, 0, 0],
            [0, 0, 1 / 5, 2 / 5, 2 / 5, 0, 0],
            [1 / 2, 0, 0, 0, 0, 1 / 2, 0],
            [1 / 4, 0, 2 / 4, 0, 0, 0, 1 / 4],
        ],
    )
    # start D, the | D, D -> N, dog | N, N -> V, barks | V
    joint = log(3 / 5 * 1 * 1 * 2 / 5 * 2 / 3 * 2 / 4)
    assert model.log_probability(["the", "dog", "barks"], ["D", "N", "V"]) == pytest.approx(joint, abs=1e-12)
    assert model.log_probability(["the"], ["N"]) == -inf
    assert model.tag(["the", "cat", "meows"]) == ["D", "N", "V"]


def test_hmm_smoothing_by_hand():
    model = HiddenMarkov(smoothing=0.5).fit(CORPUS)
    np.testing.assert_allclose(model.start, np.array([3.5, 1.5, 1.5, 0.5]) / 7)
    np.testing.assert_allclose(model.transitions[0], np.array([0.5, 3.5, 0.5, 0.5]) / 5)
    np.testing.assert_allclose(model.emissions[3], np.array([1.5, 0.5, 2.5, 0.5, 0.5, 0.5, 1.5]) / 7.5)


def test_hmm_a_tag_that_nothing_follows_is_followed_by_anything_alike():
    model = HiddenMarkov(smoothing=0).fit(sentences([("a b", "X Y")]))
    np.testing.assert_allclose(model.transitions, [[0, 1], [0.5, 0.5]])


def test_hmm_a_word_spelled_as_the_unknown_one():
    model = HiddenMarkov(smoothing=0).fit([Sentence([UNKNOWN, UNKNOWN, "a", "a", "b"], ["X", "X", "Y", "Y", "Y"])])
    assert model.words.items == [UNKNOWN, "a", "b"]
    np.testing.assert_allclose(model.emissions, [[1, 0, 0], [1 / 4, 2 / 4, 1 / 4]])


def test_hmm_long_sentences_do_not_underflow():
    model = random_hmm(3, 4, 1)
    words = ["w1", "w2", "w3", "new"] * 5000
    assert model.log_likelihood(words) < -1000
    np.testing.assert_allclose(model.posterior(words).sum(1), 1, atol=1e-9)
    assert len(model.tag(words)) == len(words)


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("start", [0.5, 0.4], "each row summing to 1"),
        ("start", [1.0], r"start of shape \(2,\)"),
        ("transitions", [[1.5, -0.5], [0, 1]], "probabilities in transitions"),
        ("emissions", [[np.nan, 1], [0, 1]], "probabilities in emissions"),
    ],
)
def test_hmm_refuses_tables_that_are_none(table, value, message):
    tables = {"start": [0.5, 0.5], "transitions": np.eye(2), "emissions": np.eye(2), table: value}
    with pytest.raises(UsageError, match=message):
        HiddenMarkov().set_tables(
            Vocabulary(["X", "Y"]), Vocabulary(["a"], UNKNOWN), **{k: np.array(v) for k, v in tables.items()}
        )


def test_hmm_refuses_words_without_an_unknown_one_and_no_tags():
    one = np.ones((1, 1))
    for tags, words in ((["X"], Vocabulary(["a"])), ([], Vocabulary([], UNKNOWN))):
        with pytest.raises(UsageError, match="at least one tag"):
            HiddenMarkov().set_tables(Vocabulary(tags), words, one[0], one, one)


@pytest.mark.parametrize("smoothing", [-1.0, inf, float("nan")])
def test_hmm_refuses_a_smoothing(smoothing):
    with pytest.raises(UsageError, match="smoothing"):
        HiddenMarkov(smoothing=smoothing).fit(CORPUS)


# ---- second order, and the unknown words of both


class Direct:
    """TnT from its definition, with dictionaries: slow, and independent of the arrays."""

    def __init__(self, corpus: Sequence[Sentence]) -> None:
        self.tri, self.bi, self.uni = Counter(), Counter(), Counter()
        self.context2, self.context1 = Counter(), Counter()
        self.word_tag, self.word, self.tag = Counter(), Counter(), Counter()
        for sentence in corpus:
            if not sentence.words:
                continue
            tags = ["<s>", "<s>", *sentence.tags, "</s>"]
            for a, b, c in zip(tags, tags[1:], tags[2:], strict=False):
                self.tri[a, b, c] += 1
                self.bi[b, c] += 1
                self.uni[c] += 1
                self.context2[a, b] += 1
                self.context1[b] += 1
            self.word_tag.update(zip(sentence.words, sentence.tags, strict=True))
            self.word.update(sentence.words)
            self.tag.update(sentence.tags)
        self.total = sum(self.uni.values())
        votes = [1, 1, 1]
        for (a, b, c), f in self.tri.items():
            best = [
                ratio(self.uni[c] - 1, self.total - 1),
                ratio(self.bi[b, c] - 1, self.context1[b] - 1),
                ratio(f - 1, self.context2[a, b] - 1),
            ]
            votes[best.index(max(best))] += f
        self.lambdas = [vote / sum(votes) for vote in votes]
        tokens = sum(self.tag.values())
        self.prior = {tag: f / tokens for tag, f in self.tag.items()}
        mean = 1 / len(self.prior)
        spread = sum((p - mean) ** 2 for p in self.prior.values())
        self.theta = sqrt(spread / (len(self.prior) - 1)) if len(self.prior) > 1 else 0.0

    def transition(self, a: str, b: str, c: str) -> float:
        parts = (
            self.uni[c] / self.total,
            ratio(self.bi[b, c], self.context1[b]),
            ratio(self.tri[a, b, c], self.context2[a, b]),
        )
        return sum(weight * part for weight, part in zip(self.lambdas, parts, strict=True))

    def suffix(self, tag: str, word: str) -> float:
        capital = word[:1].isupper()
        rare = [(w, t, f) for (w, t), f in self.word_tag.items() if self.word[w] <= 10 and w[:1].isupper() == capital]
        result = self.prior[tag]
        for length in range(min(len(word), 10) + 1):
            some = [(t, f) for w, t, f in rare if length == 0 or w[-length:] == word[-length:]]
            some = some if len(word) >= length else []
            if not some:
                break
            own = sum(f for t, f in some if t == tag) / sum(f for _, f in some)
            result = (own + self.theta * result) / (1 + self.theta)
        return result

    def emission(self, tag: str, word: str) -> float:
        if word in self.word:
            return self.word_tag[word, tag] / self.tag[tag]
        return self.suffix(tag, word) / self.prior[tag]

    def score(self, words: Sequence[str], path: Sequence[str]) -> float:
        tags = ["<s>", "<s>", *path, "</s>"]
        p = [self.transition(*three) for three in zip(tags, tags[1:], tags[2:], strict=False)]
        p += [self.emission(tag, word) for tag, word in zip(path, words, strict=True)]
        return sum(log(x) if x > 0 else -inf for x in p)


def ratio(above: float, below: float) -> float:
    return above / below if below else 0.0


WORDS = [
    "run",
    "runs",
    "Runs",
    "running",
    "rain",
    "Ran",
    "Σίγμα",
    "неба",
    "небо",
    "12",
    "internationalisations",
    "東京",
]
NEW = ["ruins", "Trains", "небa", "x", "ΣΊΓΜΑ", "99", "denationalisations", "京", ""]


@st.composite
def corpora(draw):
    tag = st.sampled_from(["A", "B", "C"])
    sentence = st.lists(st.tuples(st.sampled_from(WORDS), tag), min_size=1, max_size=6)
    # Repeated, so that some words are seen more than ten times.
    pairs = draw(st.lists(st.tuples(sentence, st.sampled_from([1, 1, 2, 12])), min_size=1, max_size=8))
    return [Sentence([w for w, _ in some], [t for _, t in some]) for some, times in pairs for _ in range(times)]


@settings(deadline=None, max_examples=60)
@given(corpora(), st.data())
def test_trigrams_are_the_sum_and_the_best_of_all_paths(corpus, data):
    model, direct = TrigramTagger().fit(corpus), Direct(corpus)
    np.testing.assert_allclose(model.lambdas, direct.lambdas, rtol=0, atol=1e-12)
    assert model.suffixes.theta == pytest.approx(direct.theta, abs=1e-12)
    words = data.draw(st.lists(st.sampled_from(WORDS + NEW), min_size=1, max_size=5))
    for word in words:
        expected = [direct.suffix(tag, word) for tag in model.tags.items]
        np.testing.assert_allclose(model.suffixes.probabilities(word), expected, rtol=0, atol=1e-12)
    for path in list(product(model.tags.items, repeat=len(words)))[::7]:
        assert model.log_probability(words, path) == pytest.approx(direct.score(words, path), abs=1e-10)
    if len(model.tags) > 1:
        check_against_all(model, lambda path: direct.score(words, path), words, model.tags.items)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@settings(deadline=None, max_examples=30)
@given(corpus=corpora(), data=st.data())
def test_hmm_unseen_words_have_the_tags_of_their_suffix(smoothing, corpus, data):
    model, direct = HiddenMarkov(smoothing=smoothing).fit(corpus), Direct(corpus)
    tags, seen = model.tags.items, {word for sentence in corpus for word in sentence.words}
    unknown = sum(direct.prior[tag] * model.emissions[i, 0] for i, tag in enumerate(tags))

    def emission(i: int, word: str) -> float:
        if word in seen:
            return model.emissions[i, model.words.items.index(word)]
        of_suffix = (direct.suffix(tags[i], word) + smoothing * direct.prior[tags[i]]) / (1 + smoothing)
        return unknown * of_suffix / direct.prior[tags[i]]

    def score(path: tuple[str, ...]) -> float:
        ids = [tags.index(tag) for tag in path]
        p = [model.start[ids[0]], *(model.transitions[a, b] for a, b in pairwise(ids))]
        p += [emission(i, word) for i, word in zip(ids, words, strict=True)]
        return sum(log(x) if x > 0 else -inf for x in p)

    words = data.draw(st.lists(st.sampled_from(WORDS + NEW), min_size=1, max_size=5))
    for path in list(product(tags, repeat=len(words)))[::7]:
        assert model.log_probability(words, path) == pytest.approx(score(path), abs=1e-10)
    if smoothing:
        check_against_all(model, score, words, tags)


def test_hmm_with_and_without_suffixes():
    corpus = sentences([("walking talking", "V V"), ("Reading Epping", "P P"), ("table ring ring", "N N N")])
    model = HiddenMarkov().fit(corpus)
    assert model.tag(["sulking"]) == ["V"] and model.tag(["Dorking"]) == ["P"]
    bare = HiddenMarkov().set_tables(model.tags, model.words, model.start, model.transitions, model.emissions)
    assert bare.tag(["sulking"]) == bare.tag(["Dorking"])
    arrays, names = kept(model)
    old = restored(HiddenMarkov, {name: arrays[name] for name in ("start", "transitions", "emissions")}, names)
    assert (old.posterior(["sulking", "table"]) == bare.posterior(["sulking", "table"])).all()


@settings(deadline=None, max_examples=40)
@given(corpora())
def test_what_may_follow_a_pair_that_was_seen_sums_to_one(corpus):
    model = TrigramTagger().fit(corpus)
    seen = model.trigrams.sum(2) > 0
    np.testing.assert_allclose(model.transitions.sum(2)[seen], 1, atol=1e-12)
    for word in WORDS + NEW:
        assert model.suffixes.probabilities(word).sum() == pytest.approx(1, abs=1e-12)


def test_trigrams_by_hand():
    model = TrigramTagger().fit(CORPUS)
    edge = 4
    assert model.trigrams.sum() == 13 + 5  # words and ends
    assert model.trigrams[edge, edge].tolist() == [3, 1, 1, 0, 0]  # first tags D N P
    assert model.trigrams[edge, 0].tolist() == [0, 2, 0, 0, 1]  # after a first D: N twice, the end once
    assert model.trigrams[0, 1].tolist() == [0, 0, 0, 2, 1]  # D N: V twice, the end once
    # The first three trigrams and who foretells them best with one occurrence left out:
    #   <s><s>D 3 times: unigram (4-1)/(18-1), bigram (3-1)/(5-1), trigram (3-1)/(5-1)     a tie: bigram
    #   <s><s>N, <s><s>P once: N has unigram (5-1)/17, P has 0 everywhere: both unigram
    #   <s> D N twice: unigram 4/17, bigram (3-1)/(4-1), trigram (2-1)/(3-1): bigram
    #   <s> D </s>: unigram (5-1)/17, the rest 0: unigram
    #   D N V twice: unigram 2/17, bigram (2-1)/(5-1), trigram (2-1)/(3-1): trigram
    #   D N </s>: unigram 4/17, bigram (2-1)/(5-1) = 1/4: bigram
    #   N V </s> twice: unigram 4/17, bigram (2-1)/(3-1), trigram (2-1)/(2-1): trigram
    #   <s> N N: unigram 4/17, the rest 0: unigram
    #   N N </s>: bigram 1/4 against 4/17: bigram
    #   <s> P V: unigram 2/17: unigram.  P V D: unigram 3/17: unigram.  V D N: bigram 2/3: bigram
    unigram, bigram, trigram = 1 + 1 + 1 + 1 + 1 + 1, 3 + 2 + 1 + 1 + 1, 2 + 2
    assert unigram + bigram + trigram == 18
    np.testing.assert_allclose(
        deleted_interpolation(model.trigrams), np.array([unigram + 1, bigram + 1, trigram + 1]) / 21
    )
    # p(V | D, N), and what it is after a pair that was never seen
    assert model.transitions[0, 1, 3] == pytest.approx((7 * 3 / 18 + 9 * 2 / 5 + 5 * 2 / 3) / 21)
    assert model.transitions[2, 1, 3] == pytest.approx((7 * 3 / 18 + 9 * 2 / 5) / 21)


def test_the_ends_of_words_tell_and_capitals_are_apart():
    corpus = sentences([("walking talking", "V V"), ("Reading Epping", "P P"), ("table", "N")])
    model = TrigramTagger().fit(corpus)
    assert model.tag(["sulking"]) == ["V"]
    assert model.tag(["Dorking"]) == ["P"]
    assert model.suffixes.probabilities("ǅing")[model.tags["P"]] > 0.5  # a titlecase letter is a capital


def test_ten_occurrences_are_rare_and_eleven_are_not():
    for times, tag in ((10, "X"), (11, "Y")):
        corpus = sentences([("abcde", "X")] * times + [("abcdy", "Y")] * 9)
        model = TrigramTagger().fit(corpus)
        assert model.tags.items[model.suffixes.probabilities("abcdz").argmax()] == tag


@settings(deadline=None, max_examples=30)
@given(corpora(), st.lists(st.sampled_from(WORDS + NEW), max_size=6))
def test_a_wide_beam_is_exact_and_a_narrow_one_still_a_path(corpus, words):
    model = TrigramTagger().fit(corpus)
    assert model.tag(words, beam=inf) == model.tag(words)
    assert model.tag(words, beam=1e200) == model.tag(words)
    narrow = model.tag(words, beam=1)
    assert -inf < model.log_probability(words, narrow) <= model.log_probability(words, model.tag(words)) + 1e-9


def test_a_beam_drops_what_falls_behind():
    """w is mostly B, but only after A can z be C: who takes the best first tag by itself misses it."""
    corpus = sentences([("w", "B")] * 50 + [("w z", "A C")] * 5 + [("v z", "B D")] * 1 + [("z", "D")] * 500)
    model = TrigramTagger().fit(corpus)
    exact, greedy = model.tag(["w", "z"]), model.tag(["w", "z"], beam=1)
    direct = Direct(corpus)
    scores = {path: direct.score(["w", "z"], path) for path in product("ABCD", repeat=2)}
    assert tuple(exact) == max(scores, key=scores.__getitem__)
    first = max("AB", key=lambda tag: direct.transition("<s>", "<s>", tag) * direct.emission(tag, "w"))
    assert greedy[0] == first != exact[0]


def beam_search(direct: Direct, words: Sequence[str], beam: float) -> float:
    """The score of the best path that is left when at each word the pairs far below the best one are dropped."""
    states = {("<s>", "<s>"): 0.0}
    for word in words:
        after: dict[tuple[str, str], float] = {}
        for (a, b), score in states.items():
            for tag in direct.tag:
                p = direct.transition(a, b, tag) * direct.emission(tag, word)
                if p > 0:
                    after[b, tag] = max(after.get((b, tag), -inf), score + log(p))
        best = max(after.values())
        states = {pair: score for pair, score in after.items() if score >= best - log(beam)}
    return max(score + log(direct.transition(a, b, "</s>")) for (a, b), score in states.items())


@settings(deadline=None, max_examples=100)
@given(
    corpora(), st.lists(st.sampled_from(WORDS + NEW), min_size=2, max_size=6), st.sampled_from([1.37, 3.14159, 21.3])
)
def test_the_beam_is_that_of_a_plain_search(corpus, words, beam):
    model, direct = TrigramTagger().fit(corpus), Direct(corpus)
    path = model.tag(words, beam)
    assert direct.score(words, path) == pytest.approx(beam_search(direct, words, beam), abs=1e-9)


@pytest.mark.parametrize("beam", [0.5, -1.0, float("nan")])
def test_a_beam_below_one_is_refused(beam):
    with pytest.raises(UsageError, match="beam"):
        TrigramTagger().fit(CORPUS).tag(["the"], beam)


def test_too_many_tags_for_trigrams():
    with pytest.raises(UsageError, match="at most 300 tags"):
        TrigramTagger().fit([Sentence(["a"] * 301, [str(i) for i in range(301)])])


# ---- the majority


def test_majority_by_hand():
    model = MajorityTagger().fit(CORPUS)
    # barks: V twice, N once. Seen once: Rex (P), sleeps (V): a tie, which the first takes.
    assert model(["the", "barks", "cat", "never"]) == ["D", "V", "N", "P"]
    assert MajorityTagger().fit(sentences([("a a b b b", "X X Y Y Y")]))(["c"]) == ["Y"]
    assert MajorityTagger().fit(sentences([("a a b b b c", "X X Y Y Y X")]))(["d"]) == ["X"]


# ---- all of them

MODELS = [HiddenMarkov, TrigramTagger, MajorityTagger]


@pytest.mark.parametrize("Model", MODELS)
def test_empty_sentences(Model):
    model = Model().fit(CORPUS)
    assert model([]) == []
    if Model is not MajorityTagger:
        assert model.posterior([]).shape == (0, 4)
        # The second order gives the end a probability: here only that of its unigram, 5 of 18.
        expected = log(7 / 21 * 5 / 18) if Model is TrigramTagger else 0.0
        assert model.log_likelihood([]) == model.log_probability([], []) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("Model", MODELS)
@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.text(min_size=1), max_size=5))
def test_any_words_get_tags(Model, words):
    model = Model().fit(CORPUS)
    tags = model(words)
    assert len(tags) == len(words) and set(tags) <= {"D", "N", "P", "V"}
    if Model is not MajorityTagger:
        best, all_of_them = model.log_probability(words, tags), model.log_likelihood(words)
        assert -inf < best <= all_of_them + 1e-9
        assert exp(best - all_of_them) <= model.posterior(words).max(1).min(initial=1) + 1e-9


@pytest.mark.parametrize("Model", MODELS)
def test_one_tag(Model):
    model = Model().fit(sentences([("a b", "X X"), ("c", "X")]))
    assert model(["a", "new"]) == ["X", "X"]


def kept(model):
    """What the folder of a model has."""
    return model._arrays(), model.vocabulary_files()


def restored(Model, arrays, vocabularies):
    model = Model()
    model._words, model._tags = vocabularies["words"], vocabularies["tags"]
    model._take(arrays)
    return model


@pytest.mark.parametrize("Model", MODELS)
def test_the_order_of_the_sentences_is_nothing(Model):
    arrays, names = kept(Model().fit(CORPUS))
    others, same = kept(Model().fit(CORPUS[::-1]))
    assert {key: one.items for key, one in names.items()} == {key: one.items for key, one in same.items()}
    assert all((arrays[name] == others[name]).all() for name in arrays)


@pytest.mark.parametrize("Model", MODELS)
def test_data_without_tags(Model):
    for corpus, where in (
        (
            [Sentence(["a"], None, "f.conllu", 7)],
            "f.conllu:7: training data: expected a tag for every word, found none",
        ),
        ([Sentence(["a", "b"], ["X"])], "expected a tag for every word"),
        ([], "expected at least one word, found none"),
        ([Sentence([]), Sentence([], [])], "expected at least one word, found none"),
    ):
        with pytest.raises(DataError, match=where):
            Model().fit(corpus)


@pytest.mark.parametrize("Model", [HiddenMarkov, TrigramTagger])
def test_tags_that_do_not_fit(Model):
    model = Model().fit(CORPUS)
    with pytest.raises(UsageError, match="each of the 2 words, found 1"):
        model.log_probability(["a", "b"], ["D"])
    with pytest.raises(DataError, match="found 'ADJ'"):
        model.log_probability(["a"], ["ADJ"])


@pytest.mark.parametrize("Model", MODELS)
def test_a_model_that_is_kept_is_the_same(Model, tmp_path):
    model = Model().fit([*CORPUS, Sentence(["東京", "😀"], ["P", "X"])])
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    for words in (["the", "dogs", "bark"], ["京", "Rexes"], []):
        assert again(words) == model(words)
        if Model is not MajorityTagger:
            assert (again.posterior(words) == model.posterior(words)).all()
            assert again.log_likelihood(words) == model.log_likelihood(words)
    (arrays, names), (more, same) = kept(model), kept(again)
    assert {key: one.items for key, one in names.items()} == {key: one.items for key, one in same.items()}
    assert all((more[name] == arrays[name]).all() for name in arrays)


@pytest.mark.parametrize("Model", MODELS)
def test_a_broken_model_is_refused(Model):
    arrays, names = kept(Model().fit(CORPUS))
    for name, table in arrays.items():
        for wrong in (table[1:], table.astype(np.float32), -table - 1, table + 7):
            with pytest.raises(ModelError):
                restored(Model, {**arrays, name: wrong}, names)
        with pytest.raises(ModelError, match=f"{name!r}.*found none"):
            restored(Model, {k: v for k, v in arrays.items() if k != name}, names)


@pytest.mark.parametrize("Model", MODELS)
@pytest.mark.parametrize("name", ["words", "tags"])
def test_a_model_without_words_or_tags_is_refused(Model, name, tmp_path):
    Model().fit(CORPUS).save(tmp_path / "model")
    (tmp_path / "model" / f"{name}.json").write_text(json.dumps({"unknown": None, "items": []}))
    with pytest.raises(ModelError, match="expected words and tags, found none"):
        Model.load(tmp_path / "model")


def test_counts_that_do_not_belong_together():
    arrays, names = kept(TrigramTagger().fit(CORPUS))
    endless, moved = arrays["trigrams"].copy(), arrays["lexicon"].copy()
    endless[:, :, 4] = 0
    cat, dog = (names["words"].items.index(word) for word in ("cat", "dog"))
    moved[cat] += moved[dog]
    moved[dog] = 0  # a word that was never seen
    for wrong in ({"trigrams": endless}, {"lexicon": moved}):
        with pytest.raises(ModelError, match="the counts of one text"):
            restored(TrigramTagger, {**arrays, **wrong}, names)
