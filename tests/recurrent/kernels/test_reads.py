"""A compiled step follows what it reads besides its arguments: attributes, globals, closures. What it could not follow
is refused."""

from __future__ import annotations

import functools
import math
import random
import time
import types
from random import random as drawn

import pytest
import torch
from torch.nn import functional as F

from elman.recurrent import Cell, unroll
from elman.recurrent.backend import path_of, use_backend
from elman.recurrent.kernels import compiled
from elman.recurrent.kernels.reads import Reads
from elman.recurrent.kernels.refusal import Impure, Untraceable
from elman.recurrent.kernels.trace import trace

SCALE = 0.5
SCALES = [0.5, 2.0]
SETTINGS = types.SimpleNamespace(scale=0.5, inner=types.SimpleNamespace(scale=0.25))


def activation(z):
    return torch.tanh(SCALE * z)


def other_activation(z):
    return torch.sigmoid(z)


def cell_of(function, **attributes):
    def step(self, s, x, r):
        return self.State(function(self, x.a + r.a, s.h))

    return type("Mine", (Cell,), {"gates": ("a",), "step": step, **attributes})


class Attributed(Cell):
    gates = ("a",)
    floor = -0.9

    def __init__(self, *sizes, delays=1):
        super().__init__(*sizes, delays=delays)
        self.alpha, self.betas, self.act = 0.5, (0.3, 0.7), torch.tanh

    def step(self, s, x, r):
        z = self.act(x.a + r.a) * self.betas[0] + self.helper(s.h) * self.alpha
        z = z * 2 if self.training else z
        return self.State(torch.clamp(z, min=type(self).floor))

    def helper(self, h):
        return h * SCALE


def set_global(name, value):
    def change(cell, patch):
        patch.setitem(globals(), name, value)

    return change


CHANGES = {
    "a number": lambda cell, patch: setattr(cell, "alpha", 0.125),
    "a tuple": lambda cell, patch: setattr(cell, "betas", (0.9, 0.7)),
    "a function": lambda cell, patch: setattr(cell, "act", torch.sigmoid),
    "evaluation": lambda cell, patch: cell.eval(),
    "the class": lambda cell, patch: patch.setattr(Attributed, "floor", 0.1),
    "a method": lambda cell, patch: patch.setattr(Attributed, "helper", lambda self, h: h * 3),
    "a method of one cell": lambda cell, patch: setattr(
        cell, "step", types.MethodType(lambda self, s, x, r: self.State(torch.relu(x.a)), cell)
    ),
    "a global": set_global("SCALE", 0.25),
}


def same_on_both(cell, xs):
    with use_backend("native"):
        ys, _ = unroll(cell, xs)
    with use_backend("reference"):
        torch.testing.assert_close(ys, unroll(cell, xs)[0], rtol=1e-12, atol=1e-12)
    return ys


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.usefixtures("compiler")
def test_what_changes_after_the_first_call_is_seen(name, monkeypatch):
    torch.manual_seed(1)
    cell, xs = Attributed(3, 4).double(), torch.randn(2, 5, 3, dtype=torch.float64)
    before = same_on_both(cell, xs)
    CHANGES[name](cell, monkeypatch)
    assert not torch.allclose(before, same_on_both(cell, xs)), "the change would change nothing"


@pytest.mark.usefixtures("compiler")
def test_cells_of_several_widths_that_read_their_width():
    kind = cell_of(lambda self, z, h: torch.tanh(z) / self.hidden_size**0.5 + self.input_size * 0.01)
    for sizes in ((3, 4), (3, 9), (7, 9)):
        same_on_both(kind(*sizes).double(), torch.randn(2, 3, sizes[0], dtype=torch.float64))


FOLLOWED = {
    "math.pi": lambda self, z, h: z * math.pi,
    "a global of a function that is called": lambda self, z, h: activation(z),
    "a setting of an object": lambda self, z, h: z * SETTINGS.scale + SETTINGS.inner.scale,
    "torch's own functions": lambda self, z, h: F.gelu(z, approximate="tanh") + F.mish(h),
    "a lambda inside": lambda self, z, h: (lambda v: v * SCALE)(z),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_followed(name):
    cell = cell_of(FOLLOWED[name])(3, 4)
    reads = Reads(cell)
    trace(cell, False, False, reads)
    assert reads.unchanged(cell)


@pytest.mark.parametrize(
    ("function", "path", "value"),
    [
        (FOLLOWED["a global of a function that is called"], "SCALE", 3.0),
        (FOLLOWED["a global of a function that is called"], "activation", other_activation),
        (FOLLOWED["a lambda inside"], "SCALE", 3.0),
        (FOLLOWED["a setting of an object"], "SETTINGS", types.SimpleNamespace(scale=1.0, inner=SETTINGS.inner)),
    ],
)
def test_a_change_outside_is_seen(function, path, value, monkeypatch):
    cell = cell_of(function)(3, 4)
    reads = Reads(cell)
    trace(cell, False, False, reads)
    monkeypatch.setitem(globals(), path, value)
    assert not reads.unchanged(cell) and all(path in name for name in reads.changed(cell))


def test_a_setting_inside_an_object_is_seen(monkeypatch):
    cell = cell_of(FOLLOWED["a setting of an object"])(3, 4)
    reads = Reads(cell)
    trace(cell, False, False, reads)
    monkeypatch.setattr(SETTINGS.inner, "scale", 2.0)
    assert not reads.unchanged(cell) and [name.rpartition(".SETTINGS")[2] for name in reads.changed(cell)] == [
        ".inner.scale"
    ]


def test_a_closure_is_seen():
    factor = 0.5

    def step(self, s, x, r):
        return self.State(torch.tanh(x.a) * factor)

    cell = type("Mine", (Cell,), {"gates": ("a",), "step": step})(3, 4)
    reads = Reads(cell)
    trace(cell, False, False, reads)
    factor = 0.75
    assert not reads.unchanged(cell)


def imported_inside(self, z, h):
    import random as dice

    return z * dice.random()


BY_CHANCE = {
    "random": lambda self, z, h: z * random.random(),
    "random, imported by name": lambda self, z, h: z * drawn(),
    "random, imported inside": imported_inside,
    "the clock": lambda self, z, h: z + (time.time() > 1e9),
}


@pytest.mark.parametrize("name", BY_CHANCE)
def test_chance_and_clocks_are_refused(name):
    cell = cell_of(BY_CHANCE[name])(3, 4)
    with pytest.raises(Impure, match="a different number at each call"):
        trace(cell, False, False, Reads(cell))
    assert path_of(cell)[0] == "reference"


class Callable:
    def __call__(self, z):
        return z


UNSEEN = {
    "a list": (lambda self, z, h: z * SCALES[0], r"SCALES, whose contents \(list\) may change unseen"),
    "a list of the cell": (lambda self, z, h: z * self.held[0], r"self\.held, whose contents \(list\)"),
    "an object that is called": (lambda self, z, h: self.called(z), r"it calls self\.called, an object"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_could_change_unseen_is_refused(name):
    function, words = UNSEEN[name]
    cell = cell_of(function, held=[0.5], called=Callable())(3, 4)
    with pytest.raises(Untraceable, match=words):
        trace(cell, False, False, Reads(cell))


def test_a_partial_function_is_what_it_is():
    cell = cell_of(lambda self, z, h: self.act(z), act=functools.partial(F.gelu, approximate="tanh"))(3, 4)
    trace(cell, False, False, Reads(cell))


@pytest.mark.usefixtures("compiler")
def test_a_number_that_changes_all_the_time_ends_on_the_reference(monkeypatch):
    monkeypatch.setattr(compiled, "MOST", 2)
    cell = Attributed(3, 4)
    paths = []
    for alpha in (0.5, 0.6, 0.7, 0.5):
        cell.alpha = alpha
        paths.append(path_of(cell))
    assert [path for path, _ in paths] == ["native", "native", "reference", "native"]
    assert paths[2][1].startswith("self.alpha had 2 values")


@pytest.mark.usefixtures("compiler")
def test_what_is_not_read_is_no_other_program():
    cell = Attributed(3, 4)
    xs = torch.randn(2, 3, 3)
    with use_backend("native"):
        unroll(cell, xs)
        count = sum(map(len, compiled._entries.values()))
        cell.steps_seen = 17
        unroll(cell, xs)
    assert sum(map(len, compiled._entries.values())) == count
