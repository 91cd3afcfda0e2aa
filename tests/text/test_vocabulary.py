from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.text.vocabulary import Vocabulary


def test_ids_are_places_and_the_unknown_entry_is_zero() -> None:
    words = Vocabulary(["sea", "land"], unknown="<unk>")
    assert words.items == ["<unk>", "sea", "land"]
    assert [words["sea"], words["land"], words["air"], words["<unk>"]] == [1, 2, 0, 0]
    assert words.ids(["land", "air", "sea"]) == [2, 0, 1]
    assert len(words) == 3 and list(words) == words.items
    assert "sea" in words and "air" not in words and "<unk>" in words


def test_without_an_unknown_entry_an_item_that_is_not_listed_is_an_error() -> None:
    tags = Vocabulary(["NOUN", "VERB"])
    assert tags.ids(["VERB", "NOUN"]) == [1, 0]
    with pytest.raises(DataError, match=r"expected one of 2 known items \(NOUN, VERB\), found 'ADV'"):
        tags["ADV"]
    with pytest.raises(DataError, match="'ADV'"):
        tags.ids(["NOUN", "ADV"])


def test_duplicates_are_refused() -> None:
    with pytest.raises(UsageError, match="'b' twice"):
        Vocabulary(["a", "b", "b"])
    with pytest.raises(UsageError, match="'u' twice"):
        Vocabulary(["a", "u"], unknown="u")


def test_from_counts_takes_the_frequent_first_and_equals_by_code_point() -> None:
    counts = Counter({"b": 2, "a": 2, "É": 2, "Z": 2, "rare": 1, "often": 9})
    assert Vocabulary.from_counts(counts).items == ["often", "Z", "a", "b", "É", "rare"]
    assert Vocabulary.from_counts(counts, minimum=2, unknown="?").items == ["?", "often", "Z", "a", "b", "É"]


def test_a_counted_item_that_is_spelled_like_the_unknown_entry_is_that_entry() -> None:
    words = Vocabulary.from_counts(Counter({"b": 9, "<unk>": 5, "a": 1}), unknown="<unk>")
    assert words.items == ["<unk>", "b", "a"] and words["<unk>"] == 0


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 3)), st.integers(1, 3), st.randoms())
def test_from_counts_does_not_depend_on_the_order_of_reading(counts, minimum, random) -> None:
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    one, other = (Vocabulary.from_counts(dict(items), minimum) for items in (counts.items(), shuffled))
    assert one == other
    assert sorted(one.items) == sorted(item for item, count in counts.items() if count >= minimum)
    assert one.items == sorted(one.items, key=lambda item: (-counts[item], item))


@given(st.lists(st.text(max_size=3), unique=True), st.none() | st.text(max_size=3))
def test_json_brings_back_the_same_vocabulary(items, unknown) -> None:
    items = [item for item in items if item != unknown]
    vocabulary = Vocabulary(items, unknown)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary and again.items == vocabulary.items and again.unknown == unknown
    assert all(again.items[again[item]] == item for item in vocabulary)
    assert Vocabulary(vocabulary.items, unknown) == vocabulary


def test_vocabularies_that_differ_only_in_the_unknown_entry_are_not_equal() -> None:
    assert Vocabulary(["u", "a"]) != Vocabulary(["a"], unknown="u")
    assert Vocabulary(["a"]) != ["a"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["a"],
        {},
        {"items": ["a"]},
        {"unknown": 1, "items": ["a"]},
        {"unknown": None, "items": ["a", 1]},
        {"unknown": None, "items": "abc"},
        {"unknown": None, "items": ["a", "a"]},
        {"unknown": "u", "items": ["a"]},
        {"unknown": "u", "items": []},
    ],
)
def test_broken_json_is_a_data_error(value) -> None:
    with pytest.raises(DataError, match="expected"):
        Vocabulary.from_json(value)


def test_torch_is_not_needed() -> None:
    code = "import sys, elman.text.vocabulary, elman.text.vectors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
