"""Scores of a tagger: words, seen and unseen words, whole sentences, a table by tag, entities where tags are chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from elman.errors import UsageError
from elman.metrics.accuracy import Accuracy, Matches
from elman.metrics.entities import MODES, Chunk, reader


@dataclass(frozen=True, slots=True)
class EntityResult:
    """Entities found in one mode: over all labels (micro-averaged) and for each label."""

    overall: Matches
    by_label: dict[str, Matches]

    def to_json(self) -> dict[str, Any]:
        return {**self.overall.to_json(), "by_label": {label: row.to_json() for label, row in self.by_label.items()}}


@dataclass(frozen=True, slots=True)
class TaggingResult:
    """What a TaggingScore came to. Undefined values (a share of an empty total) are None."""

    tokens: Accuracy
    sentences: Accuracy  # a sentence is correct when all its tags are; empty sentences are not counted
    seen: Accuracy | None  # words of the training vocabulary; None when no vocabulary was passed
    unseen: Accuracy | None
    tags: dict[str, Matches]  # sorted by tag; `gold` is the support
    entities: dict[str, EntityResult]  # "conlleval" and "strict"; empty when the tags are not of a chunk scheme
    signature: str

    @property
    def accuracy(self) -> float | None:
        return self.tokens.value

    @property
    def sentence_accuracy(self) -> float | None:
        return self.sentences.value

    @property
    def seen_accuracy(self) -> float | None:
        return self.seen.value if self.seen else None

    @property
    def unseen_accuracy(self) -> float | None:
        return self.unseen.value if self.unseen else None

    def to_json(self) -> dict[str, Any]:
        return {
            "signature": self.signature,
            "accuracy": self.accuracy,
            "sentence_accuracy": self.sentence_accuracy,
            "seen_accuracy": self.seen_accuracy,
            "unseen_accuracy": self.unseen_accuracy,
            "counts": {
                "tokens": self.tokens.to_json(),
                "sentences": self.sentences.to_json(),
                "seen": self.seen.to_json() if self.seen else None,
                "unseen": self.unseen.to_json() if self.unseen else None,
            },
            "by_tag": {tag: row.to_json() for tag, row in self.tags.items()},
            "entities": {mode: result.to_json() for mode, result in self.entities.items()},
        }


class _ChunkCounts:
    """Chunks by label: correct, predicted, gold. The sufficient statistics of one entity mode."""

    def __init__(self) -> None:
        self.correct: Counter[str] = Counter()
        self.predicted: Counter[str] = Counter()
        self.gold: Counter[str] = Counter()

    def add(self, gold: list[Chunk], predicted: list[Chunk]) -> None:
        self.gold.update(label for _, _, label in gold)
        self.predicted.update(label for _, _, label in predicted)
        self.correct.update(label for _, _, label in set(gold).intersection(predicted))

    def merge(self, other: _ChunkCounts) -> None:
        self.correct.update(other.correct)
        self.predicted.update(other.predicted)
        self.gold.update(other.gold)

    def result(self) -> EntityResult:
        labels = sorted(self.gold.keys() | self.predicted.keys())
        rows = {label: Matches(self.correct[label], self.predicted[label], self.gold[label]) for label in labels}
        return EntityResult(sum(rows.values(), Matches()), rows)


class TaggingScore:
    """Counts over tagged sentences, scored once by `result()`. `a + b` is the score of both test sets read as one.

    scheme: "io", "iob1", "iob2" or "bioes" where the tags mark chunks, and entities are scored; None for other tags.
    version: what the signature names; that of this package when not given.
    Raises UsageError for another scheme.
    """

    def __init__(self, scheme: str | None = None, *, version: str | None = None) -> None:
        self.scheme = scheme
        self.version = version
        self._readers = {mode: reader(mode, scheme) for mode in MODES} if scheme is not None else {}
        self._chunks = {mode: _ChunkCounts() for mode in self._readers}
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._sentences = Accuracy()
        self._seen: Accuracy | None = None
        self._unseen: Accuracy | None = None

    def add(
        self,
        gold: Sequence[str],
        predicted: Sequence[str],
        words: Sequence[str] | None = None,
        known: Container[str] | None = None,
    ) -> None:
        """One sentence. With `words` and `known`, the training vocabulary, seen and unseen words are told apart.

        Raises UsageError when the lengths differ.
        """
        if len(gold) != len(predicted) or (words is not None and len(words) != len(gold)):
            counts = f"{len(gold)} gold tags, {len(predicted)} predicted tags"
            counts += f", {len(words)} words" if words is not None else ""
            raise UsageError(f"expected one gold and one predicted tag per word; found {counts}")
        if not gold:
            return
        pairs = list(zip(gold, predicted, strict=True))
        self._pairs.update(pairs)
        self._sentences += Accuracy(all(a == b for a, b in pairs), 1)
        if words is not None and known is not None:
            seen = [a == b for word, (a, b) in zip(words, pairs, strict=True) if word in known]
            right = sum(a == b for a, b in pairs)
            self._seen = (self._seen or Accuracy()) + Accuracy(sum(seen), len(seen))
            self._unseen = (self._unseen or Accuracy()) + Accuracy(right - sum(seen), len(pairs) - len(seen))
        for mode, read in self._readers.items():
            self._chunks[mode].add(read(gold), read(predicted))

    def __add__(self, other: TaggingScore) -> TaggingScore:
        """Raises UsageError when the two read their tags by different schemes."""
        if self.scheme != other.scheme:
            raise UsageError(f"expected two scores with the same tag scheme; found {self.scheme} and {other.scheme}")
        total = TaggingScore(self.scheme, version=self.version)
        for part in (self, other):
            total._pairs.update(part._pairs)
            total._sentences += part._sentences
            if part._seen is not None and part._unseen is not None:
                total._seen = (total._seen or Accuracy()) + part._seen
                total._unseen = (total._unseen or Accuracy()) + part._unseen
            for mode, counts in part._chunks.items():
                total._chunks[mode].merge(counts)
        return total

    @property
    def signature(self) -> str:
        """The settings that a score depends on, in one line to be printed next to it."""
        if self.version is None:
            from elman import __version__ as version  # late: the package may be importing this module right now
        else:
            version = self.version
        modes = f"|mode:{'+'.join(self._readers)}" if self._readers else ""
        return f"metric:tagging|scheme:{self.scheme or 'none'}{modes}|elman:{version}"

    def result(self) -> TaggingResult:
        correct: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        gold: Counter[str] = Counter()
        for (tag, guess), count in self._pairs.items():
            gold[tag] += count
            predicted[guess] += count
            correct[tag] += count if tag == guess else 0
        tags = sorted(gold.keys() | predicted.keys())
        return TaggingResult(
            tokens=Accuracy(correct.total(), gold.total()),
            sentences=self._sentences,
            seen=self._seen,
            unseen=self._unseen,
            tags={tag: Matches(correct[tag], predicted[tag], gold[tag]) for tag in tags},
            entities={mode: counts.result() for mode, counts in self._chunks.items()},
            signature=self.signature,
        )
