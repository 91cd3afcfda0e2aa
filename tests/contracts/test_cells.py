"""Every registered cell fits the contract: `check_cell` over the registry itself."""

from __future__ import annotations

import inspect
import re

import pytest

from elman.recurrent import CELLS, Cell, check_cell, get_cell

# The contract has cells with delays=2 and in float32, each a library of its own: a cell with U and one without, and
# those that cannot be compiled, stand for all.
COMPILED = [name for name, kind in CELLS.items() if kind.R is not Cell.R or name in ("gru", "minlstm")]
BOTH = [(name, "reference") for name in CELLS] + [(name, "native") for name in COMPILED]


@pytest.mark.parametrize("name, backend", BOTH, indirect=["backend"])
def test_the_cell_fits_the_contract(name, backend):
    report = check_cell(CELLS[name])
    assert report.ok, str(report)
    assert report.path == ("reference" if CELLS[name].R is not Cell.R else backend)


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
