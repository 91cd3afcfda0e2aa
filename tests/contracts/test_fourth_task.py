"""A task made up here: with a folder and a row in each table it has every command, and nothing else knows its name."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

FOURTH = Path(__file__).parent / "fourth"
SOURCE = Path(__file__).parents[2] / "src" / "elman"
# Stops a training after some steps as Ctrl-C does, then runs the commands of its arguments one after the other.
DRIVER = """
import contextlib, io, json, signal, sys
from elman.cli.main import run
from elman.training import progress

class Stopping(progress.Quiet):
    steps = 0
    def step(self, report):
        self.steps += 1
        if self.steps == 7:
            signal.raise_signal(signal.SIGINT)

import elman.training
for command in json.loads(sys.stdin.read()):
    real = elman.training.make_progress
    if command[0] == "STOP":
        elman.training.make_progress, command = lambda quiet=False: Stopping(), command[1:]
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(command)
    elman.training.make_progress = real
    out.flush()
    print(json.dumps([code, out.buffer.getvalue().decode(), err.getvalue()]))
"""


def write(path: Path, rows: int, seed: int) -> Path:
    source = random.Random(seed)
    lines = []
    for _ in range(rows):
        bits = [source.randrange(2) for _ in range(source.randrange(3, 9))]
        sides = [("even", "odd")[sum(bits[: i + 1]) % 2] for i in range(len(bits))]
        lines.append(" ".join(map(str, bits)) + "\t" + " ".join(sides) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    """What every command gave, by name: (exit code, standard output, standard error); and the folder."""
    folder = tmp_path_factory.mktemp("parity")
    train, dev, test = (
        str(write(folder / f"{part}.txt", rows, seed))
        for part, rows, seed in (("train", 60, 1), ("dev", 20, 2), ("test", 20, 3))
    )
    (folder / "broken.txt").write_text("1 0\todd\n")
    common = [
        "train",
        "parity",
        "--train",
        train,
        "--dev",
        dev,
        "--test",
        test,
        "--set",
        "epochs=2",
        "--set",
        "batch_tokens=40",
        "--threads",
        "1",
    ]
    model = str(folder / "model")
    commands = {
        "check": ["check", "--task", "parity", train, test],
        "broken": ["check", "--task", "parity", str(folder / "broken.txt")],
        "stopped": ["STOP", *common, "--out", model],
        "unfinished": ["info", model],
        "resumed": ["train", "--resume", model],
        "whole": [*common, "--out", str(folder / "whole"), "-q", "--json"],
        "rival": [
            "train",
            "parity",
            "--model",
            "constant",
            "--train",
            train,
            "--test",
            test,
            "--out",
            str(folder / "rival"),
        ],
        "info": ["info", model],
        "eval": ["eval", model, test],
        "eval json": ["eval", model, test, "--json"],
        "predict": ["predict", model, test],
        "shout": ["predict", model, test, "--shout"],
        "foreign": ["predict", model, test, "--column", "2"],
        "foreign format": ["predict", model, test, "--format", "csv"],
        "score": ["score", model, test],
        "inspect": ["inspect", model, "1 0 1 1", "--gold", "odd odd even odd"],
        "report": ["inspect", model, "1 0 1 1", "--data", test, "--html", str(folder / "report.html")],
        "compare": [
            "compare",
            "parity",
            train,
            dev,
            test,
            "--systems",
            "constant,network:epochs=1",
            "--seeds",
            "1",
            "--json",
        ],
        "help": ["train", "--help"],
        "predict help": ["predict", "--help"],
    }
    places = [str(FOURTH), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return folder, dict(zip(commands, found, strict=True))


def test_every_command_has_it(ran) -> None:
    _, results = ran
    codes = {"broken": 3, "stopped": 130, "foreign": 2, "foreign format": 2, "score": 2}
    for name, (code, out, err) in results.items():
        assert code == codes.get(name, 0), (name, out, err)
    assert "60 rows" in results["check"][1] and "no errors" in results["check"][1]
    assert "broken.txt:1: expected a side for every bit" in results["broken"][1]
    assert "not finished" in results["unfinished"][1]
    assert "elman train parity --train bits.txt" in results["help"][1]
    assert "Parities:" in results["predict help"][1] and "--shout" in results["predict help"][1]


def test_training_resumes_to_the_same_weights(ran) -> None:
    folder, _ = ran
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("model", "whole")]
    assert weights[0] == weights[1]


def test_scores_answers_and_tables(ran) -> None:
    folder, results = ran
    score = json.loads(results["eval json"][1])
    assert json.loads(results["whole"][1])["test"]["accuracy"] == score["accuracy"]
    shown = f"{100 * score['accuracy']:.2f}"
    assert f"accuracy  {shown}" in results["eval"][1] and shown in results["resumed"][1]
    gold = [line.split("\t")[1].split() for line in (folder / "test.txt").read_text().splitlines()]
    answers = [line.split() for line in results["predict"][1].splitlines()]
    pairs = [(a, b) for one, other in zip(gold, answers, strict=True) for a, b in zip(one, other, strict=True)]
    assert sum(a == b for a, b in pairs) / len(pairs) == score["accuracy"]
    assert results["shout"][1] == results["predict"][1].upper()
    table = json.loads(results["compare"][1])
    assert [row["system"] for row in table["systems"]] == ["constant", "network:epochs=1"]


def test_what_it_does_not_have_is_refused_by_name(ran) -> None:
    _, results = ran
    assert "--column is for the task tag; this is a model of the task parity" in results["foreign"][2]
    assert "--format csv: this is a model of the task parity; its files have one format" in results["foreign format"][2]
    assert "a model of the task parity has no likelihood of a text" in results["score"][2]


def test_it_is_laid_open_and_has_a_card(ran) -> None:
    folder, results = ran
    assert "20 rows; measuring" in results["report"][2] and (folder / "report.html").stat().st_size > 10_000
    assert "gold" in results["inspect"][1] and "layer 1" in results["inspect"][1]
    card = (folder / "model" / "README.md").read_text()
    assert "It tells odd from even: the model network." in card and "| test | accuracy |" in card
    assert "sides       2: even odd" in results["info"][1] and "reading     bits as text" in results["info"][1]


def test_nothing_else_knows_it() -> None:
    assert not [path for path in SOURCE.rglob("*.py") if "parity" in path.read_text(encoding="utf-8").lower()]
