"""What every model of texts with labels must do; the tests run over the table of the task's models."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import elman
from elman import Classifier, DataError, UsageError
from elman.tasks import TASKS
from elman.tasks.classification.job import ClassifierJob
from elman.tasks.load import model_class
from elman.text.example import Example
from elman.text.tokenizing import get_tokenizer
from elman.training import Progress, make_progress

SMALL = {"word_size": 12, "epochs": 3, "batch_tokens": 60, "threads": 1, "average": 0.0, "learning_rate": 0.02}
MODELS = TASKS["classify"]
NETWORKS = ("network", "cbow")


def made(model: str, **settings: Any) -> Any:
    more = SMALL if model in NETWORKS else {}
    more = more | ({"hidden_size": 8} if model == "network" else {})
    return model_class("classify", model)(**{**more, **settings})


def corpus(count: int, seed: int = 1, several: bool = False) -> list[Example]:
    """Texts of good, bad and other words, labelled by which of them are there; some are empty."""
    source, data = random.Random(seed), []
    for i in range(count):
        words = source.choices(["good", "bad", "film", "Film", "the", "a", "über", "!"], k=source.randint(0, 9))
        kinds = [label for label, word in (("pos", "good"), ("neg", "bad")) if word in words]
        labels = kinds if several else ["pos" if kinds == ["pos"] else "neg" if kinds == ["neg"] else "mixed"]
        data.append(Example(" ".join(words), labels, "made", i + 1))
    return data


def spelled_out(text: str) -> set[str]:
    """The n-grams of one and two words, in lower case, with the ends of the text."""
    words = ["<s>", *get_tokenizer("words").split(text.lower()), "</s>"]
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}


TRAIN, DEV = corpus(120), corpus(40, seed=2)
TEXTS = ["good film", "", "a bad film !", "never seen", "the the the the the the the the the the the good bad", "good"]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_saved_and_loaded(model: str, several: bool, tmp_path: Path) -> None:
    train, dev = corpus(120, several=several), corpus(40, 2, several)
    one = made(model, several=several).fit(train, dev, test=dev, out=tmp_path / "m", reading={"format": "csv"})
    two = elman.load(tmp_path / "m")
    found = one.probabilities(TEXTS)
    assert type(two) is type(one) and two.labels == one.labels and two.reading == {"format": "csv"}
    assert torch.equal(found, two.probabilities(TEXTS)) and found.shape == (len(TEXTS), len(one.labels))
    assert ((found >= 0) & (found <= 1)).all()
    if not several:
        assert torch.allclose(found.sum(1), torch.ones(len(TEXTS)), atol=1e-6)
    metrics = json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert metrics["dev"] == metrics["test"] == json.loads(json.dumps(two.evaluate(dev).to_json()))
    result, sums = two.evaluate(dev), two.statistics(dev).sum(0, dtype=float, keepdims=True)
    assert two.measure.score(sums)[0] == pytest.approx(getattr(result, two.measure.name))
    assert sums[0, two.measure.counted] == len(dev) and two.measure.name == ("micro_f1" if several else "accuracy")
    assert "Labels: " in (tmp_path / "m" / "README.md").read_text()
    one.save(tmp_path / "again")
    assert torch.equal(elman.load(tmp_path / "again").probabilities(TEXTS), found)
    assert not list(tmp_path.glob("**/*.pkl")) and not (tmp_path / "m" / "training").exists()
    with pytest.raises(UsageError, match="a model"):
        one.save(tmp_path / "m")


@pytest.mark.parametrize("tokenizer", ["words", "characters", "subwords", "space"])
@pytest.mark.parametrize("model", MODELS)
def test_every_tokenizer(model: str, tokenizer: str, tmp_path: Path) -> None:
    one = made(model, tokenizer=tokenizer, subword_size=270, lowercase=True).fit(TRAIN, out=tmp_path / "m")
    two = elman.load(tmp_path / "m")
    assert torch.equal(one.probabilities(TEXTS), two.probabilities(TEXTS))
    assert torch.equal(two.probabilities(["GOOD Film"]), two.probabilities(["good film"]))


@pytest.mark.parametrize("pooling", ["final", "max", "mean", "attention"])
@pytest.mark.parametrize("model", MODELS)
def test_a_text_is_answered_the_same_alone_and_in_any_batch(model: str, pooling: str) -> None:
    if model != "network" and pooling != "final":
        return
    more = {"pooling": pooling, "layers": 2} if model == "network" else {}
    one = made(model, **more).fit(TRAIN, DEV)
    texts = [example.text for example in corpus(60, seed=7)] + TEXTS
    together = one.probabilities(texts)
    for i, text in enumerate(texts):
        assert torch.allclose(one.probabilities([text])[0], together[i], rtol=0, atol=1e-5)
    if model in NETWORKS:
        vectors = one.encode(texts)
        assert vectors.dtype == np.float32 and vectors.shape == (len(texts), one.network.encoded_size)
        assert np.abs(vectors[3] - one.encode(texts[3:4])[0]).max() < 1e-5
        empty = np.abs(one.encode([""])).max()
        assert empty == 0  # no steps: the initial state, the maximum or mean of nothing
        shown = torch.from_numpy(vectors)
        with torch.no_grad():
            scores = one.network.out(one.network.head(shown))
            if model == "network":
                ngrams, weight = one.vocabularies.ngrams, one.network.ngrams.weight
                for row, text in zip(scores, texts, strict=True):
                    row += sum(weight[ngrams[name]] for name in spelled_out(text) if name in ngrams)
            assert torch.allclose(scores.softmax(-1), together, atol=1e-6)


def test_answers() -> None:
    one = made("ngrams").fit(TRAIN, DEV)
    first, second = one.predict(["good", "bad"], probabilities=True)
    assert one("good") == first.label == "pos" and one("bad") == second.label == "neg"
    assert first.probabilities is not None and first.chances == [first.probabilities["pos"]]
    assert list(first.probabilities) == one.labels == ["mixed", "neg", "pos"]
    assert one.predict(["good"])[0].probabilities is None
    assert one.evaluate(DEV).accuracy == sum(one(e.text) == (e.labels or [""])[0] for e in DEV) / len(DEV)
    many = made("ngrams", several=True).fit(corpus(120, several=True), corpus(40, 2, several=True))
    assert sorted(many("good bad")) == ["neg", "pos"] and many("film") == [] and many.predict(["film"])[0].label is None
    with pytest.raises(UsageError, match="list of texts"):
        one.predict("good")
    with pytest.raises(UsageError, match="strings or examples, found list"):
        one.predict([["good"]])


def test_the_majority_gives_the_shares() -> None:
    data = [Example("x", [label]) for label in "aabbbc"]
    assert made("majority").fit(data).probabilities(["", "y"]).tolist() == pytest.approx(
        [pytest.approx([1 / 3, 1 / 2, 1 / 6])] * 2
    )
    many = made("majority", several=True).fit([Example("", ["a"]), Example("", ["a", "b"]), Example("", [])])
    assert many.probabilities([""]).tolist() == [pytest.approx([2 / 3, 1 / 3])] and many("") == ["a"]


def test_the_best_penalty_on_dev_is_chosen() -> None:
    from elman.tasks.classification.rivals.ngrams import STRENGTHS, USUAL

    noisy = [Example(e.text, DEV[i % 40].labels if i % 3 else e.labels) for i, e in enumerate(TRAIN)]
    scores = {l2: made("ngrams", l2=l2).fit(noisy).evaluate(DEV).accuracy or 0 for l2 in STRENGTHS}
    assert made("ngrams").fit(noisy, DEV).evaluate(DEV).accuracy == max(scores.values()) > min(scores.values())
    assert made("ngrams").fit(noisy).evaluate(DEV).accuracy == scores[USUAL]


@pytest.mark.parametrize("model", MODELS)
def test_wrong_data(model: str) -> None:
    with pytest.raises(DataError, match="at least one labelled text"):
        made(model).fit([])
    with pytest.raises(DataError, match=r"made:1.*one label"):
        made(model).fit([Example("x", None, "made", 1)])
    with pytest.raises(DataError, match="dev data"):
        made(model).fit(TRAIN, [Example("x", [])])
    with pytest.raises(DataError, match=r"made:\d+: expected at most 3 tokens"):
        made(model, longest=3).fit(TRAIN)
    one = made(model, longest=9).fit(TRAIN, DEV)
    with pytest.raises(DataError, match="at most 9 tokens"):
        one.predict(["a " * 10])
    with pytest.raises(DataError, match="evaluation data"):
        one.evaluate([Example("x")])
    with pytest.raises(UsageError, match="not trained"):
        made(model).predict(["x"])
    strange = one.evaluate([Example("good", ["new"]), Example("good", ["pos"])])
    assert strange.unknown == 1 and strange.examples.total == 2


class Stop(Exception):
    pass


class Until:
    """Stops the training from within, as a crash would, at one of its steps."""

    def __init__(self, step: int) -> None:
        self.last, self.inner = step, make_progress(quiet=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Progress:
        self.inner.__enter__()
        return self  # type: ignore[return-value]

    def __exit__(self, *problem: Any) -> None:
        self.inner.__exit__(*problem)

    def step(self, report: Any) -> None:
        if report.step == self.last:
            raise Stop


@pytest.mark.parametrize("pooling", ["final", "max", "attention"])
def test_learns_which_came_first(pooling: str) -> None:
    """Whether an a stands before the b: nothing for a bag of words, all for a recurrent network."""
    source = random.Random(3)

    def example() -> Example:
        words = source.choices("xyz", k=source.randint(2, 8))
        first, second = sorted(source.sample(range(len(words)), 2))
        order = source.choice(["ab", "ba"])
        words[first], words[second] = order
        return Example(" ".join(words), [order])

    train, dev, test = ([example() for _ in range(n)] for n in (300, 60, 100))
    settings: dict[str, Any] = {
        "dropout": 0.0,
        "word_dropout": 0.0,
        "unknown": 0.0,
        "epochs": 12,
        "learning_rate": 0.02,
    }
    one = made("network", pooling=pooling, hidden_size=16, **settings).fit(train, dev)
    assert one.evaluate(test).accuracy == 1.0
    bag = made("ngrams", ngram_order=1).fit(train, dev)
    assert (bag.evaluate(test).accuracy or 0) < 0.7


def test_learns_several_labels_at_once() -> None:
    train, dev = corpus(300, several=True), corpus(60, 5, several=True)
    one = made("network", several=True, dropout=0.0, epochs=10).fit(train, dev)
    assert one.evaluate(corpus(100, 6, several=True)).micro_f1 == 1.0


def test_class_weights_find_the_rare_label() -> None:
    data = [Example("w", ["often"])] * 90 + [Example("w", ["rare"])] * 10
    plain = made("cbow", epochs=8).fit(data).probabilities(["w"])[0]
    even = made("cbow", epochs=8, class_weights="balanced").fit(data).probabilities(["w"])[0]
    assert plain[1] < 0.3 and abs(even[1] - 0.5) < 0.15


def test_given_vectors(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("good 1 0 0\nbad 0 1 0\nsplendid 1 0 0\nfilm 0 0 1\n")
    settings = {"word_size": 0, "form_size": 0, "vectors": str(path), "dropout": 0.0, "epochs": 6}
    data = [Example(f"{w} {x}", [label]) for w, label in (("good", "pos"), ("bad", "neg")) for x in "abcd" * 10]
    one = made("network", **settings).fit(data, 0.2, out=tmp_path / "m")
    path.unlink()
    two = elman.load(tmp_path / "m")
    assert two("splendid") == one("splendid") == "pos" and two("bad") == "neg"
    assert torch.equal(two.probabilities(TEXTS), one.probabilities(TEXTS))


def test_the_seed_decides_and_the_callers_generator_is_left_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        return Classifier(**SMALL, hidden_size=4, seed=seed).fit(TRAIN, DEV).network.out.weight

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.rand(3), expected)


def test_labels_that_only_the_ends_of_unseen_words_tell() -> None:
    def texts(seed: int, letters: str) -> list[Example]:
        source, data = random.Random(seed), []
        for i in range(80):
            stem = "".join(source.choices(letters, k=5))
            data.append(Example(f"the {stem}{'ly' if i % 2 else 'ous'} one", ["ly" if i % 2 else "ous"]))
        return data

    train, test = texts(1, "abcde"), texts(2, "fghij")
    assert made("network", dropout=0.0, epochs=5).fit(train).evaluate(test).accuracy == 1.0
    assert made("network", dropout=0.0, epochs=5, form_size=0).fit(train).evaluate(test).accuracy == 0.5


def test_forms_are_those_of_words_unless_asked_for() -> None:
    for tokenizer, expected in (("words", 16), ("space", 16), ("characters", 0), ("subwords", 0)):
        model = made("network", tokenizer=tokenizer, subword_size=260, epochs=1).fit(TRAIN)
        assert (0 if model.network.forms is None else model.network.forms.size) == expected
    assert made("network", tokenizer="characters", form_size=3, epochs=1).fit(TRAIN).network.forms.size == 3


def test_a_folder_from_before_word_forms_loads_as_it_was(tmp_path: Path) -> None:
    one = made("network", form_size=0).fit(TRAIN, out=tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["settings"]["form_size"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    two = elman.load(tmp_path / "old")
    assert two.network.forms is None and torch.equal(two.probabilities(TEXTS), one.probabilities(TEXTS))


def test_an_excerpt_has_the_ngrams_of_its_own_texts() -> None:
    model = made("network", dropout=0.0).fit(TRAIN)
    texts = ["good film", "", "a bad film !", "so good", "the film"]
    labels = torch.tensor([0, 1, 2, 0, 1])
    batch = model.vocabularies.batch([text.split() for text in texts], labels)
    job = ClassifierJob(model.network.eval(), model.vocabularies, model.settings, TRAIN[:5], [], None, None)
    whole = model.network.outcome(batch).losses
    for count in (1, 3, 5):
        assert torch.allclose(job.excerpt(batch, count, 100).losses(), whole[:count], atol=1e-6)


@pytest.mark.parametrize("wide", [0, 1, 3])
def test_ngrams_of_any_order_or_none(wide: int, tmp_path: Path) -> None:
    model = made("network", wide=wide, epochs=1).fit(TRAIN, out=tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert torch.equal(again.probabilities(TEXTS), model.probabilities(TEXTS))
    assert (tmp_path / "m" / "ngrams.json").exists() == bool(wide) == (model.network.ngrams is not None)
    if wide:
        longest = max(len(name.split(" ")) for name in model.vocabularies.ngrams.items)
        assert longest == wide and not (model.network.ngrams.weight == 0).all()
        (tmp_path / "m" / "ngrams.json").unlink()
        with pytest.raises(elman.ModelError, match="ngrams"):
            elman.load(tmp_path / "m")
