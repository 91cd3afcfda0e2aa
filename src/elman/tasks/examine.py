"""Texts as a network of a task sees them, laid out for those who look inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from elman.recurrent import Packed


class Lookup(NamedTuple):
    """A table whose rows are a part of what the recurrent layers read: columns `start` to `stop` of row r of their
    input are row ids[r] of the parameter of this name. ids: (rows,) in packed order."""

    parameter: str
    ids: Tensor
    start: int
    stop: int


class Spelled(NamedTuple):
    """A recurrent reader of characters, whose vectors are columns `start` to `stop` of what the recurrent layers read.

    parameter: the name of its table of characters; ids: the characters of the distinct words, one sequence a word;
    word: (rows,) which of these sequences each row's word is, in their packed order"""

    parameter: str
    ids: Packed
    word: Tensor
    start: int
    stop: int


class Outcome(NamedTuple):
    """What a pass of the network gave, J outputs in all.

    losses: (J,) with gradients. With `rest`, their sum has the gradient of the loss that training uses
    rest:   a scalar: what of the loss reaches its parameters without passing through an output; or None
    log_probabilities: (J, labels) of every answer
    shown:  (J,) the negative log-likelihood of each target
    """

    losses: Tensor
    rest: Tensor | None
    log_probabilities: Tensor
    shown: Tensor


@dataclass(frozen=True)
class Examined:
    """Some texts, ready to be run.

    layout:  the texts as packed rows; `order` says which text each sequence is
    tokens:  the steps of each text, as read
    outputs: (text, step) of each output; a step of None is an output for the whole text
    targets: what each output is scored against
    labels:  every answer, in the order of the probabilities
    lookups: see `Lookup`
    spelled: see `Spelled`, where words are read by their characters
    run:     a pass in plain torch, with gradients; the recurrent layers are `network.layers`, called once
    """

    layout: Packed
    tokens: list[list[str]]
    outputs: list[tuple[int, int | None]]
    targets: list[str]
    labels: Sequence[str]
    lookups: tuple[Lookup, ...]
    run: Callable[[], Outcome]
    spelled: Spelled | None = None


def outputs_of_steps(layout: Packed) -> list[tuple[int, int | None]]:
    """(text, step) of every row, in packed order."""
    texts = layout.order[layout.sequence_of_row.cpu()].tolist()
    return list(zip(texts, layout.position_of_row.tolist(), strict=True))


def by_rows(layout: Packed, texts: Sequence[Sequence[str]]) -> list[str]:
    """One string a step of each text -> one a row, in packed order."""
    return [texts[text][step] for text, step in outputs_of_steps(layout) if step is not None]
