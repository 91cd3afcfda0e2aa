"""Modified interpolated Kneser-Ney estimation of n-gram models, on sorted arrays of integers.

The n-grams of one order are the rows of a `Grams`. A row is identified by its key: (row of its first k-1 words in the
order below) * (size of the vocabulary) + (its last word). The keys of an order are sorted, so that finding many n-grams
is one binary search for each order, and those that share a context are adjacent.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from elman.errors import Notice

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)  # D1, D2, D3+ if a corpus gives none: those of `lmplz --discount_fallback`


class Grams(NamedTuple):
    """The n-grams of one order. Of shape (rows,): row r of the unigrams is the word with the id r."""

    keys: Ints  # sorted, without repetition
    log_probability: Floats  # natural; of the last word given the others
    log_backoff: Floats  # natural; what multiplies the order below after this whole n-gram; empty in the highest order


def find(keys: Ints, parents: Ints, words: Ints, size: int) -> Ints:
    """The row of each n-gram, -1 without one.

    keys: of one order. parents: row of each context in the order below, -1 without one. size: of the vocabulary.
    """
    if not len(keys):
        return np.full(len(words), -1, np.int64)
    wanted = parents * size + words
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((parents >= 0) & (keys[rows] == wanted), rows, -1)


def estimate(ids: Ints, order: int, size: int, begin: int) -> list[Grams]:
    """Modified Kneser-Ney with all orders interpolated, as `lmplz` of KenLM estimates it, without pruning.

    ids: a text of sentences, each `begin`, its words, an end. size: of the vocabulary, including words without a count.

    The highest order uses its counts; below it an n-gram counts the distinct words before it, or, if it begins
    with `begin` and nothing can precede it, its occurrences. Unigrams are interpolated with the uniform distribution
    over the vocabulary without `begin`, whose probability is 0. If the discounts of an order are undefined, as in
    tiny corpora, D1, D2 and D3+ are 0.5, 1 and 1.5 (`lmplz --discount_fallback`), and a Notice names the order.

    Chen and Goodman 1998; Heafield, Pouzyrevsky, Clark and Koehn 2013.
    """
    keys, counts, lower = _count(ids, order, size, begin)
    tables: list[Grams] = []
    undefined = []
    below = np.full(size, 1 / (size - 1))  # the order below the unigrams is uniform
    for k in range(order):
        discounts = _discounts(counts[k])
        if discounts is None and len(counts[k]):
            undefined.append(k + 1)
        cut = np.array([0.0, *(discounts or FALLBACK)])[np.minimum(counts[k], 3)]
        contexts = keys[k] // size
        total = np.bincount(contexts, counts[k], len(keys[k - 1]) if k else 1).astype(np.float64)
        # A context that nothing follows, such as an end of sentence, passes all of its mass on.
        rest = np.divide(np.bincount(contexts, cut, len(total)), total, out=np.ones_like(total), where=total > 0)
        below = (counts[k] - cut) / total[contexts] + rest[contexts] * below[lower[k]]
        if not k:
            below[begin] = 0.0
        with np.errstate(divide="ignore"):
            if k:
                tables[-1] = tables[-1]._replace(log_backoff=np.log(rest))
            tables.append(Grams(keys[k], np.log(below), np.empty(0)))
    if undefined:
        orders = f"order{'s' * (len(undefined) > 1)} {', '.join(map(str, undefined))}"
        message = (
            f"the discounts of {orders} cannot be estimated (no n-grams of count 1, 2 or 3, or a discount out of"
            f" range); {', '.join(f'{d:g}' for d in FALLBACK)} are used. More text, or a lower order, would fix this"
        )
        warnings.warn(message, Notice, stacklevel=3)
    return tables


def _count(ids: Ints, order: int, size: int, begin: int) -> tuple[list[Ints], list[Ints], list[Ints]]:
    """For each order: keys, adjusted counts, and the row of each n-gram without its first word in the order below."""
    place = np.arange(len(ids))
    since = place - np.maximum.accumulate(np.where(ids == begin, place, 0))  # words since the last begin
    rows = ids
    keys, lower = [np.arange(size)], [np.arange(size)]
    raw = [np.bincount(ids[since > 0], minlength=size)]
    counts = []
    for k in range(2, order + 1):
        ends = np.flatnonzero(since >= k - 1)  # where an n-gram ends that holds no begin after its first word
        unique, first, inverse, count = np.unique(
            rows[ends - 1] * size + ids[ends], return_index=True, return_inverse=True, return_counts=True
        )
        suffix = rows[ends[first]]
        # Nothing precedes an n-gram that starts with begin: those keep their counts.
        starts = np.bincount(rows[since == k - 2], minlength=len(keys[-1])) if k > 2 else np.zeros(size, np.int64)
        counts.append(np.where(starts > 0, raw[-1], np.bincount(suffix, minlength=len(keys[-1]))))
        keys.append(unique)
        lower.append(suffix)
        raw.append(count)
        rows = np.full(len(ids), -1, np.int64)
        rows[ends] = inverse
    return keys, [*counts, raw[-1]], lower


def _discounts(counts: Ints) -> tuple[float, float, float] | None:
    """D1, D2 and D3+ from the counts of counts, equation 26 of Chen and Goodman; None where they are undefined."""
    n = [int(np.count_nonzero(counts == c)) for c in range(5)]
    if not all(n[1:4]):
        return None
    y = n[1] / (n[1] + 2 * n[2])
    d1, d2, d3 = (c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3))
    return (d1, d2, d3) if all(0 <= d <= c for c, d in enumerate((d1, d2, d3), 1)) else None
