"""`elman doctor`: what is found, and what is reported about what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from elman.recurrent import check_cell, get_cell
from elman.recurrent.kernels import build, library_cache

REAL = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
needs_compiler = pytest.mark.skipif(REAL is None, reason="NO C++ COMPILER HERE: what doctor says of one is NOT TESTED")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and a process that has not yet looked for a compiler."""
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "η μνήμη"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(library_cache, "_given_up", {})
    build._find.cache_clear()
    return tmp_path / "η μνήμη"


def told(elman) -> dict:
    ran = elman("doctor", "--json")
    assert ran.code == 0 and ran.err == ""
    return json.loads(ran.out)


def test_doctor(elman) -> None:
    answer, lstm = told(elman), check_cell(get_cell("lstm"))
    assert answer["recurrent_path"] == lstm.path and answer["recurrent_check"] == "passed"
    assert answer["stdout_encoding"] == "utf-8" and "pip install 'elman[test]'" in str(answer["extras"])
    ran = elman("doctor")
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in ran.out.splitlines() if len(line.split()) > 1}
    assert ran.code == 0 and lines["torch_threads"] == str(answer["torch_threads"])
    assert lines["native_compiler"] == answer["native_compiler"]


@needs_compiler
def test_the_compiler_and_its_cache(elman, cache: Path) -> None:
    answer = told(elman)
    files = list(cache.iterdir())
    assert answer["native_compiler"].startswith(f"{REAL}, ") and build.compiler().version in answer["native_compiler"]
    assert answer["native_cache"] == str(cache)
    assert answer["native_cache_entries"] == sum(path.suffix == ".so" for path in files) >= 1
    assert answer["native_cache_bytes"] == sum(path.stat().st_size for path in files)
    if build.compiler().openmp:
        assert os.path.isfile(answer["openmp_runtime"])
    else:
        assert "one thread" in answer["openmp_runtime"]


def test_no_compiler(elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    answer = told(elman)
    assert (
        answer["native_compiler"].startswith("none: no C++ compiler") and "apt install g++" in answer["native_compiler"]
    )
    assert "without it recurrent layers run on the slower reference path" in answer["native_compiler"]
    assert answer["native_cache_entries"] == 0


@needs_compiler
def test_a_compiler_without_openmp(elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "single"
    script.write_text(f'#!/bin/sh\ncase "$*" in *-fopenmp*) echo "error: no"; exit 1;; esac; exec "{REAL}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    answer = told(elman)
    assert answer["native_compiler"].startswith(f"{script}, ") and "run on one thread" in answer["openmp_runtime"]


@pytest.mark.filterwarnings("error::UserWarning")  # it is in the answer, once
def test_a_cache_that_is_not_safe(elman, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    answer = told(elman)
    assert f"for this run only: {cache}: others can write to it; chmod go-w" in answer["native_cache"]
    assert list(cache.iterdir()) == []


def test_things_missing(elman, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.cli import doctor

    monkeypatch.setattr(doctor, "_version", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    ran = elman("doctor")
    assert ran.code == 0 and "pip install --force-reinstall torch" in ran.out
    assert re.search(r"missing conllu, ([\w-]+, )*hypothesis, .*pip install 'elman\[test\]'", ran.out)
