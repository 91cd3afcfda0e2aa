"""The tagging score: counts by hand, sums of parts, seqeval's own figures, and what is undefined."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from elman import __version__
from elman.errors import UsageError
from elman.metrics import METRICS
from elman.metrics.accuracy import Accuracy, Matches
from elman.metrics.tagging import TaggingScore

TAGS = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])
SENTENCE = st.lists(st.tuples(TAGS, TAGS, st.sampled_from("abcd")), max_size=6)


def test_counts_by_hand() -> None:
    total = TaggingScore()
    total.add(["D", "N", "V"], ["D", "N", "N"], ["the", "cat", "sat"], {"the", "sat"})
    total.add(["N"], ["N"], ["dogs"], {"the", "sat"})
    total.add([], [], [], {"the"})
    result = total.result()
    assert result.tokens == Accuracy(3, 4) and result.accuracy == 0.75
    assert result.sentences == Accuracy(1, 2) and result.sentence_accuracy == 0.5
    assert result.seen == Accuracy(1, 2) and result.seen_accuracy == 0.5
    assert result.unseen == Accuracy(2, 2) and result.unseen_accuracy == 1.0
    assert result.tags == {"D": Matches(1, 1, 1), "N": Matches(2, 3, 2), "V": Matches(0, 0, 1)}
    assert result.tags["N"].f1 == pytest.approx(0.8)
    assert result.tags["V"].precision is None and result.tags["V"].recall == 0 and result.tags["V"].f1 == 0
    assert result.entities == {}


def test_nothing_scored_is_none_not_nan() -> None:
    result = TaggingScore("iob2").result()
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["accuracy"] is None and found["sentence_accuracy"] is None and found["seen_accuracy"] is None
    assert found["entities"]["strict"]["f1"] is None and found["by_tag"] == {}


def test_both_modes_are_named_and_told_apart() -> None:
    total = TaggingScore("iob2")
    total.add(["B-x", "I-x", "O"], ["I-x", "I-x", "O"])
    entities = total.result().to_json()["entities"]
    assert list(entities) == ["conlleval", "strict"]
    assert entities["conlleval"]["f1"] == 1.0 and entities["conlleval"]["by_label"]["x"]["gold"] == 1
    assert entities["strict"]["precision"] is None and entities["strict"]["recall"] == 0.0
    assert entities["strict"]["f1"] == 0.0


@given(st.lists(SENTENCE, max_size=5), st.lists(SENTENCE, max_size=5))
def test_parts_add_up_to_the_whole(first: list, second: list) -> None:
    def scored(sentences: list) -> TaggingScore:
        total = TaggingScore("iob2")
        for rows in sentences:
            total.add([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], {"a", "b"})
        return total

    left, right = scored(first), scored(second)
    before = left.result()
    assert (left + right).result() == scored(first + second).result()
    assert left.result() == before


@given(st.lists(SENTENCE.filter(bool), min_size=1, max_size=5))
def test_scores_by_brute_force(sentences: list) -> None:
    total = TaggingScore("iob2")
    for rows in sentences:
        total.add([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], {"a", "b"})
    result = total.result()
    words = [row for rows in sentences for row in rows]
    assert result.tokens == Accuracy(sum(g == p for g, p, _ in words), len(words))
    for part, inside in ((result.seen, True), (result.unseen, False)):
        chosen = [(g, p) for g, p, w in words if (w in "ab") is inside]
        assert part == Accuracy(sum(g == p for g, p in chosen), len(chosen))
    assert result.sentences == Accuracy(sum(all(g == p for g, p, _ in rows) for rows in sentences), len(sentences))
    for tag, row in result.tags.items():
        assert row.correct == sum(g == p == tag for g, p, _ in words)
        assert row.gold == sum(g == tag for g, _, _ in words)
        assert row.predicted == sum(p == tag for _, p, _ in words)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@given(st.lists(SENTENCE.filter(bool), min_size=1, max_size=5))
def test_strict_figures_are_seqevals(sentences: list) -> None:
    gold = [[*(row[0] for row in rows), "B-z"] for rows in sentences]  # z: seqeval cannot report on no entity at all
    predicted = [[*(row[1] for row in rows), "B-z"] for rows in sentences]
    report = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True)
    total = TaggingScore("iob2")
    for tags, guesses in zip(gold, predicted, strict=True):
        total.add(tags, guesses)
    strict = total.result().entities["strict"]
    for name, row in [("micro avg", strict.overall), *strict.by_label.items()]:
        figures = (row.precision or 0.0, row.recall or 0.0, row.f1 or 0.0, row.gold)
        expected = [report[name][key] for key in ("precision", "recall", "f1-score", "support")]
        assert figures == pytest.approx(expected)


def test_the_signature_names_the_settings() -> None:
    assert TaggingScore("bioes", version="9").signature == "metric:tagging|scheme:bioes|mode:conlleval+strict|elman:9"
    assert TaggingScore().signature == f"metric:tagging|scheme:none|elman:{__version__}"


def test_what_does_not_line_up_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="2 gold tags, 1 predicted"):
        TaggingScore().add(["N", "N"], ["N"])
    with pytest.raises(UsageError, match="2 words"):
        TaggingScore().add(["N"], ["N"], ["a", "b"], {"a"})
    with pytest.raises(UsageError, match="iob2 and None"):
        TaggingScore("iob2") + TaggingScore()
    with pytest.raises(UsageError, match="bio3"):
        TaggingScore("bio3")


@pytest.mark.parametrize("name", METRICS)
def test_every_row_of_the_registry_is_a_metric(name: str) -> None:
    module, _, attribute = METRICS[name].partition(":")
    metric = getattr(importlib.import_module(module), attribute)
    result = (metric() + metric()).result()
    assert result.signature.startswith(f"metric:{name}|")
    json.dumps(result.to_json(), allow_nan=False)


def test_a_quarter_of_a_million_words_take_about_a_second() -> None:
    gold = ["B-x", "I-x", "O", "O", "O", "B-y", "O", "O", "O", "O"] * 2
    predicted = ["B-x", "I-x", "O", "O", "B-y", "I-y", "O", "O", "O", "O"] * 2
    words = [f"w{i}" for i in range(20)]
    known = set(words[:15])
    start = time.process_time()
    total = TaggingScore("iob2")
    for _ in range(12_500):
        total.add(gold, predicted, words, known)
    total.result()
    assert time.process_time() - start < 3  # about 0.6 s on a quiet core


def test_metrics_do_not_import_torch() -> None:
    code = "import sys, elman.metrics.tagging, elman.metrics.distance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
