"""The one table of elementwise operations: what expression graphs consist of, and their form in every language."""

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
    truth: its result is true or false, not a number.
    expensive: it costs more than a few additions, so its result is kept and the backward pass never recomputes it.
    c: in C on one float; functions are those of export/c/runtime/maths.c.
    js: in JavaScript on one unit; functions are those of export/page/assets/maths.js.
    onnx: in operators of ONNX, which calls and + - * / stand for."""

    cpp: str
    torch: Callable[..., Tensor]
    truth: bool = False
    expensive: bool = False
    c: str = field(kw_only=True)
    js: str = field(kw_only=True)
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
    "add": Operation("{0} + {1}", torch.add, c="{0} + {1}", js="{0} + {1}", onnx="Add({0}, {1})"),
    "sub": Operation("{0} - {1}", torch.sub, c="{0} - {1}", js="{0} - {1}", onnx="Sub({0}, {1})"),
    "mul": Operation("{0} * {1}", torch.mul, c="{0} * {1}", js="{0} * {1}", onnx="Mul({0}, {1})"),
    "div": _expensive("{0} / {1}", torch.div, c="{0} / {1}", js="{0} / {1}", onnx="Div({0}, {1})"),
    "neg": Operation("-{0}", torch.neg, c="-{0}", js="-{0}", onnx="Neg({0})"),
    "abs": Operation("vabs({0})", torch.abs, c="fabsf({0})", js="abs({0})", onnx="Abs({0})"),
    "sign": Operation("vsign({0})", torch.sign, c="sign({0})", js="sign({0})", onnx=_SIGN),
    "minimum": Operation(
        "vmin({0}, {1})", torch.minimum, c="minimum({0}, {1})", js="min({0}, {1})", onnx="Min({0}, {1})"
    ),
    "maximum": Operation(
        "vmax({0}, {1})", torch.maximum, c="maximum({0}, {1})", js="max({0}, {1})", onnx="Max({0}, {1})"
    ),
    "where": Operation(
        "{0} ? {1} : {2}", torch.where, c="{0} ? {1} : {2}", js="{0} ? {1} : {2}", onnx="Where({0}, {1}, {2})"
    ),
    "floor": Operation("vfloor({0})", torch.floor, c="floorf({0})", js="floor({0})", onnx="Floor({0})"),
    "ceil": Operation("vceil({0})", torch.ceil, c="ceilf({0})", js="ceil({0})", onnx="Ceil({0})"),
    "trunc": Operation(
        "vtrunc({0})", torch.trunc, c="truncf({0})", js="trunc({0})", onnx="Where(Less({0}, 0), Ceil({0}), Floor({0}))"
    ),
    "round": Operation("vround({0})", torch.round, c="rintf({0})", js="roundEven({0})", onnx="Round({0})"),
    "fmod": _expensive(
        "vfmod({0}, {1})", torch.fmod, c="fmodf({0}, {1})", js="{0} % {1}", onnx="Mod({0}, {1}, fmod=1)"
    ),
    "remainder": _expensive(
        "vremainder({0}, {1})", torch.remainder, c="modulo({0}, {1})", js="remainder({0}, {1})", onnx=_REMAINDER
    ),
    "floor_divide": _expensive(
        "vfloordiv({0}, {1})",
        torch.floor_divide,
        c="floor_divide({0}, {1})",
        js="floorDivide({0}, {1})",
        onnx=_FLOOR_DIVIDE,
    ),
    "sigmoid": _expensive("sigmoid({0})", torch.sigmoid, c="sigmoid({0})", js="sigmoid({0})", onnx="Sigmoid({0})"),
    "tanh": _expensive("vtanh({0})", torch.tanh, c="fast_tanh({0})", js="tanh({0})", onnx="Tanh({0})"),
    "exp": _expensive("vexp({0})", torch.exp, c="fast_exp({0})", js="exp({0})", onnx="Exp({0})"),
    "exp2": _expensive("vexp2({0})", torch.exp2, c="exp2f({0})", js="exp2({0})", onnx="Pow(2, {0})"),
    "expm1": _expensive(
        "vexpm1({0})",
        torch.expm1,
        c="expm1f({0})",
        js="expm1({0})",
        onnx="Where(Less(Abs({0}), 1), 2 * Sinh({0} / 2) * Exp({0} / 2), Exp({0}) - 1)",
    ),
    "log": _expensive("vlog({0})", torch.log, c="logf({0})", js="log({0})", onnx="Log({0})"),
    "log2": _expensive("vlog2({0})", torch.log2, c="log2f({0})", js="log2({0})", onnx="Log({0}) / 0.6931471805599453"),
    "log10": _expensive(
        "vlog10({0})", torch.log10, c="log10f({0})", js="log10({0})", onnx="Log({0}) / 2.302585092994046"
    ),
    "log1p": _expensive(
        "vlog1p({0})",
        torch.log1p,
        c="log1pf({0})",
        js="log1p({0})",
        onnx="Where(Less(Abs({0}), 0.5), 2 * Atanh({0} / ({0} + 2)), Log({0} + 1))",
    ),
    "sqrt": _expensive("vsqrt({0})", torch.sqrt, c="sqrtf({0})", js="sqrt({0})", onnx="Sqrt({0})"),
    "sin": _expensive("vsin({0})", torch.sin, c="sinf({0})", js="sin({0})", onnx="Sin({0})"),
    "cos": _expensive("vcos({0})", torch.cos, c="cosf({0})", js="cos({0})", onnx="Cos({0})"),
    "tan": _expensive("vtan({0})", torch.tan, c="tanf({0})", js="tan({0})", onnx="Tan({0})"),
    "asin": _expensive("vasin({0})", torch.asin, c="asinf({0})", js="asin({0})", onnx="Asin({0})"),
    "acos": _expensive("vacos({0})", torch.acos, c="acosf({0})", js="acos({0})", onnx="Acos({0})"),
    "atan": _expensive("vatan({0})", torch.atan, c="atanf({0})", js="atan({0})", onnx="Atan({0})"),
    "atan2": _expensive("vatan2({0}, {1})", torch.atan2, c="atan2f({0}, {1})", js="atan2({0}, {1})", onnx=_ATAN2),
    "sinh": _expensive("vsinh({0})", torch.sinh, c="sinhf({0})", js="sinh({0})", onnx="Sinh({0})"),
    "cosh": _expensive("vcosh({0})", torch.cosh, c="coshf({0})", js="cosh({0})", onnx="Cosh({0})"),
    "asinh": _expensive("vasinh({0})", torch.asinh, c="asinhf({0})", js="asinh({0})", onnx="Asinh({0})"),
    "acosh": _expensive("vacosh({0})", torch.acosh, c="acoshf({0})", js="acosh({0})", onnx="Acosh({0})"),
    "atanh": _expensive("vatanh({0})", torch.atanh, c="atanhf({0})", js="atanh({0})", onnx="Atanh({0})"),
    "erf": _expensive("verf({0})", torch.erf, c="erff({0})", js="erf({0})", onnx="Erf({0})"),
    "erfc": _expensive("verfc({0})", torch.erfc, c="erfcf({0})", js="erfc({0})", onnx="1 - Erf({0})"),
    "hypot": _expensive("vhypot({0}, {1})", torch.hypot, c="hypotf({0}, {1})", js="hypot({0}, {1})", onnx=_HYPOT),
    "pow": _expensive("vpow({0}, {1})", torch.pow, c="powf({0}, {1})", js="power({0}, {1})", onnx="Pow({0}, {1})"),
    "gt": _truth("{0} > {1}", torch.gt, c="{0} > {1}", js="{0} > {1}", onnx="Greater({0}, {1})"),
    "lt": _truth("{0} < {1}", torch.lt, c="{0} < {1}", js="{0} < {1}", onnx="Less({0}, {1})"),
    "ge": _truth("{0} >= {1}", torch.ge, c="{0} >= {1}", js="{0} >= {1}", onnx="GreaterOrEqual({0}, {1})"),
    "le": _truth("{0} <= {1}", torch.le, c="{0} <= {1}", js="{0} <= {1}", onnx="LessOrEqual({0}, {1})"),
    "eq": _truth("{0} == {1}", torch.eq, c="{0} == {1}", js="{0} === {1}", onnx="Equal({0}, {1})"),
    "ne": _truth("{0} != {1}", torch.ne, c="{0} != {1}", js="{0} !== {1}", onnx="Not(Equal({0}, {1}))"),
    "and": _truth("{0} & {1}", torch.logical_and, c="{0} && {1}", js="{0} && {1}", onnx="And({0}, {1})"),
    "or": _truth("{0} | {1}", torch.logical_or, c="{0} || {1}", js="{0} || {1}", onnx="Or({0}, {1})"),
    "xor": _truth("{0} ^ {1}", torch.logical_xor, c="{0} != {1}", js="{0} !== {1}", onnx="Xor({0}, {1})"),
    "not": _truth("~{0}", torch.logical_not, c="!{0}", js="!{0}", onnx="Not({0})"),
}
