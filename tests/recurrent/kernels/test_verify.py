"""A compiled path that does something else than its step is found out at its first use, and not used."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace

import pytest
import torch

from elman.recurrent import CELLS, Cell, unroll
from elman.recurrent.backend import path_of, use_backend
from elman.recurrent.kernels import compiled, native
from elman.recurrent.kernels.aten import ROWS
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import trace
from elman.recurrent.kernels.verify import verify_trace


def cell_of(function, **attributes):
    def step(self, s, x, r):
        return self.State(function(x.a + r.a, s.h))

    return type("Mine", (Cell,), {"gates": ("a",), "step": step, **attributes})


def wrong_row(key, row):
    return lambda patch: patch.setitem(ROWS, key, row)


def wrong_cpp(op, cpp):
    return lambda patch: patch.setitem(OPERATIONS, op, replace(OPERATIONS[op], cpp=cpp))


FAULTS = {
    "another function": (wrong_row("tanh.", lambda g, a: g("sigmoid", a)), "the new h", torch.tanh),
    "another derivative": (wrong_row("tanh_backward.", lambda g, d, y: d), "the gradient of", torch.tanh),
    "an argument left out": (
        wrong_row("div.Tensor_mode", lambda g, a, b, mode: g("div", a, b)),
        "the new h",
        lambda z: torch.div(z, 0.5, rounding_mode="floor") + z,
    ),
    "zeros only": (
        wrong_row("relu.", lambda g, a: g("where", g("eq", a, 0.0), 0.5, g("maximum", a, 0.0))),
        "the new h",
        lambda z: torch.relu(z.round()),
    ),
    "another function in C++": (wrong_cpp("tanh", "sigmoid({0})"), "in the engine", torch.tanh),
    "a small fault in C++": (wrong_cpp("tanh", "vtanh({0}) * real(1.01)"), "in the engine", torch.tanh),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.usefixtures("compiler")
def test_a_fault_is_found_and_the_reference_runs(name, monkeypatch):
    fault, words, function = FAULTS[name]
    kind = cell_of(lambda z, h: function(z) * 0.9 + 0.1 * h)
    fault(monkeypatch)
    path, why = path_of(kind(3, 4))
    assert path == "reference" and words in why and "is not used" in why, why
    monkeypatch.undo()
    assert path_of(cell_of(lambda z, h: function(z) * 0.9 + 0.1 * h)(3, 4)) == ("native", "")


@pytest.mark.parametrize("name", [name for name, kind in CELLS.items() if kind.R is Cell.R])
def test_every_cell_of_the_table_passes(name):
    for delays in (1, 2):
        if CELLS[name].recurrent == () and delays == 2:
            continue
        cell = CELLS[name](3, 5, delays=delays)
        for noisy in (False, True):
            masked = noisy and CELLS[name].recurrent != ()
            verify_trace(cell, trace(cell, masked, noisy), masked, noisy)


@pytest.mark.usefixtures("compiler")
def test_steep_and_uneven_functions_are_not_refused():
    """What rounding tips over is no fault."""

    def step(self, s, x, r):
        z, h = x.a + r.a, s.h
        sums = torch.sin(1e4 * z) + torch.floor(z * 1e3) / 1e3, torch.exp(torch.exp(z)), torch.log(z) * h
        return self.State(h, *sums, (z > h).to(z.dtype) - torch.sign(z) + 0 * z, (z - h) / (z - h).abs())

    State = namedtuple("State", "h a b c d e")
    kind = type("Steep", (Cell,), {"gates": ("a",), "State": State, "step": step})
    assert path_of(kind(3, 6)) == ("native", "")


def test_the_note_says_it_once(monkeypatch):
    monkeypatch.setitem(ROWS, "tanh.", lambda g, a: g("sigmoid", a))
    kind = cell_of(lambda z, h: torch.tanh(z))
    compiled._entries.clear()
    cell, xs = kind(3, 4), torch.randn(1, 2, 3)
    with (
        use_backend("auto"),
        pytest.warns(match="Mine cannot be compiled: its compiled form gives .* so it is not used"),
    ):
        ys, _ = unroll(cell, xs)
    with use_backend("reference"):
        assert torch.equal(ys, unroll(cell, xs)[0])
    with pytest.raises(Untraceable):
        native.kernel(cell, torch.float32, False, False, False)
