"""Graphs say less and mean the same; the backward pass keeps as little as can be; sources are stable and readable."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from itertools import chain, combinations, product

import numpy as np
import pytest
import torch

from elman.recurrent import CELLS, Cell
from elman.recurrent.kernels.emit import emit
from elman.recurrent.kernels.graph import Graph, kept_for_backward, ordered
from elman.recurrent.kernels.graph import evaluate as in_torch
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.kernels.trace import trace

FITTING = [name for name, kind in CELLS.items() if kind.R is Cell.R]
NUMBERS = [0.0, 1.0, -1.0, 2.0, -0.5]
UNARY, BINARY = ("neg", "sigmoid", "tanh", "abs"), ("add", "sub", "mul", "minimum", "maximum")


def test_the_interpreter_knows_every_operation(meaning):
    assert set(meaning) == set(OPERATIONS)


SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, -3.0, 20.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("op", OPERATIONS)
def test_an_operation_means_in_torch_what_it_means_in_numpy(op, meaning):
    a, b = (np.array(values) for values in zip(*product(SPECIAL, SPECIAL), strict=True))
    g = Graph()
    arguments = (g.input("x", 0), g.input("x", 1))
    if op in ("and", "or", "xor", "not", "where"):
        truth = g("gt", arguments[0], 0.0)
        other = g("gt", arguments[1], 0.0)
        arguments = (truth, *arguments) if op == "where" else (truth, other)
        values = (a > 0, a, b) if op == "where" else (a > 0, b > 0)
    else:
        values = (a, b)
    count = OPERATIONS[op].cpp.count("{")
    (got,) = in_torch([g(op, *arguments[:count])], {("x", 0): torch.tensor(a), ("x", 1): torch.tensor(b)})
    assert (got.dtype == torch.bool) == OPERATIONS[op].truth
    with np.errstate(all="ignore"):
        expected = meaning[op](*values[:count])
    np.testing.assert_allclose(got.numpy().astype(float), np.asarray(expected, dtype=float), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("seed", range(150))
def test_what_is_said_shorter_means_the_same(seed, evaluate, meaning):
    """Every value is computed beside its node, from the expression as it was asked for."""
    draw, graph = random.Random(seed), Graph()
    inputs = {("x", i): np.array([draw.gauss(0, 1) for _ in range(5)]) for i in range(3)}
    made = [(graph.input(*key), value) for key, value in inputs.items()]
    made += [(graph.const(n), np.full(5, n)) for n in NUMBERS]
    truths = [(graph("gt", made[0][0], made[1][0]), made[0][1] > made[1][1])]
    for _ in range(40):
        kind = draw.random()
        (a, va), (b, vb) = draw.choice(made), draw.choice(made)
        if kind < 0.25:
            op = draw.choice(UNARY)
            made.append((graph(op, a), meaning[op](va)))
        elif kind < 0.8:
            op = draw.choice(BINARY)
            made.append((graph(op, a, b), meaning[op](va, vb)))
        elif kind < 0.85:
            number = draw.choice([1.0, 2.0, -4.0])
            made.append((graph("div", a, number), va / number))
        elif kind < 0.9:
            op = draw.choice(["gt", "lt", "ge", "le", "eq", "ne"])
            truths.append((graph(op, a, b), meaning[op](va, vb)))
        else:
            c, vc = draw.choice(truths)
            made.append((graph("where", c, a, b), np.where(vc, va, vb)))
    got = evaluate([node for node, _ in made + truths], inputs)
    for found, (_, wanted) in zip(got, made + truths, strict=True):
        np.testing.assert_allclose(np.broadcast_to(found, 5).astype(float), wanted.astype(float), rtol=1e-12, atol=0)


def test_what_is_shorter():
    g = Graph()
    a, b, truth = g.input("x", 0), g.input("x", 1), g("gt", g.input("x", 0), 0.0)
    for same in [
        (g("add", a, b), g("add", b, a)),
        (g("mul", a, b), g("mul", b, a)),
        (g("sub", a, 0.0), a),
        (g("mul", a, 1.0), a),
        (g("mul", 1.0, a), a),
        (g("div", a, 1.0), a),
        (g("mul", a, -1.0), g("neg", a)),
        (g("neg", g("neg", a)), a),
        (g("add", a, g("neg", b)), g("sub", a, b)),
        (g("add", g("neg", b), a), g("sub", a, b)),
        (g("where", truth, a, a), a),
        (g("add", g.const(2), g.const(3)), g.const(5)),
        (g.input("x", 0), a),
    ]:
        assert same[0] is same[1]
    assert g("sub", a, b) is not g("sub", b, a) and g.const(0.0) is not g.const(1.0)
    # not the same where a is infinite, NaN or -0
    assert g("mul", a, 0.0) is not g.const(0) and g("add", a, 0.0) is not a and g("sub", 0.0, a) is not g("neg", a)
    assert list(ordered([g("add", a, b)])) == [a, b, g("add", a, b)]


# What is kept ----------------------------------------------------------------------------------------------------


def small_graph(seed):
    """Forward results and backward results of a graph with a dozen nodes of the row."""
    draw, g = random.Random(seed), Graph()
    early = [g.input(kind, i) for kind, i in (("x", 0), ("r", 0), ("s", 0))][: draw.randint(1, 3)]
    free = [g.input("p", 0), g.input("noise", 0), g.const(2)]
    for _ in range(draw.randint(2, 7)):
        if draw.random() < 0.45:
            early.append(g(draw.choice(["sigmoid", "tanh", "exp", "neg"]), draw.choice(early)))
        else:
            early.append(g(draw.choice(["add", "mul", "sub", "div"]), draw.choice(early), draw.choice(early + free)))
    late = [g.input("dafter", 0)]
    for _ in range(draw.randint(1, 5)):
        late.append(g(draw.choice(["mul", "mul", "add"]), draw.choice(late), draw.choice(early + free + late)))
    return [early[-1]], late[-draw.randint(1, len(late)) :]


def computable(backward, kept):
    """Whether the backward pass can do with what is kept, and computes nothing expensive of the forward pass again."""
    late, known = set(), {}
    for node in ordered(backward):
        if node.op == "input":
            if node.value[0].startswith("d"):
                late.add(node)
            known[node] = node in kept or node in late or node.value[0] in ("p", "mask", "noise")
            continue
        if any(a in late for a in node.args):
            late.add(node)
        free = all(f.op != "input" or f.value[0] in ("p", "mask", "noise") for f in ordered([node]))
        again = node in late or free or not node.expensive
        known[node] = node in kept or (again and all(known[a] for a in node.args))
    return all(known[node] for node in backward)


def price(kept):
    return sum(1.01 if node.op == "input" else 1.0 for node in kept)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_less_could_be_kept(seed):
    forward, backward = small_graph(seed)
    kept = kept_for_backward(forward, backward)
    assert computable(backward, set(kept)) and len(set(kept)) == len(kept)
    held = [
        n
        for n in ordered([*forward, *backward])
        if n.op != "const"
        and not any(a.op == "input" and a.value[0].startswith("d") for a in ordered([n]))
        and any(a.op == "input" and a.value[0] in "xrs" for a in ordered([n]))
    ]
    subsets = chain.from_iterable(combinations(held, size) for size in range(len(kept) + 1))
    cheapest = min(price(subset) for subset in subsets if computable(backward, set(subset)))
    assert abs(price(kept) - cheapest) < 1e-9, [n.op for n in kept]


# What is written -------------------------------------------------------------------------------------------------


def written(name, masked=False, zoneout=False, delays=1):
    cell = CELLS[name](3, 4, delays=delays)
    return emit(cell, trace(cell, masked, zoneout), masked, zoneout)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", FITTING)
def test_every_statement_is_used(name, masked):
    has_products = CELLS[name].recurrent != ()
    source = written(name, masked and has_products, masked).source
    ahead, back = source[source.index("void forward") :].split("void backward")
    for body in (ahead, back):
        lines = re.findall(r"const [VI] (\w+) = (.*);", body)
        assert lines
        for i, (statement, _) in enumerate(lines):
            later = body.split(f" {statement} = ", 1)[1].split(";", 1)[1]
            assert re.search(rf"\b{statement}\b", later), f"{statement} of line {i} is computed for nothing:\n{source}"
        assert len({statement for statement, _ in lines}) == len(lines)
        expressions = [text for _, text in lines]
        assert len(set(expressions)) == len(expressions), "the same is computed twice"


@pytest.mark.parametrize("name", FITTING)
def test_the_backward_pass_computes_nothing_expensive_of_the_forward_pass(name):
    back = written(name).source.split("void backward")[1]
    assert not re.search(r"sigmoid|vtanh|vexp|vlog", back), back


def test_gates_keep_their_names():
    for name, gates in {"lstm": "ifo", "gru": ["r", "u"], "mgu": "f", "lstm-peephole": "ifo"}.items():
        source = written(name).source
        found = set(re.findall(r"const V (\w+) = sigmoid", source))
        assert found >= {f"{gate}_" for gate in gates}, source
        assert f"// {type(CELLS[name](3, 4)).__name__}, derived from its step" in source
        assert f"x: {', '.join(CELLS[name].gates)}" in source


def test_what_a_program_says_of_itself():
    lstm, ind, hard = written("lstm"), written("indrnn"), written("hard-memory")
    assert (lstm.gates, lstm.delays) == (4, 1) and lstm.recurrent == (0, 1, 2, 3)
    # i, f, o, z, tanh(c) and the old c: an LSTM by hand keeps the same six
    assert lstm.kept == 6 and lstm.blocks == 4 and not lstm.reads_x
    assert ind.recurrent == () and len(ind.vectors) == 1
    assert hard.gates == 2 and len(hard.recurrent) == 1 and hard.recurrent[0] == 0
    gru = written("gru")  # r.n is seen through the reset gate, so its gradient is a block of its own, as is that of c
    assert gru.recurrent[:2] == (0, 1) and gru.blocks == 4 and gru.recurrent[2] == gru.vectors[0] == 3


def test_the_source_is_the_same_in_every_process():
    code = (
        "from elman.recurrent import CELLS\nfrom elman.recurrent.kernels.emit import emit\n"
        "from elman.recurrent.kernels.trace import trace\n"
        "for name in ('lstm', 'gru', 'lstm-peephole', 'hard-memory'):\n"
        "    cell = CELLS[name](3, 4)\n"
        "    print(emit(cell, trace(cell, False, True), False, True).source)\n"
    )
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    ).stdout
    here = "".join(written(n, False, True).source + "\n" for n in ("lstm", "gru", "lstm-peephole", "hard-memory"))
    assert found == here and len(here) > 1000
