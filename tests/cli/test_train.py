"""Training from the command line: what is refused, what is written, and resuming after a stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def test_a_model_and_its_scores(model: Path) -> None:
    names = {path.name for path in model.iterdir()}
    assert {"model.safetensors", "config.json", "metrics.json", "README.md", "log.jsonl", "tags.json"} <= names
    assert "training" not in names
    config = json.loads((model / "config.json").read_text())
    assert config["reading"] == {"format": "conllu", "encoding": "utf-8", "column": "xpos"}
    assert config["settings"]["threads"] == 1 and config["settings"]["hidden_size"] == 12


def test_results_on_stdout_all_else_on_stderr(elman, corpus: Path, inside: Path, tiny: list[str]) -> None:
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--dev", "20%", *tiny, "--out", "γ 语")
    assert ran.code == 0
    table = [line.split() for line in ran.out.splitlines()]
    assert table[0] == ["score", "dev"] and table[1][0] == "accuracy" and 0 <= float(table[1][1]) <= 100
    assert table[-1][0].startswith("metric:tagging|")
    assert "train: 40 sentences" in ran.err and "epoch   3" in ran.err
    assert "elman predict 'γ 语'" in ran.err and "--resume" not in ran.err


def test_quiet_and_without_dev(elman, corpus: Path, inside: Path, tiny: list[str]) -> None:
    arguments = ["train", "tag", "--train", corpus / "train.conllu", *tiny, "--epochs", "1"]
    assert elman(*arguments, "--out", "a", "--quiet") == (0, "", "")
    ran = elman(*arguments, "--out", "b")
    assert ran.code == 0 and ran.out == "" and "--dev 10%" in ran.err


def test_columns_from_the_end_are_kept_as_counted_from_the_start(ner_model: Path) -> None:
    config = json.loads((ner_model / "config.json").read_text())
    assert config["reading"] == {"format": "columns", "encoding": "utf-8", "word": 1, "column": 3}
    assert config["scheme"] == "iob2"


def test_a_txt_file_to_train_on_is_one_of_columns(elman, ner: Path, inside: Path, tiny: list[str]) -> None:
    shutil.copy(ner, inside / "train.txt")
    ran = elman("train", "tag", "--train", "train.txt", *tiny, "--epochs", "1", "--out", "m")
    assert ran.code == 0, ran.err
    assert elman("eval", "m", "train.txt").code == 0
    ran = elman("predict", "m", "train.txt")
    assert ran.code == 2 and "--format text or --format columns" in ran.err
    assert elman("train", "tag", "--train", "train.txt", "--format", "text", "--out", "n").code == 2


def test_what_is_trained_on_is_not_scored_on(elman, corpus: Path, inside: Path) -> None:
    train = corpus / "train.conllu"
    other = corpus / ".." / corpus.name / "train.conllu"
    for key in ("--dev", "--test"):
        ran = elman("train", "tag", "--train", train, key, other, "--out", "m")
        assert ran.code == 2 and f"{key}: expected a file other" in ran.err and not (inside / "m").exists()


def test_dev_data_without_a_word(elman, corpus: Path, inside: Path) -> None:
    (inside / "dev.conllu").write_text("# nothing\n\n")
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--dev", "dev.conllu", "--out", "m")
    assert ran.code == 3 and "dev.conllu" in ran.err and not (inside / "m").exists()
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--dev", "0.001%", "--out", "m")
    assert ran.code == 3 and "set" in ran.err and not (inside / "m").exists()


def test_a_folder_with_a_model_is_not_overwritten(elman, corpus: Path, model: Path) -> None:
    before = (model / "model.safetensors").read_bytes()
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--out", model)
    assert ran.code == 2 and "found a model" in ran.err
    ran = elman("train", "--resume", model)
    assert ran.code == 2 and "finished model" in ran.err and f"--init '{model}'" in ran.err
    assert (model / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(elman, corpus: Path, inside: Path) -> None:
    (inside / "locked").mkdir(mode=0o500)
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--out", "locked/m")
    assert ran.code == 5 and "locked/m" in ran.err


def test_a_disk_that_is_full(elman, corpus: Path, inside: Path, tiny: list[str], monkeypatch) -> None:
    from elman.training import atomic

    write = atomic.write_file

    def refuse(path: Path, data: bytes) -> None:
        if path.name.startswith("model"):
            with atomic.writing(path):
                raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(atomic, "write_file", refuse)
    ran = elman("train", "tag", "--train", corpus / "train.conllu", *tiny, "--out", "m", "--quiet")
    assert ran.code == 5 and "No space left" in ran.err and ran.out == ""


def test_init(elman, corpus: Path, model: Path, inside: Path, tiny: list[str]) -> None:
    arguments = ["train", "tag", "--train", corpus / "train.conllu", "--column", "xpos", *tiny, "--out", "m"]
    assert elman(*arguments, "--init", model, "--quiet", "--epochs", "1").code == 0
    ran = elman(*arguments[:-1], "n", "--init", model, "--hidden", "13")
    assert ran.code == 2 and "a different architecture" in ran.err


CELL = """
import elman
from torch import tanh

class Mine(elman.Cell):
    gates = ("z",)

    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z))
"""


def test_a_cell_of_the_users_own(elman, corpus: Path, inside: Path, tiny: list[str]) -> None:
    (inside / "κελί.py").write_text(CELL, encoding="utf-8")
    ran = elman(
        *("train", "tag", "--train", corpus / "train.conllu", *tiny, "--out", "m", "--cell", "κελί.py:Mine", "-q")
    )
    assert ran.code == 0, ran.err
    ran = elman("predict", "m", stdin="the sheep\n")
    assert ran.code == 4 and "--allow-code" in ran.err and ran.out == ""
    assert elman("predict", "m", "--allow-code", stdin="the sheep\n").code == 0
    assert "--allow-code" in elman("info", "m").out
    ran = elman("train", "tag", "--train", corpus / "train.conllu", "--out", "n", "--cell", "none.py:Mine")
    assert ran.code == 2 and "none.py" in ran.err


# Going on --------------------------------------------------------------------------------------------------------


def stop_after(steps: int, number: int = signal.SIGINT):
    """A patch of the progress display that sends this process a signal after so many steps."""
    from elman.training import progress

    count = [0]

    def step(self, report) -> None:
        count[0] += 1
        if count[0] == steps:
            os.kill(os.getpid(), number)

    return progress.Quiet, "step", step


@pytest.fixture
def stopped(elman, corpus: Path, inside: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A training that was stopped after some steps, in the folder m: the command line that began it, without --out."""
    arguments = ["train", "tag", "--train", os.path.relpath(corpus / "train.conllu"), "--dev", "20%", *tiny, "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(*stop_after(5))
        ran = elman(*arguments, "--out", "m")
    assert ran.code == 130 and "--resume m" in ran.err and ran.out == "", ran.err
    return arguments


def test_going_on_gives_the_weights_of_the_uninterrupted_run(elman, stopped, inside: Path, monkeypatch) -> None:
    info = elman("info", "m", "--json")
    assert json.loads(info.out)["resume"] == "elman train --resume m" and "not finished" in info.err
    assert elman(*stopped, "--out", "whole").code == 0
    monkeypatch.chdir(Path("/"))  # what was named relative to the old folder must still be found
    ran = elman("train", "--resume", inside / "m", "--json")
    assert ran.code == 0 and "resumed at epoch" in ran.err
    assert json.loads(ran.out)["model"] == str(inside / "m")
    one, other = (json.loads((inside / name / "metrics.json").read_text()) for name in ("m", "whole"))
    assert one["dev"] == other["dev"]
    assert (inside / "m/model.safetensors").read_bytes() == (inside / "whole/model.safetensors").read_bytes()
    assert not (inside / "m" / "training").exists()


def test_saying_the_same_again_is_fine_and_anything_else_is_not(elman, stopped, inside: Path) -> None:
    resume = ["train", "tag", "--resume", "m"]
    for flag, value, message in (
        ("--epochs", "4", "epochs: was 3, found 4"),
        ("--seed", "2", "seed: was 1, found 2"),
        ("--cell", "gru", "cell: was lstm, found gru"),
        ("--column", "xpos", "column: was not given, found xpos"),
        ("--threads", "2", "threads: was 1, found 2"),
        ("--out", "other", "out: was"),
        ("--dev", "30%", "dev: was 20%, found 30%"),
    ):
        ran = elman(*resume, flag, value)
        assert ran.code == 2 and message in ran.err, ran.err
    assert elman(*resume, "--epochs", "3", *stopped[2:], "--out", "m").code == 0


def test_changed_data_is_named(elman, corpus: Path, stopped, inside: Path) -> None:
    path = inside / "m" / "training" / "run.json"
    changed = inside / "train.conllu"
    changed.write_text((corpus / "train.conllu").read_text().replace("sheep", "goat"))
    run = json.loads(path.read_text())
    run["given"]["train"] = str(changed)
    path.write_text(json.dumps(run))
    ran = elman("train", "--resume", "m")
    assert ran.code == 2 and "training data" in ran.err
    changed.unlink()
    assert elman("train", "--resume", "m").code == 3


def test_broken_run_files(elman, stopped, inside: Path) -> None:
    path = inside / "m" / "training" / "run.json"
    good = path.read_text()
    for text in ("{", "[]", "{}", good.replace('"format": 1', '"format": 2'), good.replace("threads", "Threads")):
        path.write_text(text)
        ran = elman("train", "--resume", "m")
        assert ran.code == 4 and "run.json" in ran.err
    path.write_text(good.replace('"tag"', '"tug"'))
    assert "did you mean 'tag'" in elman("train", "--resume", "m").err
    path.unlink()
    ran = elman("train", "--resume", "m")
    assert ran.code == 2 and "fit(..., resume=True)" in ran.err


def test_files_beside_the_data_must_not_change(elman, corpus: Path, inside: Path, tiny: list[str], monkeypatch) -> None:
    (inside / "cell.py").write_text(CELL)
    (inside / "v.txt").write_text("the 0.1 0.2\nsheep 0.3 0.4\n")
    with monkeypatch.context() as patch:
        patch.setattr(*stop_after(2))
        ran = elman(
            *("train", "tag", "--train", corpus / "train.conllu", *tiny, "--out", "m", "-q"),
            *("--cell", "cell.py:Mine", "--vectors", "v.txt"),
        )
    assert ran.code == 130
    (inside / "v.txt").write_text("the 0.1 0.2\nsheep 0.3 0.5\n")
    (inside / "cell.py").write_text(CELL.replace("tanh(x", "tanh(2 * x"))
    ran = elman("train", "--resume", "m")
    assert ran.code == 2 and "the file of cell, vectors" in ran.err
    (inside / "v.txt").write_text("the 0.1 0.2\nsheep 0.3 0.4\n")
    (inside / "cell.py").write_text(CELL)
    monkeypatch.chdir(Path("/"))
    assert elman("train", "--resume", inside / "m", "--quiet").code == 0


def test_a_real_ctrl_c(corpus: Path, tmp_path: Path, tiny: list[str]) -> None:
    """The whole process, with a signal from outside."""
    command = [sys.executable, "-m", "elman", "train", "tag", "--train", str(corpus / "train.conllu"), *tiny]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--epochs", "5000", "--out", str(tmp_path / "m")], stderr=subprocess.PIPE, env=environment
    )
    assert process.stderr is not None
    lines = []
    while not (lines and re.search(rb"epoch +\d", lines[-1])):
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert b"a checkpoint is saved" in rest and b"Traceback" not in rest
    assert (tmp_path / "m" / "training" / "current").exists()
