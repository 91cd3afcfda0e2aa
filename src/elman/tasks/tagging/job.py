"""Tagging as the training loop sees it: batches, a loss, a dev score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from elman import __version__, schemes
from elman.errors import DataError, UsageError
from elman.metrics.tagging import TaggingResult, TaggingScore
from elman.tasks.settings import Settings
from elman.tasks.tagging.data import Batch, Vocabularies, fingerprint
from elman.tasks.tagging.network import TaggerNetwork
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.training import Job

EVALUATION_TOKENS = 4000


class TaggerJob(Job):
    """What `elman.training.fit` trains.

    scheme: the chunk scheme of the tags, or None
    inputs: what else the run depends on, name -> content; None where there is none
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
        self.inputs = {name: content for name, content in (inputs or {}).items() if content is not None}
        self.metric = None if dev is None else ("f1" if scheme else "accuracy")
        self._known = {word for word, n in zip(vocabularies.words.items, vocabularies.counts, strict=True) if n}
        self._dev_batches: list[tuple[list[Sentence], Batch]] | None = None

    def fingerprint(self) -> dict[str, str]:
        parts = {"elman": __version__, "training data": fingerprint(self.train), "settings": repr(self.settings.model)}
        if self.dev is not None:
            parts["dev data"] = fingerprint(self.dev)
        for name, content in self.inputs.items():
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            parts[name] = hashlib.sha256(data).hexdigest()
        return parts

    def batches(self, epoch: int) -> Sequence[Batch]:
        training = self.settings.training
        seed = training.seed * 1_000_003 + epoch
        return _Lazy(self, batches_by_tokens([len(s) for s in self.train], training.batch_tokens, seed))

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        return self.network.loss(batch), batch.tokens

    def score(self) -> dict[str, float]:
        assert self.dev is not None
        if self._dev_batches is None:
            groups = batches_by_tokens([len(s) for s in self.dev], EVALUATION_TOKENS)
            chosen = [[self.dev[i] for i in group] for group in groups]
            self._dev_batches = [(group, self.vocabularies.batch([s.words for s in group])) for group in chosen]
        total = TaggingScore(self.scheme)
        for sentences, batch in self._dev_batches:
            guesses = tags_of(self.network, self.vocabularies, batch)
            for sentence, guess in zip(sentences, guesses, strict=True):
                assert sentence.tags is not None
                total.add(sentence.tags, guess, sentence.words, self._known)
        return summary(total.result())


class _Lazy(Sequence[Batch]):
    """The batches of an epoch, each made when it is asked for."""

    def __init__(self, job: TaggerJob, groups: list[list[int]]) -> None:
        self.job, self.groups = job, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: int) -> Batch:  # type: ignore[override]
        sentences = [self.job.train[k] for k in self.groups[i]]
        return self.job.vocabularies.batch([s.words for s in sentences], [s.tags or [] for s in sentences])


def tags_of(network: TaggerNetwork, vocabularies: Vocabularies, batch: Batch) -> list[list[str]]:
    """The best tags of each sentence of a batch, in the caller's order."""
    names = vocabularies.tags.items
    best = batch.layout.with_data(network.decode(batch))
    return [[names[i] for i in sentence.tolist()] for sentence in best.to_list()]


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
    """The chunk scheme that the setting `scheme` names, or that the training tags are in; checked, so that every gold
    sequence is one that decoding may give. Raises DataError at the first that is not."""
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
        raise UsageError(f"unknown scheme {scheme!r}; expected one of {', '.join(schemes.SCHEMES)}")
    return scheme
