"""Texts as a task's network sees them, laid out for inspection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from elman.errors import UsageError
from elman.layers.features import FormEncoder
from elman.recurrent import Packed


class Lookup(NamedTuple):
    """A table whose rows are part of the recurrent layers' input: columns `start` to `stop` of row r of their
    input are row ids[r] of the parameter of this name. ids: (rows,) in packed order."""

    parameter: str
    ids: Tensor
    start: int
    stop: int


def form_lookups(forms: FormEncoder, ids: Tensor, start: int) -> list[Lookup]:
    """Those of `network.forms`, whose vectors begin in column `start`. ids: (rows, kinds) in packed order."""
    stops = [start + k * forms.size for k in range(1, ids.shape[1] + 1)]
    return [
        Lookup(f"forms.tables.{kind}.embedding.weight", ids[:, k], stops[k] - forms.size, stops[k])
        for k, kind in enumerate(forms.vocabularies)
    ]


class Spelled(NamedTuple):
    """A recurrent character encoder, whose vectors are columns `start` to `stop` of the recurrent layers' input.

    parameter: the name of its character table; ids: the characters of the distinct words, one sequence per word;
    word: (rows,) which of these sequences each row's word is, in their packed order"""

    parameter: str
    ids: Packed
    word: Tensor
    start: int
    stop: int


class Outcome(NamedTuple):
    """The result of a forward pass of the network, J outputs in all.

    losses: (J,) with gradients. With `rest`, their sum has the gradient of the training loss
    rest:   a scalar: the part of the loss that reaches its parameters without passing through an output; or None
    log_probabilities: (J, labels) of every answer, with gradients
    shown:  (J,) the negative log-likelihood of each target
    read:   (J, size) with gradients, what a decoder read to make each output: the vector of the one before it in the
            same text, or of the end; None for a network without a decoder
    """

    losses: Tensor
    rest: Tensor | None
    log_probabilities: Tensor
    shown: Tensor
    read: Tensor | None = None


@dataclass(frozen=True)
class Examined:
    """Some texts, ready to be run.

    layout:  the texts as packed rows; `order` says which text each sequence is
    tokens:  the steps of each text, as read
    outputs: (text, step) of each output; a step of None is an output for the whole text, and several of a text are a
             sequence that is written, in its order
    answers: the ids, among `labels`, of what each output is scored against: one, or any number with `multilabel`
    targets: the same as text
    labels:  every answer, in the order of the probabilities
    lookups: see `Lookup`
    spelled: see `Spelled`, if words are read by their characters
    run:     a forward pass in plain torch, with gradients; the recurrent layers are `network.layers`, called once
    multilabel: each label is a yes/no decision with its own probability
    annotated:  targets are annotations of the text, not what comes next in it
    delay:      how many steps after its token an annotation comes; the tokens then end with that many that are not of
                the text, and `examine` takes such tokens as it takes the text
    extras:  arguments of the figures that only this model has, by figure name
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
    delay: int = 0
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> list[tuple[int, int | None, int]]:
        """(text, step, number) of each output, as `numbered`; with a delay the step is that of its token."""
        return numbered([(text, None if step is None else step - self.delay) for text, step in self.outputs])


def require_one_per_token(texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> None:
    """Raise UsageError unless every token of every text has a target."""
    for text, wanted in zip(texts, targets, strict=True):
        if len(wanted) != len(text):
            raise UsageError(f"expected {len(text)} targets, one per token, found {len(wanted)}")


def numbered(outputs: Sequence[tuple[int, int | None]]) -> list[tuple[int, int | None, int]]:
    """(text, step, number) of each output: its number, from 0, among those of the same text and step."""
    seen: Counter[tuple[int, int | None]] = Counter()
    places = []
    for text, step in outputs:
        places.append((text, step, seen[text, step]))
        seen[text, step] += 1
    return places


def outputs_of_steps(layout: Packed, delay: int = 0) -> list[tuple[int, int | None]]:
    """(text, step) of every row, in packed order. delay: how many steps later the output of each comes."""
    texts = layout.order[layout.sequence_of_row.cpu()].tolist()
    return list(zip(texts, (layout.position_of_row + delay).tolist(), strict=True))


def by_rows(layout: Packed, texts: Sequence[Sequence[str]]) -> list[str]:
    """One string per step of each text -> one per row, in packed order."""
    return [texts[text][step] for text, step in outputs_of_steps(layout) if step is not None]
