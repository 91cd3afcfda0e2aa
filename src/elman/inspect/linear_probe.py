"""What the state remembers: a linear probe of it for the word, and the target, k steps back, on held-out texts.

Compared with a control of the same kind trained on shuffled labels (after Hewitt and Liang 2019, Designing and
interpreting probes with control tasks), and the share of the most frequent class.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.errors import UsageError, nearest
from elman.inspect.array import Array
from elman.inspect.sample import Texts, as_texts, layers_of, own_answers
from elman.inspect.subject import Subject
from elman.metrics.significance import bootstrap_interval, ratio
from elman.text.batching import batches_by_tokens

OF = ("word", "target")
TOKENS = 1000  # in a batch
PENALTIES = (0.1, 0.01, 0.001)  # of L2, tried from the strongest to the weakest
STEPS = 1000  # of L-BFGS, at most
TOLERANCE = 1e-3  # of its gradient: finer ones change one answer in a hundred, and take three times as long
HELD_OUT = 0.2  # of the texts; and of the remaining ones, to choose the penalty


@dataclass(frozen=True)
class Probe:
    """Arrays are (of, distance), nan where no position remains.

    accuracy, low, high: on held-out texts, and the 95 % interval over those texts
    control:   of the same regression (penalty too) trained on shuffled labels, on the same texts
    majority:  of answering the most frequent class of the training texts, on the same texts
    train, test: positions
    classes:   how many classes there are; left_out: positions whose word is not one of them, of all
    place:     of the states, such as "layer 1 forward"; backwards, k steps back are k steps later in the text
    train_texts, test_texts: how many; no text is in both
    """

    accuracy: Array
    low: Array
    high: Array
    control: Array
    majority: Array
    train: Array
    test: Array
    classes: Mapping[str, int]
    left_out: Mapping[str, int]
    place: str
    train_texts: int
    test_texts: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.to_json() if isinstance(value, Array) else value for name, value in values.items()}

    def figure_arguments(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """As the figure "probe" takes it."""
        names = self.accuracy.names["of"]
        return {name: (self.accuracy.at(of=name).values, self.control.at(of=name).values) for name in names}


def probe(
    model: Any,
    data: Sequence[Any],
    *,
    place: str | None = None,
    distances: Iterable[int] = range(11),
    of: Sequence[str] = OF,
    classes: int = 50,
    seed: int = 1,
    most_tokens: int = 5000,
) -> Probe:
    """Softmax regression from the output y_t of one cell at every step t to the word read, or the target, at t - k.

    data:      as for `horizon`; texts without their own targets, as for a language model, have no row for them
    place:     whose states; by default the topmost that reads forward
    of:        "word", "target" (the right answer of that step, for a model with an answer for every step)
    classes:   how many of the most frequent words of the training texts; positions with others are left out
    most_tokens: texts are drawn by the seed until there are this many tokens
    Features are standardised on the training texts, and the penalty is chosen on a part of those.
    Raises UsageError for a model without recurrent layers, unknown names, and fewer than 3 texts."""
    layers_of(model)
    distances = list(distances)
    if not distances or min(distances) < 0 or classes < 2:
        raise UsageError(f"expected distances of 0 or more and at least 2 classes, found {distances} and {classes}")
    for name in of:
        if name not in OF:
            raise UsageError(f"unknown target of a probe {name!r}; {nearest(name, OF)}")
    texts, targets = _drawn(model, data, seed, most_tokens)
    where, states = _states(model, texts, targets, place)
    sequences = {"word": texts}
    if targets is not None and _each_step(model, texts, targets):
        sequences["target"] = targets
    names = [name for name in of if name in sequences]
    if not names:
        raise UsageError(f"expected data with a target for every word to probe for {', '.join(of)}, found none")
    held = max(round(len(texts) * HELD_OUT), 1)
    parts = {"test": range(held), "train": range(held, len(texts))}  # they were drawn in random order
    direction = 1 if where.endswith("backward") else -1
    numbers = ("accuracy", "low", "high", "control", "majority", "train", "test")
    scores = {name: np.full((len(names), len(distances)), np.nan) for name in numbers}
    sizes, left_out = {}, {}
    for row, name in enumerate(names):
        counts = Counter(label for i in parts["train"] for label in sequences[name][i])
        ranked = sorted(counts, key=lambda label: (-counts[label], label))[:classes]
        ids = {label: i for i, label in enumerate(ranked)}
        sizes[name] = len(ids)
        left_out[name] = sum(label not in ids for text in sequences[name] for label in text)
        for column, k in enumerate(distances):
            rows = {part: _pairs(states, sequences[name], ids, direction * k, chosen) for part, chosen in parts.items()}
            result = _score(*rows["train"], *rows["test"], len(ids), seed)
            for key, value in result.items():
                scores[key][row, column] = value
    axes = {"of": names, "distance": [str(k) for k in distances]}
    arrays = {name: Array(values, ("of", "distance"), axes) for name, values in scores.items()}
    return Probe(
        **arrays,
        classes=sizes,
        left_out=left_out,
        place=where,
        train_texts=len(parts["train"]),
        test_texts=held,
        seed=seed,
    )


def _drawn(model: Any, data: Sequence[Any], seed: int, most_tokens: int) -> tuple[Texts, Any]:
    """Texts with tokens, in random order, as many as needed."""
    texts, targets = as_texts(model, data)
    order = [i for i, text in enumerate(texts) if text]
    random.Random(seed).shuffle(order)
    needed = list(accumulate((len(texts[i]) for i in order), initial=0))
    order = [i for i, before in zip(order, needed, strict=False) if before < most_tokens]
    if len(order) < 3:
        raise UsageError(f"expected at least 3 texts, to train on, to validate on and to hold out, found {len(order)}")
    return [texts[i] for i in order], None if targets is None else [targets[i] for i in order]


def _states(model: Any, texts: Texts, targets: Any, place: str | None) -> tuple[str, list[Tensor]]:
    """The place's name, and its outputs for each text: (steps, output_size) in float64."""
    given = own_answers(model, texts) if targets is None else targets
    outputs = [torch.zeros(0)] * len(texts)
    for group in batches_by_tokens([len(text) for text in texts], TOKENS):
        subject = Subject.of_texts(model, [texts[i] for i in group], [given[i] for i in group])
        if place is None:
            ahead = [each.name for each in subject.places if not each.reverse]
            place = ahead[-1] if ahead else subject.places[-1].name
        ys = subject.layout.with_data(torch.cat(subject.place(place).record.ys).detach().double())
        for i, states in zip(group, ys.to_list(), strict=True):
            outputs[i] = states
    assert place is not None
    return place, outputs


def _each_step(model: Any, texts: Texts, targets: Any) -> bool:
    """Whether the targets are annotations of every step."""
    first = model.examine(texts[:1], targets[:1])
    return bool(first.annotated and all(step is not None for _, step in first.outputs))


def _pairs(
    states: Sequence[Tensor], labels: Sequence[Sequence[str]], ids: Mapping[str, int], shift: int, chosen: range
) -> tuple[Tensor, Tensor, Tensor]:
    """(n, size) states, (n,) the ids of the labels `shift` steps later, (n,) the text of each."""
    rows, targets, texts = [], [], []
    for i in chosen:
        length = len(labels[i])
        steps = [t for t in range(length) if 0 <= t + shift < length and labels[i][t + shift] in ids]
        rows.append(states[i][steps])
        targets += [ids[labels[i][t + shift]] for t in steps]
        texts += [i] * len(steps)
    return torch.cat(rows), torch.tensor(targets, dtype=torch.long), torch.tensor(texts, dtype=torch.long)


def _score(
    x: Tensor, labels: Tensor, texts: Tensor, test_x: Tensor, test_labels: Tensor, test_texts: Tensor, k: int, seed: int
) -> dict[str, float]:
    """The numbers of one probe. Without positions to train on, to validate on or to test on there are no scores."""
    scores: dict[str, float] = {"train": len(labels), "test": len(test_labels)}
    if not len(test_labels) or len(texts.unique()) < 2:
        return scores
    mean, spread = x.mean(0), x.std(0, unbiased=False)
    scale = torch.where(spread > 1e-12, spread, torch.ones_like(spread))
    x, test_x = (x - mean) / scale, (test_x - mean) / scale
    penalty, weights = _chosen(x, labels, texts, k)
    right = (_scores(test_x, weights).argmax(1) == test_labels).double()
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    weights = softmax_regression(x, shuffled, k, penalty, tolerance=TOLERANCE)
    control = (_scores(test_x, weights).argmax(1) == test_labels).double()
    sums = torch.stack([right, torch.ones_like(right)], 1)
    each = torch.stack([sums[test_texts == text].sum(0) for text in test_texts.unique()])
    interval = bootstrap_interval(each.numpy(), ratio, seed=seed)
    most = torch.bincount(labels, minlength=k).argmax()
    return {
        **scores,
        "accuracy": interval.value,
        "low": interval.low,
        "high": interval.high,
        "control": float(control.mean()),
        "majority": float((test_labels == most).double().mean()),
    }


def _chosen(x: Tensor, labels: Tensor, texts: Tensor, classes: int) -> tuple[float, Tensor]:
    """A penalty and the weights of a regression with it on all states: the penalty that does best on the last texts
    when trained on the others."""
    known = texts.unique()
    held = texts >= known[-max(round(len(known) * HELD_OUT), 1)]
    weights: list[Tensor] = []
    losses: list[float] = []
    for penalty in PENALTIES:
        weights.append(
            softmax_regression(x[~held], labels[~held], classes, penalty, weights[-1] if weights else None, TOLERANCE)
        )
        losses.append(float(torch.nn.functional.cross_entropy(_scores(x[held], weights[-1]), labels[held])))
        if losses[-1] > min(losses):
            break  # weaker ones are no better
    best = int(np.argmin(losses))
    return PENALTIES[best], softmax_regression(x, labels, classes, PENALTIES[best], weights[best], TOLERANCE)


def _scores(x: Tensor, weights: Tensor) -> Tensor:
    return torch.addmm(weights[-1], x, weights[:-1])


def softmax_regression(
    x: Tensor, labels: Tensor, classes: int, penalty: float, start: Tensor | None = None, tolerance: float = 1e-4
) -> Tensor:
    """(size + 1, classes) the weights, with the biases below, that minimize mean cross-entropy + penalty / 2 * sum
    of squared weights; biases are not penalized. x: (n, size); labels: (n,). By L-BFGS, from `start` or zeros, until no
    component of the gradient is larger than the tolerance."""
    first = x.new_zeros(x.shape[1] + 1, classes) if start is None else start.clone()
    weights = first.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=STEPS, tolerance_grad=tolerance, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )
    rows = torch.arange(len(labels))

    def closure() -> Tensor:
        with torch.no_grad():
            logs = _scores(x, weights).log_softmax(1)
            loss = -logs[rows, labels].mean() + penalty / 2 * weights[:-1].square().sum()
            errors = logs.exp()
            errors[rows, labels] -= 1
            errors /= len(labels)
            weights.grad = torch.cat([x.T @ errors + penalty * weights[:-1], errors.sum(0, keepdim=True)])
        return loss

    optimizer.step(closure)
    return weights.detach()
