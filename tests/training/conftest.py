"""The toy job and its script, loaded from their file because tests import nothing from each other."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from elman.training import Result, fit, make_progress, prepare
from elman.training import run as run_module

SCRIPT = Path(__file__).with_name("toy.py")


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a power cut could tell the difference, and no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock for the run that moves only when told; call it with seconds."""
    now = [1000.0]
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


@pytest.fixture(scope="session")
def script() -> Path:
    return SCRIPT


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def train(toy: ModuleType) -> Callable[..., Result]:
    """Train a job (a new toy by default) in a folder, without a display."""

    def run(
        out: Path,
        *,
        job: Any = None,
        resume: bool = False,
        overwrite: bool = False,
        finish: bool = True,
        **options: Any,
    ) -> Result:
        with prepare(out, resume=resume, overwrite=overwrite) as folder:
            result = fit(job or toy.Toy(), toy.config(**options), folder, make_progress(quiet=True))
            if finish:
                folder.finish()
        return result

    return run
