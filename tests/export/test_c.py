"""A model as a C program answers as in Python: every kind of model, hostile texts, damaged files."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import exported_models as small
import pytest

from elman.export import export

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")

STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("c")


def texts_of(name):
    """200 texts as lines, and the hostile ones."""
    draw = small.random.Random(3)
    more = ["unseen", "MORE", "Σ", "42", "ﬁn", "e\u0301", "京"]
    return [" ".join(draw.choices([*small.WORDS, *more], k=draw.randrange(9))) for _ in range(200)] + small.HOSTILE


def built(folder: Path, name: str, *flags: str, weights="float32", embed=False) -> Path:
    """The program of a model, compiled once."""
    place = folder / "".join(c if c.isalnum() else "_" for c in f"{name} {weights} {embed}")
    program = place / ("program" + "".join(flags).replace("/", "_"))
    if not program.exists():
        if not (place / "model.c").exists():
            export(small.model(name), "c", place, weights=weights, embed=embed)
        compile_c(place, "-O1", "-DELMAN_MAIN", "model.c", *flags, "-o", program.name)
    return program


def compile_c(place: Path, *arguments: str) -> None:
    done = subprocess.run(["cc", *STRICT, *arguments, "-lm"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def answers(program: Path, lines, *arguments: str) -> str:
    given = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run([program, *arguments], input=given, cwd=program.parent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[:2000]
    return done.stdout.decode()


@cache
def expected(name: str) -> str:
    """What `elman predict` writes for the texts."""
    model, lines = small.model(name), texts_of(name)
    written = []
    tagged = iter(model.predict([line.split() for line in lines if line.split()]))
    for line in lines:
        words = line.split()
        tags = next(tagged).tags if words else []
        written.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n")
    return "".join(written)


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("tag")])
def test_a_tagger_gives_the_same_tags(name, folder):
    assert answers(built(folder, name), texts_of(name)) == expected(name)
