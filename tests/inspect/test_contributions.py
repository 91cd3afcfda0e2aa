"""Backpropagation through time laid open: its terms against autograd on the whole graph, and one by one."""

from __future__ import annotations

import copy
import time

import pytest
import small_models as models
import torch
from torch import nn

from elman.errors import UsageError
from elman.inspect.contributions import Contributions
from elman.inspect.subject import Subject
from elman.recurrent import CELLS, Bidirectional, Packed, Recurrent, Stack, Window, recurrent_stack, use_backend
from elman.recurrent.layers import Residual

LENGTHS = [4, 0, 6, 1]
LABELS = 5


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    yield
    torch.set_default_dtype(torch.float32)


def shared():
    cell = CELLS["gru"](3, 4)
    return Bidirectional(cell, cell)


LAYERS = {
    "stacked": lambda name: recurrent_stack(CELLS[name], 3, 4, 2, bidirectional=True),
    "one way": lambda name: recurrent_stack(CELLS[name], 3, 4, 3, bidirectional=False),
}
SINGLE = {
    "delays": lambda: Recurrent(CELLS["lstm"](3, 4, delays=3)),
    "window, zoneout": lambda: Stack(
        Window(3, before=1, after=1), Recurrent(CELLS["lstm"](9, 4), zoneout={"c": 0.4, "h": 0.1})
    ),
    "one cell in two places": shared,
    "residual": lambda: Stack(Recurrent(CELLS["gru"](3, 4)), Residual(Recurrent(CELLS["sru"](4, 4), reverse=True))),
}


class Network(nn.Module):
    """Layers with a table below and a matrix above, the whole of it a parameter somewhere."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.out = nn.Linear(layers.output_size, LABELS)
        for parameter in self.parameters():  # so that what starts at zero takes part
            nn.init.normal_(parameter, std=0.5)

    def losses(self, ys, targets):
        return nn.functional.cross_entropy(self.out(ys.data), targets, reduction="none")


def built(layers):
    network = Network(layers).eval()
    xs = Packed.from_list([torch.randn(n, 3) for n in LENGTHS])
    targets = torch.randint(LABELS, (len(xs.data),))
    subject = Subject.of_layer(network.layers, xs, lambda ys, _: network.losses(ys, targets), module=network)
    return network, xs, targets, subject


def autograd(network, xs, targets, chosen=None):
    """The gradient of the sum of the losses (or one of them) through the network as it stands."""
    with use_backend("reference"):
        ys, _ = network.layers(xs)
        losses = network.losses(ys, targets)
    loss = losses.sum() if chosen is None else losses[chosen]
    grads = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
    return dict(zip([name for name, _ in network.named_parameters()], grads, strict=True))


def require_close(found, expected, tolerance=1e-9):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(float(value.abs().max()), 1.0)
        assert float((found[name] - value).abs().max()) <= tolerance * scale, name


CASES = [(f"{how}-{name}", lambda how=how, name=name: LAYERS[how](name)) for how in LAYERS for name in CELLS]
CASES += list(SINGLE.items())


@pytest.mark.parametrize("make", [make for _, make in CASES], ids=[name for name, _ in CASES])
def test_the_terms_sum_to_the_gradient_of_training(make):
    network, xs, targets, subject = built(make())
    terms = Contributions(subject)
    require_close(terms.by_parameter(), autograd(network, xs, targets))
    # and those of one output to the gradient of its own loss
    weights = torch.zeros(len(xs.data), len(xs.data))
    weights[7] = 1
    require_close(terms.by_parameter(terms.gradient(weights)), autograd(network, xs, targets, 7))


@pytest.mark.parametrize("make", [make for _, make in CASES], ids=[name for name, _ in CASES])
def test_norms_are_those_of_the_terms_one_by_one(make):
    network, xs, targets, subject = built(make())
    terms = Contributions(subject)
    pairs = [(j, i) for j in (0, 5, 10) for i in range(len(xs.data))]
    for j, i in pairs:
        weights = torch.zeros(len(xs.data), len(xs.data))
        weights[j, i] = 1
        for name, value in terms.gradient(weights).items():
            if name in terms.norms:
                found = float(terms.norms[name].values[j, i])
                assert found == pytest.approx(float(value.norm()), abs=1e-9), (name, j, i)
    for name, norms in terms.at_output.items():
        for j in (0, 5, 10):
            expected = autograd(network, xs, targets, j)[name]
            assert float(norms.values[j]) == pytest.approx(float(expected.norm()), abs=1e-9)


# Whole models -------------------------------------------------------------------------------------------------------

TEXT = "the boys that the dog saw near the dog must be the sheep"


def training_gradient(model, subject):
    """That of the loss which training uses, for the same text: summed over tokens, or the one of a text."""
    network, examined = model.network, subject.examined
    if model.task == "lm":
        items = model.vocabulary
        ids = examined.layout.with_data(torch.tensor(items.ids(examined.tokens[0])))
        loss, _ = network.loss(ids, torch.tensor(items.ids(examined.targets)), None)
    elif model.task == "tag":
        loss = network.loss(model.vocabularies.batch(examined.tokens, [examined.targets]))
    elif model.task == "seq2seq":
        loss = network.loss(model.vocabularies.batch([examined.tokens[0][:-1]], [examined.targets[:-1]]))
    else:
        if model.settings.model.several:
            names = examined.targets[0].split(", ") if examined.targets[0] else []
            labels = torch.tensor([[float(label in names) for label in model.labels]], dtype=torch.get_default_dtype())
        else:
            labels = torch.tensor([model.labels.index(label) for label in examined.targets])
        loss = network.loss(model.vocabularies.batch(examined.tokens, labels))
    names, parameters = zip(*network.named_parameters(), strict=True)
    with use_backend("reference"):
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return {name: g for name, g in zip(names, grads, strict=True) if float(g.abs().max())}


def doubled(name):
    found = copy.deepcopy(models.model(name))
    found.network.double()
    return found


@pytest.mark.parametrize("name", models.MAKERS)
def test_of_a_model_every_parameter_is_laid_open(name):
    model = doubled(name)
    subject = Subject.of(model, TEXT)
    terms = Contributions(subject)
    found = {name: value for name, value in terms.by_parameter().items() if float(value.abs().max())}
    require_close(found, training_gradient(model, subject))
    # The norms of single terms; characters and words that occur twice among them.
    T = subject.rows
    for j, i in [
        (0, 0),
        (len(subject.outputs) - 1, 1),
        (len(subject.outputs) // 2, T // 2),
        (0, 7),
        (-1 % len(subject.outputs), 3),
    ]:
        weights = torch.zeros(len(subject.outputs), T)
        weights[j, i] = 1
        one = terms.gradient(weights)
        for key in terms.in_time:
            assert float(terms.norms[key].values[j, i]) == pytest.approx(float(one[key].norm()), abs=1e-9), key
    assert set(terms.norms) == set(terms.in_time)


@pytest.mark.parametrize("name", ["tagger", "classifier, mean", "language model, tied"])
def test_what_a_truncation_loses(name):
    model = doubled(name)
    subject = Subject.of(model, TEXT)
    terms = Contributions(subject)
    whole, T = terms.gradient(), subject.rows
    for k in (0, 1, 4, T):
        kept = terms.gradient((subject.apart < k).double())
        for key in terms.in_time:
            expected = float((whole[key] - kept[key]).norm() / whole[key].norm())
            assert float(terms.lost[key].values[k]) == pytest.approx(expected, abs=1e-9), (key, k)
    assert all(found.values[-1] == 0 and found.values[0] == 1 for found in terms.lost.values())


def test_a_term_by_itself():
    model = doubled("language model, tied")
    subject = Subject.of(model, TEXT)
    terms = Contributions(subject)
    step = 3
    term = terms.term("embedding, read", step=step, output=8)
    rows = term.abs().sum(1).nonzero().flatten().tolist()
    assert rows == [model.vocabulary[subject.tokens[step]]]
    with pytest.raises(UsageError, match=r"no parameter is named 'embeding'"):
        terms.term("embeding", step=0, output=0)
    with pytest.raises(UsageError, match="expected a step from 0 to"):
        terms.term("embedding, read", step=99, output=0)
    written = terms.at_output["embedding, written"].values
    weights = torch.zeros(subject.rows, subject.rows)
    weights[4, 4] = 1
    assert float(terms.gradient(weights)["embedding, written"].norm()) == pytest.approx(float(written[4]))


def test_sixty_by_sixty_norms_of_128_units_take_less_than_a_second():
    torch.set_default_dtype(torch.float32)
    layer = recurrent_stack(CELLS["lstm"], 128, 128, 1, bidirectional=False)
    xs, targets = torch.randn(60, 128), torch.randint(128, (60,))

    def loss(ys, _):
        return nn.functional.cross_entropy(ys.data, targets, reduction="none")

    Contributions(Subject.of_layer(layer, [xs[:2]], lambda ys, _: ys.data.sum(1))).norms  # noqa: B018
    began = time.process_time()
    norms = Contributions(Subject.of_layer(layer, [xs], loss)).norms
    assert time.process_time() - began < 1
    assert {value.shape for value in norms.values()} == {(60, 60)}
