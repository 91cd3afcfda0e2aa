"""Starting a network from another one's weights: rows of what both know are copied, the others start from scratch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from elman.errors import Notice, UsageError, quoted
from elman.layers.features import FormEncoder
from elman.text.vocabulary import Vocabulary


class Rows(NamedTuple):
    """What the rows of a weight stand for: items of a vocabulary, called `name` in messages.

    axes: 2 for a weight that has such items on both axes"""

    name: str
    items: Vocabulary
    axes: int = 1


def form_rows(forms: FormEncoder | None) -> dict[str, Rows]:
    """The tables of `network.forms`, for `weight_rows`."""
    vocabularies = {} if forms is None else forms.vocabularies
    return {f"forms.tables.{kind}.": Rows("", vocabulary) for kind, vocabulary in vocabularies.items()}


def take_over(old: Any, new: Any) -> None:
    """Start the network of `new` from the weights of `old`, a trained model of its class, and report what was copied.

    `weight_rows()` of both: prefix of a weight's name -> its `Rows`; all other weights must have the same shape.
    Raises UsageError for a different architecture, naming the weight."""
    weights, wanted = old.network.state_dict(), new.network.state_dict()
    if weights.keys() != wanted.keys():
        odd = sorted(weights.keys() ^ wanted.keys())
        raise UsageError(
            f"the model to start from has a different architecture: only one of them has {quoted(odd[:4])}"
        )
    before, after = old.weight_rows(), new.weight_rows()
    for name, tensor in wanted.items():
        key, weight = _key_of(after, name), weights[name]
        rows = None if key is None else after[key]
        axes = 0 if rows is None else rows.axes
        if weight.shape[axes:] != tensor.shape[axes:]:
            shapes = f"{tuple(weight.shape)} there, {tuple(tensor.shape)} here"
            raise UsageError(f"the model to start from has a different architecture: {name} is {shapes}")
        if key is None or rows is None:
            tensor.copy_(weight)
            continue
        known = before[key].items
        shared = [item for item in known.items if item in rows.items]
        there = torch.tensor([known[item] for item in shared], dtype=torch.long)
        here = torch.tensor([rows.items[item] for item in shared], dtype=torch.long)
        if axes == 2:
            tensor[here.unsqueeze(1), here] = weight[there.unsqueeze(1), there]
        else:
            tensor[here] = weight[there]
    warnings.warn(_said(before, after), Notice, stacklevel=3)


def extended(old: Vocabulary | None, new: Vocabulary) -> Vocabulary:
    """The items of `old` in their order, then those that only `new` has."""
    if old is None:
        return new
    unknown = old.items[0] if old.unknown is not None else None
    items = old.items if unknown is None else old.items[1:]
    return Vocabulary([*items, *(item for item in new.items if item not in old)], unknown)


def require_same_settings(old: Any, new: Any, names: Sequence[str]) -> None:
    """Raise UsageError unless both models tokenize texts alike: otherwise their items would mean different things."""
    for name in names:
        was, now = getattr(old.settings.model, name), getattr(new.settings.model, name)
        if was != now:
            raise UsageError(f"the model to start from has the setting {name}={was}, found {name}={now}; use the same")


def _key_of(rows: Mapping[str, Rows], name: str) -> str | None:
    """The longest key that a weight's name begins with."""
    return max((key for key in rows if name.startswith(key)), key=len, default=None)


def _said(before: Mapping[str, Rows], after: Mapping[str, Rows]) -> str:
    counts: dict[str, str] = {}
    for key, rows in after.items():
        taken = sum(item in before[key].items for item in rows.items)
        fresh = len(rows.items) - taken
        if rows.name:
            counts[rows.name] = f"{taken:,} {rows.name}" + (f" ({fresh:,} new)" if fresh else "")
    return f"copied from the model to start from: {', '.join(counts.values())}, and all other weights"
