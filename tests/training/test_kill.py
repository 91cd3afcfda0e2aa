"""Real processes, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elman.training import Result

Train = Callable[..., Result]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, train: Train) -> Path:
    """The run that nothing happens to."""
    out = tmp_path_factory.mktemp("whole") / "m"
    train(out)
    return out


def without_clock(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in lines]


def require_same(out: Path, whole: Path) -> None:
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert without_clock(out) == without_clock(whole)
    assert sorted(p.name for p in out.iterdir()) == ["log.jsonl", "model.safetensors"]


def test_killed_at_random_moments_many_times(tmp_path: Path, script: Path, whole: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(script), "torment", str(tmp_path / "m"), "11", "24"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    print(run.stdout, run.stderr)
    assert run.returncode == 0
    outcomes = [int(code) for code in run.stdout.splitlines()[-1].split()]
    assert outcomes[-1] == 0
    assert {-signal.SIGKILL, 130} <= set(outcomes) and len(outcomes) > 10
    require_same(tmp_path / "m", whole)


def test_ctrl_c_on_the_command(tmp_path: Path, script: Path, whole: Path, train: Train) -> None:
    command = [sys.executable, str(script), "run", str(tmp_path / "m")]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        while not (tmp_path / "m" / "log.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
        assert process.wait(200) == 130
    assert "SIGINT" in told and "--resume" in told
    assert len(without_clock(tmp_path / "m")) < len(without_clock(whole))
    train(tmp_path / "m", resume=True)
    require_same(tmp_path / "m", whole)
