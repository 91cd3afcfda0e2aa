"""Tagging: the same format out as in, byte for byte but for the tags; streaming; what cannot be done is refused."""

from __future__ import annotations

import gzip
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from elman.cli.stream import batches
from elman.text import Sentence

CONLLU = """# sent_id = γ1
# text = the sheep's 猫 sleep .
1-2\tsheep's\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tthe sheep\tsheep\tNOUN\tXX\tNumber=Plur\t2\tnsubj\t_\tA=1|B=2
2\t's\tbe\tAUX\t_\t_\t0\troot\t_\t_
2.1\tnothing\t_\t_\tKEEP\t_\t_\t_\t_\t_
3\t猫\t猫\tX\tXX\t_\t2\tdep\t_\tProb=old

# sent_id = 2
1\tsleep\t_\tX\tXX\t_\t0\troot\t_\t_

# the end
"""


def other_columns(text: str) -> str:
    """CoNLL-U with XPOS of its words masked."""
    return re.sub(r"^(\d+\t(?:[^\t]*\t){3})[^\t]*", r"\1?", text, flags=re.MULTILINE)


def test_conllu_keeps_all_but_the_tags(elman, model: Path) -> None:
    ran = elman("predict", model, "--format", "conllu", stdin=CONLLU)
    assert ran.code == 0 and ran.err == ""
    assert ran.out != CONLLU and other_columns(ran.out) == other_columns(CONLLU)
    assert "KEEP" in ran.out and "XX" not in ran.out
    other = elman("predict", model, "--format", "conllu", "--column", "misc:Tag", stdin=CONLLU).out
    assert re.sub(r"\|?Tag=[^\t|\n]+", "", other).replace("root\t_\t\n", "root\t_\t_\n") == CONLLU


def test_conllu_probabilities_go_to_misc(elman, model: Path) -> None:
    plain = elman("predict", model, "--format", "conllu", stdin=CONLLU).out
    sure = elman("predict", model, "--format", "conllu", "-p", stdin=CONLLU).out
    found = [float(p) for p in re.findall(r"Prob=(0\.\d{4})\n", sure)]
    assert len(found) == 4 and all(0 < p <= 1 for p in found) and "A=1|B=2|Prob=" in sure
    assert re.sub(r"\|?Prob=[^\t\n]+", "", sure).replace("\t\n", "\t_\n") == plain.replace("Prob=old", "_")


def test_columns(elman, ner_model: Path) -> None:
    text = "-DOCSTART- -X- O\n\nAda\tNNP\tX\n猫\tNNP\tX\n\n# kept\nin\tIN\tX\n"
    ran = elman("predict", ner_model, "--format", "columns", stdin=text)
    assert ran.code == 0
    assert re.sub(r"\t[^\t\n]+$", "\tX", ran.out, flags=re.MULTILINE) == text + "\n"
    sure = elman("predict", ner_model, "--format", "columns", "-p", stdin=text).out
    assert re.sub(r"\t\d\.\d{4}$", "", sure, flags=re.MULTILINE) == ran.out and sure != ran.out


def test_columns_that_lack_the_tag_get_it_as_their_last(elman, ner_model: Path, model: Path) -> None:
    lines = elman("predict", ner_model, "--format", "columns", stdin="Ada NNP\nmet VBD\n\n").out.splitlines()
    assert [line.split(" ")[:2] for line in lines[:2]] == [["Ada", "NNP"], ["met", "VBD"]]
    assert [len(line.split(" ")) for line in lines] == [3, 3, 1]
    # not trained on columns: no column is known to be that of the tags, so none is overwritten
    lines = elman("predict", model, "--format", "columns", stdin="the\tDET\tx\n").out.splitlines()
    assert lines[0].startswith("the\tDET\tx\t")


def test_text_is_the_format_of_standard_input(elman, model: Path) -> None:
    ran = elman("predict", model, stdin="the sheep\n\nΤο 猫\n")
    words = [line.split("\t")[0] for line in ran.out.splitlines()]
    assert ran.code == 0 and words == ["the", "sheep", "", "", "Το", "猫", ""]
    sure = elman("predict", model, "-", "-p", stdin="the sheep\n").out
    assert [len(line.split("\t")) for line in sure.splitlines()] == [3, 3, 1]


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n", "conllu"),
        ("# sent_id = 1\n1\ta\n", "conllu"),
        ("\nAda\tNNP\n", "columns"),
        ('{"words": ["a"]}\n', "jsonl"),
    ],
)
def test_other_formats_are_not_taken_for_text_in_silence(elman, model: Path, text: str, like: str) -> None:
    ran = elman("predict", model, stdin=text)
    assert ran.code == 2 and ran.out == "" and f"--format {like}" in ran.err
    assert elman("predict", model, "--format", "text", stdin=text).code == 0


def test_json_lines(elman, ner_model: Path) -> None:
    text = '{"id": 1.50, "text": "Ada met"}\n\n{"words": [], "tags": []}\n{ "nbest":0 ,"words":["γ"], "tags":["O"]}\n'
    ran = elman("predict", ner_model, "--format", "jsonl", "-p", "--nbest", 3, stdin=text)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[1] == "" and lines[0].startswith('{"id": 1.50, "text": "Ada met", ')
    first, empty, last = (json.loads(lines[i]) for i in (0, 2, 3))
    assert len(first["tags"]) == len(first["probabilities"]) == 2 and len(first["nbest"]) == 3
    assert first["nbest"][0]["tags"] == first["tags"]
    assert [way["probability"] for way in first["nbest"]] == sorted(
        (way["probability"] for way in first["nbest"]), reverse=True
    )
    assert empty["tags"] == [] and lines[3].startswith('{ "nbest":[') and len(last["nbest"]) == 3
    plain = elman("predict", ner_model, "--format", "jsonl", stdin=text).out.splitlines()
    assert plain[3].startswith('{ "nbest":0 ,"words":["γ"], "tags":[')
    ran = elman("predict", ner_model, "--nbest", 3, stdin="Ada\n")
    assert ran.code == 2 and "JSON lines" in ran.err


def test_the_column_of_conllu_must_be_named_for_a_model_of_another_format(elman, ner_model: Path) -> None:
    ran = elman("predict", ner_model, "--format", "conllu", stdin=CONLLU)
    assert ran.code == 2 and "--column misc:Tag" in ran.err
    assert "Tag=" in elman("predict", ner_model, "--format", "conllu", "--column", "misc:Tag", stdin=CONLLU).out


def test_files_in_and_out(elman, model: Path, inside: Path) -> None:
    expected = elman("predict", model, "--format", "conllu", stdin=CONLLU).out
    name = "语法 γ.conllu"
    (inside / name).write_text(CONLLU, encoding="utf-8")
    assert elman("predict", model, name).out == expected
    assert elman("predict", model, name, "-o", "out.conllu.gz") == (0, "", "")
    assert gzip.decompress((inside / "out.conllu.gz").read_bytes()).decode() == expected
    ran = elman("predict", model, name, "--output", "./" + name)
    assert ran.code == 2 and "overwritten" in ran.err and (inside / name).read_text(encoding="utf-8") == CONLLU
    assert elman("predict", model, name, "-o", "none/out").code == 2
    assert elman("predict", model, "none.conllu").code == 3


@pytest.mark.parametrize("name", ["text", "conllu", "columns", "jsonl"])
def test_nothing_in_nothing_out(elman, model: Path, name: str) -> None:
    assert elman("predict", model, "--format", name, stdin="") == (0, "", "")


def test_what_came_before_a_fault_is_answered(elman, model: Path) -> None:
    ran = elman("predict", model, "--format", "conllu", stdin=CONLLU + "1\tbroken\n")
    assert ran.code == 3 and "<stdin>:13: expected 10 columns" in ran.err
    assert ran.out == elman("predict", model, "--format", "conllu", stdin=CONLLU.replace("# the end\n", "")).out
    ran = elman("predict", model, stdin=b"the sheep\n\xff\n")
    assert ran.code == 3 and ran.out.startswith("the\t") and "<stdin>:2:1" in ran.err


def test_long_words_are_told_once(elman, model: Path) -> None:
    long = "x" * 65
    ran = elman("predict", model, stdin=f"short {'x' * 64}\n{long} a {long}\n{long}\n")
    assert ran.code == 0 and ran.err.count("\n") == 1 and "<stdin>:2: a word of 65 characters" in ran.err


def test_an_unfinished_training_is_used_and_named(elman, model: Path, inside: Path) -> None:
    import shutil

    shutil.copytree(model, inside / "m")
    (inside / "m" / "training").mkdir()
    ran = elman("predict", "m", stdin="the\n")
    assert ran.code == 0 and "elman train --resume m" in ran.err
    (inside / "m" / "model.safetensors").unlink()
    ran = elman("predict", "m", stdin="the\n")
    assert ran.code == 4 and "elman train --resume m" in ran.err


# Streaming -------------------------------------------------------------------------------------------------------


def test_a_slow_producer_is_answered_at_once_and_a_closed_pipe_is_quiet(model: Path) -> None:
    """A real process in a pipe: an answer while its input is still open; then its reader goes away."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "elman", "predict", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin and process.stdout and process.stderr
    for word in (b"the", b"sheep"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(word + b"\t")
        assert process.stdout.readline() == b"\n"
    process.stdout.close()
    process.stdin.write(b"sheep\n")
    process.stdin.flush()  # and left open: the reader still waits for more when the answer cannot be written
    assert process.wait(timeout=200) == 141 and process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


def sentences(*lengths: int) -> list[Sentence]:
    return [Sentence(["w"] * length) for length in lengths]


def test_batches_are_what_is_there() -> None:
    source: queue.Queue[Sentence | None] = queue.Queue()
    found = batches(iter(source.get, None), 5, len)
    for sentence in sentences(1, 2):
        source.put(sentence)
        assert next(found) == [sentence]  # while the source is still open
    source.put(None)
    assert list(found) == []


def test_batches_are_limited_in_words_and_lose_nothing() -> None:
    given, groups, before = sentences(*[3] * 50, 0, 9), [], threading.active_count()
    for group in batches(iter(given), 5, len):
        groups.append(group)
        while threading.active_count() > before:  # until all is read
            time.sleep(0.001)
    assert [s for group in groups for s in group] == given
    assert all(sum(map(len, group[:-1])) < 5 for group in groups) and max(map(len, groups)) > 1


def test_an_exception_comes_after_all_before_it() -> None:
    def faulty():
        yield from sentences(1, 1, 1)
        raise ValueError("fault")

    seen = 0
    with pytest.raises(ValueError, match="fault"):
        for group in batches(faulty(), 100, len):
            seen += len(group)
    assert seen == 3


def test_a_reader_that_is_not_wanted_any_more_ends() -> None:
    before = threading.active_count()
    found = batches(iter(sentences(*[1] * 20_000)), 1, len)
    next(found)
    found.close()
    deadline = time.monotonic() + 200
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
