"""Taggers with a delay: what they see, what they are trained on, and that the lenses know where answers come from."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import elman
from elman import Sentence, UsageError
from elman.inspect.credit import leave_out
from elman.inspect.memory_horizon import horizon
from elman.recurrent import Packed
from elman.tasks.tagging.data import END

draw = random.Random(5)
WORDS = ["the", "cat", "dogs", "sees", "北京", "."]
TEXTS = [draw.choices(WORDS, k=1 + n % 7) for n in range(60)]
DATA = [Sentence(text, [*(word[:1] for word in text[1:]), "-"]) for text in TEXTS]  # the tag is what the next word says
TINY = {"hidden_size": 12, "word_size": 6, "char_size": 0, "form_size": 0, "batch_tokens": 60, "threads": 1}


@pytest.fixture(scope="module")
def tagger() -> elman.Tagger:
    training = {"epochs": 30, "learning_rate": 0.03, "dropout": 0.0, "word_dropout": 0.0, "average": 0.0}
    return elman.Tagger(**TINY, **training, delay=1).fit(DATA)


def test_what_only_the_next_word_says_is_learned(tagger: elman.Tagger) -> None:
    assert tagger.evaluate(DATA).accuracy == 1.0
    blind = elman.Tagger(**TINY, delay=0, epochs=3).fit(DATA)
    assert blind.evaluate(DATA).accuracy < 0.7


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_an_answer_depends_on_the_delay_and_nothing_later(delay: int) -> None:
    torch.manual_seed(1)
    tagger = elman.Tagger(**TINY, delay=delay, epochs=1).fit(DATA)

    def scores(text: list[str]) -> Any:
        batch = tagger.vocabularies.batch([text], delay=delay)
        with torch.no_grad():
            return [pytest.approx(row, abs=1e-6) for row in tagger.network(batch).tolist()]

    text = ["the", "cat", "sees", "dogs", "the", "."]
    whole = scores(text)
    for i in range(len(text)):
        for j in range(len(text)):
            other = scores([*text[:j], "北京", *text[j + 1 :]])
            assert (other[i].expected != whole[i]) == (j <= i + delay), (i, j)
        assert (scores(text[: i + 1])[0].expected != whole[0]) == (i < delay)


@pytest.mark.parametrize("crf", [False, True])
def test_the_loss_is_that_of_each_word_at_its_later_step(crf: bool) -> None:
    """Against one sentence after the other, written plainly; an empty one counts for nothing."""
    tagger = elman.Tagger(**TINY, delay=2, crf=crf, epochs=1).fit(DATA)
    network, vocabularies = tagger.network.eval(), tagger.vocabularies
    some = [[], *(s.words for s in DATA[:9])]
    gold = [[], *(s.tags or [] for s in DATA[:9])]
    expected = torch.zeros(())
    for text, tags in zip(some[1:], gold[1:], strict=True):
        rows = network.words(torch.tensor([0 if w == END else vocabularies.words[w] for w in [*text, END, END]]))
        (ys,), _ = network.layers([rows])
        scores, ids = network.out(ys[2:]), torch.tensor(vocabularies.tags.ids(tags))
        if crf:
            one = Packed(scores, [1] * len(text), [len(text)], torch.zeros(1, dtype=torch.long))
            expected = expected + network.crf.loss(one, ids)
        else:
            expected = expected + nn.functional.cross_entropy(scores, ids, reduction="sum")
    batch = vocabularies.batch(some, gold, 2)
    assert batch.tokens == sum(map(len, some))
    torch.testing.assert_close(network.loss(batch), expected)


def test_the_sequences_without_their_first_steps() -> None:
    xs = [torch.randn(n, 2) for n in (3, 0, 5, 1, 5, 2)]
    packed = Packed.from_list(xs)
    for steps in range(7):
        later = packed.after(steps)
        for x, y in zip(xs, later.to_list(), strict=True):
            assert torch.equal(x[steps:], y)
        assert sum(later.lengths) == len(later.data) and sum(later.batch_sizes) == len(later.data)


def test_the_setting(tmp_path: Path, tagger: elman.Tagger) -> None:
    assert elman.Tagger(delay=0).settings.model.one_way and not elman.Tagger().settings.model.one_way
    with pytest.raises(UsageError, match="setting delay: expected a whole number of 0 or more, or none, found -1"):
        elman.Tagger(delay=-1)
    with pytest.raises(UsageError, match="sees nothing to the right"):
        elman.Tagger(delay=1, window_after=1)
    tagger.save(tmp_path / "model")
    assert elman.load(tmp_path / "model").predict(TEXTS) == tagger.predict(TEXTS)
    assert "one direction, a delay of 1 words" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    elman.Tagger(**TINY, one_way=True, epochs=1).fit(DATA, out=tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_bytes())
    del config["settings"]["delay"]  # as folders of before have it
    (tmp_path / "old" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert elman.load(tmp_path / "old").network.delay == 0


def test_a_word_left_out_is_the_words_own(tagger: elman.Tagger) -> None:
    """The tag says what the next word is, so that one is missed, and its own word not at all."""
    text = ["the", "cat", "sees", "."]
    for tokens in (text, [*text, END]):
        drops = leave_out(tagger, tokens).values[:, :4]
        assert np.array_equal(np.isnan(drops), np.eye(4, dtype=bool))  # the answer is gone with its own word
        assert np.nanargmax(drops[:3], axis=1).tolist() == [1, 2, 3]


def test_the_horizon_to_the_right_is_the_delay(tagger: elman.Tagger) -> None:
    sides = horizon(tagger, DATA[:30], most=6).sides
    assert sides["right"].steps == 1 and sides["right"].gradient_steps == 1
