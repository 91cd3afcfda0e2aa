"""`from_torch` and `to_torch` against torch's own modules: outputs, final states, gradients, and back again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from elman.errors import UsageError
from elman.recurrent import (
    CELLS,
    Bidirectional,
    Dropout,
    Packed,
    Recurrent,
    Stack,
    from_torch,
    recurrent_stack,
    to_torch,
)

LENGTHS = [3, 6, 1, 6, 4]
EXACT = {"rtol": 1e-12, "atol": 1e-12}
KINDS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="tanh", **options),
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
SHAPES = [(1, False), (1, True), (3, False), (3, True)]


def as_torch_state(state):
    """The states of a Stack as torch's: each field (layers * directions, sequences, hidden), h first."""
    cells = []
    for layer in state:
        if layer != ():
            cells += [layer] if hasattr(layer, "_fields") else list(layer)
    fields = [torch.stack(values) for values in zip(*cells, strict=True)]
    return tuple(fields) if len(fields) > 1 else fields[0]


def state_from_torch(stack, h, c=None):
    """torch's states as those of a Stack, which has no Dropout."""
    rows = iter(range(len(h)))

    def cell_state():
        i = next(rows)
        return (h[i],) if c is None else (h[i], c[i])

    return tuple(
        (cell_state(), cell_state()) if isinstance(part, Bidirectional) else cell_state() for part in stack.layers
    )


def weighted_sum(*values):
    torch.manual_seed(7)
    return sum((value * torch.randn_like(value)).sum() for value in values)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers, both", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_gradients_are_torchs(kind, layers, both, bias):
    torch.manual_seed(1)
    module = KINDS[kind](3, 4, layers, bidirectional=both, bias=bias).double()
    stack = from_torch(module)
    xs = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    rows = layers * (2 if both else 1)
    h, c = (torch.randn(rows, len(xs), 4, dtype=torch.float64, requires_grad=True) for _ in range(2))

    expected, end = module(pack_sequence(xs, enforce_sorted=False), (h, c) if kind == "lstm" else h)
    expected_ends = end if kind == "lstm" else (end,)
    ys, state = stack(xs, state_from_torch(stack, h, c if kind == "lstm" else None))
    got_end = as_torch_state(state)
    got_ends = got_end if kind == "lstm" else (got_end,)
    got = pack_sequence(ys, enforce_sorted=False)
    for a, b in zip((got.data, *got_ends), (expected.data, *expected_ends), strict=True):
        torch.testing.assert_close(a, b, **EXACT)

    leaves = [*xs, h, *([c] if kind == "lstm" else [])]
    weights = dict(module.named_parameters())
    theirs = torch.autograd.grad(weighted_sum(expected.data, *expected_ends), [*leaves, *weights.values()])
    ours = torch.autograd.grad(weighted_sum(got.data, *got_ends), [*leaves, *stack.parameters()])
    for a, b in zip(ours[: len(leaves)], theirs, strict=False):
        torch.testing.assert_close(a, b, **EXACT)
    by_name = dict(zip(weights, theirs[len(leaves) :], strict=True))
    mine = dict(zip([name for name, _ in stack.named_parameters()], ours[len(leaves) :], strict=True))
    for k in range(layers):
        for part, suffix in (("ahead.", ""), ("back.", "_reverse")) if both else (("", ""),):
            at = f"layers.{k}.{part}cell."
            torch.testing.assert_close(mine[at + "W"].T, by_name[f"weight_ih_l{k}{suffix}"], **EXACT)
            torch.testing.assert_close(mine[at + "U"].T, by_name[f"weight_hh_l{k}{suffix}"], **EXACT)
            if bias:
                torch.testing.assert_close(mine[at + "b"], by_name[f"bias_ih_l{k}{suffix}"], **EXACT)
            if bias and kind == "gru":
                torch.testing.assert_close(mine[at + "c"], by_name[f"bias_hh_l{k}{suffix}"][8:], **EXACT)


@pytest.mark.parametrize("layers, both", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_is_exact(kind, layers, both):
    torch.manual_seed(2)
    module = KINDS[kind](3, 4, layers, bidirectional=both, dropout=0.25 if layers > 1 else 0.0).double()
    stack = from_torch(module)
    back = to_torch(stack)
    assert type(back) is type(module)
    assert (back.num_layers, back.bidirectional, back.dropout) == (layers, both, module.dropout)
    assert back.batch_first
    again = from_torch(back)
    assert again.state_dict().keys() == stack.state_dict().keys()
    for name, value in stack.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for name, value in module.state_dict().items():
        if name.startswith("weight"):
            assert torch.equal(back.state_dict()[name], value), name
    # The weights are copies: training one leaves the other alone.
    with torch.no_grad():
        for p in back.parameters():
            p.zero_()
    assert all(p.abs().sum() > 0 for name, p in stack.named_parameters())


@pytest.mark.parametrize("name, both", [("lstm", True), ("gru", False), ("elman", True), ("elman-relu", False)])
def test_a_fresh_stack_runs_the_same_in_torch(name, both):
    torch.manual_seed(3)
    stack = recurrent_stack(CELLS[name], 5, 4, layers=2, bidirectional=both).double()
    with torch.no_grad():
        for p in stack.parameters():
            p.add_(torch.randn_like(p), alpha=0.1)
    xs = torch.randn(3, 7, 5, dtype=torch.float64)
    expected, state = stack(xs)
    ys, end = to_torch(stack)(xs)
    torch.testing.assert_close(ys, expected, **EXACT)
    torch.testing.assert_close(end, as_torch_state(state), **EXACT)


def test_single_layers_nested_stacks_and_idle_dropout_convert():
    torch.manual_seed(4)
    one = Recurrent(CELLS["gru"](3, 4))
    two = Bidirectional(CELLS["lstm"](3, 4), CELLS["lstm"](3, 4))
    nested = Stack(
        Stack(one), Dropout(0.0), Dropout(0.5, per="step"), Stack(Recurrent(CELLS["gru"](4, 4)), Dropout(0.0))
    )
    x = torch.randn(2, 5, 3)
    for layer in (one, two, nested.eval()):
        torch.testing.assert_close(to_torch(layer)(x)[0], layer(x)[0])
    assert to_torch(nested).dropout == 0.5


def test_dtype_mode_and_random_state_are_kept():
    module = nn.GRU(3, 4, 2, dropout=0.5).to(torch.bfloat16).eval()
    before = torch.get_rng_state()
    stack = from_torch(module)
    back = to_torch(stack)
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.dtype for p in (*stack.parameters(), *back.parameters())} == {torch.bfloat16}
    assert not any(part.training for part in (*stack.modules(), *back.modules()))
    assert from_torch(module.train()).training and to_torch(stack.train()).training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_device_is_kept_and_packed_sequences_stay_on_it():
    module = nn.LSTM(3, 4, 2, bidirectional=True, device="cuda")
    stack = from_torch(module)
    xs = Packed.from_list([torch.randn(n, 3, device="cuda") for n in LENGTHS])
    expected, _ = to_torch(stack)(xs.to_torch())
    assert {p.device.type for p in stack.parameters()} == {"cuda"}
    torch.testing.assert_close(stack(xs)[0].data, expected.data, rtol=1e-4, atol=1e-5)


def test_dropout_between_layers_comes_along_and_only_there():
    stack = from_torch(nn.LSTM(3, 4, 3, dropout=0.25))
    kinds = [type(part).__name__ for part in stack.layers]
    assert kinds == ["Recurrent", "Dropout", "Recurrent", "Dropout", "Recurrent"]
    assert [(part.p, part.per) for part in stack.layers if isinstance(part, Dropout)] == [(0.25, "step")] * 2


def test_refusal_leaves_the_layer_alone():
    stack = recurrent_stack(CELLS["gru"], 3, 4, 2, dropout=0.5)
    before = copy.deepcopy(stack.state_dict())
    with pytest.raises(UsageError):
        to_torch(stack)
    assert all(torch.equal(value, before[name]) for name, value in stack.state_dict().items())
