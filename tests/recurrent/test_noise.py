"""Noise in time: against loops written here, vector by vector; what is drawn, from which generator; evaluation."""

from __future__ import annotations

import copy
from collections import namedtuple

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from elman.recurrent import CELLS, Bidirectional, Cell, Packed, Recurrent, recurrent_stack, unroll
from elman.recurrent.noise import Modifiers, Noise

LENGTHS = [3, 0, 5, 1, 5, 2]
INPUT, HIDDEN = 3, 4
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
ALL = {"zoneout": 0.3, "recurrent_dropout": 0.4, "weight_dropout": 0.5}


# The oracle: p are the cell's parameters, x one token, s the state before, seen = [h_{t-1}, h_{t-2}, ...], masked.


def halves(p, U, x, seen, gates):
    """What the input and what the past give to each gate."""
    return (x @ p["W"] + p["b"]).view(gates, HIDDEN), (torch.cat(seen) @ U).view(-1, HIDDEN)


def elman(p, U, x, s, seen):
    (z,), (u,) = halves(p, U, x, seen, 1)
    return {"h": torch.tanh(z + u)}


def lstm(p, U, x, s, seen):
    a, b = halves(p, U, x, seen, 4)
    i, f, z, o = a + b
    c = s["c"] / (1 + torch.exp(-f)) + torch.tanh(z) / (1 + torch.exp(-i))
    return {"h": torch.tanh(c) / (1 + torch.exp(-o)), "c": c}


def gru(p, U, x, s, seen):
    a, b = halves(p, U, x, seen, 3)
    r, u = (1 / (1 + torch.exp(-a[k] - b[k])) for k in range(2))
    n = torch.tanh(a[2] + r * (b[2] + p["c"]))
    return {"h": (1 - u) * n + u * s["h"]}


def mingru(p, U, x, s, seen):
    a = (x @ p["W"] + p["b"]).view(2, HIDDEN)
    z = 1 / (1 + torch.exp(-a[0]))
    return {"h": (1 - z) * s["h"] + z * a[1]}


def deep_transition(p, U, x, s, seen):
    both = torch.cat([x, s["h"]])
    middle = torch.tanh(p["first.weight"] @ both + p["first.bias"])
    return {"h": torch.tanh(p["second.weight"] @ middle + p["second.bias"] + p["shortcut.weight"] @ s["h"])}


FORMULAS = {"elman": elman, "lstm": lstm, "gru": gru, "mingru": mingru, "deep-transition": deep_transition}
READ = {"deep-transition": lambda p, h: torch.tanh(p["out.weight"] @ h + p["out.bias"])}  # O, where it is not h


def loop(name, p, xs, state, delays, reverse, mask=None, zoneout=None, U=None):
    """Sequence by sequence. xs fall in length, so sequence i of step t stands in row (sequences before it at t) + i.

    state: {field: (sequences, hidden)}, past1 the h before h. zoneout: {field: rows or number}."""
    U = p.get("U") if U is None else U
    lengths = [len(x) for x in xs]
    first_row = [sum(min(n, t) for n in lengths) for t in range(max(lengths))]
    outputs, ends = [], []
    for i, x in enumerate(xs):
        s = {f: rows[i] for f, rows in state.items() if not f.startswith("past")}
        past = [s["h"], *(state[f"past{d}"][i] for d in range(1, delays))]
        ys = {}
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            seen = past if mask is None else [h * mask[i] for h in past]
            new = FORMULAS[name](p, U, x[t], s, seen)
            for field, z in (zoneout or {}).items():
                z = z[first_row[t] + i] if isinstance(z, torch.Tensor) else z
                new[field] = new[field] + z * (s[field] - new[field])
            s = new
            ys[t] = READ[name](p, s["h"]) if name in READ else s["h"]
            past = [s["h"], *past][:delays]
        outputs.append(torch.stack([ys[t] for t in sorted(ys)]) if ys else x.new_zeros(0, HIDDEN))
        ends.append(s | {f"past{d}": past[d] for d in range(1, delays)})
    return outputs, {f: torch.stack([end[f] for end in ends]) for f in ends[0]}


def make(name, width=INPUT, **options):
    """A float64 cell whose every parameter differs from 0."""
    cell = CELLS[name](width, HIDDEN, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return cell


def falling(lengths=LENGTHS):
    """Sequences in packed order, which is then the caller's too."""
    return [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in sorted(lengths, reverse=True)]


def coins(*shape, p=0.5):
    return torch.full(shape, p, dtype=torch.float64).bernoulli()


def weighted_sum(ys, ends):
    torch.manual_seed(7)
    return sum((value * torch.randn_like(value)).sum() for value in [*ys, *ends])


def agree(got, expected, leaves):
    """Outputs, end states and the gradients of all leaves."""
    for a, b in zip([*got[0], *got[1]], [*expected[0], *expected[1].values()], strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    grads = torch.autograd.grad(weighted_sum(*got), leaves)
    for a, b in zip(grads, torch.autograd.grad(weighted_sum(expected[0], expected[1].values()), leaves), strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, **CLOSE)


HARD = [(name, delays, kind) for name in ("elman", "lstm", "gru") for delays in (1, 3) for kind in ["mask", "U", "all"]]
HARD += [(name, 1, "zoneout") for name in FORMULAS] + [("lstm", 3, "zoneout"), ("lstm", 1, "numbers")]
# Mask and zoneout are in the compiled code: these cells share libraries with other tests, or show a kind of noise.
COMPILED = [("lstm", 1, kind) for kind in ("mask", "U", "zoneout", "numbers")]
COMPILED += [("gru", 1, "all"), ("gru", 1, "U"), ("elman", 3, "U"), ("mingru", 1, "zoneout")]
COMPILED += [("elman", 3, "mask"), ("gru", 3, "all"), ("deep-transition", 1, "zoneout")]  # exceptions
BOTH = [(*case, "reference") for case in HARD] + [(*case, "native") for case in COMPILED]
on_both_paths = pytest.mark.usefixtures("backend")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name, delays, kind, backend", BOTH, indirect=["backend"])
def test_noise_against_a_loop_vector_by_vector(name, delays, kind, backend, reverse):
    torch.manual_seed(1)
    cell, xs = make(name, delays=delays), falling()
    fields, rows = cell.Carried._fields, sum(LENGTHS)
    state = {f: torch.randn(len(xs), HIDDEN, dtype=torch.float64, requires_grad=True) for f in fields}
    mask = zoneout = kept = None
    if kind in ("mask", "all"):
        mask = coins(len(xs), HIDDEN, p=0.6) / 0.6
    if kind in ("zoneout", "all"):
        zoneout = {f: coins(rows, HIDDEN, p=0.4) for f in cell.State._fields}
    if kind == "numbers":
        zoneout = dict(zip(cell.State._fields, (0.0, 0.3), strict=True))
    if kind in ("U", "all"):
        kept = coins(*cell.U.shape) / 0.5
    noise = Noise(mask, zoneout and tuple(zoneout.values()), None if kept is None else cell.U * kept)
    p = dict(cell.named_parameters())
    got = unroll(cell, xs, list(state.values()), reverse=reverse, noise=noise)
    expected = loop(name, p, xs, state, delays, reverse, mask, zoneout, None if kept is None else p["U"] * kept)
    agree(got, expected, [*cell.parameters(), *(x for x in xs if len(x)), *state.values()])


@on_both_paths
@pytest.mark.parametrize("name", CELLS)
def test_no_noise_and_empty_noise_are_the_same(name):
    torch.manual_seed(2)
    cell, xs = make(name), falling()
    for reverse in (False, True):
        plain, empty = unroll(cell, xs, reverse=reverse), unroll(cell, xs, reverse=reverse, noise=Noise())
        assert all(torch.equal(a, b) for a, b in zip([*plain[0], *plain[1]], [*empty[0], *empty[1]], strict=True))


# What is drawn ---------------------------------------------------------------------------------------------------


def many(lengths, width=INPUT):
    return Packed.from_list([torch.randn(n, width) for n in lengths])


def near(share, p, count):
    """Within five standard deviations of a binomial share."""
    return abs(share - p) < 5 * (p * (1 - p) / count) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.6])
def test_a_mask_is_one_a_sequence_and_scaled(p):
    cell, xs = CELLS["lstm"](INPUT, 50), many([2] * 199 + [0])
    noise = Modifiers(recurrent_dropout=p).draw(cell, xs, True, torch.Generator().manual_seed(1))
    assert noise.mask.shape == (200, 50) and noise.U is None and noise.zoneout is None
    torch.testing.assert_close(noise.mask.unique(), torch.tensor([0.0, 1 / (1 - p)]))
    assert near((noise.mask == 0).double().mean().item(), p, 200 * 50)
    assert len(noise.mask.unique(dim=0)) > 180, "each sequence has its own"


def test_zoneout_is_one_coin_a_number_a_step_and_a_field():
    cell, xs = CELLS["lstm"](INPUT, 50), many([40, 0, 60, 100])
    noise = Modifiers(zoneout={"h": 0.1, "c": 0.5}).draw(cell, xs, True, torch.Generator().manual_seed(1))
    assert noise.mask is None and noise.U is None and cell.State._fields == ("h", "c")
    for z, p in zip(noise.zoneout, (0.1, 0.5), strict=True):
        assert z.shape == (200, 50) and set(z.unique().tolist()) == {0.0, 1.0}
        assert near(z.double().mean().item(), p, 200 * 50) and len(z.unique(dim=0)) > 180
    one = Modifiers(zoneout={"c": 0.5}).draw(cell, xs, True)
    assert one.zoneout[0] == 0.0 and one.zoneout[1].shape == (200, 50)
    h, c = Modifiers(zoneout=0.5).draw(cell, xs, True).zoneout
    assert not torch.equal(h, c)


def test_a_dropped_weight_has_no_gradient_and_a_kept_one_the_scale():
    torch.manual_seed(3)
    p, cell = 0.3, CELLS["gru"](INPUT, 40, delays=2)
    noise = Modifiers(weight_dropout=p).draw(cell, many([4, 2]), True, torch.Generator().manual_seed(1))
    assert noise.U.shape == cell.U.shape == (80, 120) and noise.mask is None and noise.zoneout is None
    dropped = noise.U == 0
    assert near(dropped.double().mean().item(), p, 80 * 120)
    torch.testing.assert_close(noise.U[~dropped], cell.U[~dropped] / (1 - p))
    unroll(cell, many([4, 2]), noise=noise)[0].data.sum().backward()
    assert not cell.U.grad[dropped].any() and (cell.U.grad[~dropped] != 0).all()
    cell.U.grad = None
    Modifiers(weight_dropout=p).draw(cell, many([1]), True, torch.Generator().manual_seed(1)).U.sum().backward()
    torch.testing.assert_close(cell.U.grad, (~dropped).float() / (1 - p))


def test_the_generator_alone_decides_and_none_means_torchs_own():
    cell, xs, modifiers = CELLS["lstm"](INPUT, 8), many([5, 3]), Modifiers(**ALL)

    def draw(seed):
        noise = modifiers.draw(cell, xs, True, torch.Generator().manual_seed(seed))
        return [noise.mask, *noise.zoneout, noise.U]

    before = torch.get_rng_state()
    first, again, other = draw(5), draw(5), draw(6)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    torch.manual_seed(5)
    noise = modifiers.draw(cell, xs, True)
    assert all(torch.equal(a, b) for a, b in zip(first, [noise.mask, *noise.zoneout, noise.U], strict=True))


def test_without_rates_nothing_is_drawn():
    cell, xs = CELLS["lstm"](INPUT, 8), many([5, 3])
    before = torch.get_rng_state()
    for modifiers in (Modifiers(), Modifiers(zoneout={"h": 0.0})):
        assert modifiers.draw(cell, xs, True) is None and modifiers.draw(cell, xs, False) is None
    assert Modifiers(recurrent_dropout=0.5, weight_dropout=0.5).draw(cell, xs, False) is None
    assert Modifiers(zoneout={"c": 0.5}).draw(cell, xs, False) == Noise(zoneout=(0.0, 0.5))
    assert torch.equal(torch.get_rng_state(), before)


# In layers -------------------------------------------------------------------------------------------------------


@on_both_paths
def test_a_layer_draws_once_a_call_from_torchs_generator():
    torch.manual_seed(4)
    cell = make("gru", delays=2)
    layer, xs = Recurrent(cell, **ALL), Packed.from_list(falling())
    first, _ = layer(xs)
    second, _ = layer(xs)
    torch.manual_seed(9)
    again, end = layer(xs)
    assert not torch.equal(first.data, second.data)
    noise = Modifiers(**ALL).draw(cell, xs, True, torch.Generator().manual_seed(9))
    expected, expected_end = unroll(cell, xs, noise=noise)
    assert torch.equal(again.data, expected.data)
    assert all(torch.equal(a, b) for a, b in zip(end, expected_end, strict=True))


def test_each_direction_draws_its_own():
    torch.manual_seed(5)
    cell = make("elman")
    layer = Bidirectional(cell, copy.deepcopy(cell), recurrent_dropout=0.5)
    x = torch.randn(1, 6, INPUT, dtype=torch.float64)
    both, _ = layer(torch.cat([x, x.flip(1)], 1))  # read backwards it is the same
    assert not torch.allclose(both[..., :HIDDEN], both[..., HIDDEN:].flip(1))
    plain, _ = layer.eval()(torch.cat([x, x.flip(1)], 1))
    torch.testing.assert_close(plain[..., :HIDDEN], plain[..., HIDDEN:].flip(1))


@pytest.mark.parametrize(
    "name, backend", [("lstm", "reference"), ("gru", "reference"), ("lstm", "native")], indirect=["backend"]
)
def test_evaluation_has_the_expected_zoneout_and_no_masks(name, backend):
    torch.manual_seed(6)
    cell, xs = make(name), falling()
    layer = Recurrent(cell, **ALL).eval()
    fields = cell.State._fields
    state = {f: torch.zeros(len(xs), HIDDEN, dtype=torch.float64) for f in fields}
    expected = loop(name, dict(cell.named_parameters()), xs, state, 1, False, zoneout=dict.fromkeys(fields, 0.3))
    agree(layer(xs), expected, [*cell.parameters(), *(x for x in xs if len(x))])
    masked, _ = Recurrent(cell, recurrent_dropout=0.4, weight_dropout=0.5).eval()(xs)
    plain, _ = unroll(cell, xs)
    assert all(torch.equal(a, b) for a, b in zip(masked, plain, strict=True))


def test_the_mean_of_one_training_step_is_the_step_of_evaluation():
    torch.manual_seed(7)
    count, p = 20_000, 0.3
    cell = make("lstm").requires_grad_(False)
    layer = Recurrent(cell, zoneout=p)
    x = torch.randn(1, 1, INPUT, dtype=torch.float64).expand(count, 1, INPUT)
    state = [torch.randn(1, HIDDEN, dtype=torch.float64).expand(count, HIDDEN) for _ in range(2)]
    _, drawn = layer(x, state)
    _, mean = layer.eval()(x[:1], [value[:1] for value in state])
    new = unroll(cell, x[:1], [value[:1] for value in state])[1]
    for got, expected, a, b in zip(drawn, mean, state, new, strict=True):
        five_deviations = 5 * (a[:1] - b).abs() * (p * (1 - p) / count) ** 0.5
        assert ((got.mean(0, keepdim=True) - expected).abs() < five_deviations).all()


@on_both_paths
@pytest.mark.parametrize("forms", [[], [0, 0], LENGTHS])
def test_training_takes_sequences_of_length_zero(forms):
    layer = recurrent_stack(CELLS["gru"], INPUT, HIDDEN, 2, residual=True, **ALL).double()
    padded = torch.randn(len(forms), 6, INPUT, dtype=torch.float64)
    ys, state = layer(padded, lengths=forms)
    assert ys.shape == (len(forms), 6, 2 * HIDDEN) and state[0][0].h.shape == (len(forms), HIDDEN)
    for y, n in zip(ys, forms, strict=True):
        assert not y[n:].any() and y[:n].isfinite().all()


@on_both_paths
def test_recomputation_sees_the_same_noise():
    torch.manual_seed(8)
    layer, xs = recurrent_stack(CELLS["gru"], INPUT, HIDDEN, 2, **ALL).double(), torch.stack(falling([5, 5, 5]))
    found = []
    for run in (lambda x: layer(x)[0], lambda x: checkpoint(lambda x: layer(x)[0], x, use_reentrant=False)):
        torch.manual_seed(3)
        ys = run(xs)
        torch.rand(9)  # whatever else is drawn before the backward pass
        found.append([ys, *torch.autograd.grad((ys**2).sum(), list(layer.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_zoneout_leaves_a_counter_in_the_state_of_an_override_alone():
    class Counting(Cell):
        State = namedtuple("State", "h steps")

        def initial(self, rows, like=None):
            return self.State(super().initial(rows, like).h, torch.zeros(rows, 1, dtype=torch.long))

        def R(self, s, x):
            return self.State(s.h + x, s.steps + 1)

    layer = Recurrent(Counting(2, 2), zoneout={"h": 0.5})
    x = torch.ones(1, 40, 2)
    (h, steps) = layer(x)[1]
    assert steps.dtype == torch.long and steps.item() == 40 and (h < 40).all() and (h > 0).all()
    (h, steps) = layer.eval()(x)[1]
    assert h.tolist() == [[20.0, 20.0]] and steps.item() == 40


def test_modifiers_are_shown_where_they_are_set():
    assert repr(Recurrent(CELLS["gru"](3, 4))).splitlines()[0] == "Recurrent("
    shown = repr(Recurrent(CELLS["gru"](3, 4), reverse=True, zoneout={"h": 0.1}, weight_dropout=0.5))
    assert "reverse=True, zoneout={'h': 0.1}, weight_dropout=0.5" in shown
