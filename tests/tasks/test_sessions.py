"""A session gives what the model gives for the whole text: word by word, copied, saved, in another process."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman import DataError, ModelError, UsageError
from elman.layers.decoding import Constraint, OnlineViterbi, viterbi
from elman.recurrent import CELLS, Packed
from elman.tasks import TASKS
from elman.tasks.load import model_class

draw = random.Random(3)
WORDS = ["the", "cat", "dogs", "Sees", "run", "北京", "naïve", "Ωmega", "."]
TEXTS = [draw.choices(WORDS, k=n % 9) for n in range(40)]
NEW = [*TEXTS[:25], ["never", "seen", "words" * 20], ["the"] * 60]
CHUNKS = ["B-A", "I-A", "O", "B-B"]

TAG = {"hidden_size": 6, "word_size": 5, "char_size": 4, "char_hidden_size": 3, "form_size": 2}
TAGGERS: dict[str, dict[str, Any]] = {
    "one way": {"one_way": True},
    "delay 0": {"delay": 0},
    "delay 1": {"delay": 1, "cell": "gru"},
    "delay 3": {"delay": 3, "layers": 2, "delays": 2},
    "window": {"delay": 1, "window_before": 2, "char_size": 0},
    "crf": {"delay": 1, "crf": True},
    "crf without a scheme": {"one_way": True, "crf": True, "scheme": "none"},
    "scheme": {"delay": 2, "scheme": "auto"},
}
LM = {"hidden_size": 8, "minimum": 1, "bptt": 6, "batch_size": 3}
MODELS: dict[str, dict[str, Any]] = {
    "stream": {},
    "lines": {"lines": True, "cell": "gru", "layers": 2},
    "projected": {"embedding_size": 5},
    "characters": {"tokenizer": "characters", "tied": False},
    "bfloat16": {"precision": "bfloat16"},
}
CLASSIFY = {"hidden_size": 6, "word_size": 5, "one_way": True}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "attention": {},
    "final": {"pooling": "final", "wide": 0, "layers": 2},
    "max": {"pooling": "max", "wide": 3},
    "mean": {"pooling": "mean", "wide": 1, "cell": "gru"},
    "several": {"several": True, "head_size": 4},
    "characters": {"tokenizer": "characters", "lowercase": True},
}
TRAINING = {"epochs": 1, "threads": 1, "batch_tokens": 50}


def shaken(model: Any, by: float = 0.8) -> Any:
    """The model with other weights, so that its answers differ from word to word."""
    with torch.no_grad():
        for one in model.network.parameters():
            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel())), alpha=by)
    return model


@pytest.fixture(scope="module")
def trained() -> Any:
    known: dict[tuple[str, str], Any] = {}

    def get(task: str, name: str) -> Any:
        if (task, name) not in known:
            known[task, name] = shaken(make(task, name), 0.2 if task == "lm" else 0.8)
        return known[task, name]

    return get


def make(task: str, name: str) -> Any:
    if task == "tag":
        tags = CHUNKS if name in ("scheme", "crf") else ["x", "y", "z"]
        legal = {"I-A": ("B-A", "I-A")}
        data = []
        for text in TEXTS[1:]:
            row: list[str] = []
            for _ in text:
                ways = [t for t in tags if t not in legal or (row and row[-1] in legal[t])]
                row.append(draw.choice(ways))
            data.append(elman.Sentence(text, row))
        return elman.Tagger(**{**TAG, **TRAINING, **TAGGERS[name]}).fit(data)
    if task == "lm":
        return elman.LanguageModel(**LM, **{**TRAINING, **MODELS[name]}).fit([" ".join(text) for text in TEXTS])
    labels = [["short"] if len(text) < 4 else ["long"] for text in TEXTS]
    data = [elman.Example(" ".join(text), label) for text, label in zip(TEXTS, labels, strict=True)]
    return elman.Classifier(**CLASSIFY, **TRAINING, **CLASSIFIERS[name]).fit(data)


@pytest.mark.parametrize("name", TAGGERS)
def test_a_tagger_answers_as_for_the_whole_sentence(name: str, trained: Any) -> None:
    tagger = trained("tag", name)
    session, different = tagger.session(), set()
    for text, whole in zip(NEW, tagger.predict(NEW), strict=True):
        got = [session.push(word) for word in text]
        rest = session.finish()
        assert [tag for tags in got for tag in tags] + rest == whole.tags, text
        different.update(whole.tags)
        if "crf" not in name and name != "scheme":  # each as soon as its delay is over
            assert [len(tags) for tags in got] == [int(i >= tagger.network.delay) for i in range(len(text))]
    assert len(different) > 1 and session.finish() == []


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_tags_word_by_word(cell: str) -> None:
    data = [elman.Sentence(text, [word[:1] for word in text]) for text in TEXTS if text]
    tagger = shaken(elman.Tagger(**TAG, cell=cell, delay=1, epochs=1, batch_tokens=400, threads=1).fit(data[:12]))
    session = tagger.session()
    for text in NEW[:12]:
        assert [tag for word in text for tag in session.push(word)] + session.finish() == tagger.predict([text])[0].tags


@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_says_what_comes_next(name: str, trained: Any) -> None:
    model = trained("lm", name)
    session, lines = model.session(), [" ".join(text) for text in NEW[:12]]
    logs = iter(model.log_probabilities(lines).tolist())
    for line in lines:
        for token in model.tokenizer.split(line):
            assert session.next[model.vocabulary[token]] == pytest.approx(next(logs), rel=1e-6, abs=2e-6)
            assert session.push(token).shape == (len(model.vocabulary),)
        assert session.next[model.vocabulary["</s>"]] == pytest.approx(next(logs), rel=1e-6, abs=2e-6)
        assert np.exp(session.finish()).sum() == pytest.approx(1)
    assert next(logs, None) is None


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_labels_what_was_read_so_far(name: str, trained: Any) -> None:
    model, pieces = trained("classify", name), NEW[:12]
    session = model.session()
    for text in pieces:
        join = "" if name == "characters" else " "
        so_far = [join.join(text[:n]) for n in range(len(text) + 1)]
        whole = model.predict(so_far, probabilities=True)
        got = [session.answer, *map(session.push, text)]
        for a, b in zip(got, whole, strict=True):
            assert a.labels == b.labels and a.unknown == b.unknown
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)
        assert session.finish() == got[-1]


EVERY = [*(("tag", name) for name in TAGGERS), *(("lm", n) for n in MODELS), *(("classify", n) for n in CLASSIFIERS)]


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_a_session_is_copied_and_saved_anywhere(task: str, name: str, trained: Any) -> None:
    """At every place, copies go on as the session does, and do not touch it."""
    model, text = trained(task, name), NEW[6]
    session, plain = model.session(), model.session()
    for word in [*text, *text]:
        for other in (session.copy(), model.session(session.save())):
            assert [same(other.push(w), x) for w, x in [(w, session.copy().push(w)) for w in text[:1]]] == [True]
            assert other.save() != session.save()
        one, two = session.copy(), model.session(session.save())
        assert same(one.finish(), two.finish()) and one.save() == two.save()
        assert task == "lm" or one.save() == model.session().save()
        assert same(session.push(word), plain.push(word))
    assert same(session.finish(), plain.finish())
    assert len(session.save()) < 20_000


def test_a_saved_session_moves_to_another_process(tmp_path: Path, trained: Any) -> None:
    tagger, text = trained("tag", "crf"), NEW[8]
    tagger.save(tmp_path / "model")
    session = tagger.session()
    first = [tag for word in text[:3] for tag in session.push(word)]
    (tmp_path / "state").write_bytes(session.save())
    code = f"""import elman
session = elman.load("model").session(open("state", "rb").read())
print(*[tag for word in {text[3:]!r} for tag in session.push(word)], *session.finish())"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert first + ran.stdout.split() == tagger(text)


@pytest.mark.parametrize(("task", "name"), [("tag", "delay 3"), ("tag", "crf"), ("lm", "stream"), ("classify", "mean")])
def test_a_long_session_stays_small(task: str, name: str, trained: Any) -> None:
    session = trained(task, name).session()
    sizes = set()
    for _ in range(300):
        for word in WORDS:
            session.push(word)
        sizes.add(len(session.save()))
    assert max(sizes) < 2 * min(sizes)


def test_other_weights_begin_other_sessions() -> None:
    model = make("lm", "stream")
    before, old = model.session(), model.session().save()
    shaken(model)
    assert not np.array_equal(before.next, model.session().next)
    with pytest.raises(ModelError, match="those of another"):
        model.session(old)


@pytest.mark.parametrize("saved", [b"", b"\0" * 20, b"not a state", bytes(range(200))])
def test_bytes_of_something_else_are_refused(saved: bytes, trained: Any) -> None:
    with pytest.raises(UsageError, match="expected the bytes that save"):
        trained("tag", "one way").session(saved)
    with pytest.raises(UsageError, match="found those of a 'LanguageModelSession'"):
        trained("tag", "one way").session(trained("lm", "stream").session().save())


def test_a_damaged_state_is_refused(trained: Any) -> None:
    whole = trained("tag", "crf").session().save()
    for n in range(0, len(whole), 7):
        for broken in (whole[:n], whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :]):
            with contextlib.suppress(UsageError, ModelError):
                trained("tag", "crf").session(broken).push("the")


def test_what_is_not_a_word_is_refused(trained: Any) -> None:
    for word in ("", None, 3, ["the"]):
        with pytest.raises(UsageError, match="expected a word"):
            trained("tag", "one way").session().push(word)
        with pytest.raises(UsageError, match="expected a token"):
            trained("lm", "stream").session().push(word)
    with pytest.raises(UsageError, match="expected a piece of text"):
        trained("classify", "mean").session().push(3)
    longest = elman.Classifier(**CLASSIFY, **TRAINING, longest=12).fit(
        [elman.Example(" ".join(text), [str(len(text) % 2)]) for text in TEXTS]
    )
    session = longest.session()
    session.push("the " * 12)
    with pytest.raises(DataError, match="at most 12 tokens"):
        session.push("cat")


@pytest.mark.parametrize(("task", "model"), [(task, model) for task, models in TASKS.items() for model in models])
def test_every_model_has_sessions_or_says_why_not(task: str, model: str) -> None:
    """Networks in one direction have; what was tested above is all of them."""
    kind = model_class(task, model)
    has = "session" in vars(kind)
    assert has == ((task, model) in (("tag", "network"), ("lm", "network"), ("classify", "network")))
    if not has:
        with pytest.raises(UsageError, match="has no sessions"):
            kind().session()


def test_both_directions_have_no_sessions() -> None:
    tagger = elman.Tagger(**TAG, **TRAINING).fit([elman.Sentence(["a"], ["b"])])
    with pytest.raises(UsageError, match=r"reads in both; train it with one_way=True, or with delay=K"):
        tagger.session()


numbers = st.floats(-4, 4, width=32)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_online_path_is_that_of_viterbi(data: st.DataObject) -> None:
    """Also between equal scores, which rounding makes frequent; and no label is given too early."""
    labels = data.draw(st.integers(1, 4))
    coarse = data.draw(st.booleans())

    def table(*shape: int) -> torch.Tensor:
        flat = data.draw(st.lists(numbers, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        values = torch.tensor(flat).reshape(shape)
        return values.round() if coarse else values

    legal = Constraint(table(labels) > -2, table(labels, labels) > -3, table(labels) > -3)
    legal.start[0] = legal.end[0] = legal.transitions[0, 0] = True
    scores = table(labels, labels), table(labels), table(labels)
    allowed = legal if data.draw(st.booleans()) else None
    online = OnlineViterbi(labels, *scores, allowed)
    for length in (data.draw(st.integers(1, 9)), 3):
        rows = table(length, labels)
        packed = Packed(rows, [1] * length, [length], torch.zeros(1, dtype=torch.long))
        got = [label for row in rows for label in online.push(row.numpy())]
        assert got + online.finish() == viterbi(packed, *scores, allowed).tolist()
