"""On CUDA: cuDNN, through torch's own functions, for the cells that it has, with the cells' own weights.

The same functions run on the CPU, where the tests compare them with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import _VF, Tensor

from elman.recurrent.cell import Cell
from elman.recurrent.cells import GRU, LSTM, Elman, ElmanReLU
from elman.recurrent.packed import Packed

KINDS: dict[type[Cell], str] = {Elman: "rnn_tanh", ElmanReLU: "rnn_relu", LSTM: "lstm", GRU: "gru"}


def serves(cell: Cell, noise: Any) -> bool:
    """Whether cuDNN has this cell. Dropped weights are weights like others; masks and zoneout it cannot reach."""
    return (
        type(cell) in KINDS and cell.delays == 1 and (noise is None or (noise.mask is None and noise.zoneout is None))
    )


def run(ways: Sequence[Any], xs: Packed) -> tuple[Tensor, list[Any]]:
    """ys (rows, sum of hidden sizes) side by side, and the final state of each way, in packed order.

    Each way has cell, state, reverse and noise."""
    cells = [way.cell for way in ways]
    same = len({(type(cell), cell.hidden_size) for cell in cells}) == 1
    if same and [way.reverse for way in ways] == [False, True]:
        return _call(ways, xs)
    results = [_call([way], xs) if not way.reverse else _reversed(way, xs) for way in ways]
    return torch.cat([ys for ys, _ in results], -1), [final for _, finals in results for final in finals]


def _reversed(way: Any, xs: Packed) -> tuple[Tensor, list[Any]]:
    """torch runs in reverse only beside a forward direction: so the rows are turned round, and back."""
    lengths = torch.tensor(xs.lengths, device=xs.data.device)
    turned = xs.offsets[lengths[xs.sequence_of_row] - 1 - xs.position_of_row] + xs.sequence_of_row
    ys, finals = _call([way._replace(reverse=False)], xs.with_data(xs.data[turned]))
    return ys[turned], finals


def _call(ways: Sequence[Any], xs: Packed) -> tuple[Tensor, list[Any]]:
    kind = KINDS[type(ways[0].cell)]
    running = xs.batch_sizes[0] if xs.batch_sizes else 0  # the others are of length 0 and keep their state
    if not running:
        return xs.data.new_zeros(0, sum(way.cell.hidden_size for way in ways)), [way.state for way in ways]
    weights = [part for way in ways for part in _weights(way)]
    starts = [torch.stack([way.state[f][:running] for way in ways]) for f in range(len(ways[0].state))]
    sizes = torch.tensor(xs.batch_sizes, dtype=torch.long)
    settings = (weights, True, 1, 0.0, torch.is_grad_enabled(), len(ways) == 2)
    results = getattr(_VF, kind)(xs.data, sizes, tuple(starts) if kind == "lstm" else starts[0], *settings)
    finals = []
    for i, way in enumerate(ways):
        fields = [torch.cat([after[i], before[running:]]) for after, before in zip(results[1:], way.state, strict=True)]
        finals.append(way.cell.Carried(*fields))
    return results[0], finals


def _weights(way: Any) -> list[Tensor]:
    """weight_ih, weight_hh, bias_ih, bias_hh, as torch lays them out."""
    cell = way.cell
    U = cell.U if way.noise is None or way.noise.U is None else way.noise.U
    zero = torch.zeros_like(cell.b[: cell.hidden_size])
    second = [cell.block("c", gate) if gate in cell.recurrent_bias else zero for gate in cell.gates]
    return [cell.W.t().contiguous(), U.t().contiguous(), cell.b, torch.cat(second)]
