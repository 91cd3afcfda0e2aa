"""The recurrent core: cells, time, and layers in time."""

from elman.recurrent.backend import BACKENDS, current_backend, use_backend
from elman.recurrent.bptt import MemoryPlan, detach, memory_plan, windows
from elman.recurrent.cell import Cell, gate, listen_to_gates
from elman.recurrent.cells import CELLS, get_cell
from elman.recurrent.check import CellReport, check_cell
from elman.recurrent.layers import Bidirectional, Dropout, Layer, Recurrent, Residual, Stack, Window, recurrent_stack
from elman.recurrent.noise import Modifiers, Noise
from elman.recurrent.packed import Packed
from elman.recurrent.stepper import Stepper, stepper
from elman.recurrent.torch_modules import from_torch, to_torch
from elman.recurrent.unroll import unroll

__all__ = [
    "BACKENDS",
    "CELLS",
    "Bidirectional",
    "Cell",
    "CellReport",
    "Dropout",
    "Layer",
    "MemoryPlan",
    "Modifiers",
    "Noise",
    "Packed",
    "Recurrent",
    "Residual",
    "Stack",
    "Stepper",
    "Window",
    "check_cell",
    "current_backend",
    "detach",
    "from_torch",
    "gate",
    "get_cell",
    "listen_to_gates",
    "memory_plan",
    "recurrent_stack",
    "stepper",
    "to_torch",
    "unroll",
    "use_backend",
    "windows",
]
