"""Every overload that the compiled path knows, with its arguments, against torch: values and gradients, also where they
are not finite, at zeros and at ties."""

from __future__ import annotations

import itertools
import random
from collections import namedtuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.recurrent import Cell, unroll
from elman.recurrent.backend import use_backend
from elman.recurrent.kernels import aten
from elman.recurrent.kernels import trace as tracing
from elman.recurrent.kernels.graph import evaluate
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import trace
from elman.recurrent.kernels.verify import verify_trace

SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 1.5, -2.5, 1e-3, 20.0, -20.0, 90.0, -90.0, 1e4]
SPECIAL += [float("inf"), float("-inf"), float("nan")]
PAIRS = list(itertools.product(SPECIAL, SPECIAL))
PAIRS += PAIRS[: -len(PAIRS) % 64]  # whole vectors: for what is left over some of torch's kernels take NaN otherwise
PAIRS = torch.tensor(PAIRS, dtype=torch.float64)
SCALARS = (-2.0, -1, 0, 0.5, 1, 2, 3.0)
WORDS = {"rounding_mode": (None, "floor", "trunc"), "approximate": ("none", "tanh")}
# What is not to be drawn freely: how a call is written, and what torch itself refuses or leaves undefined.
CHOICES = {
    ("softplus", "beta"): (1, 0.5, 2.0),
    ("softplus", "threshold"): (20, 2.0),
    ("softplus_backward", "beta"): (1, 0.5, 2.0),
    ("softplus_backward", "threshold"): (20, 2.0),
    ("hardshrink", "lambd"): (0.5, 1.0),
    ("hardshrink_backward", "lambd"): (0.5, 1.0),
    ("softshrink", "lambd"): (0.5, 1.0, 0),
    ("softshrink_backward", "lambd"): (0.5, 1.0),
    ("elu", "alpha"): (1, 0.5, 2.0),
    ("elu", "scale"): (1, 1.5),
    ("elu", "input_scale"): (1, 0.5),
    ("elu_backward", "alpha"): (1, 0.5, 2.0),
    ("elu_backward", "scale"): (1, 1.5),
    ("elu_backward", "input_scale"): (1, 0.5),
    ("celu", "alpha"): (1, 0.5, 2.0),
    ("leaky_relu", "negative_slope"): (0.01, 0.5, 2),
    ("leaky_relu_backward", "negative_slope"): (0.01, 0.5),
    ("leaky_relu_backward", "self_is_result"): (False, True),
    ("hardtanh", "min_val"): (-1, -0.5),
    ("hardtanh", "max_val"): (1, 2.0),
    ("hardtanh_backward", "min_val"): (-1, -0.5),
    ("hardtanh_backward", "max_val"): (1, 2.0),
    ("nan_to_num", "nan"): (None, 2.0),
    ("nan_to_num", "posinf"): (3.0,),
    ("nan_to_num", "neginf"): (-3.0,),
}
TRUTHS = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")  # of truth values only
MADE_OF_SIZES = ("zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "expand", "view", "_unsafe_view")
LEFT_OUT = {
    "empty_like.": "gives whatever was in memory",
    "remainder.Scalar_Tensor": "torch has no derivative for it",
    "_to_copy.": "what a change of type does, below",
    "lift_fresh.": "not an operation that autograd follows",
}


def overload(key):
    name, kind = key.split(".")
    return getattr(getattr(torch.ops.aten, name), kind or "default")


def choices(name, argument, tensors):
    """The values that one argument is tried with; of a tensor, the index of an operand."""
    kind = str(argument.type)
    if (name, argument.name) in CHOICES:
        return CHOICES[name, argument.name]
    if argument.name in WORDS:
        return WORDS[argument.name]
    if "Tensor" in kind:
        return (next(tensors),)
    if kind in ("number", "float", "Optional[number]", "Optional[float]"):
        return (*SCALARS, None) if kind.startswith("Optional") else SCALARS
    if kind == "bool":
        return (False, True)
    if kind in ("List[int]", "List[SymInt]"):
        return ("size",)
    raise AssertionError(f"{name}: an argument of type {kind}")


def cases():
    """(row, positional arguments, keyword arguments): operands stand as "a", "b", "c"; a mask as "m"."""
    made = []
    for key in aten.ROWS:
        if key in LEFT_OUT:
            continue
        function, name = overload(key), key.split(".")[0]
        operands = itertools.chain("abc", "abc")
        arguments = [a for a in function._schema.arguments if a.name not in aten.ABOUT_RESULT]
        values = []
        for argument in arguments:
            options = choices(name, argument, operands)
            if argument.name in ("mask", "condition"):
                options = ("m",)
            values.append(options)
        for chosen in itertools.product(*values):
            if name == "clamp" and chosen[1:] == (None, None):  # refused by torch
                continue
            fixed = [v for v, a in zip(chosen, arguments, strict=True) if not a.kwarg_only]
            named = {a.name: v for v, a in zip(chosen, arguments, strict=True) if a.kwarg_only}
            made.append((key, tuple(fixed), named))
    return made


CASES = cases()


def called(function, a, b, fixed, named, detached=False):
    """The call on operands a and b. The third is made of them; truth values where only those will do."""
    name = function._schema.name.removeprefix("aten::").removesuffix("_")
    operands = {"a": a, "b": b, "c": 2 * a - b, "m": a > b, "size": list(a.shape)}
    if name in TRUTHS:
        operands |= {"a": a > 0, "b": b > 0}
    if name == "masked_fill" and function._schema.overload_name == "Tensor":
        operands["b"] = operands["c"] = torch.scalar_tensor(2.5, dtype=a.dtype)
    if name == "fill" and function._schema.overload_name == "Tensor":
        operands["b"] = torch.scalar_tensor(2.5, dtype=a.dtype)
    if detached:
        operands = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in operands.items()}
    if function._schema.name.endswith("_"):
        operands["a"] = operands["a"].clone()
    take = {k: operands[v] if isinstance(v, str) and v in operands else v for k, v in enumerate(fixed)}
    if name == "scalar_tensor":
        return function(*take.values(), dtype=a.dtype) * a
    options = {"dtype": a.dtype} if name in ("zeros", "ones", "full") else {}
    result = function(*take.values(), **named, **options)
    return result[0] if isinstance(result, tuple) else result


def cell_of(function):
    State = namedtuple("State", "h k")

    def step(self, s, x, r):
        return self.State(function(x.a, x.b), x.a + x.b)  # the second, because some operations have no gradient

    return type("Mine", (Cell,), {"gates": ("a", "b"), "recurrent": (), "State": State, "step": step})(3, 4)


def compare(step, where):
    """The traced step on every pair of special numbers, against torch."""
    traced = trace(cell_of(step), False, False)
    a, b = (PAIRS[:, i : i + 1].clone().requires_grad_() for i in range(2))
    value = step(a, b)
    weight = torch.linspace(-1, 2, len(PAIRS), dtype=torch.float64)[:, None]
    value = value.expand_as(a).double()
    grads = [torch.zeros_like(a), torch.zeros_like(b)]
    if value.requires_grad:
        grads = torch.autograd.grad(value, [a, b], weight, allow_unused=True, materialize_grads=True)
    inputs = {("x", 0): a.detach(), ("x", 1): b.detach(), ("dafter", 0): weight}
    inputs |= {key: torch.zeros_like(weight) for key in (("s", 0), ("s", 1), ("dafter", 1), ("dy", 0), ("dq", 0))}
    got = evaluate([traced.after[0], *traced.dx], inputs)
    for name, found, expected in zip(("value", "da", "db"), got, [value, *grads], strict=True):
        found, expected = found.expand_as(a).double(), expected.detach()
        wrong = ~torch.isclose(found, expected, rtol=1e-6, atol=1e-9, equal_nan=True).flatten()
        first = [value[wrong][:4].tolist() for value in (PAIRS, found, expected)]
        assert not wrong.any(), f"{where}: {name} at {first[0]} is {first[1]}, in torch {first[2]}"


def differentiable(step):
    a, b = (torch.full((2, 1), v, dtype=torch.float64, requires_grad=True) for v in (0.3, 0.7))
    try:
        value = step(a, b)
        if value.requires_grad:
            torch.autograd.grad(value.sum(), [a, b], allow_unused=True)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("key", dict.fromkeys(key for key, *_ in CASES))
def test_every_overload_with_every_argument(key, monkeypatch):
    used, rows = set(), dict(aten.ROWS)

    class Watched(dict):
        def get(self, name, default=None):
            used.add(name)
            return super().get(name, default)

    monkeypatch.setattr(tracing, "ROWS", Watched(rows))
    mine = [(fixed, named) for name, fixed, named in CASES if name == key]
    assert mine
    for fixed, named in mine:
        function = overload(key)
        apart = not differentiable(lambda a, b: called(function, a, b, fixed, named))  # noqa: B023

        def step(a, b):
            value = called(function, a, b, fixed, named, apart)  # noqa: B023
            value = value.to(a.dtype) if value.dtype == torch.bool else value
            return value if value.shape == a.shape else value * torch.ones_like(a)

        compare(step, f"{key} {fixed} {named}")
    assert key in used, f"torch does {sorted(used)} for {key}"


def in_place_overloads():
    """(row, the overload that changes its first argument)."""
    for key in dict.fromkeys(key for key, *_ in CASES):
        name, kind = key.split(".")
        packet = getattr(torch.ops.aten, f"{name}_", None)
        if packet is not None and (kind or "default") in packet.overloads() and f"{name}_.{kind}" not in aten.IN_PLACE:
            yield key, getattr(packet, kind or "default")
    for name, key in aten.IN_PLACE.items():
        packet, kind = name.split(".")
        yield key, getattr(getattr(torch.ops.aten, packet), kind)


@pytest.mark.parametrize(
    ("key", "function"), list(in_place_overloads()), ids=lambda value: str(value).removeprefix("aten.")
)
def test_in_place(key, function):
    fixed, named = next((fixed, named) for name, fixed, named in CASES if name == key)
    apart = not differentiable(lambda a, b: called(function, a, b, fixed, named))

    def step(a, b):
        value = called(function, a, b, fixed, named, apart)
        value = value.to(a.dtype) if value.dtype == torch.bool else value
        return value if value.shape == a.shape else value * torch.ones_like(a)

    compare(step, f"{key} in place {fixed} {named}")


STEPS = {
    "a mask times a number": lambda a, b: (a > b) * torch.tanh(a),
    "masks combined": lambda a, b: torch.where((a > 0) & (b < 0.5) | (a == b), a, b),
    "masks multiplied and added": lambda a, b: ((a > 0) * (b > 0)) * a + ((a > 1) + (b > 1)) * b,
    "one or the other": lambda a, b: ((a > 0) ^ (b > 0)) * a,
    "masks compared": lambda a, b: torch.where((a > 0) == (b > 0), a, b),
    "a choice of masks": lambda a, b: torch.where(a > 0, a > 1, b > 1) * b,
    "a mask as numbers": lambda a, b: (a > 0).to(a.dtype) * b - (b > 0).to(a.dtype),
    "numbers as a mask": lambda a, b: torch.where(a.bool(), a, b),
    "numbers in logic": lambda a, b: torch.logical_and(a, b) * a,
    "a mask changed in place": lambda a, b: (a > 0).logical_and_(b > 0) * a,
    "a comparison in place": lambda a, b: a.clone().gt_(0.5) * b,
    "filled": lambda a, b: (a * b).masked_fill(a > b, 0.7),
    "copied in": lambda a, b: torch.zeros_like(a).copy_(b) * a,
    "constants": lambda a, b: a * torch.full_like(a, 2.5) + torch.ones(a.shape, dtype=a.dtype),
    "selu, relu6": lambda a, b: torch.selu(a) + torch.nn.functional.relu6(b),
    "a square in place": lambda a, b: (a * 1).square_() * b,
    "power of a number": lambda a, b: 2**a + b**2,
    "noncontiguous": lambda a, b: a.expand(a.shape).contiguous() * b,
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step(name):
    compare(STEPS[name], name)


REFUSED = {
    "rounding to digits": (lambda a, b: torch.round(a, decimals=2), r"aten\.round\.decimals: not an elementwise"),
    "whole numbers": (lambda a, b: (a > b) * 2 * a, r"gives torch\.int64, not the cell's precision; write 1\.0"),
    "another precision": (lambda a, b: a.double().to(a.dtype), r"gives torch\.float64"),
    "half precision": (lambda a, b: a.half().to(a.dtype), r"gives torch\.float16"),
    "a complex number": (lambda a, b: (a * 1j).real, r"complex64"),
    "a number too small": (lambda a, b: a / (b + 1e-40), "1e-40 is beyond the range of float32"),
    "a number too large": (lambda a, b: torch.where(a < 1e39, a, b), "beyond the range of float32"),
    "out=": (lambda a, b: torch.add(a.detach(), b.detach(), out=torch.zeros_like(a)), r"aten\.add\.out"),
    "nan_to_num": (lambda a, b: torch.nan_to_num(a), "depends on the precision"),
    "the largest of two masks": (lambda a, b: torch.maximum(a > 0, b > 0) * a, "gives truth values"),
    "a value asked for": (lambda a, b: a if torch.equal(a, b) else b, "control flow on data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    step, words = REFUSED[name]
    with pytest.raises(Untraceable, match=words):
        trace(cell_of(step), False, False)


# Steps made of all of them -------------------------------------------------------------------------------------------

PLAIN_CASES = [case for case in CASES if "backward" not in case[0]]


def one_call(index, a, b):
    key, fixed, named = PLAIN_CASES[index]
    value = called(overload(key), a, b, fixed, named, detached=index in APART)
    value = value.to(a.dtype) if value.dtype == torch.bool else value
    return value if value.shape == a.shape else value * torch.ones_like(a)


one_call.__module__ = "torch"  # so that its tables, which do not change, may be lists and dicts


class Drawn(Cell):
    """A step of calls drawn at random, each on values that were there before. An attribute and `training` are read."""

    State = namedtuple("State", "h c")
    gates = ("a", "b")

    def __init__(self, *sizes, delays=1):
        super().__init__(*sizes, delays=delays)
        self.scale, self.calls = 0.5, ()

    def step(self, s, x, r):
        pool = [x.a + r.a, x.b * self.scale, s.h, torch.tanh(s.c + r.b), x.a / x.a.shape[1]]
        for index, first, second in self.calls:
            a = pool[first % len(pool)]
            value = one_call(index, a, pool[second % len(pool)])
            pool.append(torch.where(value.abs() < 8, value, a))  # NaN, too, gives way to a
        h, c = sum(pool[5::2], pool[0]), sum(pool[6::2], pool[3])
        return self.State(torch.tanh(h), torch.tanh(c) if self.training else torch.sigmoid(c))


APART = {
    index
    for index, (key, fixed, named) in enumerate(PLAIN_CASES)
    if not differentiable(lambda a, b: called(overload(key), a, b, fixed, named))  # noqa: B023
}
CALLS = st.lists(st.tuples(st.integers(0, len(PLAIN_CASES) - 1), st.integers(0, 9), st.integers(0, 9)), max_size=10)


def drawn(calls, hidden):
    cell = Drawn(3, hidden).double()
    cell.calls = tuple(calls)
    return cell


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls=CALLS, hidden=st.integers(1, 5), training=st.booleans(), scale=st.sampled_from([0.5, -2.0]))
def test_a_drawn_step_is_traced_as_it_runs(calls, hidden, training, scale):
    cell = drawn(calls, hidden).train(training)
    cell.scale = scale
    verify_trace(cell, trace(cell, False, False), False, False)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("compiler")
def test_a_drawn_step_compiled(seed):
    """Both paths in float64, over several widths and numbers of rows; again with another attribute, in evaluation."""
    draw = random.Random(seed)
    calls = [(draw.randrange(len(PLAIN_CASES)), draw.randrange(20), draw.randrange(20)) for _ in range(24)]
    torch.manual_seed(seed)
    for hidden, rows in ((1, 3), (17, 1), (4, 6)):
        cell = drawn(calls, hidden)
        for change in ((), (("scale", -1.5), ("training", False))) if hidden == 4 else ((),):
            for name, value in change:
                setattr(cell, name, value)
            x = (torch.randn(rows, 4, 3, dtype=torch.float64) * 2).round(decimals=1).requires_grad_()
            results = []
            for backend in ("native", "reference"):
                with use_backend(backend):
                    ys, (h, c) = unroll(cell, x)
                weights = [torch.linspace(-1, 1, v.numel(), dtype=torch.float64).view_as(v) for v in (ys, h, c)]
                loss = sum((v * w).sum() for v, w in zip((ys, h, c), weights, strict=True))
                results.append([ys, h, c, *torch.autograd.grad(loss, [x, *cell.parameters()])])
            for got, expected in zip(*results, strict=True):
                torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8, equal_nan=True)
