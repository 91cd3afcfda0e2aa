"""The horizon: on networks built to look just so far, on the grammar corpus with one distance, and by brute force."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import registers
import torch

from elman.errors import UsageError
from elman.inspect.memory_horizon import horizon, sample_of
from elman.tasks.classification.network_model import Classifier
from elman.tasks.classification.rivals.cbow import Cbow
from elman.tasks.language_model.network_model import LanguageModel
from elman.tasks.tagging.network_model import Tagger
from elman.text import Sentence, read
from elman.text.example import Example
from elman.text.grammar import write_corpus

SMALL = {"hidden_size": 24, "word_size": 16, "dropout": 0.0, "word_dropout": 0.0, "unknown": 0.0, "average": 0.0}


def nll(model, text, targets, j):
    """-log p of output j of one text by itself."""
    examined = model.examine([text], [targets])
    where = examined.outputs.index((0, j))
    return float(examined.run().shown[where])


@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_copy_from_k_steps_back_has_the_horizon_k(k):
    model, texts = registers.tagger(k), registers.texts(20, 16)
    found = horizon(model, texts, [registers.copied(text, k) for text in texts])
    side = found.sides["left"]
    assert list(found.sides) == ["left"]
    assert (side.steps, side.low, side.high) == (k, k, k)
    assert (side.gradient_steps, side.gradient_low, side.gradient_high) == (k, k, k)
    assert side.used and not side.edge and side.measured == 15
    assert np.flatnonzero(side.gradient.values).tolist() == [k]
    assert found.warnings(model) == []


@pytest.mark.parametrize(("k", "ahead"), [(2, 5), (4, 1)])
def test_each_side_has_its_own_horizon(k, ahead):
    model, texts = registers.tagger(k, ahead=ahead), registers.texts(30, 16)
    for text in texts:  # both say the same
        for j in range(k, len(text) - ahead):
            text[j + ahead] = text[j - k]
    tags = [registers.copied(text, k) for text in texts]
    found = horizon(model, texts, tags, chosen=lambda _, step: k <= step < 16 - ahead)
    assert found.sides["left"].outputs == 30 * (16 - k - ahead)
    for name, distance in (("left", k), ("right", ahead)):
        side = found.sides[name]
        assert (side.steps, side.low, side.high, side.gradient_steps) == (distance,) * 4, name


def test_a_stream_counts_only_what_has_all_context_and_warns_of_short_windows():
    k = 9
    model = registers.language_model(k, bptt=6)
    texts = registers.texts(30, 20)
    found = horizon(model, texts, [registers.copied(text, k) for text in texts], most=12)
    side = found.sides["left"]
    assert found.stream and side.measured == 12 and side.outputs == 30 * (20 - 12)
    assert (side.steps, side.low, side.high, side.gradient_steps) == (k,) * 4
    (warning,) = found.warnings(model)
    assert "window of 6 steps" in warning and "horizon of 9 steps" in warning
    short = registers.language_model(3, bptt=6)
    found = horizon(short, texts, [registers.copied(text, 3) for text in texts], most=12)
    assert found.sides["left"].steps == 3 and found.warnings(short) == []


def test_at_the_edge_it_says_at_least():
    model, texts = registers.tagger(7), registers.texts(20, 16)
    found = horizon(model, texts, [registers.copied(text, 7) for text in texts], most=5)
    assert found.sides["left"].edge and found.sides["left"].steps == 5
    assert "at least 5 steps" in found.warnings(model)[0]


def test_a_network_without_memory_has_no_horizon():
    model, texts = registers.tagger(0), registers.texts(20, 12)
    for weights in (torch.zeros(5, 5), None):
        if weights is not None:
            with torch.no_grad():
                next(m for m in model.network.modules() if hasattr(m, "U")).U.copy_(weights)
        found = horizon(model, texts, texts)
        side = found.sides["left"]
        assert (side.steps, side.low, side.high, side.gradient_steps, side.used) == (0, 0, 0, 0, False)
    assert "does not help this model measurably" in found.warnings(model)[0]


@pytest.mark.parametrize(("distance", "one_way"), [(3, False), (5, True)])
def test_the_grammar_corpus_of_one_distance_gives_that_distance(tmp_path, distance, one_way):
    write_corpus(tmp_path, 2000, distance=distance)
    parts = {name: read(tmp_path / f"{name}.conllu", column="xpos") for name in ("train", "test")}
    settings = {**SMALL, "char_size": 0, "form_size": 0, "learning_rate": 0.01}
    model = Tagger(cell="lstm", one_way=one_way, epochs=12, **settings).fit(parts["train"])
    test = parts["test"][:60]
    where = [s.tags for s in read(tmp_path / "test.conllu", column="misc:Side")]
    for name in ("left",) if one_way else ("left", "right"):
        found = horizon(model, test, chosen=lambda text, step, name=name: where[text][step] == name)
        side = found.sides[name]
        assert side.outputs == sum(tags.count(name) for tags in where[:60])
        assert (side.steps, side.low) == (distance, distance)
    every = horizon(model, test)
    assert every.sides["left"].outputs == sum(len(s.words) for s in test)
    for side in every.sides.values():
        assert side.low <= distance <= side.high


# By brute force


TEXTS = [["the", "old", "dog", "ran", "here"], ["a", "dog"], ["ran", "the", "ran", "a"]]
TAGS = [["D", "A", "N", "V", "R"], ["D", "N"], ["V", "D", "V", "D"]]
EXAMPLES = [Example(" ".join(t), [label]) for t, label in zip(TEXTS, ("x", "y", "x"), strict=True)]
SENTENCES = [Sentence(*pair) for pair in zip(TEXTS, TAGS, strict=True)]
ONE = {"epochs": 1, "hidden_size": 6, "dropout": 0.0, "seed": 4}
MODELS = {
    "tag one way": lambda: Tagger(**ONE, word_size=5, char_size=3, char_hidden_size=3, one_way=True).fit(SENTENCES),
    "tag": lambda: Tagger(**ONE, word_size=5, char_size=0, form_size=0, window_before=1, window_after=1).fit(SENTENCES),
    "tag crf": lambda: Tagger(**ONE, word_size=5, char_size=0, form_size=0, crf=True).fit(SENTENCES),
    "lines": lambda: LanguageModel(**ONE, embedding_size=5, lines=True).fit([" ".join(t) for t in TEXTS]),
    **{
        f"classify {pooling}": lambda pooling=pooling: Classifier(**ONE, word_size=5, pooling=pooling).fit(EXAMPLES)
        for pooling in ("final", "mean", "max", "attention")
    },
    "classify one way": lambda: Classifier(**ONE, word_size=5, one_way=True).fit(EXAMPLES),
    "several": lambda: Classifier(**ONE, word_size=5, several=True).fit(EXAMPLES),
}
DATA = {"tag": SENTENCES, "classify": EXAMPLES, "lm": [" ".join(text) for text in TEXTS]}


@pytest.mark.parametrize("name", MODELS)
def test_the_curves_are_those_of_loops(name):
    model = MODELS[name]()
    with torch.no_grad():  # so that context does something
        for parameter in model.network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    data = DATA[model.task]
    texts, targets = sample_of(model, data)
    ways = {"left": 0.0} if model.network.layers.causal else {"left": 0.0, "right": 0.0}
    for side in ways:
        rows = []
        for text, gold in zip(texts, targets, strict=True):
            for j in [None] if model.task == "classify" else range(len(text)):
                row = []
                for n in range(7):
                    if j is None:
                        piece = text[max(len(text) - n, 0) :] if side == "left" else text[:n]
                        row.append(nll(model, piece, gold, None))
                        continue
                    part = slice(max(j - n, 0), None) if side == "left" else slice(None, j + 1 + n)
                    row.append(nll(model, text[part], gold[part], j - (part.start or 0)))
                rows.append(row)
        ways[side] = np.mean(rows, 0)
    found = horizon(model, data, resamples=20, how="cut")
    assert list(found.sides) == list(ways)
    for side, curve in ways.items():
        here = found.sides[side]
        longest = max(len(t) for t in texts) - (model.task != "classify")
        assert here.measured == longest
        np.testing.assert_allclose(here.loss.values, curve[: longest + 1], rtol=1e-4)
        assert here.full == pytest.approx(curve[-1], rel=1e-4)
        benefit = curve - curve[-1]
        assert here.benefit[0] == pytest.approx(benefit[0], abs=1e-4)
        if here.used:
            assert here.steps == next(n for n in range(7) if (benefit[n:] <= 0.05 * benefit[0] + 1e-6).all())
        assert here.low <= here.steps <= here.high or not here.used
        masses = np.zeros(20)
        for text, gold in zip(texts, targets, strict=True):
            for j, d, norm in input_norms(model, text, gold):
                end = len(text) if side == "left" else -1
                away = (end - d if side == "left" else d + 1) if j is None else (j - d if side == "left" else d - j)
                if away >= 0:
                    masses[away] += norm
        np.testing.assert_allclose(here.gradient.values, (masses / masses.sum())[: longest + 1], atol=1e-5)
        beside = masses[1:].cumsum() / masses[1:].sum()
        assert here.gradient_steps == 1 + next(i for i, x in enumerate(beside) if x >= 0.95 - 1e-9)
    json.dumps(found.to_json(), allow_nan=False)


LEFT, RIGHT = ["a", "b", "c", "d"], ["d", "c", "e", "a", "f"]  # one place for each token in the other text
NAMES = ["T", "U", "T", "V"], ["V", "T", "U", "T", "U"]


@pytest.mark.parametrize("kind", ["tag", "crf", "one way", "lm"])
def test_the_rest_is_exchanged_for_that_of_another_text(kind):
    """Where each token stands in one other place, or none, there is one exchange, made here by hand."""
    texts, targets = [LEFT, RIGHT], [list(names) for names in NAMES]
    if kind == "lm":
        model = LanguageModel(**ONE, embedding_size=5, lines=True).fit([" ".join(text) for text in texts])
        targets = [[*text[1:], "a"] for text in texts]
    else:
        data = [Sentence(*pair) for pair in zip(texts, targets, strict=True)]
        extra = {"crf": {"crf": True}, "one way": {"one_way": True}}.get(kind, {})
        model = Tagger(**ONE, word_size=5, char_size=0, form_size=0, **extra).fit(data)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    found = horizon(model, texts, targets, resamples=20)
    assert found.how == "exchange"
    for name, side in found.sides.items():
        rows, cuts, pieces = [], set(), set()
        for i, (text, gold) in enumerate(zip(texts, targets, strict=True)):
            other, answers = texts[1 - i], targets[1 - i]
            for j in range(len(text)):
                row = []
                for n in range(side.measured + 1):
                    first, last = (j - n, len(text)) if name == "left" else (0, j + 1 + n)
                    if first <= 0 and last >= len(text):
                        row.append(nll(model, text, gold, j))
                        continue
                    joint = text[first if name == "left" else last - 1]
                    pieces.add((i, first, last))
                    at = other.index(joint) if joint in other else None
                    cuts |= {(i, first, last)} if at is None else set()
                    words, tags = text[first:last], gold[first:last]
                    if name == "left":
                        words, tags = [*other[: at or 0], *words], [*answers[: at or 0], *tags]
                        row.append(nll(model, words, tags, (at or 0) + j - first))
                    else:
                        rest = slice(len(other) if at is None else at + 1, None)
                        row.append(nll(model, [*words, *other[rest]], [*tags, *answers[rest]], j))
                rows.append(row)
        np.testing.assert_allclose(side.loss.values, np.mean(rows, 0), rtol=1e-4)
        assert side.cuts == pytest.approx(len(cuts) / len(pieces)) and 0 < side.cuts < 1


def input_norms(model, text, gold):
    """(output's step, step, norm) of the gradient of each loss by what the layers read, one backward pass each."""
    seen = []

    def before(_, arguments):
        data = arguments[0].data.detach().requires_grad_()
        seen.append(data)
        return (arguments[0].with_data(data), *arguments[1:])

    hook = model.network.layers.register_forward_pre_hook(before)
    examined = model.examine([text], [gold])
    seen.clear()  # what examine itself runs
    losses = examined.run().losses
    hook.remove()
    (x,) = seen
    for (_, j), loss in zip(examined.outputs, losses, strict=True):
        (g,) = torch.autograd.grad(loss, x, retain_graph=True)
        for d, norm in enumerate(g.norm(dim=1).tolist()):
            yield j, d, norm


def test_the_interval_comes_from_drawing_texts():
    """Half of the texts copy from 2 steps back, half from 6: which of them are drawn decides."""
    k, few = 6, registers.texts(6, 14)
    model = registers.tagger(2, places=7)
    size = len(registers.WORDS)
    with torch.no_grad():
        model.network.out.weight[:, k * size :] = 0.12 * model.network.out.weight[:, 2 * size : 3 * size]
    found = horizon(model, few, [registers.copied(text, 2) for text in few], seed=3, how="cut")
    side = found.sides["left"]
    assert side.low <= side.steps <= side.high
    draws = np.random.default_rng(0).integers(6, size=(400, 6))
    per = []
    for text in few:
        gold = registers.copied(text, 2)
        shown = [model.examine([text[a:]], [gold[a:]]).run().shown.tolist() for a in range(14)]
        rows = [[shown[max(j - n, 0)][min(j, n)] for n in range(14)] for j in range(14)]
        per.append(np.mean(rows, 0))
    per = np.array(per) - np.array(per)[:, -1:]
    steps = [next(n for n in range(14) if (d[n:] <= 0.05 * d[0]).all()) for d in per[draws].mean(1)]
    low, high = np.quantile(steps, [0.025, 0.975])
    assert abs(side.low - low) <= 1 and abs(side.high - high) <= 1


# Doors


def test_samples():
    tagger = registers.tagger(1)
    sentences = [Sentence(text, registers.copied(text, 1)) for text in registers.texts(40, 6)]
    texts, targets = sample_of(tagger, sentences, count=7, seed=2)
    places = [[s.words for s in sentences].index(text) for text in texts]
    assert len(set(places)) == 7 and places == sorted(places)
    assert targets == [sentences[i].tags for i in places]
    assert (texts, targets) == sample_of(tagger, sentences, count=7, seed=2)
    assert texts != sample_of(tagger, sentences, count=7, seed=3)[0]
    model = registers.language_model(2, bptt=4)
    lines = [" ".join(text) for text in registers.texts(12, 5)]
    stream, following = model.read_text("\n".join(lines))
    windows, after = sample_of(model, lines, count=6)
    assert [len(w) for w in windows] == [8] * 6
    starts = [next(i for i in range(len(stream)) if stream[i : i + 8] == window) for window in windows]
    assert all(b - a >= 8 for a, b in pairwise(starts))
    assert after == [following[a : a + 8] for a in starts]


def test_all_forms_of_texts_are_the_same():
    model = registers.tagger(2)
    texts = registers.texts(8, 7)
    tags = [registers.copied(text, 2) for text in texts]
    want = horizon(model, texts, tags).to_json()
    pairs = list(zip(texts, tags, strict=True))
    assert horizon(model, pairs).to_json() == want
    assert horizon(model, [Sentence(*pair) for pair in pairs]).to_json() == want
    own = [answer.tags for answer in model.predict(texts)]
    assert horizon(model, texts).to_json() == horizon(model, texts, own).to_json()
    many = MODELS["several"]()
    own = [answer.labels for answer in many.predict([" ".join(text) for text in TEXTS])]
    assert horizon(many, TEXTS).to_json() == horizon(many, TEXTS, own).to_json()


def test_figure_arguments():
    model, texts = registers.tagger(2, ahead=1), registers.texts(8, 7)
    found = horizon(model, texts)
    given = found.figure_arguments()
    assert list(given["curves"]) == list(given["found"]) == ["left", "right"]
    for name, side in found.sides.items():
        assert given["found"][name] == (side.steps, side.low, side.high)
        assert given["curves"][name]["loss"] is side.loss.values
        assert given["curves"][name]["gradient"].shape == (7,)


def test_refusals():
    model, texts = registers.tagger(1), registers.texts(3, 4)
    with pytest.raises(UsageError, match="share between 0 and 1"):
        horizon(model, texts, share=0)
    with pytest.raises(UsageError, match="at least one output"):
        horizon(model, texts, chosen=lambda text, step: False)
    with pytest.raises(UsageError, match="targets for each of 3 texts, found 2"):
        horizon(model, texts, texts[:2])
    with pytest.raises(UsageError, match="found 1 of 2 without"):
        horizon(model, [Sentence(texts[0], texts[0]), Sentence(texts[1])])
    cbow = Cbow(epochs=1, word_size=4).fit(EXAMPLES)
    with pytest.raises(UsageError, match="classify cbow has no recurrent layers"):
        horizon(cbow, TEXTS)
