"""Tagging as the training loop sees it: batches, a loss, a dev score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from elman import schemes
from elman.errors import DataError, UsageError, quoted
from elman.metrics.tagging import TaggingResult, TaggingScore
from elman.recurrent import Packed
from elman.tasks.examine import outputs_of_steps
from elman.tasks.jobs import Lazy, beginnings, depends_on, epoch_seed
from elman.tasks.settings import Settings
from elman.tasks.tagging.data import Batch, Vocabularies, fingerprint
from elman.tasks.tagging.modules import TaggerNetwork
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.training import Excerpt, Job

EVALUATION_TOKENS = 4000


class TaggerJob(Job):
    """What `elman.training.fit` trains.

    scheme: the chunk scheme of the tags, or None
    inputs: what else the run depends on, name -> content; None if absent
    """

    network: TaggerNetwork

    def __init__(
        self,
        network: TaggerNetwork,
        vocabularies: Vocabularies,
        settings: Settings[Any],
        scheme: str | None,
        train: Sequence[Sentence],
        dev: Sequence[Sentence] | None,
        inputs: Mapping[str, str | bytes | None] | None = None,
    ) -> None:
        self.network = network
        self.vocabularies, self.settings, self.scheme = vocabularies, settings, scheme
        self.train = train
        self.dev = dev
        self.inputs = inputs
        if dev is not None and settings.training.epochs is None:
            # Many passes over little data: no more of dev is scored than is trained on.
            words = [sum(len(sentence) for sentence in part) for part in (dev, train)]
            self.score_every = max(1, -(-words[0] // max(words[1], 1)))
        self.metric = None if dev is None else ("f1" if scheme else "accuracy")
        self._known = {word for word, n in zip(vocabularies.words.items, vocabularies.counts, strict=True) if n}
        self._dev_batches: list[tuple[list[Sentence], Batch]] | None = None

    def fingerprint(self) -> dict[str, str]:
        dev = None if self.dev is None else fingerprint(self.dev)
        return depends_on(self.settings.model, fingerprint(self.train), dev, self.inputs)

    def batches(self, epoch: int) -> Sequence[Batch]:
        training = self.settings.training
        seed = epoch_seed(training.seed, epoch)
        groups = batches_by_tokens([len(s) for s in self.train], training.batch_tokens, seed)

        def make(i: int) -> Batch:
            sentences = [self.train[k] for k in groups[i]]
            tags = [s.tags or [] for s in sentences]
            return self.vocabularies.batch([s.words for s in sentences], tags, self.network.delay)

        return Lazy(len(groups), make)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        return self.network.loss(batch), batch.tokens

    def excerpt(self, batch: Batch, sequences: int, steps: int) -> Excerpt:
        delay = self.network.delay
        layout = beginnings(batch.layout, sequences, steps)
        rows, later = layout.data, layout.after(delay)
        first = len(batch.layout.data) - len(batch.sentences.data)
        part = replace(
            batch,
            layout=layout,
            sentences=later,
            words=batch.words[rows],
            vectors=None if batch.vectors is None else batch.vectors[rows],
            spellings=None if batch.spellings is None else batch.spellings.some(rows),
            tags=None if batch.tags is None else batch.tags[later.data - first],
            index=batch.index[rows],
        )
        outputs = outputs_of_steps(later, delay)
        return Excerpt(lambda: self.network.losses(self.network(part), part)[0], outputs)

    def score(self) -> dict[str, float]:
        assert self.dev is not None
        if self._dev_batches is None:
            groups = batches_by_tokens([len(s) for s in self.dev], EVALUATION_TOKENS)
            chosen = [[self.dev[i] for i in group] for group in groups]
            make, delay = self.vocabularies.batch, self.network.delay
            self._dev_batches = [(group, make([s.words for s in group], delay=delay)) for group in chosen]
        total = TaggingScore(self.scheme)
        for sentences, batch in self._dev_batches:
            scores = batch.sentences.with_data(self.network(batch))
            guesses = tags_of(self.network, self.vocabularies, batch.sentences, scores)
            for sentence, guess in zip(sentences, guesses, strict=True):
                assert sentence.tags is not None
                total.add(sentence.tags, guess, sentence.words, self._known)
        return summary(total.result())


def tags_of(network: TaggerNetwork, vocabularies: Vocabularies, layout: Packed, scores: Packed) -> list[list[str]]:
    """The best tags of each sentence, in the caller's order.

    layout: as `Packed.plan` returns it; scores: (rows, tags)"""
    best = torch.empty_like(layout.data)
    best[layout.data] = network.decode(scores)
    names = vocabularies.tags.items
    tags = [names[i] for i in best.tolist()]
    lengths = [0] * layout.sequences
    for i, length in zip(layout.order.tolist(), layout.lengths, strict=True):
        lengths[i] = length
    return [tags[end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]


def summary(result: TaggingResult) -> dict[str, float]:
    """The scores of a result by name, as fractions; those that are undefined are left out. f1 is the strict one."""
    scores = {
        "accuracy": result.accuracy,
        "seen_accuracy": result.seen_accuracy,
        "unseen_accuracy": result.unseen_accuracy,
    }
    if "strict" in result.entities:
        strict = result.entities["strict"].overall
        # Without any entity, right or wrong, precision and recall are undefined: nothing was found.
        scores.update(precision=strict.precision, recall=strict.recall, f1=strict.f1 or 0.0)
    return {name: value for name, value in scores.items() if value is not None}


def scheme_of(chosen: str, train: Sequence[Sentence]) -> str | None:
    """The chunk scheme that the setting `scheme` names, or that the training tags follow; checked, so that decoding can
    produce every gold sequence. Raises DataError at the first that it cannot."""
    if chosen == "none":
        return None
    scheme = schemes.detect(s.tags or [] for s in train) if chosen == "auto" else chosen
    if scheme is None:
        return None
    for sentence in train:
        for index, problem in schemes.violations(sentence.tags or [], scheme):
            line = sentence.lines[index] if sentence.lines else sentence.line
            raise DataError(
                f"{problem} (scheme {scheme}; `elman check` lists all such places, and the setting scheme=none "
                "trains on the tags as they are)",
                file=sentence.file or None,
                line=line or None,
            )
    if scheme not in schemes.SCHEMES:
        raise UsageError(f"unknown scheme {scheme!r}; expected one of {quoted(schemes.SCHEMES)}")
    return scheme
