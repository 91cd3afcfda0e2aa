"""What torch's operations mean, in those of `operations.OPERATIONS`.

A row is one overload of one operation, as torch's dispatcher names it, and takes all of that overload's arguments in
the order of its schema, defaults filled in. So nothing that changes what is computed can be left out: an overload
without a row is rejected, and so is a value that a row does not expect. Rows follow torch's own kernels also at
non-finite values, zeros and ties."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from elman.recurrent.kernels.graph import Graph, Node
from elman.recurrent.kernels.refusal import Untraceable

Row = Callable[..., Any]  # (graph, *arguments) -> Node, or one for each result


def number(g: Graph, value: Any) -> Any:
    """A truth value as torch's arithmetic takes it: 1 or 0. Anything else unchanged."""
    return g("where", value, 1.0, 0.0) if isinstance(value, Node) and value.truth else value


def truth(g: Graph, value: Any) -> Node:
    """A number as torch's logic takes it: true unless it is 0."""
    return value if isinstance(value, Node) and value.truth else g("ne", value, 0.0)


def _plain(op: str) -> Row:
    return lambda g, *args: g(op, *(number(g, a) for a in args))


def _logic(op: str) -> Row:
    return lambda g, *args: g(op, *(truth(g, a) for a in args))


def _truths(*values: Any) -> bool:
    return all(isinstance(value, Node) and value.truth for value in values)


def _same(g: Graph, a: Any, *rest: Any) -> Any:
    return a


def _scaled(g: Graph, b: Any, alpha: float) -> Any:
    return number(g, b) if alpha == 1 else g("mul", number(g, b), alpha)


def _add(g: Graph, a: Any, b: Any, alpha: float) -> Node:
    if _truths(a, b) and alpha == 1:
        return g("or", a, b)
    return g("add", number(g, a), _scaled(g, b, alpha))


def _sub(g: Graph, a: Any, b: Any, alpha: float) -> Node:
    return g("sub", number(g, a), _scaled(g, b, alpha))


def _mul(g: Graph, a: Any, b: Any) -> Node:
    return g("and", a, b) if _truths(a, b) else g("mul", number(g, a), number(g, b))


def _div_mode(g: Graph, a: Any, b: Any, rounding_mode: str | None) -> Node:
    a, b = number(g, a), number(g, b)
    if rounding_mode is None:
        return g("div", a, b)
    if rounding_mode == "trunc":
        return g("trunc", g("div", a, b))
    if rounding_mode == "floor":
        return g("floor_divide", a, b)
    raise Untraceable(f"rounding_mode={rounding_mode!r}")


def _one_minus(g: Graph, a: Any) -> Node:
    return g("sub", 1.0, a)


def _square(g: Graph, a: Any) -> Node:
    return g("mul", a, a)


def _pow(g: Graph, a: Any, e: Any) -> Node:
    a, e = number(g, a), number(g, e)
    value = e if not isinstance(e, Node) else e.value if e.op == "const" else None
    if value == 0:
        return g.const(1)
    if value == 0.5:
        return g("sqrt", a)
    if value == -0.5:
        return g("div", 1.0, g("sqrt", a))
    if value in (-1, -2):
        return g("div", 1.0, a if value == -1 else _square(g, a))
    if value in (1, 2, 3, 4):
        result = a
        for _ in range(int(value) - 1):
            result = g("mul", result, a)
        return result
    return g("pow", a, e)


def _where(g: Graph, c: Any, a: Any, b: Any) -> Node:
    c = truth(g, c)
    if _truths(a, b):
        return g("or", g("and", c, a), g("and", g("not", c), b))
    return g("where", c, number(g, a), number(g, b))


def _masked_fill(g: Graph, a: Any, c: Any, value: Any) -> Node:
    return _where(g, c, value, a)


def _clamp(g: Graph, a: Any, low: Any, high: Any) -> Node:
    a = number(g, a)
    a = a if low is None else g("maximum", a, low)
    return a if high is None else g("minimum", a, high)


def _lerp(g: Graph, a: Any, b: Any, w: Any) -> Node:
    way = g("sub", b, a)
    near, far = g("add", a, g("mul", w, way)), g("sub", b, g("mul", way, _one_minus(g, w)))
    if isinstance(w, Node):
        return g("where", g("lt", g("abs", w), 0.5), near, far)
    return near if abs(w) < 0.5 else far


def _inside(g: Graph, d: Any, a: Any, low: float, high: float, slope: float = 1) -> Node:
    inside = g("and", g("gt", a, low), g("lt", a, high))
    return g("where", inside, _scaled(g, d, slope), 0.0)


def _hardsigmoid(g: Graph, a: Any) -> Node:
    return g("div", _clamp(g, g("add", a, 3.0), 0.0, 6.0), 6.0)


def _hardswish(g: Graph, a: Any) -> Node:
    return g("div", g("mul", a, _clamp(g, g("add", a, 3.0), 0.0, 6.0)), 6.0)


def _hardswish_backward(g: Graph, d: Any, a: Any) -> Node:
    middle = g("mul", d, g("add", g("div", a, 3.0), 0.5))
    return g("where", g("le", a, -3.0), 0.0, g("where", g("ge", a, 3.0), d, middle))


def _softshrink(g: Graph, a: Any, bound: float) -> Node:
    inside = g("mul", a, 0.0)  # NaN stays NaN
    low = g("where", g("lt", a, -bound), g("add", a, bound), inside)
    return g("where", g("gt", a, bound), g("sub", a, bound), low)


def _hardshrink(g: Graph, a: Any, bound: float) -> Node:
    return g("where", g("and", g("ge", a, -bound), g("le", a, bound)), 0.0, a)


def _shrink_backward(g: Graph, d: Any, a: Any, bound: float) -> Node:
    return g("where", g("or", g("gt", a, bound), g("lt", a, -bound)), d, 0.0)


def _softplus(g: Graph, a: Any, beta: float, threshold: float) -> Node:
    z = g("mul", a, beta)
    soft = g("log1p", g("exp", g("minimum", z, threshold)))
    return g("where", g("gt", z, threshold), a, g("div", soft, beta))


def _softplus_backward(g: Graph, d: Any, a: Any, beta: float, threshold: float) -> Node:
    z = g("mul", a, beta)
    return g("where", g("gt", z, threshold), d, g("mul", d, g("sigmoid", z)))


def _log_sigmoid(g: Graph, a: Any) -> tuple[Node, Node]:
    buffer = g("exp", g("neg", g("abs", a)))
    return g("sub", g("minimum", a, 0.0), g("log1p", buffer)), buffer


def _log_sigmoid_backward(g: Graph, d: Any, a: Any, buffer: Any) -> Node:
    left = g("lt", a, 0.0)
    share = g("div", buffer, g("add", 1.0, buffer))
    return g("mul", d, g("where", left, _one_minus(g, share), share))


def _silu_backward(g: Graph, d: Any, a: Any) -> Node:
    s = g("sigmoid", a)
    return g("mul", d, g("mul", s, g("add", 1.0, g("mul", a, _one_minus(g, s)))))


def _gelu_inner(g: Graph, a: Any) -> Node:
    cubic = g("mul", g("mul", _square(g, a), a), 0.044715)
    return g("tanh", g("mul", g("add", a, cubic), math.sqrt(2 / math.pi)))


def _gelu(g: Graph, a: Any, approximate: str) -> Node:
    if approximate == "tanh":
        return g("mul", g("mul", a, 0.5), g("add", 1.0, _gelu_inner(g, a)))
    if approximate == "none":
        return g("mul", g("mul", a, 0.5), g("add", 1.0, g("erf", g("mul", a, math.sqrt(0.5)))))
    raise Untraceable(f"approximate={approximate!r}")


def _gelu_backward(g: Graph, d: Any, a: Any, approximate: str) -> Node:
    if approximate == "tanh":
        t = _gelu_inner(g, a)
        left = g("mul", 0.5, g("add", 1.0, t))
        slope = g("mul", math.sqrt(2 / math.pi), g("add", 1.0, g("mul", 3 * 0.044715, _square(g, a))))
        right = g("mul", g("mul", g("mul", a, 0.5), _one_minus(g, _square(g, t))), slope)
        return g("mul", d, g("add", left, right))
    if approximate == "none":
        cdf = g("mul", 0.5, g("add", 1.0, g("erf", g("mul", a, math.sqrt(0.5)))))
        pdf = g("mul", g("exp", g("mul", _square(g, a), -0.5)), 1 / math.sqrt(2 * math.pi))
        return g("mul", d, g("add", cdf, g("mul", a, pdf)))
    raise Untraceable(f"approximate={approximate!r}")


def _mish_inner(g: Graph, a: Any) -> Node:
    return g("tanh", g("log1p", g("exp", a)))


def _mish_backward(g: Graph, d: Any, a: Any) -> Node:
    t = _mish_inner(g, a)
    slope = g("mul", g("mul", a, g("sigmoid", a)), _one_minus(g, _square(g, t)))
    return g("mul", d, g("add", t, slope))


def _elu(g: Graph, a: Any, alpha: float, scale: float, input_scale: float) -> Node:
    low = g("mul", g("expm1", g("mul", g("minimum", a, 0.0), input_scale)), alpha * scale)
    return g("where", g("le", a, 0.0), low, g("mul", a, scale))


def _elu_backward(g: Graph, d: Any, alpha: float, scale: float, input_scale: float, is_result: bool, a: Any) -> Node:
    if is_result:
        low = g("mul", g("add", a, alpha * scale), input_scale)
    else:
        low = g("mul", g("exp", g("mul", g("minimum", a, 0.0), input_scale)), alpha * scale * input_scale)
    return g("mul", d, g("where", g("gt", a, 0.0), scale, low))


def _celu(g: Graph, a: Any, alpha: float) -> Node:
    return _elu(g, a, alpha, 1.0, 1 / alpha)


def _leaky(g: Graph, a: Any, slope: float) -> Node:
    return g("where", g("gt", a, 0.0), a, g("mul", a, slope))


def _leaky_backward(g: Graph, d: Any, a: Any, slope: float, is_result: bool) -> Node:
    return g("where", g("gt", a, 0.0), d, g("mul", d, slope))


def _nan_to_num(g: Graph, a: Any, nan: float | None, high: float | None, low: float | None) -> Node:
    if high is None or low is None:
        raise Untraceable("nan_to_num without posinf and neginf, whose default depends on the precision")
    a = g("where", g("eq", a, math.inf), high, g("where", g("eq", a, -math.inf), low, a))
    return g("where", g("ne", a, a), 0.0 if nan is None else nan, a)


def _constant(position: int) -> Row:
    """Filled with the argument at this position."""

    def build(g: Graph, *args: Any) -> Node:
        value = args[position]
        return value if isinstance(value, Node) else g.const(value)

    return build


def _filled(value: float) -> Row:
    return lambda g, *args: g.const(value)


def _overloads(names: str, row: Row) -> dict[str, Row]:
    return dict.fromkeys(names.split(), row)


UNARY = "neg sigmoid tanh exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh asinh acosh "
UNARY += "atanh erf erfc abs sign floor ceil trunc"
COMPARISONS = ("gt", "lt", "ge", "le", "eq", "ne")
ROWS: dict[str, Row] = {
    **{f"{name}.": _plain(name) for name in UNARY.split()},
    **{f"{name}.": _plain(name) for name in ("minimum", "maximum", "hypot", "atan2")},
    **{f"{name}.{kind}": _plain(name) for name in COMPARISONS for kind in ("Tensor", "Scalar")},
    **_overloads("add.Tensor add.Scalar", _add),
    **_overloads("sub.Tensor sub.Scalar", _sub),
    **_overloads("rsub.Tensor rsub.Scalar", lambda g, a, b, alpha: _sub(g, b, _scaled(g, a, alpha), 1)),
    **_overloads("mul.Tensor mul.Scalar", _mul),
    **_overloads("div.Tensor div.Scalar", _plain("div")),
    **_overloads("div.Tensor_mode div.Scalar_mode", _div_mode),
    **_overloads("floor_divide. floor_divide.Scalar", _plain("floor_divide")),
    **_overloads("remainder.Tensor remainder.Scalar remainder.Scalar_Tensor", _plain("remainder")),
    **_overloads("fmod.Tensor fmod.Scalar", _plain("fmod")),
    **_overloads("pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar", _pow),
    **_overloads("logical_and. bitwise_and.Tensor", _logic("and")),
    **_overloads("logical_or. bitwise_or.Tensor", _logic("or")),
    **_overloads("logical_xor. bitwise_xor.Tensor", _logic("xor")),
    **_overloads("logical_not. bitwise_not.", _logic("not")),
    **_overloads("where.self", _where),
    **_overloads("masked_fill.Scalar masked_fill.Tensor", _masked_fill),
    **_overloads("clamp. clamp.Tensor", _clamp),
    **_overloads("clamp_min. clamp_min.Tensor", lambda g, a, low: _clamp(g, a, low, None)),
    **_overloads("clamp_max. clamp_max.Tensor", lambda g, a, high: _clamp(g, a, None, high)),
    **_overloads("lerp.Scalar lerp.Tensor", _lerp),
    "round.": _plain("round"),
    "frac.": lambda g, a: g("sub", a, g("trunc", a)),
    "sgn.": _plain("sign"),
    "reciprocal.": lambda g, a: g("div", 1.0, a),
    "rsqrt.": lambda g, a: g("div", 1.0, g("sqrt", a)),
    "isnan.": lambda g, a: g("ne", number(g, a), number(g, a)),
    "isinf.": lambda g, a: g("eq", g("abs", number(g, a)), math.inf),
    "nan_to_num.": _nan_to_num,
    "addcmul.": lambda g, a, b, c, value: g("add", a, _scaled(g, g("mul", b, c), value)),
    "addcdiv.": lambda g, a, b, c, value: g("add", a, _scaled(g, g("div", b, c), value)),
    "relu.": lambda g, a: g("maximum", a, 0.0),
    "threshold.": lambda g, a, bound, value: g("where", g("le", a, bound), value, a),
    "hardtanh.": _clamp,
    "hardsigmoid.": _hardsigmoid,
    "hardswish.": _hardswish,
    "hardshrink.": _hardshrink,
    "softshrink.": _softshrink,
    "softplus.": _softplus,
    "log_sigmoid_forward.": _log_sigmoid,
    "silu.": lambda g, a: g("mul", a, g("sigmoid", a)),
    "gelu.": _gelu,
    "mish.": lambda g, a: g("mul", a, _mish_inner(g, a)),
    "elu.": _elu,
    "celu.": _celu,
    "leaky_relu.": _leaky,
    # the derivatives that have their own operations
    "sigmoid_backward.": lambda g, d, y: g("mul", d, g("mul", y, _one_minus(g, y))),
    "tanh_backward.": lambda g, d, y: g("mul", d, _one_minus(g, _square(g, y))),
    "threshold_backward.": lambda g, d, a, bound: g("where", g("le", a, bound), 0.0, d),
    "hardtanh_backward.": _inside,
    "hardsigmoid_backward.": lambda g, d, a: _inside(g, d, a, -3.0, 3.0, 1 / 6),
    "hardswish_backward.": _hardswish_backward,
    "hardshrink_backward.": _shrink_backward,
    "softshrink_backward.": _shrink_backward,
    "softplus_backward.": _softplus_backward,
    "log_sigmoid_backward.": _log_sigmoid_backward,
    "silu_backward.": _silu_backward,
    "gelu_backward.": _gelu_backward,
    "mish_backward.": _mish_backward,
    "elu_backward.": _elu_backward,
    "leaky_relu_backward.": _leaky_backward,
    # the same numbers, and constants; a result of another shape or precision is rejected
    **_overloads("detach. alias. clone. _to_copy. lift_fresh. lift_fresh_copy.", _same),
    **_overloads("expand. view. _unsafe_view.", _same),
    "copy.": lambda g, a, b, *rest: b,
    **_overloads("zeros_like. new_zeros. zeros. zero.", _filled(0.0)),
    **_overloads("ones_like. new_ones. ones.", _filled(1.0)),
    "empty_like.": _filled(math.nan),  # then filled in place, as in the gradient of lerp
    **_overloads("full_like. full. fill.Scalar fill.Tensor", _constant(1)),
    "new_full.": _constant(2),
    "scalar_tensor.": _constant(0),
}
# In place, torch gives some overloads another name.
IN_PLACE = {"pow_.Scalar": "pow.Tensor_Scalar", "pow_.Tensor": "pow.Tensor_Tensor"}
# Arguments that change only the result's dtype, device or layout, which are checked instead.
ABOUT_RESULT = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "implicit"})
