"""Made-up pairs, for little data: what source and target share is replaced by other symbols, the same on both sides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from difflib import SequenceMatcher

Example = tuple[Sequence[str], Sequence[str]]  # the symbols of a source, and of a target
SHARED = 3  # symbols in a row that count as a stem


def invent(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` pairs made from the given ones in turn (Anastasopoulos and Neubig 2019).

    The symbols inside every run of three or more that source and target share, in order, are replaced by symbols drawn
    from those that occur in such runs; its first and last symbol stay, since what precedes and follows a stem often
    depends on them. A pair without such a run gives none."""
    stems = [(pair, _shared(*pair)) for pair in examples]
    stems = [(pair, runs) for pair, runs in stems if runs]
    symbols = sorted({symbol for (source, _), runs in stems for a, _, size in runs for symbol in source[a : a + size]})
    if not stems:
        return []
    source_of_chance, made = random.Random(seed), list[Example]()
    while len(made) < count:
        (source, target), runs = stems[len(made) % len(stems)]
        read, written = list(source), list(target)
        for a, b, size in runs:
            for i in range(1, size - 1):
                read[a + i] = written[b + i] = source_of_chance.choice(symbols)
        made.append((read, written))
    return made


def _shared(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int, int]]:
    """(place in the source, place in the target, length) of the runs that both share, in order."""
    blocks = SequenceMatcher(None, source, target, autojunk=False).get_matching_blocks()
    return [(a, b, size) for a, b, size in blocks if size >= SHARED]
