"""Edit distance: how many insertions, deletions and substitutions turn one sequence into another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The Levenshtein distance, each edit counting 1.

    Bit-parallel: a column of differences is two integers of len(a) bits (Myers 1999, in the form of Hyyrö 2003), so
    that a symbol of `b` costs a dozen operations on them.
    """
    start = 0
    while start < len(a) and start < len(b) and a[start] == b[start]:
        start += 1
    end, other = len(a), len(b)
    while end > start and other > start and a[end - 1] == b[other - 1]:
        end, other = end - 1, other - 1
    a, b = a[start:end], b[start:other]
    if not a or not b:
        return len(a) + len(b)
    places: dict[Hashable, int] = {}  # the bits of the places of `a` that have this symbol
    for place, symbol in enumerate(a):
        places[symbol] = places.get(symbol, 0) | 1 << place
    every, last, distance = (1 << len(a)) - 1, 1 << len(a) - 1, len(a)
    down, up = every, 0  # where the column grows and falls by one from the place before
    for symbol in b:
        same = places.get(symbol, 0)
        diagonal = ((same & down) + down ^ down) | same | up
        right = up | ~(diagonal | down) & every  # where this column is one more, and one less, than the one before
        left = diagonal & down
        if right & last:
            distance += 1
        elif left & last:
            distance -= 1
        right, left = right << 1 | 1, left << 1
        down = (left | ~(diagonal | right)) & every
        up = right & diagonal & every
    return distance
