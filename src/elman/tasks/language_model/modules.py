"""The language model's network: a token's vector -> recurrent layers in one direction -> a score for every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from elman.layers.softmax import vocabulary_loss
from elman.recurrent import Cell, Dropout, Packed, Stack, recurrent_stack
from elman.tasks.language_model.config import LanguageModelConfig


class LanguageModelNetwork(nn.Module):
    """Scores of the next token, h (rows, embedding_size) writer' + bias.

    embedding -> dropout -> recurrent layers, dropout between them -> dropout -> projection, if the hidden size
    differs from the embedding's -> softmax over the vocabulary. Tied, the matrix that reads tokens also writes them
    (Press and Wolf 2017). Dropouts are those of Merity, Keskar and Socher 2018."""

    def __init__(self, config: LanguageModelConfig, cell: type[Cell], vocabulary: int) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_size or config.hidden_size
        self.embedding = nn.Parameter(torch.empty(vocabulary, size).uniform_(-0.1, 0.1))
        recurrent = recurrent_stack(
            cell,
            size,
            config.hidden_size,
            config.layers,
            bidirectional=False,
            dropout=config.hidden_dropout,
            weight_dropout=config.weight_dropout,
        )
        self.layers = Stack(Dropout(config.input_dropout), recurrent)
        self.layers.require_causal("a language model")
        self.out_dropout = Dropout(config.dropout)
        self.projection: nn.Linear | None = None
        if config.tied and config.hidden_size != size:
            self.projection = nn.Linear(config.hidden_size, size, bias=False)
            nn.init.orthogonal_(self.projection.weight)
        self.writer: nn.Parameter | None = None
        if not config.tied:
            self.writer = nn.Parameter(torch.empty(vocabulary, config.hidden_size).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    @torch.no_grad()
    def begin_with(self, counts: Tensor) -> None:
        """Initialise the scores by how often each token was seen: counts (vocabulary,)."""
        self.bias.copy_(((counts + 0.5) / (counts.sum() + 0.5 * len(counts))).log())

    @property
    def output_weight(self) -> Tensor:
        """(vocabulary, size) the matrix that writes tokens."""
        return self.embedding if self.writer is None else self.writer

    def forward(self, ids: Packed, state: Any) -> tuple[Packed, Packed, Any]:
        """ids (rows,), state in packed order -> what the softmax reads (rows, size), the last layer's output with and
        without dropout for regularisation, and the state."""
        table: Tensor = self.embedding
        if self.training and self.config.embedding_dropout:
            keep = 1 - self.config.embedding_dropout
            table = table * table.new_empty(len(table), 1).bernoulli_(keep).div_(keep)
        # The loss has a gradient for the whole matrix: that of the rows read here is added to it, not another matrix
        sparse = self.training and self.writer is None and table is self.embedding
        vectors = nn.functional.embedding(ids.data, table, sparse=sparse)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            ys, state = self.layers(ids.with_data(vectors), state)
        dropped, _ = self.out_dropout.run(ys, ())
        return ys, dropped, state

    @property
    def in_half(self) -> bool:
        """Whether products are in bfloat16."""
        return self.config.precision == "bfloat16"

    def read_out(self, h: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, size), what the softmax multiplies."""
        return h if self.projection is None else self.projection(h)

    def log_probabilities(self, ids: Packed, rows: Tensor | None = None) -> Tensor:
        """(rows, vocabulary) of every possible next token, from a fresh state, in plain torch.

        rows: (n,) only those of these rows of ids"""
        _, ys, _ = self(ids, None)
        data = ys.data if rows is None else ys.data[rows]
        with torch.autocast("cpu", torch.bfloat16, enabled=False):
            logits = nn.functional.linear(self.read_out(data), self.output_weight, self.bias)
        return logits.log_softmax(-1)

    def loss(self, ids: Packed, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The negative log-likelihood of targets (rows,), summed, with the regularisation; and the state."""
        ys, dropped, state = self(ids, state)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            h = self.read_out(dropped.data)
            loss = vocabulary_loss(h.float() if self.in_half else h, self.output_weight, self.bias, targets)
        if self.training and (self.config.ar or self.config.tar):
            loss = loss + len(targets) * self._regularisation(ys, dropped.data)
        return loss, state

    def _regularisation(self, ys: Packed, dropped: Tensor) -> Tensor:
        """AR and TAR (Merity, McCann and Socher 2017): mean squares of the dropped output, of the plain one's steps."""
        value = self.config.ar * dropped.square().mean()
        if self.config.tar and len(ys.batch_sizes) > 1:
            before = torch.cat([step[:n] for step, n in zip(ys.steps(), ys.batch_sizes[1:], strict=False)])
            value = value + self.config.tar * (ys.data[ys.batch_sizes[0] :] - before).square().mean()
        return value
