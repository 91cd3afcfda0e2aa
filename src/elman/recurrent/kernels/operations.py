"""The one table of elementwise operations: what expression graphs consist of, with the C++ and torch form of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """cpp: in C++ on vectors of units (maths.h), with {0}, {1}, {2} for its arguments.
    torch: what it means, on tensors.
    truth: its result is true or false, not a number.
    expensive: it costs more than a few additions, so its result is kept and the backward pass never recomputes it."""

    cpp: str
    torch: Callable[..., Tensor]
    truth: bool = False
    expensive: bool = False


def _expensive(cpp: str, torch: Callable[..., Tensor]) -> Operation:
    return Operation(cpp, torch, expensive=True)


def _truth(cpp: str, torch: Callable[..., Tensor]) -> Operation:
    return Operation(cpp, torch, truth=True)


OPERATIONS: dict[str, Operation] = {
    "add": Operation("{0} + {1}", torch.add),
    "sub": Operation("{0} - {1}", torch.sub),
    "mul": Operation("{0} * {1}", torch.mul),
    "div": _expensive("{0} / {1}", torch.div),
    "neg": Operation("-{0}", torch.neg),
    "abs": Operation("vabs({0})", torch.abs),
    "sign": Operation("vsign({0})", torch.sign),
    "minimum": Operation("vmin({0}, {1})", torch.minimum),
    "maximum": Operation("vmax({0}, {1})", torch.maximum),
    "where": Operation("{0} ? {1} : {2}", torch.where),
    "floor": Operation("vfloor({0})", torch.floor),
    "ceil": Operation("vceil({0})", torch.ceil),
    "trunc": Operation("vtrunc({0})", torch.trunc),
    "round": Operation("vround({0})", torch.round),
    "fmod": _expensive("vfmod({0}, {1})", torch.fmod),
    "remainder": _expensive("vremainder({0}, {1})", torch.remainder),
    "floor_divide": _expensive("vfloordiv({0}, {1})", torch.floor_divide),
    "sigmoid": _expensive("sigmoid({0})", torch.sigmoid),
    "tanh": _expensive("vtanh({0})", torch.tanh),
    "exp": _expensive("vexp({0})", torch.exp),
    "exp2": _expensive("vexp2({0})", torch.exp2),
    "expm1": _expensive("vexpm1({0})", torch.expm1),
    "log": _expensive("vlog({0})", torch.log),
    "log2": _expensive("vlog2({0})", torch.log2),
    "log10": _expensive("vlog10({0})", torch.log10),
    "log1p": _expensive("vlog1p({0})", torch.log1p),
    "sqrt": _expensive("vsqrt({0})", torch.sqrt),
    "sin": _expensive("vsin({0})", torch.sin),
    "cos": _expensive("vcos({0})", torch.cos),
    "tan": _expensive("vtan({0})", torch.tan),
    "asin": _expensive("vasin({0})", torch.asin),
    "acos": _expensive("vacos({0})", torch.acos),
    "atan": _expensive("vatan({0})", torch.atan),
    "atan2": _expensive("vatan2({0}, {1})", torch.atan2),
    "sinh": _expensive("vsinh({0})", torch.sinh),
    "cosh": _expensive("vcosh({0})", torch.cosh),
    "asinh": _expensive("vasinh({0})", torch.asinh),
    "acosh": _expensive("vacosh({0})", torch.acosh),
    "atanh": _expensive("vatanh({0})", torch.atanh),
    "erf": _expensive("verf({0})", torch.erf),
    "erfc": _expensive("verfc({0})", torch.erfc),
    "hypot": _expensive("vhypot({0}, {1})", torch.hypot),
    "pow": _expensive("vpow({0}, {1})", torch.pow),
    "gt": _truth("{0} > {1}", torch.gt),
    "lt": _truth("{0} < {1}", torch.lt),
    "ge": _truth("{0} >= {1}", torch.ge),
    "le": _truth("{0} <= {1}", torch.le),
    "eq": _truth("{0} == {1}", torch.eq),
    "ne": _truth("{0} != {1}", torch.ne),
    "and": _truth("{0} & {1}", torch.logical_and),
    "or": _truth("{0} | {1}", torch.logical_or),
    "xor": _truth("{0} ^ {1}", torch.logical_xor),
    "not": _truth("~{0}", torch.logical_not),
}
