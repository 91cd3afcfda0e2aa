"""The taggers' networks: words and their spelling -> layers -> a score for every tag at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.layers.characters import CharacterEncoder
from elman.layers.crf import CRF
from elman.layers.decoding import Constraint, OnlineViterbi, best_path, nbest, viterbi
from elman.layers.features import FormEncoder
from elman.layers.plan import BestPath, Input
from elman.layers.words import Words
from elman.recurrent import Cell, Dropout, Layer, Packed, Stack, Window, recurrent_stack
from elman.recurrent.plan import Affine, Part, affine
from elman.tasks.examine import Outcome
from elman.tasks.tagging.config import TaggerConfig
from elman.tasks.tagging.data import Batch, Vocabularies


class TaggerNetwork(nn.Module):
    """emissions (n, tags) for the n words of a Batch: words | vectors | spelling | form -> layers -> linear.

    With a CRF the emissions are its unary scores, without one they are logits.
    delay: how many steps after a word the layers' output is the word's
    config:  has word_size, word_dropout, unknown, crf
    vectors: (n, dim) given word vectors, row 0 zero; fixed, and kept outside the state_dict
    A subclass sets what reads the spelling and the form and, with `_finish`, the layers.
    """

    characters: Any
    layers: Stack

    def __init__(
        self, config: Any, vocabularies: Vocabularies, vectors: Tensor | None, constraint: Constraint | None
    ) -> None:
        super().__init__()
        self.words = Words(
            vocabularies.counts, config.word_size, config.unknown, vectors, config.word_dropout, keep_given=True
        )
        self.forms: FormEncoder | None = None
        self.tags, self.constraint, self.has_crf = len(vocabularies.tags), constraint, config.crf
        self.delay: int = getattr(config, "delay", None) or 0

    @property
    def width(self) -> int:
        """Of the layers' input."""
        spelled = 0 if self.characters is None else int(self.characters.output_size)
        return self.words.output_size + spelled + (0 if self.forms is None else self.forms.output_size)

    def _finish(self, layers: Stack) -> None:
        """Make the head; the last thing that a subclass does, so that initial weights are drawn from bottom to top."""
        self.layers = layers
        self.out = nn.Linear(layers.output_size, self.tags)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.crf = CRF(self.tags, self.constraint) if self.has_crf else None

    def forward(self, batch: Batch) -> Tensor:
        """(n, tags) in the order of the batch's sentences."""
        ys, _ = self.layers(batch.layout.with_data(self.read(batch)))
        scores: Tensor = self.out(ys.after(self.delay).data)
        return scores

    def read(self, batch: Batch) -> Tensor:
        """(rows, width): what the layers read at each word. In evaluation it depends on that word alone."""
        rows: Tensor = self.words(batch.words, batch.vectors)
        if self.characters is not None:
            assert batch.spellings is not None
            rows = torch.cat([rows, self.characters(batch.spellings)], -1)
        if self.forms is not None:
            rows = torch.cat([rows, self.forms(self.forms.ids(batch.distinct)[batch.index])], -1)
        return rows

    def prepare(self, batch: Batch) -> tuple[Tensor, ...]:
        """Tables of what depends on each word alone, in evaluation, with a row for each. See `Layer.prepare`."""
        return self.layers.prepare(self.read(batch))

    def run_prepared(self, index: Packed, tables: tuple[Tensor, ...]) -> Packed:
        """Scores (n, tags) of sentences followed by END. index.data (rows,): the row of the prepared tables of each."""
        ys, _ = self.layers.run_prepared(index, tables, self.layers.initial(index.sequences, tables[0]))
        later = ys.after(self.delay) if self.delay else ys
        return later.with_data(self.out(later.data))

    def plan(self, vocabularies: Vocabularies) -> tuple[tuple[Input, ...], tuple[Part, ...], Affine, BestPath | None]:
        """Inputs, layers, head and best path, as data. Raises UsageError for a layer that has no such form."""
        given = None if vocabularies.vectors is None else vocabularies.vectors.items
        inputs: tuple[Input, ...] = self.words.plan(vocabularies.words.items, given)
        if self.characters is not None:
            inputs += (self.characters.plan(vocabularies.characters.items),)
        if self.forms is not None:
            inputs += self.forms.plan()
        if self.crf is not None:
            path: BestPath | None = self.crf.plan()
        else:
            path = None if self.constraint is None else best_path(self.tags, allowed=self.constraint, softmax=True)
        return inputs, self.layers.plan(), affine(self.out), path

    def loss(self, batch: Batch) -> Tensor:
        """The negative log-likelihood of the gold tags, summed over the batch."""
        assert batch.tags is not None
        scores = self(batch)
        if self.crf is None:
            return nn.functional.cross_entropy(scores, batch.tags, reduction="sum")
        return self.crf.loss(batch.sentences.with_data(scores), batch.tags)

    def outcome(self, batch: Batch) -> Outcome:
        """The pass that `Tagger.examine` describes."""
        assert batch.tags is not None
        scores = self(batch)
        losses, rest = self.losses(scores, batch)
        if self.crf is None:
            logs = scores.log_softmax(-1)
        else:
            graph = torch.is_grad_enabled()
            marginals = self.crf.marginals(batch.sentences.with_data(scores), create_graph=graph)
            logs = marginals.clamp(min=1e-30).log()
        shown = -logs.detach().gather(1, batch.tags.unsqueeze(1)).squeeze(1)
        return Outcome(losses, rest, logs, shown)

    def losses(self, scores: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(n,) the loss of each tag and, with a CRF, what is left of the sentences' loss: see `Outcome`."""
        assert batch.tags is not None
        if self.crf is None:
            return nn.functional.cross_entropy(scores, batch.tags, reduction="none"), None
        with torch.enable_grad():  # what a CRF assigns to one word is a gradient
            leaf = scores.detach().requires_grad_()
            rest = self.crf.loss(batch.sentences.with_data(leaf), batch.tags)
            (at_scores,) = torch.autograd.grad(rest, leaf, retain_graph=True)
        return (at_scores * scores).sum(1), rest

    def decode(self, scores: Packed) -> Tensor:
        """(rows,) the ids of the best tag sequences, legal under the scheme if there is one. scores: (rows, tags)."""
        if self.crf is not None:
            return self.crf.decode(scores)
        if self.constraint is None:
            return scores.data.argmax(-1)
        return viterbi(scores.with_data(scores.data.log_softmax(-1)), allowed=self.constraint)

    def online(self) -> OnlineViterbi | None:
        """What `decode` does, row by row of `row_scores`; None if each row is decoded on its own."""
        if self.crf is not None:
            return self.crf.online()
        return None if self.constraint is None else OnlineViterbi(self.tags, allowed=self.constraint)

    def row_scores(self, y: Tensor) -> Tensor:
        """(1, tags) the scores to decode, from the layers' output (1, size) at one step."""
        scores: Tensor = self.out(y)
        return scores.log_softmax(-1) if self.crf is None and self.constraint is not None else scores

    def explain(self, scores: Packed, n: int) -> tuple[Tensor, Tensor, list[list[tuple[list[int], float]]]]:
        """Of scores (rows, tags): (rows,) best ids, (rows, tags) the probability of every tag at each step, and per
        sequence (in packed order) the n best tag sequences with their log probabilities.

        A CRF's probabilities are its marginals. Without one, steps are independent given the text; under a scheme the n
        best are the legal ones among them, and their log probabilities are not renormalised over the legal ones."""
        if self.crf is None:
            logs = scores.with_data(scores.data.log_softmax(-1))
            paths = nbest(logs, n, allowed=self.constraint)
            return viterbi(logs, allowed=self.constraint), logs.data.exp(), paths
        partition = self.crf.log_partition(scores).tolist()
        scored = self.crf.nbest(scores, n)
        paths = [[(tags, s - z) for tags, s in each] for each, z in zip(scored, partition, strict=True)]
        return self.crf.decode(scores), self.crf.marginals(scores), paths


class RecurrentTaggerNetwork(TaggerNetwork):
    """words | vectors | characters | forms -> dropout -> window -> recurrent layers -> dropout.

    With a delay the window reaches back to the word whose tag is given.

    cells: the cell classes of the recurrent layers and of the character encoder."""

    def __init__(
        self,
        config: TaggerConfig,
        cells: Sequence[type[Cell]],
        vocabularies: Vocabularies,
        vectors: Tensor | None,
        constraint: Constraint | None,
    ) -> None:
        super().__init__(config, vocabularies, vectors, constraint)
        self.characters = None
        if config.char_size:
            counts = vocabularies.character_counts
            self.characters = CharacterEncoder(
                counts, config.char_size, config.char_hidden_size, cells[1], config.unknown
            )
        if config.form_size:
            words, seen = vocabularies.words.items[1:], vocabularies.counts[1:]
            self.forms = FormEncoder(words, seen, config.form_size, config.unknown)
        width, layers = self.width, list[Layer]([Dropout(config.dropout)])
        # With a delay the word that is tagged is in view too: its network need not learn to remember it first.
        before, after = max(config.window_before, self.delay), config.window_after
        if before or after:
            layers.append(Window(width, before=before, after=after))
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
        self._finish(Stack(*layers, recurrent, Dropout(config.dropout)))
