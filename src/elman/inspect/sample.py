"""A sample of the user's data as the models of every task read it, and passes over many texts without gradients."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from elman.errors import UsageError
from elman.recurrent import Layer
from elman.tasks.examine import Examined, Outcome
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.text.example import Example
from elman.text.pair import Pair

Texts = list[list[str]]

TOKENS = 4000  # in a batch
NUMBERS = 20_000_000  # probabilities that are held at once: 80 MB in float32
WINDOW = 128  # tokens of a stream that make up one text, at most


def as_texts(model: Any, data: Sequence[Any], targets: Sequence[Sequence[str]] | None = None) -> tuple[Texts, Any]:
    """(tokens of each text, its targets; or None where they are unknown).

    data: Sentences, Examples, Pairs, lists of tokens, pairs of tokens and targets, or texts as strings; what is not
    split yet the model tokenizes as usual. Raises UsageError where only some have targets, or not one is given for
    each text."""
    texts: Texts = []
    answers: list[list[str] | None] = []
    for item in data:
        own: Sequence[str] | None = None
        if isinstance(item, Sentence):
            tokens, own = item.words, item.tags
        elif isinstance(item, Example):
            tokens, own = model.read_text(item.text)[0], item.labels
        elif isinstance(item, Pair):
            tokens, own = model.read_pair(item)
        elif isinstance(item, str):
            tokens, own = model.read_text(item)
        elif len(item) == 2 and not isinstance(item[0], str):
            tokens, own = item
        else:
            tokens = item
        texts.append(list(tokens))
        answers.append(None if own is None else list(own))
    if targets is not None:
        if len(targets) != len(texts):
            raise UsageError(f"expected targets for each of {len(texts)} texts, found {len(targets)}")
        return texts, [list(each) for each in targets]
    missing = sum(each is None for each in answers)
    if 0 < missing < len(answers):
        raise UsageError(f"expected targets for all texts or for none, found {missing} of {len(answers)} without")
    return texts, None if missing or not answers else answers


def sample_of(model: Any, data: Sequence[Any], count: int = 200, seed: int = 1) -> tuple[Texts, Any]:
    """(texts, targets) of at most `count` texts, drawn by the seed, in the order of the data.

    data: what the readers of the model's task return: Sentences, Examples, Pairs, or the lines of a text. For a model
    that reads lines as one stream, texts are windows of that stream that do not overlap, twice as long as those in
    training, but at most 128 tokens."""
    source = random.Random(seed)
    window = training_window(model)
    if window is not None and all(isinstance(line, str) for line in data):
        read, following = model.read_text("\n".join(data))
        size = min(2 * window, WINDOW, len(read))
        offset = source.randrange(len(read) % size + 1)
        starts = range(offset, len(read) - size + 1, size)
        picks = [starts[i] for i in sorted(source.sample(range(len(starts)), min(count, len(starts))))]
        return [read[a : a + size] for a in picks], [following[a : a + size] for a in picks]
    places = sorted(source.sample(range(len(data)), min(count, len(data))))
    return as_texts(model, [data[i] for i in places])


def layers_of(model: Any) -> Layer:
    """The recurrent layers. Raises UsageError for a model that has none."""
    layers = getattr(model.network, "layers", None) if hasattr(model, "examine") else None
    if not isinstance(layers, Layer):
        raise UsageError(f"a model of the kind {model.task} {model.kind} has no recurrent layers to inspect")
    return layers


def training_window(model: Any) -> int | None:
    """Steps of a window in training, where texts are cut out of one stream; otherwise None."""
    window: int | None = getattr(model, "training_window", None)
    return window


def passes(model: Any, texts: Texts, targets: Any) -> Iterator[tuple[list[int], Examined, Outcome]]:
    """(places, examined, outcome) of one batch after another: `places` are its texts. Nothing is recorded."""
    for group, examined in _examined(model, texts, targets):
        with torch.no_grad():
            outcome = examined.run()
        yield group, examined, outcome


def own_answers(model: Any, texts: Texts) -> list[list[str]]:
    """The answers that the model takes as targets where none are given; see the `examine` of each task."""
    answers: list[list[str]] = [[] for _ in texts]
    for group, examined in _examined(model, texts, None):
        for (text, _), ids in zip(examined.outputs, examined.answers, strict=True):  # in the order of a text's steps
            answers[group[text]] += [examined.labels[i] for i in ids]
    return answers


def _examined(model: Any, texts: Texts, targets: Any) -> Iterator[tuple[list[int], Examined]]:
    budget = max(min(TOKENS, NUMBERS // len(model.labels)), 1)
    for group in batches_by_tokens([len(text) for text in texts], budget):
        given = None if targets is None else [targets[i] for i in group]
        yield group, model.examine([texts[i] for i in group], given)
