"""`unroll`: a cell knows one step, this knows time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from elman.recurrent.backend import Way, current_backend, use_backend
from elman.recurrent.bptt import run_bounded
from elman.recurrent.cell import Cell, as_state
from elman.recurrent.loop import Sequences, check_state, map_state, open_door, run
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed


def unroll(
    cell: Cell,
    xs: Sequences,
    state: Sequence[Tensor] | None = None,
    reverse: bool = False,
    lengths: Sequence[int] | Tensor | None = None,
    noise: Noise | None = None,
    memory: str | int | None = None,
    backend: str | None = None,
) -> tuple[Any, Any]:
    """Run a cell over sequences: ys, state = unroll(cell, xs).

    xs:      a list of (length, input_size) tensors, or (batch, time, input_size) with `lengths` (batch,), or a Packed.
             Length 0 is legal.
    state:   where to start, each field (batch, hidden) in the order of xs; default `cell.initial`.
    reverse: from the last token of each sequence to its first. ys stay in the order of the tokens.
    noise:   masks, zoneout and dropped weights, as `Modifiers.draw` gives them; its rows are in packed order.
    memory:  a bound on what backpropagation holds beyond inputs and outputs, such as "256MB": it then keeps some steps
             at a time and computes them twice (`bptt.memory_plan`). Gradients are the same.
    backend: "auto", "native" or "reference", for this call; default the one in force (`current_backend`).

    Returns ys, in the form of xs with output_size in place of input_size (padded steps are 0), and the state after the
    last step of each sequence (its first token, if reverse). A sequence of length 0 returns the state it started with.
    Raises UsageError where shapes do not fit.
    """
    packed, back = open_door(xs, lengths, cell.input_size, type(cell).__name__)
    if state is None:
        s = cell.initial(packed.sequences, packed.data)
    else:
        s = check_state(cell, as_state(cell, state), packed.sequences)
        if not isinstance(xs, Packed):
            s = map_state(packed.sorted_rows, s)
    if noise is not None:
        noise.check(cell, packed)
    with use_backend(backend or current_backend()):
        if memory is None:
            ys, final = run(cell, packed, s, reverse, noise)
        else:
            ys, final = run_bounded(Way(cell, s, reverse, noise), packed, memory)
    if isinstance(xs, Packed):
        return ys, final
    return back(ys), map_state(packed.caller_rows, final)
