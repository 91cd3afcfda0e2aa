"""What the model card says about a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: a custom cell comes with it."""
    return [
        "import elman",
        "",
        f'model = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'print(model.evaluate("test.txt").perplexity)',
        'print("".join(model.sample(200, seed=1)))',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, number): what a table shows."""
    return [
        (name.replace("_", " "), "-" if result[name] is None else f"{result[name]:.{digits}f}")
        for name, digits in (("perplexity", 2), ("bits_per_character", 4), ("loss", 4), ("tokens", 0))
    ]
