"""Properties of time: ragged batches, both directions, cuts, carried state, the caller's order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from elman.recurrent import CELLS, Packed, get_cell, recurrent_stack, unroll

INPUT, HIDDEN = 3, 4
EXACT = {"rtol": 1e-10, "atol": 1e-12}
lengths_lists = st.lists(st.integers(0, 7), min_size=1, max_size=6)
cells = st.sampled_from(sorted(CELLS))
# The backend is one for all examples of a test.
one_for_all = [HealthCheck.function_scoped_fixture]
quick = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=one_for_all)
pytestmark = pytest.mark.usefixtures("backend")
# Every history length is a library of its own to compile, so on the native path two stand for all.
COMPILED_DELAYS = [("gru", 2), ("elman", 3)]


def make(name, seed=0, **options):
    torch.manual_seed(seed)
    cell = CELLS[name](INPUT, HIDDEN, **options).double()
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(torch.randn_like(p), alpha=0.2)
    return cell


def inputs(lengths, width=INPUT, dtype=torch.float64):
    return [torch.randn(n, width, dtype=dtype) for n in lengths]


def some_state(cell, rows):
    return cell.Carried(*(torch.randn(rows, HIDDEN, dtype=torch.float64) for _ in cell.Carried._fields))


def step_by_step(cell, x, s, reverse):
    """One sequence, with nothing but R and O."""
    ys = []
    for row in x.flip(0) if reverse else x:
        s = cell.R(s, row[None])
        ys.append(cell.O(s))
    ys = ys[::-1] if reverse else ys
    return (torch.cat(ys) if ys else torch.zeros(0, cell.output_size, dtype=x.dtype)), s


@given(name=cells, lengths=lengths_lists, reverse=st.booleans(), given_state=st.booleans(), form=st.integers(0, 2))
@example(name="lstm", lengths=[0], reverse=True, given_state=True, form=0)
@example(name="lstm", lengths=[0, 0, 0], reverse=False, given_state=True, form=1)
@example(name="gru", lengths=[0, 0], reverse=True, given_state=False, form=2)
@example(name="gru", lengths=[1, 0, 1], reverse=True, given_state=True, form=2)
@quick
def test_a_batch_is_its_sequences_in_every_form(name, lengths, reverse, given_state, form):
    cell = make(name)
    xs, count = inputs(lengths), len(lengths)
    state = some_state(cell, count) if given_state else None
    start = state if given_state else cell.initial(count, xs[0])
    if form == 0:
        ys, end = unroll(cell, xs, state, reverse=reverse)
    elif form == 1:
        padded = torch.full((count, 8, INPUT), float("nan"), dtype=torch.float64)
        for i, x in enumerate(xs):
            padded[i, : len(x)] = x
        out, end = unroll(cell, padded, state, reverse=reverse, lengths=lengths)
        ys = [y[:n] for y, n in zip(out, lengths, strict=True)]
        assert out.shape == (count, 8, cell.output_size)
        assert all(not y[n:].any() for y, n in zip(out, lengths, strict=True)), "padded steps are 0"
    else:
        # A Packed is already in its own order, and so is the state that goes with it.
        packed = Packed.from_list(xs)
        sorted_state = state and cell.Carried(*(packed.sorted_rows(v) for v in state))
        out, end = unroll(cell, packed, sorted_state, reverse=reverse)
        ys, end = out.to_list(), cell.Carried(*(packed.caller_rows(v) for v in end))
    assert type(end) is cell.Carried
    for i, x in enumerate(xs):
        expected, expected_end = step_by_step(cell, x, cell.Carried(*(v[i : i + 1] for v in start)), reverse)
        torch.testing.assert_close(ys[i], expected, **EXACT)
        for value, wanted in zip(end, expected_end, strict=True):
            torch.testing.assert_close(value[i : i + 1], wanted, **EXACT)


@given(name=cells, lengths=lengths_lists, delays=st.integers(1, 3))
@example(name="gru", lengths=[3, 0, 7, 1], delays=2)
@example(name="elman", lengths=[1, 5, 5, 2], delays=3)
@quick
def test_reverse_is_forward_over_flipped_sequences(backend, name, lengths, delays):
    has_products = CELLS[name].R is CELLS["lstm"].R and CELLS[name].recurrent != ()
    may = backend == "reference" or (name, delays) in COMPILED_DELAYS
    cell = make(name, delays=delays if has_products and may else 1)
    xs = inputs(lengths)
    ys, end = unroll(cell, xs, reverse=True)
    flipped, flipped_end = unroll(cell, [x.flip(0) for x in xs])
    for y, f in zip(ys, flipped, strict=True):
        torch.testing.assert_close(y, f.flip(0), **EXACT)
    torch.testing.assert_close(end, flipped_end, **EXACT)


@given(name=cells, lengths=lengths_lists, cuts=st.lists(st.integers(0, 7), min_size=6, max_size=6))
@quick
def test_cut_and_carry(name, lengths, cuts):
    cell = make(name)
    xs = inputs(lengths)
    whole, whole_end = unroll(cell, xs)
    first, middle = unroll(cell, [x[:c] for x, c in zip(xs, cuts, strict=False)])
    second, end = unroll(cell, [x[c:] for x, c in zip(xs, cuts, strict=False)], middle)
    for y, a, b in zip(whole, first, second, strict=True):
        torch.testing.assert_close(a, y[: len(a)], **EXACT)
        torch.testing.assert_close(torch.cat([a, b]), y, **EXACT)
    torch.testing.assert_close(end, whole_end, **EXACT)


@given(lengths=lengths_lists, seed=st.integers(0, 1000), reverse=st.booleans())
@quick
def test_the_callers_order_is_restored_for_outputs_and_state(lengths, seed, reverse):
    cell = make("lstm")
    xs, state = inputs(lengths), some_state(cell, len(lengths))
    shuffle = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    ys, end = unroll(cell, xs, state, reverse=reverse)
    shuffled_state = cell.State(*(v[shuffle] for v in state))
    got, got_end = unroll(cell, [xs[i] for i in shuffle], shuffled_state, reverse=reverse)
    for i, y in zip(shuffle, got, strict=True):
        torch.testing.assert_close(y, ys[i], **EXACT)
    torch.testing.assert_close(got_end, cell.State(*(v[shuffle] for v in end)), **EXACT)


@pytest.mark.parametrize("reverse", [False, True])
def test_length_zero_returns_the_state_it_started_with(reverse):
    cell = make("lstm")
    state = some_state(cell, 3)
    ys, end = unroll(cell, inputs([0, 2, 0]), state, reverse=reverse)
    for before, after in zip(state, end, strict=True):
        assert torch.equal(after[[0, 2]], before[[0, 2]])
        assert not torch.equal(after[1], before[1])
    assert [tuple(y.shape) for y in ys] == [(0, HIDDEN), (2, HIDDEN), (0, HIDDEN)]
    _, untouched = unroll(cell, inputs([0, 0, 0]), state, reverse=reverse)
    assert all(torch.equal(a, b) for a, b in zip(untouched, state, strict=True))


def test_an_empty_batch_is_legal_when_padded():
    cell = make("gru")
    ys, end = unroll(cell, torch.zeros(0, 5, INPUT).double(), lengths=[])
    assert ys.shape == (0, 5, HIDDEN) and end.h.shape == (0, HIDDEN)


def test_gradients_flow_through_the_states_of_two_halves():
    """Two halves with the state passed on have the gradients of the whole, at the initial state too."""
    cell = make("lstm")
    x = torch.randn(2, 6, INPUT, dtype=torch.float64, requires_grad=True)
    start = [v.requires_grad_() for v in some_state(cell, 2)]
    leaves = [x, *start, *cell.parameters()]
    whole, end = unroll(cell, x, start)
    first, middle = unroll(cell, x[:, :2], start)
    second, second_end = unroll(cell, x[:, 2:], middle)
    expected = torch.autograd.grad((whole**2).sum() + end.c.sum(), leaves)
    got = torch.autograd.grad((first**2).sum() + (second**2).sum() + second_end.c.sum(), leaves)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_the_state_is_not_kept_on_the_cell():
    cell = make("gru")
    x = inputs([4])
    first, _ = unroll(cell, x)
    unroll(cell, inputs([9]))
    again, _ = unroll(cell, x)
    assert torch.equal(first[0], again[0])


@pytest.mark.parametrize("name", CELLS)
def test_batch_invariance_in_evaluation(backend, name):
    """A sequence alone and in any batch: 1e-10 in float64, 1e-5 in float32, for a deep bidirectional network."""
    torch.manual_seed(3)
    network = recurrent_stack(get_cell(name), 16, 24, layers=2, dropout=0.5).eval()
    lengths = [11, 1, 30, 0, 7, 30, 2, 19]
    dtypes = {torch.float64: 1e-10, torch.float32: 1e-5}
    if backend == "native" and name not in ("lstm", "gru"):  # what is compiled in float32 too
        del dtypes[torch.float32]
    for dtype, close in dtypes.items():
        network, xs = network.to(dtype), [x.to(dtype) for x in inputs(lengths, 16)]
        together, _ = network(xs)
        padded, _ = network(torch.nn.utils.rnn.pad_sequence(xs, batch_first=True), lengths=lengths)
        pair, _ = network([xs[4], xs[2]])
        for i, x in enumerate(xs):
            (single,), _ = network([x])
            for other in (together[i], padded[i, : len(x)], *([pair[1]] if i == 2 else [])):
                assert other.shape == single.shape
                if len(x):
                    assert (other - single).abs().max() <= close * single.abs().max()
