"""Layers in time: what each adds to the contract that tests/contracts holds all of them to."""

from __future__ import annotations

import pytest
import torch

from elman.errors import UsageError
from elman.recurrent import (
    CELLS,
    Bidirectional,
    Dropout,
    Packed,
    Recurrent,
    Stack,
    Window,
    bptt,
    recurrent_stack,
    unroll,
    use_backend,
)
from elman.recurrent.layers import Residual

LSTM, GRU = CELLS["lstm"], CELLS["gru"]
LENGTHS = [4, 0, 9, 1]


def ones(lengths=LENGTHS, dim=6):
    return [torch.ones(n, dim, dtype=torch.float64) for n in lengths]


# Dropout ---------------------------------------------------------------------------------------------------------


def test_a_variational_mask_is_one_for_a_sequence_and_its_own():
    torch.manual_seed(1)
    ys, state = Dropout(0.5)(ones([40, 0, 30, 1], 64))
    assert state == ()
    for y in ys:
        assert (y == y[:1]).all(), "one mask for all steps"
    masks = torch.cat([y[:1] for y in ys])
    assert len(masks) == 3 and not (masks[0] == masks[1]).all() and not (masks[1] == masks[2]).all()
    assert set(masks.unique().tolist()) == {0.0, 2.0}


def test_a_mask_a_step_differs_from_step_to_step():
    torch.manual_seed(1)
    (y,), _ = Dropout(0.5, per="step")(ones([50], 16))
    assert len({tuple(row.tolist()) for row in y}) > 45


def test_masks_are_drawn_afresh_each_call_and_follow_the_seed():
    layer = Dropout(0.5)
    torch.manual_seed(2)
    first, _ = layer(ones([3], 64))
    second, _ = layer(ones([3], 64))
    torch.manual_seed(2)
    again, _ = layer(ones([3], 64))
    assert not torch.equal(first[0], second[0]) and torch.equal(first[0], again[0])


@pytest.mark.parametrize("per", ["sequence", "step"])
@pytest.mark.parametrize("p", [0.1, 0.7])
def test_dropout_keeps_the_expectation(p, per):
    torch.manual_seed(3)
    packed, _ = Dropout(p, per=per)(Packed.from_list(ones([2] * 200, 100)))
    kept = (packed.data != 0).double().mean().item()
    # 20,000 masked numbers at least: five standard deviations are below 0.02.
    assert abs(kept - (1 - p)) < 0.02 and abs(packed.data.mean().item() - 1) < 0.02 / (1 - p)


@pytest.mark.parametrize("per", ["sequence", "step"])
def test_dropout_is_off_in_evaluation_and_at_zero(per):
    xs = ones()
    before = torch.get_rng_state()
    for layer in (Dropout(0.9, per=per).eval(), Dropout(0.0, per=per)):
        ys, _ = layer(xs)
        assert all(torch.equal(a, b) for a, b in zip(xs, ys, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_masks_the_gradient_alike():
    torch.manual_seed(4)
    x = torch.ones(5, 8, requires_grad=True)
    (y,), _ = Dropout(0.5)([x])
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


# Window ----------------------------------------------------------------------------------------------------------


def test_window_puts_neighbours_side_by_side():
    x = torch.tensor([[1.0], [2.0], [3.0]])
    ys, (past,) = Window(1, before=2, after=1)([x])
    assert ys[0].tolist() == [[0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 0]]
    assert past.tolist() == [[2.0, 3.0]]


def test_a_causal_window_remembers_across_short_pieces():
    window, x = Window(1, before=3, after=0), torch.arange(1.0, 8.0).view(1, 7, 1)
    whole, whole_end = window(x)
    pieces, state = [], None
    for start, stop in ((0, 1), (1, 1), (1, 3), (3, 7)):
        ys, state = window(x[:, start:stop], state)
        pieces.append(ys)
    assert torch.equal(torch.cat(pieces, 1), whole) and torch.equal(state[0], whole_end[0])
    assert window.causal and not Window(1).causal


# Directions and stacks -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("backend")
def test_bidirectional_is_two_unrolls_side_by_side():
    torch.manual_seed(5)
    forward, backward = LSTM(6, 3).double(), GRU(6, 5).double()
    layer = Bidirectional(forward, backward)
    xs = [torch.randn(n, 6, dtype=torch.float64) for n in LENGTHS]
    ys, state = layer(xs)
    ahead, ahead_end = unroll(forward, xs)
    back, back_end = unroll(backward, xs, reverse=True)
    assert layer.output_size == 8
    for y, a, b in zip(ys, ahead, back, strict=True):
        torch.testing.assert_close(y, torch.cat([a, b], -1))
    torch.testing.assert_close(layer.final(state), torch.cat([ahead_end.h, back_end.h], -1))
    torch.testing.assert_close(state, (ahead_end, back_end))


@pytest.mark.usefixtures("backend")
def test_the_encoders_vector_is_o_of_the_final_state():
    torch.manual_seed(6)
    cell = CELLS["deep-transition"](6, 3).double()
    layer = Recurrent(cell)
    ys, state = layer(ones())
    vectors = layer.final(state)
    for i, y in enumerate(ys):
        expected = y[-1] if len(y) else cell.O(cell.initial(1))[0]
        torch.testing.assert_close(vectors[i], expected)
    topped = Stack(layer, Dropout(0.5), Dropout(0.0)).eval()
    torch.testing.assert_close(topped.final(topped(ones())[1]), vectors)


@pytest.mark.usefixtures("backend")
def test_a_stack_feeds_each_layer_from_the_one_below():
    torch.manual_seed(7)
    first, second = Recurrent(LSTM(6, 3).double()), Recurrent(GRU(3, 2).double(), reverse=True)
    stack = Stack(first, second)
    middle, first_end = first(ones())
    expected, second_end = second(middle)
    ys, state = stack(ones())
    assert (stack.input_size, stack.output_size, stack.causal) == (6, 2, False)
    assert all(torch.equal(a, b) for a, b in zip(ys, expected, strict=True))
    torch.testing.assert_close(state, (first_end, second_end))


def test_causal_is_said_and_demanded():
    one_way = recurrent_stack(GRU, 6, 3, layers=2, bidirectional=False)
    both = recurrent_stack(GRU, 6, 3)
    assert one_way.causal and not both.causal and not Recurrent(GRU(6, 3), reverse=True).causal
    one_way.require_causal("sampling")
    with pytest.raises(UsageError, match=r"sampling needs a causal layer.*looks ahead"):
        both.require_causal("sampling")


def test_recurrent_stack_builds_what_it_says():
    stack = recurrent_stack(LSTM, 6, 4, layers=3, dropout=0.25, delays=2)
    kinds = [type(part).__name__ for part in stack.layers]
    assert kinds == ["Bidirectional", "Dropout", "Bidirectional", "Dropout", "Bidirectional"]
    assert {part.per for part in stack.layers if isinstance(part, Dropout)} == {"sequence"}
    assert [part.input_size for part in stack.layers if isinstance(part, Bidirectional)] == [6, 8, 8]
    assert stack.layers[0].ahead.cell.delays == 2
    assert stack.output_size == 8
    narrow = recurrent_stack(LSTM, 6, 4, layers=2, bidirectional=False)
    assert [type(part).__name__ for part in narrow.layers] == ["Recurrent", "Recurrent"] and narrow.output_size == 4


@pytest.mark.usefixtures("backend")
def test_a_residual_adds_its_input_to_its_output():
    torch.manual_seed(8)
    inner = Recurrent(LSTM(6, 6).double(), reverse=True)
    layer = Residual(inner)
    xs = [torch.randn(n, 6, dtype=torch.float64) for n in LENGTHS]
    state = [torch.randn(len(xs), 6, dtype=torch.float64) for _ in range(2)]
    ys, end = layer(xs, state)
    below, below_end = inner(xs, state)
    for y, x, b in zip(ys, xs, below, strict=True):
        torch.testing.assert_close(y, x + b)
    assert all(torch.equal(a, b) for a, b in zip(end, below_end, strict=True))
    assert torch.equal(layer.final(end), below_end.h) and not layer.causal
    assert (layer.input_size, layer.output_size) == (6, 6)


def test_recurrent_stack_puts_a_residual_where_widths_are_equal():
    def kinds(*sizes, **options):
        return [type(part).__name__ for part in recurrent_stack(LSTM, *sizes, residual=True, **options).layers]

    assert kinds(6, 4, 3, dropout=0.1) == ["Bidirectional", "Residual", "Residual"]
    # what goes past a layer is not dropped
    inside = recurrent_stack(LSTM, 6, 4, 2, bidirectional=False, residual=True, dropout=0.1).layers[1].layer.layers
    assert [type(part).__name__ for part in inside] == ["Dropout", "Recurrent"]
    assert kinds(6, 3, 2) == ["Residual", "Residual"] and kinds(4, 4, 1, bidirectional=False) == ["Residual"]
    assert kinds(6, 4, 2, bidirectional=False) == ["Recurrent", "Residual"]
    torch.manual_seed(9)
    with_it = recurrent_stack(LSTM, 6, 3, 1, residual=True)
    torch.manual_seed(9)
    without = recurrent_stack(LSTM, 6, 3, 1)
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(with_it(x)[0], without(x)[0] + x)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_stack_hands_its_noise_to_every_direction(bidirectional):
    stack = recurrent_stack(
        LSTM,
        6,
        4,
        2,
        bidirectional=bidirectional,
        zoneout={"c": 0.1},
        recurrent_dropout=0.2,
        weight_dropout=0.3,
        residual=True,
    )
    found = [part.modifiers for part in stack.modules() if isinstance(part, Recurrent)]
    assert len(found) == (4 if bidirectional else 2)
    for modifiers in found:
        assert (modifiers.zoneout, modifiers.recurrent_dropout, modifiers.weight_dropout) == ({"c": 0.1}, 0.2, 0.3)


def test_the_encoders_vector_is_that_of_the_topmost_recurrent_layer():
    torch.manual_seed(5)
    recurrent, xs = Recurrent(CELLS["gru"](3, 4)), [torch.randn(n, 3) for n in (4, 1, 2)]
    for stack in (
        Stack(recurrent, Window(4, before=1, after=1)),
        Stack(Window(3, before=0, after=0), recurrent, Stack(Dropout(0.1), Window(4, before=2, after=0))),
        Stack(Stack(recurrent, Dropout(0.5)), Window(4, before=1, after=0)).eval(),
    ):
        assert stack.recurrent and torch.equal(stack.eval().final(stack(xs)[1]), recurrent.final(recurrent(xs)[1]))
    for none in (Stack(Window(3)), Window(3), Dropout(0.1), Residual(Dropout(0.1))):
        assert not none.recurrent
    with pytest.raises(UsageError, match="none of its layers is recurrent"):
        Stack(Window(3, before=1, after=0), Dropout(0.1)).final(((torch.zeros(1, 3),), ()))


def test_parts_are_the_layers_from_below():
    recurrent, window, dropout = Recurrent(CELLS["gru"](3, 3)), Window(3), Dropout(0.1)
    assert Stack(Stack(recurrent, dropout), window).parts() == [recurrent, dropout, window]
    assert recurrent.parts() == [recurrent] and Residual(recurrent).parts()[0] is not recurrent


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_memory_bound_of_a_layer_changes_no_gradient(bidirectional, monkeypatch):
    """Two layers over a long sequence: the bound makes segments of both, and the gradients are those without."""
    planned, plan = [], bptt.memory_plan
    monkeypatch.setattr(bptt, "memory_plan", lambda *given: planned.append(plan(*given)) or planned[-1])

    def gradients(memory):
        torch.manual_seed(6)
        stack = recurrent_stack(CELLS["lstm"], 3, 4, 2, bidirectional=bidirectional, memory=memory)
        x = torch.randn(1, 600, 3, requires_grad=True)
        ys, _ = stack(x)
        ys.square().sum().backward()
        return [x.grad, *(p.grad for p in stack.parameters())]

    free = gradients(None)
    assert not planned
    bounded = gradients("60KB")
    assert len(planned) == (4 if bidirectional else 2) and all(one.segments > 1 for one in planned)
    for one, other in zip(free, bounded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# Prepared inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("delays", [1, 2])
def test_prepared_inputs_give_what_the_layer_gives(backend, delays):
    torch.manual_seed(1)
    layers = {
        "recurrent": Recurrent(LSTM(5, 7, delays=delays), reverse=True),
        "overrides R": Recurrent(CELLS["lstm-layernorm"](5, 7)),
        "both": Bidirectional(GRU(5, 7, delays=delays), LSTM(5, 6)),
        "window": Stack(Window(5), Recurrent(GRU(20, 7))),
        "residual": Residual(Recurrent(GRU(5, 5))),
        "stack": Stack(Dropout(0.5), recurrent_stack(LSTM, 5, 4, 2, dropout=0.5, delays=delays), Dropout(0.5)),
        "idle": Stack(Dropout(0.5), Dropout(0.2)),
    }
    table = torch.randn(6, 5)
    plan = Packed.plan(LENGTHS)
    index = plan.with_data(torch.randint(6, (sum(LENGTHS),)))
    for name, layer in layers.items():
        layer.eval()
        with use_backend(backend), torch.no_grad():
            expected, end = layer(index.with_data(table[index.data]))
            start = layer.initial(len(LENGTHS), table)
            ys, state = layer.run_prepared(index, layer.prepare(table), start)
        assert torch.allclose(ys.data, expected.data, rtol=0, atol=1e-6), name
        for a, b in zip(flat(state), flat(end), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-6), name


def flat(state):
    return [state] if isinstance(state, torch.Tensor) else [t for part in state for t in flat(part)]
