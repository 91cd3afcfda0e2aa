"""The one table of elementwise operations: what expression graphs consist of, in C++, torch and ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """cpp: in C++ on vectors of units (maths.h), with {0}, {1}, {2} for its arguments.
    torch: what it means, on tensors.
    onnx: in operators of ONNX, which calls and + - * / stand for, with {0}, {1}, {2} for its arguments.
    truth: its result is true or false, not a number.
    expensive: it costs more than a few additions, so its result is kept and the backward pass never recomputes it."""

    cpp: str
    torch: Callable[..., Tensor]
    truth: bool = False
    expensive: bool = False
    onnx: str = field(kw_only=True)


def _expensive(cpp: str, torch: Callable[..., Tensor], **columns: Any) -> Operation:
    return Operation(cpp, torch, expensive=True, **columns)


def _truth(cpp: str, torch: Callable[..., Tensor], **columns: Any) -> Operation:
    return Operation(cpp, torch, truth=True, **columns)


# What ONNX has no operator for, as maths.h has it, for zeros of either sign and infinities too.
_REST = "Mod({0}, {1}, fmod=1)"
_OTHER_SIGN = f"And(Not(Equal({_REST}, 0)), Xor(Less({{1}}, 0), Less({_REST}, 0)))"
_REMAINDER = f"Where({_OTHER_SIGN}, {_REST} + {{1}}, {_REST})"
_QUOTIENT = f"({{0}} - {_REST}) / {{1}} - Where({_OTHER_SIGN}, 1, 0)"
_WHOLE = f"Floor({_QUOTIENT}) + Where(Greater({_QUOTIENT} - Floor({_QUOTIENT}), 0.5), 1, 0)"
_FLOOR_DIVIDE = f"Where(Equal({{1}}, 0), {{0}} / {{1}}, Where(Equal({_QUOTIENT}, 0), {{0}} / {{1}} * 0, {_WHOLE}))"
_Y, _X = (f"Clip({{{i}}}, -3.4028235e38, 3.4028235e38)" for i in range(2))
_ANGLE = f"Where(Equal({_Y}, 0), {_X} * 0, Atan(Abs({_Y}) / Abs({_X})))"  # from the x-axis, at most a right one
_HALF_TURN = f"Where(Or(Less({_X}, 0), Less(1 / {_X}, 0)), 3.141592653589793 - {_ANGLE}, {_ANGLE})"
_ATAN2 = f"Where(Or(Less({_Y}, 0), Less(1 / {_Y}, 0)), Neg({_HALF_TURN}), {_HALF_TURN})"
_LONG, _SHORT = "Max(Abs({0}), Abs({1}))", "Min(Abs({0}), Abs({1}))"
_SLOPE = f"{_SHORT} / {_LONG}"
_SLANT = f"Where(Equal({_LONG}, 0), {_LONG}, {_LONG} * Sqrt(1 + ({_SLOPE}) * ({_SLOPE})))"
_HYPOT = f"Where(Or(IsInf({{0}}), IsInf({{1}})), 1e999, {_SLANT})"
_SIGN = "Where(Greater({0}, 0), 1, Where(Less({0}, 0), -1, 0))"

OPERATIONS: dict[str, Operation] = {
    "add": Operation("{0} + {1}", torch.add, onnx="Add({0}, {1})"),
    "sub": Operation("{0} - {1}", torch.sub, onnx="Sub({0}, {1})"),
    "mul": Operation("{0} * {1}", torch.mul, onnx="Mul({0}, {1})"),
    "div": _expensive("{0} / {1}", torch.div, onnx="Div({0}, {1})"),
    "neg": Operation("-{0}", torch.neg, onnx="Neg({0})"),
    "abs": Operation("vabs({0})", torch.abs, onnx="Abs({0})"),
    "sign": Operation("vsign({0})", torch.sign, onnx=_SIGN),
    "minimum": Operation("vmin({0}, {1})", torch.minimum, onnx="Min({0}, {1})"),
    "maximum": Operation("vmax({0}, {1})", torch.maximum, onnx="Max({0}, {1})"),
    "where": Operation("{0} ? {1} : {2}", torch.where, onnx="Where({0}, {1}, {2})"),
    "floor": Operation("vfloor({0})", torch.floor, onnx="Floor({0})"),
    "ceil": Operation("vceil({0})", torch.ceil, onnx="Ceil({0})"),
    "trunc": Operation("vtrunc({0})", torch.trunc, onnx="Where(Less({0}, 0), Ceil({0}), Floor({0}))"),
    "round": Operation("vround({0})", torch.round, onnx="Round({0})"),
    "fmod": _expensive("vfmod({0}, {1})", torch.fmod, onnx="Mod({0}, {1}, fmod=1)"),
    "remainder": _expensive("vremainder({0}, {1})", torch.remainder, onnx=_REMAINDER),
    "floor_divide": _expensive("vfloordiv({0}, {1})", torch.floor_divide, onnx=_FLOOR_DIVIDE),
    "sigmoid": _expensive("sigmoid({0})", torch.sigmoid, onnx="Sigmoid({0})"),
    "tanh": _expensive("vtanh({0})", torch.tanh, onnx="Tanh({0})"),
    "exp": _expensive("vexp({0})", torch.exp, onnx="Exp({0})"),
    "exp2": _expensive("vexp2({0})", torch.exp2, onnx="Pow(2, {0})"),
    "expm1": _expensive(
        "vexpm1({0})", torch.expm1, onnx="Where(Less(Abs({0}), 1), 2 * Sinh({0} / 2) * Exp({0} / 2), Exp({0}) - 1)"
    ),
    "log": _expensive("vlog({0})", torch.log, onnx="Log({0})"),
    "log2": _expensive("vlog2({0})", torch.log2, onnx="Log({0}) / 0.6931471805599453"),
    "log10": _expensive("vlog10({0})", torch.log10, onnx="Log({0}) / 2.302585092994046"),
    "log1p": _expensive(
        "vlog1p({0})", torch.log1p, onnx="Where(Less(Abs({0}), 0.5), 2 * Atanh({0} / ({0} + 2)), Log({0} + 1))"
    ),
    "sqrt": _expensive("vsqrt({0})", torch.sqrt, onnx="Sqrt({0})"),
    "sin": _expensive("vsin({0})", torch.sin, onnx="Sin({0})"),
    "cos": _expensive("vcos({0})", torch.cos, onnx="Cos({0})"),
    "tan": _expensive("vtan({0})", torch.tan, onnx="Tan({0})"),
    "asin": _expensive("vasin({0})", torch.asin, onnx="Asin({0})"),
    "acos": _expensive("vacos({0})", torch.acos, onnx="Acos({0})"),
    "atan": _expensive("vatan({0})", torch.atan, onnx="Atan({0})"),
    "atan2": _expensive("vatan2({0}, {1})", torch.atan2, onnx=_ATAN2),
    "sinh": _expensive("vsinh({0})", torch.sinh, onnx="Sinh({0})"),
    "cosh": _expensive("vcosh({0})", torch.cosh, onnx="Cosh({0})"),
    "asinh": _expensive("vasinh({0})", torch.asinh, onnx="Asinh({0})"),
    "acosh": _expensive("vacosh({0})", torch.acosh, onnx="Acosh({0})"),
    "atanh": _expensive("vatanh({0})", torch.atanh, onnx="Atanh({0})"),
    "erf": _expensive("verf({0})", torch.erf, onnx="Erf({0})"),
    "erfc": _expensive("verfc({0})", torch.erfc, onnx="1 - Erf({0})"),
    "hypot": _expensive("vhypot({0}, {1})", torch.hypot, onnx=_HYPOT),
    "pow": _expensive("vpow({0}, {1})", torch.pow, onnx="Pow({0}, {1})"),
    "gt": _truth("{0} > {1}", torch.gt, onnx="Greater({0}, {1})"),
    "lt": _truth("{0} < {1}", torch.lt, onnx="Less({0}, {1})"),
    "ge": _truth("{0} >= {1}", torch.ge, onnx="GreaterOrEqual({0}, {1})"),
    "le": _truth("{0} <= {1}", torch.le, onnx="LessOrEqual({0}, {1})"),
    "eq": _truth("{0} == {1}", torch.eq, onnx="Equal({0}, {1})"),
    "ne": _truth("{0} != {1}", torch.ne, onnx="Not(Equal({0}, {1}))"),
    "and": _truth("{0} & {1}", torch.logical_and, onnx="And({0}, {1})"),
    "or": _truth("{0} | {1}", torch.logical_or, onnx="Or({0}, {1})"),
    "xor": _truth("{0} ^ {1}", torch.logical_xor, onnx="Xor({0}, {1})"),
    "not": _truth("~{0}", torch.logical_not, onnx="Not({0})"),
}
