"""Our weights in the layout of torch and cuDNN: the one place that knows both.

W (input_size, gates * hidden) is weight_ih transposed, U weight_hh transposed. Our gates are in the order of torch's
blocks: LSTM i, f, z (torch's g), o; GRU r, u (torch's z), n. torch has two biases: b is the first; of the second only
the GRU's candidate is nonzero, where it is the cell's `c`."""

from __future__ import annotations

import torch
from torch import Tensor

from elman.recurrent.cell import Cell
from elman.recurrent.cells import GRU, LSTM, Elman, ElmanReLU

# The cells that torch has, and the name of its function for each.
FUNCTIONS: dict[type[Cell], str] = {Elman: "rnn_tanh", ElmanReLU: "rnn_relu", LSTM: "lstm", GRU: "gru"}
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def torch_weights(cell: Cell, U: Tensor | None = None) -> list[Tensor]:
    """The PARTS of a cell, with gradients. U: in place of the cell's own."""
    zero = torch.zeros_like(cell.b[: cell.hidden_size])
    second = [cell.block("c", gate) if gate in cell.recurrent_bias else zero for gate in cell.gates]
    return [cell.W.t().contiguous(), (cell.U if U is None else U).t().contiguous(), cell.b, torch.cat(second)]


@torch.no_grad()
def fill(cell: Cell, weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor) -> None:
    """Give a cell torch's weights: the PARTS, or the first two, and biases of 0. Two biases are summed, except where
    the cell has `c`."""
    cell.W.copy_(weight_ih.t())
    cell.U.copy_(weight_hh.t())
    cell.b.zero_()
    for gate, *blocks in zip(cell.gates, *(bias.chunk(len(cell.gates)) for bias in biases), strict=True):
        if blocks and gate in cell.recurrent_bias:
            cell.block("c", gate).copy_(blocks.pop())
        cell.block("b", gate).add_(sum(blocks))
