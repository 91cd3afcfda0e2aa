"""From sentences to what the network reads: vocabularies, ids, batches."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.errors import DataError, UsageError
from elman.layers.characters import Spellings, spelling
from elman.recurrent import Packed
from elman.tasks.transfer import extended
from elman.tasks.vectors import vector_ids
from elman.text import Sentence
from elman.text.vocabulary import UNKNOWN, Vocabulary

END = ""
"""What a network with a delay reads after the last word: a word without characters, which no sentence has."""


@dataclass(frozen=True)
class Batch:
    """Some sentences as packed rows, each followed by as many END as the network's delay.

    layout:    Packed whose data is (rows,), the index of each row among the tokens in the caller's order
    sentences: the same without END, whose data is (n,), the index of each word in the caller's order
    words:     (rows,) ids of the learned word embeddings
    vectors:   (rows,) ids of the given word vectors, or None
    spellings: the distinct words as characters, or None
    tags:      (n,) gold ids in the order of `sentences`, or None
    distinct:  the distinct words; index: (rows,) which of them each row is
    """

    layout: Packed
    sentences: Packed
    words: Tensor
    vectors: Tensor | None
    spellings: Spellings | None
    tags: Tensor | None
    distinct: list[str]
    index: Tensor

    @property
    def tokens(self) -> int:
        return len(self.sentences.data)


@dataclass(frozen=True)
class Vocabularies:
    """words, characters: id 0 is the unknown one. tags: every tag of the training data. vectors: words of the given
    vectors, id 0 the zero vector. counts, character_counts: how often each id was seen in training."""

    words: Vocabulary
    characters: Vocabulary
    tags: Vocabulary
    vectors: Vocabulary | None
    counts: list[int]
    character_counts: list[int]

    @classmethod
    def of(cls, sentences: Sequence[Sentence], vectors: Vocabulary | None, old: Vocabularies | None) -> Vocabularies:
        """From training sentences with tags. With `old`, its entries come first, so that its rows can be taken over."""
        counts = Counter(word for sentence in sentences for word in sentence.words)
        # Counted in distinct words, which is how often the character encoder sees them.
        characters = Counter(c for word in counts for c in word)
        tags = Counter(tag for sentence in sentences for tag in sentence.tags or ())
        words = extended(old.words if old else None, Vocabulary.from_counts(counts, unknown=UNKNOWN))
        alphabet = extended(old.characters if old else None, Vocabulary.from_counts(characters, unknown=UNKNOWN))
        return cls(
            words=words,
            characters=alphabet,
            tags=extended(old.tags if old else None, Vocabulary(sorted(tags), None)),
            vectors=vectors if vectors is not None or old is None else old.vectors,
            counts=[counts.get(word, 0) for word in words.items],
            character_counts=[characters.get(c, 0) for c in alphabet.items],
        )

    @classmethod
    def loaded(
        cls, words: Vocabulary, characters: Vocabulary, tags: Vocabulary, vectors: Vocabulary | None = None
    ) -> Vocabularies:
        """Those of a trained model, whose counts no longer matter."""
        return cls(words, characters, tags, vectors, [0] * len(words), [0] * len(characters))

    def batch(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]] | None = None, delay: int = 0
    ) -> Batch:
        """Sentences (lists of words; an empty one is legal) as a batch."""
        plan = layout = Packed.plan([len(sentence) for sentence in sentences])
        if delay:
            sentences, layout = ended(sentences, delay)
        flat = [word for sentence in sentences for word in sentence]
        rows = [flat[i] for i in layout.data.tolist()]
        place: dict[str, int] = {}
        index = torch.tensor([place.setdefault(word, len(place)) for word in rows], dtype=torch.long)
        gold = None
        if tags is not None:
            ids = [i for sentence in tags for i in self.tags.ids(sentence)]
            gold = torch.tensor(ids, dtype=torch.long)[plan.data]
        return Batch(
            layout=layout,
            sentences=plan,
            words=torch.tensor(self.words.ids(list(place)), dtype=torch.long)[index],
            vectors=None if self.vectors is None else torch.tensor(vector_ids(self.vectors, place))[index],
            spellings=Spellings.of([spelling(self.characters.ids(word)) for word in place], index),
            tags=gold,
            distinct=list(place),
            index=index,
        )


def ended(sentences: Sequence[Sequence[str]], delay: int) -> tuple[list[list[str]], Packed]:
    """Sentences with `delay` times END, and their layout, whose order is that of the sentences."""
    longer = [[*sentence, *([END] * delay)] for sentence in sentences]
    return longer, Packed.plan([len(sentence) for sentence in longer])


def fingerprint(sentences: Iterable[Sentence]) -> str:
    """A hash of words and tags: all that training depends on in a corpus."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update("\x1f".join([*sentence.words, "\x1e", *(sentence.tags or ())]).encode("utf-8", "surrogatepass"))
        digest.update(b"\x1d")
    return digest.hexdigest()


def require_tags(sentences: Sequence[Sentence], what: str) -> None:
    """Raise DataError unless every sentence has a tag for every word, and there is at least one word."""
    for sentence in sentences:
        if sentence.tags is None or len(sentence.tags) != len(sentence.words):
            raise DataError(
                f"{what}: expected a tag for every word, found none; name the column that holds them",
                file=sentence.file or None,
                line=sentence.line or None,
            )
    if not any(sentence.words for sentence in sentences):
        file = sentences[0].file if sentences else None
        raise DataError(f"{what}: expected at least one word, found none", file=file or None)


def split(sentences: Sequence[Sentence], fraction: float, seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Set a fraction of the sentences aside, chosen by the seed: (train, dev), both in the order of the file."""
    if not 0 < fraction < 1:
        raise UsageError(f"expected a fraction of the training data between 0 and 1 for dev, found {fraction}")
    count = round(len(sentences) * fraction)
    if not 0 < count < len(sentences):
        raise DataError(f"expected enough sentences to set {fraction:.0%} aside, found {len(sentences)}")
    chosen = set(random.Random(seed).sample(range(len(sentences)), count))
    train = [s for i, s in enumerate(sentences) if i not in chosen]
    return train, [s for i, s in enumerate(sentences) if i in chosen]
