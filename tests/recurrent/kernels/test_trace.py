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
from elman.recurrent.kernels import trace as tracing
from elman.recurrent.kernels.emit import emit
from elman.recurrent.kernels.trace import Untraceable, trace


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
    "one number a row": (cell_of(lambda self, x, r, s: x.a.new_zeros(1)), r"\(1,\), not one number a"),
    "no tensor": (cell_of(lambda self, x, r, s: 0.5), "h has the shape float, not one number a row and unit"),
    "a whole number": (cell_of(lambda self, x, r, s: x.a.to(torch.int64).to(x.a.dtype)), "torch.int64"),
    "numpy": (
        cell_of(lambda self, x, r, s: torch.from_numpy(np.tanh(x.a.numpy()))),
        "it fails on its own: RuntimeError",
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


# What every operation means --------------------------------------------------------------------------------------

# For every key of BUILD a step of (a, b, h) that has torch carry out that operation, forward or backward.
SAMPLES = {
    "mul": lambda a, b, h: a * b,
    "div": lambda a, b, h: a / (b + 3),
    "neg": lambda a, b, h: -a * h,
    "sigmoid": lambda a, b, h: torch.sigmoid(a),
    "tanh": lambda a, b, h: torch.tanh(a),
    "exp": lambda a, b, h: torch.exp(a * b),
    "expm1": lambda a, b, h: torch.expm1(a),
    "log": lambda a, b, h: torch.log(a * a + 1),
    "log1p": lambda a, b, h: torch.log1p(a * a),
    "sqrt": lambda a, b, h: torch.sqrt(a * a + 1),
    "sin": lambda a, b, h: torch.sin(a),
    "cos": lambda a, b, h: torch.cos(a),
    "erf": lambda a, b, h: torch.erf(a),
    "abs": lambda a, b, h: torch.abs(a) * b,
    "sign": lambda a, b, h: torch.sign(a) * b,
    "minimum": lambda a, b, h: torch.minimum(a, b),
    "maximum": lambda a, b, h: torch.maximum(a, b),
    "gt": lambda a, b, h: torch.where(a > b, a, h),
    "lt": lambda a, b, h: torch.where(a < b, a, h),
    "ge": lambda a, b, h: torch.where(a >= 0.1, a, h),
    "le": lambda a, b, h: torch.where(a <= b, a, h),
    "eq": lambda a, b, h: torch.where(torch.sign(a) == torch.sign(b), a, h),
    "ne": lambda a, b, h: torch.where(torch.sign(a) != torch.sign(b), a, h),
    "logical_and": lambda a, b, h: torch.where(torch.logical_and(a > 0, b > 0), a, h),
    "logical_or": lambda a, b, h: torch.where(torch.logical_or(a > 0, b > 0), a, h),
    "logical_not": lambda a, b, h: torch.where(torch.logical_not(a > 0), a, h),
    "bitwise_and": lambda a, b, h: torch.where((a > 0) & (b > 0), a, h),
    "bitwise_or": lambda a, b, h: torch.where((a > 0) | (b > 0), a, h),
    "bitwise_not": lambda a, b, h: torch.where(~(a > 0), a, h),
    "detach": lambda a, b, h: a * b.detach(),
    "alias": lambda a, b, h: a * torch.ops.aten.alias(b),
    "clone": lambda a, b, h: a.clone() * b,
    "_to_copy": lambda a, b, h: (a > 0).to(a.dtype) * b,
    "lift_fresh": lambda a, b, h: a * b + torch.ops.aten.lift_fresh(a),
    "lift_fresh_copy": lambda a, b, h: a * torch.ops.aten.lift_fresh_copy(b),
    "expand": lambda a, b, h: a * b.expand(2, 3),
    "add": lambda a, b, h: torch.add(a, b, alpha=3),
    "sub": lambda a, b, h: torch.sub(a, b, alpha=3),
    "rsub": lambda a, b, h: (1 - a) * b,
    "relu": lambda a, b, h: torch.relu(a) * b,
    "reciprocal": lambda a, b, h: torch.reciprocal(b + 4),
    "rsqrt": lambda a, b, h: torch.rsqrt(a * a + 1),
    "pow": lambda a, b, h: a**3 + (a * a + 1) ** 0.5 + (a * a + 1) ** 1.7,
    "where": lambda a, b, h: torch.where(a > 0, b, h),
    "masked_fill": lambda a, b, h: (a * b).masked_fill(h > 0, 0.7),
    "empty_like": lambda a, b, h: torch.lerp(a, b, torch.sigmoid(h)),
    "lerp": lambda a, b, h: torch.lerp(a, b, torch.sigmoid(h)),
    "addcmul": lambda a, b, h: torch.addcmul(a, b, h, value=2),
    "softplus": lambda a, b, h: F.softplus(a * 20, beta=2, threshold=5) + F.softplus(b),
    "silu": lambda a, b, h: F.silu(a),
    "clamp": lambda a, b, h: torch.clamp(a, -0.5, 0.6) + torch.clamp(b, max=0.2) * torch.clamp(h, min=0.1),
    "clamp_min": lambda a, b, h: torch.clamp_min(a, 0.1) * b,
    "clamp_max": lambda a, b, h: torch.clamp_max(a, 0.1) * b,
    "hardtanh": lambda a, b, h: F.hardtanh(a, -0.4, 0.5),
    "hardsigmoid": lambda a, b, h: F.hardsigmoid(4 * a),
    "elu": lambda a, b, h: F.elu(a, 0.7) + F.selu(b),
    "leaky_relu": lambda a, b, h: F.leaky_relu(a, 0.2),
    "log_sigmoid_forward": lambda a, b, h: F.logsigmoid(a),
    "zeros_like": lambda a, b, h: a + torch.zeros_like(b),
    "new_zeros": lambda a, b, h: torch.maximum(a, b.new_zeros(())),
    "zeros": lambda a, b, h: torch.maximum(a, torch.zeros(2, 3)),
    "ones_like": lambda a, b, h: a * b + torch.ones_like(b),
    "new_ones": lambda a, b, h: a * b + b.new_ones(2, 3),
    "ones": lambda a, b, h: a * b + torch.ones(2, 3),
    "full_like": lambda a, b, h: a * torch.full_like(b, 2.5),
    "scalar_tensor": lambda a, b, h: a * torch.scalar_tensor(2.5),
    "fill": lambda a, b, h: a * torch.fill(b, 2.5),
}
# Backward passes, by the step that has them.
SAMPLES |= {
    "sgn": SAMPLES["abs"],
    "sigmoid_backward": SAMPLES["sigmoid"],
    "tanh_backward": SAMPLES["tanh"],
    "threshold_backward": SAMPLES["relu"],
    "softplus_backward": SAMPLES["softplus"],
    "silu_backward": SAMPLES["silu"],
    "hardtanh_backward": SAMPLES["hardtanh"],
    "hardsigmoid_backward": SAMPLES["hardsigmoid"],
    "elu_backward": SAMPLES["elu"],
    "leaky_relu_backward": SAMPLES["leaky_relu"],
    "log_sigmoid_backward": SAMPLES["log_sigmoid_forward"],
}


def test_every_operation_has_a_sample():
    assert set(SAMPLES) == set(tracing.BUILD)


@pytest.mark.parametrize("name", tracing.BUILD)
def test_value_and_gradient_of_an_operation_are_torchs(name, evaluate, monkeypatch):
    used, build = set(), dict(tracing.BUILD)

    class Watched(dict):
        def get(self, key, default=None):
            used.add(key)
            return super().get(key, default)

    monkeypatch.setattr(tracing, "BUILD", Watched(build))
    sample = SAMPLES[name]
    traced = trace(cell_of(lambda self, x, r, s: sample(x.a, x.b, s.h), recurrent=())(3, 4), False, False)
    assert name in used, f"the sample of {name} has torch do {sorted(used)}"
    torch.manual_seed(1)
    a, b, h, d = (torch.randn(2, 3, dtype=torch.float64) for _ in range(4))
    inputs = {("x", 0): a, ("x", 1): b, ("s", 0): h, ("dafter", 0): d}
    inputs = {key: value.numpy().copy() for key, value in inputs.items()}
    inputs |= {("dy", 0): np.zeros((2, 3)), ("dq", 0): np.zeros((2, 3))}
    got = evaluate([traced.after[0], *traced.dx, *traced.dbefore], inputs)
    leaves = [v.requires_grad_() for v in (a, b, h)]
    value = sample(a, b, h)
    grads = torch.autograd.grad(value, leaves, d, materialize_grads=True, allow_unused=True)
    close = 1e-7 if name.startswith("hardsigmoid") else 1e-12  # torch has a sixth there in float32, in float64 too
    for found, expected in zip(got, [value, *grads], strict=True):
        np.testing.assert_allclose(np.broadcast_to(found, (2, 3)), expected.detach().numpy(), rtol=close, atol=close)


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
