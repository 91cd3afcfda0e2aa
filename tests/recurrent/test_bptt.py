"""Windows with a carried state, and exact gradients within a memory bound."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.errors import UsageError
from elman.recurrent import (
    CELLS,
    Modifiers,
    Noise,
    Packed,
    Recurrent,
    memory_plan,
    recurrent_stack,
    use_backend,
    windows,
)

LENGTHS = [23, 0, 17, 9, 23, 4, 1]


def batch(width: int, dtype: torch.dtype = torch.float64) -> Packed:
    return Packed.from_list([torch.randn(n, width, dtype=dtype) for n in LENGTHS])


def gradients(cell: Any, xs: Packed, start: Any, **options: Any) -> list[Tensor]:
    data = xs.data.detach().clone().requires_grad_()
    start = type(start)(*[s.detach().clone().requires_grad_() for s in start])
    ys, state = elman.unroll(cell, xs.with_data(data), start, **options)
    generator = torch.Generator().manual_seed(5)

    def weighed(value: Tensor) -> Tensor:
        return (value * torch.randn(value.shape, generator=generator, dtype=value.dtype)).sum()

    loss = weighed(ys.data) + sum(weighed(value) for value in state)
    grads = torch.autograd.grad(loss, [data, *start, *cell.parameters()], allow_unused=True)
    return [ys.data, *state, *[torch.zeros(1) if g is None else g for g in grads]]


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru", "indrnn"])
def test_a_memory_bound_changes_no_gradient(name: str, reverse: bool, backend: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](5, 7, delays=2 if name == "gru" else 1).double()
    xs = batch(5)
    start = cell.Carried(*[torch.randn(len(LENGTHS), 7, dtype=torch.float64) for _ in cell.Carried._fields])
    with use_backend(backend):
        bound = least(cell, xs) + 40_000
        plan = memory_plan(cell, xs, bound)
        assert 2 <= plan.segments <= 12, "the test must cut the sequences"
        assert plan.peak <= bound
    expected = gradients(cell, xs, start, reverse=reverse, backend=backend)
    got = gradients(cell, xs, start, reverse=reverse, backend=backend, memory=bound)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-10)


def least(cell: Any, xs: Packed) -> int:
    with pytest.raises(
        UsageError, match="is too little for this backpropagation; the minimum for 23 steps of 7"
    ) as problem:
        memory_plan(cell, xs, 1)
    found = re.search(r"is ([\d,]+) (KB|MB)", str(problem.value))
    assert found
    return int(found[1].replace(",", "")) * {"KB": 1000, "MB": 1_000_000}[found[2]]


def test_with_noise_and_dropped_weights() -> None:
    torch.manual_seed(1)
    cell = CELLS["lstm"](5, 7).double()
    xs = batch(5)
    modifiers = Modifiers(zoneout=0.2, recurrent_dropout=0.3, weight_dropout=0.3)

    def drawn() -> Noise:
        noise = modifiers.draw(cell, xs, True, torch.Generator().manual_seed(3))
        assert noise is not None
        return noise

    start = cell.initial(len(LENGTHS), xs.data)
    bound = least(cell, xs) + 40_000
    assert memory_plan(cell, xs, bound).segments > 1
    for backend in ("reference", "native"):
        expected = gradients(cell, xs, start, noise=drawn(), backend="reference")
        got = gradients(cell, xs, start, noise=drawn(), backend=backend, memory=bound)
        for a, b in zip(got, expected, strict=True):
            assert torch.allclose(a, b, atol=1e-12, rtol=1e-10)


def test_enough_memory_keeps_everything() -> None:
    cell = CELLS["lstm"](5, 7)
    plan = memory_plan(cell, batch(5), "1GB")
    assert plan.segments == 1 and "nothing is recomputed" in str(plan)


def test_plans_shrink_with_memory() -> None:
    cell = CELLS["lstm"](256, 256)
    xs = Packed.from_padded(torch.zeros(1, 5000, 256))
    plans = [memory_plan(cell, xs, f"{m}MB") for m in (20, 30, 60, 200)]
    assert [p.segments for p in plans] == sorted({p.segments for p in plans}, reverse=True)
    assert all(p.peak <= m * 10**6 for p, m in zip(plans, (20, 30, 60, 200), strict=True))
    assert all(p.steps * p.segments >= 5000 for p in plans)


@pytest.mark.parametrize("memory", ["much", "", -1, 0, "12 parsecs", True])
def test_memory_that_says_nothing(memory: Any) -> None:
    with pytest.raises(UsageError, match='expected a number of bytes or text such as "256MB"'):
        elman.unroll(CELLS["elman"](2, 2), torch.zeros(1, 3, 2), memory=memory)


def test_without_gradients_nothing_is_planned() -> None:
    cell = CELLS["elman"](2, 2)
    xs = torch.randn(1, 3, 2)
    with torch.no_grad():
        assert torch.equal(elman.unroll(cell, xs, memory=1)[0], elman.unroll(cell, xs)[0])


PEAK = """
import resource, sys, torch, elman
from elman.recurrent import CELLS, Packed
torch.set_num_threads(1)
cell, steps = CELLS["lstm"](64, 64), int(sys.argv[1])
xs = Packed.from_padded(torch.randn(1, steps, 64))
elman.unroll(cell, Packed.from_padded(torch.randn(1, 50, 64)), memory="1MB")[0].data.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ys, _ = elman.unroll(cell, xs, memory=sys.argv[2])
ys.data.sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - steps * 64 * 4 // 1024)
"""


def test_the_process_stays_below_what_was_planned() -> None:
    """Kilobytes beyond inputs and outputs, in a process of its own: 40,000 steps would hold 175 MB at once."""
    command = [sys.executable, "-c", PEAK, "40000", "24MB"]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 40_000


@pytest.mark.parametrize("length", [1, 3, 10, 100])
def test_windows_carry_the_state(length: int) -> None:
    torch.manual_seed(2)
    layer = recurrent_stack(CELLS["lstm"], 4, 6, 2, bidirectional=False).double()
    xs = [torch.randn(n, 4, dtype=torch.float64) for n in LENGTHS]
    whole, final = layer(Packed.from_list(xs))
    state, rows, seen = None, [], 0
    for window in windows(xs, length):
        assert len(window.batch_sizes) <= length
        ys, state = layer(window, state)
        rows.append(ys.data)
        seen += len(window.batch_sizes)
    assert seen == max(LENGTHS)
    assert torch.allclose(torch.cat(rows), whole.data, atol=1e-12)
    for a, b in zip(state[1], final[1], strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_detach_stops_the_gradient_and_nothing_else() -> None:
    layer = Recurrent(CELLS["elman"](2, 3))
    xs = torch.randn(1, 6, 2, requires_grad=True)
    first, second = windows(xs, 3)
    _, state = layer(first)
    ys, _ = layer(second, elman.detach(state))
    ys.data.sum().backward()
    assert xs.grad is not None
    assert torch.equal(xs.grad[:, :3], torch.zeros(1, 3, 2)) and xs.grad[:, 3:].abs().min() > 0


def test_windows_need_a_length() -> None:
    with pytest.raises(UsageError, match="expected a length of 1 step or more, found 0"):
        list(windows(torch.zeros(1, 3, 2), 0))
