"""One step at a time gives what the whole sequence gives, for every cell and causal layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.errors import UsageError
from elman.recurrent import (
    CELLS,
    Bidirectional,
    Dropout,
    Layer,
    Packed,
    Recurrent,
    Residual,
    Stack,
    Window,
    recurrent_stack,
    use_backend,
)


def walked(layer: Layer, xs: Tensor, **options: Any) -> tuple[Tensor, Any, str]:
    """(batch, time, dim) of the steps one by one, the last state, and the path taken."""
    stepper = elman.stepper(layer, len(xs), **options)
    state, ys = None, []
    for x in xs.unbind(1):
        y, state = stepper(x, state)
        ys.append(y)
    return torch.stack(ys, 1), state, stepper.path


def whole(layer: Layer, xs: Tensor) -> tuple[Tensor, Any]:
    """The same by the reference, all at once, in evaluation mode and float64."""
    with use_backend("reference"), torch.no_grad():
        ys, state = layer.eval().double()(xs.double())
    layer.float()
    return ys, state


def flat(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [t for part in state for t in flat(part)]


def require_close(got: tuple[Tensor, Any], expected: tuple[Tensor, Any], bound: float) -> None:
    for a, b in zip([got[0], *flat(got[1])], [expected[0], *flat(expected[1])], strict=True):
        assert a.shape == b.shape
        assert (a.double() - b).norm() <= bound * (b.norm() + 1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_steps_as_it_runs(name: str) -> None:
    torch.manual_seed(0)
    delays = 3 if name in ("lstm", "gru", "elman") else 1
    layer = Recurrent(CELLS[name](21, 37, delays=delays))
    xs = torch.randn(3, 6, 21)
    ys, state, path = walked(layer, xs)
    require_close((ys, state), whole(layer, xs), 1e-5)
    assert path == ("reference" if name in ("lstm-layernorm", "deep-transition") else "native")


@pytest.mark.parametrize("batch", [1, 7, 19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stack_of_everything_causal(batch: int, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    recurrent = recurrent_stack(CELLS["lstm"], 33, 33, 2, bidirectional=False, dropout=0.5, residual=True, zoneout=0.3)
    layer = Stack(Window(11, before=2, after=0), Dropout(0.5), recurrent, Recurrent(CELLS["gru"](33, 65)))
    xs = torch.randn(batch, 5, 11)
    ys, state, path = walked(layer, xs, dtype=dtype)
    assert path == "native"
    bound = 1e-5 if dtype == torch.float32 else 2e-2
    require_close((ys, state), whole(layer, xs), bound)
    if dtype == torch.bfloat16:  # and it does round
        assert (ys.double() - whole(layer, xs)[0]).norm() > 1e-4 * ys.norm()


def test_a_state_goes_from_the_layer_to_the_stepper_and_back() -> None:
    torch.manual_seed(2)
    layer = recurrent_stack(CELLS["gru"], 8, 20, 2, bidirectional=False).eval()
    xs = torch.randn(2, 9, 8)
    with torch.no_grad():
        ys, _ = layer(xs)
        _, state = layer(xs[:, :4])
    stepper = elman.stepper(layer, 2)
    before = [t.clone() for t in flat(state)]
    y, after = stepper(xs[:, 4], state)
    assert all(torch.equal(a, b) for a, b in zip(before, flat(state), strict=True))
    assert torch.allclose(y, ys[:, 4], atol=1e-6)
    with torch.no_grad():
        rest, _ = layer(xs[:, 5:], after)
    assert torch.allclose(rest, ys[:, 5:], atol=1e-6)


def test_weights_are_those_of_when_it_was_made() -> None:
    layer = Recurrent(CELLS["lstm"](4, 5))
    stepper = elman.stepper(layer)
    x = torch.randn(1, 4)
    y, _ = stepper(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    assert torch.equal(stepper(x)[0], y)
    assert not torch.equal(elman.stepper(layer)(x)[0], y)


def test_backends() -> None:
    layer = Recurrent(CELLS["lstm"](4, 5))
    with use_backend("reference"):
        assert elman.stepper(layer).path == "reference"
    whole_cell = Recurrent(CELLS["deep-transition"](4, 5))
    with use_backend("native"), pytest.raises(UsageError, match="DeepTransition is not compiled: it overrides R"):
        elman.stepper(whole_cell)


def test_float64_steps_on_the_reference() -> None:
    layer = Recurrent(CELLS["lstm"](4, 5)).double()
    xs = torch.randn(1, 3, 4, dtype=torch.float64)
    ys, _, path = walked(layer, xs)
    assert path == "reference"
    assert torch.allclose(ys, layer(xs)[0], atol=1e-12)


def test_errors() -> None:
    cells = [CELLS["lstm"](4, 5) for _ in range(2)]
    with pytest.raises(UsageError, match="stepping needs a causal layer, and Bidirectional looks ahead"):
        elman.stepper(Bidirectional(*cells))
    with pytest.raises(UsageError, match="causal"):
        elman.stepper(Stack(Window(4, after=1), Recurrent(CELLS["lstm"](16, 5))))
    with pytest.raises(UsageError, match="expected a batch of 1 or more, found 0"):
        elman.stepper(Recurrent(cells[0]), 0)
    with pytest.raises(UsageError, match=r"expected dtype torch.float32 or torch.bfloat16, found torch.float16"):
        elman.stepper(Recurrent(cells[0]), 1, torch.float16)
    stepper = elman.stepper(Recurrent(cells[0]), 2)
    with pytest.raises(UsageError, match=r"expected x \(2, 4\), one row per sequence, found \(1, 4\)"):
        stepper(torch.zeros(1, 4))
    with pytest.raises(UsageError, match=r"expected state.h \(2, 5\)"):
        stepper(torch.zeros(2, 4), (torch.zeros(1, 5), torch.zeros(1, 5)))

    class Own(Layer):
        output_size = 4

    with pytest.raises(UsageError, match="cannot step a Own"):
        elman.stepper(Own())


def test_a_residual_stack_is_what_it_says() -> None:
    torch.manual_seed(3)
    inner = Recurrent(CELLS["elman"](6, 6))
    xs = torch.randn(2, 4, 6)
    ys, _, _ = walked(Residual(inner), xs)
    plain, _, _ = walked(inner, xs)
    assert torch.allclose(ys, plain + xs)


def test_packed_states_have_the_same_rows() -> None:
    layer = Recurrent(CELLS["lstm"](3, 4)).eval()
    xs = Packed.from_list([torch.randn(2, 3), torch.randn(2, 3)])
    _, state = layer(xs)
    y, _ = elman.stepper(layer, 2)(torch.zeros(2, 3), state)
    assert y.shape == (2, 4)
