"""Features by hand; the CRF of CRFsuite against an enumeration with the weights that it wrote down."""

from __future__ import annotations

import sys
from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elman.errors import DataError, ModelError, UsageError
from elman.tasks.tagging.rivals.crf import FeatureCRF
from elman.tasks.tagging.rivals.features import features, shape
from elman.text import Sentence

CORPUS = [
    Sentence(["the", "dog", "barks"], ["D", "N", "V"]),
    Sentence(["a", "cat", "sleeps"], ["D", "N", "V"]),
    Sentence(["dog", "barks"], ["N", "N"]),
    Sentence(["Rex-2", "sleeps", "the", "cat"], ["P", "V", "D", "N"]),
    Sentence(["東京"], ["P"]),
    Sentence([]),
]


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("pycrfsuite")
    return FeatureCRF(c1=0.01, c2=0.1, max_iterations=50).fit(CORPUS)


# ---- features


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ""),
        ("the", "xx"),
        ("I", "X"),
        ("McDonald's-1984", "XxXxx'x-dd"),
        ("Ἀθῆναι", "Xxx"),
        ("東京2", "xxd"),
        ("...", ".."),
        ("xX", "xX"),
        ("XX9", "XXd"),
    ],
)
def test_shape(word, expected):
    assert shape(word) == expected


def test_features_by_hand():
    first, second, third = (set(own) for own in features(["Ab-1", "USA", "iPod5"]))
    assert first == {"bias", "word=Ab-1", "lower=ab-1", "shape=Xx-d", "capital", "digit", "hyphen", "begin"} | {
        *("prefix=a", "prefix=ab", "prefix=ab-", "prefix=ab-1", "suffix=1", "suffix=-1", "suffix=b-1", "suffix=ab-1"),
        *("+1lower=usa", "+1shape=XX", "+2lower=ipod5"),
    }
    assert second == {"bias", "word=USA", "lower=usa", "shape=XX", "capital", "all capitals"} | {
        *("prefix=u", "prefix=us", "prefix=usa", "suffix=a", "suffix=sa", "suffix=usa"),
        *("-1lower=ab-1", "-1shape=Xx-d", "+1lower=ipod5", "+1shape=xXxxd"),
    }
    assert third == {"bias", "word=iPod5", "lower=ipod5", "shape=xXxxd", "mixed capitals", "digit", "end"} | {
        *("prefix=i", "prefix=ip", "prefix=ipo", "prefix=ipod", "suffix=5", "suffix=d5", "suffix=od5", "suffix=pod5"),
        *("-1lower=usa", "-1shape=XX", "-2lower=ab-1"),
    }
    assert "all digits" in features(["12"])[0] and {"begin", "end"} <= set(features(["12"])[0])
    assert features([]) == []


@given(st.lists(st.text(), max_size=6))
def test_features_know_only_two_neighbours(words):
    whole = features(words)
    assert len(whole) == len(words)
    for place in range(len(words)):
        left, right = max(0, place - 2), place + 3
        cut = features(words[left:right])[place - left]
        assert cut == whole[place] and len(set(cut)) == len(cut)


# ---- the CRF


def weights(model):
    """(state weights by feature and tag, transition weights by two tags), from CRFsuite's own listing."""
    info = model._tagger.info()
    return defaultdict(float, info.state_features), defaultdict(float, info.transitions)


@pytest.mark.parametrize("words", [["the"], ["Rex", "sleeps"], ["a", "new", "dog"], ["京", "barks", "the", "cat-2"]])
def test_the_best_path_and_the_marginals_are_those_of_all_paths(model, words):
    state, transitions = weights(model)
    assert set(model.labels) == {"D", "N", "V", "P"}
    seen = features(words)

    def score(path):
        own = sum(state[feature, tag] for some, tag in zip(seen, path, strict=True) for feature in some)
        return own + sum(transitions[pair] for pair in pairwise(path))

    paths = list(product(model.labels, repeat=len(words)))
    p = np.exp([score(path) for path in paths])
    p /= p.sum()
    assert tuple(model(words)) == paths[p.argmax()]
    expected = [
        [sum(w for path, w in zip(paths, p, strict=True) if path[step] == tag) for tag in model.labels]
        for step in range(len(words))
    ]
    np.testing.assert_allclose(model.marginals(words), expected, rtol=0, atol=1e-5)  # the listing has six digits


def test_it_learns_what_it_was_shown(model):
    for sentence in CORPUS:
        assert model(sentence.words) == (sentence.tags or [])


def test_penalties_count():
    pytest.importorskip("pycrfsuite")
    free, held = (FeatureCRF(c1=0, c2=c2).fit(CORPUS) for c2 in (1e-3, 10.0))
    sparse = FeatureCRF(c1=1.0, c2=0).fit(CORPUS)
    sizes = [sum(abs(w) for w in weights(m)[0].values()) for m in (free, held)]
    assert sizes[0] > 5 * sizes[1] > 0
    assert 0 < len(weights(sparse)[0]) < len(weights(free)[0]) / 2
    one = FeatureCRF(c1=0, c2=1e-3, max_iterations=1).fit(CORPUS)
    assert one.marginals(["the", "dog"]).max(1).sum() < free.marginals(["the", "dog"]).max(1).sum() - 0.1


def test_nothing_to_tag(model):
    assert model([]) == [] and model.marginals([]).shape == (0, 4)


@settings(deadline=None)
@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=4))
@example(words=["\ud800", "a\0b"])
def test_any_words_get_tags(model, words):
    assert len(model(words)) == len(words)
    np.testing.assert_allclose(model.marginals(words).sum(1), 1, atol=1e-9)


def test_a_model_that_is_kept_is_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    again = FeatureCRF.load(tmp_path / "model")
    assert again.labels == model.labels and again.model == model.model
    words = ["the", "Rex-3", "京"]
    assert again(words) == model(words)
    assert (again.marginals(words) == model.marginals(words)).all()


def test_bytes_that_are_no_model(model):
    whole = model.model
    for content in (b"", b"lCRF", b"x" * 100, whole[:-1], whole[: len(whole) // 2], whole + b"x"):
        with pytest.raises(ModelError, match=r"^expected a complete CRFsuite model"):
            FeatureCRF()._open(content)


def test_what_cannot_be_trained():
    pytest.importorskip("pycrfsuite")
    with pytest.raises(DataError, match="f:3: training data: expected a tag for every word"):
        FeatureCRF().fit([Sentence(["a"], None, "f", 3)])
    with pytest.raises(DataError, match="expected at least one word, found none"):
        FeatureCRF().fit([Sentence([])])
    for wrong in ({"c1": -1.0}, {"c2": float("nan")}, {"c2": float("inf")}, {"max_iterations": 0}):
        with pytest.raises(UsageError, match=f"setting {next(iter(wrong))}: expected a"):
            FeatureCRF(**wrong)


def test_without_python_crfsuite(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycrfsuite", None)
    for call in (lambda: FeatureCRF().fit(CORPUS), lambda: FeatureCRF()._open(b"lCRF\x08\0\0\0")):
        with pytest.raises(UsageError, match=r"pip install 'elman\[crf\]'"):
            call()
