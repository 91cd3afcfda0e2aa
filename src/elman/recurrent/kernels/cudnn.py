"""On CUDA: cuDNN, through torch's own functions, for the cells that it has, with the cells' own weights.

The same functions run on the CPU, where the tests compare them with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import _VF, Tensor

from elman.recurrent.call import Call
from elman.recurrent.noise import Noise
from elman.recurrent.packed import Packed
from elman.recurrent.torch_layout import FUNCTIONS, torch_weights


def serves(call: Call) -> bool:
    """Whether cuDNN has this cell. Dropped weights are ordinary weights; masks, zoneout and known inputs are out of its
    reach."""
    cell, noise = call.cell, call.noise or Noise()
    plain = noise.mask is None and noise.zoneout is None and call.inputs is None
    return type(cell) in FUNCTIONS and cell.delays == 1 and plain


def run(calls: Sequence[Call], xs: Packed) -> tuple[Tensor, list[Any]]:
    """ys (rows, sum of hidden sizes) side by side, and the final state of each call, in packed order."""
    cells = [call.cell for call in calls]
    same = len({(type(cell), cell.hidden_size) for cell in cells}) == 1
    if same and [call.reverse for call in calls] == [False, True]:
        return _call(calls, xs)
    results = [_call([call], xs) if not call.reverse else _reversed(call, xs) for call in calls]
    return torch.cat([ys for ys, _ in results], -1), [final for _, finals in results for final in finals]


def _reversed(call: Call, xs: Packed) -> tuple[Tensor, list[Any]]:
    """torch runs in reverse only together with a forward direction, so the rows are reversed, and back."""
    lengths = torch.tensor(xs.lengths, device=xs.data.device)
    mirrored = xs.offsets[lengths[xs.sequence_of_row] - 1 - xs.position_of_row] + xs.sequence_of_row
    ys, finals = _call([call._replace(reverse=False)], xs.with_data(xs.data[mirrored]))
    return ys[mirrored], finals


def _call(calls: Sequence[Call], xs: Packed) -> tuple[Tensor, list[Any]]:
    kind = FUNCTIONS[type(calls[0].cell)]
    running = xs.batch_sizes[0] if xs.batch_sizes else 0  # the others have length 0 and keep their state
    if not running:
        return xs.data.new_zeros(0, sum(call.cell.hidden_size for call in calls)), [call.state for call in calls]
    weights = [part for call in calls for part in torch_weights(call.cell, call.noise.U if call.noise else None)]
    starts = [torch.stack([call.state[f][:running] for call in calls]) for f in range(len(calls[0].state))]
    sizes = torch.tensor(xs.batch_sizes, dtype=torch.long)
    settings = (weights, True, 1, 0.0, torch.is_grad_enabled(), len(calls) == 2)
    results = getattr(_VF, kind)(xs.data, sizes, tuple(starts) if kind == "lstm" else starts[0], *settings)
    finals = []
    for i, call in enumerate(calls):
        fields = [
            torch.cat([after[i], before[running:]]) for after, before in zip(results[1:], call.state, strict=True)
        ]
        finals.append(call.cell.Carried(*fields))
    return results[0], finals
