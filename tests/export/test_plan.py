"""A plan, carried out in numpy, gives what the model gives."""

from __future__ import annotations

import exported_models as small
import numpy as np
import plan_reading as reading
import pytest

from elman.errors import UsageError
from elman.recurrent import CELLS, get_cell
from elman.recurrent.plan import equation_of
from elman.text.pair import Pair


@pytest.mark.parametrize("name", small.MODELS)
def test_a_plan_computes_what_its_model_does(name):
    model = small.model(name)
    plan = model.plan()
    for text in small.HOSTILE[:-1]:  # the last is long, and every step of it costs a millisecond here
        text = text[:60]
        if plan.task == "seq2seq":
            pair = Pair(text[:10], ["the Cat ΣΣ 京"], ("PL", "new"))
            symbols, cut = model.source(pair).read(), model.target_tokenizer.split
            _, logs = reading.rewriting(plan, symbols, cut(pair.targets[0]))
            np.testing.assert_allclose(logs, model.log_probabilities([pair]), atol=2e-5)
            greedy = model.predict([pair], beam=1)[0].answers[0]
            assert reading.rewriting(plan, symbols, None)[0] == greedy.symbols
            continue
        if plan.task == "lm":
            (expected,) = model.score([text])
            names = plan.answer.labels
            place = {item: i for i, item in enumerate(names)}
            ids = [names.index("</s>"), *(place.get(token, 0) for token in expected.tokens)]
            logs = reading.log_softmax(reading.scores(plan, [names[i] for i in ids[:-1]]))
            np.testing.assert_allclose(logs[np.arange(len(ids) - 1), ids[1:]], expected.log_probabilities, atol=2e-5)
            continue
        tokens = reading.tokens_of(plan, text)
        if plan.task == "tag":
            assert reading.answer(plan, tokens) == model.predict([tokens])[0].tags, text[:40]
            continue
        (expected,) = model.predict([text], probabilities=True)
        scores = reading.scores(plan, tokens)
        chances = 1 / (1 + np.exp(-scores)) if plan.answer.several else np.exp(reading.log_softmax(scores))
        np.testing.assert_allclose(chances, list(expected.probabilities.values()), atol=1e-5)
        assert reading.answer(plan, tokens) == expected.labels, text[:40]


@pytest.mark.parametrize("name", small.OTHERS)
def test_a_cell_without_a_graph_is_refused(name):
    with pytest.raises(UsageError, match="overrides R, so its equation is not known as a graph"):
        equation_of(get_cell(name)(3, 4))


def test_equal_equations_have_equal_keys():
    keys = [equation_of(get_cell(name)(3, 4)).key for name in small.FITTING]
    assert len(set(keys)) == len(keys) > 5
    assert keys == [equation_of(get_cell(name)(5, 4)).key for name in small.FITTING]
    assert len(CELLS) == len(keys) + len(small.OTHERS)
