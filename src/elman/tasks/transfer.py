"""Starting a network from another one's weights: rows of what both know are taken over, the others start afresh."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from elman.errors import Notice, UsageError, quoted
from elman.text.vocabulary import Vocabulary


class Rows(NamedTuple):
    """What the rows of a weight stand for: items of a vocabulary, called `name` for people.

    axes: 2 for a weight that has such an item on either axis"""

    name: str
    items: Vocabulary
    axes: int = 1


def take_over(old: Any, new: Any) -> None:
    """Start the network of `new` from the weights of `old`, a trained model of the same class, and say what was taken.

    `weight_rows()` of both: beginning of a weight's name -> its `Rows`; all other weights must have the same shape.
    Raises UsageError for another architecture, naming the weight."""
    weights, wanted = old.network.state_dict(), new.network.state_dict()
    if weights.keys() != wanted.keys():
        odd = sorted(weights.keys() ^ wanted.keys())
        raise UsageError(f"the model to start from has another architecture: {quoted(odd[:4])} is in only one")
    before, after = old.weight_rows(), new.weight_rows()
    for name, tensor in wanted.items():
        key, given = _key_of(after, name), weights[name]
        rows = None if key is None else after[key]
        axes = 0 if rows is None else rows.axes
        if given.shape[axes:] != tensor.shape[axes:]:
            shapes = f"{tuple(given.shape)} there, {tuple(tensor.shape)} here"
            raise UsageError(f"the model to start from has another architecture: {name} is {shapes}")
        if key is None or rows is None:
            tensor.copy_(given)
            continue
        known = before[key].items
        shared = [item for item in known.items if item in rows.items]
        there = torch.tensor([known[item] for item in shared], dtype=torch.long)
        here = torch.tensor([rows.items[item] for item in shared], dtype=torch.long)
        if axes == 2:
            tensor[here.unsqueeze(1), here] = given[there.unsqueeze(1), there]
        else:
            tensor[here] = given[there]
    warnings.warn(_said(before, after), Notice, stacklevel=3)


def extended(old: Vocabulary | None, new: Vocabulary) -> Vocabulary:
    """The items of `old` in their order, then what `new` has beyond them."""
    if old is None:
        return new
    unknown = old.items[0] if old.unknown is not None else None
    items = old.items if unknown is None else old.items[1:]
    return Vocabulary([*items, *(item for item in new.items if item not in old)], unknown)


def require_same_settings(old: Any, new: Any, names: Sequence[str]) -> None:
    """Raise UsageError unless both models cut texts alike: otherwise their items would mean different things."""
    for name in names:
        was, now = getattr(old.settings.model, name), getattr(new.settings.model, name)
        if was != now:
            raise UsageError(f"the model to start from has the setting {name}={was}, found {name}={now}; give the same")


def _key_of(rows: Mapping[str, Rows], name: str) -> str | None:
    """The longest key that the name of a weight begins with."""
    return max((key for key in rows if name.startswith(key)), key=len, default=None)


def _said(before: Mapping[str, Rows], after: Mapping[str, Rows]) -> str:
    counts: dict[str, str] = {}
    for key, rows in after.items():
        taken = sum(item in before[key].items for item in rows.items)
        fresh = len(rows.items) - taken
        counts[rows.name] = f"{taken:,} {rows.name}" + (f" ({fresh:,} new)" if fresh else "")
    return f"taken over from the model to start from: {', '.join(counts.values())}, and all other weights"
