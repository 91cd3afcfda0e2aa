"""A generator gives what a stepper gives, bit for bit, for every cell: it only moves less about."""

from __future__ import annotations

import pytest
import torch

import elman.recurrent.generator as generators
from elman.errors import UsageError
from elman.recurrent import CELLS, Dropout, Layer, Recurrent, Stack, Window, recurrent_stack, stepper, use_backend
from elman.recurrent.generator import generator

TABLE = torch.randn(9, 13, generator=torch.Generator().manual_seed(1))


def require_same(layer: Layer, dtype: torch.dtype = torch.float32, *, compiled: bool = True) -> None:
    """Over tokens that come again, and a second text."""
    one, step, state = generator(layer, TABLE, dtype), stepper(layer, dtype=dtype), None
    assert one.compiled == compiled
    for k in range(30):
        if k == 20:
            one.reset()
            state = None
        i = k * 7 % 9
        expected, state = step(TABLE[i : i + 1], state)
        assert torch.equal(one(i), expected), k


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    torch.manual_seed(0)
    layer = Stack(Dropout(0.3), recurrent_stack(CELLS[name], 13, 37, 2, bidirectional=False)).eval()
    compiled = name not in ("lstm-layernorm", "deep-transition")
    require_same(layer, compiled=compiled)
    if compiled:
        require_same(layer, torch.bfloat16)
    else:
        with pytest.raises(UsageError, match="bfloat16"):
            generator(layer, TABLE, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_delays_zoneout_and_more_than_one_thread(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    require_same(Recurrent(CELLS["gru"](13, 20, delays=3)).eval(), dtype)
    require_same(Recurrent(CELLS["lstm"](13, 20), zoneout={"h": 0.2, "c": 0.1}).eval(), dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        require_same(Recurrent(CELLS["lstm"](13, 250)).eval(), dtype)  # large enough for two
    finally:
        torch.set_num_threads(threads)


def test_tokens_beyond_the_room_are_computed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "ROOM", 3 * 4 * 4 * 20)
    layer = Recurrent(CELLS["lstm"](13, 20)).eval()
    require_same(layer)
    one = generator(layer, TABLE)
    for i in range(9):
        one(i)
    assert len(one._known) == 3


def test_what_is_not_compiled_runs_step_by_step() -> None:
    layer = Recurrent(CELLS["gru"](13, 20)).eval()
    require_same(Stack(Window(13, before=1, after=0), Recurrent(CELLS["gru"](26, 20))).eval(), compiled=False)
    with use_backend("reference"):
        require_same(layer, compiled=False)
    with pytest.raises(UsageError, match="looks ahead"):
        generator(Recurrent(CELLS["gru"](13, 20), reverse=True), TABLE)
    with pytest.raises(UsageError, match="dtype"):
        generator(layer, TABLE, torch.float64)
