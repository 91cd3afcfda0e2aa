"""Context removed: the loss of outputs that have only n steps of the context they had, for every n.

Khandelwal, He, Qi and Jurafsky 2018, Sharp nearby, fuzzy far away: how neural language models use context. They cut the
text there. A network that was trained on whole sentences has never seen one that begins in the middle, and fails for a
reason other than memory; so here the rest may be exchanged for what is in its place in another text of the sample, one
that has the same token where the two are joined. One token does not always determine what may be next to it: where the
joined text contradicts itself, the horizon found is a step longer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.inspect.sample import Texts, passes

Floats = NDArray[np.float64]

DONORS = 4  # texts that the rest is exchanged with, one after the other
LONG = 64  # tokens of one of them, at most


class Output(NamedTuple):
    """One output: its text, its step or None, its number among those of that place, and how many steps are before and
    after it."""

    text: int
    step: int | None
    number: int
    left: int
    right: int


def full_losses(model: Any, texts: Texts, targets: Any) -> dict[tuple[int, int | None, int], float]:
    """(text, step, number) of every output -> its negative log-likelihood, with all context."""
    losses = {}
    for group, examined, outcome in passes(model, texts, targets):
        for (text, step, number), value in zip(examined.places, outcome.shown.tolist(), strict=True):
            losses[group[text], step, number] = value
    return losses


def pieces_to_read(
    outputs: Sequence[Output], lengths: Sequence[int], side: str, reach: int, ahead: bool
) -> dict[tuple[int, int, int], list[tuple[int, int]]]:
    """(text, start, stop) of every piece to be read -> the (output, n) that it serves.

    A piece serves all outputs whose context is cut at the same place. Contexts that include the whole text are not
    cut."""
    pieces: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    if side == "right":
        for k, (text, step, _, _, there) in enumerate(outputs):
            for n in range(min(reach + 1, there)):
                pieces.setdefault((text, 0, n if step is None else step + 1 + n), []).append((k, n))
        return pieces
    served: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for k, (text, step, _, there, _) in enumerate(outputs):
        end = lengths[text] if step is None else step
        for n in range(min(reach + 1, there)):
            served.setdefault((text, end - n), []).append((k, n))
    for (text, start), each in served.items():
        last = max(outputs[k].step or 0 for k, _ in each)
        whole = ahead or outputs[each[0][0]].step is None  # what comes later counts too
        pieces[text, start, lengths[text] if whole else last + 1] = each
    return pieces


class Donors:
    """Where every token occurs in a sample of texts."""

    def __init__(self, texts: Texts, seed: int) -> None:
        self.random = random.Random(seed)
        self.places: dict[str, list[tuple[int, int]]] = {}
        for i, text in enumerate(texts):
            for step, token in enumerate(text):
                self.places.setdefault(token, []).append((i, step))

    def draw(self, text: int, token: str) -> tuple[int, int] | None:
        """(text, step) of this token in a different text, at random; None if there is none."""
        places = self.places[token]
        for _ in range(8):  # in most cases that is enough
            place = self.random.choice(places)
            if place[0] != text:
                return place
        others = [place for place in places if place[0] != text]
        return self.random.choice(others) if others else None


def losses_by_context(
    model: Any,
    texts: Texts,
    targets: Any,
    outputs: Sequence[Output],
    pieces: Mapping[tuple[int, int, int], list[tuple[int, int]]],
    whole: Floats,
    reach: int,
    side: str,
    donors: Donors | None,
) -> tuple[Floats, float]:
    """(outputs, N + 1) the negative log-likelihood of each with a context of n, the mean over the donors; and the share
    of the exchanges that were cuts."""
    each_step = outputs[0].step is not None
    read, wanted, served = [], [], []  # served: the key of each, and by how much its steps are shifted
    cuts = 0
    for text, start, stop in pieces:
        for _ in range(1 if donors is None else DONORS):
            place = None
            if donors is not None and stop > start:
                place = donors.draw(text, texts[text][start if side == "left" else stop - 1])
            cuts += place is None
            other, at = (text, 0) if place is None else place
            before = slice(max(at - LONG, 0), at if side == "left" else 0)
            behind = slice(at + 1, 0 if place is None or side == "left" else at + 1 + LONG)
            parts = ((other, before), (text, slice(start, stop)), (other, behind))
            read.append([token for i, part in parts for token in texts[i][part]])
            wanted.append([x for i, part in parts for x in targets[i][part]] if each_step else targets[text])
            served.append(((text, start, stop), len(texts[other][before]) - start))
    losses = np.repeat(whole[:, None], reach + 1, 1)
    for k, n in (place for each in pieces.values() for place in each):
        losses[k, n] = 0
    for group, examined, outcome in passes(model, read, wanted):
        values = dict(zip(examined.places, outcome.shown.tolist(), strict=True))
        for b, piece in enumerate(group):
            key, moved = served[piece]
            for k, n in pieces[key]:
                step = outputs[k].step
                value = values[b, None if step is None else step + moved, outputs[k].number]
                losses[k, n] += value if donors is None else value / DONORS
    return losses, cuts / len(read) if donors is not None and read else 0.0
