"""Streams that break or are not there while `elman predict` answers: no traceback, and an exit code that says which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from elman import LanguageModel
from elman.errors import UsageError

LINE = b"Ada lives in London today\n"


def start(model: Path, *arguments: str, **options) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "elman", "predict", str(model), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


def shell(model: Path, arguments: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    """Run `elman predict` with redirections that only a shell can make."""
    command = f'"$1" -m elman predict "$2" {arguments} {redirections}'
    return subprocess.run(["sh", "-c", command, "sh", sys.executable, str(model)], capture_output=True)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than a pipe holds."""
    path = tmp_path_factory.mktemp("text") / "many.txt"
    path.write_bytes(LINE * 3000)
    return path


def test_a_reader_that_has_enough(model: Path, text: Path) -> None:
    process = start(model, str(text), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b"Ada\t")
    process.stdout.close()
    assert process.wait() == 141 and process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_between_two_lines(model: Path) -> None:
    process = start(model, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(LINE)
    process.stdin.flush()
    answer = b"".join(process.stdout.readline() for _ in range(6))  # it waits for the next line now, or soon
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate()
    assert process.returncode == 130 and err == b"elman: interrupted\n" and answer.count(b"\t") == 5 and rest == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(("arguments", "names"), [("", b"standard output"), ("-o /dev/full", b"/dev/full")])
def test_no_space(model: Path, text: Path, arguments: str, names: bytes) -> None:
    ran = shell(model, f"{arguments} {text}", "" if arguments else "> /dev/full")
    assert ran.returncode == 5 and ran.stderr.startswith(b"elman: error: " + names + b": cannot be written: No space")


@pytest.mark.parametrize(
    ("redirections", "code", "says"),
    [
        (">&-", 5, b"elman: error: standard output is closed"),
        ("2>&- >/dev/null", 0, b""),
        ("2>/dev/full", 0, b""),
        (">&- 2>&-", 5, b""),
    ],
)
def test_closed_output(model: Path, text: Path, redirections: str, code: int, says: bytes) -> None:
    if "/dev/full" in redirections and not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    ran = shell(model, str(text), redirections)
    assert ran.returncode == code and ran.stderr.startswith(says) and b"Traceback" not in ran.stderr
    assert (ran.stdout == b"") == (redirections != "2>/dev/full")


@pytest.mark.parametrize("arguments", ["", "-"])
def test_closed_input(model: Path, arguments: str) -> None:
    ran = shell(model, arguments, "<&-")
    assert (ran.returncode, ran.stdout) == (3, b"") and b"<stdin>: expected text on standard input" in ran.stderr


def test_an_input_without_a_line_answers_nothing(model: Path) -> None:
    ran = shell(model, "", "</dev/null")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_file_that_is_not_closed_needs_no_standard_input(model: Path, text: Path) -> None:
    ran = shell(model, str(text), "<&- | tail -n 2")
    assert ran.stdout.startswith(b"today\t") and ran.stderr == b""


@pytest.mark.parametrize(
    "arguments",
    [["check", "-", "-"], ["eval", "-", "-"], ["compare", "lm", "-", "-"], ["compare", "tag", "-", "-"]],
    ids=" ".join,
)
def test_standard_input_twice(elman, inside: Path, arguments: list[str]) -> None:
    ran = elman(*arguments, stdin="a\tX\n\n")
    assert (ran.code == 2 and "<stdin>: expected a file" in ran.err) or "standard input twice" in ran.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize(
    "command", [["train", "lm", "--out", "m", "--train"], ["compare", "lm", "a.txt"]], ids=" ".join
)
def test_a_pipe_that_would_be_read_twice(elman, inside: Path, command: list[str]) -> None:
    os.mkfifo(inside / "pipe")
    (inside / "a.txt").write_text("a\n")
    ran = elman(*command, "pipe")  # without a writer: to open it would wait for ever
    assert ran.code == 2 and "pipe: expected a file, which can be read more than once" in ran.err
    os.mkfifo(inside / "pipe.tsv")
    ran = elman("check", "pipe.tsv")  # a look at it, to find out what it is, would take its first lines
    assert ran.code == 2 and "--task is missing: pipe.tsv" in ran.err
    with pytest.raises(UsageError, match="read more than once"):
        LanguageModel(epochs=1).fit("a.txt", "pipe")
