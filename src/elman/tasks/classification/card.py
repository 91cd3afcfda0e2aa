"""What the model card says about a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def describe(labels: Sequence[str], several: bool, tokenizer: str, what: str) -> list[str]:
    """What it is, and its labels. what: how it labels."""
    many = ", any number of them per text" if several else ""
    return [
        f"A classifier with {len(labels)} labels{many}, made with [elman]: {what}. Tokens: {tokenizer}.",
        f"Labels: {', '.join(f'`{label}`' for label in labels)}.",
    ]


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: a custom cell comes with it."""
    return [
        "import elman",
        "",
        f'classifier = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'classifier("a wonderful film")',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, percent): what a table shows. Undefined ones are left out."""
    names = {
        "accuracy": "accuracy",
        "macro_f1": "F1, mean over labels",
        "micro_f1": "F1, pooled over labels",
        "expected_calibration_error": "calibration error",
    }
    several = result["confusion"] is None
    rows = [(shown, result[name]) for name, shown in names.items() if several or name != "micro_f1"]
    return [(name, f"{100 * value:.2f} %") for name, value in rows if value is not None]
