"""What drove an output: gradient x input, and leaving a token out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.errors import UsageError, nearest
from elman.inspect.array import Array
from elman.inspect.backward import names_of_read
from elman.inspect.sample import own_answers, passes
from elman.inspect.subject import Subject, backward
from elman.tasks.examine import Examined

OF = ("prediction", "target")
NEVER = -60.0  # a log-probability below it stands for 0: of a symbol that can only be copied, and is not there


def attribution(subject: Subject, of: str = "prediction") -> Array:
    """(output, step): the sum over the D numbers of x_i of x_i * d log p / d x_i, with x_i (rows, D) what the recurrent
    layers read and p the probability of the most likely answer, or of the target.

    To first order, by how much log p would fall if x_i were zero. Simonyan, Vedaldi and Zisserman 2013; Shrikumar,
    Greenside, Shcherbina and Kundaje 2016. Raises UsageError for an unknown `of`, a subject without probabilities."""
    _check(of)
    if subject.examined is None:
        raise UsageError("expected a subject of a model, found one of a layer and a loss: there are no probabilities")
    logs = subject.outcome.log_probabilities
    chosen = _answers(subject.examined, logs.detach(), of)
    numbers = _of(logs, chosen)
    # Where an output's loss is this number except for the sign, its gradient is already known.
    other = subject.outcome.losses.detach() != -numbers.detach()
    gradients = -subject.at_inputs
    if bool(other.any()):
        gradients[other] = subject.input_gradients(numbers[other])
    values = (gradients * subject.inputs.detach()).sum(2)
    return _array(values.double().numpy(), subject.targets, subject.tokens)


def read_attribution(subject: Subject, of: str = "prediction") -> Array | None:
    """(output, read): the same for what a decoder read, the symbols written before: y_i * d log p / d y_i, summed.

    For one text; None for a network without a decoder."""
    _check(of)
    read = subject.outcome.read
    if read is None or subject.examined is None:
        return None
    logs = subject.outcome.log_probabilities
    numbers = _of(logs, _answers(subject.examined, logs.detach(), of))
    gradients = torch.stack([backward([number], [read], [None])[0] for number in numbers])
    values = (gradients * read.detach()).sum(2)
    return Array(values.double().numpy(), ("output", "read"), names_of_read(subject))


def leave_out(model: Any, tokens: Sequence[str], targets: Sequence[str] | None = None, of: str = "prediction") -> Array:
    """(output, step): log p of the most likely answer to a text (or of the target), minus that without the token.

    The outputs after it are then one step earlier. nan where the output's own token would be gone, where the model puts
    the token back, as it does with an end, and where nothing but the token could give the answer. An answer is always
    that for the whole text. Li, Monroe and Jurafsky 2016, Understanding neural networks through representation
    erasure. Raises UsageError for an unknown `of` and a text without tokens."""
    _check(of)
    text = list(tokens)
    if not text:
        raise UsageError("expected a text of at least one token, found none")
    given = own_answers(model, [text])[0] if targets is None else list(targets)
    ((_, examined, outcome),) = passes(model, [text], [given])
    chosen = _answers(examined, outcome.log_probabilities, of)
    whole = _of(outcome.log_probabilities, chosen).double().numpy()
    places = [(step, number) for _, step, number in examined.places]
    drops = np.full((len(places), len(text)), np.nan)
    each_step = places[0][0] is not None
    shorter = [text[:i] + text[i + 1 :] for i in range(len(text))]
    answers = [given[:i] + given[i + 1 :] if each_step else given for i in range(len(text))]
    for group, part, result in passes(model, shorter, answers):
        rows = {(group[b], step, number): row for row, (b, step, number) in enumerate(part.places)}
        gone = [i for b, i in enumerate(group) if len(part.tokens[b]) < len(examined.tokens[0])]
        pairs = [(j, i, step, number) for j, (step, number) in enumerate(places) for i in gone if step != i]
        if pairs:
            outputs, left_out, _, _ = zip(*pairs, strict=True)
            picked = [rows[i, step if step is None or step < i else step - 1, k] for _, i, step, k in pairs]
            logs = _columns(result.log_probabilities, part.labels, examined.labels)[picked]
            values = _of(logs, chosen[list(outputs)]).double().numpy()
            values[values < NEVER] = np.nan
            drops[outputs, left_out] = whole[list(outputs)] - values
    return _array(drops, examined.targets, text)


def _columns(logs: Tensor, labels: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """(J, labels) as (J, wanted): symbols that can only be copied are labels of some texts alone; nan without one."""
    if list(labels) == list(wanted):
        return logs
    place = {label: i for i, label in enumerate(labels)}
    known = torch.tensor([label in place for label in wanted])
    columns = logs[:, [place.get(label, 0) for label in wanted]]
    return torch.where(known, columns, torch.nan)


def _check(of: str) -> None:
    if of not in OF:
        raise UsageError(f"unknown answer {of!r}; {nearest(of, OF)}")


def _array(values: NDArray[np.float64], outputs: Sequence[str], steps: Sequence[str]) -> Array:
    return Array(values, ("output", "step"), {"output": list(outputs), "step": list(steps)})


def _answers(examined: Examined, logs: Tensor, of: str) -> Tensor:
    """(J, labels) which labels make up the requested answer: 1 for those that apply, -1 for those that do not, else 0.

    With several labels per text, the most likely answer is one label; the target says yes or no to each."""
    signs = torch.zeros_like(logs)
    if of == "prediction":
        return signs.scatter_(1, logs.argmax(1, keepdim=True), 1.0)
    if examined.multilabel:
        signs -= 1
    for row, ids in zip(signs, examined.answers, strict=True):
        row[list(ids)] = 1
    return signs


def _of(logs: Tensor, chosen: Tensor) -> Tensor:
    """(J,) the log-probability of the answers that `_answers` chose."""
    yes = torch.where(chosen == 1, logs, 0).sum(1)
    if not bool((chosen == -1).any()):
        return yes
    # log(1 - p); the inner `where` keeps everything else out of the gradient
    no = torch.log(-torch.expm1(torch.where(chosen == -1, logs, -1.0).clamp(max=-1e-7)))
    return yes + torch.where(chosen == -1, no, 0).sum(1)
