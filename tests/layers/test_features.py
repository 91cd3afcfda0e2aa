"""The features of a word's form against their definitions, and the unknown ones of each kind."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.layers.features import KINDS, FormEncoder

WORDS = ["Reading", "reads", "readers", "1984", "Αθήνα", "北京", "a"]


def encoder(unknown: float = 0.0) -> FormEncoder:
    torch.manual_seed(1)
    return FormEncoder(WORDS, [1] * len(WORDS), 3, unknown)


def test_kinds_by_hand() -> None:
    forms = {kind: of("Reading", "reading") for kind, of in KINDS.items()}
    assert forms == {
        "lower": "reading", "shape": "Xxx", "prefix1": "r", "prefix2": "re", "prefix3": "rea",
        "suffix1": "g", "suffix2": "ng", "suffix3": "ing", "suffix4": "ding",
    }  # fmt: skip
    assert {kind: of("", "") for kind, of in KINDS.items()} == dict.fromkeys(KINDS, "")
    assert KINDS["suffix4"]("北京", "北京") == "北京"


def test_words_that_share_a_form_share_its_vector() -> None:
    forms = encoder()
    rows = forms(forms.ids(["reading", "Reading", "misreading", "xyzq"])).reshape(4, len(KINDS), 3)
    names = list(KINDS)
    for kind in ("lower", "prefix3", "suffix4"):
        assert torch.equal(rows[0, names.index(kind)], rows[1, names.index(kind)])
    assert not torch.equal(rows[0, names.index("shape")], rows[1, names.index("shape")])
    assert torch.equal(rows[2, names.index("suffix4")], rows[0, names.index("suffix4")])
    for k, kind in enumerate(names):  # of a word with nothing known but its shape
        if kind != "shape":
            assert torch.equal(rows[3, k], forms.tables[kind].embedding.weight[0]), kind


def test_the_numbering_is_that_of_the_set_of_words() -> None:
    forms, other = encoder(), FormEncoder(WORDS[::-1], [5] * len(WORDS), 3, 0.5)
    assert torch.equal(forms.ids(WORDS), other.ids(WORDS))


@given(st.lists(st.text(max_size=6), max_size=5))
def test_any_words_have_ids(words: list[str]) -> None:
    forms = encoder()
    ids = forms.ids(words)
    assert ids.shape == (len(words), len(KINDS)) and forms(ids).shape == (len(words), forms.output_size)
    assert torch.equal(ids, encoder().ids(words))  # remembered or not


@pytest.mark.parametrize("unknown", [0.0, 1e9])
def test_rare_forms_are_dropped_in_training_only(unknown: float) -> None:
    forms = encoder(unknown)
    ids = forms.ids(["reads"])
    zeros = torch.zeros_like(ids)
    assert torch.equal(forms.train()(ids), forms(zeros)) == bool(unknown)
    assert not torch.equal(forms.eval()(ids), forms(zeros))
