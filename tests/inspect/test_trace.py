"""States, gates and the live numbers of the equation, against the equation worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import small_models
import torch
from torch import sigmoid, tanh

from elman.inspect.subject import Subject
from elman.inspect.trace import equation, gates, saturation, states
from elman.recurrent import CELLS, Bidirectional, Packed, Recurrent, recurrent_stack, use_backend
from elman.recurrent.cells import cell_from_source


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(2)


def lstm(cell, xs):
    """Every number of an LSTM, by a loop."""
    h, c = torch.zeros(1, cell.hidden_size), torch.zeros(1, cell.hidden_size)
    rows = []
    for x in xs:
        a, r = x @ cell.W + cell.b, h @ cell.U
        parts = dict(zip("ifzo", zip(a.chunk(4), r[0].chunk(4), strict=True), strict=True))
        i, f, o = (sigmoid(sum(parts[name])) for name in "ifo")
        before = c
        c = f * c + i * tanh(sum(parts["z"]))
        h = o * tanh(c)
        rows.append(
            {"x.f": parts["f"][0], "r.z": parts["z"][1], "s.c": before[0], "i": i, "f": f, "o": o, "c": c[0], "h": h[0]}
        )
    return {name: torch.stack([row[name] for row in rows]).detach().numpy() for name in rows[0]}


def test_numbers_of_an_lstm_in_both_directions():
    layer = Bidirectional(CELLS["lstm"](3, 4), CELLS["lstm"](3, 4))
    xs = torch.randn(6, 3)
    subject = Subject.of_layer(layer, [xs], lambda ys, _: ys.data.sum(1))
    for name, cell, given in (
        ("layer 1 forward", layer.ahead.cell, xs),
        ("layer 1 backward", layer.back.cell, xs.flip(0)),
    ):
        expected = lstm(cell, given)
        if name.endswith("backward"):
            expected = {key: value[::-1] for key, value in expected.items()}
        live = equation(subject.place(name)).quantities
        for key, value in expected.items():
            np.testing.assert_allclose(live[key], value, atol=1e-6, err_msg=key)
        for key in "ifo":
            np.testing.assert_allclose(gates(subject, name)[key].values, expected[key], atol=1e-6)
        for key in "hc":
            np.testing.assert_allclose(states(subject, name)[key].values, expected[key], atol=1e-6)


def test_the_lines_of_the_equation():
    subject = Subject.of_layer(Recurrent(CELLS["lstm"](3, 4)), [torch.randn(2, 3)], lambda ys, _: ys.data.sum(1))
    found = equation(subject.places[0])
    for line, names in found.assigned.items():
        assert all(f"{name} =" in found.source[line] or f"{name}=" in found.source[line] for name in names)
    assert {name for names in found.assigned.values() for name in names} == {"i", "f", "o", "c", "h"}
    assert found.source[0].startswith("def step(self, s")


OWN = """
import torch
from elman import Cell, gate

class Leaky(Cell):
    gates = ("z",)
    def step(self, s, x, r):
        keep = 0.5
        new = torch.tanh(x.z + r.z)
        new = keep * s.h + (1 - keep) * new
        return self.State(h=new)
"""


def test_a_cell_whose_file_is_gone_has_its_lines():
    cell = cell_from_source(OWN, "Leaky", "leaky_of_test.py")(3, 4)
    subject = Subject.of_layer(Recurrent(cell), [torch.randn(5, 3)], lambda ys, _: ys.data.sum(1))
    found = equation(subject.places[0])
    assert "keep * s.h" in found.source[3] and found.assigned == {3: ("new",), 4: ("h",)}  # its last value, on its line
    np.testing.assert_array_equal(found.quantities["new"], found.quantities["h"])
    assert "keep" not in found.quantities  # no number of a unit


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_shows_what_the_layer_gave(name):
    layer = recurrent_stack(CELLS[name], 3, 4, 2, bidirectional=True)
    xs = torch.randn(5, 3)
    subject = Subject.of_layer(layer, [xs], lambda ys, _: ys.data.sum(1))
    with use_backend("reference"):
        (ys,), final = layer([xs])
    top = [states(subject, f"layer 2 {way}")["h"].values for way in ("forward", "backward")]
    np.testing.assert_allclose(top[0][-1], final[-1][0].h[0].detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(top[1][0], final[-1][1].h[0].detach().numpy(), atol=1e-6)
    if type(subject.places[0].record.cell).O is CELLS["elman"].O:
        np.testing.assert_allclose(np.concatenate(top, 1), ys.detach().numpy(), atol=1e-6)
    for place in subject.places:
        live = equation(place)
        assert live.source and live.assigned
        np.testing.assert_allclose(live.quantities["h"], states(subject, place.name)["h"].values, atol=1e-6)
        for gate, values in gates(subject, place.name).items():
            assert values.shape == (5, 4), gate


def test_saturation_counts_both_ends():
    assert saturation(np.array([[0.01, 0.5], [0.96, 0.97]])) == (0.25, 0.5)


@pytest.mark.parametrize("name", small_models.MAKERS)
def test_looking_changes_nothing(name):
    model = small_models.model(name)
    network = model.network.train()
    network.zero_grad(set_to_none=True)  # what training left there
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    subject = Subject.of(model, "the boys that the dog saw")
    assert subject.gradients and states(subject, "layer 1 forward")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_noise_of_training_stays_out_and_comes_back():
    layer = Recurrent(CELLS["lstm"](3, 4), zoneout=0.5).train()
    packed = Packed.from_list([torch.randn(4, 3)])
    one, two = (Subject.of_layer(layer, packed, lambda ys, _: ys.data.sum(1)) for _ in range(2))
    np.testing.assert_array_equal(*[states(s, "layer 1 forward")["h"].values for s in (one, two)])
    assert layer.training
