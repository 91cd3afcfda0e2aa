"""The tags of unknown words, by how they end: the suffix model of Brants 2000, TnT, for words with a capital apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LONGEST = 10  # characters of a suffix
RARE = 10  # unknown words are taken to be like words seen at most this often


class Suffixes:
    """p(tag | the end of a word) for words that were never seen.

    words:  those seen at most RARE times; counts: (words, K) with which tags
    prior:  (K,) p(tag)
    theta:  weight of the shorter suffix against the longer: the standard deviation of the prior
    """

    def __init__(self, words: Sequence[str], counts: np.ndarray, prior: np.ndarray) -> None:
        self.theta = float(prior.std(ddof=1)) if len(prior) > 1 else 0.0
        self._rows: dict[bool, dict[str, int]] = {}
        self._tables: dict[bool, np.ndarray] = {}
        for capital in (False, True):
            some = [index for index, word in enumerate(words) if is_capital(word) == capital]
            names = [words[index] for index in some]
            self._rows[capital], self._tables[capital] = suffix_model(names, counts[some], prior, self.theta)

    def probabilities(self, word: str) -> np.ndarray:
        """(K,)."""
        capital = is_capital(word)
        rows = self._rows[capital]
        length = min(len(word), LONGEST)
        while word[len(word) - length :] not in rows:  # the empty one is always there
            length -= 1
        found: np.ndarray = self._tables[capital][rows[word[len(word) - length :]]]
        return found


def suffix_model(
    words: Sequence[str], counts: np.ndarray, prior: np.ndarray, theta: float
) -> tuple[dict[str, int], np.ndarray]:
    """p(tag | suffix) for every suffix of these words, from the empty one to `LONGEST` characters: row numbers by
    suffix, and the table (suffixes, K).

    counts: (words, K) with which tags they were seen; prior: (K,) p(tag). Successive abstraction: the relative
    frequencies of a suffix, and `theta` times the result for the suffix that is one character shorter, made to sum
    to 1; below the empty suffix is the prior.
    """
    rows = {"": 0}
    parents, lengths = [0], [0]
    at: list[int] = []
    which: list[int] = []
    for index, word in enumerate(words):
        parent = 0
        for length in range(min(len(word), LONGEST) + 1):
            suffix = word[len(word) - length :]
            row = rows.get(suffix)
            if row is None:
                row = rows[suffix] = len(parents)
                parents.append(parent)
                lengths.append(length)
            at.append(row)
            which.append(index)
            parent = row
    table = np.zeros((len(rows), len(prior)))
    np.add.at(table, at, counts[which])
    table = ratio(table, table.sum(1, keepdims=True))
    above, level = np.asarray(parents), np.asarray(lengths)
    # Without words nothing is known about the empty suffix either.
    table[0] = (table[0] + theta * prior) / (1 + theta) if len(words) else prior
    for length in range(1, int(level.max()) + 1):
        own = level == length
        table[own] = (table[own] + theta * table[above[own]]) / (1 + theta)
    return rows, table


def is_capital(word: str) -> bool:
    """Whether a word begins with a capital, in scripts that have them."""
    return word[:1].isupper() or word[:1].istitle()


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, 0 where below is 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, np.shape(below))), where=below > 0)
