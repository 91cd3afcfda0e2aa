"""Why a cell is not compiled."""

from __future__ import annotations


class Untraceable(Exception):
    """Why a cell cannot be compiled, in words for the user."""


class Impure(Untraceable):
    """The step is not the same function of its arguments at each call or for each row, so no path is correct."""
