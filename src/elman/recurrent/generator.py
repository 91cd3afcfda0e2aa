"""Tokens through a causal layer, one after the other, as fast as possible: for generation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.layers import Layer
from elman.recurrent.stepper import Stepper, require_dtype, stepper

ROOM = 64 << 20  # bytes of remembered x W + b


class Generator:
    """y = generator(i): one step of a causal layer over row i of a table; the state stays inside.

    y is (1, output_size), and holds until the next step: that of a `Stepper`, bit for bit. What the lowest cell
    computes of a token alone, x W + b, is remembered for as many tokens as fit into 64 MB. The weights are a copy, as
    the layer had them when the generator was made, in evaluation mode. compiled: whether all of it is."""

    def __init__(self, layer: Layer, table: Tensor, dtype: torch.dtype) -> None:
        self._table = table.detach().contiguous()
        self._cells = layer.residents(dtype) or []
        self._stepper: Stepper | None = None if self._cells else stepper(layer, dtype=dtype)
        self.compiled = bool(self._cells)
        self._known: dict[int, Tensor] = {}
        for below, above in pairwise(self._cells):
            above.read(below.y)
        self.reset()

    def reset(self) -> None:
        """Begin again, with the state before the first step."""
        self._state = None
        for cell in self._cells:
            cell.reset()

    def __call__(self, i: int) -> Tensor:
        """One step with row i."""
        if self._stepper is not None:
            y, self._state = self._stepper(self._table[i : i + 1], self._state)
            return y
        first = self._cells[0]
        known = self._known.get(i)
        if known is not None:
            first.read_known(known)
        elif (len(self._known) + 1) * first.input_bytes <= ROOM:
            self._known[i] = first.remembered(self._table[i])
        else:
            first.read(self._table[i])
        for cell in self._cells:
            cell()
        return self._cells[-1].y


def generator(layer: Layer, table: Tensor, dtype: torch.dtype = torch.float32) -> Generator:
    """A `Generator` of a causal layer or stack of layers, over the rows of a table (tokens, input_size), float32.

    dtype: of the weights in products: torch.float32, or torch.bfloat16, which halves what is read from memory.
    Raises UsageError for a layer that looks ahead, for another dtype, and for bfloat16 if it is not compiled."""
    layer.require_causal("generation")
    require_dtype(dtype, "generator")
    made = Generator(layer, table, dtype)
    if dtype == torch.bfloat16 and not made.compiled:
        raise UsageError("bfloat16: the layer has no compiled cells, or others too; use float32")
    return made
