"""One vector per sequence from the outputs of all its steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.errors import UsageError, nearest
from elman.layers.plan import Pooled
from elman.recurrent import Packed
from elman.recurrent.plan import affine, array

POOLINGS = ("final", "max", "mean", "attention")


class Pooling(nn.Module):
    """(sequences, size), in packed order, from the outputs ys (rows, size) of the steps.

    how: final      the vector that is passed: O of the final state of each direction
         max, mean  of each unit over the steps (Collobert and Weston 2008 for max)
         attention  the mean weighted by softmax over the steps of v . tanh(W y + b) (Yang et al. 2016), which learns
                    W (size, size), b and v
    A sequence without steps has zeros, except with `final`. Raises UsageError for an unknown name."""

    def __init__(self, how: str, size: int) -> None:
        super().__init__()
        if how not in POOLINGS:
            raise UsageError(f"unknown pooling {how!r}; {nearest(how, POOLINGS)}")
        self.how = how
        if how == "attention":
            self.hidden = nn.Linear(size, size)
            self.score = nn.Linear(size, 1, bias=False)

    def forward(self, ys: Packed, final: Tensor | None = None) -> Tensor:
        """`final` (sequences, size) is needed only by the pooling of this name."""
        if self.how == "final":
            assert final is not None
            return final
        if self.how == "max":
            return pool_max(ys)
        if self.how == "mean":
            return pool_mean(ys)
        return pool_weighted(ys, self.score(self.hidden(ys.data).tanh()).squeeze(-1))

    def plan(self) -> Pooled:
        """The same as data."""
        if self.how != "attention":
            return Pooled(self.how)
        return Pooled(self.how, affine(self.hidden, "tanh"), array(self.score.weight[0]))

    def extra_repr(self) -> str:
        return self.how


def pool_max(ys: Packed) -> Tensor:
    """(sequences, size): the largest value of each unit."""
    where = ys.sequence_of_row.unsqueeze(1).expand_as(ys.data)
    zeros = ys.data.new_zeros(ys.sequences, ys.data.shape[1])
    return zeros.scatter_reduce(0, where, ys.data, "amax", include_self=False)


def pool_mean(ys: Packed) -> Tensor:
    """(sequences, size): the mean over the steps."""
    lengths = torch.tensor(ys.lengths, dtype=ys.data.dtype, device=ys.data.device).clamp(min=1)
    return _sum(ys, ys.data) / lengths.unsqueeze(1)


def pool_weighted(ys: Packed, scores: Tensor) -> Tensor:
    """(sequences, size): the mean weighted by softmax(scores) over the steps of each sequence. scores: (rows,)."""
    where = ys.sequence_of_row
    with torch.no_grad():  # softmax does not depend on what is subtracted; this keeps exp in range
        largest = scores.new_zeros(ys.sequences).scatter_reduce(0, where, scores, "amax", include_self=False)
    weights = (scores - largest[where]).exp()
    total = scores.new_zeros(ys.sequences).index_add(0, where, weights)
    return _sum(ys, ys.data * (weights / total[where]).unsqueeze(1))


def _sum(ys: Packed, data: Tensor) -> Tensor:
    return data.new_zeros(ys.sequences, data.shape[1]).index_add(0, ys.sequence_of_row, data)
