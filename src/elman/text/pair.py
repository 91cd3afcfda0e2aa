"""One pair of a source and its right targets as every reader returns it, and what the readers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elman.text.example import Fault

# Columns and keys to look for when none are given; the earlier name wins.
SOURCE_NAMES = ("source", "src", "input", "lemma", "word")
TARGET_NAMES = ("target", "tgt", "output", "form", "pronunciation")
FEATURES_NAMES = ("features", "feats", "tags", "msd")


@dataclass(slots=True)
class Pair:
    """A source, its right targets, and where it was read.

    targets:  any of them is right; None where they are unknown (input for prediction)
    features: symbols that belong to the source besides its text, such as V and PST
    line:     the first line of the pair
    block:    a Block, the lines as they were in the file; in two parallel files, that of the source
    """

    source: str
    targets: list[str] | None = None
    features: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    block: Any = None


def cut_features(cell: str, separator: str) -> tuple[str, ...]:
    """The features in a cell, without white space around them; empty ones are left out."""
    return tuple(part for feature in cell.split(separator) if (part := feature.strip()))


def settle_targets(targets: Sequence[str], at: int | None = None) -> list[str]:
    """Each of several targets once. Raises Fault for an empty one, which is right only alone."""
    if len(targets) > 1 and not all(targets):
        raise Fault("expected targets that are not empty where there are several, found an empty one; remove it", at)
    return list(dict.fromkeys(targets))


def merge(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """One pair for each source with its features, in the order and at the place of its first, with the targets of all.

    The same target is there once. Nothing is yielded before the end of `pairs`.
    """
    merged: dict[tuple[str, tuple[str, ...]], Pair] = {}
    for pair in pairs:
        first = merged.setdefault((pair.source, pair.features), pair)
        if first is not pair and pair.targets is not None:
            first.targets = list(dict.fromkeys([*(first.targets or ()), *pair.targets]))
    yield from merged.values()
