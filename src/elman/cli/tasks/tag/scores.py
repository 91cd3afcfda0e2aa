"""Tables of a tagger's scores, from what `TaggingResult.to_json` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elman.cli.output import heading, percent, table
from elman.cli.tasks.base import print_matches

_MAIN = ("accuracy", "seen_accuracy", "unseen_accuracy", "sentence_accuracy")


def main_scores(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Accuracies, then precision, recall and F1 of entities in both modes, as fractions."""
    scores = {name: result[name] for name in _MAIN if result.get(name) is not None}
    for mode, entities in result["entities"].items():
        scores |= {f"{mode}_{score}": entities[score] for score in ("precision", "recall", "f1")}
    return scores


def print_result(result: Mapping[str, Any]) -> None:
    """Print everything in one result: main scores with their counts, entities by label, tags, and the signature."""
    counts = {"accuracy": "tokens", "sentence_accuracy": "sentences", "seen_accuracy": "seen"}
    counts["unseen_accuracy"] = "unseen"
    rows = []
    for name, value in main_scores(result).items():
        of = result["counts"][counts[name]] if name in counts else None
        rows.append([name, percent(value), str(of["correct"]) if of else "", str(of["total"]) if of else ""])
    table(["score", "%", "correct", "total"], rows)
    for mode, scores in result["entities"].items():
        heading(f"entities ({mode})")
        print_matches("entity", scores["by_label"])
    heading("tags")
    print_matches("tag", result["by_tag"])
    print(f"\n{result['signature']}")
