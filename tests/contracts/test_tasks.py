"""What every model of every task must do, run over the table of tasks itself: a new row is tested by being there."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import elman
from elman.errors import Interrupted, ModelError, Notice, UsageError
from elman.inspect import Contributions, Subject
from elman.recurrent import Cell, Recurrent
from elman.tasks import TASKS
from elman.tasks.load import model_class
from elman.text.pair import Pair
from elman.training import TrainingConfig
from elman.training.progress import Quiet

draw = random.Random(7)
WORDS = ["the", "cat", "dogs", "sees", "run", "北京", "naïve", "Ωmega", "."]
TEXTS = [draw.choices(WORDS, k=1 + n % 7) for n in range(40)]


def tag_data() -> list[elman.Sentence]:
    return [elman.Sentence(words, [word[:1].upper() for word in words]) for words in TEXTS]


def lm_data() -> list[str]:
    return [" ".join(words) for words in TEXTS]


def classify_data() -> list[elman.Example]:
    return [elman.Example(" ".join(words), ["short" if len(words) < 4 else "long"]) for words in TEXTS]


def seq2seq_data() -> list[Pair]:
    return [Pair(" ".join(words), ["".join(word[0] for word in words)]) for words in TEXTS]


# task -> (data, more data, settings of every model of it, those of single models)
FACTORIES: dict[str, tuple[Any, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "tag": (
        tag_data,
        {},
        {
            "network": {"hidden_size": 6, "word_size": 5, "char_size": 4, "char_hidden_size": 3},
            "window": {"word_size": 5},
        },
    ),
    "classify": (
        classify_data,
        {},
        {"network": {"hidden_size": 6, "word_size": 5}, "cbow": {"word_size": 5}, "ngrams": {"l2": 1.0}},
    ),
    "lm": (lm_data, {"minimum": 1}, {"network": {"hidden_size": 8, "bptt": 6, "batch_size": 3}, "ngram": {"order": 3}}),
    "seq2seq": (
        seq2seq_data,
        {"source_tokenizer": "space"},
        {"network": {"hidden_size": 6, "embedding_size": 5}},
    ),
}
TRAINING = {"epochs": 2, "batch_tokens": 20, "threads": 1}
ROWS = [(task, model) for task, models in TASKS.items() for model in models]
NETWORKS = [(task, model) for task, model in ROWS if model_class(task, model).resumable]


def make(task: str, model: str) -> Any:
    _, common, single = FACTORIES[task]
    kind = model_class(task, model)
    given = {**common, **single.get(model, {})}
    if kind.resumable:
        given |= TRAINING
    return kind(**given)


def data(task: str) -> tuple[Any, Any]:
    every = FACTORIES[task][0]()
    return every[:30], every[30:]


def fit(model: Any, task: str, **given: Any) -> Any:
    train, dev = data(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(train, dev, **given)


def scores(model: Any, task: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(model.evaluate(data(task)[1]).to_json(), allow_nan=False))
    return found


@pytest.mark.parametrize(("task", "model"), ROWS)
def test_a_folder_gives_the_model_back(tmp_path: Path, task: str, model: str) -> None:
    kind = model_class(task, model)
    assert (kind.task, kind.kind) == (task, model)
    trained = fit(make(task, model), task, out=tmp_path / "one", test=data(task)[1], reading={"encoding": "utf-8"})
    expected = scores(trained, task)
    trained.save(tmp_path / "two")
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert not list(folder.rglob("*.pkl")) and not (folder / "training").exists()
        loaded = elman.load(folder)
        assert type(loaded) is kind and loaded.settings == trained.settings
        assert loaded.reading == {"encoding": "utf-8"}
        assert scores(loaded, task) == expected
        assert f'elman.load("{folder.name}")' in (folder / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_bytes())
    assert metrics["dev"] == metrics["test"] == expected
    assert expected["signature"].startswith("metric:") and metrics["training"]["seconds"] >= 0
    for again in (lambda: trained.save(tmp_path / "one"), lambda: fit(make(task, model), task, out=tmp_path / "one")):
        with pytest.raises(UsageError, match="expected a new folder, found a model"):
            again()


UNREADABLE = (b"", None, b"\x00\xff not what it was")  # None: the first half of what was there
WRONG = (b"[]", b"{}", b'{"unknown": null, "items": ["a"]}', b'{"kind": "space"}')


@pytest.mark.parametrize(("task", "model"), ROWS)
def test_a_broken_folder_is_named(tmp_path: Path, task: str, model: str) -> None:
    fit(make(task, model), task, out=tmp_path / "model")
    for path in sorted((tmp_path / "model").iterdir()):
        if path.name in ("README.md", "metrics.json", "log.jsonl"):
            continue
        whole = path.read_bytes()
        for damaged in (*UNREADABLE, *WRONG):
            if (task, model, path.name) == ("tag", "crf", "words.json") and b"items" in (damaged or b""):
                continue  # these say only what was seen: any will do
            if damaged in WRONG and path.suffix == ".json" and json.loads(damaged) == json.loads(whole):
                continue
            path.write_bytes(whole[: len(whole) // 2] if damaged is None else damaged)
            with pytest.raises(ModelError, match=path.name if damaged in UNREADABLE else "expected"):
                elman.load(tmp_path / "model")
        path.unlink()
        with pytest.raises(ModelError, match=path.name):
            elman.load(tmp_path / "model")
        path.write_bytes(whole)
    elman.load(tmp_path / "model")


EXTREME = [-1, 10**9, 10**30, 1e300, "x" * 1000, None, [], {"a": [1]}, True]


@pytest.mark.parametrize(("task", "model"), ROWS)
def test_a_mutated_folder_loads_or_names_the_file(tmp_path: Path, task: str, model: str) -> None:
    """In seconds and without gigabytes: nothing is built by a number that no tensor has."""
    folder = tmp_path / "model"
    fit(make(task, model), task, out=folder)
    source, tried = random.Random(f"{task} {model}"), 0

    def attempt(path: Path, content: bytes) -> None:
        nonlocal tried
        whole, tried = path.read_bytes(), tried + 1
        path.write_bytes(content)
        try:
            elman.load(folder)
        except ModelError as problem:
            assert str(folder) in str(problem) and len(str(problem)) < 2000, str(problem)[:300]
        finally:
            path.write_bytes(whole)

    for path in sorted(folder.iterdir()):
        if path.name in ("README.md", "metrics.json", "log.jsonl"):
            continue
        whole = path.read_bytes()
        for content in (b"\xff" + whole, b"[" * 100_000, b'{"a":' * 100_000, b"\xef\xbb\xbf" + whole, whole + b"}"):
            attempt(path, content)
        for _ in range(10):
            at = source.randrange(len(whole))
            attempt(path, whole[:at] + bytes([source.randrange(256)]) + whole[at + 1 :])
        if path.suffix == ".json":
            for changed in mutated(json.loads(whole)):
                attempt(path, json.dumps(changed).encode())
    assert tried > 100
    elman.load(folder)


def mutated(value: Any, depth: int = 2) -> Any:
    """The same with one key left out, or one value that is extreme."""
    if not isinstance(value, dict) or not depth:
        return
    for key in value:
        yield {k: v for k, v in value.items() if k != key}
        yield from ({**value, key: extreme} for extreme in EXTREME)
        yield from ({**value, key: inner} for inner in mutated(value[key], depth - 1))


@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_sizes_are_bounded_by_the_weights(tmp_path: Path, task: str, model: str) -> None:
    """Every whole number of the settings: a network that would be larger is not built, and one that nothing is built
    by may have any size."""
    folder = tmp_path / "model"
    fit(make(task, model), task, out=folder)
    config = folder / "config.json"
    stored = json.loads(config.read_bytes())
    for key in model_class(task, model).config.names():
        if isinstance(stored["settings"][key], bool) or not isinstance(stored["settings"][key], int):
            continue
        config.write_text(json.dumps({**stored, "settings": {**stored["settings"], key: 10**8}}), encoding="utf-8")
        try:
            loaded = elman.load(folder)
        except ModelError as problem:
            told = str(problem)
            assert f"config.json: setting {key}: expected" in told or "config.json: its settings do not match" in told
        else:
            assert scores(loaded, task) == json.loads((folder / "metrics.json").read_bytes())["dev"], key


def test_a_size_that_nothing_is_built_by(tmp_path: Path) -> None:
    model = model_class("tag", "network")(hidden_size=6, char_size=0, char_hidden_size=1000, **TRAINING)
    fit(model, "tag", out=tmp_path / "model")
    assert scores(elman.load(tmp_path / "model"), "tag") == scores(model, "tag")


@pytest.mark.parametrize(("task", "model"), ROWS)
def test_wrong_settings_are_refused(task: str, model: str) -> None:
    with pytest.raises(UsageError, match="unknown setting"):
        model_class(task, model)(hiden_size=3)
    untrained = make(task, model)
    with pytest.raises(UsageError, match="not trained"):
        untrained.evaluate(data(task)[1])


class StopAfter(Quiet):
    """Asks the training to stop, as Ctrl-C does, after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self, report: Any) -> None:
        self.steps -= 1
        if self.steps == 0:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_resumed_training_gives_the_same_weights(tmp_path: Path, task: str, model: str, steps: int) -> None:
    fit(make(task, model), task, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(make(task, model), task, out=tmp_path / "parts", progress=StopAfter(steps))
    fit(make(task, model), task, out=tmp_path / "parts", resume=True)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all((whole[name] == parts[name]).all() for name in whole)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    timed = ("seconds", "tokens_per_second")
    told = [[{k: v for k, v in json.loads(line).items() if k not in timed} for line in log] for log in logs]
    assert told[0] == told[1]


@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_another_model_to_start_from(tmp_path: Path, task: str, model: str) -> None:
    """On the same data every weight is taken over; on other data those of what both know, and the new are drawn."""
    still = {"epochs": 1, "learning_rate": 1e-30, "average": 0.0, "weight_decay": 0.0}
    old = fit(make(task, model), task, out=tmp_path / "old")
    kind, settings = type(old), {**old.settings.flat(), **still}
    same = fit(kind(**settings), task, init=tmp_path / "old")
    before = old.network.state_dict()
    for name, weight in same.network.state_dict().items():
        assert torch.equal(weight, before[name]), name
    every = FACTORIES[task][0]()
    more = {
        "tag": elman.Sentence(["neu"], ["N!"]),
        "classify": elman.Example("neu", ["other"]),
        "lm": "neu neu",
        "seq2seq": Pair("neu", ["n!"]),
    }[task]
    with pytest.warns(Notice, match=r"copied from the model to start from: .*\(1 new\)"):
        other = kind(**settings).fit([*every[:5], more], every[30:], init=tmp_path / "old")
    first = next(iter(other.weight_rows().values())).items
    assert "neu" in first and list(first)[: len(first) - 1] == [i for i in first if i != "neu"]
    was, now = old.weight_rows(), other.weight_rows()
    for name, weight in other.network.state_dict().items():
        key = max((key for key in now if name.startswith(key)), key=len, default=None)
        rows = weight
        if key is not None:  # where each item of the old vocabulary is now
            place = torch.tensor([now[key].items[item] for item in was[key].items], dtype=torch.long)
            rows = weight[place]
            if now[key].columns is not None:
                across = [now[key].columns[item] for item in was[key].columns.items]
                rows = rows[:, torch.tensor(across, dtype=torch.long)]
        assert torch.equal(rows, before[name]) and weight.isfinite().all(), name
    size = {"tag": "word_size", "classify": "word_size", "lm": "hidden_size", "seq2seq": "embedding_size"}[task]
    with pytest.raises(UsageError, match="a different architecture"):
        fit(kind(**{**settings, size: 7}), task, init=tmp_path / "old")
    wrong = next(folder for folder in NETWORKS if folder != (task, model))
    fit(make(*wrong), wrong[0], out=tmp_path / "wrong")
    with pytest.raises(ModelError, match="expected a model of kind"):
        fit(kind(**settings), task, init=tmp_path / "wrong")


@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_a_memory_bound_reaches_every_recurrent_layer(task: str, model: str) -> None:
    untrained = make(task, model)
    network = fit(type(untrained)(**{**untrained.settings.flat(), "memory": "1GB"}), task).network
    assert all(layer.memory == "1GB" for layer in network.modules() if isinstance(layer, Recurrent))


def test_the_training_options_of_every_network_are_those_of_the_loop() -> None:
    for task, model in NETWORKS:
        assert issubclass(model_class(task, model).training, TrainingConfig)


@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_a_network_is_laid_open_or_refused(task: str, model: str) -> None:
    """Every recurrent network's gradients, term by term, sum to autograd's; others are refused with a word."""
    trained = fit(make(task, model), task)
    text = "the cat 北京 sees the cat"
    layers = getattr(trained.network, "layers", None)
    if layers is None or not any(isinstance(part, Cell) for part in layers.modules()):
        with pytest.raises(UsageError, match="to inspect"):
            Subject.of(trained, text)
        return
    targets = Subject.of(trained, text).targets  # before the weights are of another precision than the rest
    trained.network.double()
    subject = Subject.of(trained, text, targets)
    examined = trained.examine([subject.tokens], [targets])
    with elman.use_backend("reference"):
        outcome = examined.run()
    total = outcome.losses.sum() if outcome.rest is None else outcome.losses.sum() + outcome.rest
    names, parameters = zip(*trained.network.named_parameters(), strict=True)
    grads = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
    found = Contributions(subject).by_parameter()
    for name, expected in zip(names, grads, strict=True):
        torch.testing.assert_close(found.get(name, torch.zeros_like(expected)), expected, rtol=1e-9, atol=1e-9)
