"""What the form of a word says, as vectors: its ends, its outline, the word without its capitals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor, nn

from elman.layers.embedding import RareEmbedding
from elman.layers.plan import Table
from elman.recurrent.plan import array
from elman.text.vocabulary import UNKNOWN, Vocabulary

MOST = 100_000  # words whose ids are remembered


def shape(word: str) -> str:
    """The word with X for capitals, x for other letters, d for digits, everything else as is; runs are cut to two.

    >>> shape("McDonald's-1984")
    "XxXxx'x-dd"
    """
    return _cut(word.translate(_OUTLINE))


class _Outline(dict[int, str]):
    """Code of a character -> what stands for it in a shape, determined when it first occurs."""

    def __missing__(self, code: int) -> str:
        c = chr(code)
        kind = self[code] = "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c
        return kind


_OUTLINE = _Outline()


@lru_cache(4096)
def _cut(kinds: str) -> str:
    return "".join(kind if len(list(run)) == 1 else kind * 2 for kind, run in groupby(kinds))


def _prefix(length: int) -> Callable[[str, str], str]:
    return lambda word, lower: lower[:length]


def _suffix(length: int) -> Callable[[str, str], str]:
    return lambda word, lower: lower[-length:]


# of a word and its lower case, which most begin with
KINDS: Mapping[str, Callable[[str, str], str]] = {
    "lower": lambda word, lower: lower,
    "shape": lambda word, lower: shape(word),
    **{f"prefix{n}": _prefix(n) for n in (1, 2, 3)},
    **{f"suffix{n}": _suffix(n) for n in (1, 2, 3, 4)},
}


class FormEncoder(nn.Module):
    """Words -> (words, output_size): one learned vector for each kind of feature, side by side.

    words: those of the training data, whose features are known; id 0 of each kind is the unknown one. The numbering
           follows from the set of words alone, so it is not stored with a model
    counts: how often each word was seen in training; size, unknown: as for `RareEmbedding`
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int], size: int, unknown: float) -> None:
        super().__init__()
        self.vocabularies: dict[str, Vocabulary] = {}
        self.tables = nn.ModuleDict()
        lowers = [word.lower() for word in words]
        for kind, of in KINDS.items():
            seen: dict[str, int] = {}
            for form, count in zip(map(of, words, lowers), counts, strict=True):
                seen[form] = seen.get(form, 0) + count
            vocabulary = Vocabulary([UNKNOWN, *sorted(seen.keys() - {UNKNOWN})], UNKNOWN)
            self.vocabularies[kind] = vocabulary
            self.tables[kind] = RareEmbedding([seen.get(form, 0) for form in vocabulary.items], size, unknown)
        self.size, self.output_size = size, size * len(KINDS)
        self._known: dict[str, list[int]] = {}

    def ids(self, words: Sequence[str]) -> Tensor:
        """(words, kinds)."""
        return torch.tensor([self._of(word) for word in words], dtype=torch.long).reshape(len(words), len(KINDS))

    def forward(self, ids: Tensor) -> Tensor:
        return torch.cat([table(ids[:, k]) for k, table in enumerate(self.tables.values())], -1)

    def plan(self) -> tuple[Table, ...]:
        """One look-up for each kind of feature."""
        return tuple(
            Table(kind, tuple(vocabulary.items), array(self.tables[kind].embedding.weight))  # type: ignore[union-attr, arg-type]
            for kind, vocabulary in self.vocabularies.items()
        )

    def _of(self, word: str) -> list[int]:
        ids = self._known.get(word)
        if ids is None:
            lower = word.lower()
            ids = [self.vocabularies[kind][of(word, lower)] for kind, of in KINDS.items()]
            if len(self._known) < MOST:
                self._known[word] = ids
        return ids
