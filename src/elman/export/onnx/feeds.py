"""What a graph is fed for a batch of tokens, from the plan; docs/export-onnx.md has the same from a file's metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.layers.features import KINDS
from elman.layers.plan import Input, Table
from elman.tasks.plan import Plan, Rewriting, Wide
from elman.tasks.seq2seq.answers import is_feature

Feeds = dict[str, NDArray[Any]]


class Feeder:
    """Numbers the tokens of texts."""

    def __init__(self, inputs: Sequence[Input], wide: Wide | None = None) -> None:
        self._inputs, self._wide = inputs, wide
        self._ids = [{item: i for i, item in enumerate(one.items)} for one in inputs]
        self._grams = {} if wide is None else {item: i for i, item in enumerate(wide.items)}

    @classmethod
    def of(cls, plan: Plan) -> Feeder:
        return cls(plan.inputs, plan.wide)

    def __call__(self, texts: Sequence[Sequence[str]]) -> Feeds:
        """The inputs of the graph for a batch."""
        feeds: Feeds = {}
        if self._inputs:
            feeds["lengths"] = np.array([len(text) for text in texts])
        for one, place in zip(self._inputs, self._ids, strict=True):
            if isinstance(one, Table):
                number = _numbering(one.of, place)
                feeds[one.of] = padded([[number(token) for token in text] for text in texts])
                continue
            words = {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
            half = one.longest // 2
            cut = [word if len(word) <= one.longest else word[:half] + word[-half:] for word in words] or [""]
            feeds["spelling"] = padded([[words[word] for word in text] for text in texts])
            feeds["characters"] = padded([[place.get(c, 0) for c in word] for word in cut])
            feeds["character_lengths"] = np.array([len(word) for word in cut])
        if self._wide is not None:
            feeds["ngrams"] = padded([self._known(text) for text in texts], -1)
        return feeds

    def _known(self, text: Sequence[str]) -> list[int]:
        assert self._wide is not None
        row = ["<s>", *(token.lower() for token in text), "</s>"] if self._wide.edges else text
        lengths = range(1, self._wide.order + 1)
        grams = dict.fromkeys(" ".join(row[i : i + n]) for n in lengths for i in range(len(row) - n + 1))
        return [self._grams[gram] for gram in grams if gram in self._grams]


class SourceFeeder:
    """Numbers the symbols of sources: features, the text, the end."""

    def __init__(self, plan: Rewriting) -> None:
        self.plan = plan
        self._source = {item: i for i, item in enumerate(plan.source_symbols)}
        self._target = {item: i for i, item in enumerate(plan.target_symbols)}

    def __call__(self, sources: Sequence[Sequence[str]]) -> tuple[Feeds, list[str]]:
        """What the graphs are fed for a batch of sources without their ends, and the symbols by their ids in it: those
        of the targets, and where the network copies, others of the sources."""
        known = dict(self._target)
        ended = [[*symbols, self.plan.source_symbols[1]] for symbols in sources]
        if self.plan.attention.gate is not None:
            for symbol in (symbol for symbols in ended for symbol in symbols):
                if not is_feature(symbol):
                    known.setdefault(symbol, len(known))
        feeds: Feeds = {
            "lengths": np.array([len(symbols) for symbols in ended]),
            "source": padded([[self._source.get(symbol, 0) for symbol in symbols] for symbols in ended]),
            "features": padded([[is_feature(symbol) for symbol in symbols] for symbols in ended]) > 0,
            "copied": padded([[0 if is_feature(s) else known.get(s, 0) for s in symbols] for symbols in ended]),
        }
        feeds["position"] = np.zeros(feeds["source"].shape, np.float32)
        return feeds, list(known)


def padded(rows: Sequence[Sequence[int]], filler: int = 0) -> NDArray[np.int64]:
    """(rows, longest), of at least one column."""
    table = np.full((len(rows), max([1, *map(len, rows)])), filler, np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def _numbering(of: str, place: dict[str, int]) -> Callable[[str], int]:
    if of == "given":
        return lambda token: place.get(token, 0) or place.get(token.lower(), 0)
    form = KINDS.get(of)
    return (
        (lambda token: place.get(token, 0)) if form is None else lambda token: place.get(form(token, token.lower()), 0)
    )
