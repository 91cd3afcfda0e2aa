"""Weights to and from torch's own recurrent modules, exactly: `from_torch` and `to_torch`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from elman.errors import UsageError
from elman.recurrent.cell import Cell
from elman.recurrent.cells import GRU, LSTM, Elman, ElmanReLU
from elman.recurrent.layers import Bidirectional, Dropout, Layer, Recurrent, Stack
from elman.recurrent.torch_layout import FUNCTIONS, PARTS, fill, torch_weights


def from_torch(module: nn.LSTM | nn.GRU | nn.RNN) -> Stack:
    """A Stack that computes what the torch module does, with copies of its weights.

    One Recurrent or Bidirectional per layer, and if the module has dropout a `Dropout(p, per="step")` between them.
    dtype, device and training mode are kept. torch's two biases are summed in `b`, except for the GRU's candidate,
    whose recurrent bias is the cell's `c`; bias=False gives biases of 0. `batch_first` has no counterpart: a Stack
    takes (batch, time, dim), a list or a Packed.

    Raises UsageError for another kind of module, and for proj_size."""
    if not isinstance(module, nn.LSTM | nn.GRU | nn.RNN):
        raise UsageError(f"from_torch: expected an nn.LSTM, nn.GRU or nn.RNN, found {type(module).__name__}")
    if module.proj_size:
        raise UsageError(f"from_torch: an LSTM with proj_size={module.proj_size} has no counterpart here; expected 0")
    kind: type[Cell]
    if isinstance(module, nn.LSTM):
        kind = LSTM
    elif isinstance(module, nn.GRU):
        kind = GRU
    else:
        kind = Elman if module.nonlinearity == "tanh" else ElmanReLU
    directions = ("", "_reverse") if module.bidirectional else ("",)
    layers: list[Layer] = []
    for k in range(module.num_layers):
        if k and module.dropout:
            layers.append(Dropout(module.dropout, per="step"))
        width = module.input_size if k == 0 else module.hidden_size * len(directions)
        cells = [_cell_from(module, kind, width, f"l{k}{direction}") for direction in directions]
        layers.append(Bidirectional(*cells) if module.bidirectional else Recurrent(cells[0]))
    return Stack(*layers).train(module.training)


def _cell_from(module: nn.RNNBase, kind: type[Cell], input_size: int, suffix: str) -> Cell:
    weight = getattr(module, f"weight_ih_{suffix}")
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; leave the random state as it was
        cell = kind(input_size, module.hidden_size).to(weight.device, weight.dtype)
    parts = PARTS if module.bias else PARTS[:2]
    fill(cell, *(getattr(module, f"{part}_{suffix}") for part in parts))
    return cell


def to_torch(layer: Stack | Recurrent | Bidirectional) -> nn.LSTM | nn.GRU | nn.RNN:
    """The torch module that computes what these layers do, with copies of their weights; the inverse of `from_torch`.

    It has batch_first=True, so it takes the same (batch, time, dim). Its bias_hh is 0 except for the GRU's candidate.
    dtype, device and training mode are kept.

    Raises UsageError for what torch lacks: other cells or a mixture, delays, a window, a stack that runs in reverse
    only, layers of different sizes, zoneout, dropout on h or U, and dropout other than a `Dropout(p, per="step")` of
    one p between all layers."""
    layers, dropout = _plan(layer)
    cells = [_cells_of(part) for part in layers]
    first = cells[0][0]
    kind, hidden = type(first), first.hidden_size
    if kind not in FUNCTIONS:
        raise UsageError(f"to_torch: torch has no {kind.__name__}; expected one of {[k.__name__ for k in FUNCTIONS]}")
    for part in layers:
        ones = [part] if isinstance(part, Recurrent) else [part.ahead, part.back]
        if modifiers := next(filter(None, (str(one.modifiers) for one in ones)), ""):
            raise UsageError(f"to_torch: torch has no {modifiers}")
    for cell in (cell for pair in cells for cell in pair):
        if type(cell) is not kind or cell.hidden_size != hidden:
            found = f"{kind.__name__}({hidden}) and {type(cell).__name__}({cell.hidden_size})"
            raise UsageError(f"to_torch: torch has one kind and size of cell in all layers, found {found}")
        if cell.delays > 1:
            raise UsageError(f"to_torch: torch has no delays, found {cell}")
    if len({len(pair) for pair in cells}) > 1:
        raise UsageError("to_torch: expected all layers in one direction or all in both, found a mixture")
    module: nn.LSTM | nn.GRU | nn.RNN
    with torch.random.fork_rng(devices=[]):
        sizes = (first.input_size, hidden, len(layers))
        options: dict[str, Any] = {"batch_first": True, "dropout": dropout, "bidirectional": len(cells[0]) == 2}
        if kind is LSTM:
            module = nn.LSTM(*sizes, **options)
        elif kind is GRU:
            module = nn.GRU(*sizes, **options)
        else:
            module = nn.RNN(*sizes, nonlinearity="relu" if kind is ElmanReLU else "tanh", **options)
    module = module.to(first.W.device, first.W.dtype)
    with torch.no_grad():
        for k, pair in enumerate(cells):
            for cell, direction in zip(pair, ("", "_reverse"), strict=False):
                for name, weight in zip(PARTS, torch_weights(cell), strict=True):
                    getattr(module, f"{name}_l{k}{direction}").copy_(weight)
    return module.train(layer.training)


def _plan(layer: Layer) -> tuple[list[Recurrent | Bidirectional], float]:
    """The recurrent layers, bottom to top, and the single dropout rate between them."""
    layers: list[Recurrent | Bidirectional] = []
    gaps: list[float] = []
    for part in layer.parts():
        if isinstance(part, Recurrent | Bidirectional):
            gaps += [0.0] * (len(layers) - len(gaps))  # no dropout since the layer below
            layers.append(part)
        elif isinstance(part, Dropout):
            if not part.p:
                continue
            if part.per != "step":
                raise UsageError(
                    "to_torch: torch draws a dropout mask per step, this layer one per sequence; "
                    'use Dropout(p, per="step"), or remove it'
                )
            if len(gaps) != len(layers) - 1:
                raise UsageError("to_torch: torch has one dropout between layers, not below them or twice")
            gaps.append(part.p)
        else:
            raise UsageError(f"to_torch: torch has no counterpart for {type(part).__name__}")
    if not layers:
        raise UsageError("to_torch: expected at least one recurrent layer, found none")
    if len(gaps) == len(layers):
        raise UsageError("to_torch: torch has dropout between layers, not after the last one")
    if len(set(gaps)) > 1:
        raise UsageError(f"to_torch: torch has one dropout rate for all layers, found {gaps}")
    return layers, gaps[0] if gaps else 0.0


def _cells_of(layer: Recurrent | Bidirectional) -> list[Cell]:
    if isinstance(layer, Bidirectional):
        return [layer.ahead.cell, layer.back.cell]
    if layer.reverse:
        raise UsageError("to_torch: torch has no layer that runs in reverse only; use Bidirectional")
    return [layer.cell]
