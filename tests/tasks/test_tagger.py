"""The tagger as its users call it: trains, predicts, scores, saves, loads; against something independent."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

import elman
from elman import DataError, ModelError, Sentence, Tagger, UsageError, schemes
from elman.layers.characters import LONGEST, spelling
from elman.layers.remembered import Remembered
from elman.recurrent import CELLS
from elman.tasks.tagging import network_model
from elman.tasks.tagging.data import Vocabularies, split
from elman.tasks.tagging.job import TaggerJob
from elman.tasks.tagging.modules import TaggerNetwork
from elman.text.vocabulary import Vocabulary

TINY = {"hidden_size": 8, "word_size": 6, "char_size": 4, "char_hidden_size": 5, "batch_tokens": 30, "threads": 1}

NAMES = ["Ada", "Basil", "Chloé", "Дмитрий", "王小明", "Zoë"]
PLACES = ["London", "Köln", "Αθήνα", "北京"]


def corpus() -> list[Sentence]:
    """People live in places; two-word names, so that I- tags occur."""
    sentences = []
    for (i, name), place in itertools.product(enumerate(NAMES), PLACES):
        sentences.append(Sentence([name, "lives", "in", place], ["B-PER", "O", "O", "B-LOC"]))
        other = NAMES[(i + 1) % len(NAMES)]
        sentences.append(Sentence([place, "met", name, other, "."], ["B-LOC", "O", "B-PER", "I-PER", "O"]))
    return sentences


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger") / "model"
    Tagger(**TINY, crf=True, epochs=25, learning_rate=0.02, dropout=0.1).fit(corpus(), dev=corpus()[::3], out=folder)
    return folder


def test_it_learns_what_can_be_learned(trained: Path) -> None:
    tagger = elman.load(trained)
    assert tagger(["Αθήνα", "met", "Zoë", "Ada", "."]) == ["B-LOC", "O", "B-PER", "I-PER", "O"]
    result = tagger.evaluate(corpus())
    assert result.accuracy == 1.0 and result.entities["strict"].overall.f1 == 1.0
    assert tagger.scheme == "iob2"


def test_saved_and_loaded_is_the_same_tagger(trained: Path, tmp_path: Path) -> None:
    one = elman.load(trained)
    one.save(tmp_path / "copy")
    other = elman.load(tmp_path / "copy")
    texts = [s.words for s in corpus()] + [["never", "seen", "Ω"], []]
    for a, b in zip(one.predict(texts, probabilities=True), other.predict(texts, probabilities=True), strict=True):
        assert a == b
    with pytest.raises(UsageError, match="found a model"):
        one.save(tmp_path / "copy")


def test_a_folder_from_before_word_forms_loads_as_it_was(tmp_path: Path) -> None:
    one = Tagger(**{**TINY, "form_size": 0}, epochs=1).fit(corpus(), out=tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["settings"]["form_size"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    texts = [sentence.words for sentence in corpus()]
    assert elman.load(tmp_path / "old").predict(texts) == one.predict(texts)
    assert one.network.forms is None and Tagger().settings.model.form_size


def test_files_of_two_models_do_not_mix(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(trained, folder)
    (folder / "tags.json").write_text('{"unknown":null,"items":["A","B"]}')
    with pytest.raises(ModelError, match=r"model\.safetensors.*crf"):
        elman.load(folder)


def test_a_newer_folder_says_which_version_wrote_it(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "newer"
    shutil.copytree(trained, folder)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(ModelError, match="99"):
        elman.load(folder)
    with pytest.raises(ModelError, match="nothing there"):
        elman.load(tmp_path / "nowhere")


def network(cell: str, crf: bool, dtype: torch.dtype, **more: object) -> tuple[TaggerNetwork, Vocabularies]:
    tagger = Tagger(**{**TINY, "cell": cell, "crf": crf, **more})
    sentences = corpus()
    tagger.scheme = "iob2"
    tagger._vocabularies = Vocabularies.of(sentences, None, None)
    torch.manual_seed(3)
    tagger._network = tagger._make(None, tagger._legal(), stored=False)
    return tagger.network.to(dtype).eval(), tagger.vocabularies


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("cell", CELLS)
def test_a_sentence_scores_the_same_alone_and_in_any_batch(cell: str, dtype: torch.dtype, tolerance: float) -> None:
    for crf, more in ((False, {"layers": 2}), (True, {"window_before": 2, "window_after": 1})):
        net, vocabularies = network(cell, crf, dtype, **more)
        texts = [s.words for s in corpus()] + [["new"] * 17, [], ["x"]]
        with torch.inference_mode():
            together = vocabularies.batch(texts)
            packed = together.layout.with_data(net(together))
            scores, labels = packed.to_list(), packed.with_data(net.decode(packed)).to_list()
            for text, score, label in zip(texts, scores, labels, strict=True):
                if not text:
                    assert len(score) == 0
                    continue
                alone = vocabularies.batch([text])
                own = net(alone)
                assert (own - score).abs().max() <= tolerance * own.abs().max()
                assert torch.equal(net.decode(alone.layout.with_data(own)), label)


def test_the_loss_is_that_of_the_gold_tags_alone() -> None:
    for crf in (False, True):
        net, vocabularies = network("gru", crf, torch.float64)
        sentences = corpus()[:7]
        batch = vocabularies.batch([s.words for s in sentences], [s.tags or [] for s in sentences])
        total = 0.0
        for sentence in sentences:
            scores = net(vocabularies.batch([sentence.words])).detach()
            gold = vocabularies.tags.ids(sentence.tags or [])
            if crf:
                legal = [p for p in itertools.product(range(len(vocabularies.tags)), repeat=len(gold)) if fine(net, p)]
                weights = torch.stack([path_score(net, scores, path) for path in legal])
                total += (weights.logsumexp(0) - path_score(net, scores, gold)).item()
            else:
                total -= sum(scores.log_softmax(-1)[i, tag].item() for i, tag in enumerate(gold))
        assert net.loss(batch).item() == pytest.approx(total, rel=1e-9)


def fine(net: TaggerNetwork, path: tuple[int, ...]) -> bool:
    assert net.constraint is not None
    return bool(net.constraint.start[path[0]]) and all(
        bool(net.constraint.transitions[a, b]) for a, b in itertools.pairwise(path)
    )


def path_score(net: TaggerNetwork, scores: torch.Tensor, path: tuple[int, ...] | list[int]) -> torch.Tensor:
    assert net.crf is not None
    total = net.crf.start[path[0]] + net.crf.end[path[-1]] + sum(scores[i, tag] for i, tag in enumerate(path))
    return total + sum(net.crf.transitions[a, b] for a, b in itertools.pairwise(path))


def test_probabilities_and_nbest_are_those_of_all_tag_sequences() -> None:
    for crf in (False, True):
        tagger = Tagger(**TINY, crf=crf)
        net, tagger._vocabularies = network("lstm", crf, torch.float64)
        tagger._network = net
        words = ["Ada", "met", "北京"]
        names = tagger.labels
        scores = net(tagger.vocabularies.batch([words])).detach()
        paths = [p for p in itertools.product(range(len(names)), repeat=3) if fine(net, p)]
        if crf:
            weights = torch.stack([path_score(net, scores, p) for p in paths]).detach()
            chances = weights.softmax(0)
        else:
            rows = scores.log_softmax(-1)
            chances = torch.stack([sum(rows[i, t] for i, t in enumerate(p)) for p in paths]).exp()
        order = chances.argsort(descending=True)[:4].tolist()
        (answer,) = tagger.predict([words], probabilities=True, nbest=4)
        assert answer.nbest is not None and answer.probabilities is not None
        assert [tags for tags, _ in answer.nbest] == [[names[t] for t in paths[i]] for i in order]
        assert [p for _, p in answer.nbest] == pytest.approx([float(chances[i]) for i in order])
        assert answer.tags == answer.nbest[0][0]
        for i, tag in enumerate(answer.tags):
            if crf:
                share = sum(float(chances[k]) for k, p in enumerate(paths) if names[p[i]] == tag)
            else:
                share = float(rows[i].exp()[names.index(tag)])
            assert answer.probabilities[i] == pytest.approx(share)


def test_decoding_obeys_the_scheme_with_either_head() -> None:
    for crf in (False, True):
        net, vocabularies = network("elman", crf, torch.float32)
        with torch.no_grad():
            net.out.weight.normal_(std=30)
        batch = vocabularies.batch([s.words for s in corpus()])
        for ids in batch.layout.with_data(net.decode(batch.layout.with_data(net(batch)))).to_list():
            tags = [vocabularies.tags.items[i] for i in ids]
            assert not schemes.violations(tags, "iob2")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"crf": True, "layers": 2},
        {"window_before": 1, "window_after": 1},
        {"cell": "lstm-layernorm"},
        {"form_size": 0},
    ],
)
def test_batches_and_remembered_words_change_no_answer(more: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = Tagger(**{**TINY, **more}, epochs=3, learning_rate=0.02).fit(corpus())
    texts = [sentence.words for sentence in corpus()] + [["new", "Ada"] * 9, [], ["x"], ["new"]]
    expected = []
    for text in texts:  # each alone, by the whole network
        batch = tagger.vocabularies.batch([text])
        with torch.no_grad():
            scores = batch.layout.with_data(tagger.evaluated(batch))
            best, chances, _ = tagger.network.explain(scores, 1)
        expected.append(([tagger.labels[i] for i in best], chances.gather(1, best.unsqueeze(1)).flatten().tolist()))

    def require_expected(answers) -> None:
        for answer, (tags, chances) in zip(answers, expected, strict=True):
            assert answer.tags == tags and answer.probabilities == pytest.approx(chances, abs=1e-5)

    require_expected(tagger.predict(texts, probabilities=True))
    require_expected(tagger.predict([text], probabilities=True)[0] for text in texts)
    for room in (1 << 26, 20_000):  # with and without room for all words
        monkeypatch.setattr(network_model, "Remembered", functools.partial(Remembered, room=room))
        with tagger.remembering():
            for size in (1, 7, 60, 3):
                groups = [texts[i : i + size] for i in range(0, len(texts), size)]
                require_expected(answer for group in groups for answer in tagger.predict(group, probabilities=True))
    plain = tagger.predict(texts)
    assert [answer.tags for answer in plain] == [tags for tags, _ in expected]


def test_answers_follow_the_weights_and_hooks_see_every_word() -> None:
    tagger = Tagger(**TINY, epochs=1).fit(corpus())
    texts = [sentence.words for sentence in corpus()]
    before = tagger.predict(texts, probabilities=True)
    with torch.no_grad():
        tagger.network.words.embedding.weight.data.mul_(3)
    after = tagger.predict(texts, probabilities=True)
    assert before != after
    rows = []
    hook = tagger.network.layers.register_forward_hook(lambda layer, given, result: rows.append(len(given[0].data)))
    assert [a.tags for a in tagger.predict(texts)] == [a.tags for a in after]
    hook.remove()
    assert rows == [sum(map(len, texts))]


def test_each_distinct_word_is_spelled_once() -> None:
    net, vocabularies = network("lstm", False, torch.float64)
    texts = [["Ada", "met", "Ada"], ["Ada"], ["x" * 200, "met"]]
    batch = vocabularies.batch(texts)
    assert batch.spellings is not None and net.characters is not None
    assert batch.spellings.characters.sequences == 3
    encoded = batch.layout.with_data(net.characters(batch.spellings)).to_list()
    assert torch.equal(encoded[0][0], encoded[0][2]) and torch.equal(encoded[0][0], encoded[1][0])
    alone = vocabularies.batch([["x" * 200]])
    assert alone.spellings is not None
    assert torch.allclose(net.characters(alone.spellings)[0], encoded[2][0], rtol=0, atol=1e-12)
    assert spelling(list(range(100))) == [*range(32), *range(68, 100)]
    assert len(spelling(list(range(LONGEST)))) == LONGEST


def test_rare_words_become_unknown_in_training_as_often_as_said() -> None:
    from elman.layers.embedding import RareEmbedding

    torch.manual_seed(0)
    layer = RareEmbedding([0, 1, 4, 1000], 2, unknown=0.25)
    with torch.no_grad():
        layer.embedding.weight.copy_(torch.arange(8.0).view(4, 2))
    ids = torch.tensor([0, 1, 2, 3]).repeat(20_000)
    dropped = (layer(ids)[:, 0].view(-1, 4) == 0).float().mean(0)
    assert dropped.tolist() == pytest.approx([1.0, 0.25 / 1.25, 0.25 / 4.25, 0.25 / 1000.25], abs=0.01)
    assert torch.equal(layer.eval()(ids), layer.embedding.weight[ids])


def test_words_seen_only_in_the_vectors_are_known(tmp_path: Path) -> None:
    sentences = [Sentence([w, "runs"], ["X" if w in "abc" else "Y", "V"]) for w in "abcuvw" for _ in range(4)]
    lines = [f"{w} {1 if w in 'abcd' else -1} {0.1 * i:.1f}" for i, w in enumerate("abcduvwx")]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    settings = {
        **TINY,
        "word_size": 0,
        "char_size": 0,
        "form_size": 0,
        "epochs": 30,
        "learning_rate": 0.03,
        "dropout": 0.0,
    }
    tagger = Tagger(**settings, vectors=str(tmp_path / "vectors.txt")).fit(sentences, out=tmp_path / "m")
    (tmp_path / "vectors.txt").unlink()
    again = elman.load(tmp_path / "m")
    for model in (tagger, again):
        assert model(["d", "runs"])[0] == "X" and model(["x", "runs"])[0] == "Y"
        assert model(["D", "runs"])[0] == "X", "in lower case where the word itself has no vector"


def test_starting_from_another_model(trained: Path) -> None:
    more = [Sentence(["Ada", "visits", "ギリシャ"], ["B-PER", "O", "B-GPE"])]
    old = elman.load(trained)
    new = Tagger(**TINY, crf=True, epochs=1, learning_rate=1e-12, average=0).fit(more, init=trained)
    assert new.labels == [*old.labels, "B-GPE"]
    # A step of next to nothing: what the old model knew stands where it stood.
    words, olds = new.vocabularies.words, old.vocabularies.words
    for word in ("London", "met", "Ada"):
        mine = new.network.words.embedding.weight[words[word]]
        assert torch.allclose(mine, old.network.words.embedding.weight[olds[word]], atol=1e-9)
    b, i = old.labels.index("B-PER"), old.labels.index("I-PER")
    assert new.network.crf.transitions[b, i].item() == pytest.approx(old.network.crf.transitions[b, i].item(), abs=1e-9)
    with pytest.raises(UsageError, match="architecture"):
        Tagger(**{**TINY, "hidden_size": 9}, crf=True, epochs=1).fit(more, init=trained)


CELL = """
import torch
from elman import Cell, gate

class Mine(Cell):
    gates = ("f", "z")
    def step(self, s, x, r):
        f = gate("f", torch.sigmoid(x.f + r.f))
        return self.State(h=(1 - f) * s.h + f * torch.tanh(x.z + r.z))
"""


def test_a_users_own_cell_is_stored_and_runs_only_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CELL)
    tagger = Tagger(**TINY, epochs=1, cell=f"{tmp_path}/mine.py:Mine").fit(corpus(), out=tmp_path / "m")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ModelError, match="allow_code"):
        elman.load(tmp_path / "m")
    again = elman.load(tmp_path / "m", allow_code=True)
    assert (tmp_path / "m" / "cell.py").read_text() == CELL
    assert [p.tags for p in again.predict(corpus())] == [p.tags for p in tagger.predict(corpus())]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"hiden_size": 3}, "hidden_size"),
        ({"epoch": 3}, "epochs"),
        ({"hidden_size": 0}, "1 or more"),
        ({"hidden_size": "big"}, "hidden_size"),
        ({"dropout": 1.0}, "below 1"),
        ({"scheme": "bio"}, "iob2"),
        ({"word_size": 0, "char_size": 0, "form_size": 0}, "words, characters or vectors"),
        ({"one_way": True, "window_after": 1}, "window_after"),
        ({"max_time": "soon"}, "10m"),
    ],
)
def test_wrong_settings_say_what_was_expected(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tagger(**settings)


def test_unknown_cells_are_named() -> None:
    with pytest.raises(UsageError, match="unknown cell 'lsmt'"):
        Tagger(**TINY, cell="lsmt").fit(corpus())


def test_data_that_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="a tag for every word"):
        Tagger(**TINY).fit([Sentence(["a", "b"], None, "x.conllu", 7)])
    with pytest.raises(DataError, match="at least one word"):
        Tagger(**TINY).fit([])
    stray = [*corpus(), Sentence(["a", "Bo"], ["O", "I-PER"], "x.tsv", 90, [90, 91])]
    with pytest.raises(DataError, match=r"x\.tsv:91.*scheme=none"):
        Tagger(**TINY).fit(stray)
    Tagger(**TINY, scheme="none", epochs=1).fit(stray)


def test_what_is_not_a_sentence_is_refused(trained: Path) -> None:
    tagger = elman.load(trained)
    with pytest.raises(UsageError, match=r"text\.split"):
        tagger("Ada lives")
    with pytest.raises(UsageError, match="lists of words"):
        tagger.predict([["Ada", ""]])
    with pytest.raises(UsageError, match="not trained"):
        Tagger()(["Ada"])
    assert tagger([]) == [] and tagger.predict([]) == []
    assert tagger.predict([[], ["Ada"], []])[1].tags == tagger(["Ada"])


def test_a_dev_fraction_is_set_aside_by_the_seed() -> None:
    sentences = corpus()
    train, dev = split(sentences, 0.25, seed=1)
    assert len(dev) == 12 and len(train) + len(dev) == len(sentences)
    assert all(any(s is t for t in train) != any(s is d for d in dev) for s in sentences)
    assert split(sentences, 0.25, seed=1)[1] == dev and split(sentences, 0.25, seed=2)[1] != dev
    for wrong in (0.0, 1.0, 1.5):
        with pytest.raises(UsageError, match="between 0 and 1"):
            split(sentences, wrong, 1)
    with pytest.raises(DataError, match="enough sentences"):
        split(sentences[:2], 0.1, 1)


def test_one_way_never_looks_ahead() -> None:
    net, vocabularies = network("lstm", False, torch.float64, one_way=True, layers=2, window_before=1, delays=2)
    words = corpus()[1].words
    whole = net(vocabularies.batch([words]))
    for i in range(1, len(words)):
        assert torch.allclose(net(vocabularies.batch([words[:i]])), whole[:i], rtol=0, atol=1e-12)
    assert net.layers.causal


def test_same_seed_same_tagger_other_seed_another() -> None:
    def weights(seed: int) -> torch.Tensor:
        return Tagger(**TINY, epochs=1, seed=seed).fit(corpus()).network.out.weight

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_vocabularies_keep_their_order_when_extended() -> None:
    old = Vocabularies.of(corpus(), None, None)
    new = Vocabularies.of([Sentence(["Zürich", "lives"], ["B-LOC", "O"])], None, old)
    assert new.words.items[: len(old.words)] == old.words.items and new.words.items[-1] == "Zürich"
    assert new.tags == old.tags and new.words["nothing like it"] == 0
    assert isinstance(new.characters, Vocabulary) and new.characters["ü"] == len(new.characters) - 1


def test_a_users_cell_that_breaks_the_contract_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "mixing.py").write_text(CELL.replace("f * torch.tanh(x.z + r.z)", "torch.tanh(x.z).mean(0)"))
    with pytest.raises(UsageError, match="rows are independent"):
        Tagger(**TINY, cell=f"{tmp_path}/mixing.py:Mine").fit(corpus(), out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_what_a_run_depends_on_is_in_its_fingerprint() -> None:
    net, vocabularies = network("lstm", False, torch.float32)
    settings = Tagger(**TINY).settings

    def job(train: list[Sentence], inputs: dict[str, str | bytes | None]) -> dict[str, str]:
        return TaggerJob(net, vocabularies, settings, None, train, train[:3], inputs).fingerprint()

    base = job(corpus(), {"cell file": "a", "word vectors": None})
    assert set(base) == {"elman", "training data", "dev data", "settings", "cell file"}
    assert job(corpus(), {"cell file": "b"})["cell file"] != base["cell file"]
    retagged = corpus()
    retagged[5].tags[0] = "O"
    assert (
        job(retagged, {})["training data"] != base["training data"]
        and job(retagged, {})["dev data"] == base["dev data"]
    )


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Tagger(**TINY, epochs=1).fit(corpus())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("dev", "expected"), [(1, 1), (4, 1), (5, 2), (41, 11)])
def test_no_more_of_dev_is_scored_than_is_trained_on(dev: int, expected: int, tmp_path: Path) -> None:
    train = [Sentence(["a", "b"], ["X", "Y"])] * 4
    settings = {**TINY, "batch_tokens": 8, "warmup_steps": 1}
    settings.pop("epochs", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elman.config.training.TrainingConfig.updates", 12)
        patch.setattr("elman.training.schedule.EPOCHS", 12)
        Tagger(**settings).fit(train, train[:1] * dev, out=tmp_path / "m")
    lines = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["dev"]] == [*range(expected, 12, expected), 12]
    Tagger(**settings, epochs=3).fit(train, train[:1] * dev, out=tmp_path / "n")
    lines = [json.loads(line) for line in (tmp_path / "n" / "log.jsonl").read_text().splitlines()]
    assert all(line["dev"] for line in lines) and len(lines) == 3
