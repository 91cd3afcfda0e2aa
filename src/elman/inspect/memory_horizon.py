"""The memory horizon: how many steps back, and ahead, a model really uses what it has read.

Perturbation: what is read more than n steps away is removed and the loss is measured again, for every n; see
`perturbation.py`. Gradient: how far away the inputs are that the losses depend on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError, nearest
from elman.inspect.array import Array
from elman.inspect.perturbation import Donors, Output, full_losses, losses_by_context, pieces_to_read
from elman.inspect.sample import Texts, as_texts, layers_of, own_answers, sample_of, training_window
from elman.inspect.subject import LONGEST, Subject
from elman.metrics.significance import Score, bootstrap_interval, ratio

__all__ = ["Horizon", "Side", "horizon", "sample_of"]

Floats = NDArray[np.float64]
Chosen = Callable[[int, int | None], bool]

OUTPUTS = 50  # of a stream that must have n steps before them, for n to be measured
WAYS = ("exchange", "cut")
PAIRS = 200_000  # of an output and a step whose gradients are computed, at most
NOTHING = 1e-5  # nats: a smaller difference is zero up to the rounding of float32
NEGLIGIBLE = 1e-6  # of all gradient; likewise


@dataclass(frozen=True)
class Side:
    """What is on one side of the outputs. A context of n: n steps besides the output's own; for an output of a whole
    text, its last n tokens (on the right: its first n) and no others.

    steps, low, high: the horizon by perturbation: from there on, all longer contexts give what the whole one gives,
                      except for a share of the benefit; and its interval
    gradient_steps, gradient_low, gradient_high: within this many steps is, except for that share, the norm of the
                      gradients w.r.t. inputs, leaving out the output's own step
    loss:             ("context",) mean negative log-likelihood in nats with a context of 0, 1, ..., N
    gradient:         ("context",) the share of gradient norm that is n steps away; 0 is the own step
    full:             the mean with all the context there is
    benefit:          (loss[0] - full, low, high)
    outputs:          how many the means are over
    cuts:             the share of the exchanges in which no other text had the token, so that the rest was cut off
    used:             whether the benefit is surely more than zero; otherwise `steps` is 0
    edge:             whether the interval reaches N, so that the horizon may be longer
    """

    steps: int
    low: int
    high: int
    gradient_steps: int
    gradient_low: int
    gradient_high: int
    loss: Array
    gradient: Array
    full: float
    benefit: tuple[float, float, float]
    outputs: int
    cuts: float
    used: bool
    edge: bool

    @property
    def measured(self) -> int:
        """N, the longest context that was measured."""
        return self.loss.size("context") - 1

    def to_json(self) -> dict[str, Any]:
        arrays = {"loss": self.loss.to_json(), "gradient": self.gradient.to_json()}
        return {**asdict(self), **arrays, "benefit": list(self.benefit), "measured": self.measured}


@dataclass(frozen=True)
class Horizon:
    """`sides`: "left", and "right" for a network that looks ahead. Intervals contain 95 % of `resamples` draws of the
    texts with replacement.

    texts:  how many the outputs are from; gradient_texts, gradient_outputs: those whose gradients were computed
    how:    "exchange" or "cut"
    whole:  whether outputs are made from whole texts: one of each, or the symbols of a sequence that is written
    stream: whether the texts are windows of a stream. Then all outputs counted have N steps before them; otherwise each
            has what its text has, as in normal use, and the same outputs count for every n
    """

    sides: Mapping[str, Side]
    texts: int
    gradient_texts: int
    gradient_outputs: int
    how: str
    whole: bool
    stream: bool
    share: float
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        numbers = {name: value for name, value in vars(self).items() if name != "sides"}
        return {**numbers, "sides": {name: side.to_json() for name, side in self.sides.items()}}

    def figure_arguments(self) -> dict[str, Any]:
        """As the figure "horizon" takes it."""
        return {
            "curves": {
                name: {"loss": side.loss.values, "gradient": side.gradient.values} for name, side in self.sides.items()
            },
            "found": {name: (side.steps, side.low, side.high) for name, side in self.sides.items()},
        }

    def warnings(self, model: Any) -> list[str]:
        """What the user should know, in sentences."""
        sentences = []
        for name, side in self.sides.items():
            where = f"context on the {name}"
            if not side.used:
                value, low, high = side.benefit
                sentences.append(
                    f"{where} does not help this model measurably on the sample: {value:.4f} nats per output, interval "
                    f"{low:.4f} to {high:.4f}."
                )
            elif side.edge:
                sentences.append(
                    f"the memory horizon ({where}) is at least {side.low} steps: contexts of more than {side.measured} "
                    "steps were not measured, or the sample has none."
                )
        if self.stream:
            window, side = training_window(model), self.sides["left"]
            assert window is not None
            if side.used and side.high > window:
                sentences.append(
                    f"the training window of {window} steps (bptt) is shorter than the memory horizon of {side.steps} "
                    f"steps (interval {side.low} to {side.high}): what is further back is used, but no gradient ever "
                    "taught the network to keep it; train with a larger bptt."
                )
        return sentences


def horizon(
    model: Any,
    texts: Sequence[Any],
    targets: Sequence[Sequence[str]] | None = None,
    *,
    share: float = 0.05,
    resamples: int = 1000,
    seed: int = 1,
    most: int = 64,
    how: str | None = None,
    chosen: Chosen | None = None,
) -> Horizon:
    """The memory horizon of a trained model on a sample of texts.

        horizon(tagger, *sample_of(tagger, sentences)).sides["left"].steps

    With d(n) = loss with a context of n - loss with all context, it is the smallest n for which d(m) <= share * d(0)
    for all m >= n. Each side is perturbed separately, with the other unchanged. The loss is the mean over the same
    outputs for every n.

    texts:   Sentences, Examples, lists of tokens (with `targets`), pairs of tokens and targets, or texts as strings;
             without targets the model's own answers are the targets
    most:    the longest context that is measured, at most
    how:     "exchange" or "cut", see `perturbation.py`; by default the first, but for outputs of whole texts, where
             tokens of another text would be evidence for another label, the second
    chosen:  (text, step or None) -> whether this output counts; by default all do
    Raises UsageError for a model without recurrent layers, values out of range, and where no output counts."""
    if not 0 < share < 1 or most < 1:
        raise UsageError(f"expected a share between 0 and 1 and most of at least 1, found {share} and {most}")
    if how is not None and how not in WAYS:
        raise UsageError(f"unknown way {how!r} to remove context; {nearest(how, WAYS)}")
    layers = layers_of(model)
    stream = training_window(model) is not None
    tokens, given = as_texts(model, texts, targets)
    given = own_answers(model, tokens) if given is None else given
    ahead = not layers.causal or model.examine(tokens[:1], given[:1]).delay > 0
    full = full_losses(model, tokens, given)
    outputs = [
        Output(i, j, k, len(tokens[i]), len(tokens[i])) if j is None else Output(i, j, k, j, len(tokens[i]) - 1 - j)
        for i, j, k in sorted(full, key=lambda key: (key[0], key[1] or 0, key[2]))
        if chosen is None or chosen(i, j)
    ]
    if not outputs:
        raise UsageError("expected a sample with at least one output that counts, found none")
    reach = min(most, max(output.left for output in outputs))
    if stream:
        enough = min(OUTPUTS, (len(outputs) + 1) // 2)
        reach = min(most, sorted((output.left for output in outputs), reverse=True)[enough - 1])
        outputs = [output for output in outputs if output.left >= reach]
    how = how or ("cut" if outputs[0].step is None else "exchange")
    mass, gradient_texts, gradient_outputs = _gradients(model, tokens, given, outputs, seed)
    sides = {}
    for name in ("left", "right") if ahead else ("left",):
        if name == "right":
            reach = min(most, max(output.right for output in outputs))
        pieces = pieces_to_read(outputs, [len(text) for text in tokens], name, reach, ahead)
        whole = np.array([full[output.text, output.step, output.number] for output in outputs])
        donors = Donors(tokens, seed) if how == "exchange" else None
        losses, cuts = losses_by_context(model, tokens, given, outputs, pieces, whole, reach, name, donors)
        sides[name] = _side(outputs, losses, cuts, whole, mass[name], share, resamples, seed)
    return Horizon(
        sides=sides,
        texts=len({output.text for output in outputs}),
        gradient_texts=gradient_texts,
        gradient_outputs=gradient_outputs,
        how=how,
        whole=outputs[0].step is None,
        stream=stream,
        share=share,
        resamples=resamples,
        seed=seed,
    )


def _side(
    outputs: Sequence[Output],
    losses: Floats,
    cuts: float,
    whole: Floats,
    mass: Floats,
    share: float,
    resamples: int,
    seed: int,
) -> Side:
    reach = losses.shape[1] - 1
    each = _by_text(
        [output.text for output in outputs], np.column_stack([losses - whole[:, None], np.ones(len(whole))])
    )
    benefit = bootstrap_interval(each[:, [0, -1]], ratio, resamples, seed)
    shortest = bootstrap_interval(each, _shortest(share), resamples, seed)
    used = benefit.low > NOTHING
    slope = bootstrap_interval(mass, _within(share), resamples, seed)
    total = mass.sum(0)
    shares = np.zeros(reach + 1)
    here = min(reach + 1, len(total))
    shares[:here] = total[:here] / (total.sum() or 1.0)
    high = int(np.ceil(shortest.high))
    return Side(
        steps=int(shortest.value) if used else 0,
        low=int(shortest.low) if used else 0,
        high=high,
        gradient_steps=min(int(slope.value), reach),
        gradient_low=min(int(slope.low), reach),
        gradient_high=min(int(np.ceil(slope.high)), reach),
        loss=Array(losses.mean(0), ("context",)),
        gradient=Array(shares, ("context",)),
        full=float(whole.mean()),
        benefit=(benefit.value, benefit.low, benefit.high),
        outputs=len(outputs),
        cuts=cuts,
        used=used,
        edge=used and high >= reach,
    )


def _shortest(share: float) -> Score:
    """(samples, N + 2) sums of d(0) ... d(N) and of outputs -> the smallest n from which on d is small enough."""

    def score(sums: Floats) -> Floats:
        d = sums[:, :-1] / sums[:, -1:]
        enough = np.maximum(share * d[:, :1], NOTHING)
        return np.where(d[:, 0] > NOTHING, _first_after(d > enough), 0.0)

    return score


def _first_after(bad: NDArray[np.bool_]) -> Floats:
    """(samples, N + 1) -> the first index after the last True of each row; N where there is none."""
    size = bad.shape[1]
    behind = size - bad[:, ::-1].argmax(1)
    return np.minimum(np.where(bad.any(1), behind, 0), size - 1).astype(np.float64)


def _by_text(texts: Sequence[int], rows: Floats) -> Floats:
    """The sums of the rows of each text."""
    _, place = np.unique(texts, return_inverse=True)
    sums = np.zeros((place.max() + 1, rows.shape[1]))
    np.add.at(sums, place, rows)
    return sums


# Gradient


def _gradients(
    model: Any, texts: Texts, targets: Any, outputs: Sequence[Output], seed: int
) -> tuple[dict[str, Floats], int, int]:
    """side -> (texts, M + 1), the norms of gradients w.r.t. inputs by distance, summed over the outputs of a text; and
    how many texts and outputs there are: as many as `PAIRS` allows, drawn by the seed, and at least one."""
    counted: dict[int, list[int | None]] = {}
    for output in outputs:
        counted.setdefault(output.text, []).append(output.step)
    order = [text for text in counted if 0 < len(texts[text]) <= LONGEST]
    random.Random(seed).shuffle(order)
    longest = max(len(text) for text in texts)
    by_side: dict[str, list[Floats]] = {"left": [], "right": []}
    pairs = taken = 0
    for text in order:
        length = len(texts[text])
        pairs += length * (len(counted[text]) if None in counted[text] else length)
        if pairs > PAIRS and by_side["left"]:
            break
        subject = Subject.of_texts(model, [texts[text]], [targets[text]])
        assert subject.examined is not None
        norms = subject.at_inputs.norm(dim=2).double().numpy()
        sums = {"left": np.zeros(longest + 1), "right": np.zeros(longest + 1 + subject.examined.delay)}
        steps = np.arange(subject.rows)
        for (_, row, _), norm in zip(subject.examined.places, norms, strict=True):
            if row not in counted[text]:
                continue
            taken += 1
            if row is None:  # n tokens from an end
                np.add.at(sums["left"], length - steps, norm)
                np.add.at(sums["right"], steps + 1, norm)
            else:
                np.add.at(sums["left"], row - steps[: row + 1], norm[: row + 1])
                np.add.at(sums["right"], steps[row:] - row, norm[row:])
        for side, values in sums.items():
            by_side[side].append(values)
    if not taken:
        raise UsageError(f"expected a text of 1 to {LONGEST} tokens to compute gradients for, found none")
    return {side: np.stack(rows) for side, rows in by_side.items()}, len(by_side["left"]), taken


def _within(share: float) -> Score:
    """(samples, M + 1) norms by distance -> within which distance all but a share of those from 1 on are."""

    def score(sums: Floats) -> Floats:
        others = sums.copy()
        others[:, 0] = 0
        total = others.sum(1)
        # The tolerance is only for the order of additions.
        short = others.cumsum(1) < (1 - share) * total[:, None] * (1 - 1e-12)
        some = total > NEGLIGIBLE * sums.sum(1)
        return np.where(some, short.sum(1), 0).astype(np.float64)

    return score
