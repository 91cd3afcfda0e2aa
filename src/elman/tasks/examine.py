"""Texts as a network of a task sees them, laid out for those who look inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from elman.errors import UsageError
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
    log_probabilities: (J, labels) of every answer, with gradients
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
    answers: the ids, among `labels`, of what each output is scored against: one, or any number with `multilabel`
    targets: the same in words
    labels:  every answer, in the order of the probabilities
    lookups: see `Lookup`
    spelled: see `Spelled`, where words are read by their characters
    run:     a pass in plain torch, with gradients; the recurrent layers are `network.layers`, called once
    multilabel: each label is answered yes or no, and has a probability of its own
    annotated:  targets are what somebody said of the text, not what comes next in it
    extras:  arguments of the figures that only this model has, by the figure's name
    """

    layout: Packed
    tokens: list[list[str]]
    outputs: list[tuple[int, int | None]]
    answers: Sequence[Sequence[int]]
    targets: list[str]
    labels: Sequence[str]
    lookups: tuple[Lookup, ...]
    run: Callable[[], Outcome]
    spelled: Spelled | None = None
    multilabel: bool = False
    annotated: bool = True
    extras: Mapping[str, Any] = field(default_factory=dict)


def require_one_a_token(texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> None:
    """Raise UsageError unless every token of every text has a target."""
    for text, wanted in zip(texts, targets, strict=True):
        if len(wanted) != len(text):
            raise UsageError(f"expected {len(text)} targets, one a token, found {len(wanted)}")


def outputs_of_steps(layout: Packed) -> list[tuple[int, int | None]]:
    """(text, step) of every row, in packed order."""
    texts = layout.order[layout.sequence_of_row.cpu()].tolist()
    return list(zip(texts, layout.position_of_row.tolist(), strict=True))


def by_rows(layout: Packed, texts: Sequence[Sequence[str]]) -> list[str]:
    """One string a step of each text -> one a row, in packed order."""
    return [texts[text][step] for text, step in outputs_of_steps(layout) if step is not None]
