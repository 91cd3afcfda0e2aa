"""The readable reference: one cell over time, in plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.recurrent.call import Call
from elman.recurrent.packed import Packed
from elman.recurrent.recording import begin
from elman.recurrent.states import cut, join, split_state


def reference(call: Call, xs: Packed) -> tuple[Packed, Any]:
    """The loop over time in plain torch; correct for every cell.

    Sequences are sorted by length, so those running at step t are the first batch_sizes[t] rows of the state. Forward,
    the rows of a sequence that ends are set aside; in reverse, they join when their last token is reached.
    """
    cell, state, reverse, noise, _, known = call
    inputs = cell.inputs(xs.data) if known is None else known
    sizes, count = xs.batch_sizes, xs.sequences
    if not sizes:  # no rows: one step over zero rows, so that gradients exist and are zero
        empty = cell.advance(split_state(state, [0, count])[0], inputs)
        return xs.with_data(cell.O(empty)), state
    steps = inputs.split(sizes)
    noisy: list[Any] = [()] * len(sizes) if noise is None else noise.steps(sizes)
    ys: list[Tensor] = []
    record = begin(cell, xs, reverse, noise)

    def one(t: int, s: Any) -> Any:
        new = cell.advance(s, steps[t], *noisy[t])
        if record is None:
            ys.append(cell.O(new))
            return new
        new = record.step(s, new)
        ys.append(record.output(cell.O(new)))
        return new

    if not reverse:
        ended: list[Any] = []
        s, running = state, count
        for t, n in enumerate(sizes):
            if n < running:
                s, over = cut(s, n)
                ended.append(over)
                running = n
            s = one(t, s)
        final = join([s, *reversed(ended)])
    else:
        # Cut the starting state once into the pieces that join at each step, last step first.
        bounds = [*reversed(sizes), count]
        first, *rest = [b - a for a, b in zip([0, *bounds], bounds, strict=False)]
        pieces = split_state(state, [first, *rest])
        s = pieces[0]
        for i, t in enumerate(reversed(range(len(sizes)))):
            if i and rest[i - 1]:
                s = join([s, pieces[i]])
            s = one(t, s)
        final = join([s, pieces[-1]]) if rest[-1] else s
        ys.reverse()
    if record is not None:
        record.finish()
    return xs.with_data(torch.cat(ys)), final
