"""The door: what can be looked into, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import small_models
import torch

import elman
from elman.errors import DataError, UsageError
from elman.inspect.array import Array
from elman.inspect.subject import LONGEST, Subject
from elman.recurrent import CELLS, Recurrent, Stack, Window
from elman.text.pair import Pair


def test_models_without_recurrent_layers_are_refused():
    data = small_models.sentences()
    from elman.tasks.load import model_class

    for task, kind, train in (
        ("tag", "majority", data),
        ("tag", "window", data),
        ("classify", "cbow", [elman.Example("a b", ["x"]), elman.Example("c", ["y"])]),
        ("lm", "ngram", ["a b", "c d"]),
    ):
        given = {"epochs": 1, "threads": 1} if model_class(task, kind).resumable else {}
        model = model_class(task, kind)(**given).fit(train)
        with pytest.raises(UsageError, match=rf"kind {task} {kind} has no recurrent layers|nothing to inspect"):
            Subject.of(model, "a b")


def test_texts_and_targets_that_do_not_fit():
    tagger = small_models.model("CRF")
    with pytest.raises(UsageError, match="at least one token, found none"):
        Subject.of(tagger, "  ")
    with pytest.raises(UsageError, match=f"at most {LONGEST} tokens, found {LONGEST + 1}"):
        Subject.of(tagger, ["a"] * (LONGEST + 1))
    with pytest.raises(UsageError, match="expected 2 targets, one per token, found 1"):
        Subject.of(tagger, "the boys", ["O"])
    with pytest.raises(DataError, match="expected one of the tags 'B-X', 'O', found 'NOUN'"):
        Subject.of(tagger, "the boys", ["O", "NOUN"])
    with pytest.raises(DataError, match="found 'nonsense'"):
        Subject.of(small_models.model("classifier, final"), "the boys", ["nonsense"])
    with pytest.raises(UsageError, match="nothing to inspect"):
        Subject.of_layer(Stack(Window(3)), [torch.randn(2, 3)], lambda ys, _: ys.data.sum(1))
    with pytest.raises(UsageError, match="expected a loss for each of 2 rows"):
        Subject.of_layer(Recurrent(CELLS["gru"](3, 2)), [torch.randn(2, 3)], lambda ys, _: ys.data.sum().view(1))


@pytest.mark.parametrize("name", small_models.MAKERS)
def test_losses_and_probabilities_are_those_of_the_model(name):
    model = small_models.model(name)
    text = "the boys that the dog saw near the barn must be the sheep ."
    subject = Subject.of(model, text)
    outcome, examined = subject.outcome, subject.examined
    if model.task == "tag":
        (answer,) = model.predict([text.split()], probabilities=True)
        assert examined.targets == answer.tags
        np.testing.assert_allclose(np.exp(-outcome.shown.numpy()), answer.probabilities, atol=1e-5)
    elif model.task == "lm":
        (scored,) = model.score([text])
        assert [*subject.tokens[1:], "</s>"] == scored.tokens == examined.targets
        np.testing.assert_allclose(-outcome.shown.numpy(), scored.log_probabilities, atol=1e-4)
    elif model.task == "seq2seq":
        best = model.predict([text], beam=1)[0].answers[0]
        assert examined.targets == [*best.symbols, "</s>"] and not subject.answers
        scored = model.log_probabilities([Pair(text, [best.text])])
        np.testing.assert_allclose(-outcome.shown.numpy(), scored, atol=1e-4)
    else:
        row = model.probabilities([text])[0]
        np.testing.assert_allclose(outcome.log_probabilities.detach().exp().numpy()[0], row.numpy(), atol=1e-5)
        assert examined.targets == [", ".join(model.predict([text])[0].labels)]


def test_given_targets_count():
    model = small_models.model("tagger")
    own, other = Subject.of(model, "the boys"), Subject.of(model, "the boys", ["DT", "VBZ"])
    assert other.targets == ["DT", "VBZ"] and float(other.outcome.shown[1]) > float(own.outcome.shown[1])


def test_arrays_by_name():
    array = Array(np.arange(6.0).reshape(2, 3), ("gate", "step"), {"gate": ["f", "i"]})
    assert array.at(gate="i").values.tolist() == [3, 4, 5] and array.at(gate=0, step=-1).values == 2
    assert array.along("step").shape == (3, 2) and array.size("step") == 3 and np.asarray(array).sum() == 15
    assert array.to_json() == {
        "axes": ["gate", "step"],
        "names": {"gate": ["f", "i"]},
        "values": [[0, 1, 2], [3, 4, 5]],
    }
    assert Array(np.array([np.nan, 1]), ("x",)).to_json()["values"] == [None, 1]
    for wrong in ({"gates": 0}, {"gate": "o"}, {"gate": 2}):
        with pytest.raises(UsageError):
            array.at(**wrong)
    with pytest.raises(UsageError, match="a name for each of 2 axes"):
        Array(np.zeros((2, 2)), ("x",))
    with pytest.raises(UsageError, match="axis gate: expected 2 names, found 1"):
        Array(np.zeros(2), ("gate",), {"gate": ["f"]})
