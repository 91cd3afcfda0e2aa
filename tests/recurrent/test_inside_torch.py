"""Cells and layers inside torch's own machinery: the rows of the table in docs/python.md, each right or refused."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys
import threading
import warnings
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from elman.errors import SlowPath, UsageError
from elman.recurrent import (
    CELLS,
    Bidirectional,
    Cell,
    Dropout,
    Recurrent,
    Residual,
    Stack,
    Window,
    recurrent_stack,
    stepper,
    unroll,
    use_backend,
)
from elman.recurrent.kernels import compiled

pytestmark = pytest.mark.usefixtures("compiler")


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = recurrent_stack(CELLS["gru"], 3, 4, 2, delays=2)
        self.out = nn.Linear(8, 2)

    def forward(self, xs):
        return self.out(self.layers(xs)[0])


class Several(Cell):
    """With several memories, and a class of its own for them."""

    State = namedtuple("State", "h fast slow")
    gates = ("a", "b")

    def step(self, s, x, r):
        fast, slow = 0.5 * s.fast + torch.tanh(x.a + r.a), 0.9 * s.slow + torch.sigmoid(x.b + r.b)
        return self.State(h=torch.tanh(fast * slow), fast=fast, slow=slow)


def both(seed=0):
    torch.manual_seed(seed)
    return Bidirectional(CELLS["lstm"](3, 4), CELLS["lstm"](3, 4)), torch.randn(2, 5, 3)


def on_the_reference(function, *arguments):
    with use_backend("reference"):
        return function(*arguments)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# Copies ----------------------------------------------------------------------------------------------------------


def test_pickle_save_and_deepcopy():
    torch.manual_seed(1)
    net, xs = Tagger(), torch.randn(2, 5, 3)
    expected = net(xs)
    assert torch.equal(pickle.loads(pickle.dumps(net))(xs), expected)
    assert torch.equal(copy.deepcopy(net)(xs), expected)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(xs), expected)


@pytest.mark.parametrize("kind", [CELLS["lstm"], CELLS["gru"], Several])
@pytest.mark.parametrize("delays", [1, 3])
def test_a_state_keeps_its_names_through_pickle(kind, delays):
    cell = kind(3, 4, delays=delays)
    _, state = unroll(cell, torch.randn(2, 5, 3))
    state = type(state)(*(value.detach() for value in state))
    again = pickle.loads(pickle.dumps(state))
    assert type(again) is type(state) and again._fields == cell.Carried._fields
    same(again, state)
    unroll(cell, torch.randn(2, 1, 3), copy.deepcopy(state))


def test_a_spawned_process_gets_the_module():
    layers, xs = recurrent_stack(CELLS["gru"], 3, 4, 2, delays=2), torch.randn(1, 2, 3)
    code = "import pickle, sys; layers, xs = pickle.load(sys.stdin.buffer); print(layers(xs)[0].sum().item())"
    command, sent = [sys.executable, "-c", code], pickle.dumps((layers, xs))
    ran = subprocess.run(command, input=sent, capture_output=True, check=True)
    assert float(ran.stdout) == pytest.approx(layers(xs)[0].sum().item(), abs=1e-6)


# Transformations --------------------------------------------------------------------------------------------------


def loss(net, parameters, xs):
    return functional_call(net, parameters, (xs,)).square().sum()


def test_functions_of_torch_func():
    torch.manual_seed(2)
    net, many = Tagger(), torch.randn(6, 2, 5, 3)
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowPath)
        gradient = grad(lambda p: loss(net, p, many[0]))(parameters)
        one_each = vmap(grad(lambda p, xs: loss(net, p, xs)), in_dims=(None, 0))(parameters, many)
        mapped = vmap(net)(many)
        values, tangents = jvp(net, (many[0],), (torch.ones_like(many[0]),))
        jacobian = jacrev(lambda xs: net(xs).sum((0, 1)))(many[0])
    net.zero_grad()
    loss(net, dict(net.named_parameters()), many[0]).backward()
    same(gradient.values(), [p.grad for p in net.parameters()])
    same([one_each[name][0] for name in gradient], gradient.values())
    same(mapped, [net(xs) for xs in many])
    torch.testing.assert_close(values, net(many[0]), rtol=1e-5, atol=1e-6)
    step = 1e-3
    difference = (net(many[0] + step) - net(many[0] - step)) / (2 * step)
    torch.testing.assert_close(tangents, difference, rtol=1e-2, atol=1e-2)
    xs = many[0].clone().requires_grad_()
    rows = [torch.autograd.grad(net(xs).sum((0, 1))[i], xs)[0] for i in range(2)]
    torch.testing.assert_close(jacobian, torch.stack(rows), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_followed_is_said_once(monkeypatch):
    from elman.recurrent import backend

    monkeypatch.setattr(backend, "_told", set())
    layer, xs = both()
    with pytest.warns(SlowPath, match=r"torch\.func"):
        vmap(lambda x: layer(x)[0])(xs)
    with pytest.raises(UsageError, match=r"backend native: torch\.func"), use_backend("native"):
        vmap(lambda x: layer(x)[0])(xs)


def test_forward_mode():
    layer, xs = both()
    with forward_ad.dual_level(), warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowPath)
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(xs, torch.ones_like(xs)))[0]).tangent
    step = 1e-3
    torch.testing.assert_close(tangent, (layer(xs + step)[0] - layer(xs - step)[0]) / (2 * step), rtol=1e-2, atol=1e-2)


def test_double_backward_names_the_way_out():
    layer, xs = both()
    xs.requires_grad_()
    (first,) = torch.autograd.grad(on_the_reference(layer, xs)[0].sum(), xs, create_graph=True)
    assert torch.autograd.grad(first.sum(), xs)[0].abs().sum() > 0
    with use_backend("native"), pytest.raises(UsageError, match=r"create_graph.*backend reference"):
        torch.autograd.grad(layer(xs)[0].sum(), xs, create_graph=True)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "orthogonal"])
@pytest.mark.parametrize("weight", ["U", "W"])
def test_parametrized_weights_train(name, weight, monkeypatch):
    monkeypatch.setattr(compiled, "_entries", {})  # what an earlier test compiled would hide that this fails
    torch.manual_seed(3)
    cell, xs = CELLS["lstm"](3, 4), torch.randn(2, 5, 3)
    getattr(parametrizations, name)(cell, weight)
    cell.eval()  # else spectral_norm moves from call to call
    found = []
    for backend in ("native", "reference"):
        cell.zero_grad()
        with use_backend(backend):
            ys, _ = unroll(cell, xs)
        (ys * torch.linspace(-1, 1, ys.numel()).view_as(ys)).sum().backward()
        found.append([ys, *(p.grad.clone() for p in cell.parameters())])
    assert all(value.abs().sum() > 0 for value in found[0])
    same(*found)


@pytest.mark.parametrize("kind", ["gru", "deep-transition"])
def test_a_parametrized_weight_is_computed_once_a_call(kind):
    """spectral_norm moves whenever it is computed: at every step of a loop that asks again."""
    torch.manual_seed(8)
    cell, xs = CELLS[kind](3, 4), torch.randn(2, 6, 3)
    owner, weight = (cell, "U") if kind == "gru" else (cell.first, "weight")
    original = parametrizations.spectral_norm(owner, weight).parametrizations[weight].original
    frozen, found = copy.deepcopy(cell.state_dict()), []
    for backend in ("auto", "reference"):
        cell.load_state_dict(frozen)
        cell.zero_grad()
        with use_backend(backend), warnings.catch_warnings():
            warnings.simplefilter("ignore", SlowPath)
            ys, _ = unroll(cell, xs)
        ys.square().sum().backward()
        moved = [value.clone() for _, value in cell.named_buffers()]
        found.append([ys.detach(), original.grad.clone(), *moved])
    same(*found)
    cell.load_state_dict(frozen)
    expected = copy.deepcopy(cell)
    _ = expected.U if kind == "gru" else expected.first.weight
    same(found[0][2:], [value for _, value in expected.named_buffers()])


def test_a_parametrized_cell_of_ones_own():
    torch.manual_seed(4)
    cell, xs = parametrizations.weight_norm(Several(3, 4), "U"), torch.randn(2, 5, 3)
    with use_backend("native"):
        ys, _ = unroll(cell, xs)
    torch.testing.assert_close(ys, on_the_reference(unroll, cell, xs)[0], rtol=1e-5, atol=1e-6)


def test_weight_dropout_and_stepper_of_a_parametrized_cell():
    torch.manual_seed(4)
    layer, xs = (
        Recurrent(parametrizations.weight_norm(CELLS["gru"](3, 4), "U"), weight_dropout=0.5),
        torch.randn(1, 2, 3),
    )
    layer(xs)[0].sum().backward()
    layer.eval()
    step = stepper(layer)
    _, state = step(xs[:, 0])
    torch.testing.assert_close(step(xs[:, 1], state)[0], layer(xs)[0][:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", [prune.l1_unstructured, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_changed_in_a_hook_of_the_cell_are_refused(change):
    cell = CELLS["gru"](3, 4)
    change(cell, "U", **({"amount": 0.5} if change is prune.l1_unstructured else {}))
    for use in (unroll, lambda cell, xs: Recurrent(cell)(xs)):
        with pytest.raises(UsageError, match="hooks on a cell never run"):
            use(cell, torch.randn(1, 2, 3))


def test_export_of_a_rectangular_batch():
    torch.manual_seed(5)
    net, xs = Tagger(), torch.randn(2, 5, 3)
    again = torch.export.export(net, (xs,)).module()
    torch.testing.assert_close(again(2 * xs), net(2 * xs), rtol=1e-5, atol=1e-6)


def test_compile_in_one_graph():
    torch.manual_seed(6)
    net, xs = recurrent_stack(CELLS["lstm"], 3, 4, bidirectional=False), torch.randn(2, 3, 3)
    compiled = torch.compile(lambda xs: net(xs)[0], backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(xs), net(xs)[0], rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


def test_checkpointing_autocast_and_inference():
    layer, xs = both()
    xs.requires_grad_()
    expected = torch.autograd.grad(layer(xs)[0].sum(), xs)
    same(expected, torch.autograd.grad(checkpoint(lambda x: layer(x)[0], xs, use_reentrant=False).sum(), xs))
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = layer(xs)
        layer(xs.bfloat16())
    assert half.dtype == torch.float32 and (half - layer(xs)[0]).abs().max() < 0.05
    with torch.inference_mode():
        assert torch.equal(layer(xs)[0], layer(xs)[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    layer, xs = both()
    ys, _ = layer.to(dtype)(xs.to(dtype))
    assert ys.dtype == dtype and (ys.float() - both()[0](xs)[0]).abs().max() < 0.05


# Forms of input ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("backend")
def test_one_sequence_without_a_batch():
    layer, xs = both()
    ys, state = layer(xs[0])
    batched, states = layer(xs[:1])
    same([ys, *state[0], *state[1]], [batched[0], *(v[0] for v in (*states[0], *states[1]))])
    assert {tuple(value.shape) for part in state for value in part} == {(4,)}
    again, _ = layer(xs[1], state)
    torch.testing.assert_close(again, layer(xs[1:], states)[0][0])
    cell = CELLS["gru"](3, 4)
    ys, end = unroll(cell, xs[0], [torch.ones(4)])
    torch.testing.assert_close(ys, unroll(cell, xs[:1], [torch.ones(1, 4)])[0][0])
    assert end.h.shape == (4,)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("in_order", [False, True])
def test_packed_sequences_come_back_as_such(in_order):
    layer, _ = both()
    lengths = [5, 4, 2] if in_order else [2, 5, 4]
    xs = [torch.randn(n, 3) for n in lengths]
    packed = pack_sequence(xs, enforce_sorted=in_order)
    ys, state = layer(packed)
    expected, ends = layer(xs)
    same(pad_packed_sequence(ys, batch_first=True)[0], pad_sequence(expected, batch_first=True))
    same([*state[0], *state[1]], [*ends[0], *ends[1]])
    again, _ = layer(packed, state)
    same(pad_packed_sequence(again, batch_first=True)[0], pad_sequence(layer(xs, ends)[0], batch_first=True))
    padded = pack_padded_sequence(
        pad_sequence(xs, batch_first=True), lengths, batch_first=True, enforce_sorted=in_order
    )
    assert torch.equal(layer(padded)[0].data, ys.data)
    outputs, end = unroll(CELLS["lstm"](3, 4), packed)
    assert outputs.data.shape == (11, 4) and end.h.shape == (3, 4)


@pytest.mark.usefixtures("backend")
def test_no_sequences_and_no_steps_have_gradients_of_zero():
    layer, _ = both()
    for shape in ((0, 5, 3), (2, 0, 3)):
        xs = torch.randn(shape, requires_grad=True)
        ys, state = layer(xs)
        assert ys.shape == (*shape[:2], 8) and state[0].h.shape == (shape[0], 4)
        layer.zero_grad()
        ys.sum().backward()
        assert xs.grad.shape == shape and all((p.grad == 0).all() for p in layer.parameters())
    xs = [torch.randn(0, 3, requires_grad=True)]
    layer(xs)[0][0].sum().backward()
    assert xs[0].grad.shape == (0, 3)


REFUSED = {
    "numpy": (lambda x: x.numpy(), r"found numpy\.ndarray; torch\.from_numpy"),
    "a list of arrays": (lambda x: [x[0].numpy()], "found a ndarray at index 0"),
    "nested lists": (lambda x: x.tolist(), "found a list at index 0"),
    "nothing": (lambda x: None, "found NoneType"),
    "words": (lambda x: "abc", "found str"),
    "float64": (lambda x: x.double(), r"expected inputs in torch\.float32 like the parameters, found torch\.float64"),
    "bfloat16": (lambda x: x.bfloat16(), r"found torch\.bfloat16; xs\.to\(torch\.float32\)"),
    "whole numbers": (lambda x: x.long(), r"found torch\.int64; embed symbols first"),
    "truth values": (lambda x: x > 0, r"found torch\.bool"),
    "complex numbers": (lambda x: x + 0j, r"found torch\.complex64; take \.real"),
    "a nested tensor": (lambda x: torch.nested.nested_tensor([x[0]]), r"xs\.unbind\(\)"),
    "another device": (lambda x: x.to("meta"), "expected inputs on cpu like the parameters, found them on meta"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("use", ["unroll", "layer"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_other_inputs_are_refused_in_our_own_words(name, use):
    change, words = REFUSED[name]
    layer, xs = both()
    with pytest.raises(UsageError, match=words):
        layer(change(xs)) if use == "layer" else unroll(layer.ahead.cell, change(xs))


# Hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("backend")
def test_hooks_inside_containers_are_called():
    torch.manual_seed(7)
    stack = Stack(
        Dropout(0.5),
        Bidirectional(CELLS["gru"](3, 4), CELLS["gru"](3, 4)),
        Window(8, before=1, after=0),
        Residual(Recurrent(CELLS["elman"](16, 16))),
    ).eval()
    xs, heard = [torch.randn(n, 3) for n in (3, 5)], []
    expected, _ = stack(xs)
    inside = [module for module in stack.modules() if module is not stack and hasattr(module, "run")]
    assert len(inside) == 7
    handles = [m.register_forward_hook(lambda module, *_: heard.append(module)) for m in inside]
    handles += [m.register_forward_pre_hook(lambda module, *_: heard.append(module)) for m in inside]
    same(stack(xs)[0], expected)
    assert {id(module) for module in heard} == {id(module) for module in inside} and len(heard) == 14
    for handle in handles:
        handle.remove()
    handle = stack.layers[1].register_forward_hook(lambda m, given, out: (out[0].with_data(out[0].data * 0), out[1]))
    changed, _ = stack(xs)
    assert not torch.allclose(changed[0], expected[0]), "what a hook returns counts"
    handle.remove()
    same(stack(xs)[0], expected)


# Processes and threads --------------------------------------------------------------------------------------------


def test_a_forked_process_does_not_hang():
    """The parent has used several threads, which a fork does not take along."""
    code = """
import multiprocessing, torch
torch.set_num_threads(2)
from elman.recurrent import CELLS, Bidirectional
layer, xs = Bidirectional(CELLS["lstm"](30, 64), CELLS["lstm"](30, 64)), torch.randn(32, 20, 30)
total = layer(xs)[0].sum().item()
fork = multiprocessing.get_context("fork")
queue = fork.Queue()
process = fork.Process(target=lambda: queue.put(layer(xs)[0].sum().item()))
process.start()
assert abs(queue.get(timeout=200) - total) < 1e-2
process.join(200)
print(process.exitcode, torch.get_num_threads())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert ran.stdout == "0 2\n", ran.stderr


class Encoded(Dataset):
    def __init__(self):
        self.layer, self.xs = both()

    def __len__(self):
        return 6

    def __getitem__(self, i):
        with torch.no_grad():
            return self.layer(self.xs * i)[0]


def test_workers_of_a_data_loader():
    data = Encoded()
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=multiprocessing.get_context("fork"))
    same(torch.cat(list(loader)), [data[i] for i in range(6)])


def test_four_threads_at_once():
    layer, xs = both()
    expected, found = layer(xs)[0], []

    def work():
        for _ in range(20):
            found.append(torch.equal(layer(xs)[0], expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


def test_data_parallel_in_one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/at", rank=0, world_size=1)
    try:
        net, xs = Tagger(), torch.randn(2, 5, 3)
        expected = torch.autograd.grad(net(xs).sum(), list(net.parameters()))
        nn.parallel.DistributedDataParallel(net)(xs).sum().backward()
        same([p.grad for p in net.parameters()], expected)
    finally:
        torch.distributed.destroy_process_group()


# Declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["state", "State"])
def test_a_state_of_names_alone_is_refused_with_the_right_line(where):
    def step(self, s, x, r):
        return self.State(h=x.a)

    kind = type("Mine", (Cell,), {"gates": ("a",), where: ("h", "fast", "slow"), "step": step})
    with pytest.raises(UsageError, match=r'expected State = namedtuple\("State", "h fast slow"\)'):
        kind(3, 4)


def test_numbers_of_numpy_are_no_sizes():
    with pytest.raises(UsageError, match="expected input_size"):
        CELLS["lstm"](np.float64(3), 4)
