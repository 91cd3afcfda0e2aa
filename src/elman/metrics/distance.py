"""Accuracy by the side and the length of a dependency, as `elman data make grammar` records them in MISC."""

from __future__ import annotations

from collections.abc import Sequence

from elman.errors import UsageError

ByDistance = dict[str, dict[int, tuple[int, int]]]


def accuracy_by_distance(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], misc: Sequence[Sequence[str]]
) -> ByDistance:
    """{side: {distance: (correct, total)}} over the words whose MISC has `Distance=` and `Side=`, no others.

    gold, predicted, misc: one list per sentence, one string per word. Sides and distances come sorted.
    Raises UsageError when the three do not line up or a distance is not a number.
    """
    counts: dict[str, dict[int, tuple[int, int]]] = {}
    if not len(gold) == len(predicted) == len(misc):
        raise UsageError(
            "expected equally many sentences of gold tags, predicted tags and MISC fields; "
            f"found {len(gold)}, {len(predicted)} and {len(misc)}"
        )
    for number, (tags, guesses, fields) in enumerate(zip(gold, predicted, misc, strict=True), 1):
        if not len(tags) == len(guesses) == len(fields):
            raise UsageError(
                f"sentence {number}: expected equally many gold tags, predicted tags and MISC fields; "
                f"found {len(tags)}, {len(guesses)} and {len(fields)}"
            )
        for tag, guess, field in zip(tags, guesses, fields, strict=True):
            keys = dict(part.split("=", 1) for part in field.split("|") if "=" in part)
            if "Distance" not in keys or "Side" not in keys:
                continue
            if not keys["Distance"].isdecimal():
                raise UsageError(f"sentence {number}: expected a number after Distance= in MISC; found {field!r}")
            side, distance = keys["Side"], int(keys["Distance"])
            correct, total = counts.setdefault(side, {}).get(distance, (0, 0))
            counts[side][distance] = (correct + (tag == guess), total + 1)
    return {side: dict(sorted(counts[side].items())) for side in sorted(counts)}
