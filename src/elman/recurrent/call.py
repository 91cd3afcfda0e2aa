"""One run of a cell: the record passed to every path."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from elman.recurrent.cell import Cell
from elman.recurrent.noise import Noise


class Call(NamedTuple):
    """One cell over packed rows.

    state:   the starting state, in packed order
    reverse: from the last token of each sequence to its first
    noise:   what was drawn for this call
    memory:  a bound on what backpropagation holds, such as "256MB"; None: no bound
    inputs:  (rows, gates * hidden) `cell.inputs` of each row, if it is known already
    """

    cell: Cell
    state: Any
    reverse: bool = False
    noise: Noise | None = None
    memory: str | int | None = None
    inputs: Tensor | None = None
