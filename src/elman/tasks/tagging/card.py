"""What the model card says about a tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def describe(labels: Sequence[str], scheme: str | None, what: str) -> list[str]:
    """What it is, and its tags. what: how it tags."""
    chunks = f" Chunk scheme: {scheme}." if scheme else ""
    return [
        f"A tagger with {len(labels)} tags, made with [elman]: {what}.",
        f"Tags: {', '.join(f'`{tag}`' for tag in labels)}.{chunks}",
    ]


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: a custom cell comes with it."""
    return [
        "import elman",
        "",
        f'tagger = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'tagger(["Ada", "lives", "in", "London"])',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, percent): what a table shows. Undefined ones are left out."""
    rows: list[tuple[str, float | None]] = [("accuracy", result["accuracy"])]
    for part in ("seen", "unseen"):
        rows.append((f"accuracy on {part} words", result.get(f"{part}_accuracy")))
    rows.append(("accuracy on whole sentences", result["sentence_accuracy"]))
    for mode, scores in (result.get("entities") or {}).items():
        for score in ("precision", "recall", "f1"):
            rows.append((f"entity {score} ({mode})", scores[score]))
    return [(name, f"{100 * value:.2f} %") for name, value in rows if value is not None]
