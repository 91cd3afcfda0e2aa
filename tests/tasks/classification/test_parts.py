"""The parts of classification: losses, weights, the cuts of data, the n-gram regression; against other formulas."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from elman.errors import DataError, UsageError
from elman.tasks.classification.answers import chosen
from elman.tasks.classification.data import fold, label_ids, label_vocabulary, require_labels, split
from elman.tasks.classification.modules import balanced, loss
from elman.tasks.classification.rivals import ngrams
from elman.text.example import Example
from elman.text.vocabulary import Vocabulary


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_by_hand(smoothing: float, weighted: bool) -> None:
    torch.manual_seed(1)
    scores, labels = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 2, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    total = 0.0
    for row, gold in zip(scores.tolist(), labels.tolist(), strict=True):
        norm = math.log(sum(math.exp(s) for s in row))
        for label, s in enumerate(row):
            wanted = (1 - smoothing) * (label == gold) + smoothing / 3
            total -= wanted * (s - norm) * (1.0 if weights is None else weights[label].item())
    assert loss(scores, labels, weights, smoothing).item() == pytest.approx(total)
    if not smoothing and weights is not None:  # torch's own mean divides by the weights, ours by the texts
        mean = torch.nn.functional.cross_entropy(scores, labels, weights)
        assert loss(scores, labels, weights, 0).item() == pytest.approx(mean.item() * weights[labels].sum().item())


def test_loss_of_several_by_hand() -> None:
    scores, there = torch.tensor([[0.3, -1.0], [2.0, 0.5]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weights = torch.tensor([3.0, 0.5])
    total = 0.0
    for row, gold in zip(scores.tolist(), there.tolist(), strict=True):
        for s, yes, w in zip(row, gold, weights.tolist(), strict=True):
            p, wanted = 1 / (1 + math.exp(-s)), yes * 0.8 + 0.1
            total -= wanted * w * math.log(p) + (1 - wanted) * math.log(1 - p)
    assert loss(scores, there, weights, 0.2).item() == pytest.approx(total, rel=1e-6)


def test_balanced_weights_make_labels_weigh_alike() -> None:
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    weights = balanced(labels, 3)
    shares = [weights[label].item() * n for label, n in Counter(labels.tolist()).items()]
    assert shares == pytest.approx([10 / 3] * 3) and sum(shares) == pytest.approx(len(labels))
    there = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    assert balanced(there, 2).tolist() == pytest.approx([4.0, 2 / 3])


# parts of the data


def texts(**counts: int) -> list[Example]:
    return [Example(f"{label} {i}", [label], "f", i + 1) for label, n in counts.items() for i in range(n)]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_part_has_the_same_share_of_every_label(fraction: float) -> None:
    data = texts(a=200, b=57, c=12, d=1)
    train, dev = split(data, fraction, seed=3)
    assert sorted(e.text for e in train + dev) == sorted(e.text for e in data)
    assert len(dev) == round(len(data) * fraction)
    found = Counter(e.labels[0] for e in dev if e.labels)
    for label, n in (("a", 200), ("b", 57), ("c", 12), ("d", 1)):
        assert abs(found[label] - n * fraction) <= 1
    assert [e.line for e in dev if e.labels == ["a"]] == sorted(e.line for e in dev if e.labels == ["a"])
    again, other = split(data, fraction, seed=3)[1], split(data, fraction, seed=4)[1]
    assert [e.text for e in dev] == [e.text for e in again] != [e.text for e in other]


def test_folds_cover_everything_once_with_the_same_shares() -> None:
    data = texts(a=43, b=20, c=3)
    tested: list[str] = []
    for number in range(1, 6):
        train, test = fold(data, number, 5, seed=1)
        assert len(train) + len(test) == len(data) and not {e.text for e in train} & {e.text for e in test}
        found = Counter(e.labels[0] for e in test if e.labels)
        assert found["a"] in (8, 9) and found["b"] in (4, 4) and found["c"] in (0, 1)
        tested += [e.text for e in test]
    assert sorted(tested) == sorted(e.text for e in data)


def test_wrong_parts_are_refused() -> None:
    data = texts(a=3, b=2)
    for fraction in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            split(data, fraction, 1)
    with pytest.raises(DataError, match="enough texts"):
        split(data, 0.01, 1)
    for number, folds in ((0, 5), (6, 5), (1, 1)):
        with pytest.raises(UsageError, match="fold"):
            fold(data, number, folds, 1)
    with pytest.raises(DataError, match="at least 9 texts"):
        fold(data, 1, 9, 1)
    with pytest.raises(DataError, match=r"g:4.*one label.*found 2"):
        require_labels([*data, Example("x", ["a", "b"], "g", 4)], "data", several=False)
    with pytest.raises(DataError, match="found none"):
        require_labels([Example("x", None)], "data", several=True)
    with pytest.raises(DataError, match="labels to learn"):
        label_vocabulary([Example("x", [])])


def test_labels_that_are_given() -> None:
    assert chosen(["a", "b", "c"], False, [0.2, 0.4, 0.4]) == [1]
    assert chosen(["a", "b", "c"], True, [0.6, 0.5, 0.9]) == [2, 0]
    assert chosen(["a"], True, [0.1]) == []
    ids = label_ids(Vocabulary(["a", "b"]), [Example("", ["b"]), Example("", []), Example("", ["a", "b"])], True)
    assert ids.tolist() == [[0, 1], [0, 0], [1, 1]]


# n-grams


def test_features_are_the_ngrams_that_are_there() -> None:
    vocabulary = Vocabulary(["a", "b", "a b", "b a", "a b a"])
    found = ngrams.features(vocabulary, [["a", "b", "a"], [], ["c", "b"]], 2).to_dense().tolist()
    assert found == [[1, 1, 1, 1, 0], [0] * 5, [0, 1, 0, 0, 0]]
    assert ngrams.features(vocabulary, [["a", "b", "a"]], 3).to_dense().tolist() == [[1] * 5]


@pytest.mark.parametrize("l2", [0.1, 3.0])
def test_regression_is_that_of_scikit_learn(l2: float) -> None:
    from sklearn.linear_model import LogisticRegression

    source = np.random.default_rng(4)
    dense = (source.random((120, 30)) < 0.3).astype(float)
    y = ((dense @ source.normal(size=(30, 3))) + source.normal(size=(120, 3))).argmax(1)
    rows = [[f"f{i}" for i in range(30) if row[i]] for row in dense]
    x = ngrams.features(Vocabulary(f"f{i}" for i in range(30)), rows, 1)
    weight, bias = ngrams.regression(x, torch.from_numpy(y), 3, l2)
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=5000).fit(dense, y)
    mine = (torch.from_numpy(dense) @ weight.double() + bias.double()).softmax(-1).numpy()
    assert np.abs(mine - theirs.predict_proba(dense)).max() < 1e-4
    several = torch.from_numpy(np.stack([y == 0, y == 1], 1)).float()
    weight, bias = ngrams.regression(x, several, 2, l2)
    mine = (torch.from_numpy(dense) @ weight.double() + bias.double()).sigmoid().numpy()
    for label in range(2):
        one = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=5000).fit(dense, y == label)
        assert np.abs(mine[:, label] - one.predict_proba(dense)[:, 1]).max() < 1e-4
