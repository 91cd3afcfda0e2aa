"""`Seq2Seq` as a whole: it learns, its scores agree with its answers, and its settings do what they say."""

from __future__ import annotations

import random

import numpy as np
import pytest

import elman
from elman.errors import DataError, UsageError
from elman.tasks.seq2seq.data import split

draw = random.Random(3)
WORDS = ["".join(draw.choices("abcdeé中", k=draw.randrange(1, 6))) for _ in range(120)]
PAIRS = [elman.Pair(word, [word[::-1].upper()]) for word in WORDS]
TINY = {"hidden_size": 12, "embedding_size": 6, "epochs": 2, "threads": 1, "batch_tokens": 100}


@pytest.fixture(scope="module")
def model() -> elman.Seq2Seq:
    return elman.Seq2Seq(**TINY).fit(PAIRS[:100], PAIRS[100:])


def test_it_learns_a_cipher_with_every_kind_of_attention() -> None:
    pairs = [elman.Pair(word, [word.translate(str.maketrans("abcdeé中", "bcdeé中a"))]) for word in WORDS]
    for settings in ({"attention": "hard", "monotonic": True}, {"attention": "general"}):
        how = {"hidden_size": 32, "embedding_size": 16, "epochs": 60, "batch_tokens": 120, "learning_rate": 1e-2}
        trained = elman.Seq2Seq(**how, dropout=0.0, unknown=0.0, threads=1, average=0.9, **settings).fit(pairs[:100])
        assert trained.evaluate(pairs[:100]).accuracy > 0.9, settings


def test_scores_of_answers_are_those_of_pairs(model: elman.Seq2Seq) -> None:
    texts = [pair.source for pair in PAIRS[100:]]
    answers = [one.answers[0] for one in model.predict(texts, beam=3)]
    complete = [(text, answer) for text, answer in zip(texts, answers, strict=True) if answer.complete]
    logs = model.log_probabilities([elman.Pair(text, [answer.text]) for text, answer in complete])
    cut = np.cumsum([0, *(len(answer.symbols) + 1 for _, answer in complete)])
    for (_, answer), a, b in zip(complete, cut, cut[1:], strict=False):
        assert answer.log_probability == pytest.approx(logs[a:b].sum(), abs=1e-4)
    assert complete and model(texts[0]) == model.predict([texts[0]])[0].text


def test_an_empty_source_and_unknown_symbols_have_answers(model: elman.Seq2Seq) -> None:
    assert all(one.answers for one in model.predict(["", "Ω", " ", "a\tb"], nbest=2, beam=2))
    assert model.predict([]) == []


def test_an_ensemble_needs_models_of_the_same_symbols(model: elman.Seq2Seq) -> None:
    other = elman.Seq2Seq(**TINY, seed=2).fit(PAIRS[:100])
    both = elman.Seq2Seq(**TINY).fit(PAIRS[:100]).with_others([other])
    assert both.predict(["abc"], beam=2)[0].answers
    stranger = elman.Seq2Seq(**TINY).fit([elman.Pair("a", ["q"]), elman.Pair("b", ["r"])])
    with pytest.raises(UsageError, match="same symbols"):
        model.with_others([stranger])


def test_short_training_is_scored_as_often_as_its_data_is_worth() -> None:
    untold = {name: value for name, value in TINY.items() if name != "epochs"}
    for settings, expected in ((untold, lambda n: n > 1), (TINY, lambda n: n == 1)):
        one = elman.Seq2Seq(**settings)
        data = one._parts(PAIRS[:10], PAIRS[10:110], None, 1)

        class Folder:
            training = None

        job, _ = one._begin(data.train, data.dev, None, None, Folder())  # type: ignore[arg-type]
        assert expected(job.score_every)
        assert job.score_every >= 10 or settings is TINY


def test_pairs_without_targets_and_parts_of_one_source() -> None:
    with pytest.raises(DataError, match="expected a target"):
        elman.Seq2Seq(**TINY).fit([elman.Pair("a")])
    doubled = [elman.Pair(word, [target]) for word in "abcdefghij" for target in "xyz"]
    train, dev = split(doubled, 0.3, seed=1)
    assert len(dev) == 9 and not {pair.source for pair in train} & {pair.source for pair in dev}


def test_every_right_target_is_learned_and_any_counts() -> None:
    pairs = [elman.Pair(word, [word, word.upper()]) for word in WORDS[:30]]
    trained = elman.Seq2Seq(**TINY, several=True).fit(pairs)
    assert len(trained._examples(pairs)) == 60
    result = trained.evaluate([elman.Pair(pair.source, ["no", trained(pair.source)]) for pair in pairs[:5]])
    assert result.accuracy == 1.0 and result.edits == 0
