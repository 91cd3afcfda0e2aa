"""The one table of elementwise operations: what expression graphs consist of, with the C++ and torch form of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """cpp: in C++ on vectors of units (maths.h), with {0}, {1}, {2} for its arguments.
    torch: what it means, on tensors.
    c: in C on one float, with {0}, {1}, {2} for its arguments; functions are those of export/c/runtime/maths.c
    truth: its result is true or false, not a number.
    expensive: it costs more than a few additions, so its result is kept and the backward pass never recomputes it."""

    cpp: str
    torch: Callable[..., Tensor]
    truth: bool = False
    expensive: bool = False
    c: str = ""


def _expensive(cpp: str, torch: Callable[..., Tensor], **columns: Any) -> Operation:
    return Operation(cpp, torch, expensive=True, **columns)


def _truth(cpp: str, torch: Callable[..., Tensor], **columns: Any) -> Operation:
    return Operation(cpp, torch, truth=True, **columns)


OPERATIONS: dict[str, Operation] = {
    "add": Operation("{0} + {1}", torch.add, c="{0} + {1}"),
    "sub": Operation("{0} - {1}", torch.sub, c="{0} - {1}"),
    "mul": Operation("{0} * {1}", torch.mul, c="{0} * {1}"),
    "div": _expensive("{0} / {1}", torch.div, c="{0} / {1}"),
    "neg": Operation("-{0}", torch.neg, c="-{0}"),
    "abs": Operation("vabs({0})", torch.abs, c="fabsf({0})"),
    "sign": Operation("vsign({0})", torch.sign, c="sign({0})"),
    "minimum": Operation("vmin({0}, {1})", torch.minimum, c="minimum({0}, {1})"),
    "maximum": Operation("vmax({0}, {1})", torch.maximum, c="maximum({0}, {1})"),
    "where": Operation("{0} ? {1} : {2}", torch.where, c="{0} ? {1} : {2}"),
    "floor": Operation("vfloor({0})", torch.floor, c="floorf({0})"),
    "ceil": Operation("vceil({0})", torch.ceil, c="ceilf({0})"),
    "trunc": Operation("vtrunc({0})", torch.trunc, c="truncf({0})"),
    "round": Operation("vround({0})", torch.round, c="rintf({0})"),
    "fmod": _expensive("vfmod({0}, {1})", torch.fmod, c="fmodf({0}, {1})"),
    "remainder": _expensive("vremainder({0}, {1})", torch.remainder, c="modulo({0}, {1})"),
    "floor_divide": _expensive("vfloordiv({0}, {1})", torch.floor_divide, c="floor_divide({0}, {1})"),
    "sigmoid": _expensive("sigmoid({0})", torch.sigmoid, c="sigmoid({0})"),
    "tanh": _expensive("vtanh({0})", torch.tanh, c="fast_tanh({0})"),
    "exp": _expensive("vexp({0})", torch.exp, c="fast_exp({0})"),
    "exp2": _expensive("vexp2({0})", torch.exp2, c="exp2f({0})"),
    "expm1": _expensive("vexpm1({0})", torch.expm1, c="expm1f({0})"),
    "log": _expensive("vlog({0})", torch.log, c="logf({0})"),
    "log2": _expensive("vlog2({0})", torch.log2, c="log2f({0})"),
    "log10": _expensive("vlog10({0})", torch.log10, c="log10f({0})"),
    "log1p": _expensive("vlog1p({0})", torch.log1p, c="log1pf({0})"),
    "sqrt": _expensive("vsqrt({0})", torch.sqrt, c="sqrtf({0})"),
    "sin": _expensive("vsin({0})", torch.sin, c="sinf({0})"),
    "cos": _expensive("vcos({0})", torch.cos, c="cosf({0})"),
    "tan": _expensive("vtan({0})", torch.tan, c="tanf({0})"),
    "asin": _expensive("vasin({0})", torch.asin, c="asinf({0})"),
    "acos": _expensive("vacos({0})", torch.acos, c="acosf({0})"),
    "atan": _expensive("vatan({0})", torch.atan, c="atanf({0})"),
    "atan2": _expensive("vatan2({0}, {1})", torch.atan2, c="atan2f({0}, {1})"),
    "sinh": _expensive("vsinh({0})", torch.sinh, c="sinhf({0})"),
    "cosh": _expensive("vcosh({0})", torch.cosh, c="coshf({0})"),
    "asinh": _expensive("vasinh({0})", torch.asinh, c="asinhf({0})"),
    "acosh": _expensive("vacosh({0})", torch.acosh, c="acoshf({0})"),
    "atanh": _expensive("vatanh({0})", torch.atanh, c="atanhf({0})"),
    "erf": _expensive("verf({0})", torch.erf, c="erff({0})"),
    "erfc": _expensive("verfc({0})", torch.erfc, c="erfcf({0})"),
    "hypot": _expensive("vhypot({0}, {1})", torch.hypot, c="hypotf({0}, {1})"),
    "pow": _expensive("vpow({0}, {1})", torch.pow, c="powf({0}, {1})"),
    "gt": _truth("{0} > {1}", torch.gt, c="{0} > {1}"),
    "lt": _truth("{0} < {1}", torch.lt, c="{0} < {1}"),
    "ge": _truth("{0} >= {1}", torch.ge, c="{0} >= {1}"),
    "le": _truth("{0} <= {1}", torch.le, c="{0} <= {1}"),
    "eq": _truth("{0} == {1}", torch.eq, c="{0} == {1}"),
    "ne": _truth("{0} != {1}", torch.ne, c="{0} != {1}"),
    "and": _truth("{0} & {1}", torch.logical_and, c="{0} && {1}"),
    "or": _truth("{0} | {1}", torch.logical_or, c="{0} || {1}"),
    "xor": _truth("{0} ^ {1}", torch.logical_xor, c="{0} != {1}"),
    "not": _truth("~{0}", torch.logical_not, c="!{0}"),
}
