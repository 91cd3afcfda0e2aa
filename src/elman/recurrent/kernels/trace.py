"""A cell's `step`, followed once on small tensors, as a graph; and its vector-Jacobian product, as torch derives it.

The step runs on tensors of two rows while every operation that torch carries out, forward and in `autograd.grad`, is
written down. No derivative is written by hand here: `BUILD` only says what torch's operations mean."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from elman.recurrent.cell import Cell, listen_to_gates
from elman.recurrent.kernels.graph import Graph, Node

ROWS, UNITS = 2, 3  # of the trial; any shapes that differ from each other do


class Untraceable(Exception):
    """Why a cell cannot be compiled, in words for the user."""


@dataclass(frozen=True)
class Trace:
    """One step of a cell and its vector-Jacobian product.

    after, y, q: the new state by field, the output, and what U multiplies at the next step
    dx, dr, dvectors, dbefore: the gradients of x and r by gate, of the vectors by name, and of the old state by field,
    given those of after, y and q (inputs "dafter", "dy", "dq")."""

    graph: Graph
    after: list[Node]
    y: Node
    q: Node
    dx: list[Node]
    dr: list[Node]
    dvectors: list[Node]
    dbefore: list[Node]


def vector_names(cell: Cell) -> list[str]:
    """Per-unit parameters that the step reads: `vectors`, then a `c` block for every gate of recurrent_bias."""
    return [*cell.vectors, *(f"c.{name}" for name in cell.recurrent_bias)]


def trace(cell: Cell, masked: bool, zoneout: bool) -> Trace:
    """Follow one step of a cell that fits. masked: a mask multiplies what U sees. zoneout: a share of each old state
    field is kept. Raises Untraceable, naming what stands in the way."""
    with torch.inference_mode(False):  # the first call may well be a prediction
        return _trace(cell, masked, zoneout)


def _trace(cell: Cell, masked: bool, zoneout: bool) -> Trace:
    generator = torch.Generator().manual_seed(1)

    def fresh(count: int) -> list[Tensor]:
        return [torch.rand(ROWS, UNITS, generator=generator).add_(0.25).requires_grad_() for _ in range(count)]

    names = vector_names(cell)
    x, r, s = fresh(len(cell.gates)), fresh(len(cell._Rec._fields)), fresh(len(cell.State._fields))
    p, mask, noise = fresh(len(names)), fresh(1), fresh(len(s) if zoneout else 0)
    groups = {"x": x, "r": r, "s": s, "p": p, "mask": mask, "noise": noise}
    recorder = _Recorder(groups)
    shadow = _shadow(cell, dict(zip(names, p, strict=True)))
    try:
        with torch.enable_grad(), recorder, listen_to_gates(recorder.name):
            rec: Any = cell._Rec(*r) if r else None
            for name in cell.recurrent_bias:
                rec = rec._replace(**{name: getattr(rec, name) + p[names.index(f"c.{name}")]})
            before = cell.State(*s)
            after = shadow.step(before, cell._X(*x), rec)
            if zoneout:
                mixed = [z * old + (1 - z) * new for z, old, new in zip(noise, before, after, strict=True)]
                after = cell.State(*mixed)
            q = shadow.recur(after) if r else after[0]
            y = shadow.output(after)
            if masked:
                q = q * mask[0]
        outputs = [*after, y, q]
        for value, what in zip(outputs, [*cell.State._fields, "output(s)", "recur(s)"], strict=True):
            if not isinstance(value, Tensor) or value.shape != (ROWS, UNITS):
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise Untraceable(f"{what} has the shape {shape}, not one number a row and unit")
        values = [recorder.node(value) for value in outputs]
        with torch.enable_grad():
            dafter, dy, dq = ([torch.ones(ROWS, UNITS) for _ in range(count)] for count in (len(s), 1, 1))
            for kind, tensors in (("dafter", dafter), ("dy", dy), ("dq", dq)):
                for i, value in enumerate(tensors):
                    recorder.input(value, kind, i)
            # the same as handing the gradients over, for which torch would first import a computer algebra system
            parts = [(v * d).sum() for v, d in zip(outputs, [*dafter, *dy, *dq], strict=True)]
            total = sum(parts[1:], parts[0])
            recorder.input(total, "total", 0)
            with recorder:
                found = torch.autograd.grad(total, [*x, *r, *p, *s], allow_unused=True)
    except Untraceable:
        raise
    except Exception as problem:
        raise Untraceable(f"it fails on its own: {type(problem).__name__}: {problem}") from problem
    grads = [recorder.graph.const(0) if g is None else recorder.node(g) for g in found]
    ends = [len(x), len(x) + len(r), len(x) + len(r) + len(p)]
    n = len(s)
    return Trace(
        recorder.graph,
        after=values[:n],
        y=values[n],
        q=values[n + 1],
        dx=grads[: ends[0]],
        dr=grads[ends[0] : ends[1]],
        dvectors=grads[ends[1] : ends[2]],
        dbefore=grads[ends[2] :],
    )


def _shadow(cell: Cell, vectors: dict[str, Tensor]) -> Cell:
    """The cell without parameters but with these in place of its vectors, one number a row and unit."""
    shadow = copy.copy(cell)
    shadow.__dict__ = {k: v for k, v in cell.__dict__.items() if k not in ("_parameters", "_buffers", "_modules")}
    shadow.__dict__.update(_parameters={}, _buffers={}, _modules={})
    shadow.__dict__.update({name: value for name, value in vectors.items() if "." not in name})
    return shadow


class _Recorder(TorchDispatchMode):
    """Writes down what torch does, by the memory that holds each value."""

    def __init__(self, groups: dict[str, list[Tensor]]) -> None:
        super().__init__()
        self.graph = Graph()
        self._nodes: dict[int, Node] = {}
        self._alive: list[Tensor] = []  # so that no address is used twice
        for kind, tensors in groups.items():
            for i, value in enumerate(tensors):
                self.input(value, kind, i)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch would import its compiler, a second and a half, only to keep out of it

    def input(self, value: Tensor, kind: str, index: int) -> None:
        self._alive.append(value)
        self._nodes[value.untyped_storage().data_ptr()] = self.graph.input(kind, index)

    def name(self, name: str, value: Tensor) -> None:
        if name.isidentifier():
            self.graph.names.setdefault(self.node(value), name)

    def node(self, value: Any) -> Node:
        if not isinstance(value, Tensor):
            return self.graph.const(value)
        known = self._nodes.get(value.untyped_storage().data_ptr())
        if known is not None:
            return known
        raise Untraceable(f"it reads a tensor {tuple(value.shape)} that is neither state, gate nor one of `vectors`")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name in ("_local_scalar_dense", "is_nonzero", "item", "equal"):
            raise Untraceable(f"control flow on data (aten.{name}): the step asks for the value of a tensor")
        if any(isinstance(a, Tensor) and a.device.type != "cpu" for a in args):
            raise Untraceable("it makes tensors on another device")
        returned = func(*args, **kwargs)
        # what else an operation returns is for its own backward pass, which BUILD writes without it
        result = returned[0] if isinstance(returned, tuple) and returned else returned
        out = name.removesuffix("_") if not name.startswith("_") and name.endswith("_") else name
        build = BUILD.get(out)
        if build is None:
            raise Untraceable(f"aten.{name}: no elementwise operation that the compiled path knows")
        if not isinstance(result, Tensor) or tuple(result.shape) not in ((ROWS, UNITS), ()):
            raise Untraceable(f"aten.{name}: gives {tuple(getattr(result, 'shape', ()))}, not one number a unit")
        node = build(self.graph, *(self._argument(a) for a in args), **_settings(kwargs))
        for value in returned if isinstance(returned, tuple) else (returned,):
            self._alive.append(value)
            self._nodes[value.untyped_storage().data_ptr()] = node
        return returned

    def _argument(self, value: Any) -> Any:
        return self.node(value) if isinstance(value, Tensor) else value


def _settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments that change what is computed."""
    return {k: v for k, v in kwargs.items() if k in ("alpha", "value", "approximate", "min", "max", "dtype")}


# What torch's operations mean, in those of graph.CPP. Each takes the graph and torch's arguments in torch's order. ----

Build = Callable[..., Node]


def _scaled(g: Graph, b: Any, alpha: float) -> Any:
    return b if alpha == 1 else g("mul", b, alpha)


def _one_minus(g: Graph, a: Any) -> Node:
    return g("sub", 1.0, a)


def _softplus(g: Graph, a: Any, beta: float = 1, threshold: float = 20) -> Node:
    z = g("mul", a, beta)
    soft = g("log1p", g("exp", g("minimum", z, threshold)))
    return g("where", g("gt", z, threshold), a, soft if beta == 1 else g("div", soft, beta))


def _softplus_backward(g: Graph, d: Any, a: Any, beta: float, threshold: float) -> Node:
    z = g("mul", a, beta)
    return g("where", g("gt", z, threshold), d, g("mul", d, g("sigmoid", z)))


def _log_sigmoid(g: Graph, a: Any) -> Node:
    return g("sub", g("minimum", a, 0.0), g("log1p", g("exp", g("neg", g("abs", a)))))


def _silu_backward(g: Graph, d: Any, a: Any) -> Node:
    s = g("sigmoid", a)
    return g("mul", d, g("add", s, g("mul", g("mul", a, s), _one_minus(g, s))))


def _pow(g: Graph, a: Any, e: Any) -> Node:
    value = e if not isinstance(e, Node) else e.value if e.op == "const" else None
    if value == 0:
        return g.const(1)
    if value == 0.5:
        return g("sqrt", a)
    if isinstance(value, (int, float)) and value in (1, 2, 3, 4):
        result = a
        for _ in range(int(value) - 1):
            result = g("mul", result, a)
        return result
    return g("pow", a, e)


def _clamp(g: Graph, a: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Node:
    low, high = (min if low is None else low), (max if high is None else high)
    a = a if low is None else g("maximum", a, low)
    return a if high is None else g("minimum", a, high)


def _inside(g: Graph, d: Any, a: Any, low: float, high: float, slope: float = 1) -> Node:
    inside = g("and", g("gt", a, low), g("lt", a, high))
    return g("where", inside, _scaled(g, d, slope), 0.0)


def _elu(g: Graph, a: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Node:
    low = g("mul", g("expm1", g("mul", g("minimum", a, 0.0), input_scale)), alpha)
    return g("mul", g("where", g("gt", a, 0.0), a, low), scale)


def _elu_backward(g: Graph, d: Any, alpha: float, scale: float, input_scale: float, is_result: bool, a: Any) -> Node:
    if is_result:
        low = g("mul", g("add", a, alpha * scale), input_scale)
    else:
        low = g("mul", g("exp", g("mul", g("minimum", a, 0.0), input_scale)), alpha * scale * input_scale)
    return g("mul", d, g("where", g("gt", a, 0.0), scale, low))


def _leaky(g: Graph, a: Any, slope: float = 0.01) -> Node:
    return g("where", g("gt", a, 0.0), a, g("mul", a, slope))


def _leaky_backward(g: Graph, d: Any, a: Any, slope: float, is_result: bool) -> Node:
    return g("where", g("gt", a, 0.0), d, g("mul", d, slope))


def _fill(value: float | None) -> Build:
    def build(g: Graph, *args: Any, **kwargs: Any) -> Node:
        return g.const(args[-1] if value is None else value)

    return build


def _copied(g: Graph, a: Any, *rest: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Node:
    if dtype is not None and not dtype.is_floating_point and dtype != torch.bool:
        raise Untraceable(f"it turns a value into {dtype}")
    if dtype == torch.bool:
        return a if a.truth else g("ne", a, 0.0)
    return g("where", a, 1.0, 0.0) if a.truth else a


def _plain(op: str) -> Build:
    def build(g: Graph, *args: Any) -> Node:
        return g(op, *(_copied(g, a) if isinstance(a, Node) else a for a in args))

    return build


def _logic(op: str) -> Build:
    def build(g: Graph, *args: Any) -> Node:
        return g(op, *(a if not isinstance(a, Node) or a.truth else g("ne", a, 0.0) for a in args))

    return build


def _sum(g: Graph, a: Any, b: Any, alpha: float = 1) -> Node:
    return _plain("add")(g, a, _scaled(g, b, alpha))


def _difference(g: Graph, a: Any, b: Any, alpha: float = 1) -> Node:
    return _plain("sub")(g, a, _scaled(g, b, alpha))


PLAIN = ("mul", "div", "neg", "sigmoid", "tanh", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "erf", "abs")
BUILD: dict[str, Build] = {
    **{name: _plain(name) for name in PLAIN},
    **{name: _plain(name) for name in ("sign", "minimum", "maximum", "gt", "lt", "ge", "le", "eq", "ne")},
    **{name: _logic("and") for name in ("logical_and", "bitwise_and")},
    **{name: _logic("or") for name in ("logical_or", "bitwise_or")},
    **{name: _logic("not") for name in ("logical_not", "bitwise_not")},
    **dict.fromkeys(("detach", "alias", "clone", "_to_copy", "lift_fresh", "lift_fresh_copy", "expand"), _copied),
    "add": _sum,
    "sub": _difference,
    "rsub": lambda g, a, b, alpha=1: _difference(g, b, a, alpha),
    "sgn": _plain("sign"),
    "relu": lambda g, a: g("maximum", a, 0.0),
    "reciprocal": lambda g, a: g("div", 1.0, a),
    "rsqrt": lambda g, a: g("div", 1.0, g("sqrt", a)),
    "pow": _pow,
    "where": lambda g, c, a, b: g("where", c if c.truth else g("ne", c, 0.0), a, b),
    "masked_fill": lambda g, a, c, value: g("where", c, value, a),
    "lerp": lambda g, a, b, w: g("add", a, g("mul", w, g("sub", b, a))),
    "addcmul": lambda g, a, b, c, value=1: g("add", a, _scaled(g, g("mul", b, c), value)),
    "softplus": _softplus,
    "silu": lambda g, a: g("mul", a, g("sigmoid", a)),
    "log_sigmoid_forward": _log_sigmoid,
    "log_sigmoid_backward": lambda g, d, a, buffer: g("mul", d, g("sigmoid", g("neg", a))),
    "clamp": _clamp,
    "clamp_min": lambda g, a, low: g("maximum", a, low),
    "clamp_max": lambda g, a, high: g("minimum", a, high),
    "hardtanh": lambda g, a, low=-1, high=1: _clamp(g, a, low, high),
    "hardsigmoid": lambda g, a: _clamp(g, g("add", g("div", a, 6.0), 0.5), 0.0, 1.0),
    "elu": _elu,
    "leaky_relu": _leaky,
    "sigmoid_backward": lambda g, d, y: g("mul", d, g("mul", y, _one_minus(g, y))),
    "tanh_backward": lambda g, d, y: g("mul", d, _one_minus(g, g("mul", y, y))),
    "threshold_backward": lambda g, d, a, threshold: g("where", g("le", a, threshold), 0.0, d),
    "softplus_backward": _softplus_backward,
    "silu_backward": _silu_backward,
    "hardtanh_backward": _inside,
    "hardsigmoid_backward": lambda g, d, a: _inside(g, d, a, -3.0, 3.0, 1 / 6),
    "elu_backward": _elu_backward,
    "leaky_relu_backward": _leaky_backward,
    "zeros_like": _fill(0.0),
    "empty_like": _fill(float("nan")),  # then filled in place, as in the gradient of lerp
    "new_zeros": _fill(0.0),
    "zeros": _fill(0.0),
    "ones_like": _fill(1.0),
    "new_ones": _fill(1.0),
    "ones": _fill(1.0),
    "full_like": lambda g, a, value, **_: g.const(value),
    "scalar_tensor": lambda g, value, **_: g.const(value),
    "fill": lambda g, a, value: value if isinstance(value, Node) else g.const(value),
}
