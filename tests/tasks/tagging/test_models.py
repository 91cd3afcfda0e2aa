"""Every tagger of the table as a model: answers, scores, folders; the rivals against plain counting and enumeration."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman import DataError, ModelError, Sentence, UsageError
from elman.metrics.significance import ratio
from elman.tasks import TASKS
from elman.tasks.load import model_class
from elman.tasks.tagging.data import split
from elman.tasks.tagging.rivals.counted import Lexicon
from elman.tasks.tagging.rivals.window import WindowTagger

KINDS = list(TASKS["tag"])
COUNTED = ["majority", "hmm", "trigram", "crf"]
QUICK: dict[str, dict[str, Any]] = {
    "network": {"hidden_size": 8, "word_size": 6, "char_size": 4, "char_hidden_size": 5, "epochs": 3, "threads": 1},
    "window": {"hidden_size": 8, "word_size": 6, "affix_size": 3, "epochs": 3, "threads": 1, "learning_rate": 0.02},
    "crf": {"max_iterations": 30},
}
NAMES = ["Ada", "Basil", "Chloé", "Дмитрий", "王小明", "Zoë"]
PLACES = ["London", "Köln", "Αθήνα", "北京"]
STRANGE = [["never", "seen", "Ω"], ["नमस्ते", "a" * 90, "🦊🦊"], ["́x", "\u200b", "עברית"], ["Ada"]]


def corpus() -> list[Sentence]:
    found = []
    for (i, name), place in itertools.product(enumerate(NAMES), PLACES):
        found.append(Sentence([name, "lives", "in", place], ["N", "V", "P", "N"]))
        found.append(Sentence([place, "lives", "near", NAMES[i - 1], "."], ["N", "N", "P", "N", "X"]))
    return found


def chunks() -> list[Sentence]:
    found = [Sentence([n, "met", m, "Smith", "."], ["B-P", "O", "B-P", "I-P", "O"]) for n in NAMES for m in NAMES[:2]]
    return [*found, Sentence(["Smith", "met", "Ada"], ["O", "O", "B-P"])]


def make(kind: str, **more: Any) -> Any:
    if kind == "crf":
        pytest.importorskip("pycrfsuite")
    return model_class("tag", kind)(**QUICK.get(kind, {}), **more)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind; what cannot be made is not there."""
    base, found = tmp_path_factory.mktemp("models"), {}
    for kind in KINDS:
        if kind != "crf" or importlib.util.find_spec("pycrfsuite"):
            make(kind).fit(corpus(), corpus()[::3], test=chunks_free(), out=base / kind)
            found[kind] = base / kind
    return found


def chunks_free() -> list[Sentence]:
    return [Sentence(["Ada", "lives", "nowhere"], ["N", "V", "N"]), Sentence([], []), Sentence(["."], ["X"])]


def folder_of(folders: dict[str, Path], kind: str) -> Path:
    if kind not in folders:
        pytest.skip("python-crfsuite is not installed")
    return folders[kind]


# ---- all of them


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_gives_the_same_answers(folders, tmp_path: Path, kind: str) -> None:
    one = elman.load(folder_of(folders, kind))
    assert type(one) is model_class("tag", kind)
    one.save(tmp_path / "copy")
    other = elman.load(tmp_path / "copy")
    texts = [s.words for s in corpus()] + STRANGE + [[]]
    assert one.predict(texts, probabilities=True) == other.predict(texts, probabilities=True)
    assert one.labels == other.labels and set(one.labels) == {"N", "P", "V", "X"}
    for name in ("model.safetensors", "words.json", "tags.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (folders[kind] / name).read_bytes()
    with pytest.raises(UsageError, match="found a model"):
        one.save(tmp_path / "copy")


@pytest.mark.parametrize("kind", KINDS)
def test_answers_to_anything(folders, kind: str) -> None:
    tagger = elman.load(folder_of(folders, kind))
    texts = [[], *STRANGE, []]
    plain, sure = tagger.predict(texts), tagger.predict(texts, probabilities=True)
    for text, one, other in zip(texts, plain, sure, strict=True):
        assert one.tags == other.tags and len(one.tags) == len(text) and set(one.tags) <= set(tagger.labels)
        assert one.probabilities is None and one.nbest is None
        assert len(other.probabilities) == len(text) and all(0 <= p <= 1 for p in other.probabilities)
    assert plain[0].tags == [] and tagger.predict([]) == [] and tagger(["Ada"]) == tagger.predict([["Ada"]])[0].tags
    for wrong in ("text", ["a", ""], [["a"]]):
        with pytest.raises(UsageError):
            tagger(wrong)
    with pytest.raises(UsageError, match="nbest"):
        tagger.predict([["Ada"]], nbest=-1)


@pytest.mark.parametrize("kind", ["hmm", "trigram", "crf"])
@settings(deadline=None, max_examples=30)
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=4))
def test_any_words_get_tags_and_probabilities(folders, kind: str, words: list[str]) -> None:
    tagger = elman.load(folder_of(folders, kind))
    (answer,) = tagger.predict([words], probabilities=True)
    assert len(answer.tags) == len(answer.probabilities) == len(words) and all(
        0 <= p <= 1 for p in answer.probabilities
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scores_against_plain_counting(folders, kind: str) -> None:
    tagger = elman.load(folder_of(folders, kind))
    data = [*corpus()[::5], *chunks_free(), Sentence(["Zoë", "?"], ["V", "X"])]
    known = {word for s in corpus() for word in s.words}
    right: Counter[bool] = Counter()
    total: Counter[bool] = Counter()
    rows = []
    for sentence in data:
        guesses = tagger(sentence.words) if sentence.words else []
        hits = [a == b for a, b in zip(guesses, sentence.tags, strict=True)]
        rows.append([sum(hits), len(hits)])
        for word, hit in zip(sentence.words, hits, strict=True):
            right[word in known] += hit
            total[word in known] += 1
    result = tagger.evaluate(data)
    assert total[False] == 2
    assert result.seen_accuracy == right[True] / total[True] and result.unseen_accuracy == right[False] / 2
    assert tagger.statistics(data).tolist() == rows
    measure = tagger.measure
    assert measure.name == "accuracy" and measure.score is ratio and measure.counted == 1
    stored = json.loads((folders[kind] / "metrics.json").read_bytes())
    assert stored["test"]["accuracy"] == tagger.evaluate(chunks_free()).accuracy
    with pytest.raises(DataError):
        tagger.statistics([Sentence(["a"], None)])


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_are_scored_by_their_f1(kind: str) -> None:
    tagger = make(kind).fit(chunks()[::2])
    assert tagger.scheme == "iob2"
    data = [*chunks(), Sentence(["Ada", "Ada"], ["B-P", "I-P"])]
    table, strict = tagger.statistics(data), tagger.evaluate(data).entities["strict"].overall
    assert table.sum(0).tolist() == [strict.correct, strict.predicted, strict.gold, sum(map(len, data))]
    measure = tagger.measure
    assert measure.score(table.sum(0)[None].astype(float))[0] == pytest.approx(strict.f1 or 0.0, abs=1e-12)
    assert table[:, measure.counted].tolist() == [len(s) for s in data]
    assert make(kind, scheme="none").fit(chunks()[:3]).scheme is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_fit_refuses(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="training data: expected a tag for every word"):
        make(kind).fit([Sentence(["a"], None)])
    with pytest.raises(DataError, match="at least one word"):
        make(kind).fit([Sentence([], [])], out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="not trained yet"):
        make(kind)(["a"])
    with pytest.raises(UsageError, match="unknown setting"):
        make(kind, hiden=3)
    with pytest.raises(UsageError, match="scheme"):
        make(kind, scheme="bilou")


@pytest.mark.parametrize("kind", COUNTED)
def test_a_second_fit_into_a_folder_is_refused(folders, kind: str) -> None:
    with pytest.raises(UsageError, match="found a model"):
        make(kind).fit(corpus(), out=folder_of(folders, kind))


@pytest.mark.parametrize("kind", ["majority", "hmm"])
def test_a_dev_that_is_a_fraction_is_not_trained_on(kind: str) -> None:
    train, _ = split(corpus(), 0.25, 1)
    one, other = make(kind).fit(corpus(), 0.25), make(kind).fit(train)
    assert one.labels == other.labels
    for name, array in one._arrays().items():
        assert np.array_equal(array, other._arrays()[name])


# ---- one by one


def test_majority_by_counting(folders) -> None:
    counts: dict[str, Counter[str]] = {}
    for sentence in corpus():
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    (answer,) = elman.load(folders["majority"]).predict([list(counts)], probabilities=True)
    for (word, seen), tag, p in zip(counts.items(), answer.tags, answer.probabilities, strict=True):
        assert seen[tag] == max(seen.values()) and p == pytest.approx(seen[tag] / seen.total(), abs=1e-15), word
    once = [Sentence(["a", "a", "b", "c", "d"], ["X", "X", "Y", "Y", "Z"])]
    assert make("majority").fit(once).predict([["new"]], probabilities=True)[0].probabilities == [pytest.approx(2 / 3)]


@pytest.mark.parametrize("decoding", ["viterbi", "posterior"])
@pytest.mark.parametrize("kind", ["hmm", "trigram"])
def test_hidden_markov_against_enumeration(kind: str, decoding: str) -> None:
    more = {"smoothing": 0.3} if kind == "hmm" else {}
    tagger = make(kind, decoding=decoding, **more).fit(corpus())
    for words in (["Ada", "lives", "London"], ["Ω", "lives", "near", "."]):
        paths = list(itertools.product(tagger.labels, repeat=len(words)))
        weights = np.exp([tagger.log_probability(words, path) for path in paths])
        weights /= weights.sum()
        at_place = [
            {tag: sum(w for w, path in zip(weights, paths, strict=True) if path[i] == tag) for tag in tagger.labels}
            for i in range(len(words))
        ]
        (answer,) = tagger.predict([words], probabilities=True)
        if decoding == "viterbi":
            assert answer.tags == list(paths[int(weights.argmax())])
        else:
            assert answer.tags == [max(row, key=row.get) for row in at_place]
        assert answer.probabilities == pytest.approx([row[t] for row, t in zip(at_place, answer.tags, strict=True)])
        if kind == "hmm":
            (found,) = (a.nbest for a in tagger.predict([words], nbest=len(paths)))
            order = sorted(zip(weights, paths, strict=True), reverse=True)
            assert math.fsum(p for _, p in found) == pytest.approx(1, abs=1e-9)
            for (tags, p), (weight, _) in zip(found, order, strict=True):
                assert (
                    p == pytest.approx(weight, abs=1e-12) == pytest.approx(weights[paths.index(tuple(tags))], abs=1e-12)
                )


def test_n_best_only_where_it_is_exact(folders) -> None:
    for kind in ("majority", "trigram", "crf"):
        if kind in folders:
            with pytest.raises(UsageError, match="no n-best sequences"):
                elman.load(folders[kind]).predict([["Ada"]], nbest=2)
    for kind in ("network", "window", "hmm"):
        (empty, one) = elman.load(folders[kind]).predict([[], ["Ada"]], nbest=2)
        assert empty.nbest == [([], 1.0)] and len(one.nbest) == 2 and one.nbest[0][0] == one.tags
    with pytest.raises(UsageError, match="smoothing above 0"):
        make("hmm", smoothing=0.0).fit(corpus()).predict([["Ada", "lives"]], nbest=2)


def test_tables_are_open(folders) -> None:
    hmm = elman.load(folders["hmm"])
    names = hmm.tags.items
    n, v = names.index("N"), names.index("V")
    # N is followed by V 24 times, by N 24, by P 24, by X 24; the smoothing is a thousandth each.
    assert hmm.transitions[n, v] == pytest.approx((24 + 0.001) / (96 + 0.004), abs=1e-12)
    assert Lexicon.of(corpus()).tags.items == names


def test_a_crf_with_a_bit_turned_is_refused(folders, tmp_path: Path) -> None:
    folder = tmp_path / "crf"
    shutil.copytree(folder_of(folders, "crf"), folder)
    tensors = safetensors.numpy.load((folder / "model.safetensors").read_bytes())
    model = tensors["crfsuite"].copy()
    model[len(model) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save({**tensors, "crfsuite": model}))
    with pytest.raises(ModelError, match="checksum"):
        elman.load(folder)


# ---- the window


@pytest.mark.parametrize("more", [{}, {"affix_size": 0}, {"word_size": 0, "affix": 2}, {"context": 0}])
def test_the_window_network_against_a_plain_loop(more: dict[str, Any]) -> None:
    told = {**QUICK["window"], "epochs": 1, **more}
    tagger = WindowTagger(**told).fit(corpus())
    net, vocabularies, config = tagger.network.double().eval(), tagger.vocabularies, tagger.settings.model
    texts = [s.words for s in corpus()[:5]] + STRANGE + [[], ["x"]]
    weights = dict(net.named_parameters())
    hidden = next(name.removesuffix(".linear.weight") for name in weights if name.endswith(".linear.weight"))

    def vector(word: str) -> torch.Tensor:
        parts = []
        if config.word_size:
            parts.append(weights["words.embedding.weight"][vocabularies.words[word]])
        if config.affix_size:
            table = weights["characters.embedding.embedding.weight"]
            nothing = [torch.zeros(config.affix_size).double()] * config.affix
            letters = [table[vocabularies.characters[c]] for c in word]
            parts += [*letters, *nothing][: config.affix] + [*letters[::-1], *nothing][: config.affix]
        return torch.cat(parts)

    batch = vocabularies.batch(texts)
    scores = batch.layout.with_data(net(batch)).to_list()
    for text, found in zip(texts, scores, strict=True):
        vectors = [vector(word) for word in text]
        assert len(found) == len(text)
        for i in range(len(text)):
            seen = [
                vectors[k] if 0 <= k < len(text) else torch.zeros_like(vectors[0])
                for k in range(i - config.context, i + config.context + 1)
            ]
            inner = torch.tanh(weights[f"{hidden}.linear.weight"] @ torch.cat(seen) + weights[f"{hidden}.linear.bias"])
            expected = weights["out.weight"] @ inner + weights["out.bias"]
            assert torch.allclose(found[i], expected, rtol=0, atol=1e-12)


def test_the_window_learns_what_lies_in_it(tmp_path: Path) -> None:
    """The tag is what the word two places before is; the network sees that, by words or by their last letters."""
    random = np.random.default_rng(3)
    data = []
    for _ in range(300):
        words = [str(w) for w in random.choice(["ab", "cb", "ad", "cd"], size=6)]
        data.append(Sentence(words, ["-", "-", *(word[1] for word in words[:-2])]))
    told = {**QUICK["window"], "epochs": 8, "dropout": 0.0, "word_dropout": 0.0, "unknown": 0.0, "hidden_size": 24}
    assert WindowTagger(**told).fit(data[:250]).evaluate(data[250:]).accuracy == 1.0
    short = WindowTagger(**{**told, "context": 1}).fit(data[:250]).evaluate(data[250:]).accuracy
    assert short < 0.8  # which lies outside of a narrower one


def test_a_window_tagger_needs_something_to_read() -> None:
    with pytest.raises(UsageError, match="are all 0"):
        WindowTagger(word_size=0, affix_size=0)
