"""What a step may do is traced with its derivative; what it may not do is named."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman.recurrent import CELLS, Cell, gate, unroll
from elman.recurrent.backend import path_of, use_backend
from elman.recurrent.kernels.emit import emit
from elman.recurrent.kernels.refusal import Impure, Untraceable
from elman.recurrent.kernels.trace import trace


def cell_of(function, **attributes):
    """A cell whose new h is function(self, x, r, s)."""

    def step(self, s, x, r):
        return self.State(function(self, x, r, s))

    return type("Mine", (Cell,), {"gates": ("a", "b"), "step": step, **attributes})


# What stands in the way is named ---------------------------------------------------------------------------------


class WithTensor(Cell):
    gates = ("a",)

    def __init__(self, *sizes, delays=1):
        super().__init__(*sizes, delays=delays)
        self.scale = torch.tensor(0.5)

    def step(self, s, x, r):
        return self.State(h=torch.tanh(x.a + r.a) * self.scale)


class WithBuffer(WithTensor):
    def __init__(self, *sizes, delays=1):
        Cell.__init__(self, *sizes, delays=delays)
        self.register_buffer("scale", torch.tensor(0.5))


class WithLinear(Cell):
    gates = ("a",)

    def __init__(self, *sizes, delays=1):
        super().__init__(*sizes, delays=delays)
        self.deep = nn.Linear(self.hidden_size, self.hidden_size)

    def step(self, s, x, r):
        return self.State(h=torch.tanh(self.deep(x.a + r.a)))


def wide_output(self, s):
    return torch.cat([s.h, s.h], -1)


def branch(self, x, r, s):
    return x.a + r.a if x.a.sum() > 0 else x.b + r.b


def assigned(self, x, r, s):
    h = x.a + r.a
    h[:, 0] = 0.0
    return h


UNFIT = {
    "a sum over the row": (cell_of(lambda self, x, r, s: x.a.sum(-1, keepdim=True) + r.b), r"aten\.sum"),
    "a mean": (cell_of(lambda self, x, r, s: x.a - x.a.mean()), r"aten\.mean"),
    "a softmax": (cell_of(lambda self, x, r, s: torch.softmax(x.a, -1)), r"aten\._softmax"),
    "a branch on data": (cell_of(branch), r"aten\.sum|control flow on data"),
    "a branch on a number": (
        cell_of(lambda self, x, r, s: x.a if bool((x.a > 0).all()) else r.b),
        r"aten\.all|control flow on data",
    ),
    "item": (cell_of(lambda self, x, r, s: x.a * x.b[0, 0].item()), r"aten\.(select|_local_scalar_dense)"),
    "a slice": (cell_of(lambda self, x, r, s: torch.cat([x.a[:, :1], r.b[:, 1:]], -1)), r"aten\.slice"),
    "a part assigned": (cell_of(assigned), r"aten\.(slice|select)|reads a tensor \(\)"),
    "a roll": (cell_of(lambda self, x, r, s: torch.roll(x.a, 1, -1)), r"aten\.roll"),
    "a product": (cell_of(lambda self, x, r, s: x.a @ x.b.T), r"aten\.(mm|t|permute)\b"),
    "dropout": (cell_of(lambda self, x, r, s: F.dropout(x.a + r.a, 0.5, True)), r"aten\.(native_dropout|bernoulli_)"),
    "noise": (cell_of(lambda self, x, r, s: x.a + torch.rand_like(r.a)), r"aten\.rand"),
    "a tensor attribute": (WithTensor, r"reads a tensor \(\) that is neither state, gate nor one of `vectors`"),
    "a buffer": (WithBuffer, "no attribute 'scale'"),
    "W in the step": (cell_of(lambda self, x, r, s: x.a * self.W[0, 0]), "no attribute 'W'"),
    "a layer in the step": (WithLinear, "no attribute 'deep'"),
    "a wide output": (
        cell_of(lambda self, x, r, s: x.a + r.b, output=wide_output),
        r"aten\.cat|output\(s\) has the shape",
    ),
    "one number a row": (cell_of(lambda self, x, r, s: x.a.new_zeros(1)), r"\(1,\), not one number per"),
    "no gradient": (cell_of(lambda self, x, r, s: torch.sign(x.a.detach())), "nothing that it computes has a gradient"),
    "no tensor": (cell_of(lambda self, x, r, s: 0.5), "h has the shape float, not one number per row and unit"),
    "a whole number": (cell_of(lambda self, x, r, s: x.a.to(torch.int64).to(x.a.dtype)), "torch.int64"),
    "numpy": (
        cell_of(lambda self, x, r, s: torch.from_numpy(np.tanh(x.a.numpy()))),
        "it fails when run by itself: RuntimeError",
    ),
    "an error": (cell_of(lambda self, x, r, s: x.c), "no attribute 'c'"),
    "a sort": (cell_of(lambda self, x, r, s: x.a.sort(-1).values), r"aten\.sort"),
    "a running sum": (cell_of(lambda self, x, r, s: x.a.cumsum(-1)), r"aten\.cumsum"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_traced_is_named(case):
    kind, words = UNFIT[case]
    with pytest.raises(Untraceable, match=words):
        trace(kind(3, 4), False, False)
    path, why = path_of(kind(3, 4))
    assert path == "reference" and why


# What is not one function of its arguments --------------------------------------------------------------------------

IMPURE = {
    "the number of rows": (lambda self, x, r, s: x.a / x.a.shape[0], "how many rows"),
    "the number of rows as a length": (lambda self, x, r, s: x.a / len(x.a), "how many rows"),
    "how many numbers there are": (lambda self, x, r, s: x.a * x.a.numel(), "how many rows"),
    "the length of a vector, which is a row here": (lambda self, x, r, s: x.a / self.v.shape[0], "how many rows"),
    "chance that nobody named": (lambda self, x, r, s: x.a * hidden_chance(), "from one call to the next"),
}


def hidden_chance(generator=np.random.default_rng(0)):  # noqa: B008
    return float(generator.random())


@pytest.mark.parametrize("case", IMPURE)
def test_a_step_that_is_another_each_time(case):
    function, words = IMPURE[case]
    with pytest.raises(Impure, match=words):
        trace(cell_of(function, vectors=("v",))(3, 4), False, False)


@pytest.mark.parametrize("read", [lambda z: z.shape[1], lambda z: z.size(-1), lambda z: tuple(z.shape)[-1]])
@pytest.mark.usefixtures("compiler")
def test_the_width_is_that_of_the_cell(read):
    """It was that of the trace: with 8 units the value was two thirds off, and nothing said so."""
    kind = cell_of(lambda self, x, r, s: torch.tanh(x.a + r.b) / read(x.a) ** 0.5)
    for hidden in (8, 5):
        cell, xs = kind(3, hidden), torch.randn(2, 4, 3)
        with use_backend("native"):
            ys, _ = unroll(cell, xs)
        with use_backend("reference"):
            torch.testing.assert_close(ys, unroll(cell, xs)[0], rtol=1e-6, atol=1e-6)


# What is followed ------------------------------------------------------------------------------------------------


def test_masks_zoneout_and_the_readers_of_the_state(evaluate):
    """q = mask * recur(s'), y = output(s'), s' = z * s + (1 - z) * step; and the way back of all three."""
    State = namedtuple("State", "h c")

    class Both(Cell):
        gates = ("a",)
        vectors = ("v",)

        def step(self, s, x, r):
            c = torch.tanh(x.a + r.a) * s.c + self.v
            return self.State(h=torch.sigmoid(c) * s.h, c=c)

        def recur(self, s):
            return s.h * s.c

        def output(self, s):
            return s.h - s.c

    Both.State = State
    traced = trace(Both(3, 4), True, True)
    torch.manual_seed(2)
    names = [("x", 0), ("r", 0), ("s", 0), ("s", 1), ("p", 0), ("mask", 0), ("noise", 0), ("noise", 1)]
    names += [("dafter", 0), ("dafter", 1), ("dy", 0), ("dq", 0)]
    values = {name: torch.randn(2, 3, dtype=torch.float64) for name in names}
    got = evaluate(
        [*traced.after, traced.y, traced.q, *traced.dx, *traced.dr, *traced.dvectors, *traced.dbefore],
        {name: value.numpy() for name, value in values.items()},
    )
    x, r, h, c, v, mask, z, w, dh, dc, dy, dq = (value.requires_grad_() for value in values.values())
    new_c = w * c + (1 - w) * (torch.tanh(x + r) * c + v)
    new_h = z * h + (1 - z) * torch.sigmoid(torch.tanh(x + r) * c + v) * h
    results = [new_h, new_c, new_h - new_c, mask * new_h * new_c]
    grads = torch.autograd.grad(results, [x, r, v, h, c], [dh, dc, dy, dq])
    for found, expected in zip(got, [*results, *grads], strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_names_of_gates_come_along():
    kind = cell_of(lambda self, x, r, s: gate("keep", torch.sigmoid(x.a + r.a)) * s.h + gate("no name", x.b + r.b))
    cell = kind(3, 4)
    traced = trace(cell, False, False)
    assert (
        set(traced.graph.names.values()) == {"keep"}
        and "const V keep_ = sigmoid(" in emit(cell, traced, False, False).source
    )


@pytest.mark.parametrize("name", CELLS)
def test_tracing_leaves_the_cell_alone(name):
    cell = CELLS[name](3, 4)
    if type(cell).R is not Cell.R:
        return
    before, held = torch.get_rng_state(), {k: v.clone() for k, v in cell.state_dict().items()}
    attributes = {k: id(v) for k, v in vars(cell).items()}
    with torch.no_grad():
        traced = trace(cell, False, False)
    assert any(node.op != "const" for node in traced.dx), "the derivative is there in no_grad too"
    assert torch.equal(torch.get_rng_state(), before) and {k: id(v) for k, v in vars(cell).items()} == attributes
    assert all(torch.equal(v, held[k]) for k, v in cell.state_dict().items())
    assert all(p.grad is None for p in cell.parameters())


class Leaky(Cell):
    """A plain attribute in the equation."""

    gates = ("z",)

    def __init__(self, *sizes, delays=1):
        super().__init__(*sizes, delays=delays)
        self.alpha = 0.5

    def step(self, s, x, r):
        return self.State(h=self.alpha * s.h + (1 - self.alpha) * torch.tanh(x.z + r.z))


@pytest.mark.usefixtures("compiler")
def test_another_attribute_is_another_equation():
    torch.manual_seed(3)
    cell, x = Leaky(3, 4).double(), torch.randn(2, 6, 3, dtype=torch.float64)
    found = []
    for alpha in (0.5, 0.125, 0.5):
        cell.alpha = alpha
        with use_backend("native"):
            ys, _ = unroll(cell, x)
        with use_backend("reference"):
            torch.testing.assert_close(ys, unroll(cell, x)[0], rtol=1e-12, atol=1e-12)
        found.append(ys)
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
