"""Networks that write a sequence: several outputs of one whole text, each against what it was made from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from elman.inspect import Subject, attribution, figures_of, html, leave_out, look, read_attribution, read_norms, survey
from elman.inspect.memory_horizon import horizon
from elman.tasks.seq2seq.network_model import Seq2Seq
from elman.text.pair import Pair

PAIRS = [Pair("abc", ["xyz"], ("V",)), Pair("ba", ["yx"], ("N",)), Pair("cab", ["zx"], ("V", "PL")), Pair("", ["x"])]
KINDS = {
    "none": {"attention": "none"},
    "general": {"attention": "general", "layers": 2},
    "copy": {"attention": "general", "copy": True},
    "fed": {"attention": "dot", "input_feeding": True, "one_way": True},
    "monotonic": {"attention": "hard", "monotonic": True, "copy": True},
}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    given = {"hidden_size": 5, "embedding_size": 4, "dropout": 0.0, "unknown": 0.0, "tied": False, "epochs": 1}
    found = Seq2Seq(**given, **KINDS[request.param], seed=2, threads=1).fit(PAIRS)
    found.network.double()
    with torch.no_grad():
        for parameter in found.network.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            parameter.add_(0.5 * noise)
    return found


def losses(model, pair):
    """The negative log-likelihood of each symbol and of the end."""
    return -model.log_probabilities([pair])


def test_outputs_are_the_symbols_of_the_target_and_the_end(model):
    pair = Pair("cäb", ["zyx"], ("V",))
    subject = Subject.of(model, pair)
    assert subject.tokens == ["<V>", "c", "ä", "b", "</s>"] and subject.targets == ["z", "y", "x", "</s>"]
    assert subject.answers == ["z", "y", "x"] and {row for row, _ in subject.outputs} == {None}
    np.testing.assert_allclose(subject.outcome.shown.numpy(), losses(model, pair), atol=1e-9)
    own = Subject.of(model, Pair("cäb", None, ("V",)))
    assert own.answers is None and own.targets[:-1] == model.predict([Pair("cäb", None, ("V",))])[0].answers[0].symbols


def test_leaving_a_symbol_out_is_a_source_without_it(model):
    pair, target = Pair("cqb", ["zqx"]), ["z", "q", "x"]
    found = leave_out(model, [*"cqb", "</s>"], target, of="target").values
    assert np.isnan(found[:, 3]).all()  # the end is put back
    whole = losses(model, pair)
    for i, text in enumerate(("qb", "cb", "cq")):
        fell = losses(model, Pair(text, ["zqx"])) - whole
        for j, symbol in enumerate([*target, "</s>"]):
            if symbol == "q" and "q" not in text and model.settings.model.copy:
                assert np.isnan(found[j, i])  # nothing else can write it
                continue
            assert found[j, i] == pytest.approx(fell[j], abs=1e-9), (i, j)


def test_what_was_written_before_counts_as_its_vector_does(model):
    """Each symbol once, so that the gradient of its row of the table, which only reads, is that of one step."""
    subject = Subject.of(model, Pair("bac", ["zyx"]))
    norms, drove = read_norms(subject), read_attribution(subject, "target")
    assert norms.names["read"] == ["</s>", "z", "y", "x"] and norms.names["output"] == ["z", "y", "x", "</s>"]
    table = model.network.target.weight
    ids = model.vocabularies.target.ids(norms.names["read"])
    for j, loss in enumerate(subject.outcome.losses):
        (whole,) = torch.autograd.grad(loss, table, retain_graph=True)
        assert norms.values[j] == pytest.approx(whole[ids].norm(dim=1).numpy(), abs=1e-12)
        assert drove.values[j] == pytest.approx((-whole[ids] * table[ids]).sum(1).detach().numpy(), abs=1e-9)
        assert not norms.values[j, j + 1 :].any() and norms.values[j, j] > 0
    sums = attribution(subject, "target").values.sum(1)
    assert np.abs(sums).max() > 0


def test_the_horizon_is_that_of_cut_sources(model):
    pairs = [Pair("abcab", ["xyzxy"]), Pair("cba", ["zyx"]), Pair("bb", ["yy"])]
    found = horizon(model, pairs, resamples=50)
    side = found.sides["left"]
    assert found.whole and found.how == "cut" and side.outputs == 13 and found.gradient_outputs == 13
    for n in range(7):
        cut = [Pair(p.source[len(p.source) + 1 - n :] if 0 < n <= len(p.source) else p.source if n else "", p.targets)
               for p in pairs]  # fmt: skip
        expected = np.concatenate([losses(model, pair) for pair in cut]).mean()
        assert side.loss.values[n] == pytest.approx(expected, abs=1e-9), n
    if "right" in found.sides:
        cut = [Pair(p.source[:2], p.targets) for p in pairs]
        expected = np.concatenate([losses(model, pair) for pair in cut]).mean()
        assert found.sides["right"].loss.values[2] == pytest.approx(expected, abs=1e-9)


def test_everything_there_is_to_see(model):
    view = look(model, "cab", title="m")
    assert not view.given and [output.step for output in view.outputs] == [None] * len(view.outputs)
    assert look(model, Pair("cab", ["zx"])).given and look(model, "cab", ["z", "x"]).given
    attends = model.settings.model.attention != "none"
    assert ("alignment" in view.extras) == attends and "written" in view.extras
    drawn = set(figures_of(view))
    assert {"written", "written_gradient", "unrolled"} <= drawn and ({"alignment", "arcs"} <= drawn) == attends
    page = html(view)
    assert ("What is written from where" in page) == attends and "What it owes to what it wrote" in page
    plain = json.loads(json.dumps(view.to_json(), allow_nan=False))
    if attends:
        weights = np.array(plain["extras"]["alignment"]["weights"])
        assert weights.shape == (len(view.outputs), len(view.tokens))
        assert np.allclose(weights.sum(1), 1, atol=1e-5)
    about = view.about
    assert about["source symbols"] == len(model.vocabularies.source) and about["attention"].startswith(
        model.settings.model.attention
    )


def test_a_sample_of_pairs(model):
    found = survey(model, PAIRS * 5, count=12, tokens=40)
    assert set(found.extras) == {"horizon", "probe"} and found.probe.accuracy.names["of"] == ["word"]
