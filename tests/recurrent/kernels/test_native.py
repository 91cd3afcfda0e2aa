"""Compiled cells as torch's autograd sees them, against the reference in float64; and the same bits every time."""

from __future__ import annotations

import threading

import pytest
import torch

from elman.errors import UsageError
from elman.recurrent import CELLS, Bidirectional, Packed, unroll
from elman.recurrent.backend import use_backend

pytestmark = pytest.mark.usefixtures("compiler")
LENGTHS = [4, 0, 6, 1, 6]
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def make(name="lstm", hidden=5, dtype=torch.float64, **options):
    torch.manual_seed(1)
    cell = CELLS[name](3, hidden, **options).to(dtype)
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    return cell


def inputs(dtype=torch.float64, lengths=LENGTHS):
    torch.manual_seed(2)
    return [torch.randn(n, 3, dtype=dtype, requires_grad=True) for n in lengths]


def states(cell, count, dtype=torch.float64):
    torch.manual_seed(3)
    shape = (count, cell.hidden_size)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in cell.Carried._fields]


def loss_of(values):
    torch.manual_seed(4)
    return sum((v * torch.randn_like(v)).sum() for v in values if v.requires_grad)


def same(function):
    """The tensors that it returns, on both paths."""
    found = []
    for name in ("native", "reference"):
        with use_backend(name):
            found.append(function())
    assert len(found[0]) == len(found[1])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **EXACT)
    return found[0]


@pytest.fixture(params=[1, 2, 4])  # of two directions each has one of 2, and two of 4
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


# Modes of autograd -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode):
    cell, xs = make(), inputs()

    def run():
        with mode():
            ys, end = unroll(cell, xs)
        assert not any(v.requires_grad for v in (*ys, *end))
        return [*ys, *end]

    same(run)


@pytest.mark.parametrize("frozen", ["U", "W", "b", "W b", "U W b", "x", "x U W b"])
@pytest.mark.parametrize("name", ["lstm", "gru", "lstm-peephole"])
def test_frozen_parts(name, frozen):
    cell, xs, start = make(name), inputs(), states(make(name), len(LENGTHS))
    for part in frozen.split():
        if part == "x":
            xs = [x.detach() for x in xs]
        else:
            getattr(cell, part).requires_grad_(False)
    leaves = [v for v in (*xs, *start, *cell.parameters()) if v.requires_grad and v.numel()]

    def run():
        ys, end = unroll(cell, xs, start)
        return [*ys, *end, *torch.autograd.grad(loss_of([*ys, *end]), leaves)]

    same(run)


def test_only_the_state_has_a_gradient():
    cell, start = make("gru").requires_grad_(False), states(make("gru"), len(LENGTHS))
    xs = [x.detach() for x in inputs()]
    same(lambda: torch.autograd.grad(loss_of(unroll(cell, xs, start)[0]), start))
    same(lambda: torch.autograd.grad(loss_of(unroll(cell, xs, start, reverse=True)[1]), start))


@pytest.mark.parametrize("which", ["ys", "h", "c", "one row"])
def test_a_gradient_from_one_result_only(which):
    cell, xs = make(), inputs()

    def run():
        ys, end = unroll(cell, xs)
        chosen = {"ys": ys, "h": [end.h], "c": [end.c], "one row": [ys[2][3:4]]}[which]
        return torch.autograd.grad(loss_of(chosen), [*(x for x in xs if len(x)), *cell.parameters()], allow_unused=True)

    same(run)


def test_backward_twice_with_retain_graph():
    cell, xs = make(), inputs()
    leaves = [*(x for x in xs if len(x)), *cell.parameters()]

    def run():
        ys, end = unroll(cell, xs)
        loss = loss_of([*ys, *end])
        first = torch.autograd.grad(loss, leaves, retain_graph=True)
        second = torch.autograd.grad(loss, leaves)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, leaves)
        return first

    same(run)


def test_results_used_twice():
    cell, xs = make("gru"), inputs()

    def run():
        ys, end = unroll(cell, xs)
        loss = loss_of(ys) + (ys[2] ** 2).sum() + (end.h * end.h.roll(1, 0)).sum() + ys[0][-1].sum()
        return torch.autograd.grad(loss, [*(x for x in xs if len(x)), *cell.parameters()])

    same(run)


def test_one_cell_twice_in_a_graph():
    """Both directions of one cell, and its outputs fed to it again: all gradients meet in the same weights."""
    torch.manual_seed(1)
    cell = CELLS["gru"](3, 3).double()
    xs = inputs()

    def run():
        ys, end = unroll(cell, xs)
        again, _ = unroll(cell, ys, end, reverse=True)
        both, _ = Bidirectional(cell, cell)(xs)
        return torch.autograd.grad(loss_of([*again, *both]), [*(x for x in xs if len(x)), *cell.parameters()])

    same(run)


@pytest.mark.parametrize("power", [1, 2])
def test_a_gradient_of_a_gradient_is_refused(power):
    """Where the loss is linear in ys too: there torch's own guard would let a penalty of the gradient be a constant."""
    cell, xs = make(), inputs()
    with use_backend("native"):
        ys, _ = unroll(cell, xs)
        with pytest.raises(UsageError, match=r"no second-order gradient \(create_graph\); use backend reference"):
            torch.autograd.grad(sum((y**power).sum() for y in ys), [cell.U], create_graph=True)


def test_the_weights_may_not_change_before_the_backward_pass():
    cell, xs = make(), inputs()
    with use_backend("native"):
        ys, _ = unroll(cell, xs)
        with torch.no_grad():
            cell.U.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss_of(ys).backward()


def test_inputs_that_are_not_contiguous():
    cell = make()
    torch.manual_seed(5)
    wide = torch.randn(6, 8, 6, dtype=torch.float64, requires_grad=True)
    start = torch.randn(5, 2, 6, dtype=torch.float64, requires_grad=True).transpose(0, 2)  # (6, 2, 5)

    def run():
        x = wide.transpose(0, 1)[:6, :, ::2].transpose(0, 1)
        ys, end = unroll(cell, x, [start[:, 0], start[:, 1]], lengths=[6, 0, 3, 6, 1, 2])
        weights = torch.randn(ys.shape[::-1], dtype=torch.float64).permute(2, 1, 0)  # a gradient that is not either
        return [ys, *end, *torch.autograd.grad((ys * weights).sum() + end.c.T.sum(), [wide, *cell.parameters()])]

    for part in (cell.W, cell.U):  # weights too
        part.data = part.data.t().contiguous().t()
    torch.manual_seed(6)
    state = torch.get_rng_state()

    def seeded():
        torch.set_rng_state(state)
        return run()

    same(seeded)


def test_expanded_gradients_and_states():
    cell, xs = make("gru"), inputs()
    zeros = torch.zeros(1, 5, dtype=torch.float64).expand(len(xs), 5)
    same(lambda: torch.autograd.grad(sum(y.sum() for y in unroll(cell, xs, [zeros])[0]), list(cell.parameters())))


# torch.func ------------------------------------------------------------------------------------------------------


def transformed(transform):
    """What torch.func makes of a compiled call: an error, or the reference's numbers."""
    found = []
    for name in ("native", "reference"):
        with use_backend(name):
            try:
                found.append(transform())
            except Exception as problem:
                assert name == "native", f"the reference cannot do it either: {problem}"
                assert isinstance(problem, RuntimeError | NotImplementedError | ValueError), repr(problem)
                return
    torch.testing.assert_close(*found, **EXACT)


def test_under_vmap_it_is_right_or_refused():
    cell = make("gru").requires_grad_(False)
    torch.manual_seed(7)
    x = torch.randn(3, 2, 4, 3, dtype=torch.float64)
    transformed(lambda: torch.func.vmap(lambda part: unroll(cell, part)[0])(x))


def test_under_grad_jvp_and_functional_call_it_is_right_or_refused():
    cell = make("gru")
    torch.manual_seed(8)
    x, v = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    p = {name: value.detach() for name, value in cell.named_parameters()}
    frozen = make("gru").requires_grad_(False)
    transformed(lambda: torch.func.grad(lambda x: unroll(frozen, x)[0].sin().sum())(x))
    transformed(lambda: torch.func.jvp(lambda x: unroll(frozen, x)[0], (x,), (v,))[1])
    transformed(lambda: torch.func.jacrev(lambda x: unroll(frozen, x)[0].sum())(x))

    def of_weights(weights):
        with torch.nn.utils.stateless._reparametrize_module(cell, weights):
            return unroll(cell, x)[0].sin().sum()

    transformed(lambda: torch.func.grad(of_weights)(p)["U"])


def test_under_forward_mode_it_is_right_or_refused():
    frozen = make("gru").requires_grad_(False)
    torch.manual_seed(8)
    x, v = torch.randn(2, 2, 4, 3, dtype=torch.float64)

    def forward_mode():
        with torch.autograd.forward_ad.dual_level():
            ys, _ = unroll(frozen, torch.autograd.forward_ad.make_dual(x, v))
            return torch.autograd.forward_ad.unpack_dual(ys).tangent

    transformed(forward_mode)


# Threads, and the same bits every time ---------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[9, 0, 3, 9, 1, 5], [5] * 9], ids=["ragged", "even"])
@pytest.mark.parametrize("hidden", [4, 70])
def test_the_same_call_gives_the_same_bits(threads, hidden, lengths):
    layer = Bidirectional(make("lstm", hidden, torch.float32), make("lstm", hidden, torch.float32))
    xs = inputs(torch.float32, lengths)
    found = []
    for _ in range(4):
        with use_backend("native"):
            ys, end = layer(xs)
        grads = torch.autograd.grad(loss_of(ys), [*(x for x in xs if len(x)), *layer.parameters()])
        found.append([*ys, *end[0], *end[1], *grads])
    assert all(torch.equal(a, b) for again in found[1:] for a, b in zip(found[0], again, strict=True))


def test_python_threads_run_cells_at_once(threads):
    """The interpreter's lock is released inside a library: nothing may be shared between two calls."""
    cells = [make("lstm", 17), make("lstm", 17)]
    batches = [inputs(lengths=[8 + i, 0, 3, 8]) for i in range(4)]

    def results(i, reverse):
        ys, end = unroll(cells[i % 2], batches[i], reverse=reverse)
        loss = sum((v * v).sum() for v in (*ys, *end))
        return [*ys, *end, *torch.autograd.grad(loss, [x for x in batches[i] if len(x)])]

    def work(i, into):
        with use_backend("native"):
            into.extend(results(i, bool(k % 2)) for k in range(6))

    together = [[] for _ in batches]
    started = [threading.Thread(target=work, args=(i, together[i])) for i in range(len(batches))]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert all(len(each) == 6 for each in together)
    for i, each in enumerate(together):
        for k, found in enumerate(each):
            with use_backend("reference"):
                expected = results(i, bool(k % 2))
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, **EXACT)


def test_a_batch_of_one_and_of_nothing_but_empty_sequences():
    cell = make()
    same(lambda: (lambda ys, end: [*ys, *end])(*unroll(cell, inputs(lengths=[5]))))
    with use_backend("native"):
        ys, end = unroll(cell, Packed.from_list([x.detach() for x in inputs(lengths=[0, 0])]))
    assert len(ys.data) == 0 and not end.h.any()
