"""Jacobians of single steps and their products against autograd through time; networks that fade, and one that does
not, at rates known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import elman.inspect as lens
from elman.errors import UsageError
from elman.inspect.backward import by_distance, gradient_norms, gradients, input_norms
from elman.inspect.subject import Subject
from elman.recurrent import CELLS, Bidirectional, Recurrent, recurrent_stack, unroll, use_backend

STEPS, DIM, HIDDEN = 6, 3, 4


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(5)
    yield
    torch.set_default_dtype(torch.float32)


def randomised(cell):
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cell


def of(layer, xs):
    return Subject.of_layer(layer, [xs], lambda ys, _: ys.data.square().sum(1))


CELL_CASES = [(name, 1) for name in CELLS] + [("lstm", 3), ("gru", 2)]


@pytest.mark.parametrize(("name", "delays"), CELL_CASES)
def test_products_are_the_gradient_through_time(name, delays):
    cell = randomised(CELLS[name](DIM, HIDDEN, delays=delays))
    xs = torch.randn(STEPS, DIM)
    found = lens.jacobians(of(Recurrent(cell), xs), "layer 1 forward")
    with use_backend("reference"):
        _, start = unroll(cell, [xs[:2]])  # the state after step 1; its fields are what is moved
        state = type(start)(*[value.clone().requires_grad_() for value in start])

        def rest(*fields):
            _, end = unroll(cell, [xs[2:]], type(start)(*fields))
            return torch.cat([v.flatten() for v in end])

        parts = torch.autograd.functional.jacobian(rest, tuple(state))
    expected = torch.cat([part.flatten(1) for part in parts], 1).numpy()
    product = lens.products(found).at(step=1).values
    np.testing.assert_allclose(product, expected, rtol=1e-9, atol=1e-12)
    assert found.names["to"][0] == "h0" and len(found.names["from"]) == found.size("from")


def test_backwards_the_steps_go_the_other_way():
    cells = [randomised(CELLS["lstm"](DIM, HIDDEN)) for _ in range(2)]
    xs = torch.randn(STEPS, DIM)
    both = of(Bidirectional(*cells), xs)
    turned = of(Recurrent(cells[1]), xs.flip(0))
    back = lens.jacobians(both, "layer 1 backward").values
    np.testing.assert_allclose(back[::-1], lens.jacobians(turned, "layer 1 forward").values, atol=1e-12)


def test_a_part_of_the_steps():
    subject = of(Recurrent(CELLS["gru"](DIM, HIDDEN)), torch.randn(STEPS, DIM))
    whole, part = (lens.jacobians(subject, "layer 1 forward", steps) for steps in (None, [4, 1]))
    np.testing.assert_array_equal(part.values, whole.values[[4, 1]])
    with pytest.raises(UsageError, match="no place is named 'layer 2 forward'; there are 'layer 1 forward'"):
        lens.jacobians(subject, "layer 2 forward")
    with pytest.raises(UsageError, match="axes"):
        lens.spectral_radius(whole.at(step=0))


@pytest.mark.parametrize("radius", [0.5, 0.9, 1.1])
def test_an_elman_network_fades_at_the_rate_of_its_spectral_radius(radius):
    """Where tanh is all but linear the Jacobian is U': normal here, so its powers fade by its radius at each step."""
    cell = CELLS["elman"](DIM, HIDDEN)
    with torch.no_grad():
        torch.nn.init.orthogonal_(cell.U)
        cell.U *= radius
        cell.W *= 1e-6
    steps = 20
    subject = Subject.of_layer(
        Recurrent(cell), [torch.randn(steps, DIM)], lambda ys, _: ys.data[-1:, 0], [(0, steps - 1)]
    )
    found = lens.jacobians(subject, "layer 1 forward")
    np.testing.assert_allclose(lens.spectral_radius(found).values, radius, rtol=1e-6)
    np.testing.assert_allclose(lens.spectral_norm(found).values, radius, rtol=1e-6)
    norms = gradient_norms(subject)["layer 1 forward"].at(output=0).values
    np.testing.assert_allclose(norms, radius ** np.arange(steps - 1, -1, -1), rtol=1e-4)
    np.testing.assert_allclose(by_distance(norms[None], [steps - 1]), radius ** np.arange(steps), rtol=1e-4)
    assert np.linalg.norm(lens.products(found).at(step=0).values, 2) == pytest.approx(radius ** (steps - 1), rel=1e-4)


def test_an_lstm_with_its_forget_gate_open_does_not_fade():
    cell = CELLS["lstm"](DIM, HIDDEN)
    with torch.no_grad():
        cell.U.zero_()
        cell.block("b", "f").fill_(40.0)
    steps = 50
    subject = of(Recurrent(cell), torch.randn(steps, DIM))
    found = lens.jacobians(subject, "layer 1 forward")
    kept = lens.products(found).at(step=0).values
    np.testing.assert_allclose(kept[HIDDEN:, HIDDEN:], np.eye(HIDDEN), atol=1e-12)  # dc_T / dc_0: nothing is lost
    np.testing.assert_allclose(lens.spectral_radius(found).values, 1.0, atol=1e-9)
    c = gradients(subject, "layer 1 forward", "c").at(output=-1).values
    h = gradients(subject, "layer 1 forward", "h").at(output=-1).values
    np.testing.assert_allclose(c[:-1], np.broadcast_to(c[0], c[:-1].shape), rtol=1e-9)
    assert np.abs(h[:-1]).max() == 0  # U is 0, so only through c
    with torch.no_grad():
        cell.block("b", "f").fill_(0.0)  # half shut whatever is read: half is lost at each step
        cell.block("W", "f").fill_(0.0)
    half = gradients(of(Recurrent(cell), torch.randn(steps, DIM)), "layer 1 forward", "c")
    np.testing.assert_allclose(half.values[-1, 10] / half.values[-1, 9], 2.0, rtol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_by_states_are_those_of_moving_them(name):
    """Against a loop of our own, in which the state of one step is a variable."""
    cell = randomised(CELLS[name](DIM, HIDDEN))
    xs = torch.randn(STEPS, DIM)
    subject = of(Recurrent(cell), xs)
    s, i = cell.initial(1), 2
    for t in range(STEPS):
        s = cell.R(s, xs[t : t + 1])
        if t == i:
            s = middle = type(s)(*[v.detach().requires_grad_() for v in s])
        loss = cell.O(s).square().sum()
        if t >= i:
            expected = torch.autograd.grad(
                loss, list(middle), retain_graph=True, materialize_grads=True, allow_unused=True
            )
            for field, value in zip(s._fields, expected, strict=True):
                found = gradients(subject, "layer 1 forward", field).at(output=t, step=i).values
                np.testing.assert_allclose(found, value[0].numpy(), rtol=1e-9, atol=1e-12)


def test_depth_and_inputs():
    layer = recurrent_stack(CELLS["gru"], DIM, HIDDEN, 3, bidirectional=False)
    xs = torch.randn(STEPS, DIM)
    subject = of(layer, xs)
    assert list(gradient_norms(subject)) == ["layer 1 forward", "layer 2 forward", "layer 3 forward"]
    x = xs.clone().requires_grad_()
    with use_backend("reference"):
        (ys,), _ = layer([x])
    (expected,) = torch.autograd.grad(ys[3].square().sum(), x)
    np.testing.assert_allclose(input_norms(subject).at(output=3).values, expected.norm(dim=1).numpy(), rtol=1e-9)
    for norms in gradient_norms(subject).values():
        assert norms.values[2, 3:].max() == 0 < norms.values[2, :3].min()  # what comes later cannot count
    with pytest.raises(UsageError, match="field"):
        gradients(subject, "layer 1 forward", "c")
