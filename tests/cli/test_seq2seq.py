"""The commands with a model of sequence to sequence; and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import elman as package

TINY = [
    *("--hidden", "16", "--embedding-size", "8", "--epochs", "3", "--batch-tokens", "60", "--threads", "1"),
    *("--average", "0", "--learning-rate", "0.02", "--dropout", "0", "--quiet"),
]
LETTERS = "abγδ北京"


def rows(count: int) -> list[tuple[str, str]]:
    """(source, target): every letter twice."""
    words = [LETTERS[i % 6] + LETTERS[i // 6 % 6] + LETTERS[i // 36 % 6] * (i % 2) for i in range(count)]
    return [(word, "".join(letter * 2 for letter in word)) for word in words]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("train", "test"):
        text = "".join(f"{a}\t{b}\n" for a, b in rows(72))
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder / "train.tsv"


@pytest.fixture(scope="session")
def seq2seq(elman, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ζεύγη 1"
    files = ["--train", pairs, "--dev", "10%", "--test", pairs.with_name("test.tsv")]
    ran = elman("train", "seq2seq", *files, "--attention", "hard", "--monotonic", "--out", folder, *TINY)
    assert ran.code == 0, ran.err
    return folder


def test_train_and_again(elman, seq2seq: Path, pairs: Path, inside: Path) -> None:
    ran = elman("train", "seq2seq", "--train", pairs, "--dev", "10%", "--out", seq2seq, *TINY)
    assert ran.code == 2 and "expected a new folder, found a model" in ran.err and ran.out == ""
    card = (seq2seq / "README.md").read_text(encoding="utf-8")
    assert "hard attention, monotonic" in card and "exact match" in card
    info = elman("info", seq2seq).out
    assert "source      8 symbols" in info and "attention hard, monotonic True" in info
    ran = elman("train", "seq2seq", "--train", pairs, "--source-column", "3", "--out", "m", *TINY)
    assert ran.code == 3 and f"{pairs}:1" in ran.err and not any(inside.iterdir())


def test_an_interrupted_training_is_resumed_bit_for_bit(
    elman, seq2seq: Path, pairs: Path, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elman.errors import Interrupted
    from elman.tasks.seq2seq.job import Seq2SeqJob

    whole, steps = Seq2SeqJob.loss, [0]

    def stopping(self, batch):  # type: ignore[no-untyped-def]
        steps[0] += 1
        if steps[0] == 12:
            import signal

            signal.raise_signal(signal.SIGINT)
        return whole(self, batch)

    monkeypatch.setattr(Seq2SeqJob, "loss", stopping)
    given = [
        "--train",
        pairs,
        "--dev",
        "10%",
        "--test",
        pairs.with_name("test.tsv"),
        "--attention",
        "hard",
        "--monotonic",
        "--out",
        "m",
        *TINY,
    ]
    ran = elman("train", "seq2seq", *given)
    assert ran.code == Interrupted.exit_code and "--resume m" in ran.err
    assert "--resume m" in elman("train", "seq2seq", *given).err
    assert elman("train", "--resume", "m").code == 0
    assert (inside / "m" / "model.safetensors").read_bytes() == (seq2seq / "model.safetensors").read_bytes()


def test_predict_from_a_pipe(elman, seq2seq: Path) -> None:
    model = package.load(seq2seq)
    sources = ["γδ", "北京a", "", "Ω?"]  # the last of symbols never seen
    text = "\n".join(sources) + "\n"
    ran = elman("predict", seq2seq, stdin=text)
    assert ran.code == 0 and ran.out.split("\n")[:-1] == [model(source) for source in sources], ran.err
    sure = [line.split("\t") for line in elman("predict", seq2seq, "-p", stdin=text).out.splitlines()]
    found = model.predict(sources)
    assert [float(p) for _, p in sure] == pytest.approx([one.answers[0].log_probability for one in found], abs=1e-4)
    best = elman("predict", seq2seq, "--nbest", "3", "--beam", "4", stdin=text).out.split("\n\n")
    wanted = [[one.text for one in each.answers] for each in model.predict(sources, beam=4, nbest=3)]
    assert [block.split("\n") for block in best[:2]] == wanted[:2] and len(wanted[0]) == 3
    lines = [json.loads(line) for line in elman("predict", seq2seq, "--json", stdin=text).out.splitlines()]
    assert [line["source"] for line in lines] == sources and [line["line"] for line in lines] == [1, 2, 3, 4]
    for line, one in zip(lines, found, strict=True):
        (answer,) = line["answers"]
        assert answer["text"] == one.text == "".join(answer["symbols"])
        assert len(answer["alignment"]) == len(answer["symbols"])


def test_predict_tables_and_what_is_cut_off(elman, seq2seq: Path, inside: Path) -> None:
    model = package.load(seq2seq)
    (inside / "new.csv").write_text('source,n\nγδ,1\n"a",2\n', encoding="utf-8")
    ran = elman("predict", seq2seq, "new.csv", "--nbest", "2", "--beam", "2", "--source-column", "source")
    best = [[a.text for a in one.answers] for one in model.predict(["γδ", "a"], beam=2, nbest=2)]
    cells = [",".join([*each, ""][:2]) for each in best]
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == ["source,n,predicted_1,predicted_2", f"γδ,1,{cells[0]}", f'"a",2,{cells[1]}']
    (inside / "new.jsonl").write_text('{"source": "γδ"}\n', encoding="utf-8")
    assert json.loads(elman("predict", seq2seq, "new.jsonl").out)["predicted"] == model("γδ")
    ran = elman("predict", seq2seq, "--max-length", "1", "--min-length", "1", stdin="γδ\n")
    assert ran.code == 0 and "1 answer cut off at the maximum length (lines 1)" in ran.err


def test_score_is_the_probability_of_the_answer(elman, seq2seq: Path, pairs: Path, inside: Path) -> None:
    model = package.load(seq2seq)
    (answer,) = model.predict(["γδ"])[0].answers
    (inside / "one.tsv").write_text(f"γδ\t{answer.text}\n", encoding="utf-8")
    scored = json.loads(elman("score", seq2seq, "one.tsv", "--json").out)
    assert scored["log_probability"] == pytest.approx(answer.log_probability, abs=1e-4)
    assert scored["sequence"] == [*answer.symbols, "</s>"]
    ran = elman("score", seq2seq, pairs)
    assert ran.code == 0 and len(ran.out.splitlines()) == 72 and "perplexity" in ran.err


def test_eval_and_an_ensemble(elman, seq2seq: Path, pairs: Path, inside: Path) -> None:
    answer = json.loads(elman("eval", seq2seq, pairs, "--nbest", "3", "--beam", "3", "--json").out)
    assert set(answer["accuracy_at"]) == {"1", "2", "3"} and answer["counts"]["items"]["total"] == 72
    stored = json.loads((seq2seq / "metrics.json").read_text())["test"]
    assert stored == {k: v for k, v in json.loads(elman("eval", seq2seq, pairs, "--json").out).items() if k in stored}
    # of the same seed, which chose the dev part: then the symbols and their order are the same
    other = ["--train", pairs, "--dev", "10%", "--attention", "none", "--out", "other", *TINY]
    assert elman("train", "seq2seq", *other).code == 0
    together = json.loads(elman("eval", seq2seq, pairs, "--ensemble", "other", "--json").out)
    model = package.load(seq2seq).with_others([package.load("other")])
    assert together["accuracy"] == model.evaluate(package_pairs(pairs)).accuracy
    ran = elman("predict", seq2seq, "--ensemble", "nowhere", stdin="a\n")
    assert ran.code == 4 and "nowhere" in ran.err


def package_pairs(path: Path) -> list[Any]:
    from elman.text.pairs import read_pairs

    return read_pairs(path, "tsv")


def test_check(elman, pairs: Path, inside: Path) -> None:
    (inside / "dev.tsv").write_text("ab\taabb\nqq\t\n", encoding="utf-8")
    ran = elman("check", "--task", "seq2seq", pairs, "dev.tsv")
    assert ran.code == 0 and "dev.tsv:2" in ran.out and "'q'" in ran.out, ran.out
    (inside / "bad.tsv").write_text("ab\taabb\nalone\n", encoding="utf-8")
    ran = elman("check", "--task", "seq2seq", "bad.tsv")
    assert ran.code == 3 and "bad.tsv:2" in ran.out


def test_inspect(elman, seq2seq: Path, pairs: Path, inside: Path) -> None:
    ran = elman("inspect", seq2seq, "γδ")
    model = package.load(seq2seq)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ran.code == 0 and lines[0] == ["read-from", "answer", "likeliest", "probability", "loss"], ran.err
    symbols = [*model.predict(["γδ"])[0].answers[0].symbols, "</s>"]
    assert [line[2] for line in lines[1 : len(symbols) + 1]] == symbols
    ran = elman(
        "inspect", seq2seq, "γδ", "--gold", "γγδδ", "--data", pairs, "--texts", "10", "--html", "r.html", "--json"
    )
    answer = json.loads(ran.out)
    assert [output["target"] for output in answer["outputs"]] == [*"γγδδ", "</s>"] and answer["given"]
    assert answer["horizon"]["whole"] and {"alignment", "written", "horizon", "probe"} <= set(answer["extras"])
    page = (inside / "r.html").read_text(encoding="utf-8")
    assert "What is written from where" in page and "How far back it remembers" in page
    assert elman("inspect", seq2seq, "").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "MODEL", "--column", "2"], 2, "--column is for the task tag"),
        (["predict", "MODEL", "--nbest", "3", "--beam", "2"], 2, "nbest from 1 to the beam"),
        (["predict", "MODEL", "--nbest", "2"], 2, "expected a beam of at least 2"),
        (["predict", "MODEL", "--format", "conllu"], 2, "its formats are tsv"),
        (["predict", "MODEL", "--temperature", "-1"], 2, "temperature"),
        (["predict", "MODEL", "none.txt"], 3, "none.txt"),
        (["eval", "MODEL", "none.tsv"], 3, "none.tsv"),
        (["eval", "MODEL", "-", "--format", "text"], 2, "no targets"),
        (["score", "MODEL", "-", "--format", "tsv"], 3, "<stdin>:1"),
        (["inspect", "MODEL", "a" * 300], 2, "at most 256 tokens"),
        (["inspect", "TAGGER", "a", "--features", "V"], 2, "--features is for the task seq2seq"),
        (["train", "seq2seq", "--train", "PAIRS", "--out", "m", "--monotonic"], 2, "expected attention hard"),
        (["train", "seq2seq", "--train", "PAIRS", "--out", "m", "--attention", "soft"], 2, "--attention"),
        (["train", "seq2seq", "--train", "PAIRS", "--out", "m", "--dev", "0.1%"], 3, "enough sources"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_refused(
    elman, seq2seq: Path, model: Path, pairs: Path, inside: Path, arguments: list[str], code: int, message: str
) -> None:
    given = [{"MODEL": seq2seq, "TAGGER": model, "PAIRS": pairs}.get(one, one) for one in arguments]
    ran = elman(*given, stdin="one column\n")
    assert ran.code == code and message in ran.err, ran
    assert ran.out == "" and "Traceback" not in ran.err
