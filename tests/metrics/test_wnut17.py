"""Seven systems of the WNUT-2017 shared task against their published precision, recall and F1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elman.metrics.tagging import TaggingScore

pytestmark = pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="set ELMAN_DATA to the folder of real corpora")

PUBLISHED = {
    "uh_ritual": (57.54, 32.90, 41.86),
    "spinningbytes.txt": (47.09, 35.96, 40.78),
    "sjtu_adapt.txt": (50.21, 33.83, 40.42),
    "arcada": (47.40, 34.57, 39.98),
    "flytxt": (47.92, 31.97, 38.35),
    "mic-cis.txt": (40.97, 33.83, 37.06),
    "drexel_cci": (50.39, 17.79, 26.30),
}
STRICT = {"spinningbytes.txt": 41.31, "mic-cis.txt": 37.30}  # the two with stray I-; the others have the same F1


def read(path: Path) -> list[list[str]]:
    """The last field of each line, as lists between blank lines."""
    posts = path.read_text(encoding="utf-8").replace("\r\n", "\n").strip("\n").split("\n\n")
    return [[line.split()[-1] for line in post.split("\n")] for post in posts]


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(os.environ["ELMAN_DATA"]) / "wnut17"


@pytest.fixture(scope="module")
def gold(folder: Path) -> list[list[str]]:
    posts = read(folder / "emerging.test.annotated")
    assert (len(posts), sum(map(len, posts))) == (1287, 23394)
    return posts


@pytest.mark.parametrize("system", PUBLISHED)
def test_published_scores(system: str, folder: Path, gold: list[list[str]]) -> None:
    total = TaggingScore("iob2")
    for tags, guesses in zip(gold, read(folder / "submissions" / system), strict=True):
        total.add(tags, guesses)
    entities = total.result().entities
    overall = entities["conlleval"].overall
    assert overall.gold == 1079
    figures = [round(100 * (value or 0), 2) for value in (overall.precision, overall.recall, overall.f1)]
    assert figures == list(PUBLISHED[system])
    assert round(100 * (entities["strict"].overall.f1 or 0), 2) == STRICT.get(system, PUBLISHED[system][2])
