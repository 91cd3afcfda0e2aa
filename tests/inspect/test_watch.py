"""Watching a training: it changes nothing, its numbers are those of the lenses, and it keeps to its share of time."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import small_models
import torch
from torch import nn

from elman.errors import UsageError
from elman.inspect import watch as watching
from elman.inspect.backward import gradient_norms
from elman.inspect.subject import Subject
from elman.inspect.trace import gates
from elman.inspect.watch import BRIEF, SEQUENCES, STEPS, Watcher, summary
from elman.recurrent import Packed, get_cell, recurrent_stack
from elman.tasks.classification.rivals.cbow import Cbow
from elman.tasks.tagging.rivals.window import WindowTagger
from elman.training import Excerpt, Job, TrainingConfig, fit, make_progress, prepare

ALL = list(small_models.MAKERS)


class Always(Watcher):
    """Looks at every step, whatever it takes."""

    def _due(self):
        return True


def surroundings(job):
    """All of a training that a look could touch."""
    network = job.network
    return [
        torch.get_rng_state(),
        *(p.detach().clone() for p in network.parameters()),
        *(p.grad.clone() for p in network.parameters() if p.grad is not None),
        *(b.clone() for b in network.buffers()),
        *(value.clone() for value in job.carried().values()),
        torch.tensor([module.training for module in network.modules()]),
        torch.tensor([p.grad is None for p in network.parameters()]),
        torch.tensor([len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]),
        torch.tensor([torch.is_grad_enabled(), torch.get_num_threads()]),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_training_comes_out_bit_for_bit_the_same(name):
    class Careful(Always):
        def _look(self, job, batch):
            before = surroundings(job)
            super()._look(job, batch)
            for old, new in zip(before, surroundings(job), strict=True):
                assert torch.equal(old, new)

    results = []
    for watch in (None, Careful()):
        model, data = small_models.MAKERS[name]()
        model.fit(data, watch=watch)
        results.append((model.network.state_dict(), model.result.history))
    (plain, before), (watched, after) = results
    assert watch.looks == model.result.steps > 0
    assert all(torch.equal(plain[key], watched[key]) for key in plain)
    for one, other in zip(before, after, strict=True):
        seen = other.pop("watch")
        assert seen["gradient_by_distance"] and seen["update_ratio"] and "left_out" not in seen
        for free in ("seconds", "tokens_per_second"):
            del one[free], other[free]
        assert one == other


def excerpted(model, batch, steps):
    """(texts, targets) of the longest sequences of a batch, from the numbers in it."""
    if model.task == "lm":
        names = model.vocabulary.items
        read, written = (batch.ids.with_data(t).to_list() for t in (batch.ids.data, batch.targets))
        pairs = [([names[i] for i in a], [names[i] for i in b]) for a, b in zip(read, written, strict=True)]
    elif model.task == "seq2seq":
        names, known = model.labels, model.vocabularies.source.items
        read, written = batch.sources.ids.to_list(), batch.read.with_data(batch.targets).to_list()
        pairs = [([known[i] for i in a], [names[i] for i in b]) for a, b in zip(read, written, strict=True)]
        pairs = sorted(pairs, key=lambda pair: -len(pair[0]))[:SEQUENCES]
        return [[*a[:-1][: steps - 1], "</s>"] for a, _ in pairs], [b[:-1][: steps - 1] for _, b in pairs]
    else:
        words = batch.layout.with_data(batch.words).to_list()
        texts = [[model.vocabularies.words.items[i] for i in text] for text in words]
        if model.task == "tag":
            tags = batch.layout.with_data(batch.tags).to_list()
            pairs = [(a, [model.labels[i] for i in b]) for a, b in zip(texts, tags, strict=True)]
        else:
            labels = batch.layout.caller_rows(batch.labels)
            if labels.dim() == 1:
                named = [[model.labels[i]] for i in labels]
            else:
                named = [[model.labels[i] for i in row.nonzero().flatten()] for row in labels]
            pairs = list(zip(texts, named, strict=True))
    pairs = sorted(pairs, key=lambda pair: -len(pair[0]))[:SEQUENCES]
    return [a[:steps] for a, _ in pairs], [b if model.task == "classify" else b[:steps] for _, b in pairs]


def by_hand(subject, place):
    """The mean of gradient_norms at each distance from the output at the end of what the cell reads."""
    norms, layout = gradient_norms(subject)[place.name].values, subject.layout
    texts = [text for _, text in subject.outputs]
    if len(set(texts)) < len(texts) and subject.outputs[0][0] is None:  # a written sequence: one loss for all of it
        own = subject.gradients[subject.places.index(place)]
        sums = torch.zeros(len(layout.lengths), *own.shape[1:]).index_add(0, torch.tensor(texts), own)
        norms, outputs = sums.norm(dim=2).numpy(), [(None, text) for text in range(len(sums))]
    else:
        outputs = subject.outputs
    found = {}
    for j, (row, text) in enumerate(outputs):
        end = 0 if place.reverse else layout.lengths[text] - 1
        if row is not None and layout.position_of_row[row] != end:
            continue
        for i in layout.rows_of_sequence[text].tolist():
            found.setdefault(abs(end - int(layout.position_of_row[i])), []).append(float(norms[j, i]))
    return [sum(found[d]) / len(found[d]) for d in range(len(found))]


class Enough(Exception):
    pass


def until(watch, looks):
    """Ends a training after so many looks; epochs are not told."""

    class Until:
        @contextmanager
        def step(self, job, batch):
            with watch.step(job, batch):
                yield
            if watch.looks == looks:
                raise Enough

        def epoch(self):
            return {}, ""

    return Until()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_gradients_and_gates_are_those_of_the_lenses(name):
    model, data = small_models.MAKERS[name]()
    model.settings = replace(model.settings, training=replace(model.settings.training, epochs=4))
    lengths = []

    class Compared(Always):
        def _look(self, job, batch):
            with torch.no_grad():
                for p in job.network.layers.parameters():
                    p.mul_(2)  # some gates are stuck then, and gradients of all sizes
            self._epoch = type(self._epoch)()
            lengths.append(self._length)
            super()._look(job, batch)
            texts, targets = excerpted(model, batch, self._length)
            assert len(texts) > 1
            subject = Subject.of_texts(model, texts, targets)
            model.network.train()
            norms = self._epoch.means("gradient_by_distance")
            assert list(norms) == [place.name for place in subject.places]
            for place in subject.places:
                assert norms[place.name] == pytest.approx(by_hand(subject, place), rel=2e-3, abs=1e-7)
                assert len(norms[place.name]) == max(len(text) for text in texts)
                for gate, array in gates(subject, place.name).items():
                    values = array.values.ravel().tolist()
                    low, high = (sum(map(test, values)) / len(values) for test in ((0.05).__gt__, (0.95).__lt__))
                    assert self._epoch.means("saturation", place.name)[gate] == pytest.approx([low, high], abs=0.01)
                    stuck.append(low + high)

    stuck = []
    with pytest.raises(Enough):
        model.fit(data, watch=until(Compared(), 4))
    assert lengths == [BRIEF, 2 * BRIEF, STEPS, STEPS]
    assert max(stuck, default=1.0) > 0.02


def test_update_ratios_are_those_of_copies():
    model, data = small_models.MAKERS["tagger"]()
    watch, seen = Always(), []

    class Beside:
        epoch = watch.epoch

        @contextmanager
        def step(self, job, batch):
            old = {name: p.detach().double().flatten() for name, p in job.network.named_parameters()}
            with watch.step(job, batch):
                yield
            ratios = {}
            for part in ("words", "characters", "forms", "layers", "out"):
                names = [name for name in old if name.split(".")[0] == part]
                before = torch.cat([old[name] for name in names])
                after = torch.cat([dict(job.network.named_parameters())[n].detach().double().flatten() for n in names])
                ratios[part] = float((after - before).norm() / before.norm())
            seen.append(ratios)

    model.fit(data, watch=Beside())
    steps = [line["step"] for line in model.result.history]
    for line, found in zip(model.result.history, (seen[: steps[0]], seen[steps[0] :]), strict=True):
        expected = {part: sum(one[part] for one in found) / len(found) for part in found[0]}
        assert line["watch"]["update_ratio"] == pytest.approx(expected, rel=1e-4)
        assert min(expected.values()) > 0


def test_what_was_0_has_no_ratio():
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    nn.init.zeros_(network["a"].weight), nn.init.zeros_(network["a"].bias)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(1.5).add_(0)
        network["a"].bias.add_(1)
    assert watching.update_ratios(before, network) == {"b": [pytest.approx(0.5)]}


# Time ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when told."""
    now = [50.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def advance(seconds):
        now[0] += seconds

    return advance


@pytest.mark.parametrize("share", [0.03, 0.1])
@pytest.mark.parametrize("slow", [0.0001, 0.01, 0.3, 2.0])
def test_its_share_of_the_time_is_kept(clock, slow, share):
    class Slow(Watcher):
        def _look(self, job, batch):
            looked.append((len(shares), self._length))
            clock(slow * self._length)

    watch, looked = Slow(share), []
    job = SimpleNamespace(network=nn.Linear(1, 1))
    elapsed = 0.0
    shares = []
    for _ in range(20_000):
        before = watch.seconds
        with watch.step(job, None):
            clock(0.05)  # a step of the optimizer, which is the training's time
        elapsed += 0.05 + watch.seconds - before
        shares.append(watch.seconds / elapsed)
    assert watch.seconds == pytest.approx(sum(slow * length for _, length in looked))
    assert looked[0][0] >= 20
    assert [length for _, length in looked[:4]] == [BRIEF, 2 * BRIEF, STEPS, STEPS][: len(looked)]
    assert len(looked) > 3 or slow == 2.0
    # The first look's price is not known. After the steps that it was worth, the share is kept for good.
    settled = max(looked[0][0], int(slow * BRIEF / 0.05 / share) + 1)
    assert max(shares[settled:]) <= share + 1e-9
    # and what is allowed is used: at every step, or there is no room for one more look
    longer = min(2 * looked[-1][1], STEPS)
    assert len(looked) > 19_000 or watch.seconds + slow * longer > 0.999 * share * elapsed


def test_no_look_says_so():
    line, text = Watcher().epoch()
    assert line == {"looks": 0, "seconds": 0.0, "gradient_by_distance": {}, "saturation": {}, "update_ratio": {}}
    assert text == "watch: nothing measured in this epoch; it was too short"


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_no_share_is_none(share):
    with pytest.raises(UsageError, match="share"):
        Watcher(share)


# The log ------------------------------------------------------------------------------------------------------------


def test_the_log_holds_plain_finite_numbers(tmp_path):
    model, data = small_models.MAKERS["tagger"]()
    model.fit(data, 0.2, out=tmp_path / "m", watch=Always())
    lines = [json.loads(line) for line in (tmp_path / "m/log.jsonl").read_text().splitlines()]
    assert lines == model.result.history and len(lines) == 2
    seen = lines[1]["watch"]
    assert seen["looks"] == lines[1]["step"] - lines[0]["step"] and 0 < seen["seconds"] < lines[1]["seconds"]
    assert list(seen["gradient_by_distance"]) == [f"layer {n} {way}" for n in (1, 2) for way in ("forward", "backward")]
    assert all(0 < len(values) <= STEPS for values in seen["gradient_by_distance"].values())
    assert list(seen["saturation"]["layer 2 backward"]) == ["i", "f", "o"]
    assert list(seen["update_ratio"]) == ["words", "characters", "forms", "layers", "out"]


def test_means_over_looks():
    epoch = watching._Epoch()
    epoch.add({"p": [1.0, 4.0]}, "g")
    epoch.add({"p": [2.0, 6.0, 8.0, math.inf]}, "g")
    epoch.add({"p": {"f": (0.5, 1.0)}}, "s")
    assert epoch.means("g") == {"p": [1.5, 5.0, 8.0, None]}
    assert epoch.means("s") == {"p": {"f": [0.5, 1.0]}}


def test_the_line_for_the_terminal():
    line = {
        "looks": 2,
        "gradient_by_distance": {"layer 1 forward": [0.5] * 10 + [0.006], "layer 2 forward": [1.0] * 11},
        "saturation": {"layer 1 forward": {"i": [0.1, 0.0], "f": [0.03, 0.41]}, "layer 2 forward": {"i": [1.0, 0.0]}},
        "update_ratio": {"words": 0.0011, "layers": 0.02, "crf": None},
    }
    assert summary(line) == (
        "watch: gradient 10 steps back 0.012 of that at 0 (layer 1 forward); f shut 3 % open 41 %; "
        "update/weight 1.1e-03 (words) to 2.0e-02 (layers)"
    )
    line |= {"gradient_by_distance": {"layer 1 forward": [0.5, 0.1]}, "saturation": {"layer 1 forward": {}}}
    line["update_ratio"] = {"out": 0.001}
    assert (
        summary(line) == "watch: gradient 1 step back 0.2 of that at 0 (layer 1 forward); update/weight 1.0e-03 (out)"
    )
    nothing = {"looks": 1, "gradient_by_distance": {"p": [None, None]}, "saturation": {}, "update_ratio": {}}
    assert summary(nothing) == "watch: nothing to report"


# Without recurrence, or without a part of a batch -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["window", "cbow"])
def test_networks_without_recurrent_layers_have_updates_only(kind):
    if kind == "window":
        data = small_models.sentences()
        model = WindowTagger(hidden_size=6, word_size=5, **small_models.TRAINING)
    else:
        data = small_models.MAKERS["classifier, mean"]()[1]
        model = Cbow(word_size=5, **small_models.TRAINING)
    model.fit(data, watch=Always())
    seen = model.result.history[-1]["watch"]
    assert "recurrent layers" in seen["left_out"] and seen["looks"] > 0
    assert not seen["gradient_by_distance"] and not seen["saturation"] and min(seen["update_ratio"].values()) > 0


class Own(Job):
    """Someone's own job over a recurrent layer: does the last step know the first input?"""

    metric = None

    def __init__(self, texts=10):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.network = nn.Module()
            self.network.layers = recurrent_stack(get_cell("elman"), 2, 4, 1, bidirectional=False, dropout=0.0)
            self.network.out = nn.Linear(4, 1)
            self.texts = [torch.randn(3 + i % 4, 2) for i in range(texts)]

    def fingerprint(self):
        return {}

    def batches(self, epoch):
        return [self.texts[:5], self.texts[5:]]

    def losses(self, texts):
        xs = Packed.from_list(texts)
        ys, _ = self.network.layers(xs)
        ends = torch.stack([rows[-1] for rows in xs.rows_of_sequence])
        wanted = torch.stack([xs.data[rows[0], 0] for rows in xs.rows_of_sequence])
        return (self.network.out(ys.data[ends]).squeeze(1) - wanted).square()

    def loss(self, batch):
        return self.losses(batch).sum(), len(batch)


class OwnExcerpt(Own):
    def excerpt(self, batch, sequences, steps):
        texts = sorted((text[:steps] for text in batch), key=len, reverse=True)[:sequences]
        return Excerpt(lambda: self.losses(texts), [(i, len(text) - 1) for i, text in enumerate(texts)])


def run_own(job, folder, watch):
    with prepare(folder) as run:
        config = TrainingConfig(epochs=2, learning_rate=0.01, threads=1)
        return fit(job, config, run, make_progress(quiet=True), watch)


def test_an_own_job_without_an_excerpt_is_told_what_is_missing(tmp_path):
    result = run_own(Own(), tmp_path / "m", Always())
    seen = result.history[-1]["watch"]
    assert "Own has no method `excerpt`" in seen["left_out"] and seen["gradient_by_distance"] == {}
    assert list(seen["update_ratio"]) == ["layers", "out"]


def test_an_own_job_with_one_has_the_gradient_of_its_own_loss(tmp_path):
    class Compared(Always):
        def _look(self, job, batch):
            self._epoch = type(self._epoch)()
            super()._look(job, batch)
            cell = next(m for m in job.network.modules() if hasattr(m, "gates"))
            found = {}
            for text in batch:  # step by step, one text at a time
                state, kept = None, []
                for x in text:
                    if state is None:
                        state = cell.initial(1)
                    state = cell.R(state, x[None])
                    kept.append(state.h)
                loss = (job.network.out(kept[-1]).squeeze() - text[0, 0]) ** 2
                for i, g in enumerate(torch.autograd.grad(loss, kept)):
                    found.setdefault(len(text) - 1 - i, []).append(float(g.norm()))
            expected = [sum(found[d]) / len(found[d]) for d in range(len(found))]
            assert self._epoch.means("gradient_by_distance") == {"layer 1 forward": pytest.approx(expected, rel=1e-4)}
            looked.append(expected)

    looked = []
    run_own(OwnExcerpt(), tmp_path / "m", Compared())
    assert len(looked) == 4
    plain, watched = OwnExcerpt(), OwnExcerpt()
    run_own(plain, tmp_path / "plain", None)
    run_own(watched, tmp_path / "watched", Always())
    for one, other in zip(plain.network.parameters(), watched.network.parameters(), strict=True):
        assert torch.equal(one, other)
