"""One training in its own process, so that its time and memory are its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.errors import ResourceError

PATIENCE = 60.0  # seconds that a process asked to stop has for saving its work
_MEASURED = Path(__file__).with_name("measured.py")


@dataclass(frozen=True)
class Child:
    """How it ended. problem: its error if it failed, else None; memory: peak, in bytes."""

    problem: str | None
    seconds: float
    memory: int


def run_elman(arguments: Sequence[str], threads: int | None = None, limit: float | None = None) -> Child:
    """Run `elman ARGUMENTS`. threads: of its numeric libraries; limit: seconds after which it is stopped.

    On KeyboardInterrupt the process gets one Ctrl-C, is waited for, and the interrupt is raised again.
    Raises ResourceError if no process can be started."""
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with tempfile.TemporaryDirectory(prefix="elman-") as folder, open(Path(folder, "errors"), "w+b") as errors:
        report = Path(folder, "report")
        command = [sys.executable, "-I", "-S", str(_MEASURED), str(report), sys.executable, "-m", "elman", *arguments]
        try:
            # In its own process group: Ctrl-C at a terminal reaches it only through us, and so only once.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                process_group=0,
            )
        except OSError as problem:
            raise ResourceError(f"cannot start a process: {problem.strerror or problem}") from problem
        late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
            _stop(process, signal.SIGTERM)
        except BaseException:
            _stop(process, signal.SIGINT)
            raise
        errors.seek(0)
        output = errors.read().decode("utf-8", "replace")
        ended: dict[str, Any] = json.loads(report.read_bytes()) if report.exists() else {"code": -signal.SIGKILL}
        failed = None
        if late:
            failed = f"not finished within {limit:g} s"
        elif ended["code"]:
            failed = _reason(ended["code"], output)
        return Child(failed, ended.get("seconds", 0.0), ended.get("memory", 0))


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Ask the whole group to stop; after `PATIENCE`, or another Ctrl-C, kill it."""
    try:
        os.killpg(process.pid, number)
        process.wait(PATIENCE)
    except ProcessLookupError:
        pass
    except BaseException as problem:
        os.killpg(process.pid, signal.SIGKILL)
        if not isinstance(problem, subprocess.TimeoutExpired):
            raise
    finally:
        process.wait()


def _reason(code: int, output: str) -> str:
    """Why a process failed: its error, or its last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if line.startswith("elman: error: ")]
    if errors:
        return errors[-1]
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + ("; was there too little memory?" if code == -signal.SIGKILL else "")
    return lines[-1] if lines else f"exit code {code}"
