"""Every layer keeps the contract of `Layer`, whatever room it lives in: the rows are the subclasses found in elman."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch

import elman
from elman.errors import UsageError
from elman.recurrent import CELLS, Bidirectional, Dropout, Layer, Recurrent, Stack, Window
from elman.recurrent.layers import Residual
from elman.tasks.tagging.rivals.window import Hidden

DIM = 3
LENGTHS = [4, 0, 6, 1, 6]


def cell(name="gru", width=DIM, hidden=4, **options):
    return CELLS[name](width, hidden, **options)


# For each layer class, ways to build it over DIM numbers a step. A new class needs a row here.
FACTORIES = {
    Recurrent: {
        "lstm": lambda: Recurrent(cell("lstm")),
        "delays": lambda: Recurrent(cell("elman", delays=3)),
        "override": lambda: Recurrent(cell("deep-transition")),
        "reverse": lambda: Recurrent(cell("lstm"), reverse=True),
        "reverse delays": lambda: Recurrent(cell("gru", delays=2), reverse=True),
        "modified": lambda: Recurrent(
            cell("lstm", delays=2), zoneout={"c": 0.5, "h": 0.05}, recurrent_dropout=0.3, weight_dropout=0.5
        ),
    },
    Bidirectional: {
        "gru": lambda: Bidirectional(cell(), cell()),
        "mixed": lambda: Bidirectional(cell("lstm"), cell("elman", hidden=2, delays=3)),
        "zoneout": lambda: Bidirectional(cell("lstm"), cell("mingru"), zoneout=0.3),
    },
    Stack: {
        "one way": lambda: Stack(Recurrent(cell("lstm")), Dropout(0.5), Recurrent(cell("gru", 4))),
        "window below": lambda: Stack(Window(DIM, before=2, after=0), Recurrent(cell("gru", 3 * DIM))),
        "window ahead": lambda: Stack(Window(DIM), Recurrent(cell("gru", 4 * DIM))),
        "both ways": lambda: Stack(Bidirectional(cell(), cell()), Recurrent(cell("lstm", 8))),
        "nested": lambda: Stack(
            Stack(Recurrent(cell("lstm"))), Stack(Dropout(0.1), Bidirectional(*[cell("gru", 4)] * 2))
        ),
    },
    Residual: {
        "one way": lambda: Residual(Recurrent(cell("lstm", hidden=DIM))),
        "reverse": lambda: Residual(Recurrent(cell(hidden=DIM), reverse=True)),
        "stack": lambda: Residual(Stack(Bidirectional(cell(), cell()), Recurrent(cell("gru", 8, DIM)))),
        "any width": lambda: Residual(Dropout(0.5)),
    },
    Window: {
        "default": lambda: Window(DIM),
        "behind": lambda: Window(DIM, before=3, after=0),
        "ahead": lambda: Window(DIM, before=0, after=2),
        "itself": lambda: Window(DIM, before=0, after=0),
    },
    Hidden: {"default": lambda: Hidden(DIM, 4)},
    Dropout: {"sequence": lambda: Dropout(0.5), "step": lambda: Dropout(0.5, per="step")},
}
ROWS = [(kind, name, "reference") for kind, ways in FACTORIES.items() for name in ways]
ROWS += [(kind, name, "native") for kind, name, _ in ROWS if "Recurrent" in repr(FACTORIES[kind][name]())]
IDS = [f"{kind.__name__}-{name}-{backend}" for kind, name, backend in ROWS]


def over_rows(test):
    """Every layer, and those with cells on both paths."""
    decorated = pytest.mark.parametrize("kind, name, backend", ROWS, ids=IDS, indirect=["backend"])(test)
    return pytest.mark.usefixtures("backend")(decorated)


def subclasses(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_every_layer_class_has_a_row():
    for module in pkgutil.walk_packages(elman.__path__, "elman."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {kind for kind in subclasses(Layer) if kind.__module__.startswith("elman.")}
    assert found == set(FACTORIES), "a layer class and its row in FACTORIES belong together"


@pytest.fixture
def layer(kind, name):
    """A float64 layer in evaluation, in which no weight is 0."""
    torch.manual_seed(1)
    built = FACTORIES[kind][name]().double().eval()
    with torch.no_grad():
        for p in built.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    return built


def inputs(lengths=LENGTHS):
    return [torch.randn(n, DIM, dtype=torch.float64) for n in lengths]


def tensors(state):
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in tensors(part)]


def map_tensors(function, state):
    if isinstance(state, torch.Tensor):
        return function(state)
    return tuple(map_tensors(function, part) for part in state)


def some_state(layer, sequences):
    """A state of the right shapes that is not the initial one."""
    start = layer.initial(sequences, torch.zeros(0, dtype=torch.float64))
    return map_tensors(torch.randn_like, start)


def same(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def same_states(got, expected):
    for a, b in zip(tensors(got), tensors(expected), strict=True):
        same(a, b)


@over_rows
def test_lengths_width_and_form_are_kept(layer):
    xs = inputs()
    ys, _ = layer(xs)
    width = getattr(layer, "output_size", DIM)
    assert [tuple(y.shape) for y in ys] == [(n, width) for n in LENGTHS]
    assert layer.input_size in (None, DIM)
    padded = torch.nn.utils.rnn.pad_sequence(xs, batch_first=True)
    out, _ = layer(padded, lengths=LENGTHS)
    assert out.shape == (len(xs), max(LENGTHS), width)
    for row, y, n in zip(out, ys, LENGTHS, strict=True):
        same(row[:n], y)
        assert not row[n:].any()


@over_rows
def test_a_batch_is_its_sequences(layer):
    """Each sequence alone gives what it gives in a batch, and so does its state."""
    xs, state = inputs(), some_state(layer, len(LENGTHS))
    ys, end = layer(xs, state)
    for i, x in enumerate(xs):
        (alone,), alone_end = layer([x], map_tensors(lambda v, i=i: v[i : i + 1], state))
        same(alone, ys[i])
        same_states(alone_end, map_tensors(lambda v, i=i: v[i : i + 1], end))


@over_rows
def test_the_callers_order_is_kept_for_outputs_and_state(layer):
    xs, state = inputs(), some_state(layer, len(LENGTHS))
    ys, end = layer(xs, state)
    order = [3, 0, 4, 2, 1]
    got, got_end = layer([xs[i] for i in order], map_tensors(lambda v: v[order], state))
    for y, i in zip(got, order, strict=True):
        same(y, ys[i])
    same_states(got_end, map_tensors(lambda v: v[order], end))


@over_rows
def test_length_zero_gives_nothing_and_keeps_the_state(layer):
    state = some_state(layer, len(LENGTHS))
    _, end = layer(inputs(), state)
    same_states(map_tensors(lambda v: v[1], end), map_tensors(lambda v: v[1], state))
    ys, end = layer(inputs([0, 0]), some := some_state(layer, 2))
    assert [len(y) for y in ys] == [0, 0]
    same_states(end, some)


@over_rows
def test_without_a_state_it_starts_at_the_initial_one(layer):
    xs = inputs()
    ys, end = layer(xs)
    got, got_end = layer(xs, layer.initial(len(xs), xs[0]))
    for a, b in zip(got, ys, strict=True):
        assert torch.equal(a, b)
    same_states(got_end, end)


@over_rows
def test_a_call_leaves_inputs_state_and_weights_alone(layer):
    xs, state = inputs(), some_state(layer, len(LENGTHS))
    held = [*xs, *tensors(state), *layer.state_dict().values()]
    before = [value.clone() for value in held]
    first, _ = layer(xs, state)
    second, _ = layer(xs, state)
    assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@over_rows
def test_causal_means_a_cut_and_a_carried_state_change_nothing(layer):
    xs = inputs()
    whole, whole_end = layer(xs)
    if not layer.causal:
        with pytest.raises(UsageError):
            layer.require_causal("streaming")
        return
    layer.require_causal("streaming")
    for cut in range(1, 6):
        first, middle = layer([x[:cut] for x in xs])
        for a, y in zip(first, whole, strict=True):
            same(a, y[:cut])
        second, end = layer([x[cut:] for x in xs], middle)
        for a, b, y in zip(first, second, whole, strict=True):
            same(torch.cat([a, b]), y)
        same_states(end, whole_end)


@over_rows
def test_what_looks_ahead_really_does(layer):
    """Who says that he is not causal shows it: the next step changes this one's output."""
    before = inputs([2])[0]
    after = torch.cat([before[:1], before[1:] + 1])
    (y,), _ = layer([before])
    (changed,), _ = layer([after])
    looks_ahead = bool((y[0] - changed[0]).abs().max() > 1e-6)
    assert looks_ahead == (not layer.causal)


@over_rows
def test_gradients_reach_every_weight_input_and_state(layer):
    xs, state = inputs([3, 5]), some_state(layer, 2)
    leaves = [v.requires_grad_() for v in (*xs, *tensors(state), *layer.parameters()) if v.numel()]
    ys, end = layer(xs, state)
    loss = sum((v * torch.randn_like(v)).sum() for v in (*ys, *tensors(end)))
    for leaf, grad in zip(leaves, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True):
        assert grad is not None and grad.abs().max() > 0, tuple(leaf.shape)


@over_rows
def test_state_dict_round_trip(layer, kind, name):
    torch.manual_seed(2)
    other = FACTORIES[kind][name]().double().eval()
    other.load_state_dict(layer.state_dict())
    xs = inputs()
    for a, b in zip(layer(xs)[0], other(xs)[0], strict=True):
        assert torch.equal(a, b)


@over_rows
def test_an_encoders_vector_is_one_a_sequence_or_refused(layer):
    _, state = layer(inputs())
    try:
        vectors = layer.final(state)
    except UsageError:
        assert not any(isinstance(part, Recurrent) for part in layer.modules())
        return
    assert vectors.shape == (len(LENGTHS), layer.output_size)
