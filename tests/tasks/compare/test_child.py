"""Trainings in processes of their own: what they took, and why they failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from elman.tasks.compare import child, measured

MIB = 2**20


def measure(tmp_path: Path, code: str) -> dict[str, float]:
    report = tmp_path / "report"
    ran = subprocess.run([sys.executable, "-I", "-S", measured.__file__, str(report), sys.executable, "-c", code])
    return {**json.loads(report.read_text()), "shell": ran.returncode}


def test_memory_is_that_of_the_child_alone(tmp_path: Path) -> None:
    ballast = bytearray(b"x") * (200 * MIB)  # which a child would be charged for by the kernel
    small = measure(tmp_path, "pass")
    large = measure(tmp_path, f"x = bytearray(b'x') * ({100 * MIB}); import time; time.sleep(0.2)")
    assert len(ballast) == 200 * MIB
    assert small["memory"] < 60 * MIB and abs(large["memory"] - small["memory"] - 100 * MIB) < 20 * MIB
    assert large["seconds"] >= 0.2 and small["code"] == small["shell"] == 0


@pytest.mark.parametrize(
    ("code", "expected", "shell"),
    [("raise SystemExit(7)", 7, 7), ("import os; os.kill(os.getpid(), 9)", -9, 137)],
)
def test_how_it_ended(tmp_path: Path, code: str, expected: int, shell: int) -> None:
    found = measure(tmp_path, code)
    assert (found["code"], found["shell"]) == (expected, shell)


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (2, "note: x\nelman: error: unknown cell 'q'\ntry: --help\n", "unknown cell 'q'"),
        (1, "Traceback\nboom\n\n", "boom"),
        (5, "", "exit code 5"),
        (-9, "half a", "killed by SIGKILL; was there too little memory?"),
        (-11, "", "killed by SIGSEGV"),
    ],
)
def test_the_reason(code: int, said: str, expected: str) -> None:
    assert child._reason(code, said) == expected


def test_an_error_is_its_reason(tmp_path: Path) -> None:
    found = child.run_elman(["train", "tag", f"--train={tmp_path}/none.tsv", f"--out={tmp_path}/out"])
    assert found.problem is not None and "none.tsv" in found.problem and found.seconds > 0 and found.memory > 10 * MIB


def test_one_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    assert child.run_elman(["--help"]).problem is None
    found = child.run_elman(["predict", str(tmp_path)], limit=0.001)
    assert found.problem == "not finished within 0.001 s"
