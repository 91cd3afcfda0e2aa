"""The recurrent core: cells, time, and layers in time."""

from elman.recurrent.cell import Cell, gate, listen_to_gates
from elman.recurrent.cells import CELLS, get_cell
from elman.recurrent.check import CellReport, check_cell
from elman.recurrent.layers import Bidirectional, Dropout, Layer, Recurrent, Stack, Window, recurrent_stack
from elman.recurrent.packed import Packed
from elman.recurrent.torch_modules import from_torch, to_torch
from elman.recurrent.unroll import unroll

__all__ = [
    "CELLS",
    "Bidirectional",
    "Cell",
    "CellReport",
    "Dropout",
    "Layer",
    "Packed",
    "Recurrent",
    "Stack",
    "Window",
    "check_cell",
    "from_torch",
    "gate",
    "get_cell",
    "listen_to_gates",
    "recurrent_stack",
    "to_torch",
    "unroll",
]
