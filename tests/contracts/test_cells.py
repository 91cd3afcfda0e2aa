"""Every registered cell fits the contract: `check_cell` over the registry itself."""

from __future__ import annotations

import inspect
import re

import pytest

from elman.recurrent import CELLS, Cell, check_cell, get_cell


@pytest.mark.parametrize("name", CELLS)
def test_the_cell_fits_the_contract(name):
    report = check_cell(CELLS[name])
    assert report.ok, str(report)


@pytest.mark.parametrize("name", CELLS)
def test_the_cell_can_be_named_and_read_about(name):
    kind = CELLS[name]
    assert get_cell(name) is kind and issubclass(kind, Cell)
    assert name == name.lower() and " " not in name and ":" not in name
    text = inspect.cleandoc(kind.__doc__ or "")
    assert "=" in text, "the docstring holds the equation"
    assert re.search(r"\b(19|20)\d\d\b", text), "the docstring names the paper and its year"


def test_one_row_a_class():
    assert len(set(CELLS.values())) == len(CELLS)
