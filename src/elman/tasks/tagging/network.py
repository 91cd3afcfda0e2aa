"""The tagger's network: words and characters -> recurrent layers -> a score for every tag at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.layers.characters import CharacterEncoder
from elman.layers.crf import CRF
from elman.layers.decoding import Constraint, nbest, viterbi
from elman.layers.embedding import RareEmbedding
from elman.recurrent import Cell, Dropout, Layer, Stack, Window, recurrent_stack
from elman.tasks.examine import Outcome
from elman.tasks.tagging.data import Batch, Vocabularies


class TaggerNetwork(nn.Module):
    """emissions (rows, tags) of a Batch.

    words (rows, word_size) | vectors (rows, dim) | characters (rows, 2 * char_hidden_size) -> dropout -> window ->
    recurrent layers -> dropout -> linear. With a CRF the emissions are its unary scores, without they are logits.
    config: a `TaggerConfig`, or what a subclass reads in its place.
    cells: the class of the recurrent layers' cell and that of the character encoder's.
    vectors: (n, dim) given word vectors, row 0 zero; fixed, and kept outside the state_dict.
    """

    def __init__(
        self,
        config: Any,
        cells: Sequence[type[Cell]],
        vocabularies: Vocabularies,
        vectors: Tensor | None,
        constraint: Constraint | None,
    ) -> None:
        super().__init__()
        tags = len(vocabularies.tags)
        width = 0
        self.words: RareEmbedding | None = None
        if config.word_size:
            self.words = RareEmbedding(vocabularies.counts, config.word_size, config.unknown)
            self.word_dropout = nn.Dropout1d(config.word_dropout)  # whole rows
            width += config.word_size
        self.vectors: Tensor | None
        self.register_buffer("vectors", vectors, persistent=False)
        width += 0 if vectors is None else vectors.shape[1]
        self.characters = self._spelling(config, vocabularies.character_counts, cells)
        width += 0 if self.characters is None else self.characters.output_size
        self.layers = self._middle(config, width, cells)
        self.out = nn.Linear(self.layers.output_size, tags)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.constraint = constraint
        self.crf = CRF(tags, constraint) if config.crf else None

    def _spelling(self, config: Any, counts: list[int], cells: Sequence[type[Cell]]) -> Any:
        """What reads the characters of words: a module with an `output_size`, or None."""
        if not config.char_size:
            return None
        return CharacterEncoder(counts, config.char_size, config.char_hidden_size, cells[1], config.unknown)

    def _middle(self, config: Any, width: int, cells: Sequence[type[Cell]]) -> Stack:
        """What stands between the vectors of words, of this width, and the scores of tags."""
        layers: list[Layer] = [Dropout(config.dropout)]
        if config.window_before or config.window_after:
            layers.append(Window(width, before=config.window_before, after=config.window_after))
            width = layers[-1].output_size
        recurrent = recurrent_stack(
            cells[0],
            width,
            config.hidden_size,
            config.layers,
            bidirectional=not config.one_way,
            dropout=config.dropout,
            delays=config.delays,
        )
        return Stack(*layers, recurrent, Dropout(config.dropout))

    def forward(self, batch: Batch) -> Tensor:
        """(rows, tags) in the packed order of the batch."""
        parts: list[Tensor] = []
        if self.words is not None:
            parts.append(self.word_dropout(self.words(batch.words)))
        if self.vectors is not None:
            parts.append(self.vectors[batch.vectors])
        if self.characters is not None:
            assert batch.spellings is not None
            parts.append(self.characters(batch.spellings))
        ys, _ = self.layers(batch.layout.with_data(torch.cat(parts, -1)))
        return self.out(ys.data)

    def loss(self, batch: Batch) -> Tensor:
        """The negative log-likelihood of the gold tags, summed over the batch."""
        assert batch.tags is not None
        scores = self(batch)
        if self.crf is None:
            return nn.functional.cross_entropy(scores, batch.tags, reduction="sum")
        return self.crf.loss(scores, batch.tags, batch.layout.batch_sizes, batch.layout.sequences)

    def outcome(self, batch: Batch) -> Outcome:
        """The pass that `Tagger.examine` speaks of."""
        assert batch.tags is not None
        scores, layout = self(batch), batch.layout
        losses, rest = self.losses(scores, batch)
        if self.crf is None:
            logs = scores.log_softmax(-1)
        else:
            graph = torch.is_grad_enabled()
            found = self.crf.marginals(scores, layout.batch_sizes, layout.sequences, create_graph=graph)
            logs = found.clamp(min=1e-30).log()
        shown = -logs.detach().gather(1, batch.tags.unsqueeze(1)).squeeze(1)
        return Outcome(losses, rest, logs, shown)

    def losses(self, scores: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(rows,) the loss of each tag and, with a CRF, what is left of the sentences' loss: see `Outcome`."""
        assert batch.tags is not None
        if self.crf is None:
            return nn.functional.cross_entropy(scores, batch.tags, reduction="none"), None
        with torch.enable_grad():  # what a CRF says of one word is a gradient
            given = scores.detach().requires_grad_()
            rest = self.crf.loss(given, batch.tags, batch.layout.batch_sizes, batch.layout.sequences)
            (at_scores,) = torch.autograd.grad(rest, given, retain_graph=True)
        return (at_scores * scores).sum(1), rest

    def decode(self, batch: Batch) -> Tensor:
        """(rows,) the ids of the best tag sequences, legal under the scheme where there is one."""
        scores, layout = self(batch), batch.layout
        if self.crf is not None:
            return self.crf.decode(scores, layout.batch_sizes, layout.sequences)
        if self.constraint is None:
            return scores.argmax(-1)
        return viterbi(scores.log_softmax(-1), layout.batch_sizes, layout.sequences, allowed=self.constraint)

    def explain(self, batch: Batch, n: int) -> tuple[Tensor, Tensor, list[list[tuple[list[int], float]]]]:
        """(rows,) best ids, (rows, tags) the probability of every tag at each step, and per sequence (in packed order)
        the n best tag sequences with their log probabilities.

        A CRF's probabilities are its marginals. Without one, steps are independent given the text; under a scheme the n
        best are the legal ones among them, and their log probabilities are not renormalised over the legal ones."""
        scores, layout = self(batch), batch.layout
        sizes, count = layout.batch_sizes, layout.sequences
        if self.crf is None:
            rows = scores.log_softmax(-1)
            paths = nbest(rows, sizes, count, n, allowed=self.constraint)
            best = viterbi(rows, sizes, count, allowed=self.constraint)
            return best, rows.exp(), paths
        partition = self.crf.log_partition(scores, sizes, count).tolist()
        found = self.crf.nbest(scores, sizes, count, n)
        paths = [[(tags, s - z) for tags, s in each] for each, z in zip(found, partition, strict=True)]
        return self.crf.decode(scores, sizes, count), self.crf.marginals(scores, sizes, count), paths
