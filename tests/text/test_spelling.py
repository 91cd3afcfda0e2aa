"""The embedded pairs: their rules, and that no word of one file is in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.text.pairs import read_pairs
from elman.text.spelling import LONGEST, LONGEST_TEST, make, pronounce, write_corpus


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("", ""),
        ("cace", "kase"),
        ("gige", "jije"),
        ("casa", "kaza"),
        ("sas", "sas"),
        ("xhax", "ksaks"),
        ("haha", "haha"),
        ("chhi", "ki"),
        ("annna", "ana"),
        ("acci", "aki"),
    ],
)
def test_a_word_is_read_by_the_rules(word: str, sounds: str) -> None:
    assert pronounce(word) == sounds


def test_the_corpus(tmp_path: Path) -> None:
    written = write_corpus(tmp_path, 400)
    parts = {file["part"]: read_pairs(file["path"], "tsv") for file in written["files"]}
    assert {part: len(pairs) for part, pairs in parts.items()} == {"train": 400, "dev": 20, "test": 19 * 4}
    words = {part: {pair.source for pair in pairs} for part, pairs in parts.items()}
    assert not words["train"] & words["test"] and not words["train"] & words["dev"] and not words["dev"] & words["test"]
    assert max(map(len, words["train"])) == LONGEST and {len(w) for w in words["test"]} == set(
        range(2, LONGEST_TEST + 1)
    )
    assert all(pair.targets == [pronounce(pair.source)] for pairs in parts.values() for pair in pairs)
    assert list(make([3, 5], "1:x")) == list(make([3, 5], "1:x")) != list(make([3, 5], "2:x"))
    with pytest.raises(UsageError, match="20 pairs or more"):
        write_corpus(tmp_path, 19)
