"""Made-up Views: numbers from a seed, shaped as the lenses shape them. For the tests of figures and of the report.

ordinary()    12 tokens, two layers, both directions, LSTM; a tagger
long()        60 tokens, three layers, both directions
hostile()     tokens, tags and a title that try to break out of the page
classifier()  one output, made of the whole text; both directions
causal()      a language model: one layer, forward, GRU; outputs at every step
single()      one token
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.inspect.view import OutputView, PlaceView, View

WORDS = ["the", "old", "man", "the", "boats", "that", "the", "tall", "girl", "near", "Zürich", "sees"]
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"quoted' & <b>bold</b>",
    "--><!--",
    "日本語の長い単語です",
    "Ελληνικά",
    "مرحبا",
    "🙂",
    "nul\x00bell\x07",
    "lone\ud800surrogate",
    "\n",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
)
CELLS = {  # class -> (docstring, source of step, assigned, gates, fields)
    "LSTM": (
        "Long short-term memory with a forget gate.\n\nc_t = f * c_{t-1} + i * z,  h_t = o * tanh(c_t); i, f, o are "
        "sigmoid gates and z the tanh candidate of x_t, h_{t-1}.\nHochreiter and Schmidhuber 1997.",
        (
            "def step(self, s: Any, x: Any, r: Any) -> Any:",
            '    i = gate("i", sigmoid(x.i + r.i))',
            '    f = gate("f", sigmoid(x.f + r.f))',
            '    o = gate("o", sigmoid(x.o + r.o))',
            "    c = f * s.c + i * tanh(x.z + r.z)",
            "    return self.State(h=o * tanh(c), c=c)",
        ),
        {1: ("i",), 2: ("f",), 3: ("o",), 4: ("c",), 5: ("h",)},
        ("i", "f", "o"),
        ("h", "c"),
    ),
    "GRU": (
        "Gated recurrent unit.\n\nh_t = (1 - z) * n + z * h_{t-1},  n = tanh(x_n + r * r_n). Cho et al. 2014.",
        (
            "def step(self, s: Any, x: Any, r: Any) -> Any:",
            '    reset = gate("r", sigmoid(x.r + r.r))',
            '    z = gate("z", sigmoid(x.z + r.z))',
            "    n = tanh(x.n + reset * r.n)",
            "    return self.State(h=(1 - z) * n + z * s.h)",
        ),
        {1: ("reset",), 2: ("z",), 3: ("n",), 4: ("h",)},
        ("r", "z"),
        ("h",),
    ),
    "Elman": (
        "Simple recurrent network: h_t = tanh(x_t W + h_{t-1} U + b).\n\nElman 1990, Finding structure in time.",
        ("def step(self, s: Any, x: Any, r: Any) -> Any:", "    return self.State(h=tanh(x.z + r.z))"),
        {1: ("h",)},
        (),
        ("h",),
    ),
}


def ordinary() -> View:
    return view(WORDS, layers=2, both=True)


def long() -> View:
    tokens = [WORDS[i % len(WORDS)] for i in range(60)]
    return view(tokens, layers=3, both=True, seed=3)


def hostile() -> View:
    return view(
        HOSTILE, layers=1, both=True, title="<script>alert(3)</script> & 'model\"", tags=("<b>", "</svg>", "VB")
    )


def classifier() -> View:
    return view(WORDS, task="classify", layers=1, both=True, tags=("good", "bad", "neither"))


def causal() -> View:
    return view(WORDS, task="lm", cell="GRU", layers=1, both=False, given=True)


def single() -> View:
    return view(["Stop"], cell="Elman", layers=1, both=True)


VIEWS = {f.__name__: f for f in (ordinary, long, hostile, classifier, causal, single)}


def view(
    tokens: list[str] | tuple[str, ...],
    *,
    task: str = "tag",
    cell: str = "LSTM",
    layers: int = 1,
    both: bool = True,
    units: int = 8,
    title: str = "runs/tagger",
    tags: tuple[str, ...] = ("DET", "NOUN", "VERB", "ADJ"),
    given: bool = True,
    seed: int = 0,
    extras: dict[str, Any] | None = None,
) -> View:
    """A View of T tokens; one output a token, or one in all where the task is "classify"."""
    random = np.random.default_rng(seed)
    steps = [None] if task == "classify" else list(range(len(tokens)))
    if task == "lm":
        tags = tuple(dict.fromkeys([*tokens, "."]))
    T, J = len(tokens), len(steps)
    ends = np.array([T - 1 if step is None else step for step in steps])
    away = np.abs(ends[:, None] - np.arange(T))  # (J, T)
    outputs = tuple(_output(random, step, tags, tokens if task == "lm" else None) for step in steps)
    places = tuple(
        _place(random, cell, layer, reverse, layers, both, units, away, ends)
        for layer in range(1, layers + 1)
        for reverse in ((False, True) if both else (False,))
    )
    contributions = {}
    for place in places:
        for name in ("W", "U", "b"):
            contributions[f"{name}, {place.name}"] = place.gradient * random.uniform(0.2, 1.0, (J, T))
    lost = {name: _lost(values, away) for name, values in contributions.items()}
    return View(
        title=title,
        task=task,
        about={"cell": cell, "layers": str(layers), "hidden": str(units), "directions": "both" if both else "forward"},
        tokens=tuple(tokens),
        outputs=outputs,
        given=given,
        places=places,
        contributions=contributions,
        at_output={"V": random.uniform(0.1, 1.0, J), "bias": random.uniform(0.1, 0.5, J)},
        lost=lost,
        attribution=random.normal(size=(J, T)) * 0.7**away,
        left_out=np.where(away > 0, random.normal(size=(J, T)) * 0.6**away, np.nan)
        if T > 1
        else np.full((J, T), np.nan),
        extras=dict(extras or {}),
        warnings=("layer 1 forward: gate f is above 0.95 for 97 % of its numbers",),
    )


def everything() -> View:
    """An ordinary View that has every extra too."""
    return view(WORDS, layers=2, both=True, extras=extras())


def extras() -> dict[str, Any]:
    """Every extra, each as the figure of its name takes it; arguments of figures that take several are a mapping."""
    random = np.random.default_rng(5)
    labels = ("B-PER", "I-PER", "B-LOC", "O")
    counts = random.integers(0, 40, (4, 4)) + 60 * np.eye(4, dtype=int)
    distance = np.arange(12)
    bins = [(i / 10, (i + 1) / 10, 5 + 12 * i, (i + 0.55) / 10, min(1.0, (i + 0.2) / 9)) for i in range(10)]
    legal = np.ones((4, 4), bool)
    legal[[2, 3], [1, 1]] = False
    history = [
        {
            "epoch": i + 1,
            "step": 50 * (i + 1),
            "loss": 2.0 * 0.8**i + 0.2,
            "dev": {"accuracy": 0.95 - 0.5 * 0.7**i - 0.01 * max(0, i - 9), "f1": 0.9 - 0.6 * 0.7**i},
            "lr": 0.001,
            "grad_norm": {"mean": 1.0, "max": 3.0},
            "tokens_per_second": 9000.0,
            "seconds": 3.0 * (i + 1),
        }
        for i in range(14)
    ]
    side = {"loss": 3.0 + 2.0 * 0.6**distance, "gradient": 0.5**distance * 0.5}
    return {
        "cells": {name: rate**distance for name, rate in (("Elman", 0.35), ("LSTM", 0.9), ("GRU", 0.75))},
        "history": history,
        "confusion": {"labels": labels, "counts": counts},
        "reliability": bins,
        "transitions": {"labels": labels, "scores": random.normal(size=(4, 4)), "legal": legal},
        "probe": {
            "word": (0.98 * 0.8**distance + 0.02, 0.05 + 0 * distance),
            "target": (0.5 + 0.45 * 0.85**distance, 0.3 + 0 * distance),
        },
        "alignment": {
            "weights": random.dirichlet(np.ones(12), 5),
            "sources": WORDS,
            "targets": [*"abcd", "</s>"],
            "what": "attention weights",
        },
        "written": {
            "gradient": np.tril(random.uniform(0, 1, (5, 5))),
            "attribution": np.tril(random.normal(size=(5, 5))),
            "read": ["</s>", *"abcd"],
            "outputs": [*"abcd", "</s>"],
        },
        "horizon": {
            "curves": {"left": side, "right": {k: v * 0.9 for k, v in side.items()}},
            "found": {"left": (6, 4, 8), "right": (3, 2, 5)},
        },
    }


def _output(random: np.random.Generator, step: int | None, tags: Any, tokens: Any) -> OutputView:
    p = np.sort(random.dirichlet(np.full(len(tags), 0.5)))[::-1]
    answers = list(random.permutation(len(tags)))
    target = tags[int(random.integers(len(tags)))]
    if tokens is not None and step is not None:
        target = tokens[step + 1] if step + 1 < len(tokens) else "."
    place = [tags[i] for i in answers].index(target)
    top = tuple((tags[i], float(p[k])) for k, i in enumerate(answers[:5]))
    return OutputView(step, target, float(-np.log(max(p[place], 1e-6))), top)


def _place(
    random: Any, cell: str, layer: int, reverse: bool, layers: int, both: bool, H: int, away: Any, ends: Any
) -> Any:
    equation, source, assigned, gates, fields = CELLS[cell]
    J, T = away.shape
    directions = ("forward", "backward") if both else ("forward",)
    gate_values = {name: random.beta(0.8, 0.8, (T, H)) for name in gates}
    states = {name: random.uniform(-1, 1, (T, H)).cumsum(0) / (1 + np.arange(T))[:, None] for name in fields}
    quantities = {f"{side}.{g}": random.normal(size=(T, H)) for side in "xr" for g in gates or ("z",)}
    quantities |= {f"s.{name}": np.roll(values, -1 if reverse else 1, 0) for name, values in states.items()}
    quantities |= {
        name: values for lines in assigned.values() for name in lines if (values := gate_values.get(name)) is not None
    }
    quantities |= states
    step = np.arange(T)
    # Before the last layer a step reaches outputs on both sides, by way of the layers above; in it, one side only.
    reached = (step >= ends[:, None]) if reverse else (step <= ends[:, None])
    reached = np.ones((J, T), bool) if both and layer < layers else reached
    if reverse and J == 1 and layer == layers:
        away, reached = np.broadcast_to(step, (1, T)), np.ones((1, T), bool)
    gradient = np.where(reached, random.uniform(0.5, 1.5, (J, T)) * 0.6**away, 0.0)
    return PlaceView(
        name=f"layer {layer} {'backward' if reverse else 'forward'}",
        layer=layer,
        reverse=reverse,
        below=tuple(f"layer {layer - 1} {name}" for name in directions) if layer > 1 else (),
        cell=cell,
        equation=equation,
        source=source,
        assigned=assigned,
        quantities=quantities,
        states=states,
        gates=gate_values,
        saturation={k: (float((v < 0.05).mean()), float((v > 0.95).mean())) for k, v in gate_values.items()},
        gradient=gradient,
        radius=random.uniform(0.5, 1.2, T),
        jacobian=random.uniform(0.9, 1.8, T),
    )


def _lost(values: Any, away: Any) -> Any:
    """Share of the sum of norms that lies k or more steps away, for k = 0..T: made up, as norms do not add up."""
    total = values.sum() or 1.0
    return np.array([values[away >= k].sum() / total for k in range(values.shape[1] + 1)])
