"""The commands with a classifier: train, predict, eval, encode, info, check; and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest

import elman as package

TINY = [
    *("--hidden", "6", "--word-size", "6", "--epochs", "2", "--batch-tokens", "100", "--threads", "1"),
    *("--average", "0", "--learning-rate", "0.02"),
]


def rows(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """(label, text): whether good or bad is in it."""
    source = random.Random(seed)
    made = []
    for _ in range(count):
        word = source.choice(["good", "bad"])
        words = [*source.choices(["film", "a", 'a "great"', "one, two"], k=source.randint(1, 6)), word]
        source.shuffle(words)
        made.append((word, " ".join(words)))
    return made


def write_csv(path: Path, data: list[tuple[str, str]], *, labels: bool = True) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "review", "stars"] if labels else ["id", "review"])
        writer.writerows([str(i), text, label][: 3 if labels else 2] for i, (label, text) in enumerate(data))
    return path


COLUMNS = ("--text-column", "review", "--label-column", "stars")


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    for part, count, seed in (("train", 80, 1), ("dev", 30, 2), ("test", 30, 3)):
        write_csv(folder / f"{part}.csv", rows(count, seed))
    return folder


@pytest.fixture(scope="session")
def classifier(elman, reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers") / "ein model"
    files = [f"--{part}={reviews / part}.csv" for part in ("train", "dev", "test")]
    ran = elman("train", "classify", *files, *COLUMNS, "--out", folder, "--quiet", *TINY)
    assert ran.code == 0, ran.err
    return folder


# train and eval --------------------------------------------------------------------------------------------------


def test_train_tells_and_stores(elman, reviews: Path, inside: Path) -> None:
    ran = elman("train", "classify", "--train", reviews / "train.csv", *COLUMNS, "--dev", "20%", "--out", "m", *TINY)
    assert ran.code == 0 and "train: 80 texts, 2 labels" in ran.err and "elman predict m" in ran.err
    assert ran.out.split()[:2] == ["score", "dev"] and "metric:classification" in ran.out
    config = json.loads((inside / "m" / "config.json").read_text())
    assert config["reading"] == {
        "format": "csv",
        "encoding": "utf-8",
        "text_column": "review",
        "label_column": "stars",
        "header": True,
        "separator": "|",
    }


@pytest.mark.parametrize("model", ["majority", "cbow", "ngrams"])
def test_rivals(elman, reviews: Path, inside: Path, model: str) -> None:
    flags = TINY[2:] if model == "cbow" else []
    files = ("--train", reviews / "train.csv", "--dev", reviews / "dev.csv", *COLUMNS)
    ran = elman("train", "classify", *files, "--model", model, "--out", "m", "--json", "-q", *flags)
    assert ran.code == 0, ran.err
    answer = json.loads(elman("eval", "m", reviews / "dev.csv", "--json").out)
    assert json.loads(ran.out)["dev"] == {k: v for k, v in answer.items() if k not in ("model", "file", "skipped")}
    assert elman("predict", "m", stdin="a good film\n").code == 0
    assert json.loads(elman("info", "m", "--json").out)["kind"] == model
    if model == "ngrams":
        assert answer["accuracy"] == 1.0 and elman("predict", "m", stdin="a good film\n").out.startswith("good\t")
        assert (
            "has no setting 'hidden-size'"
            in elman("train", "classify", *files, "--model", model, "--hidden", 3, "--out", "other").err
        )
    ran = elman("encode", "m", reviews / "dev.csv", "-o", "v.npy")
    assert ran.code == (0 if model == "cbow" else 2)


def test_eval_prints_everything(elman, classifier: Path, reviews: Path) -> None:
    ran = elman("eval", classifier, reviews / "test.csv")
    assert ran.code == 0 and ran.err == ""
    for part in ("accuracy", "macro_f1", "expected_calibration_error", "labels", "confusions", "reliability"):
        assert part in ran.out, part
    answer = json.loads(elman("eval", classifier, reviews / "test.csv", "--json").out)
    assert sum(map(sum, answer["confusion"])) == answer["counts"]["examples"]["total"] == 30
    stored = json.loads((classifier / "metrics.json").read_text())["test"]
    assert stored == {key: value for key, value in answer.items() if key not in ("model", "file", "skipped")}


def test_folds(elman, reviews: Path, inside: Path) -> None:
    given = ("train", "classify", "--train", reviews / "train.csv", *COLUMNS, "--dev", "10%")
    ran = elman(*given, "--folds", "3", "--out", "f", "--json", "-q", *TINY)
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    values = [fold["accuracy"] for fold in answer["folds"]]
    assert sum(fold["counts"]["examples"]["total"] for fold in answer["folds"]) == 80
    mean = {key: answer[key]["accuracy"] for key in ("mean", "deviation")}
    assert mean["mean"] == pytest.approx(np.mean(values)) and mean["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert sorted(p.name for p in (inside / "f").iterdir()) == ["fold-1", "fold-2", "fold-3", "folds.json"]
    assert elman("predict", "f/fold-2", stdin="good\n").code == 0
    assert elman(*given, "--folds", "3", "--out", "f", *TINY).code == 2
    # One of the folds alone is the same model.
    ran = elman(*given, "--folds", "3", "--fold", "2", "--out", "two", "-q", *TINY)
    same = [(inside / name / "model.safetensors").read_bytes() for name in ("f/fold-2", "two")]
    assert ran.code == 0 and same[0] == same[1]


def test_folds_are_resumed(elman, reviews: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.cli import train_task
    from elman.errors import Interrupted

    given = (
        "train",
        "classify",
        "--train",
        reviews / "train.csv",
        *COLUMNS,
        "--dev",
        "10%",
        "--folds",
        "3",
        "-q",
        *TINY,
    )
    assert elman(*given, "--out", "whole").code == 0
    real, calls = train_task._train, []

    def stopping(door, out, *rest):  # type: ignore[no-untyped-def]
        calls.append(out.name)
        if len(calls) == 3:  # all the folds, the first, the second
            raise Interrupted("stopped")
        return real(door, out, *rest)

    monkeypatch.setattr(train_task, "_train", stopping)
    ran = elman(*given, "--out", "part")
    assert ran.code == 130 and "--resume part" in ran.err and calls == ["part", "fold-1", "fold-2"]
    monkeypatch.setattr(train_task, "_train", real)
    assert "--resume part" in elman(*given, "--out", "part").err
    assert elman("train", "--resume", "part").code == 0
    for number in (1, 2, 3):
        name = f"fold-{number}/model.safetensors"
        assert (inside / "part" / name).read_bytes() == (inside / "whole" / name).read_bytes()
    parts = [json.loads((inside / name / "folds.json").read_text()) for name in ("part", "whole")]
    assert parts[0] == parts[1]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--folds", "1"], 2, "expected 2 or more"),
        (["--fold", "1"], 2, "--folds"),
        (["--folds", "3", "--fold", "4"], 2, "from 1 to that number"),
        (["--folds", "3", "--test", "dev.csv"], 2, "leave out --test"),
        (["--folds", "1000"], 3, "at least 1000 texts"),
        (["--text-column", "none"], 3, "a column named 'none'"),
        (["--label-column", "review"], 2, "cannot both be"),
        (["--format", "jsonl", "--header"], 2, "has no option 'header'"),
        (["--format", "text"], 2, "has no labels"),
        (["--longest", "2"], 3, "at most 2 tokens"),
        (["--encoding", "klingon"], 2, "klingon"),
        (["--pooling", "some"], 2, "Invalid value"),
        (["--cell", "lstn"], 2, "lstm"),
        (["--tokenizer", "subwords", "--subword-size", "3"], 2, "at least 256"),
        (["--model", "ngrams", "--ngram-order", "0"], 2, "from 1 to 9"),
        (["--init", "m"], 2, "cannot be read"),
        (["--crf"], 2, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_train_refuses(elman, reviews: Path, inside: Path, flags: list[str], code: int, message: str) -> None:
    flags = [str(reviews / "dev.csv") if flag == "dev.csv" else flag for flag in flags]
    columns = (
        []
        if "--text-column" in flags or "--format" in flags
        else list(COLUMNS[: 2 if "--label-column" in flags else 4])
    )
    ran = elman("train", "classify", "--train", reviews / "train.csv", *columns, "--out", "m", "-q", *flags)
    assert ran.code == code and message in ran.err and ran.out == "", ran.err
    assert not any(inside.iterdir())


# predict ---------------------------------------------------------------------------------------------------------


def test_predict_text(elman, classifier: Path) -> None:
    ran = elman("predict", classifier, stdin="a good film\n\nbad\n")
    model = package.load(classifier)
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert ran.code == 0 and [label for label, _ in lines] == [model(text) for text in ("a good film", "", "bad")]
    every = elman("predict", classifier, "-p", stdin="a good film\n").out.rstrip("\n").split("\t")
    found = model.predict(["a good film"], probabilities=True)[0]
    assert every == [found.label, f"{found.chances[0]:.4f}", *(f"{k}={v:.4f}" for k, v in found.probabilities.items())]


@pytest.mark.parametrize("labels", [False, True])
def test_predict_csv(elman, classifier: Path, inside: Path, labels: bool) -> None:
    data = [*rows(20, 9), ("good", "two\nlines"), ("bad", "")]
    path = write_csv(inside / "new.csv", data, labels=labels)
    ran = elman("predict", classifier, path, "-p", "-o", "out.csv")
    assert ran.code == 0, ran.err
    before = list(csv.reader(io.StringIO(path.read_text())))
    after = list(csv.reader(io.StringIO((inside / "out.csv").read_text())))
    assert [row[: len(before[0])] for row in after] == before
    assert after[0][len(before[0]) :] == ["predicted", "probability", "p(bad)", "p(good)"]
    model = package.load(classifier)
    for row, (_, text) in zip(after[1:], data, strict=True):
        answer = model.predict([text], probabilities=True)[0]
        assert row[-4] == answer.label
        wanted = [answer.chances[0], *answer.probabilities.values()]
        assert [float(cell) for cell in row[-3:]] == pytest.approx(wanted, abs=2e-4)


def test_predict_tsv_and_jsonl(elman, classifier: Path, inside: Path) -> None:
    (inside / "new.tsv").write_text("review\tn\ngood film\t1\nbad\t2\n")
    ran = elman("predict", classifier, "new.tsv", "--text-column", "review")
    lines = [line.split("\t") for line in ran.out.splitlines()]
    model = package.load(classifier)
    assert ran.code == 0 and lines[0] == ["review", "n", "predicted", "probability"]
    assert [line[:3] for line in lines[1:]] == [["good film", "1", model("good film")], ["bad", "2", model("bad")]]
    (inside / "new.jsonl").write_text('{"n": 1,  "text": "good film"}\n\n{"predicted": 0, "text": "bad"}\n')
    ran = elman("predict", classifier, "new.jsonl", "-p")
    first, second = map(json.loads, ran.out.splitlines())
    assert ran.out.startswith('{"n": 1,  "text": "good film", "predicted"') and first["predicted"] == model("good film")
    assert list(first["probabilities"]) == ["bad", "good"] and second["predicted"] == model("bad")
    assert first["probability"] == pytest.approx(model.predict(["good film"])[0].chances[0], abs=1e-6)


def test_predict_lines_with_labels(elman, classifier: Path) -> None:
    ran = elman("predict", classifier, "--format", "fasttext", stdin="__label__x good film\nbad\n")
    model = package.load(classifier)
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == [model("good film"), model("bad")]


def test_labels_are_quoted(elman, inside: Path) -> None:
    (inside / "t.csv").write_text("text,label\n" + 'a,"x, ""y"""\nb,z\na,"x, ""y"""\n' * 5)
    assert elman("train", "classify", "--train", "t.csv", "--model", "majority", "--out", "m", "-q").code == 0
    (inside / "n.csv").write_text("text\na\n")
    found = list(csv.reader(io.StringIO(elman("predict", "m", "n.csv").out)))
    assert found == [["text", "predicted", "probability"], ["a", 'x, "y"', "0.6667"]]


def test_several(elman, inside: Path) -> None:
    lines = ["a,x y", "b,x", "a,y", "c,"] * 10
    (inside / "t.csv").write_text("text,labels\n" + "".join(line + "\n" for line in lines))
    flags = ("--several", "--separator", " ", "--model", "ngrams", "--dev", "20%")
    ran = elman("train", "classify", "--train", "t.csv", *flags, "--out", "m", "-q", "--l2", "0.01")
    assert ran.code == 0 and "micro_f1" in ran.out, ran.err
    (inside / "n.csv").write_text("text\nb\nc\na\n")
    ran = elman("predict", "m", "n.csv", "--separator", ";")
    found = [line.split(",")[1] for line in ran.out.splitlines()[1:]]
    assert found[:2] == ["x", ""] and found[2].split(";")[0] == "y"
    answer = json.loads(elman("predict", "m", "--format", "jsonl", stdin='{"text": "c"}\n').out)
    assert answer["predicted"] == [] and answer["probability"] == []
    scores = json.loads(elman("eval", "m", "t.csv", "--json").out)
    assert scores["confusion"] is None and scores["counts"]["examples"]["total"] == 40


def test_encode(elman, classifier: Path, reviews: Path, inside: Path) -> None:
    ran = elman("encode", classifier, reviews / "test.csv", "-o", "v.npy", "--json")
    answer = json.loads(ran.out)
    found = np.load(inside / "v.npy", allow_pickle=False)
    texts = [text for _, text in rows(30, 3)]
    assert found.shape == (answer["texts"], answer["size"]) == (30, 12) and found.dtype == np.float32
    assert np.abs(found - package.load(classifier).encode(texts)).max() < 1e-6
    assert elman("encode", classifier, "-o", "w.npy", stdin="").code == 0
    assert np.load(inside / "w.npy").shape == (0, 12)


def test_info(elman, classifier: Path) -> None:
    ran = elman("info", classifier)
    assert ran.code == 0 and "labels      2: bad good" in ran.out and "task        classify" in ran.out
    answer = json.loads(elman("info", classifier, "--json").out)
    assert answer["vocabularies"]["labels"] == ["bad", "good"] and answer["changed_settings"]["hidden_size"] == 6
    assert answer["parameters"] == sum(p.numel() for p in package.load(classifier).network.parameters())


def test_check(elman, reviews: Path, inside: Path) -> None:
    names = [reviews / f"{part}.csv" for part in ("train", "dev")]
    ran = elman("check", *names, "--task", "classify", *COLUMNS)
    assert ran.code == 0 and "no errors" in ran.out and "good" in ran.out, ran.out
    (inside / "a.csv").write_text("text,label\na,x\nb\nc,\n", encoding="utf-8")
    (inside / "b.csv").write_bytes(b"text,label\na,y\ncaf\xe9,x\n")
    ran = elman("check", "--task", "classify", "a.csv", "b.csv")
    assert ran.code == 3 and ran.err == ""
    for place in ("a.csv:3", "a.csv:4:3", "b.csv:3:4", "b.csv:2: warning"):
        assert any(line.startswith(place) for line in ran.out.splitlines()), (place, ran.out)
    answer = json.loads(elman("check", "--task", "classify", "a.csv", "b.csv", "--json").out)
    assert not answer["ok"] and answer["errors"] == 3


# what they refuse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "CLASSIFIER", "--nbest", "2"], 2, "--nbest is for the tasks tag and seq2seq"),
        (["predict", "CLASSIFIER", "--column", "2"], 2, "--column is for the task tag"),
        (["predict", "CLASSIFIER", "--format", "conllu"], 2, "its formats are csv"),
        (["predict", "CLASSIFIER", "none.csv"], 3, "none.csv"),
        (["predict", "CLASSIFIER", "--format", "csv", "--text-column", "none"], 3, "none"),
        (["predict", "TAGGER", "--text-column", "2"], 2, "this is a model of the task tag"),
        (["eval", "CLASSIFIER", "-", "--scheme", "bioes"], 2, "--scheme is for the task tag"),
        (["eval", "CLASSIFIER", "-", "--format", "text"], 2, "no labels"),
        (["eval", "CLASSIFIER", "-", "--format", "csv"], 3, "<stdin>:1"),
        (["eval", "TAGGER", "x", "--header"], 2, "task tag"),
        (["encode", "TAGGER", "-o", "v.npy"], 2, "classify"),
        (["encode", "CLASSIFIER"], 2, "--output"),
        (["encode", "CLASSIFIER", "-o", "none/v.npy"], 5, "none"),
        (["encode", "none", "-o", "v.npy"], 4, "none"),
        (["check", "x", "--task", "tag", "--text-column", "2"], 2, "classify"),
        (["check", "x", "--task", "tag", "--several"], 2, "classify"),
        (["check", "x", "--task", "classify", "--scheme", "bioes"], 2, "--scheme is for the task tag"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refused(
    elman, classifier: Path, model: Path, inside: Path, arguments: list[str], code: int, message: str
) -> None:
    given = [{"CLASSIFIER": classifier, "TAGGER": model}.get(one, one) for one in arguments]
    ran = elman(*given, stdin="a,b\nc,d\n")
    assert ran.code == code and message in ran.err, ran
    assert ran.out == "" and ran.err.count("\n") <= 3


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_end_with_a_place(elman, classifier: Path, reviews: Path, inside: Path, seed: int) -> None:
    """Bytes changed, cut and doubled: an answer or an error with its place, never a bug."""
    source = random.Random(seed)
    whole = (reviews / "test.csv").read_bytes()
    for i in range(8):
        data = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            at = source.randrange(len(data))
            change = source.choice(
                [b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xe2\x80\xa8", bytes(data[:at][-9:])]
            )
            data[at : at + source.randint(0, 3)] = change
        path = inside / f"{i}.csv"
        path.write_bytes(bytes(data))
        for command in (["eval", classifier, path], ["predict", classifier, path]):
            ran = elman(*command)
            assert ran.code in (0, 2, 3), ran.err
            assert ran.code == 0 or str(path) in ran.err
        assert elman("check", "--task", "classify", path, *COLUMNS).code in (0, 2, 3)
