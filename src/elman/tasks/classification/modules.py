"""The classifiers' networks: words -> one vector for the text -> a score for every label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.layers.features import FormEncoder
from elman.layers.plan import Input, Pooled
from elman.layers.pooling import Pooling
from elman.layers.words import Words
from elman.recurrent import Cell, Dropout, Packed, Stack, recurrent_stack
from elman.recurrent.plan import Affine, Part, affine
from elman.tasks.classification.config import ClassifierConfig, WordsConfig
from elman.tasks.classification.data import Batch, Vocabularies
from elman.tasks.examine import Outcome


class TextClassifierNetwork(nn.Module):
    """Scores (texts, labels) of a Batch, in its packed order.

    words (rows, word_size) | vectors (rows, dim) | forms -> `pooled`: (texts, encoded_size) -> dropout -> head
    -> linear.
    vectors: (n, dim) given word vectors, row 0 zero; fixed, and kept outside the state_dict.
    weights: (labels,) the weight of each label in the loss, or None; with `several`, of its presence.
    """

    def __init__(
        self, config: WordsConfig, vocabularies: Vocabularies, vectors: Tensor | None, weights: Tensor | None
    ) -> None:
        super().__init__()
        self.config = config
        self.words = Words(
            vocabularies.counts, config.word_size, config.unknown, vectors, config.word_dropout, keep_given=False
        )
        self.forms: FormEncoder | None = None
        self.ngrams: nn.EmbeddingBag | None = None
        self.weights: Tensor | None
        self.register_buffer("weights", weights, persistent=False)

    def _finish(self, encoded_size: int, labels: int) -> None:
        """Make the head; the last thing that a subclass does, so that initial weights are drawn from bottom to top."""
        self.encoded_size = encoded_size
        layers: list[nn.Module] = [nn.Dropout(self.config.dropout)]
        width = encoded_size
        if self.config.head_size:
            layers += [nn.Linear(width, self.config.head_size), nn.ReLU(), nn.Dropout(self.config.dropout)]
            width = self.config.head_size
        self.head = nn.Sequential(*layers)
        self.out = nn.Linear(width, labels)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def pooled(self, xs: Packed) -> Tensor:
        """(texts, encoded_size) from (rows, width). Defined by subclasses."""
        raise NotImplementedError

    def encode(self, batch: Batch) -> Tensor:
        """(texts, encoded_size): the vectors of the texts."""
        rows = self.words(batch.words, batch.vectors)
        if self.forms is not None:
            rows = torch.cat([rows, self.forms(self.forms.ids(batch.distinct)[batch.index])], -1)
        return self.pooled(batch.layout.with_data(rows))

    def forward(self, batch: Batch) -> Tensor:
        scores: Tensor = self.out(self.head(self.encode(batch)))
        if self.ngrams is not None:
            scores = scores + self.ngrams(batch.ngrams, batch.ngram_starts)
        return scores

    def plan(
        self, vocabularies: Vocabularies
    ) -> tuple[tuple[Input, ...], tuple[Part, ...], Pooled, tuple[Affine, ...]]:
        """Inputs, layers, pooling and head, as data. Raises UsageError for a layer that has no such form."""
        given = None if vocabularies.vectors is None else vocabularies.vectors.items
        inputs: tuple[Input, ...] = self.words.plan(vocabularies.words.items, given)
        if self.forms is not None:
            inputs += self.forms.plan()
        layers, pooled = self._between()
        maps = [part for part in self.head if isinstance(part, nn.Linear)]
        head = (*(affine(one, "relu") for one in maps),)
        return inputs, layers, pooled, (*head, affine(self.out))

    def _between(self) -> tuple[tuple[Part, ...], Pooled]:
        """`pooled` as data. Defined by subclasses."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """The negative log-likelihood of the gold labels, summed over the texts."""
        assert batch.labels is not None
        return loss(self(batch), batch.labels, self.weights, self.config.label_smoothing)

    def outcome(self, batch: Batch) -> Outcome:
        """The pass that `examine` describes."""
        assert batch.labels is not None
        scores, functional = self(batch), nn.functional
        if self.config.several:
            losses = loss(scores, batch.labels, self.weights, self.config.label_smoothing, reduction="none").sum(1)
            logs = functional.logsigmoid(scores)
            gold = functional.binary_cross_entropy_with_logits(scores, batch.labels, reduction="none").sum(1)
        else:
            losses = loss(scores, batch.labels, self.weights, self.config.label_smoothing, reduction="none")
            logs = scores.log_softmax(-1)
            gold = -logs.gather(1, batch.labels.unsqueeze(1)).squeeze(1)
        return Outcome(losses, None, logs, gold.detach())

    def probabilities(self, batch: Batch) -> Tensor:
        """(texts, labels): they sum to one; with `several`, each is that of its label alone."""
        scores = self(batch)
        return scores.sigmoid() if self.config.several else scores.softmax(-1)


class ClassifierNetwork(TextClassifierNetwork):
    """words | vectors | forms -> dropout -> recurrent layers of `cell` -> dropout -> pooling.

    With `wide` the score of a label is that of the head and the sum of the label's weights of the text's n-grams, each
    counted once, learned together (Cheng et al. 2016, Wide and deep learning)."""

    def __init__(
        self,
        config: ClassifierConfig,
        cell: type[Cell],
        vocabularies: Vocabularies,
        vectors: Tensor | None,
        weights: Tensor | None,
    ) -> None:
        super().__init__(config, vocabularies, vectors, weights)
        width = self.words.output_size
        if config.size_of_forms:
            words, seen = vocabularies.words.items[1:], vocabularies.counts[1:]
            self.forms = FormEncoder(words, seen, config.size_of_forms, config.unknown)
            width += self.forms.output_size
        recurrent = recurrent_stack(
            cell,
            width,
            config.hidden_size,
            config.layers,
            bidirectional=not config.one_way,
            dropout=config.dropout,
        )
        self.layers = Stack(Dropout(config.dropout), recurrent)
        self.pooling = Pooling(config.pooling, recurrent.output_size)
        self._finish(recurrent.output_size, len(vocabularies.labels))
        if vocabularies.ngrams is not None:
            self.ngrams = nn.EmbeddingBag(len(vocabularies.ngrams), len(vocabularies.labels), mode="sum")
            nn.init.zeros_(self.ngrams.weight)

    def pooled(self, xs: Packed) -> Tensor:
        ys, state = self.layers(xs)
        return self.pooling(ys, self.layers.final(state) if self.pooling.how == "final" else None)

    def _between(self) -> tuple[tuple[Part, ...], Pooled]:
        return self.layers.plan(), self.pooling.plan()


def loss(scores: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float, *, reduction: str = "sum") -> Tensor:
    """The negative log-likelihood, summed over the texts: a scalar; or with reduction "none" of each one.

    scores (texts, labels); labels (texts,) ids: softmax, or (texts, labels) of 0 and 1: a sigmoid for each.
    smoothing: the target is (1 - smoothing) of the gold labels, and the rest spread evenly over all labels
    (Szegedy et al. 2016); for each sigmoid, over yes and no."""
    functional = nn.functional
    if labels.dim() == 1:
        return functional.cross_entropy(scores, labels, weights, reduction=reduction, label_smoothing=smoothing)
    wanted = labels * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(scores, wanted, pos_weight=weights, reduction=reduction)


def balanced(labels: Tensor, count: int) -> Tensor:
    """(labels,) weights that balance all labels. labels: all of the training data, as in `loss`.

    One label per text: n / (count * n of the label), 1 in the mean over the texts. Several: how many texts lack the
    label for each one that has it."""
    if labels.dim() == 1:
        seen = torch.bincount(labels, minlength=count).clamp(min=1)
        return len(labels) / (count * seen.float())
    having = labels.sum(0).clamp(min=1)
    return (len(labels) - having).clamp(min=1) / having
