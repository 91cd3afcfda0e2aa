"""Scores of a classifier, against scikit-learn and against a plain calibration error."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import UsageError
from elman.metrics.classification import ClassificationScore, accuracy, macro_f1, micro_f1
from elman.metrics.significance import bootstrap_interval

sklearn = pytest.importorskip("sklearn.metrics")
LABELS = ["b", "a", "c", "d"]
SINGLE = st.lists(
    st.tuples(st.sampled_from([*LABELS[:3], "new"]), st.lists(st.integers(0, 20), min_size=4, max_size=4)),
    min_size=1,
    max_size=30,
)
SEVERAL = st.lists(
    st.tuples(st.sets(st.sampled_from([*LABELS, "new"])), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=20
)


def single(rows: list[tuple[str, list[int]]]) -> tuple[ClassificationScore, list[str], list[str], Any]:
    score = ClassificationScore(LABELS)
    gold, guesses, all_values = [], [], []
    for label, counts in rows:
        values = (np.array(counts) + 1e-3) / (sum(counts) + 4e-3)
        guess = LABELS[int(values.argmax())]
        score.add([label], [guess], values if len(gold) % 2 else dict(zip(LABELS, values, strict=True)))
        gold.append(label)
        guesses.append(guess)
        all_values.append(values)
    return score, gold, guesses, np.array(all_values)


@settings(max_examples=150, deadline=None)
@given(SINGLE)
@pytest.mark.filterwarnings("ignore")
def test_one_label_against_sklearn(rows: list[tuple[str, list[int]]]) -> None:
    score, gold, guesses, values = single(rows)
    result = score.result()
    names = list(result.labels)
    assert names == LABELS + (["new"] if "new" in gold else [])
    assert result.accuracy == pytest.approx(sklearn.accuracy_score(gold, guesses))
    assert result.macro_f1 == pytest.approx(sklearn.f1_score(gold, guesses, average="macro"))
    assert result.micro_f1 == pytest.approx(sklearn.f1_score(gold, guesses, average="micro"))
    assert result.confusion == sklearn.confusion_matrix(gold, guesses, labels=names).tolist()
    table = sklearn.precision_recall_fscore_support(gold, guesses, labels=names, zero_division=0)
    for name, precision, recall, f1, support in zip(names, *table, strict=True):
        row = result.labels[name]
        assert (row.precision or 0, row.recall or 0, row.f1 or 0) == pytest.approx((precision, recall, f1))
        assert row.gold == support
    known = [place for place, label in enumerate(gold) if label in LABELS]
    assert result.unknown == len(gold) - len(known)
    if known:
        order = sorted(LABELS)
        columns = values[known][:, [LABELS.index(label) for label in order]]
        columns /= columns.sum(1, keepdims=True)
        expected = sklearn.log_loss([gold[place] for place in known], columns, labels=order)
        assert result.likelihood == pytest.approx(expected)
    else:
        assert result.likelihood is None
    confidence, right = values.max(1), np.array(gold) == np.array(guesses)
    error = 0.0
    for place, one in enumerate(result.bins):
        inside = (confidence >= place / 15) & ((confidence < (place + 1) / 15) | (place == 14))
        assert one.count == inside.sum() and (one.lower, one.upper) == (place / 15, (place + 1) / 15)
        if one.count:
            assert one.confidence == pytest.approx(confidence[inside].mean())
            assert one.accuracy == pytest.approx(right[inside].mean())
            error += inside.sum() / len(rows) * abs(right[inside].mean() - confidence[inside].mean())
    assert result.calibration_error == pytest.approx(error)
    plain = result.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert "labels:4|several:no|macro:present|bins:15" in plain["signature"]


@settings(max_examples=150, deadline=None)
@given(SEVERAL)
@pytest.mark.filterwarnings("ignore")
def test_several_labels_against_sklearn(rows: list[tuple[set[str], set[str]]]) -> None:
    score = ClassificationScore(LABELS, several=True)
    for gold, guess in rows:
        score.add(sorted(gold), sorted(guess))
    result = score.result()
    names = list(result.labels)
    truth, guesses = (np.array([[name in row[side] for name in names] for row in rows]).astype(int) for side in (0, 1))
    assert result.accuracy == pytest.approx(sklearn.accuracy_score(truth, guesses))
    there = truth.any(0) | guesses.any(0)
    if there.any():
        each = sklearn.f1_score(truth, guesses, average=None)
        assert result.macro_f1 == pytest.approx(each[there].mean())
        assert result.micro_f1 == pytest.approx(sklearn.f1_score(truth, guesses, average="micro"))
    else:
        assert result.macro_f1 is None and result.micro_f1 is None
    assert result.confusion is None and result.calibration_error is None and result.bins == []
    json.dumps(result.to_json(), allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(SINGLE, SINGLE)
def test_parts_add_up_and_statistics_give_the_scores(left: Any, right: Any) -> None:
    whole = single(left + right)[0]
    parts = single(left)[0] + single(right)[0]
    assert parts.result() == whole.result()
    sums = whole.statistics().sum(0, keepdims=True)
    assert accuracy(sums)[0] == whole.result().accuracy
    assert micro_f1(sums)[0] == pytest.approx(whole.result().micro_f1)
    assert macro_f1(sums)[0] == pytest.approx(whole.result().macro_f1)
    two = np.concatenate([sums, 2 * sums])
    assert macro_f1(two).shape == (2,)
    assert (
        whole.statistics(["a"]).sum(0).tolist()
        == sums[0, [0, 1, 3, 3 + len(whole.result().labels), 3 + 2 * len(whole.result().labels)]].tolist()
    )


def test_the_statistics_fit_an_interval() -> None:
    score = single([("b", [9, 0, 0, 0]), ("a", [9, 0, 0, 0]), ("c", [0, 0, 9, 0])] * 30)[0]
    interval = bootstrap_interval(score.statistics(), macro_f1)
    assert interval.low < interval.value < interval.high
    assert interval.value == pytest.approx(score.result().macro_f1)


def test_a_probability_of_nothing_is_bounded() -> None:
    score = ClassificationScore(["x", "y"])
    score.add(["y"], ["x"], [1.0, 0.0])
    result = score.result()
    assert result.likelihood == pytest.approx(52 * math.log(2)) and result.bins[14].count == 1
    assert result.calibration_error == 1


def test_nothing() -> None:
    result = ClassificationScore(["x"]).result()
    assert (result.accuracy, result.macro_f1, result.micro_f1, result.likelihood) == (None, None, None, None)
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("gold", "guess", "probabilities"),
    [
        (["x"], ["z"], None),
        (["x", "y"], ["x"], None),
        ([], ["x"], None),
        ("x", ["x"], None),
        (["x"], ["x"], [0.5]),
        (["x"], ["x"], [1.5, 0]),
        (["x"], ["x"], [float("nan"), 1]),
        (["x"], ["x"], {"x": 1.0}),
        (["x"], ["x"], {"x": 1.0, "z": 0.0}),
    ],
)
def test_wrong_calls(gold: Any, guess: Any, probabilities: Any) -> None:
    with pytest.raises(UsageError):
        ClassificationScore(["x", "y"]).add(gold, guess, probabilities)


def test_scores_that_do_not_fit() -> None:
    with pytest.raises(UsageError):
        ClassificationScore(["x", "x"])
    with pytest.raises(UsageError):
        ClassificationScore(["x", "y"]) + ClassificationScore(["y", "x"])
    rated, bare = ClassificationScore(["x", "y"]), ClassificationScore(["x", "y"])
    rated.add(["x"], ["x"], [1, 0])
    bare.add(["x"], ["x"])
    for wrong in (lambda: rated + bare, lambda: rated.add(["x"], ["x"]), lambda: bare.add(["x"], ["x"], [1, 0])):
        with pytest.raises(UsageError, match="for all examples or for none"):
            wrong()
