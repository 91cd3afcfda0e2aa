"""Language models against an independent loop, and what must hold for every one of them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from elman.errors import UsageError
from elman.recurrent import CELLS, Packed, use_backend
from elman.tasks.language_model.base import mixed
from elman.tasks.language_model.config import LanguageModelConfig
from elman.tasks.language_model.data import END, END_ID
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.tasks.language_model.network_model import LanguageModel
from elman.tasks.language_model.next_token import NextToken
from elman.tasks.language_model.rivals.ngram_model import NGramModel
from elman.tasks.language_model.sampling import Choice

TINY = {"hidden_size": 12, "embedding_size": 0, "epochs": 1, "batch_size": 3, "bptt": 7, "minimum": 1}
source = random.Random(1)
LINES = [" ".join(source.choices(["the", "cat", "dog", "sees", "北京", "a", "naïve"], k=n % 9)) for n in range(60)]
KINDS = {
    "stream": {},
    "lines": {"lines": True},
    "projected": {"embedding_size": 5, "layers": 3},
    "untied": {"tied": False, "cell": "gru"},
    "characters": {"tokenizer": "characters", "cell": "elman"},
    "reference": {"cell": "lstm-layernorm", "layers": 1},
}


@pytest.fixture(scope="module")
def models() -> dict[str, LanguageModel]:
    return {name: LanguageModel(**{**TINY, **given}).fit(LINES) for name, given in KINDS.items()}


@pytest.fixture(scope="module")
def ngram() -> NGramModel:
    with pytest.warns(UserWarning, match="discounts"):
        return NGramModel(order=3, minimum=1).fit(LINES)


def by_hand(model: LanguageModel, lines: list[str]) -> list[float]:
    """Log-probabilities token by token, in float64, from the weights and the cell's R and O alone."""
    net, config = model.network, model.settings.model
    cells = [layer.cell.double() for layer in net.layers.layers[1].layers if hasattr(layer, "cell")]
    E, b = net.embedding.double(), net.bias.double()
    W = E if net.writer is None else net.writer.double()
    found: list[float] = []
    states, last = None, END_ID
    for line in lines:
        if states is None or config.lines:
            states, last = [cell.initial(1, E) for cell in cells], END_ID
        for token in [*model.tokenizer.split(line), END]:
            x = E[last : last + 1]
            for k, cell in enumerate(cells):
                states[k] = cell.R(states[k], x)
                x = cell.O(states[k])
            if net.projection is not None:
                x = linear(x, net.projection.weight.double())
            last = model.vocabulary[token]
            found.append(linear(x, W, b).log_softmax(-1)[0, last].item())
    for cell in cells:
        cell.float()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_equations(models: dict[str, LanguageModel], kind: str) -> None:
    model, lines = models[kind], LINES[:9]
    with torch.no_grad():
        expected = np.array(by_hand(model, lines))
    np.testing.assert_allclose(model.log_probabilities(lines), expected, rtol=0, atol=2e-5)
    result = model.evaluate(lines)
    assert math.isclose(result.perplexity, math.exp(-expected.mean()), rel_tol=1e-5)
    assert math.isclose(result.bits_per_character, -expected.sum() / math.log(2) / result.characters, rel_tol=1e-5)
    assert result.characters == sum(len(line) + 1 for line in lines) and result.ends == 9
    assert result.tokens == len(expected) and result.unknown == 0


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_with_carried_state_are_the_whole(models: dict[str, LanguageModel], kind: str) -> None:
    model = models[kind]
    ids = model.corpus(LINES).ids
    whole, _ = model.read(ids, model.start())
    cut = int(np.flatnonzero(ids == END_ID)[20]) + 1
    first, state = model.read(ids[:cut], model.start())
    second, _ = model.read(ids[cut:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=0, atol=1e-6)
    scored = list(model.score(LINES, tokens_at_once=11))
    assert [one.tokens for one in scored] == [[*model.tokenizer.split(line), END] for line in LINES]
    np.testing.assert_allclose([log for one in scored for log in one.log_probabilities], whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "ngram"])
def test_nothing_depends_on_what_comes_later(models, ngram, kind: str) -> None:
    model = ngram if kind == "ngram" else models[kind]
    ids = model.corpus(LINES).ids
    other = np.concatenate([ids[:100], np.random.default_rng(0).integers(0, len(model.vocabulary), len(ids) - 100)])
    mine, theirs = (model.read(given, model.start())[0][:100] for given in (ids, other))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "ngram"])
def test_probabilities_sum_to_one_and_are_those_of_the_scores(models, ngram, kind: str) -> None:
    model = ngram if kind == "ngram" else models[kind]
    line = next(line for line in LINES if len(line.split()) > 3)
    tokens = [*model.tokenizer.split(line), END]
    scores = model.log_probabilities([line])
    for k, token in enumerate(tokens):
        chances = model.next_distribution(model.tokenizer.join(tokens[:k]))
        assert chances.shape == (len(model.vocabulary),) and math.isclose(chances.sum(), 1, abs_tol=1e-5)
        assert math.isclose(math.log(chances[model.vocabulary[token]]), scores[k], abs_tol=2e-5)


@pytest.mark.parametrize("kind", [*KINDS, "ngram"])
def test_samples(models, ngram, kind: str) -> None:
    model = ngram if kind == "ngram" else models[kind]
    one, same, other = ("".join(model.sample(60, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert model.vocabulary.unknown not in one
    known = {**dict.fromkeys(model.tokenizer.split(one.replace("\n", " \n ")), True)} if kind != "characters" else {}
    assert all(word in model.vocabulary for word in known)
    greedy = "".join(model.sample(1, prompt=LINES[4], temperature=0))
    chances = model.next_distribution(LINES[4])
    chances[0] = 0
    likeliest = model.vocabulary.items[int(chances.argmax())]
    assert greedy.strip(" ") == ("\n" if likeliest == END else likeliest.strip(" "))
    assert "".join(model.sample(0)) == ""
    with pytest.raises(UsageError, match="0 tokens or more"):
        model.sample(-1)


def test_frequencies_of_samples_are_the_probabilities(models) -> None:
    model = models["stream"]
    chances = model.next_distribution("the")
    chances[0] = 0
    chances /= chances.sum()
    drawn = np.zeros(len(chances))
    for seed in range(500):
        text = next(iter(model.sample(1, prompt="the", seed=seed)))
        drawn[END_ID if text == "\n" else model.vocabulary[text.strip()]] += 1
    assert np.abs(drawn / 500 - chances).max() < 4.5 * 0.5 / math.sqrt(500)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_drawn_from_what_the_whole_text_gives(models, kind: str) -> None:
    """Against the plain network over the whole text before each token, with the same random numbers."""
    model = models[kind]
    choice, ids = Choice(0.9, 0, 1.0, seed=3), [END_ID, *model.vocabulary.ids(model._tokens("the cat"))]
    begun, drawn = 0, []
    with torch.no_grad(), use_backend("reference"):
        for _ in range(25):
            if ids[-1] == END_ID and not model.carries:
                begun = len(ids) - 1
            logits = model.network.eval().log_probabilities(Packed.from_list([torch.tensor(ids[begun:])]))[-1].numpy()
            logits[0] = -np.inf
            ids.append(choice.draw(logits))
            drawn.append(ids[-1])
    expected = "".join(model._pieces(drawn, begun=True))
    assert "".join(model.sample(25, prompt="the cat", temperature=0.9, seed=3)) == expected


def test_bfloat16_costs_less_than_a_thousandth_of_perplexity(ngram) -> None:
    model = LanguageModel(**{**TINY, "hidden_size": 48, "embedding_size": 24, "tokenizer": "characters", "epochs": 4})
    model.fit(LINES)
    ids = model.corpus(LINES).ids.tolist()
    losses = {}
    for precision in ("float32", "bfloat16"):
        following, last, losses[precision] = NextToken(model.evaluated, precision), END_ID, 0.0
        for i in ids:
            logits = following(last).astype(np.float64)
            losses[precision] += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[i]
            last = i
    exact, rounded = (losses[precision] / len(ids) for precision in ("float32", "bfloat16"))
    assert math.isclose(exact, -model.log_probabilities(LINES).mean(), rel_tol=1e-5)
    assert exact != rounded and math.exp(rounded - exact) < 1.001
    assert "".join(model.sample(40, seed=1, precision="bfloat16"))
    for refused, message in ((model, "did you mean"), (ngram, "multiplies nothing")):
        with pytest.raises(UsageError, match=message):
            refused.sample(1, precision="float16" if refused is model else "bfloat16")


def test_a_sample_goes_on_from_its_prompt_of_several_lines(models) -> None:
    model = models["characters"]
    text = "".join(model.sample(30, prompt="the\n", seed=4))
    state, last = model.start(), "the\n"
    logs, _ = model.read(model.corpus(["the"]).ids, state)
    assert len(text) == 30 and len(logs) == len(last)
    spaced = models["stream"]
    assert "".join(spaced.sample(3, prompt="the", seed=1)).startswith((" ", "\n"))
    assert not "".join(spaced.sample(3, prompt="the\n", seed=1)).startswith(" ")


def test_mixtures(models, ngram) -> None:
    model, dev = models["lines"], LINES[:30]
    one, other = model.log_probabilities(dev), ngram.log_probabilities(dev)
    assert model.vocabulary.items != ngram.vocabulary.items or len(one) == len(other)
    for weight in (0.0, 0.3, 1.0):
        expected = np.log(weight * np.exp(one) + (1 - weight) * np.exp(other)).sum()
        assert math.isclose(model.evaluate(dev, ngram=ngram, weight=weight).log_likelihood, expected, rel_tol=1e-9)
    best = model.tune_weight(dev, ngram)
    grid = [mixed(one, other, weight).sum() for weight in np.linspace(0, 1, 201)]
    assert mixed(one, other, best).sum() >= max(grid) - 1e-3
    with pytest.raises(UsageError, match="from 0 to 1"):
        model.evaluate(dev, ngram=ngram, weight=1.5)
    with pytest.raises(UsageError, match="one vocabulary"):
        models["characters"].evaluate(dev, ngram=ngram)


def test_statistics_of_lines_add_up(models) -> None:
    for kind in ("stream", "lines", "characters"):
        rows = models[kind].statistics(LINES)
        result = models[kind].evaluate(LINES)
        assert rows.shape == (len(LINES), 2) and rows[:, 1].sum() == result.tokens
        assert math.isclose(rows[:, 0].sum(), -result.log_likelihood, rel_tol=1e-9)


def test_regularisation_and_embedding_dropout() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 6, "embedding_size": 0, "layers": 1, "input_dropout": 0}
    config = LanguageModelConfig(**sizes, dropout=0.5, ar=2.0, tar=3.0)
    from elman.recurrent import CELLS

    net = LanguageModelNetwork(config, CELLS["lstm"], 9).train()
    ids = Packed.plan([4, 2, 3])
    ids = ids.with_data(torch.randint(0, 9, (9,)))
    targets = torch.randint(0, 9, (9,))
    torch.manual_seed(5)
    loss, _ = net.loss(ids, targets, None)
    torch.manual_seed(5)
    ys, dropped, _ = net(ids, None)
    plain = torch.nn.functional.cross_entropy(linear(dropped.data, net.embedding, net.bias), targets, reduction="sum")
    steps = [row[1:] - row[:-1] for row in ys.to_list()]
    expected = plain + 9 * (2 * dropped.data.pow(2).mean() + 3 * torch.cat(steps).pow(2).mean())
    torch.testing.assert_close(loss, expected)
    net.eval()
    torch.testing.assert_close(
        net.loss(ids, targets, None)[0],
        torch.nn.functional.cross_entropy(
            linear(net(ids, None)[0].data, net.embedding, net.bias), targets, reduction="sum"
        ),
    )

    whole = LanguageModelConfig(**sizes, embedding_dropout=0.5)
    net = LanguageModelNetwork(whole, CELLS["lstm"], 4).train()
    seen = []
    net.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0].data))
    net(Packed.plan([40]).with_data(torch.arange(4).repeat(10)), None)
    rows = seen[0].reshape(10, 4, 6)
    for word in range(4):
        dropped_word = rows[:, word].abs().sum() == 0
        assert dropped_word or torch.equal(rows[:, word], (2 * net.embedding[word]).expand(10, 6))


def test_bfloat16_learns_the_same() -> None:
    given = {**TINY, "epochs": 3, "hidden_size": 16}
    plain, half = (LanguageModel(**given, precision=p).fit(LINES) for p in ("float32", "bfloat16"))
    one, other = (model.evaluate(LINES).loss for model in (plain, half))
    assert one != other and abs(one - other) < 0.02 * one


def test_it_learns_what_an_ngram_cannot() -> None:
    """The last word repeats the first, five words before: beyond a trigram, not beyond a memory."""
    draw = random.Random(3)
    lines = []
    for _ in range(600):
        word = draw.choice(["a", "b"])
        lines.append(" ".join([word, *draw.choices("xyz", k=4), word]))
    model = LanguageModel(
        hidden_size=24,
        layers=1,
        epochs=25,
        lines=True,
        batch_tokens=150,
        learning_rate=0.02,
        input_dropout=0,
        hidden_dropout=0,
        dropout=0,
    ).fit(lines[:500])
    trigram = NGramModel(order=3).fit(lines[:500])
    logs, counted = (np.array([one.log_probabilities[5] for one in m.score(lines[500:])]) for m in (model, trigram))
    assert np.exp(logs).mean() > 0.98
    assert np.exp(counted).mean() < 0.5


def test_before_training_every_token_is_as_likely_as_it_is_frequent() -> None:
    model = LanguageModel(**TINY, learning_rate=1e-12).fit(LINES)
    ids = model.corpus(LINES).ids
    seen = np.bincount(ids, minlength=len(model.vocabulary)) + 0.5
    model.network.embedding.data.zero_()
    np.testing.assert_allclose(model.next_distribution(""), seen / seen.sum(), rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_the_rows_that_are_read_are_added_to_the_gradient_of_the_matrix(tied: bool, dropped: float) -> None:
    """In training the gradient of the lookup is not a matrix of its own; in evaluation it is."""
    torch.manual_seed(0)
    nothing = {"input_dropout": 0.0, "hidden_dropout": 0.0, "dropout": 0.0, "embedding_dropout": dropped}
    config = LanguageModelConfig(hidden_size=5, embedding_size=5, tied=tied, **nothing)
    network = LanguageModelNetwork(config, CELLS["lstm"], 30)
    ids = Packed(torch.randint(0, 30, (40,)) // 2, [8] * 5, [5] * 8, torch.arange(8))
    targets, found = torch.randint(0, 30, (40,)), []
    for training in (True, True, False):
        torch.manual_seed(1)
        network.train(training).zero_grad()
        loss, _ = network.loss(ids, targets, None)
        (loss / 40).backward()
        gradient = network.embedding.grad
        assert gradient is not None and not gradient.is_sparse
        found.append(gradient)
    assert torch.equal(found[0], found[1])
    if not dropped:
        torch.testing.assert_close(found[0], found[2])
