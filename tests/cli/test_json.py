"""One vocabulary for all commands: a key of `--json` has one type, that of the table in docs/json.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from elman.errors import Notice

DOCS = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
TYPES = {"text": str, "number": (int, float), "list": list, "object": dict, "boolean": bool}
TABLE = {
    key: kind
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", DOCS, re.MULTILINE)
    for key in re.findall(r"`(\w+)`", row[0])
    for kind in [row[1]]
}
# Whose keys are names of parts, or of lenses: only those that others have too are held to the table.
OF_THEIR_OWN = ("doctor", "inspect", "compare")


@pytest.fixture(scope="module")
def answers(
    elman, model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("json")
    texts = ["a fine film", "a dull film", "so fine", "so dull , and long"] * 6
    for part in ("train", "dev", "test"):
        rows = [f'{"good" if "fine" in text else "bad"},"{text}"' for text in texts]
        (folder / f"{part}.csv").write_text("\n".join(["label,text", *rows]) + "\n")
        (folder / f"{part}.txt").write_text("\n".join(texts) + "\n")
        (folder / f"{part}.tsv").write_text("".join(f"{text}\tV;PST\t{text[:3]}\n" for text in texts))
    csv, txt, dev = folder / "train.csv", folder / "train.txt", ["--dev", folder / "dev.csv"]
    tsv, pairs = folder / "train.tsv", ["--features-column", "2"]
    small = ["--epochs", "1", "--hidden", "4", "--threads", "1", "--quiet"]
    test = corpus / "test.conllu"
    commands = {
        "data make": ("data", "make", "grammar", "--sentences", "40", "--out", folder / "c"),
        "train tag": ("train", "tag", "--train", test, "--column", "xpos", "--out", folder / "t", *small),
        "train classify": (
            "train",
            "classify",
            "--train",
            csv,
            *dev,
            "--test",
            folder / "test.csv",
            "--out",
            folder / "k",
            *small,
        ),
        "train folds": ("train", "classify", "--train", csv, "--folds", "2", "--out", folder / "f", *small),
        "train lm": ("train", "lm", "--train", txt, "--dev", folder / "dev.txt", "--out", folder / "l", *small),
        "train rival": ("train", "lm", "--model", "ngram", "--train", txt, "--out", folder / "n", "-q"),
        "train seq2seq": ("train", "seq2seq", "--train", tsv, *pairs, "--dev", "20%", "--out", folder / "s", *small),
        "eval seq2seq": ("eval", folder / "s", tsv, "--nbest", "2", "--beam", "2"),
        "predict seq2seq": ("predict", folder / "s", tsv, "-p", "--nbest", "2", "--beam", "2"),
        "check seq2seq": ("check", "--task", "seq2seq", tsv, folder / "dev.tsv", *pairs),
        "score seq2seq": ("score", folder / "s", tsv),
        "inspect seq2seq": ("inspect", folder / "s", "so fine", "--gold", "so ", "--features", "V;PST"),
        "info seq2seq": ("info", folder / "s"),
        "eval tag": ("eval", model, test),
        "eval files": ("eval", test, test, "--column", "xpos"),
        "eval classify": ("eval", folder / "k", csv),
        "eval lm": ("eval", folder / "l", txt),
        "predict tag": ("predict", model, test, "-p", "--nbest", "2"),
        "predict classify": ("predict", folder / "k", csv, "-p"),
        "check tag": ("check", test, corpus / "dev.conllu", "--column", "xpos"),
        "check classify": ("check", csv, folder / "dev.csv"),
        "check lm": ("check", "--task", "lm", txt, txt),
        "score": ("score", folder / "l", txt),
        "inspect": ("inspect", model, "the boys run"),
        "compare": (
            "compare",
            "classify",
            csv,
            folder / "dev.csv",
            folder / "test.csv",
            "--systems",
            "majority,ngrams",
            "--seeds",
            "1",
            "-q",
        ),
        "doctor": ("doctor",),
        **{f"info {name}": ("info", place) for name, place in (("tag", model), ("lm", folder / "l"))},
        "info classify": ("info", folder / "k"),
    }
    found = {}
    for name, command in commands.items():
        ran = elman(*command, "--json")
        assert ran.code == 0, f"{name}: {ran.err}"
        found[name] = [json.loads(line) for line in ran.out.splitlines()]
    return found


def records(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects in an answer whose keys are names of things, not things by their names."""
    nested = [answer.get(key) for key in ("dev", "test")] + [*answer.get("files", []), *answer.get("folds", [])]
    return [one for one in nested if isinstance(one, dict)]


def wrong(key: str, value: Any) -> bool:
    kind = TYPES[TABLE[key]]
    return value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)))


def test_every_key_is_in_the_table_and_of_its_type(answers) -> None:
    assert len(TABLE) > 60 and set(TABLE.values()) <= set(TYPES)
    for name, lines in answers.items():
        assert lines, name
        for answer in lines:
            missing = [key for key in answer if key not in TABLE]
            assert not missing or name.split()[0] in OF_THEIR_OWN, f"{name}: {missing}"
            for record in [answer, *records(answer)]:
                odd = {key: value for key, value in record.items() if key in TABLE and wrong(key, value)}
                assert not odd, f"{name}: {str(odd)[:300]}"


def test_every_key_of_the_table_is_said_by_some_command(answers) -> None:
    said = {key for lines in answers.values() for a in lines for record in [a, *records(a)] for key in record}
    assert set(TABLE) <= said | {"probability"}, set(TABLE) - said


def test_predictions_are_one_object_a_sentence_or_text(answers) -> None:
    first = answers["predict tag"][0]
    assert len(first["words"]) == len(first["tags"]) == len(first["probabilities"]) and len(first["nbest"]) == 2
    text = answers["predict classify"][0]
    assert text["line"] == 2 and text["text"] == "a fine film" and text["labels"][0] in ("good", "bad")
    assert text["unknown_share"] == 0 and set(text["label_probabilities"]) == {"good", "bad"}


def test_pairs_have_answers_scores_and_alignments(answers) -> None:
    first = answers["predict seq2seq"][0]
    assert (
        first["features"] == ["V", "PST"]
        and 1 <= len(first["answers"]) <= 2
        and first["answers"][0]["alignment"] is not None
    )
    scored = answers["score seq2seq"][0]
    assert scored["sequence"] == ["a", " ", "f", "</s>"] and scored["target"] == "a f"
    (seen,) = answers["inspect seq2seq"]
    assert seen["sequence"] == ["<V>", "<PST>", *"so fine", "</s>"] and seen["given"]
    weights = seen["extras"]["alignment"]["weights"]
    assert len(weights) == 4 == len(seen["extras"]["written"]["read"]) and sum(weights[0]) == pytest.approx(1, abs=1e-4)


# What is said beside the answers ----------------------------------------------------------------------------------


def test_check_finds_out_what_a_file_is_for(elman, inside: Path) -> None:
    (inside / "train.csv").write_text("text,label\na film,good\nanother,bad\n")
    (inside / "labelled.tsv").write_text("good\ta fine film\nbad\ta dull film\n")
    (inside / "tags.tsv").write_text("Ada\tNNP\nruns\tVBZ\n\nShe\tPRP\n")
    (inside / "texts.jsonl").write_text('{"text": "a film", "label": "good"}\n')
    (inside / "words.jsonl").write_text('{"words": ["a"], "tags": ["DT"]}\n')
    for name in ("train.csv", "labelled.tsv", "texts.jsonl"):
        ran = elman("check", name)
        assert "texts" in ran.out and f"{name}: read as texts with labels; --task tag" in ran.err, (name, ran)
    for name in ("tags.tsv", "words.jsonl"):
        ran = elman("check", name)
        assert "sentences" in ran.out and ran.err == "", (name, ran)
    (inside / "odd.tsv").write_text("word\tX\n" * 300)
    ran = elman("check", "odd.tsv")
    assert ran.code == 2 and "--task is missing" in ran.err
    assert elman("check", "odd.tsv", "--task", "tag").code == 0
    assert elman("check", "-", "--format", "jsonl", stdin="{}").code == 2


def test_a_text_of_unknown_words_is_said_to_be_a_guess(elman, answers, tmp_path_factory) -> None:
    folder = next(path for path in tmp_path_factory.getbasetemp().glob("json*") if (path / "k").is_dir())
    ran = elman("predict", folder / "k", stdin="völlig andere Wörter hier\na fine film\n")
    assert ran.code == 0 and len(ran.out.splitlines()) == 2
    assert (
        "standard input: in 1 text the model knows at most a tenth of the words" in ran.err and "(lines 1)" in ran.err
    )
    assert elman("predict", folder / "k", stdin="a fine film\n").err == ""


@pytest.mark.parametrize("task", ["tag", "classify"])
def test_what_dev_has_and_training_lacks_is_said_before(elman, inside: Path, task: str) -> None:
    if task == "tag":
        (inside / "train.tsv").write_text("a\tDT\n\nb\tNN\n\n")
        (inside / "dev.tsv").write_text("a\tDT\nc\tXX\n\nd\tXX\n\n")
        where, what, unseen = "dev.tsv", "a tag", "'XX' (2 times, first at"
    else:
        (inside / "train.csv").write_text("text,label\na,good\nb,bad\n")
        (inside / "dev.csv").write_text("text,label\na,good\nb,odd\n")
        where, what, unseen = "dev.csv", "a label", "'odd' (1 times, first at"
    suffix = "tsv" if task == "tag" else "csv"
    files = [f"--{part}={part}.{suffix}" for part in ("train", "dev")]
    with pytest.warns(
        Notice, match=rf"dev data has {what} that training data lacks.*{re.escape(unseen)} .*{where}:[23]\)"
    ):
        assert elman("train", task, "--model", "majority", *files, "--out", "m", "-q").code == 0


def test_an_end_that_is_still_the_best_is_said(elman, corpus: Path, inside: Path, tiny: list[str]) -> None:
    files = [f"--{part}={corpus / part}.conllu" for part in ("train", "dev")]
    ran = elman("train", "tag", *files, "--column", "xpos", "--out", "m", *tiny)
    metrics = json.loads((inside / "m" / "metrics.json").read_text())["training"]
    said = "the last of 3 epochs was the best, so more may be better: --epochs 6" in ran.err
    assert ran.code == 0 and said == (metrics["best_epoch"] == 3)
