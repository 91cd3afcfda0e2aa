"""From labelled texts to what the models read: tokens, ids, batches; and parts of the data that are set aside."""

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
from elman.recurrent import Packed
from elman.tasks.transfer import extended
from elman.tasks.vectors import vector_ids
from elman.text.example import Example
from elman.text.vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True)
class Batch:
    """Some texts as packed rows.

    layout:  Packed whose data is (rows,), the index of each row among the tokens in the caller's order
    words:   (rows,) ids of the learned vectors
    vectors: (rows,) ids of the given vectors, or None
    labels:  in packed order (texts,) ids, or (texts, labels) of 0 and 1 if a text has several; or None
    distinct: the distinct tokens; index: (rows,) which of them each row is
    ngrams:  ids of the n-grams of each text in packed order, or None; those of text i from ngram_starts[i] on
    """

    layout: Packed
    words: Tensor
    vectors: Tensor | None
    labels: Tensor | None
    distinct: list[str]
    index: Tensor
    ngrams: Tensor | None
    ngram_starts: Tensor | None

    @property
    def tokens(self) -> int:
        return len(self.words)

    @property
    def texts(self) -> int:
        return self.layout.sequences


@dataclass(frozen=True)
class Vocabularies:
    """words: id 0 is the unknown one. labels: every label of the training data, in code point order.
    vectors: words of the given vectors, id 0 the zero vector. counts: how often each word was seen in training.
    ngrams: those of up to `order` tokens, see `ngrams_of`, or None."""

    words: Vocabulary
    labels: Vocabulary
    vectors: Vocabulary | None
    counts: list[int]
    ngrams: Vocabulary | None = None
    order: int = 0

    def __contains__(self, token: object) -> bool:
        """Whether anything is known about a token: a vector, learned or given."""
        return token in self.words or (self.vectors is not None and token in self.vectors)

    @classmethod
    def of(
        cls,
        texts: Sequence[Sequence[str]],
        labels: Vocabulary,
        vectors: Vocabulary | None,
        old: Vocabularies | None = None,
        order: int = 0,
    ) -> Vocabularies:
        """From the tokens of the training texts. With `old`, its words come first, and its n-grams."""
        counts = Counter(token for text in texts for token in text)
        words = extended(old.words if old else None, Vocabulary.from_counts(counts, unknown=UNKNOWN))
        ngrams = None
        if order:
            seen = Counter(ngram for text in texts for ngram in ngrams_of(text, order))
            ngrams = extended(old.ngrams if old else None, Vocabulary.from_counts(seen))
        return cls(words, labels, vectors, [counts.get(word, 0) for word in words.items], ngrams, order)

    @classmethod
    def loaded(
        cls,
        words: Vocabulary,
        labels: Vocabulary,
        vectors: Vocabulary | None = None,
        ngrams: Vocabulary | None = None,
        order: int = 0,
    ) -> Vocabularies:
        """Those of a trained model, whose counts no longer matter."""
        return cls(words, labels, vectors, [0] * len(words), ngrams, order)

    def batch(self, texts: Sequence[Sequence[str]], labels: Tensor | None = None) -> Batch:
        """Tokens of texts (possibly none) as a batch. labels: in the caller's order, see `label_ids`."""
        layout = Packed.plan([len(text) for text in texts])
        flat = [token for text in texts for token in text]
        place: dict[str, int] = {}
        index = torch.tensor([place.setdefault(token, len(place)) for token in flat], dtype=torch.long)[layout.data]
        distinct = list(place)
        words = torch.tensor(self.words.ids(distinct), dtype=torch.long)[index]
        vectors = None
        if self.vectors is not None:
            vectors = torch.tensor(vector_ids(self.vectors, distinct), dtype=torch.long)[index]
        gold = None if labels is None else layout.sorted_rows(labels)
        ngrams = starts = None
        if self.ngrams is not None:
            ids = self.ngrams
            known = [[ids[n] for n in ngrams_of(texts[i], self.order) if n in ids] for i in layout.order.tolist()]
            ngrams = torch.tensor([i for each in known for i in each], dtype=torch.long)
            starts = torch.tensor([0, *accumulate(len(each) for each in known[:-1])][: len(known)], dtype=torch.long)
        return Batch(layout, words, vectors, gold, distinct, index, ngrams, starts)


START, STOP = "<s>", "</s>"  # of a text, in its n-grams


def ngrams_of(tokens: Sequence[str], order: int) -> Iterable[str]:
    """Every n-gram of 1 to `order` tokens once, in lower case, the beginning and the end of the text included."""
    row = [START, *(token.lower() for token in tokens), STOP]
    return dict.fromkeys(" ".join(row[i : i + n]) for n in range(1, order + 1) for i in range(len(row) - n + 1))


def label_ids(labels: Vocabulary, examples: Sequence[Example], several: bool) -> Tensor:
    """(texts,) the id of each label; or with `several` (texts, labels), 1 where the text has the label, otherwise 0."""
    if not several:
        return torch.tensor([labels[(example.labels or [])[0]] for example in examples], dtype=torch.long)
    rows = torch.zeros(len(examples), len(labels))
    for row, example in zip(rows, examples, strict=True):
        row[labels.ids(example.labels or [])] = 1
    return rows


def label_vocabulary(examples: Sequence[Example]) -> Vocabulary:
    """Every label that occurs. Raises DataError when there are none."""
    labels = sorted({label for example in examples for label in example.labels or ()})
    if not labels:
        file = examples[0].file if examples else None
        raise DataError("expected labels to learn, found none in the training data", file=file or None)
    return Vocabulary(labels)


def require_labels(examples: Sequence[Example], what: str, several: bool) -> None:
    """Raise DataError unless there are examples, each with a label (any number of them with `several`)."""
    if not examples:
        raise DataError(f"{what}: expected at least one labelled text, found none")
    for example in examples:
        if example.labels is None or (len(example.labels) != 1 and not several):
            found = "none" if not example.labels else f"{len(example.labels)}"
            many = "; the setting several allows any number" if found != "none" else "; name the field that holds it"
            raise DataError(
                f"{what}: expected one label for every text, found {found}{many}",
                file=example.file or None,
                line=example.line or None,
            )


def fingerprint(examples: Iterable[Example]) -> str:
    """A hash of texts and labels: all that training depends on in the data."""
    digest = hashlib.sha256()
    for example in examples:
        for part in (example.text, *(example.labels or ())):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\x1f")
        digest.update(b"\x1e")
    return digest.hexdigest()


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Set a fraction aside, chosen by the seed, the same share of each label: (train, dev), in the order of the file.

    Raises UsageError for an invalid fraction, DataError if it would leave nothing."""
    if not 0 < fraction < 1:
        raise UsageError(f"expected a fraction of the training data between 0 and 1 for dev, found {fraction}")
    count, total = round(len(examples) * fraction), len(examples)
    if not 0 < count < total:
        raise DataError(f"expected enough texts to set {fraction:.0%} aside, found {total}")
    order = _by_label(examples, seed)
    chosen = {order[i] for i in range(total) if (i + 1) * count // total > i * count // total}
    return _parts(examples, chosen)


def fold(examples: Sequence[Example], number: int, folds: int, seed: int) -> tuple[list[Example], list[Example]]:
    """(all but fold `number` of `folds`, that fold), counted from 1; each fold has the same share of each label.

    Raises UsageError for numbers that do not fit, DataError for fewer texts than folds."""
    if folds < 2 or not 1 <= number <= folds:
        raise UsageError(f"expected 2 or more folds and a fold from 1 to their number, found {number} of {folds}")
    if len(examples) < folds:
        raise DataError(f"expected at least {folds} texts for {folds} folds, found {len(examples)}")
    return _parts(examples, set(_by_label(examples, seed)[number - 1 :: folds]))


def _by_label(examples: Sequence[Example], seed: int) -> list[int]:
    """Indices of all examples, those of the same labels together, shuffled among themselves."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(tuple(sorted(example.labels or ())), []).append(i)
    source = random.Random(seed)
    order: list[int] = []
    for key in sorted(groups):
        source.shuffle(groups[key])
        order += groups[key]
    return order


def _parts(examples: Sequence[Example], chosen: set[int]) -> tuple[list[Example], list[Example]]:
    rest = [example for i, example in enumerate(examples) if i not in chosen]
    return rest, [example for i, example in enumerate(examples) if i in chosen]
