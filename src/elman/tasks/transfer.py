"""Starting a network from another one's weights: rows of what both know are copied, the others start from scratch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.errors import Notice, UsageError, quoted
from elman.layers.features import FormEncoder
from elman.text.vocabulary import Vocabulary


class Rows(NamedTuple):
    """What the rows of a weight stand for: items of a vocabulary, called `name` in messages.

    columns: what its columns stand for, if they too are items of a vocabulary"""

    name: str
    items: Vocabulary
    columns: Vocabulary | None = None


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
        axes = 0 if rows is None else 1 if rows.columns is None else 2
        if weight.shape[axes:] != tensor.shape[axes:]:
            shapes = f"{tuple(weight.shape)} there, {tuple(tensor.shape)} here"
            raise UsageError(f"the model to start from has a different architecture: {name} is {shapes}")
        if key is None or rows is None:
            tensor.copy_(weight)
            continue
        there, here = _shared(before[key].items, rows.items)
        columns = before[key].columns
        if columns is not None and rows.columns is not None:
            across, to = _shared(columns, rows.columns)
            tensor[here.unsqueeze(1), to] = weight[there.unsqueeze(1), across]
        else:
            tensor[here] = weight[there]
    warnings.warn(_said(before, after), Notice, stacklevel=3)


def _shared(old: Vocabulary, new: Vocabulary) -> tuple[Tensor, Tensor]:
    """(n,) the numbers of the items that both have, in the old vocabulary and in the new one."""
    both = [item for item in old.items if item in new]
    there, here = ([vocabulary[item] for item in both] for vocabulary in (old, new))
    return torch.tensor(there, dtype=torch.long), torch.tensor(here, dtype=torch.long)


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
