"""The one table of elementwise operations: what expression graphs consist of, and their C++, torch and JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """cpp: in C++ on vectors of units (maths.h), with {0}, {1}, {2} for its arguments.
    torch: what it means, on tensors.
    truth: its result is true or false, not a number.
    expensive: it costs more than a few additions, so its result is kept and the backward pass never recomputes it.
    js: in JavaScript on one unit, in which functions are those of export/page/assets/maths.js."""

    cpp: str
    torch: Callable[..., Tensor]
    truth: bool = False
    expensive: bool = False
    js: str = field(kw_only=True)


def _expensive(cpp: str, torch: Callable[..., Tensor], *, js: str) -> Operation:
    return Operation(cpp, torch, expensive=True, js=js)


def _truth(cpp: str, torch: Callable[..., Tensor], *, js: str) -> Operation:
    return Operation(cpp, torch, truth=True, js=js)


OPERATIONS: dict[str, Operation] = {
    "add": Operation("{0} + {1}", torch.add, js="{0} + {1}"),
    "sub": Operation("{0} - {1}", torch.sub, js="{0} - {1}"),
    "mul": Operation("{0} * {1}", torch.mul, js="{0} * {1}"),
    "div": _expensive("{0} / {1}", torch.div, js="{0} / {1}"),
    "neg": Operation("-{0}", torch.neg, js="-{0}"),
    "abs": Operation("vabs({0})", torch.abs, js="abs({0})"),
    "sign": Operation("vsign({0})", torch.sign, js="sign({0})"),
    "minimum": Operation("vmin({0}, {1})", torch.minimum, js="min({0}, {1})"),
    "maximum": Operation("vmax({0}, {1})", torch.maximum, js="max({0}, {1})"),
    "where": Operation("{0} ? {1} : {2}", torch.where, js="{0} ? {1} : {2}"),
    "floor": Operation("vfloor({0})", torch.floor, js="floor({0})"),
    "ceil": Operation("vceil({0})", torch.ceil, js="ceil({0})"),
    "trunc": Operation("vtrunc({0})", torch.trunc, js="trunc({0})"),
    "round": Operation("vround({0})", torch.round, js="roundEven({0})"),
    "fmod": _expensive("vfmod({0}, {1})", torch.fmod, js="{0} % {1}"),
    "remainder": _expensive("vremainder({0}, {1})", torch.remainder, js="remainder({0}, {1})"),
    "floor_divide": _expensive("vfloordiv({0}, {1})", torch.floor_divide, js="floorDivide({0}, {1})"),
    "sigmoid": _expensive("sigmoid({0})", torch.sigmoid, js="sigmoid({0})"),
    "tanh": _expensive("vtanh({0})", torch.tanh, js="tanh({0})"),
    "exp": _expensive("vexp({0})", torch.exp, js="exp({0})"),
    "exp2": _expensive("vexp2({0})", torch.exp2, js="exp2({0})"),
    "expm1": _expensive("vexpm1({0})", torch.expm1, js="expm1({0})"),
    "log": _expensive("vlog({0})", torch.log, js="log({0})"),
    "log2": _expensive("vlog2({0})", torch.log2, js="log2({0})"),
    "log10": _expensive("vlog10({0})", torch.log10, js="log10({0})"),
    "log1p": _expensive("vlog1p({0})", torch.log1p, js="log1p({0})"),
    "sqrt": _expensive("vsqrt({0})", torch.sqrt, js="sqrt({0})"),
    "sin": _expensive("vsin({0})", torch.sin, js="sin({0})"),
    "cos": _expensive("vcos({0})", torch.cos, js="cos({0})"),
    "tan": _expensive("vtan({0})", torch.tan, js="tan({0})"),
    "asin": _expensive("vasin({0})", torch.asin, js="asin({0})"),
    "acos": _expensive("vacos({0})", torch.acos, js="acos({0})"),
    "atan": _expensive("vatan({0})", torch.atan, js="atan({0})"),
    "atan2": _expensive("vatan2({0}, {1})", torch.atan2, js="atan2({0}, {1})"),
    "sinh": _expensive("vsinh({0})", torch.sinh, js="sinh({0})"),
    "cosh": _expensive("vcosh({0})", torch.cosh, js="cosh({0})"),
    "asinh": _expensive("vasinh({0})", torch.asinh, js="asinh({0})"),
    "acosh": _expensive("vacosh({0})", torch.acosh, js="acosh({0})"),
    "atanh": _expensive("vatanh({0})", torch.atanh, js="atanh({0})"),
    "erf": _expensive("verf({0})", torch.erf, js="erf({0})"),
    "erfc": _expensive("verfc({0})", torch.erfc, js="erfc({0})"),
    "hypot": _expensive("vhypot({0}, {1})", torch.hypot, js="hypot({0}, {1})"),
    "pow": _expensive("vpow({0}, {1})", torch.pow, js="power({0}, {1})"),
    "gt": _truth("{0} > {1}", torch.gt, js="{0} > {1}"),
    "lt": _truth("{0} < {1}", torch.lt, js="{0} < {1}"),
    "ge": _truth("{0} >= {1}", torch.ge, js="{0} >= {1}"),
    "le": _truth("{0} <= {1}", torch.le, js="{0} <= {1}"),
    "eq": _truth("{0} == {1}", torch.eq, js="{0} === {1}"),
    "ne": _truth("{0} != {1}", torch.ne, js="{0} !== {1}"),
    "and": _truth("{0} & {1}", torch.logical_and, js="{0} && {1}"),
    "or": _truth("{0} | {1}", torch.logical_or, js="{0} || {1}"),
    "xor": _truth("{0} ^ {1}", torch.logical_xor, js="{0} !== {1}"),
    "not": _truth("~{0}", torch.logical_not, js="!{0}"),
}
