"""The calls that are cuDNN's on CUDA, made on the CPU, where torch has the same functions: against the reference."""

from __future__ import annotations

import pytest
import torch

from elman.recurrent import CELLS, Packed
from elman.recurrent.backend import use_backend
from elman.recurrent.call import Call
from elman.recurrent.kernels import cudnn
from elman.recurrent.loop import run
from elman.recurrent.noise import Noise

LENGTHS = [5, 5, 3, 1, 0, 0]
NAMES = ["elman", "elman-relu", "lstm", "gru"]


class MyLSTM(CELLS["lstm"]):
    """A variant with a step of its own, which cuDNN does not have."""

    def step(self, s, x, r):
        return super().step(s, x, r)._replace(h=s.h)


def make(name, hidden=4):
    cell = CELLS[name](3, hidden).double()
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    return cell


def state(cell, count):
    shape = (count, cell.hidden_size)
    return cell.State(*(torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in cell.State._fields))


def agree(calls, xs):
    """Outputs, final states and all gradients, of the calls and of the reference."""
    with use_backend("reference"):
        packed, ends = run(calls, xs)
    got, got_ends = cudnn.run(calls, xs)
    results = [got, *(v for end in got_ends for v in end)], [packed.data, *(v for end in ends for v in end)]
    cells = {id(way.cell): way.cell for way in calls}.values()
    leaves = [xs.data, *(v for way in calls for v in way.state), *(p for cell in cells for p in cell.parameters())]
    found = []
    for values in results:
        torch.manual_seed(7)
        loss = sum((v * torch.randn_like(v)).sum() for v in values)
        found.append(
            [*values, *torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)]
        )
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    for way, end in zip(calls, got_ends, strict=True):
        assert type(end) is way.cell.Carried


def packed(lengths=LENGTHS):
    return Packed.from_list([torch.randn(n, 3, dtype=torch.float64) for n in lengths]).with_data(
        torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    )


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("directions", ["ahead", "back", "both", "both backward first"])
@pytest.mark.parametrize("name", NAMES)
def test_the_calls_are_the_reference(name, directions, dropped):
    torch.manual_seed(1)
    reverses = {"ahead": [False], "back": [True], "both": [False, True], "both backward first": [True, False]}[
        directions
    ]
    calls = []
    for reverse in reverses:
        cell = make(name)
        noise = Noise(U=cell.U * torch.rand_like(cell.U).round() * 2) if dropped else None
        calls.append(Call(cell, state(cell, len(LENGTHS)), reverse, noise))
    agree(calls, packed())


@pytest.mark.parametrize("lengths", [[0, 0], [1], [2, 2, 2], [0]])
@pytest.mark.parametrize("name", NAMES)
def test_other_lengths(name, lengths):
    torch.manual_seed(2)
    cells = [make(name), make(name)]
    calls = [Call(cell, state(cell, len(lengths)), reverse) for cell, reverse in zip(cells, (False, True), strict=True)]
    agree(calls, packed(lengths))
    agree(calls[1:], packed(lengths))


def test_directions_that_differ_and_a_cell_used_twice():
    torch.manual_seed(3)
    lstm, gru, small = make("lstm"), make("gru"), make("lstm", 2)
    for pair in ((lstm, gru), (lstm, small), (lstm, lstm)):
        agree(
            [Call(cell, state(cell, 6), reverse) for cell, reverse in zip(pair, (False, True), strict=True)], packed()
        )


def test_the_callers_order_is_that_of_the_rows():
    """Sequences of one length, so that a mix-up of rows would show in no shape."""
    torch.manual_seed(4)
    cell = make("gru")
    agree([Call(cell, state(cell, 4), True)], packed([3, 3, 3, 3]))


def test_whom_it_serves():
    noises = {
        "none": None,
        "U": Noise(U=torch.zeros(1)),
        "mask": Noise(mask=torch.zeros(1)),
        "z": Noise(zoneout=(0.1,)),
    }
    for name, kind in CELLS.items():
        for noise_name, noise in noises.items():
            assert cudnn.serves(Call(kind(3, 4), None, noise=noise)) == (
                name in NAMES and noise_name in ("none", "U")
            ), (
                name,
                noise_name,
            )
    assert not any(cudnn.serves(Call(cell, None)) for cell in (CELLS["gru"](3, 4, delays=2), MyLSTM(3, 4)))
    assert set(cudnn.FUNCTIONS) == {CELLS[name] for name in NAMES}
