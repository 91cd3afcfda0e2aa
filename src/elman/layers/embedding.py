"""Embeddings in which rare items are dropped, so that the unknown one is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RareEmbedding(nn.Module):
    """(n,) ids -> (n, size). Id 0 is the unknown item.

    In training an item seen c times becomes the unknown one with probability unknown / (unknown + c)
    (Kiperwasser and Goldberg 2016). Initialised normal with a standard deviation of size ** -0.5.
    counts: how often each id was seen in training; unknown: 0 disables dropping; size 0: no embedding."""

    def __init__(self, counts: list[int], size: int, unknown: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(counts), size) if size else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=size**-0.5)
        seen = torch.tensor(counts, dtype=torch.float32)
        self.drop: Tensor
        self.register_buffer("drop", unknown / (unknown + seen) if unknown else seen * 0, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        if self.training:
            ids = ids.masked_fill(torch.rand(len(ids), device=ids.device) < self.drop[ids], 0)
        assert self.embedding is not None
        vectors: Tensor = self.embedding(ids)
        return vectors
