"""Which path runs, who decides, and what is said when it is the slow one."""

from __future__ import annotations

import importlib
import threading
import warnings

import pytest
import torch

from elman.errors import UsageError
from elman.recurrent import CELLS, Bidirectional, Cell, Packed, gate, listen_to_gates, unroll
from elman.recurrent.backend import SlowPath, current_backend, path_of, use_backend
from elman.recurrent.kernels import build, compiled, native
from elman.recurrent.noise import Noise

door = importlib.import_module("elman.recurrent.backend")
LENGTHS = [4, 0, 6, 1]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing is asked for, and nothing has been told yet."""
    monkeypatch.delenv("ELMAN_BACKEND", raising=False)
    monkeypatch.setattr(door, "_told", set())


@pytest.fixture
def calls(monkeypatch):
    """How often compiled cells ran."""
    counted, run = [], native.run

    def counting(*arguments):
        counted.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(native, "run", counting)
    return counted


def cell_and_inputs(name="lstm", dtype=torch.float32, **options):
    torch.manual_seed(1)
    return CELLS[name](3, 4, **options).to(dtype), [torch.randn(n, 3, dtype=dtype) for n in LENGTHS]


def referenced(cell, xs, **options):
    with use_backend("reference"):
        return unroll(cell, xs, **options)


def equal(got, expected):
    return all(torch.equal(a, b) for a, b in zip([*got[0], *got[1]], [*expected[0], *expected[1]], strict=True))


class Summing(Cell):
    """What it sums over the row cannot be compiled."""

    gates = ("z",)

    def step(self, s, x, r):
        return self.State(h=torch.tanh(x.z + r.z - x.z.sum(-1, keepdim=True)))


# Who decides -----------------------------------------------------------------------------------------------------


def test_the_variable_the_block_and_the_default(monkeypatch):
    assert current_backend() == "auto"
    monkeypatch.setenv("ELMAN_BACKEND", "reference")
    assert current_backend() == "reference"
    with use_backend("native"):
        assert current_backend() == "native"
        with use_backend("auto"):
            assert current_backend() == "auto"
        assert current_backend() == "native"
    assert current_backend() == "reference"
    monkeypatch.setenv("ELMAN_BACKEND", "")
    assert current_backend() == "auto"


def test_a_block_ends_with_an_error_too_and_is_this_threads_own():
    seen = []
    with pytest.raises(ZeroDivisionError), use_backend("reference"):
        thread = threading.Thread(target=lambda: seen.append(current_backend()))
        thread.start()
        thread.join()
        raise ZeroDivisionError
    assert current_backend() == "auto" and seen == ["auto"]


def test_unknown_names_are_refused_where_they_stand(monkeypatch):
    with (
        pytest.raises(UsageError, match=r"backend: unknown backend 'natif'; did you mean 'native'"),
        use_backend("natif"),
    ):
        pass
    monkeypatch.setenv("ELMAN_BACKEND", "fast")
    with pytest.raises(UsageError, match=r"the environment variable ELMAN_BACKEND: unknown backend 'fast'"):
        unroll(*cell_and_inputs())


@pytest.mark.usefixtures("compiler")
def test_auto_compiles_float32_and_reference_does_not(calls):
    cell, xs = cell_and_inputs()
    ys, end = unroll(cell, xs)
    assert len(calls) == 1 and ys[0].dtype == torch.float32
    expected = referenced(cell, xs)
    assert len(calls) == 1
    for a, b in zip([*ys, *end], [*expected[0], *expected[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert path_of(cell) == ("native", "")
    with use_backend("reference"):
        assert path_of(cell) == ("reference", "requested")


# The slow path is told once, and is right ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Summing(3, 4), r"Summing cannot be compiled: .*aten\.sum"),
        (lambda: CELLS["lstm-layernorm"](3, 4), "LayerNormLSTM is not compiled: it overrides R, so its products stay"),
        (lambda: CELLS["deep-transition"](3, 4), "DeepTransition is not compiled: it overrides R"),
    ],
    ids=["sum", "layernorm", "deep"],
)
def test_auto_tells_once_and_gives_the_references_result(make, words, calls):
    cell, xs = make(), cell_and_inputs()[1]
    with pytest.warns(SlowPath, match=words) as told:
        got = unroll(cell, xs)
    assert [str(w.message).endswith("it runs on the slower reference path") for w in told] == [True]
    assert equal(got, referenced(cell, xs)) and not calls
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = unroll(cell, xs)
        unroll(type(cell)(3, 5), xs, reverse=True)  # of the same kind
    assert equal(again, got)
    path, why = path_of(cell)
    assert path == "reference" and why and why in str(told[0].message)


@pytest.mark.parametrize("kind", [Summing, CELLS["deep-transition"]])
def test_native_raises_with_the_reason(kind):
    cell, xs = kind(3, 4), cell_and_inputs()[1]
    with use_backend("native"):
        with pytest.raises(
            UsageError, match=r"backend native: .*(aten\.sum|overrides R).*; use backend auto or reference"
        ):
            unroll(cell, xs)
        assert [len(y) for y in unroll(cell, [x[:0] for x in xs])[0]] == [0, 0, 0, 0]


def test_recurrent_dropout_with_delays_is_told_or_refused(calls):
    cell, xs = cell_and_inputs("gru", delays=2)
    noise = Noise(mask=torch.ones(len(xs), 4))
    with pytest.warns(SlowPath, match="GRU is not compiled: recurrent dropout with delays"):
        got = unroll(cell, xs, noise=noise)
    assert equal(got, referenced(cell, xs, noise=noise)) and not calls
    with use_backend("native"), pytest.raises(UsageError, match="the masked history is not kept"):
        unroll(cell, xs, noise=noise)


def test_other_numbers_run_on_the_reference_in_silence(calls, recwarn):
    cell, xs = cell_and_inputs(dtype=torch.float64)
    assert equal(unroll(cell, xs), referenced(cell, xs))
    half, short = cell_and_inputs(dtype=torch.bfloat16)
    assert equal(unroll(half, short), referenced(half, short))
    assert not calls and not [w for w in recwarn if issubclass(w.category, SlowPath)]
    with use_backend("native"), pytest.raises(UsageError, match=r"all float32, found \['torch.bfloat16'\]"):
        unroll(half, short)


def test_who_listens_hears_every_step(calls):
    cell, xs = cell_and_inputs()
    for name in ("auto", "native"):
        heard = []
        with (
            use_backend(name),
            listen_to_gates(lambda gate_name, value, heard=heard: heard.append((gate_name, len(value)))),
        ):
            got = unroll(cell, xs)
        assert [n for name, n in heard if name == "i"] == [3, 2, 2, 2, 1, 1] and not calls
        assert equal(got, referenced(cell, xs))


def test_without_a_compiler_it_works_and_tells(monkeypatch):
    def refuse(*arguments):
        raise build.BuildError("no C++ compiler found; apt install g++")

    monkeypatch.setattr(build, "load", refuse)
    monkeypatch.setattr(compiled, "_entries", {})
    cell, xs = cell_and_inputs()
    with pytest.warns(SlowPath, match=r"LSTM was not compiled: no C\+\+ compiler found; apt install g\+\+"):
        got = unroll(cell, xs)
    assert equal(got, referenced(cell, xs))
    assert path_of(cell) == ("reference", "no C++ compiler found; apt install g++")
    with use_backend("native"), pytest.raises(UsageError, match="backend native: LSTM was not compiled: no C"):
        unroll(cell, xs)


@pytest.mark.usefixtures("compiler")
def test_nothing_is_told_of_what_is_compiled(recwarn, calls):
    cell, xs = cell_and_inputs()
    unroll(cell, xs)
    unroll(cell, [x[:0] for x in xs])
    assert len(calls) == 1 and not [w for w in recwarn if issubclass(w.category, SlowPath)]


@pytest.mark.usefixtures("compiler")
def test_one_direction_that_is_not_compiled_takes_the_other_along():
    torch.manual_seed(2)
    layer = Bidirectional(CELLS["lstm"](3, 4), CELLS["lstm-layernorm"](3, 4))
    xs = Packed.from_list(cell_and_inputs()[1])
    with pytest.warns(SlowPath, match="LayerNormLSTM"):
        got, _ = layer(xs)
    with use_backend("reference"):
        assert torch.equal(got.data, layer(xs)[0].data)


@pytest.mark.usefixtures("compiler")
def test_a_changed_step_is_another_cell():
    """As when a class is defined again in a notebook: the old library must not run."""

    def define(scale):
        class Mine(Cell):
            gates = ("z",)

            def step(self, s, x, r):
                return self.State(h=gate("h", scale * torch.tanh(x.z + r.z)))

        return Mine

    traced = []
    for scale in (1.0, 0.5):
        cell = define(scale)(3, 4)
        kernel = compiled.emit(cell, compiled.trace(cell, False, False), False, False)
        traced.append(kernel.source)
    assert "real(0.5)" in traced[1] and "real(0.5)" not in traced[0]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("guard", [torch.inference_mode, torch.no_grad])
def test_the_first_call_may_be_a_prediction(guard):
    """A cell that nobody has met yet is traced, derivative and all, where no gradients are kept."""

    class Fresh(Cell):
        gates = ("z",)

        def step(self, s, x, r):
            return self.State(h=torch.tanh(x.z + r.z) * 0.5)

    cell, xs = Fresh(3, 4), torch.randn(2, 5, 3)
    with use_backend("reference"):
        expected, _ = unroll(cell, xs)
    with use_backend("native"), guard():
        ys, _ = unroll(cell, xs)
    torch.testing.assert_close(ys, expected)
    with use_backend("native"):
        assert unroll(cell, xs)[0].requires_grad


@pytest.mark.usefixtures("compiler")
def test_noise_in_another_precision_is_converted():
    cell, xs = CELLS["gru"](3, 4).double(), torch.randn(2, 5, 3, dtype=torch.float64)
    noise = Noise(mask=torch.tensor([[0.0, 2.0, 2.0, 0.0]] * 2), U=cell.U.float() * 1.0)
    with use_backend("native"):
        ys, _ = unroll(cell, xs, noise=noise)
    with use_backend("reference"):
        expected, _ = unroll(cell, xs, noise=Noise(mask=noise.mask.double(), U=noise.U.double()))
    torch.testing.assert_close(ys, expected)


def test_a_gradient_by_a_mask_takes_the_reference():
    cell, xs = CELLS["elman"](3, 4), torch.randn(2, 5, 3)
    mask = torch.ones(2, 4, requires_grad=True)
    ys, _ = unroll(cell, xs, noise=Noise(mask=mask))
    (grad,) = torch.autograd.grad(ys.sum(), mask)
    assert grad.abs().sum() > 0
    with use_backend("native"), pytest.raises(UsageError, match="a gradient with respect to the masks"):
        unroll(cell, xs, noise=Noise(mask=mask))


@pytest.mark.usefixtures("compiler")
def test_gates_may_have_any_name():
    class Names(Cell):
        gates = ("z", "g")

        def step(self, s, x, r):
            g = gate("new", torch.sigmoid(x.g + r.g))
            z = gate("sigmoid", torch.sigmoid(x.z + r.z))
            both = gate("t0", torch.sigmoid(g * z + s.h))
            return self.State(h=gate("mask", torch.tanh(both - g)))

    cell, xs = Names(3, 4), torch.randn(2, 5, 3)
    with use_backend("reference"):
        expected, _ = unroll(cell, xs)
    with use_backend("native"):
        torch.testing.assert_close(unroll(cell, xs)[0], expected)
