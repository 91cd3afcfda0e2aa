"""From pairs to what the networks read: symbols, ids, batches; and a part of the data that is set aside."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from elman.errors import DataError, UsageError
from elman.layers.attention import Memory
from elman.recurrent import Packed
from elman.tasks.seq2seq.answers import is_feature
from elman.tasks.transfer import extended
from elman.text.pair import Pair
from elman.text.vocabulary import UNKNOWN, Vocabulary

END = "</s>"
END_ID = 1  # on both sides; what the decoder reads first, too


@dataclass(frozen=True)
class Sources:
    """Some sources, each with the end after it, as packed rows.

    ids:      (rows,) in packed order
    rows:     (positions,) the row of each position, source after source in the caller's order
    lengths:  of each source, in the caller's order, the end included
    copies:   (positions,) the id, among target symbols, of the symbol at each position; those that the target's
              vocabulary lacks have ids beyond its end, and are `extra`. 0, which is never written, for features
    features: (positions,) whether it is a feature
    """

    ids: Packed
    rows: Tensor
    lengths: list[int]
    copies: Tensor
    extra: list[str]
    features: Tensor

    def memory(self, order: Tensor) -> tuple[Memory, Tensor]:
        """The positions of the sources with these indices, one source after the other, and the row of each position."""
        memory = Memory.of([self.lengths[i] for i in order.tolist()])
        starts = torch.tensor([0, *self.lengths], dtype=torch.long).cumsum(0)[:-1]
        return memory, starts[order][memory.owner] + memory.place


@dataclass(frozen=True)
class Batch:
    """Some pairs.

    read:     what the decoder reads: the end, then all symbols of the target, as packed rows
    targets:  (rows,) what it is to write: all symbols of the target, then the end
    copies:   (rows,) ids of the same among the symbols that can be copied (see `Sources.copies`)
    """

    sources: Sources
    read: Packed
    targets: Tensor
    copies: Tensor

    @property
    def symbols(self) -> int:
        """Target symbols, ends included: those whose loss is summed."""
        return len(self.targets)


@dataclass(frozen=True)
class Vocabularies:
    """source, target: the unknown symbol, the end, then symbols by falling count; one and the same if shared.
    counts: how often each source symbol was seen in training."""

    source: Vocabulary
    target: Vocabulary
    counts: list[int]

    @classmethod
    def of(
        cls,
        examples: Iterable[tuple[Sequence[str], Sequence[str]]],
        minimum: int,
        shared: bool,
        old: Vocabularies | None = None,
    ) -> Vocabularies:
        """From the symbols of the training pairs. With `old`, its symbols come first."""
        read: Counter[str] = Counter()
        written: Counter[str] = Counter()
        for source, target in examples:
            read.update(source)
            written.update(target)
        if shared:
            both = _vocabulary(read + written, minimum, None if old is None else old.source)
            return cls(both, both, _seen(read, both))
        first = _vocabulary(read, minimum, None if old is None else old.source)
        second = _vocabulary(written, minimum, None if old is None else old.target)
        return cls(first, second, _seen(read, first))

    @classmethod
    def loaded(cls, source: Vocabulary, target: Vocabulary) -> Vocabularies:
        """Those of a trained model, whose counts no longer matter."""
        return cls(source, target, [0] * len(source))

    def sources(self, sources: Sequence[Sequence[str]]) -> Sources:
        """Symbols of sources (features first) as ids, the end after each."""
        ended = [[*source, END] for source in sources]
        plan = Packed.plan([len(source) for source in ended])
        flat = [symbol for source in ended for symbol in source]
        ids = torch.tensor(self.source.ids(flat), dtype=torch.long)
        rows = torch.empty_like(plan.data)
        rows[plan.data] = torch.arange(len(rows))
        known, size, extra = self.target, len(self.target), dict[str, int]()
        features = [is_feature(symbol) for symbol in flat]
        copies = [
            0 if feature else known[s] if s in known else size + extra.setdefault(s, len(extra))
            for s, feature in zip(flat, features, strict=True)
        ]
        return Sources(
            plan.with_data(ids[plan.data]),
            rows,
            [len(source) for source in ended],
            torch.tensor(copies, dtype=torch.long),
            list(extra),
            torch.tensor(features, dtype=torch.bool),
        )

    def batch(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> Batch:
        """Symbols of pairs as a batch."""
        read = self.sources(sources)
        plan = Packed.plan([len(target) + 1 for target in targets])
        known, size = self.target, len(self.target)
        extra = {symbol: size + i for i, symbol in enumerate(read.extra)}
        # only from its own source can a symbol be copied, whatever else is in the batch
        own = [{symbol: extra[symbol] for symbol in source if symbol in extra} for source in sources]
        before = torch.tensor([i for target in targets for i in (END_ID, *known.ids(target))], dtype=torch.long)
        after = torch.tensor([i for target in targets for i in (*known.ids(target), END_ID)], dtype=torch.long)
        copies = torch.tensor(
            [
                i
                for of, target in zip(own, targets, strict=True)
                for i in (*(of.get(s, known[s]) for s in target), END_ID)
            ],
            dtype=torch.long,
        )
        order = plan.data
        return Batch(read, plan.with_data(before[order]), after[order], copies[order])

    def symbols(self, batch: Batch) -> tuple[list[list[str]], list[list[str]]]:
        """The sources and targets of a batch: `batch` of these is the same batch, as far as symbols are known."""
        sources = batch.sources
        names, known = [*self.target.items, *sources.extra], self.source.items
        # a symbol that is unknown as one of a source may still be known as one to copy
        ids = zip(sources.ids.data[sources.rows].tolist(), sources.copies.tolist(), strict=True)
        flat = [known[i] if i else names[copied] for i, copied in ids]
        ends = list(accumulate(sources.lengths))
        read = [flat[end - length : end - 1] for end, length in zip(ends, sources.lengths, strict=True)]
        written = [[names[i] for i in ids[:-1].tolist()] for ids in batch.read.with_data(batch.copies).to_list()]
        return read, written


def _seen(counts: Counter[str], vocabulary: Vocabulary) -> list[int]:
    """How often each source symbol was seen; the end as often as all others together, so that it is never dropped."""
    return [sum(counts.values()) if symbol == END else counts.get(symbol, 0) for symbol in vocabulary.items]


def _vocabulary(counts: Counter[str], minimum: int, old: Vocabulary | None) -> Vocabulary:
    del counts[END]
    items = Vocabulary.from_counts(counts, minimum).items
    return extended(old, Vocabulary([END, *(item for item in items if item != UNKNOWN)], UNKNOWN))


def require_targets(pairs: Sequence[Pair], what: str) -> None:
    """Raise DataError unless there are pairs, each with a target."""
    if not pairs:
        raise DataError(f"{what}: expected at least one pair, found none")
    for pair in pairs:
        if not pair.targets:
            raise DataError(
                f"{what}: expected a target for every source, found none; name the column that holds it",
                file=pair.file or None,
                line=pair.line or None,
            )


def fingerprint(pairs: Iterable[Pair]) -> str:
    """A hash of sources, features and targets: all that training depends on in the data."""
    digest = hashlib.sha256()
    for pair in pairs:
        for part in (pair.source, *pair.features, "\x1d", *(pair.targets or ())):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\x1f")
        digest.update(b"\x1e")
    return digest.hexdigest()


def split(pairs: Sequence[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Set a fraction aside, chosen by the seed: (train, dev), in the order of the file. Pairs of the same source and
    features go together, so that no source is in both.

    Raises UsageError for an invalid fraction, DataError if it would leave nothing."""
    if not 0 < fraction < 1:
        raise UsageError(f"expected a fraction of the training data between 0 and 1 for dev, found {fraction}")
    groups = list(dict.fromkeys((pair.source, pair.features) for pair in pairs))
    count = round(len(groups) * fraction)
    if not 0 < count < len(groups):
        raise DataError(f"expected enough sources to set {fraction:.0%} aside, found {len(groups)}")
    chosen = set(random.Random(seed).sample(groups, count))
    rest = [pair for pair in pairs if (pair.source, pair.features) not in chosen]
    return rest, [pair for pair in pairs if (pair.source, pair.features) in chosen]
