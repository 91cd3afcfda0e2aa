"""Files that `elman export --to onnx` writes: metadata, the check, smaller weights, reading without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import exported_models as small
import numpy as np
import plan_reading as reading
import pytest

import elman
from elman.errors import UsageError
from elman.export import FORMATS, export
from elman.layers.features import KINDS
from elman.tasks import TASKS
from elman.tasks.load import model_class
from elman.text.pair import Pair

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from elman.export.onnx import reader  # noqa: E402
from elman.export.onnx.check import SAMPLES  # noqa: E402

GUIDE = (Path(__file__).parents[2] / "docs" / "export-onnx.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
KINDS_OF_GRAPH = ["tag, lstm", "tag, gru", "tag, elman", "tag, mgu", "tag, CRF", "tag, window", "classify, attention"]
KINDS_OF_GRAPH += ["classify, several, wide", "classify, ngrams", "lm, tied", "lm, by lines, gru"]
KINDS_OF_GRAPH += ["seq2seq, general, words", "seq2seq, monotonic, features"]


def gold(name):
    return small.MODELS[name][2]()


@pytest.mark.parametrize("name", KINDS_OF_GRAPH)
def test_the_check_finds_no_difference(name, tmp_path):
    model = small.model(name)
    written = export(model, "onnx", tmp_path / "m.onnx", check=gold(name))
    assert {Path(file).name for file in written["files"]} == (
        {"m.onnx", "m.step.onnx"} if model.task in ("lm", "seq2seq") else {"m.onnx"}
    )
    assert all(Path(file).stat().st_size == size for file, size in written["files"].items())
    result = written["check"]
    assert not result["different"] and result["largest_difference"] < 1e-4 and result["answers"] > 20
    if model.task == "lm":
        assert result["perplexity"]["onnx"] == pytest.approx(model.evaluate(gold(name)).perplexity, rel=1e-4)
    else:
        assert result["accuracy"]["python"] == result["accuracy"]["onnx"]
    if model.task == "tag":
        assert result["accuracy"]["python"] == pytest.approx(model.evaluate(gold(name)).accuracy)
    assert len(written["notes"]) == 2 and written["notes"][0].startswith("check: ")


def test_the_check_finds_a_difference(tmp_path, monkeypatch):
    model = small.model("tag, lstm")
    answers = reader.Network.answers

    def wrong(self, texts):
        return [([*tags[:-1], "X"] if tags else tags, logs - 0.5) for tags, logs in answers(self, texts)]

    monkeypatch.setattr(reader.Network, "answers", wrong)
    result = export(model, "onnx", tmp_path / "m.onnx", check=True)["check"]
    assert result["examples"] == len(SAMPLES) and result["different"] > 0 and result["largest_difference"] > 0.01


@pytest.mark.parametrize("name", KINDS_OF_GRAPH)
@pytest.mark.parametrize(("weights", "near"), [("float16", 2e-3), ("int8", 0.05)])
def test_smaller_weights_mean_about_the_same(name, weights, near, tmp_path):
    model = small.model(name)
    whole = export(model, "onnx", tmp_path / "m.onnx")
    written = export(model, "onnx", tmp_path / "small.onnx", weights=weights, check=True)
    for file in written["files"]:
        proto = onnx.load(file)
        onnx.checker.check_model(proto)
        about = [json.loads(one.value) for one in proto.metadata_props if one.key == "elman"]
        assert len(about) == len(proto.metadata_props) == 1 and about[0]["task"] == model.task
        kind = onnx.TensorProto.FLOAT16 if weights == "float16" else onnx.TensorProto.INT8
        assert any(one.data_type in (kind, onnx.TensorProto.UINT8) for one in proto.graph.initializer)
    assert written["check"]["largest_difference"] < near
    if name == "tag, window":  # large enough to see it
        assert sum(written["files"].values()) < {"float16": 0.51, "int8": 0.27}[weights] * sum(whole["files"].values())


def test_the_metadata_says_what_the_plan_does(tmp_path):
    for name in ("tag, lstm", "classify, several, wide", "lm, characters"):
        model = small.model(name)
        export(model, "onnx", tmp_path / "m.onnx")
        network, plan = reader.Network(tmp_path / "m.onnx"), model.plan()
        assert network.labels == list(plan.answer.labels)
        assert network.about["settings"] == json.loads(json.dumps(model.settings.flat()))
        for text in small.HOSTILE:
            assert network.tokens(text) == reading.tokens_of(plan, text)


def test_the_forms_of_the_reader_are_those_of_the_layers():
    assert set(reader.FORMS) == {"token", *KINDS}
    words = {word for text in [*small.HOSTILE, *SAMPLES] for word in text.split()} | {"", "AAbb11", "aAaA--"}
    for kind, of in KINDS.items():
        assert [reader.FORMS[kind](word) for word in words] == [of(word, word.lower()) for word in words]


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="overrides R"):
        tags = [elman.Sentence(words, ["X"] * len(words)) for words in small.TEXTS]
        settings = {"cell": small.OTHERS[0], "hidden_size": 3, "epochs": 1, "threads": 1}
        export(model_class("tag", "network")(**settings).fit(tags), "onnx", tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="expected weights float32, float16, int8, found int4"):
        export(small.model("tag, lstm"), "onnx", tmp_path / "m.onnx", weights="int4")
    (tmp_path / "m.step.onnx").write_text("mine")
    with pytest.raises(UsageError, match=r"m.step.onnx: expected nothing there"):
        export(small.model("lm, tied"), "onnx", tmp_path / "m.onnx")
    assert (tmp_path / "m.step.onnx").read_text() == "mine" and not (tmp_path / "m.onnx").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'elman\[onnx\]'"):
        export(small.model("tag, lstm"), "onnx", tmp_path / "m.onnx")


def test_a_text_that_is_too_long_is_refused(tmp_path):
    data = [elman.Example(" ".join(words), ["a" if len(words) > 3 else "b"]) for words in small.TEXTS]
    model = model_class("classify", "network")(hidden_size=3, epochs=1, threads=1, longest=30).fit(data)
    export(model, "onnx", tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="at most 30 tokens, found 31"):
        reader.Network(tmp_path / "m.onnx").tokens("a " * 31)


def test_every_kind_of_model_is_written_or_refused():
    written = {(task, kind) for task, kind, *_ in small.MODELS.values()}
    for task, kinds in TASKS.items():
        for kind in kinds:
            if (task, kind) not in written:
                with pytest.raises(UsageError, match="cannot be exported"):
                    export(model_class(task, kind)(), "onnx", "nowhere.onnx")
            assert kind in GUIDE, kind


TORCHLESS = """
import json, sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "elman"):
            raise ImportError(name)
sys.meta_path.insert(0, Without())
"""
READ = """
from reader import Network, Rewriter
found = {}
for name, (texts, files) in json.load(open("asked.json")).items():
    if len(files) == 2 and name.startswith("seq2seq"):
        model = Rewriter(*files)
        found[name] = [symbols for symbols, _ in model.run([model.symbols(text) for text in texts])]
    else:
        model = Network(files[0])
        tokens = [model.tokens(text) for text in texts]
        found[name] = model.scores(tokens) if name.startswith("lm") else [a for a, _ in model.answers(tokens)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the reader and an exported model of each kind."""
    path = tmp_path_factory.mktemp("onnx")
    (path / "reader.py").write_text(Path(reader.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    names = {"tagger": "tag, lstm", "lm": "lm, tied", "rewriter": "seq2seq, hard"}
    for file, name in names.items():
        export(small.model(name), "onnx", path / f"{file}.onnx")
    return path


def torchless(folder, code):
    """What the code prints in a process in which torch and elman cannot be imported."""
    (folder / "run.py").write_text(TORCHLESS + code, encoding="utf-8")
    command = [sys.executable, "-X", "utf8", "run.py"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_models_are_read_without_torch(folder):
    texts, asked, wanted = [text[:60] for text in small.HOSTILE], {}, {}
    for number, name in enumerate([*KINDS_OF_GRAPH, "classify, characters", "tag, windows"]):
        model = small.model(name)
        written = export(model, "onnx", folder / f"m{number}.onnx")
        asked[name] = (texts, list(written["files"]))
        if model.task == "tag":
            wanted[name] = [answer.tags for answer in model.predict([text.split() for text in texts])]
        elif model.task == "classify":
            wanted[name] = [answer.labels for answer in model.predict(texts)]
        elif model.task == "lm":
            wanted[name] = [scored.log_probabilities for scored in model.score(texts)]
        else:
            answers = model.predict([Pair(text) for text in texts], beam=1)
            wanted[name] = [answer.answers[0].symbols for answer in answers]
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    found = json.loads(torchless(folder, READ))
    for name, answers in wanted.items():
        if name.startswith("lm"):
            for mine, other in zip(answers, found[name], strict=True):
                np.testing.assert_allclose(other, mine, atol=1e-4)
        else:
            assert found[name] == answers, name


def test_the_examples_of_the_guide_run_without_torch(folder):
    printed = [torchless(folder, code) for code in SNIPPETS]
    assert len(printed) == 4
    model = small.model("lm, tied")
    (first, chance), *_ = eval(printed[0])
    ((scored,), _) = model.score_batch([["the", "dogs", first]], model.start())
    assert chance == pytest.approx(np.exp(scored.log_probabilities[-1]), abs=1e-4)
    tagger = small.model("tag, lstm")
    for line, text in zip(printed[1].splitlines(), ["the Cat sees dogs", "北京 never seen"], strict=True):
        assert eval(line) == list(zip(text.split(), tagger.predict([text.split()])[0].tags, strict=True))
    assert len(printed[2].split()) == 10 and "<unk>" not in printed[2]
    (answer,) = small.model("seq2seq, hard").predict([Pair("the Cat")], beam=1)
    assert printed[3].startswith(str(answer.answers[0].symbols))


def test_the_ten_lines_are_ten():
    assert len([line for line in SNIPPETS[0].splitlines() if line.strip()]) <= 10


def test_the_guide_names_every_option_and_input(folder):
    for name in FORMATS["onnx"].weights:
        assert f"--weights {name}" in GUIDE
    inputs = {
        name
        for file in folder.glob("*.onnx")
        for one in [onnx.load(file, load_external_data=False).graph]
        for name in [value.name for value in (*one.input, *one.output)]
    }
    assert inputs and all(f"`{name}`" in GUIDE or name.startswith(("prefix", "suffix")) for name in inputs)


def test_the_command_writes_and_checks(tmp_path, capsys):
    from elman.cli.main import run

    small.model("tag, lstm").save(tmp_path / "tagger")
    lines = [f"{word}\t{tag}\n" for one in gold("tag, lstm") for word, tag in [*zip(one.words, one.tags, strict=True)]]
    (tmp_path / "gold.tsv").write_text("".join(lines), encoding="utf-8")
    out = tmp_path / "t.onnx"
    command = ["export", str(tmp_path / "tagger"), "--to", "onnx", "--out", str(out)]
    assert run([*command, "--weights", "int8", f"--check={tmp_path / 'gold.tsv'}"]) == 0
    shown = capsys.readouterr()
    assert shown.out.split()[0] == str(out) and out.exists()
    first, second = shown.err.splitlines()
    assert first.startswith(f"check: 1 texts, {len(lines)} tags, ")
    assert re.search(r"accuracy \d+\.\d\d in Python, \d+\.\d\d in ONNX Runtime: [+-]\d\.\d\d", second)
    assert run(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["check"]["different"] == 0 and answer["files"] == {str(out): out.stat().st_size}
