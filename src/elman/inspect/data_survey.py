"""`survey`: what is measured on a sample of the user's data rather than on one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elman.inspect.linear_probe import Probe, probe
from elman.inspect.memory_horizon import Horizon, horizon
from elman.inspect.sample import Texts, passes, sample_of
from elman.metrics.classification import ClassificationScore

TEXTS = 200
TOKENS = 5000
FIRST = 20  # texts that show what kind of outputs there are


class Survey(NamedTuple):
    """horizon, probe: see those modules; extras: all of it, as `View.extras` takes it; warnings: sentences."""

    horizon: Horizon
    probe: Probe
    extras: dict[str, Any]
    warnings: list[str]


def survey(model: Any, data: Sequence[Any], *, count: int = TEXTS, tokens: int = TOKENS, seed: int = 1) -> Survey:
    """The memory horizon and the probe of the state on at most `count` texts, drawn by the seed.

    Where every output has a place of its own and its answer is one label, also the confusion matrix and the reliability
    diagram.

    tokens: for the probe, texts are drawn until there are this many
    data: what the readers of the model's task return: Sentences, Examples, Pairs, or the lines of a text.
    Raises UsageError for a model without recurrent layers, and for too few texts."""
    texts, targets = sample_of(model, data, count, seed)
    far = horizon(model, texts, targets, seed=seed)
    remembers = probe(model, data, seed=seed, most_tokens=tokens)
    extras: dict[str, Any] = {"horizon": far.figure_arguments(), "probe": remembers.figure_arguments()}
    if targets is not None:
        first = model.examine(texts[:FIRST], targets[:FIRST])
        written = len(set(first.outputs)) < len(first.outputs)  # sequences, whose symbols are not labels of anything
        if first.annotated and not first.multilabel and not written:
            extras |= _answers(model, texts, targets)
    return Survey(far, remembers, extras, far.warnings(model))


def _answers(model: Any, texts: Texts, targets: Any) -> dict[str, Any]:
    """The most likely answer of each output against its target. (A whole sequence may be decoded differently.)"""
    total = ClassificationScore(model.labels, several=False)
    for _, examined, outcome in passes(model, texts, targets):
        for target, row in zip(examined.targets, outcome.log_probabilities.exp().tolist(), strict=True):
            total.add([target], [examined.labels[int(np.argmax(row))]], row)
    result = total.result()
    bins = [
        (one.lower, one.upper, one.count, one.confidence, one.accuracy)
        for one in result.bins
        if one.confidence is not None and one.accuracy is not None
    ]
    assert result.confusion is not None
    return {
        "confusion": {"labels": list(result.labels), "counts": np.array(result.confusion)},
        "reliability": bins,
    }
