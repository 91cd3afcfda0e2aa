"""Classification as the training loop sees it: batches, a loss, a dev score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from elman.metrics.classification import ClassificationResult
from elman.tasks.classification.answers import scored
from elman.tasks.classification.data import Batch, Vocabularies, fingerprint, label_ids
from elman.tasks.classification.modules import TextClassifierNetwork
from elman.tasks.jobs import Lazy, beginnings, depends_on, epoch_seed
from elman.tasks.settings import Settings
from elman.text.batching import batches_by_tokens
from elman.text.example import Example
from elman.training import Excerpt, Job

EVALUATION_TOKENS = 4000


class ClassifierJob(Job):
    """What `elman.training.fit` trains.

    tokens, dev_tokens: those of each text of train and dev
    inputs: what else the run depends on, name -> content; None if absent
    """

    network: TextClassifierNetwork

    def __init__(
        self,
        network: TextClassifierNetwork,
        vocabularies: Vocabularies,
        settings: Settings[Any],
        train: Sequence[Example],
        tokens: Sequence[Sequence[str]],
        dev: Sequence[Example] | None,
        dev_tokens: Sequence[Sequence[str]] | None,
        inputs: Mapping[str, str | bytes | None] | None = None,
    ) -> None:
        self.network, self.vocabularies, self.settings = network, vocabularies, settings
        self.train, self.tokens = train, tokens
        self.dev, self.dev_tokens = dev, dev_tokens
        self.inputs = inputs
        self.several = settings.model.several
        self.labels = label_ids(vocabularies.labels, train, self.several)
        self.metric = None if dev is None else "micro_f1" if self.several else "accuracy"

    def fingerprint(self) -> dict[str, str]:
        dev = None if self.dev is None else fingerprint(self.dev)
        return depends_on(self.settings.model, fingerprint(self.train), dev, self.inputs)

    def batches(self, epoch: int) -> Sequence[Batch]:
        training = self.settings.training
        seed = epoch_seed(training.seed, epoch)
        # An empty text counts as one token, so that any number of them is not one batch.
        groups = batches_by_tokens([max(len(t), 1) for t in self.tokens], training.batch_tokens, seed)

        def make(i: int) -> Batch:
            return self.vocabularies.batch([self.tokens[k] for k in groups[i]], self.labels[groups[i]])

        return Lazy(len(groups), make)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        # The loop divides by the number of tokens it is given, and shows their speed; the loss is a mean over texts.
        tokens = max(batch.tokens, 1)
        return self.network.loss(batch) / batch.texts * tokens, tokens

    def excerpt(self, batch: Batch, sequences: int, steps: int) -> Excerpt:
        layout = beginnings(batch.layout, sequences, steps)
        part = replace(
            batch,
            layout=layout,
            words=batch.words[layout.data],
            vectors=None if batch.vectors is None else batch.vectors[layout.data],
            labels=None if batch.labels is None else batch.labels[: layout.sequences],
            index=batch.index[layout.data],
            ngrams=_first(batch, layout.sequences),
            ngram_starts=None if batch.ngram_starts is None else batch.ngram_starts[: layout.sequences],
        )
        return Excerpt(lambda: self.network.outcome(part).losses, [(i, None) for i in range(layout.sequences)])

    def score(self) -> dict[str, float]:
        assert self.dev is not None and self.dev_tokens is not None
        chances = probabilities(self.network, self.vocabularies, self.dev_tokens)
        return summary(scored(self.vocabularies.labels.items, self.several, self.dev, chances).result())


def _first(batch: Batch, count: int) -> Tensor | None:
    """The n-grams of the first texts."""
    if batch.ngrams is None or batch.ngram_starts is None or count >= batch.texts:
        return batch.ngrams
    return batch.ngrams[: int(batch.ngram_starts[count])]


def in_batches(
    network: TextClassifierNetwork, vocabularies: Vocabularies, texts: Sequence[Sequence[str]], size: int, name: str
) -> Tensor:
    """(texts, size) in the caller's order: what the network's method of this name gives for each text."""
    rows = torch.zeros(len(texts), size)
    for group in batches_by_tokens([max(len(text), 1) for text in texts], EVALUATION_TOKENS):
        batch = vocabularies.batch([texts[i] for i in group])
        rows[group] = batch.layout.caller_rows(getattr(network, name)(batch))
    return rows


def probabilities(network: TextClassifierNetwork, vocabularies: Vocabularies, texts: Sequence[Sequence[str]]) -> Tensor:
    """(texts, labels) in the caller's order."""
    return in_batches(network, vocabularies, texts, len(vocabularies.labels), "probabilities")


def summary(result: ClassificationResult) -> dict[str, float]:
    """The scores of a result by name; those that are undefined are left out, except the one used for selection."""
    scores = {
        "accuracy": result.accuracy,
        "macro_f1": result.macro_f1,
        "micro_f1": (result.micro_f1 or 0.0) if result.several else None,
        "negative_log_likelihood": result.likelihood,
    }
    return {name: value for name, value in scores.items() if value is not None}
