"""bench cells: what it says is complete and agrees with itself; whose lengths it takes; how it is stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from elman.cli import bench
from elman.recurrent.kernels import build

COMPILER = build.available() is None
SMALL = ("--shapes", "2x3x8", "--runs", 1, "--threads", 1, "--seed", 5)
# A cell that overrides R: it needs no compiler, and nobody can count its products from outside.
OWN = """
import torch
from elman import Cell

class Mine(Cell):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size, delays=delays)
        self.V = torch.nn.Parameter(torch.eye(hidden_size) / 2)

    def R(self, s, x):
        return self.State(torch.tanh(s.h @ self.V + x))
"""


@pytest.fixture
def mine(inside: Path) -> str:
    Path("mine.py").write_text(OWN, encoding="utf-8")
    return "mine.py:Mine"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RAGGED_WIDTH", 8)


def test_json_is_complete_and_agrees_with_itself(elman) -> None:
    ran = elman("bench", "cells", *SMALL, "--cells", "lstm,indrnn", "--no-steps", "--json")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["machine"]["processor"] and answer["machine"]["cores"] >= 1
    assert {"elman", "python", "torch"} <= answer["versions"].keys()
    settings = answer["settings"]
    assert settings["cells"] == ["lstm", "indrnn"] and settings["dtype"] == "float32" and settings["file"] is None
    assert (settings["threads"], settings["runs"], settings["seed"]) == (1, 1, 5)
    assert settings["shapes"] == [
        {"shape": "2x3x8", "sequences": 2, "lengths": [3, 3], "tokens": 6, "width": 8, "directions": 1}
    ]
    rows = {(row["cell"], row["variant"]): row for row in answer["cells"]}
    native = ["native"] if COMPILER else []
    expected = [("lstm", way) for way in ("loop", "torch", *native)] + [("indrnn", way) for way in ("loop", *native)]
    assert [key for key in rows if "bf16" not in key[1]] == expected
    # lstm: four gates of W and of U; indrnn: one gate, and no U. Six tokens; backward is twice as much as forward.
    flops = {"lstm": 3 * 2 * 6 * (8 * 4 * 8 + 8 * 4 * 8), "indrnn": 3 * 2 * 6 * (8 * 8)}
    for (cell, _), row in rows.items():
        assert 0 < row["min_ms"] <= row["ms"] <= row["max_ms"]
        assert row["shape"] == "2x3x8" and row["gflop"] == pytest.approx(flops[cell] / 1e9)
        assert row["gflops"] == pytest.approx(flops[cell] / (row["ms"] / 1e3) / 1e9)
        assert row["ratio_to"] == ("torch" if cell == "lstm" else "loop")
        assert row["ratio"] == pytest.approx(rows[cell, row["ratio_to"]]["ms"] / row["ms"])
        peak = answer["peak"][row["peak"]]
        assert peak["gflops"] == pytest.approx(2 * 2048**3 / (peak["ms"] / 1e3) / 1e9)
        assert row["of_peak"] == pytest.approx(row["gflops"] / peak["gflops"])
    assert answer["steps"] == [] and answer["missing"] == []
    assert "warming up" in ran.err and "run 1 of 1" in ran.err


def test_both_directions_count_twice(elman, inside: Path, narrow: None) -> None:
    Path("a.txt").write_text("one two three\nfour\n", encoding="utf-8")
    options = (
        "--file",
        "a.txt",
        "--shapes",
        "ragged",
        "--cells",
        "deep-transition",
        "--runs",
        1,
        "--no-steps",
        "--json",
    )
    ran = elman("bench", "cells", *options)
    (row,) = json.loads(ran.out)["cells"]
    # four tokens, two directions, forward and twice that back; [x; h] to the middle layer, and three times h
    assert row["gflop"] == pytest.approx(3 * 2 * 4 * 2 * (16 * 8 + 3 * 8 * 8) / 1e9)
    assert "instead of 32" in ran.err and "no native for deep-transition: it overrides R" in ran.err


def test_tables(elman, mine: str, narrow: None) -> None:
    ran = elman("bench", "cells", *SMALL[2:], "--shapes", "ragged,2x3x8", "--cells", f"elman-relu,{mine}", "--no-steps")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("processor") and "torch 2" in lines[1] and "1 thread, float32, median of 1" in lines[2]
    assert lines[3].startswith("peak") and "2048 x 2048 in float32" in lines[3]
    titles = [line for line in lines if "forward and backward" in line]
    assert titles[0].startswith("ragged: batch 32, ") and "8 wide, both directions" in titles[0]
    assert titles[1].startswith("2x3x8: batch 2, 3 steps, 6 tokens, 8 wide, one direction")
    rows = [line.split() for line in lines]
    assert rows.count(["cell", "variant", "ms", "GFLOP/s", "times", "as-fast-as", "peak-%"]) == 2
    own = [row for row in rows if row[:1] == [mine]]
    assert [row[1] for row in own] == ["loop", "loop"] and all(row[3:] == ["-", "1.00", "loop", "-"] for row in own)
    own = [row for row in rows if row[:2] == ["elman-relu", "torch"]]
    assert len(own) == 2 and all(float(row[2]) > 0 and row[4:6] == ["1.00", "torch"] for row in own)


def test_single_steps(elman, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.recurrent import bench as measuring

    monkeypatch.setattr(measuring, "WIDTHS", (8,))
    options = ("bench", "cells", *SMALL, "--cells", "elman,deep-transition")
    steps = json.loads(elman(*options, "--json").out)["steps"]
    ms = {row["variant"]: row["ms"] for row in steps}
    assert {"loop", "torch", "torch-cell", "stepper"} == ms.keys() - {"onnxruntime"}
    best = min("torch", "torch-cell", key=lambda way: ms[way])
    for row in steps:
        assert row["cell"] == "elman" and row["width"] == 8 and 0 < row["min_ms"] <= row["ms"] <= row["max_ms"] < 100
        assert row["ratio_to"] == best and row["ratio"] == pytest.approx(ms[best] / row["ms"])
    monkeypatch.setattr(measuring, "onnx_missing", lambda: ["onnxruntime"])
    ran = elman(*options)
    assert "onnxruntime missing; get it: pip install 'elman[bench]'" in ran.err
    assert ["elman", "stepper", "8"] in [line.split()[:3] for line in ran.out.splitlines()]
    assert not any("onnxruntime" in line.split()[1:2] for line in ran.out.splitlines())


def test_single_steps_are_shown_in_microseconds(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"cell": "gru", "variant": "stepper", "width": 256, "ms": 0.01234, "ratio": 2.5, "ratio_to": "torch"}
    bench._print_steps([row, row | {"ms": 1.6}])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert rows == [["gru", "stepper", "256", us, "2.50", "torch"] for us in ("12.3", "1600")]


def test_a_busy_machine_is_no_place_to_measure(elman, mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not bench._busy({"load": 0.4, "cores": 2}, 2) and not bench._busy({"load": 1.2, "cores": 2}, 1)
    assert not bench._busy({"load": None, "cores": 2}, 2)
    for load, threads in ((0.9, 2), (0.1, 3), (1.6, 1)):
        assert f"load {load}, {threads} threads, 2 cores" in bench._busy({"load": load, "cores": 2}, threads)
    monkeypatch.setattr(os, "getloadavg", lambda: (77.0, 1.0, 1.0))
    ran = elman("bench", "cells", *SMALL, "--cells", mine, "--json")
    assert json.loads(ran.out)["machine"]["load"] == 77 and ran.err.count("times are misleading") == 2


# Whose lengths ----------------------------------------------------------------------------------------------------

FILES = {
    "a.conllu": "1\tAda\t_\tPROPN\t_\t_\t0\t_\t_\t_\n\n"
    "1\tshe\t_\tPRON\t_\t_\t0\t_\t_\t_\n2\truns\t_\tVERB\t_\t_\t0\t_\t_\t_\n\n",
    "a.tsv": "Ada\tX\n\nshe\tX\nruns\tX\n\n",
    "words.tsv": "Ada\n\nshe\nruns\n\n",
    "a.txt": "Ada\nshe runs\n",
    "a.jsonl": '{"words": ["Ada"]}\n{"text": "she runs"}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_ragged_has_the_lengths_of_a_file(inside: Path, name: str) -> None:
    Path(name).write_text(FILES[name], encoding="utf-8")
    before, ragged = bench._shapes(["2x3x8", "ragged"], name, 1)
    assert ragged.lengths == (1, 2) and (ragged.width, ragged.directions) == (256, 2)
    assert before.lengths == (3, 3) and (before.width, before.directions) == (8, 1)


def test_ragged_is_drawn_by_the_seed(inside: Path) -> None:
    Path("a.txt").write_text("".join("word " * n + "\n" for n in range(1, 101)), encoding="utf-8")
    drawn = {seed: bench._drawn("a.txt", seed) for seed in (1, 2)}
    assert drawn[1] == bench._drawn("a.txt", 1) != drawn[2]
    for lengths in drawn.values():  # no sentence twice
        assert len(lengths) == len(set(lengths)) == 32 and set(lengths) <= set(range(1, 101))


def test_without_a_file_it_is_the_embedded_corpus(elman, inside: Path) -> None:
    from elman.text import read
    from elman.text.grammar import make

    Path("corpus.conllu").write_text("".join(make(bench.CORPUS)), encoding="utf-8")
    assert bench._embedded() == [len(sentence) for sentence in read("corpus.conllu")]
    assert bench._drawn(None, 3) == bench._drawn("corpus.conllu", 3)


# Refusing and stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--cells", "lstm,gruu"], 2, "did you mean 'gru'?"),
        (["--cells", ""], 2, "unknown cell ''"),
        (["--shapes", "raged"], 2, "did you mean 'ragged'?"),
        (["--shapes", "2x3"], 2, "unknown shape '2x3'"),
        (["--shapes", "2x0x8"], 2, "unknown shape '2x0x8'"),
        (["--shapes", "2x3x8", "--file", "a.txt"], 2, "add ragged to --shapes"),
        (["--runs", "0"], 2, "--runs"),
        (["--file", "none.txt"], 3, "none.txt"),
    ],
)
def test_refused(elman, inside: Path, options: list[str], code: int, message: str) -> None:
    ran = elman("bench", "cells", *options)
    assert ran.code == code and message in ran.err and ran.out == ""


def test_ctrl_c_ends_it_cleanly(inside: Path) -> None:
    command = [sys.executable, "-m", "elman", "bench", "cells", "--shapes", "2x3x8", "--cells", "deep-transition"]
    child = subprocess.Popen(
        [*command, "--runs", "100000", "--no-steps", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        seen = ""
        while "run 1 of 100000" not in seen:
            line = child.stderr.readline()
            assert line, seen
            seen += line
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=200)
    finally:
        child.kill()
    assert child.returncode == 130 and out == "" and err.endswith("elman: interrupted\n") and "Traceback" not in err


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\nfrom elman.cli.main import run\n"
        "codes = [run(['bench', '--help']), run(['bench', 'cells', '--help']), run(['bench'])]\n"
        "print(codes, [name for name in ('torch', 'rich', 'elman.recurrent') if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[0, 0, 0] []" and "BATCHxSTEPSxWIDTH" in ran.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    with bench._progress() as progress:
        progress.tell("warming up", 0, 8)
        progress._written = 0.0
        progress.tell("run 1 of 1", 4, 8)
    assert "run 1 of 1" in screen.getvalue() and "50%" in screen.getvalue() and "left" in screen.getvalue()
    monkeypatch.setattr(sys, "stderr", plain := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with bench._progress() as progress:
        progress.tell("preparing a", 0, 0)
        progress.tell("preparing b", 0, 0)  # a line for each stage, and one every ten seconds
        progress.tell("warming up", 0, 8)
        progress.tell("run 1 of 1", 4, 8)
        progress.tell("run 1 of 1", 5, 8)
    assert plain.getvalue().splitlines() == ["preparing a", "warming up    0%", "run 1 of 1   50%  0s left"]
