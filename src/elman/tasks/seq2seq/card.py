"""What the model card says about a model of sequence to sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe(source: str, target: str, what: str) -> list[str]:
    """What it is. what: how it answers."""
    return [
        f"A model that reads one sequence ({source}) and writes another ({target}), made with [elman]: {what}.",
    ]


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: a custom cell comes with it."""
    return [
        "import elman",
        "",
        f'model = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'model("geese")',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, value): what a table shows. Undefined ones are left out."""
    shares = {
        "accuracy": "exact match",
        "seen_accuracy": "exact match, sources of known symbols",
        "unseen_accuracy": "exact match, sources with unknown symbols",
        "symbol_error_rate": "symbol error rate",
    }
    rows = [(shown, f"{100 * result[name]:.2f} %") for name, shown in shares.items() if result[name] is not None]
    if result["mean_edit_distance"] is not None:
        rows.append(("mean edit distance", f"{result['mean_edit_distance']:.3f}"))
    texts = {"bleu": "BLEU", "chrf": "chrF"}
    return rows + [(shown, f"{result[name]['score']:.2f}") for name, shown in texts.items() if result[name]]
