"""Gradient x input and leaving out: against loops over one output, one token and one score at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elman.errors import UsageError
from elman.inspect.credit import attribution, leave_out
from elman.inspect.sample import own_answers
from elman.inspect.subject import Subject
from elman.recurrent import CELLS, Recurrent
from elman.tasks.classification.network_model import Classifier
from elman.tasks.language_model.network_model import LanguageModel
from elman.tasks.tagging.network_model import Tagger
from elman.text import Sentence
from elman.text.example import Example

TEXTS = [["the", "old", "dog", "ran", "here"], ["a", "dog"], ["ran", "the", "ran", "a"]]
TAGS = [["D", "A", "N", "V", "R"], ["D", "N"], ["V", "D", "V", "D"]]
SENTENCES = [Sentence(*pair) for pair in zip(TEXTS, TAGS, strict=True)]
LABELS = [["x"], ["y", "z"], ["z"]]
EXAMPLES = [Example(" ".join(t), labels[:1]) for t, labels in zip(TEXTS, LABELS, strict=True)]
MANY = [Example(" ".join(t), labels) for t, labels in zip(TEXTS, LABELS, strict=True)]
LINES = [" ".join(text) for text in TEXTS]
ONE = {"epochs": 1, "hidden_size": 6, "dropout": 0.0, "seed": 4}
MODELS = {
    "tag": lambda: Tagger(**ONE, word_size=5, char_size=3, char_hidden_size=3, layers=2).fit(SENTENCES),
    "window": lambda: Tagger(**ONE, word_size=5, char_size=0, form_size=0, window_before=1, cell="gru").fit(SENTENCES),
    "crf": lambda: Tagger(**ONE, word_size=5, char_size=0, form_size=0, crf=True, one_way=True).fit(SENTENCES),
    "lm": lambda: LanguageModel(**ONE, embedding_size=5).fit(LINES),
    "lines": lambda: LanguageModel(**ONE, embedding_size=5, lines=True, cell="elman").fit(LINES),
    **{
        f"classify {pooling}": lambda pooling=pooling: Classifier(**ONE, word_size=5, pooling=pooling).fit(EXAMPLES)
        for pooling in ("final", "mean", "max", "attention")
    },
    "smoothed": lambda: Classifier(**ONE, word_size=5, label_smoothing=0.2, class_weights="balanced").fit(EXAMPLES),
    "several": lambda: Classifier(**ONE, word_size=5, several=True).fit(MANY),
}
TEXT = ["ran", "the", "dog", "unheard", "the"]


@pytest.fixture(params=MODELS)
def model(request):
    found = MODELS[request.param]()
    found.network.double()
    with torch.no_grad():
        for parameter in found.network.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            parameter.add_(0.4 * noise)
    return found


def targets_of(model):
    if model.task == "tag":
        return ["V", "D", "A", "N", "R"]
    if model.task == "lm":
        return ["the", "dog", "a", "nonsense", "</s>"]
    return ["y", "x"] if model.settings.model.several else ["y"]


def probabilities(model, text, x=None):
    """(outputs, labels) for one text, from the model's own public answers or, with x, from what its layers read."""
    network = model.network.eval()
    hooks = []
    if x is not None and model.task != "lm":
        hooks.append(network.layers.register_forward_pre_hook(lambda _, a: (a[0].with_data(x), *a[1:])))
    if model.task == "tag":
        batch = model.vocabularies.batch([text])
        if network.crf is None:
            found = network(batch).softmax(-1)
        else:  # sum over every path of tags
            scores, k = network(batch), len(model.labels)
            paths = torch.cartesian_prod(*[torch.arange(k)] * len(text)).reshape(-1, len(text))
            crf, t = network.crf, torch.arange(len(text))
            total = scores[t, paths].sum(1) + crf.start[paths[:, 0]] + crf.end[paths[:, -1]]
            total = total + crf.transitions[paths[:, :-1], paths[:, 1:]].sum(1)
            weights = total.softmax(0)
            found = torch.stack([torch.stack([weights[paths[:, j] == i].sum() for i in range(k)]) for j in t])
    elif model.task == "lm":
        ids = torch.tensor(model.vocabulary.ids(text))
        ys = network.layers([network.embedding[ids] if x is None else x])[0][0]
        found = (network.read_out(ys) @ network.output_weight.T + network.bias).softmax(-1)
    else:
        found = network.probabilities(model.vocabularies.batch([text]))
    for hook in hooks:
        hook.remove()
    return found


def answer(model, row, whole, j, of, targets):
    """log p of one output's answer. whole: the row of the whole text."""
    if of == "prediction":
        return row[int(whole.argmax())].log()
    if model.task == "classify" and model.settings.model.several:
        return sum((p if name in targets else 1 - p).log() for name, p in zip(model.labels, row, strict=True))
    if model.task == "lm":
        return row[model.vocabulary.ids(targets)[j]].log()
    return row[model.labels.index(targets[j])].log()


@pytest.mark.parametrize("of", ["prediction", "target"])
def test_gradient_times_input_is_that_of_a_loop(model, of):
    targets = targets_of(model)
    subject = Subject.of(model, TEXT, targets)
    found = attribution(subject, of)
    x = subject.inputs.detach().clone().requires_grad_()
    rows = probabilities(model, TEXT, x)
    assert found.axes == ("output", "step") and found.shape == (len(rows), len(TEXT))
    assert list(found.names["step"]) == TEXT
    for j, row in enumerate(rows):
        (g,) = torch.autograd.grad(answer(model, row, row, j, of, targets), x, retain_graph=True)
        np.testing.assert_allclose(found.values[j], (g * x).sum(1).detach(), rtol=1e-7, atol=1e-10)
    assert np.abs(found.values).max() > 1e-3


@pytest.mark.parametrize("of", ["prediction", "target"])
def test_leaving_out_is_that_of_a_loop(model, of):
    targets = targets_of(model)
    found = leave_out(model, TEXT, targets, of)
    with torch.no_grad():
        whole = probabilities(model, TEXT)
        for j, row in enumerate(whole):
            for i in range(len(TEXT)):
                if model.task != "classify" and i == j:
                    assert np.isnan(found.values[j, i])
                    continue
                shorter = probabilities(model, TEXT[:i] + TEXT[i + 1 :])
                there = shorter[0 if model.task == "classify" else j - (i < j)]
                want = answer(model, row, row, j, of, targets) - answer(model, there, row, j, of, targets)
                assert found.values[j, i] == pytest.approx(float(want), rel=1e-6, abs=1e-9)


def test_answers_of_the_public_doors():
    """What `predict` and `probabilities` say of the shortened texts."""
    classifier = MODELS["classify mean"]()
    text = ["ran", "the", "dog"]
    whole = classifier.probabilities([" ".join(text)])[0]
    best = int(whole.argmax())
    for i, value in enumerate(leave_out(classifier, text).values[0]):
        shorter = classifier.probabilities([" ".join(text[:i] + text[i + 1 :])])[0]
        assert value == pytest.approx(float((whole[best] / shorter[best]).log()), abs=1e-5)
    model = MODELS["lm"]()
    read, _ = model.read_text("ran the dog")
    found = leave_out(model, read)
    p = model.next_distribution("ran the dog")
    for i in (1, 2):
        rest = [token for k, token in enumerate(["ran", "the", "dog"], 1) if k != i]
        want = np.log(p.max() / model.next_distribution(" ".join(rest))[p.argmax()])
        assert found.values[3, i] == pytest.approx(want, abs=1e-5)
    assert np.abs(found.values[0, 1:]).max() < 1e-6  # what comes later drives nothing
    tagger = MODELS["crf"]()
    answer, shorter = tagger.predict([TEXT, TEXT[1:]], probabilities=True)
    values = leave_out(tagger, TEXT).values
    for j in range(1, len(TEXT)):
        if answer.tags[j] == shorter.tags[j - 1]:
            ratio = answer.probabilities[j] / shorter.probabilities[j - 1]
            found = leave_out(tagger, TEXT, answer.tags, "target").values
            assert found[j, 0] == pytest.approx(np.log(ratio), abs=1e-5)
    assert values.shape == (5, 5)


def test_in_a_linear_network_the_sum_is_the_change_of_the_log_odds():
    """A running sum read out linearly: attributions of two labels differ by exactly what their log-odds do."""

    def of(label):
        model = Tagger(cell="elman", hidden_size=2, word_size=2, char_size=0, form_size=0, one_way=True, epochs=1).fit(
            [Sentence(["a", "b"], ["x", "y"])]
        )
        network = model.network.double()
        with torch.no_grad():
            for cell in (m for m in network.modules() if hasattr(m, "U")):
                cell.W.copy_(1e-4 * torch.eye(2))
                cell.U.copy_(torch.eye(2))
                cell.b.zero_()
            network.words.embedding.weight.copy_(torch.tensor([[0.3, -0.2], [1.0, 0.5], [-0.4, 2.0]]))
            network.out.weight.copy_(1e4 * torch.tensor([[0.3, 0.1], [-0.2, 0.4]]))
            network.out.bias.zero_()
        text = ["a", "b", "b", "a"]
        return attribution(Subject.of(model, text, [label] * 4), "target"), model, text

    (first, model, text), (second, _, _) = of("x"), of("y")
    with torch.no_grad():
        odds = probabilities(model, text).log()
    np.testing.assert_allclose(first.values.sum(1) - second.values.sum(1), odds[:, 0] - odds[:, 1], rtol=1e-6)


def test_edges():
    model = MODELS["tag"]()
    assert np.isnan(leave_out(model, ["dog"]).values).all()
    one = leave_out(MODELS["classify max"](), ["dog"])
    assert one.shape == (1, 1) and np.isfinite(one.values).all()
    with pytest.raises(UsageError, match="at least one token"):
        leave_out(model, [])
    with pytest.raises(UsageError, match="did you mean 'target'"):
        leave_out(model, ["dog"], of="targets")
    subject = Subject.of(model, ["dog"])
    with pytest.raises(UsageError, match="did you mean 'prediction'"):
        attribution(subject, "predicted")
    layer = Recurrent(CELLS["elman"](2, 2))
    own = Subject.of_layer(layer, [torch.randn(3, 2)], lambda ys, state: ys.data.sum(1))
    with pytest.raises(UsageError, match="there are no probabilities"):
        attribution(own)


def test_labels_with_a_comma_in_them() -> None:
    """What a text's labels are is never read out of how they are shown."""
    model = Classifier(**ONE, word_size=5, several=True).fit(
        [Example("a b", ["x, y", "z"]), Example("b", ["x"]), Example("c", ["y"])]
    )

    def log_of(text: str) -> float:
        p = model.predict([text], probabilities=True)[0].probabilities
        return float(sum(np.log(p[label] if label in ("x, y", "z") else 1 - p[label]) for label in p))

    found = leave_out(model, ["a", "b"], ["x, y", "z"], "target")
    assert found.values[0].tolist() == pytest.approx([log_of("a b") - log_of(rest) for rest in ("b", "a")], abs=1e-6)
    subject = Subject.of(model, ["a", "b"], ["x, y", "z"])
    assert np.isfinite(attribution(subject, "target").values).all()
    assert own_answers(model, [["a", "b"]]) == [model.predict(["a b"])[0].labels]
