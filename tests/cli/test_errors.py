"""Every way to fail: a line that says what to do, on standard error alone, and the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from elman.cli import main
from elman.errors import DataError, Interrupted, ModelError, ResourceError, UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predct"], "did you mean 'predict'"),
        (["frobnicate"], "expected one of: 'check', 'train'"),
        (["train", "tog"], "did you mean 'tag'"),
        (["train", "--train", "x"], "elman train tag --train"),
        (["train", "tag", "--epoch", "3"], "--epochs"),
        (["train", "tag"], "--train is missing"),
        (["train", "tag", "--train", "x"], "--out is missing"),
        (["train", "tag", "--epochs", "x"], "is not a valid integer"),
        (["train", "tag", "--window", "3"], "expected two numbers such as 2,1"),
        (["train", "tag", "--train", "x", "--out", "y", "--epochs", "0"], "epochs: expected a whole number of 1"),
        (["train", "tag", "--train", "x", "--out", "y", "--cell", "lstn"], "unknown cell 'lstn'"),
        (["train", "tag", "--train", "-", "--out", "y"], "standard input"),
        (["train", "--resume", "nothing"], "found nothing there"),
        (["eval", "nothing", "nothing"], "expected a model folder or a file with gold tags"),
        (["eval", "-", "-"], "standard input twice"),
        (["demo", "--sentences", "0"], "--sentences"),
        (["data", "make", "grammar"], "--out"),
        (["data", "make", "grammar", "--sentences", "3", "--out", "g"], "expected 10 sentences or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(elman, inside: Path, arguments: list[str], message: str) -> None:
    ran = elman(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("elman: error: ") and message in ran.err and "Traceback" not in ran.err
    assert list(inside.iterdir()) == []


def test_missing_and_broken_files_are_of_their_codes(elman, inside: Path) -> None:
    assert elman("train", "tag", "--train", "none.conllu", "--out", "m").code == 3
    (inside / "empty.conllu").write_text("")
    ran = elman("train", "tag", "--train", "empty.conllu", "--out", "m")
    assert ran.code == 3 and "empty.conllu" in ran.err and not (inside / "m").exists()
    assert elman("predict", "none").code == 4 and elman("info", "none").code == 4
    (inside / "m").mkdir()
    ran = elman("predict", "m", stdin="a\n")
    assert ran.code == 4 and "config.json" in ran.err
    (inside / "m" / "config.json").write_text("{")
    assert elman("info", "m").code == 4
    (inside / "m" / "config.json").write_text("{}")
    assert elman("info", "m").code == 4


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch):
    """A command `raise` that raises what it is given."""
    told: list[BaseException] = []

    @click.command("raise")
    def command() -> None:
        print("before")
        raise told[0]

    monkeypatch.setitem(main.COMMANDS, "raise", "x:y")
    original = main.cli.get_command
    monkeypatch.setattr(main.cli, "get_command", lambda c, n: command if n == "raise" else original(c, n))
    monkeypatch.delenv("ELMAN_DEBUG", raising=False)
    return told


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        (UsageError("this"), 2, "elman: error: this\n"),
        (DataError("this", file="f", line=3, column=4), 3, "elman: error: f:3:4: this\n"),
        (ModelError("this"), 4, "elman: error: this\n"),
        (ResourceError("this"), 5, "elman: error: this\n"),
        (Interrupted("stopped"), 130, "elman: stopped\n"),
        (KeyboardInterrupt(), 130, "elman: interrupted\n"),
        (click.Abort(), 130, "elman: interrupted\n"),
        (MemoryError(), 5, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 5, "out of memory"),
        (OSError(28, "No space left on device"), 5, "No space left on device"),
        (BrokenPipeError(), 141, ""),
        (RuntimeError("odd"), 1, "a bug in elman, not in your data: RuntimeError: odd\nELMAN_DEBUG=1"),
    ],
    ids=repr,
)
def test_exit_codes(elman, raising, problem: BaseException, code: int, message: str) -> None:
    raising.append(problem)
    ran = elman("raise")
    assert ran.code == code and message in ran.err and "Traceback" not in ran.err
    assert message or not ran.err


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_debug_shows_the_traceback(elman, raising, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    raising.append(RuntimeError("odd"))
    monkeypatch.setenv("ELMAN_DEBUG", "1" if how == "environment" else "")
    ran = elman(*(["--debug"] if how == "flag" else []), "raise")
    assert ran.code == 1 and "Traceback" in ran.err and "raise told[0]" in ran.err


def start(*arguments: str, **options) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    return subprocess.Popen(
        [sys.executable, "-m", "elman", *arguments], env=environment, stderr=subprocess.PIPE, **options
    )


def test_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    path = tmp_path / "语法 γ.tsv"
    path.write_text("猫\tΝ\n\n", encoding="utf-8")
    process = start("check", str(path), stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert process.returncode == 0 and err == b""
    assert "Ν" in out.decode("utf-8") and "语法 γ.tsv" in out.decode("utf-8")


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    process = start("check", os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tsv"), stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert process.returncode == 3 and b"\\udcff.tsv" in out and err == b""


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "many.tsv"
    path.write_text("".join(f"word\tT{n}\n\n" for n in range(20_000)), encoding="utf-8")
    process = start("check", str(path), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 141 and process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("word\tT\n\n", encoding="utf-8")
    with open("/dev/full", "wb") as full:
        process = start("check", str(path), stdout=full)
        _, err = process.communicate()
    assert process.returncode == 5 and b"No space left" in err and b"Traceback" not in err


def test_streams_that_are_closed() -> None:
    command = f"{sys.executable} -m elman --version >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
