from __future__ import annotations

import pytest

from elman.errors import UsageError
from elman.metrics.distance import accuracy_by_distance


def test_counts_by_hand() -> None:
    gold = [["NN", "V", "NNS"], ["NN"], []]
    predicted = [["NN", "N", "NN"], ["NN"], []]
    misc = [
        ["Distance=12|Side=right|Head=2", "_", "SpaceAfter=No|Head=1|Side=left|Distance=3"],
        ["Side=right|Distance=2"],
        [],
    ]
    found = accuracy_by_distance(gold, predicted, misc)
    assert found == {"left": {3: (0, 1)}, "right": {2: (1, 1), 12: (1, 1)}}
    assert list(found) == ["left", "right"] and list(found["right"]) == [2, 12]


def test_same_cells_add_up_and_other_words_are_passed_over() -> None:
    mark = "Distance=1|Side=left"
    assert accuracy_by_distance([["a", "b", "c"]], [["a", "x", "c"]], [[mark, mark, "Distance=1"]]) == {
        "left": {1: (1, 2)}
    }
    assert accuracy_by_distance([["a"]], [["a"]], [["_"]]) == {}


def test_what_does_not_line_up_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="1, 2 and 1"):
        accuracy_by_distance([["a"]], [["a"], ["b"]], [["_"]])
    with pytest.raises(UsageError, match="sentence 1"):
        accuracy_by_distance([["a"]], [["a"]], [["_", "_"]])
    with pytest.raises(UsageError, match="Distance=far"):
        accuracy_by_distance([["a"]], [["a"]], [["Distance=far|Side=left"]])
