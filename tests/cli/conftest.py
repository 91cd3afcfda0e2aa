"""What the tests of the command line share: running it in this process, and one small trained model."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from elman.cli.main import run

TINY = [
    *("--hidden", "12", "--word-size", "8", "--char-size", "4", "--char-hidden", "4"),
    *("--epochs", "3", "--batch-tokens", "200", "--threads", "1", "--average", "0", "--learning-rate", "0.02"),
]


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run_elman(*arguments: Any, stdin: str | bytes = b"") -> Ran:
    """Run one command line as `main` does, with streams of its own."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    out, err = io.BytesIO(), io.BytesIO()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace")
    sys.stderr = io.TextIOWrapper(err, encoding="utf-8", errors="backslashreplace")
    try:
        code = run([str(argument) for argument in arguments])
        sys.stdout.flush()
        sys.stderr.flush()
        return Ran(code, out.getvalue().decode(), err.getvalue().decode())
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@pytest.fixture(scope="session")
def elman() -> Callable[..., Ran]:
    return run_elman


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Flags of a model that trains in a second."""
    return list(TINY)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "corpus"
    assert run_elman("data", "make", "grammar", "--sentences", 50, "--out", folder).code == 0
    return folder


@pytest.fixture(scope="session")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger of the column xpos, in a folder with a space and Greek letters in its name."""
    folder = tmp_path_factory.mktemp("models") / "ένα model"
    files = [f"--{part}={corpus / part}.conllu" for part in ("train", "dev", "test")]
    ran = run_elman("train", "tag", *files, "--column", "xpos", "--out", folder, "--quiet", *TINY)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="session")
def ner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of three columns, spans in the last."""
    rows = ["Ada NNP B-PER", "Lovelace NNP I-PER", "met VBD O", "Mary NNP B-PER", "in IN O", "London NNP B-LOC", ""]
    path = tmp_path_factory.mktemp("ner") / "ner.tsv"
    path.write_text("".join(row.replace(" ", "\t") + "\n" for row in rows * 8), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def ner_model(ner: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ner"
    ran = run_elman("train", "tag", "--train", ner, "--crf", "--out", folder, "--quiet", *TINY, "--epochs", "6")
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
