"""Cells that nobody wrote, drawn from a grammar of elementwise expressions: for the tests, and for what they cost."""

from __future__ import annotations

import random
from collections import namedtuple

from torch import clamp, exp, relu, sigmoid, tanh, where
from torch.nn.functional import softplus

from elman.recurrent import Cell

WORDS = {"clamp": clamp, "exp": exp, "relu": relu, "sigmoid": sigmoid, "softplus": softplus, "tanh": tanh}
WORDS["where"] = where


def expression(draw: random.Random, leaves: list[str], depth: int) -> str:
    """Elementwise, with values of about 1 and no poles; continuous, so that rounding cannot turn it over."""
    if depth == 0 or draw.random() < 0.15:
        return draw.choice([*leaves, *leaves, f"{draw.uniform(-0.8, 0.8):.3f} * {draw.choice(leaves)}"])
    a, b = (expression(draw, leaves, depth - 1) for _ in range(2))
    forms = [f"sigmoid({a})", f"tanh({a})", f"relu({a} + 0.3)", f"exp(-softplus({a}))", f"tanh({a}) * sigmoid({b})"]
    forms += [f"clamp({a}, -0.9, 1.1)", f"({a} + {b})", f"({a} - {b})", f"tanh({a}) * tanh({b})"]
    forms += [f"({a}) / (1 + ({b}) * ({b}))", f"where({a} > 0, {a}, 0.3 * ({a}))", f"(0.7 - 0.6 * {a})"]
    return draw.choice(forms)


def random_cell(seed: int) -> tuple[type[Cell], int, int]:
    """A class, the number of delays and a hidden size."""
    draw = random.Random(seed)
    gates = tuple("abdeg"[: draw.randint(2, 5)])
    fields = tuple("hcm"[: draw.randint(1, 3)])
    recurrent = tuple(sorted(draw.sample(gates, draw.randint(1, len(gates))), key=gates.index))
    biased = tuple(g for g in recurrent if draw.random() < 0.3)
    vectors = tuple("uv"[: draw.randint(0, 2)])
    lines, values = [], []
    for i, g in enumerate(gates):
        terms = [f"x.{g}"] + ([f"r.{g}"] if g in recurrent else [])
        if values and len(terms) == 2 and draw.random() < 0.4:  # as a reset gate does
            terms[1] = f"{draw.choice(values)} * r.{g}"
        if i < len(vectors):
            terms.append(f"self.{vectors[i]} * s.{draw.choice(fields)}")
        lines.append(f"{g} = {draw.choice(['sigmoid', 'tanh', 'sigmoid'])}({' + '.join(terms)})")
        values.append(g)
    leaves = [*values, *(f"s.{f}" for f in fields)]
    for f in fields:
        fresh = expression(draw, leaves, 3)
        lines += [f"{f}_gate = sigmoid({expression(draw, leaves, 2)})", f"{f} = tanh({fresh} + {draw.choice(values)})"]
        lines.append(f"{f} = {f}_gate * {f} + (0.9 - 0.8 * {f}_gate) * s.{f}")
        leaves.append(f)
    left = " + ".join([*values, *fields])
    lines.append(f"h = h + 0.1 * tanh({left})")  # so that every gate has a gradient
    body = "\n    ".join([*lines, f"return self.State({', '.join(fields)})"])
    recur, output = (draw.choice(["s.h", expression(draw, [f"s.{f}" for f in fields], 2)]) for _ in range(2))
    made: dict = {}
    methods = f"def step(self, s, x, r):\n    {body}\ndef recur(self, s):\n    return {recur}\n"
    exec(methods + f"def output(self, s):\n    return s.h + {output}\n", dict(WORDS), made)
    declared = {"State": namedtuple("State", fields), "gates": gates, "recurrent": recurrent, "recurrent_bias": biased}
    kind = type(f"Random{seed}", (Cell,), declared | {"vectors": vectors, "__doc__": methods} | made)
    return kind, draw.choice([1, 1, 2]), draw.choice([3, 5, 16, 17, 31])
