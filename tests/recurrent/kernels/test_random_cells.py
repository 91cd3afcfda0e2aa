"""Cells that nobody wrote, drawn from a grammar: compiled, against autograd in float64 through a loop written here."""

from __future__ import annotations

import importlib.util
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from elman.recurrent import Bidirectional
from elman.recurrent.backend import use_backend

GRAMMAR = Path(__file__).parents[3] / "benchmarks" / "random_cells.py"
specification = importlib.util.spec_from_file_location("random_cells", GRAMMAR)
assert specification is not None and specification.loader is not None
random_cells = importlib.util.module_from_spec(specification)
specification.loader.exec_module(random_cells)
random_cell = random_cells.random_cell

pytestmark = pytest.mark.usefixtures("compiler")
INPUT = 5
RAGGED, EVEN = [5, 0, 3, 7, 1, 3, 0, 4], [2] * 9  # the second is cut by rows where there are threads
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def make(kind, hidden, delays, dtype):
    cell = kind(INPUT, hidden, delays=delays).double()
    with torch.no_grad():
        for name, p in cell.named_parameters():
            p.add_(torch.randn_like(p), alpha=0.3 if p.dim() == 1 else 0.3 / p.shape[0] ** 0.5)
            if name == "U":
                p.mul_(0.7 / delays)
    return cell.to(dtype)


def by_hand(cell, p, xs, state, reverse):
    """Sequence by sequence, with nothing of the cell but its equation. p: parameters by name, in float64."""
    H, recurrent = cell.hidden_size, cell.gates if cell.recurrent is None else cell.recurrent
    X, Rec = namedtuple("X", cell.gates), namedtuple("Rec", recurrent)
    outputs, ends = [], []
    for i, x in enumerate(xs):
        s = cell.State(*(value[i : i + 1] for value in state[: len(cell.State._fields)]))
        past = [value[i : i + 1] for value in state[len(cell.State._fields) :]]
        ys = {}
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            a = x[t : t + 1] @ p["W"] + p["b"]
            seen = [cell.recur(s), *past]
            u = sum(h @ p["U"][k * H : (k + 1) * H] for k, h in enumerate(seen))
            r = dict(zip(recurrent, u.split(H, -1), strict=True))
            for k, name in enumerate(cell.recurrent_bias):
                r[name] = r[name] + p["c"][k * H : (k + 1) * H]
            own = {name: p[name] for name in cell.vectors}
            shell = type("Shell", (), {**own, "State": cell.State})
            s = type(cell).step(shell, s, X(*a.split(H, -1)), Rec(**r))
            past = seen[: len(past)]
            ys[t] = type(cell).output(cell, s)
        outputs.append(torch.cat([ys[t] for t in sorted(ys)]) if ys else x.new_zeros(0, H))
        ends.append([*s, *past])
    return outputs, [torch.cat(values) for values in zip(*ends, strict=True)]


def leaves_of(cells, x, states):
    named = {f"{way} {name}": p for way, cell in zip(("ahead", "back"), cells, strict=True) for name, p in cell.items()}
    named |= {f"{way} state {i}": v for way, s in zip(("ahead", "back"), states, strict=True) for i, v in enumerate(s)}
    return named | {"x": x}


def gradients(results, leaves):
    """Of a sum in which every result has its own weight."""
    torch.manual_seed(7)
    loss = sum((v.double() * torch.randn(v.shape, dtype=torch.float64)).sum() for v in results)
    return torch.autograd.grad(loss, list(leaves.values()))


def compiled(cells, x, lengths, states, threads, half):
    """Outputs and ends of one layer of two compiled cells, one in each direction; and the gradients of all leaves."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with use_backend("native"), torch.autocast("cpu", torch.bfloat16, enabled=half):
            ys, ends = Bidirectional(*cells)(list(x.split(lengths)), states)
        got = [torch.cat(ys), *ends[0], *ends[1]]
        return got, gradients(got, leaves_of([dict(cell.named_parameters()) for cell in cells], x, states))
    finally:
        torch.set_num_threads(before)


def errors(seed, dtype, lengths, hidden=None):
    """{what: relative error}, with 1, 2 and 4 threads."""
    kind, delays, small = random_cell(seed)
    hidden = hidden or small
    torch.manual_seed(seed)
    stored = torch.float64 if dtype == torch.float64 else torch.float32
    cells = [make(kind, hidden, delays, stored) for _ in range(2)]
    x = torch.randn(sum(lengths), INPUT, dtype=stored, requires_grad=True)
    rows = (len(lengths), hidden)
    states = [
        [torch.randn(rows, dtype=stored).div(2).requires_grad_() for _ in cells[0].Carried._fields] for _ in cells
    ]

    def exact(t):
        return t.detach().double().requires_grad_()

    exact_x, exact_states = exact(x), [[exact(v) for v in s] for s in states]
    exact_p = [{name: exact(p) for name, p in cell.named_parameters()} for cell in cells]
    halves = [
        by_hand(cell, p, exact_x.split(lengths), s, reverse)
        for cell, p, s, reverse in zip(cells, exact_p, exact_states, (False, True), strict=True)
    ]
    expected = [torch.cat([torch.cat(ys) for ys, _ in halves], -1), *halves[0][1], *halves[1][1]]
    wanted = leaves_of(exact_p, exact_x, exact_states)
    names = ["outputs", *(f"end {i}" for i in range(len(expected) - 1)), *(f"gradient of {name}" for name in wanted)]
    expected += gradients(expected, wanted)
    found = {}
    for threads in (1, 2, 4):  # 2: one a direction. 4: a team of two, that cuts rows or panels
        got, grads = compiled(cells, x, lengths, states, threads, dtype == torch.bfloat16)
        for name, a, b in zip(names, [*got, *grads], expected, strict=True):
            assert b.norm() > 0, f"{name} is 0 everywhere, which shows nothing"
            found[f"{name}, threads {threads}"] = ((a.double() - b).norm() / b.norm()).item()
    return found


def agree(seed, dtype, lengths, hidden=None):
    found = errors(seed, dtype, lengths, hidden)
    wrong = {name: error for name, error in found.items() if not error <= CLOSE[dtype]}
    assert not wrong, f"{wrong}\n{random_cell(seed)[0].__doc__}"


SEEDS = range(6)


def test_the_grammar_covers_what_a_cell_may_declare():
    cells = [random_cell(seed) for seed in SEEDS]
    assert {len(kind.State._fields) for kind, *_ in cells} == {1, 2, 3} and {d for _, d, _ in cells} == {1, 2}
    assert any(set(kind.recurrent) < set(kind.gates) for kind, *_ in cells)
    assert any(kind.recurrent_bias for kind, *_ in cells) and any(kind.vectors for kind, *_ in cells)
    assert {len(kind.gates) for kind, *_ in cells} >= {2, 5}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_cell_in_float32(seed):
    for lengths in (RAGGED, EVEN):
        agree(seed, torch.float32, lengths)


def test_units_in_several_panels():
    """More units than a panel holds, and not a whole number of vectors."""
    for lengths in (RAGGED, EVEN):
        agree(3, torch.float32, lengths, hidden=101)


def test_a_random_cell_in_float64():
    for lengths in (RAGGED, EVEN):
        agree(3, torch.float64, lengths)
        agree(3, torch.float64, lengths, hidden=67)


@pytest.mark.parametrize("seed", [2, 3])
def test_a_random_cell_in_bfloat16(seed):
    for lengths in (RAGGED, EVEN):
        # with a handful of units one relu that rounding turns over is a tenth of a gradient, on any path
        agree(seed, torch.bfloat16, lengths, hidden=17)
        agree(seed, torch.bfloat16, lengths, hidden=101)
