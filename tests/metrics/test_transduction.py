"""Scores of made sequences, against the recursive definition of edit distance and against sacrebleu itself."""

from __future__ import annotations

import builtins
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman import __version__
from elman.errors import UsageError
from elman.metrics.edits import edit_distance
from elman.metrics.significance import paired_test
from elman.metrics.transduction import (
    TransductionScore,
    accuracy,
    bleu,
    chrf,
    mean_edit_distance,
    symbol_error_rate,
)

WORD = st.text("ab ", max_size=5)
QUICK = settings(max_examples=200, deadline=None)
ITEM = st.tuples(
    st.lists(WORD, min_size=1, max_size=3), st.lists(WORD, min_size=1, max_size=3), st.sampled_from([True, False, None])
)
ITEMS = st.lists(ITEM, min_size=1, max_size=8)


def by_definition(a: str, b: str) -> int:
    """Every way to edit, by recursion."""

    @cache
    def distance(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(distance(i + 1, j) + 1, distance(i, j + 1) + 1, distance(i + 1, j + 1) + (a[i] != b[j]))

    return distance(0, 0)


@QUICK
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_edit_distance_by_its_definition(a: str, b: str) -> None:
    assert edit_distance(a, b) == edit_distance(list(a), tuple(b)) == by_definition(a, b)


@pytest.mark.parametrize("length", [63, 64, 65, 200])
def test_edit_distance_of_long_sequences(length: int) -> None:
    """Around and above the width of a machine word."""
    random = np.random.default_rng(length)
    a, b = ("".join(random.choice(list("abcd"), length + more)) for more in (0, 7))
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):  # Wagner and Fischer 1974
        before, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    assert edit_distance(a, b) == row[-1]


@QUICK
@given(*[st.lists(st.integers(0, 2), max_size=10)] * 3)
def test_edit_distance_is_a_metric(a: list[int], b: list[int], c: list[int]) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a + c, b + c) <= edit_distance(a, b)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def scored(items: list[tuple[list[str], list[str], bool | None]], **options: Any) -> TransductionScore:
    score = TransductionScore(**options)
    for answers, references, unseen in items:
        score.add([list(one) for one in answers], [list(one) for one in references], answers, references, unseen=unseen)
    return score


@QUICK
@given(ITEMS)
def test_every_count_by_its_definition(items: list[tuple[list[str], list[str], bool | None]]) -> None:
    result = scored(items).result()
    right = [answers[0] in references for answers, references, _ in items]
    assert result.accuracy == sum(right) / len(items) and result.word_error_rate == pytest.approx(1 - result.accuracy)
    for k, one in enumerate(result.best, 1):
        assert one.correct == sum(bool({*answers[:k]} & {*references}) for answers, references, _ in items)
        assert one.total == len(items)
    assert len(result.best) == max(len(answers) for answers, _, _ in items)
    closest = [
        min((by_definition(answers[0], one), len(one)) for one in references) for answers, references, _ in items
    ]
    assert (result.edits, result.symbols) == tuple(map(sum, zip(*closest, strict=True)))
    assert result.mean_edit_distance == sum(edits for edits, _ in closest) / len(items)
    rates = [edits / (length or 1) for edits, length in closest]
    assert result.mean_symbol_error_rate == pytest.approx(sum(rates) / len(items))
    for group, of in ((True, result.unseen), (False, result.seen)):
        inside = [one for one, item in zip(right, items, strict=True) if item[2] is group]
        assert (None if of is None else (of.correct, of.total)) == ((sum(inside), len(inside)) if inside else None)
    plain = result.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert list(plain["accuracy_at"].values()) == sorted(plain["accuracy_at"].values())


@QUICK
@given(ITEMS, ITEMS)
def test_parts_add_up_and_statistics_give_the_scores(left: Any, right: Any) -> None:
    whole = scored(left + right)
    parts = scored(left) + scored(right)
    assert parts.result() == whole.result() and (parts.statistics() == whole.statistics()).all()
    rows, result = whole.statistics(), whole.result()
    sums = rows.sum(0, keepdims=True)
    assert rows.shape == (len(left + right), 4)
    assert accuracy(sums)[0] == result.accuracy and mean_edit_distance(sums)[0] == result.mean_edit_distance
    assert symbol_error_rate(np.concatenate([sums, sums])).shape == (2,)
    if result.symbol_error_rate is not None:
        assert symbol_error_rate(sums)[0] == result.symbol_error_rate
    assert paired_test(rows, rows, accuracy, samples=20).p == 1


def test_right_as_text_or_as_tokens() -> None:
    """Subwords may spell a text in two ways; words may be joined with other white space than the reference has."""
    score = TransductionScore()
    score.add([["a", "b"]], [["ab"]], ["ab"], ["ab"])
    score.add([["don't", "."]], [["don't", "."]], ["don't ."], ["don't."])
    result = score.result()
    assert result.accuracy == 1 and result.edits == 0 and result.symbols == 3
    # Of equally close references the shortest counts, whatever their order.
    for references in (["abc", "b", "aa"], ["b", "aa", "abc"]):
        one = scored([(["ab"], references, None)]).result()
        assert (one.edits, one.symbols) == (1, 1)


def test_nothing_is_not_zero() -> None:
    result = TransductionScore().result()
    assert result.accuracy is result.word_error_rate is result.symbol_error_rate is result.mean_edit_distance is None
    assert result.mean_symbol_error_rate is result.seen is result.unseen is result.bleu is None
    assert TransductionScore().statistics().shape == (0, 4)
    assert scored([([""], [""], None)]).result().symbol_error_rate is None  # 0 of 0 symbols
    assert scored([(["x"], [""], None)]).result().mean_symbol_error_rate == 1


def test_signature_and_usage() -> None:
    assert TransductionScore().signature == (f"metric:transduction|references:any|closest:shortest|elman:{__version__}")
    score = TransductionScore(version="1")
    for arguments in (
        ([], [["a"]], [], ["a"]),
        ([["a"]], [], ["a"], []),
        ([["a"]], [["a"]], [], ["a"]),
        ([["a"]], [["a"], ["b"]], ["a"], ["a"]),
        ("a", [["a"]], ["a"], ["a"]),
        ([["a"]], [["a"]], "a", ["a"]),
    ):
        with pytest.raises(UsageError):
            score.add(*arguments)
    with pytest.raises(UsageError, match="same settings"):
        score + TransductionScore(version="2")


ANSWERS = ["the cat sat on the mat .", "a dog", "no no no no"]
REFERENCES = [["the cat is on the mat .", "there is a cat on the mat ."], ["A dog barks"], ["no", "yes", "no no no"]]


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    one = [of[0] for of in REFERENCES]
    found = bleu(ANSWERS, [[of] for of in one], tokenized=True)
    assert found.score == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, [one], tokenize="none").score)
    assert (
        "tok:none" in found.signature and found.signature.endswith("|input:tokenized") and "nrefs:1" in found.signature
    )
    found = bleu(ANSWERS, [[of] for of in one], lowercase=True)
    assert found.score == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, [one], lowercase=True).score)
    assert "tok:13a" in found.signature and "case:lc" in found.signature and "input" not in found.signature
    assert found.score > bleu(ANSWERS, [[of] for of in one]).score
    found = chrf(ANSWERS, [[of] for of in one])
    assert found.score == pytest.approx(sacrebleu.corpus_chrf(ANSWERS, [one]).score)
    assert "chrF" not in found.signature and f"version:{sacrebleu.__version__}" in found.signature
    # Any number of references, in any order.
    several = bleu(ANSWERS, REFERENCES, tokenized=True)
    assert several == bleu(ANSWERS, [of[::-1] for of in REFERENCES], tokenized=True)
    assert "nrefs:var" in several.signature and several.score > bleu(ANSWERS, [[of] for of in one]).score
    assert chrf(["abc", "x"], [["abd", "abc"], ["x"]]).score == 100
    for answers, references in (([], []), (["a"], []), (["a"], [[]])):
        with pytest.raises(UsageError):
            bleu(answers, references)


def test_the_score_asks_for_them() -> None:
    pytest.importorskip("sacrebleu")
    items = [([answer, "other"], of, None) for answer, of in zip(ANSWERS, REFERENCES, strict=True)]
    options = {"text_scores": True, "tokenized": True, "lowercase": True}
    result = (scored(items[:1], **options) + scored(items[1:], **options)).result()
    assert result.bleu == bleu(ANSWERS, REFERENCES, tokenized=True, lowercase=True)
    assert result.chrf == chrf(ANSWERS, REFERENCES, tokenized=True, lowercase=True)
    assert "|texts:tokenized|case:lc|" in result.signature
    assert result.to_json()["bleu"]["signature"] == result.bleu.signature
    json.dumps(result.to_json(), allow_nan=False)
    assert scored(items).result().bleu is None
    assert TransductionScore(text_scores=True).result().bleu is None


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "sacrebleu":
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for call in (
        lambda: bleu(["a"], [["a"]]),
        lambda: chrf(["a"], [["a"]]),
        lambda: TransductionScore(text_scores=True),
    ):
        with pytest.raises(UsageError, match=r"pip install 'elman\[bleu\]'"):
            call()
    assert scored([(["a"], ["a"], None)]).result().accuracy == 1
