"""Values and gradients against loops written here from the papers' formulas, vector by vector, without the cells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elman.recurrent import CELLS, Bidirectional, Recurrent, Stack, Window, recurrent_stack, unroll

LENGTHS = [3, 0, 5, 1, 5, 2]
INPUT, HIDDEN = 3, 4
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


class HardGate(torch.autograd.Function):
    """1 where positive, 0 elsewhere; backwards as the logistic function (the straight-through estimator)."""

    @staticmethod
    def forward(context, a: Tensor) -> Tensor:
        context.save_for_backward(a)
        return (a > 0).to(a.dtype)

    @staticmethod
    def backward(context, grad: Tensor) -> Tensor:
        (a,) = context.saved_tensors
        return grad * torch.exp(-a) / (1 + torch.exp(-a)) ** 2


def logistic(a: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-a))


def tangent(a: Tensor) -> Tensor:
    return 2 / (1 + torch.exp(-2 * a)) - 1


# A formula takes the cell's parameters by name, x_t, what it carries ({"h": ..., "c": ...}) and the earlier h, newest
# first, and gives what it carries next and y_t. Column blocks of W, b and U stand in the order in which each paper's
# gates are listed here.


def column(matrix: Tensor, k: int) -> Tensor:
    return matrix[..., k * HIDDEN : (k + 1) * HIDDEN]


def from_input(p: dict, k: int, x: Tensor) -> Tensor:
    return x @ column(p["W"], k) + column(p["b"], k)


def from_past(p: dict, k: int, past: list[Tensor]) -> Tensor:
    """sum over d of h_{t-d} U_d, U_d being the d-th block of rows."""
    block = column(p["U"], k)
    return sum(h @ block[d * HIDDEN : (d + 1) * HIDDEN] for d, h in enumerate(past))


def elman(p, x, s, past):
    h = tangent(from_input(p, 0, x) + from_past(p, 0, past))
    return {"h": h}, h


def elman_relu(p, x, s, past):
    a = from_input(p, 0, x) + from_past(p, 0, past)
    h = torch.where(a > 0, a, torch.zeros_like(a))
    return {"h": h}, h


def lstm(p, x, s, past):
    i, f, z, o = (from_input(p, k, x) + from_past(p, k, past) for k in range(4))
    c = logistic(f) * s["c"] + logistic(i) * tangent(z)
    h = logistic(o) * tangent(c)
    return {"h": h, "c": c}, h


def lstm_peephole(p, x, s, past):
    i, f, z, o = (from_input(p, k, x) + from_past(p, k, past) for k in range(4))
    c = logistic(f + p["p_f"] * s["c"]) * s["c"] + logistic(i + p["p_i"] * s["c"]) * tangent(z)
    h = logistic(o + p["p_o"] * c) * tangent(c)
    return {"h": h, "c": c}, h


def lstm_coupled(p, x, s, past):
    f, z, o = (from_input(p, k, x) + from_past(p, k, past) for k in range(3))
    c = s["c"] / (1 + torch.exp(-f)) + tangent(z) / (1 + torch.exp(f))
    h = logistic(o) * tangent(c)
    return {"h": h, "c": c}, h


def standardised(a: Tensor) -> Tensor:
    mean = sum(a) / len(a)
    return (a - mean) / (sum((a - mean) ** 2) / len(a) + 1e-5) ** 0.5


def lstm_layernorm(p, x, s, past):
    a = p["gain_x"] * standardised(x @ p["W"]) + p["gain_h"] * standardised(s["h"] @ p["U"]) + p["b"]
    i, f, z, o = (column(a, k) for k in range(4))
    c = logistic(f) * s["c"] + logistic(i) * tangent(z)
    h = logistic(o) * tangent(p["gain_c"] * standardised(c) + p["bias_c"])
    return {"h": h, "c": c}, h


def gru(p, x, s, past):
    r, u = (logistic(from_input(p, k, x) + from_past(p, k, past)) for k in range(2))
    n = tangent(from_input(p, 2, x) + r * (from_past(p, 2, past) + p["c"]))
    h = (1 - u) * n + u * s["h"]
    return {"h": h}, h


def mgu(p, x, s, past):
    f = logistic(from_input(p, 0, x) + from_past(p, 0, past))
    h = s["h"] + f * (tangent(from_input(p, 1, x) + f * from_past(p, 1, past)) - s["h"])
    return {"h": h}, h


def indrnn(p, x, s, past):
    a = x @ p["W"] + p["b"] + p["u"] * s["h"]
    h = torch.where(a > 0, a, torch.zeros_like(a))
    return {"h": h}, h


def mingru(p, x, s, past):
    z = logistic(from_input(p, 0, x))
    h = s["h"] + z * (from_input(p, 1, x) - s["h"])
    return {"h": h}, h


def minlstm(p, x, s, past):
    f, i = (logistic(from_input(p, k, x)) for k in range(2))
    h = (f * s["h"] + i * from_input(p, 2, x)) / (f + i)
    return {"h": h}, h


def sru(p, x, s, past):
    f = logistic(from_input(p, 0, x) + p["v_f"] * s["c"])
    r = logistic(from_input(p, 1, x) + p["v_r"] * s["c"])
    c = from_input(p, 2, x) + f * (s["c"] - from_input(p, 2, x))
    skip = from_input(p, 3, x)
    h = skip + r * (c - skip)
    return {"h": h, "c": c}, h


def hard_memory(p, x, s, past):
    g = HardGate.apply(from_input(p, 0, x) + from_past(p, 0, past))
    h = g * from_input(p, 1, x) + (1 - g) * s["h"]
    return {"h": h}, h


def soft_memory(p, x, s, past):
    g = logistic(from_input(p, 0, x) + from_past(p, 0, past))
    h = g * from_input(p, 1, x) + (1 - g) * s["h"]
    return {"h": h}, h


def deep_transition(p, x, s, past):
    w1, shortcut = p["first.weight"], p["shortcut.weight"]
    middle = tangent(w1[:, : len(x)] @ x + w1[:, len(x) :] @ s["h"] + p["first.bias"])
    h = tangent(p["second.weight"] @ middle + p["second.bias"] + shortcut @ s["h"])
    return {"h": h}, tangent(p["out.weight"] @ h + p["out.bias"])


FORMULAS = {
    "elman": elman,
    "elman-relu": elman_relu,
    "lstm": lstm,
    "lstm-peephole": lstm_peephole,
    "lstm-coupled": lstm_coupled,
    "lstm-layernorm": lstm_layernorm,
    "gru": gru,
    "mgu": mgu,
    "indrnn": indrnn,
    "mingru": mingru,
    "minlstm": minlstm,
    "sru": sru,
    "hard-memory": hard_memory,
    "soft-memory": soft_memory,
    "deep-transition": deep_transition,
}
WITH_U = [name for name, kind in CELLS.items() if kind.R is CELLS["elman"].R and kind.recurrent != ()]
CASES = [(name, delays) for name in CELLS for delays in (1, 2, 3) if delays == 1 or name in WITH_U]
# Every history length is a library of its own to compile, so on the native path two stand for all.
COMPILED = [(name, delays) for name, delays in CASES if delays == 1 or (name, delays) in (("gru", 2), ("elman", 3))]
BOTH = [(*case, "reference") for case in CASES] + [(*case, "native") for case in COMPILED]
on_both_paths = pytest.mark.usefixtures("backend")


def make(cell_class, input_size=INPUT, **options):
    """A float64 cell whose every parameter differs from 0."""
    cell = cell_class(input_size, HIDDEN, **options).double()
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    return cell


def oracle(formula, p, xs, state, delays, reverse):
    """One sequence, one vector after another. state: {field: (sequences, hidden)}, `past1` the h before h."""
    outputs, ends = [], []
    for i, x in enumerate(xs):
        s = {name: rows[i] for name, rows in state.items() if not name.startswith("past")}
        past = [s["h"], *(state[f"past{d}"][i] for d in range(1, delays))]
        ys = {}
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            s, ys[t] = formula(p, x[t], s, past)
            past = [s["h"], *past][:delays]
        outputs.append(torch.stack([ys[t] for t in sorted(ys)]) if ys else x.new_zeros(0, HIDDEN))
        ends.append(s | {f"past{d}": past[d] for d in range(1, delays)})
    return outputs, {name: torch.stack([end[name] for end in ends]) for name in ends[0]}


def weighted_sum(ys: list[Tensor], ends: list[Tensor]) -> Tensor:
    """A number to differentiate in which every result has its own weights."""
    torch.manual_seed(7)
    return sum((value * torch.randn_like(value)).sum() for value in [*ys, *ends])


def agree(got_ys, got_ends, ys, ends, leaves):
    for got, expected in zip([*got_ys, *got_ends], [*ys, *ends], strict=True):
        torch.testing.assert_close(got, expected, **CLOSE)
    got = torch.autograd.grad(weighted_sum(got_ys, got_ends), leaves)
    expected = torch.autograd.grad(weighted_sum(ys, ends), leaves)
    for a, b in zip(got, expected, strict=True):
        assert b.abs().max() > 0, "a gradient that is 0 everywhere shows nothing"
        torch.testing.assert_close(a, b, **CLOSE)


def test_every_registered_cell_has_a_formula():
    assert set(FORMULAS) == set(CELLS)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name, delays, backend", BOTH, indirect=["backend"])
def test_cell_against_its_formula(name, delays, backend, reverse):
    torch.manual_seed(1)
    cell = make(CELLS[name], delays=delays)
    xs = [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    fields = cell.Carried._fields
    state = {f: torch.randn(len(xs), HIDDEN, dtype=torch.float64, requires_grad=True) for f in fields}
    ys, end = unroll(cell, xs, list(state.values()), reverse=reverse)
    expected, expected_end = oracle(FORMULAS[name], dict(cell.named_parameters()), xs, state, delays, reverse)
    leaves = [*cell.parameters(), *(x for x in xs if len(x)), *state.values()]
    agree(ys, end, expected, [expected_end[f] for f in fields], leaves)


@on_both_paths
@pytest.mark.parametrize("name", CELLS)
def test_padded_input_against_its_formula(name):
    torch.manual_seed(2)
    cell = make(CELLS[name])
    padded = torch.randn(len(LENGTHS), 6, INPUT, dtype=torch.float64, requires_grad=True)
    ys, end = unroll(cell, padded, lengths=LENGTHS)
    xs = [padded[i, :n] for i, n in enumerate(LENGTHS)]
    state = {f: torch.zeros(len(xs), HIDDEN, dtype=torch.float64) for f in cell.Carried._fields}
    expected, expected_end = oracle(FORMULAS[name], dict(cell.named_parameters()), xs, state, 1, False)
    padded_expected = torch.stack([torch.cat([y, y.new_zeros(6 - len(y), HIDDEN)]) for y in expected])
    agree([ys], end, [padded_expected], list(expected_end.values()), [padded, *cell.parameters()])


@pytest.mark.parametrize("before, after", [(0, 0), (2, 1), (3, 0), (0, 2), (7, 7)])
def test_window_against_indexing(before, after):
    torch.manual_seed(3)
    xs = [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    past = torch.randn(len(xs), before * INPUT, dtype=torch.float64, requires_grad=True)
    ys, (end,) = Window(INPUT, before=before, after=after)(xs, (past,))
    expected, expected_end = [], []
    for x, remembered in zip(xs, past, strict=True):
        seen = [*remembered.view(before, INPUT), *x, *x.new_zeros(after, INPUT)]
        windows = [torch.cat(seen[t : t + before + 1 + after]) for t in range(len(x))]
        expected.append(torch.stack(windows) if windows else x.new_zeros(0, INPUT * (before + 1 + after)))
        expected_end.append(torch.cat([x.new_zeros(0), *seen[len(x) : len(x) + before]]))
    leaves = [x for x in xs if len(x)] + ([past] if before else [])
    agree(ys, [end], expected, [torch.stack(expected_end)], leaves)


def both_ways(p, prefix, formula, xs):
    """A bidirectional layer by hand: outputs side by side, and the two final states."""
    results = []
    for part, reverse in (("ahead", False), ("back", True)):
        own = {k.removeprefix(f"{prefix}{part}.cell."): v for k, v in p.items() if k.startswith(f"{prefix}{part}.")}
        zeros = {f: xs[0].new_zeros(len(xs), HIDDEN) for f in ("h", "c")}
        results.append(oracle(formula, own, xs, zeros, 1, reverse))
    (ahead, ahead_end), (back, back_end) = results
    ys = [torch.cat(pair, -1) for pair in zip(ahead, back, strict=True)]
    return ys, [end[f] for end in (ahead_end, back_end) for f in ("h", "c") if f in end]


@on_both_paths
@pytest.mark.parametrize("name", CELLS)
def test_two_bidirectional_layers_over_a_window(name):
    torch.manual_seed(4)
    stack = Stack(Window(INPUT, before=1, after=1), recurrent_stack(CELLS[name], 3 * INPUT, HIDDEN, layers=2)).double()
    xs = [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    ys, state = stack(xs)
    got_ends = [field for layer in state[1] for direction in layer for field in direction]
    p = dict(stack.named_parameters())
    windows = []
    for x in xs:
        edge = x.new_zeros(1, INPUT)
        windows.append(torch.cat([torch.cat([edge, x])[: len(x)], x, torch.cat([x, edge])[1:]], -1))
    middle, first_ends = both_ways(p, "layers.1.layers.0.", FORMULAS[name], windows)
    expected, second_ends = both_ways(p, "layers.1.layers.1.", FORMULAS[name], middle)
    leaves = [*stack.parameters(), *(x for x in xs if len(x))]
    agree(ys, got_ends, expected, [*first_ends, *second_ends], leaves)
    for encoded, y in zip(stack.final(state), expected, strict=True):
        if len(y):  # the forward half at the last step, the backward half at the first
            torch.testing.assert_close(encoded, torch.cat([y[-1, :HIDDEN], y[0, HIDDEN:]]), **CLOSE)


@on_both_paths
def test_different_cells_in_the_two_directions_and_a_reverse_layer_on_top():
    torch.manual_seed(5)
    forward, backward, top = make(CELLS["gru"]), make(CELLS["lstm"]), make(CELLS["elman"], 2 * HIDDEN, delays=3)
    stack = Stack(Bidirectional(forward, backward), Recurrent(top, reverse=True))
    xs = [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    ys, (_, end) = stack(xs)
    zeros = {f: torch.zeros(len(xs), HIDDEN, dtype=torch.float64) for f in ("h", "c")}
    ahead, _ = oracle(gru, dict(forward.named_parameters()), xs, {"h": zeros["h"]}, 1, False)
    back, _ = oracle(lstm, dict(backward.named_parameters()), xs, zeros, 1, True)
    middle = [torch.cat(pair, -1) for pair in zip(ahead, back, strict=True)]
    before = dict.fromkeys(("h", "past1", "past2"), zeros["h"])
    expected, expected_end = oracle(elman, dict(top.named_parameters()), middle, before, 3, True)
    leaves = [*stack.parameters(), *(x for x in xs if len(x))]
    agree(ys, end, expected, [expected_end[field] for field in before], leaves)
