"""The probe: on shift registers, which remember so much and no more, and its regression against scikit-learn's."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest
import registers
import torch
from small_models import sentences

from elman.errors import UsageError
from elman.inspect.linear_probe import probe, softmax_regression
from elman.inspect.subject import Subject
from elman.tasks.tagging.network_model import Tagger
from elman.text import Sentence


def drawn(count, seed=1):
    """The places of texts as they are drawn, and how many of the first are held out."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order, round(count * 0.2)


def lopsided(count, length):
    """Texts in which the first word is the most frequent by far."""
    source = random.Random(5)
    weights = [6, 1, 1, 1, 1]
    return [source.choices(registers.WORDS, weights, k=length) for _ in range(count)]


def test_a_shift_register_remembers_as_much_as_it_holds():
    texts = lopsided(100, 20)
    model = registers.tagger(1, places=3)
    found = probe(model, texts, distances=range(6), of=["word"])
    assert found.accuracy.axes == ("of", "distance") and found.accuracy.shape == (1, 6)
    order, held = drawn(100)
    test = [texts[i] for i in order[:held]]
    for k in range(6):
        scores = ("accuracy", "low", "high", "control", "majority")
        here = {name: float(getattr(found, name).values[0, k]) for name in scores}
        words = [word for text in test for word in text[: 20 - k]]
        assert found.test.values[0, k] == len(words) == held * (20 - k)
        assert found.train.values[0, k] == (100 - held) * (20 - k)
        assert here["majority"] == pytest.approx(words.count("ant") / len(words))
        assert here["low"] <= here["accuracy"] <= here["high"]
        assert abs(here["control"] - here["majority"]) < 0.02
        if k < 3:
            assert here["accuracy"] > 0.999
        else:
            assert abs(here["accuracy"] - here["majority"]) < 0.02
    assert (found.train_texts, found.test_texts, found.classes) == (80, 20, {"word": 5})
    accuracy, control = found.figure_arguments()["word"]
    assert accuracy.tolist() == found.accuracy.values[0].tolist() and control.shape == (6,)
    json.dumps(found.to_json(), allow_nan=False)


def test_tags_and_the_other_direction():
    """Tags that are the word before: the tag k steps back is known where the word k + 1 steps back is."""
    texts = registers.texts(60, 16)
    data = [Sentence(text, registers.copied(text, 1)) for text in texts]
    model = registers.tagger(1, places=3, ahead=1)
    found = probe(model, data, distances=range(4))
    assert found.place == "layer 1 forward" and found.accuracy.names["of"] == ["word", "target"]
    assert (found.accuracy.at(of="word").values > 0.99).tolist() == [True, True, True, False]
    assert (found.accuracy.at(of="target").values > 0.95).tolist() == [True, True, False, False]
    back = probe(model, data, distances=range(4), place="layer 1 backward", of=["word"])
    assert (back.accuracy.values[0] > 0.99).tolist() == [True, True, True, False]


def test_of_real_models():
    data = sentences()
    settings = {"hidden_size": 6, "word_size": 5, "char_size": 0, "form_size": 0, "epochs": 1}
    deep = Tagger(**settings, layers=2, crf=True).fit(data)
    found = probe(deep, data, distances=[0, 2])
    assert found.place == "layer 2 forward" and np.isfinite(found.accuracy.values).all()
    counts = Counter(word for s in data for word in s.words)
    few = probe(deep, data, distances=[0], of=["word"], classes=3)
    order, held = drawn(len(data))
    train = Counter(word for i in order[held:] for word in data[i].words)
    top = sorted(train, key=lambda word: (-train[word], word))[:3]
    assert few.left_out["word"] == sum(counts.values()) - sum(counts[word] for word in top)
    assert few.train.values[0, 0] == sum(train[word] for word in top)
    model = registers.language_model(2)
    lines = [" ".join(text) for text in registers.texts(40, 10)]
    found = probe(model, lines, distances=range(4))
    assert found.accuracy.names["of"] == ["word"]  # nothing has a tag
    assert (found.accuracy.values[0] > 0.99).tolist() == [True, True, True, False]


def test_no_text_is_on_both_sides():
    """Where each text has a word of its own, no word that is held out was ever seen."""
    source = registers.texts(20, 6)
    model = registers.tagger(0)
    texts = [[f"{word}{i}" for word in text] for i, text in enumerate(source)]
    found = probe(model, texts, distances=[0], of=["word"], classes=10_000)
    assert found.test.values[0, 0] == 0 and np.isnan(found.accuracy.values[0, 0])
    held = drawn(20)[0][:4]
    assert found.left_out["word"] == sum(len(texts[i]) for i in held)


def test_the_states_are_those_of_the_cell():
    """Accuracy that needs every state in its place: the outputs of the texts one by one give the same probe."""
    texts = registers.texts(30, 8)
    texts = [text[: 3 + i % 6] for i, text in enumerate(texts)]
    model = registers.tagger(1, places=2)
    together = probe(model, texts, distances=[0, 1], of=["word"])
    assert (together.accuracy.values > 0.999).all()
    subject = Subject.of_texts(model, [texts[3]])
    assert len(torch.cat(subject.places[0].record.ys)) == len(texts[3])


@pytest.mark.parametrize("penalty", [1.0, 0.01, 0.0001])
def test_the_regression_is_that_of_scikit_learn(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    source = torch.Generator().manual_seed(2)
    x = torch.randn(300, 7, generator=source, dtype=torch.float64)
    labels = (x @ torch.randn(7, 4, generator=source, dtype=torch.float64)).argmax(1)
    labels[::5] = torch.randint(4, (60,), generator=source)
    weights = softmax_regression(x, labels, 4, penalty, tolerance=1e-8)
    other = linear_model.LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=5000).fit(x, labels)
    ours = (x @ weights[:-1] + weights[-1]).log_softmax(1).numpy()
    np.testing.assert_allclose(ours, other.predict_log_proba(x.numpy()), atol=1e-3)
    # the bias of all classes is free by a constant, the weights are not
    np.testing.assert_allclose(weights[:-1].T.numpy(), other.coef_, atol=1e-3)
    warm = softmax_regression(x, labels, 4, penalty, weights + 0.3, tolerance=1e-8)
    np.testing.assert_allclose((x @ warm[:-1] + warm[-1]).log_softmax(1).numpy(), ours, atol=1e-3)


def test_the_seed_decides():
    texts = lopsided(40, 8)
    model = registers.tagger(1)
    one, same, other = (probe(model, texts, distances=[0, 3], of=["word"], seed=s).to_json() for s in (1, 1, 2))
    assert one == same != other
    few = probe(model, texts, distances=[0], of=["word"], most_tokens=70)
    assert few.train_texts + few.test_texts == 9


def test_refusals():
    model, texts = registers.tagger(1), registers.texts(9, 4)
    with pytest.raises(UsageError, match="did you mean 'word'"):
        probe(model, texts, of=["words"])
    with pytest.raises(UsageError, match="a target for every word"):
        probe(model, texts, of=["target"])
    with pytest.raises(UsageError, match="at least 3 texts"):
        probe(model, texts[:2])
    with pytest.raises(UsageError, match="distances of 0 or more"):
        probe(model, texts, distances=[-1])
    with pytest.raises(UsageError, match="no place is named 'layer 9'"):
        probe(model, texts, place="layer 9")
