"""Tokens as vectors: learned ones, given ones, or both side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elman.layers.embedding import RareEmbedding
from elman.layers.plan import Table
from elman.recurrent.plan import array


class Words(RareEmbedding):
    """(n,) ids of learned vectors and of given ones -> (n, output_size).

    counts, unknown: as for `RareEmbedding`; size 0: there are no learned vectors
    vectors: (m, dim) the given vectors, row 0 zero; fixed, and kept outside the state_dict; or None
    dropout: the share of whole rows set to 0 in training
    keep_given: the rows of the given vectors are exempt from dropout
    """

    def __init__(
        self,
        counts: list[int],
        size: int,
        unknown: float,
        vectors: Tensor | None,
        dropout: float,
        *,
        keep_given: bool,
    ) -> None:
        super().__init__(counts, size, unknown)
        self.vectors: Tensor | None
        self.register_buffer("vectors", vectors, persistent=False)
        self.dropout, self.keep_given = nn.Dropout1d(dropout), keep_given
        self.size = size
        self.output_size = size + (0 if vectors is None else vectors.shape[1])

    def forward(self, ids: Tensor, given: Tensor | None = None) -> Tensor:
        parts: list[Tensor] = []
        if self.size:
            learned = super().forward(ids)
            parts.append(self.dropout(learned) if self.keep_given else learned)
        if self.vectors is not None:
            parts.append(self.vectors[given])
        if not parts:
            return ids.new_zeros(len(ids), 0, dtype=torch.get_default_dtype())
        rows = torch.cat(parts, -1)
        return rows if self.keep_given else self.dropout(rows)

    def plan(self, words: Sequence[str], given: Sequence[str] | None) -> tuple[Table, ...]:
        """words, given: the tokens of the learned and of the given vectors, in the order of their ids."""
        parts: list[Table] = []
        if self.embedding is not None:
            parts.append(Table("token", tuple(words), array(self.embedding.weight)))
        if self.vectors is not None:
            assert given is not None
            parts.append(Table("given", tuple(given), array(self.vectors)))
        return tuple(parts)
