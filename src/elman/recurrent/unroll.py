"""`unroll`: a cell defines one step, this runs it over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from elman.recurrent.backend import current_backend, use_backend
from elman.recurrent.bptt import run_bounded
from elman.recurrent.call import Call
from elman.recurrent.cell import Cell, as_state, evaluated
from elman.recurrent.forms import Sequences, open_form
from elman.recurrent.noise import Noise
from elman.recurrent.states import check_state, map_state


def unroll(
    cell: Cell,
    xs: Sequences,
    state: Sequence[Tensor] | None = None,
    *,
    reverse: bool = False,
    lengths: Sequence[int] | Tensor | None = None,
    noise: Noise | None = None,
    memory: str | int | None = None,
    backend: str | None = None,
) -> tuple[Any, Any]:
    """Run a cell over sequences: ys, state = unroll(cell, xs).

    xs:      a list of (length, input_size) tensors, or (batch, time, input_size) with `lengths` (batch,), or a Packed
             or torch's PackedSequence. Length 0 is legal. One sequence, (time, input_size), has a state without batch.
    state:   where to start, each field (batch, hidden) in the order of xs; default `cell.initial`.
    reverse: from the last token of each sequence to its first. ys stay in the order of the tokens.
    noise:   masks, zoneout and dropped weights, as `Modifiers.draw` returns them; its rows are in packed order.
    memory:  a bound on what backpropagation holds beyond inputs and outputs, such as "256MB": it then keeps some steps
             at a time and computes them twice (`bptt.memory_plan`). Gradients are the same.
    backend: "auto", "native" or "reference", for this call; default `current_backend()`.

    Returns ys, in the form of xs with output_size in place of input_size (padded steps are 0), and the state after the
    last step of each sequence (its first token, if reverse). A sequence of length 0 returns the state it started with.
    Raises UsageError where shapes, dtypes or devices do not fit.
    """
    cell = evaluated(cell)
    opened = open_form(xs, lengths, cell.input_size, type(cell).__name__, next(cell.parameters(), None))
    packed = opened.packed
    if state is None:
        s = cell.initial(packed.sequences, packed.data)
    else:
        s = map_state(opened.expand, as_state(cell, state))
        s = map_state(opened.sort, check_state(cell, s, packed.sequences))
    if noise is not None:
        noise.check(cell, packed)
    with use_backend(backend or current_backend()):
        ys, (final,) = run_bounded([Call(cell, s, reverse, noise, memory)], packed)
    return opened.restore(ys), map_state(opened.leave, final)
