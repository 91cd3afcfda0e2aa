"""Tables of a tagger's scores, from what `TaggingResult.to_json` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from elman.cli.output import heading, percent, table

_MAIN = ("accuracy", "seen_accuracy", "unseen_accuracy", "sentence_accuracy")


def _tag_scores(result: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """The scores that come first, by name, as fractions; those that are not defined for this data are left out."""
    for name in _MAIN:
        if result.get(name) is not None:
            yield name, result[name]
    for mode, found in result["entities"].items():
        for score in ("precision", "recall", "f1"):
            yield f"{mode}_{score}", found[score]


def class_scores(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The scores of a classifier that come first, as fractions; undefined ones are left out. With one label a text the
    micro-averaged F1 is the accuracy, and is left out too."""
    for name in ("accuracy", "macro_f1", "micro_f1", "expected_calibration_error"):
        if result[name] is not None and (name != "micro_f1" or result["confusion"] is None):
            yield name, result[name]


def _lm_scores(result: Mapping[str, Any]) -> dict[str, str]:
    shown = {"perplexity": "{:.2f}", "bits_per_character": "{:.4f}", "loss": "{:.4f}"}
    counts = ("tokens", "ends", "unknown_tokens", "characters")
    scores = {name: "-" if result[name] is None else form.format(result[name]) for name, form in shown.items()}
    return scores | {name: f"{result[name]:,}" for name in counts}


_SCORES: dict[str, Callable[[Mapping[str, Any]], dict[str, str]]] = {
    "tag": lambda result: {name: percent(value) for name, value in _tag_scores(result)},
    "classify": lambda result: {name: percent(value) for name, value in class_scores(result)},
    "lm": _lm_scores,
}


def main_scores(task: str, result: Mapping[str, Any]) -> dict[str, str]:
    """The scores that come first, by name, as they are shown."""
    return _SCORES[task](result)


def print_summary(task: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """One column of main scores for each result, and their signature."""
    if not results:
        return
    found = {part: main_scores(task, result) for part, result in results.items()}
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    table(["score", *found], [[name, *(scores.get(name, "-") for scores in found.values())] for name in names])
    for signature in dict.fromkeys(result["signature"] for result in results.values()):
        print(signature)


def print_result(result: Mapping[str, Any]) -> None:
    """Everything of one result: main scores with their counts, entities by label, tags, and the signature."""
    counts = {"accuracy": "tokens", "sentence_accuracy": "sentences", "seen_accuracy": "seen"}
    counts["unseen_accuracy"] = "unseen"
    rows = []
    for name, value in _tag_scores(result):
        of = result["counts"][counts[name]] if name in counts else None
        rows.append([name, percent(value), str(of["correct"]) if of else "", str(of["total"]) if of else ""])
    table(["score", "%", "correct", "total"], rows)
    for mode, found in result["entities"].items():
        heading(f"entities ({mode})")
        _matches("entity", found["by_label"])
    heading("tags")
    _matches("tag", result["by_tag"])
    print(f"\n{result['signature']}")


def _matches(what: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    ranked = sorted(rows.items(), key=lambda item: (-item[1]["gold"], item[0]))
    table(
        [what, "precision", "recall", "f1", "correct", "predicted", "gold"],
        [
            [
                name,
                *(percent(row[score]) for score in ("precision", "recall", "f1")),
                *(str(row[count]) for count in ("correct", "predicted", "gold")),
            ]
            for name, row in ranked
        ],
    )


def print_classes(result: Mapping[str, Any]) -> None:
    """Everything of one result of a classifier: main scores, labels, confusions, reliability."""
    of = result["counts"]["examples"]
    rows = []
    for name, value in class_scores(result):
        counted = name == "accuracy"
        counts = [str(of["correct"]), str(of["total"])] if counted else ["", ""]
        rows.append([name, percent(value), *counts])
    table(["score", "%", "correct", "total"], rows)
    if result["negative_log_likelihood"] is not None:
        print(f"negative log-likelihood {result['negative_log_likelihood']:.4f} nats")
    if result["unknown_labels"]:
        print(f"{result['unknown_labels']} texts have a label that the model does not know")
    heading("labels")
    _matches("label", result["by_label"])
    names = list(result["by_label"])
    if result["confusion"] is not None:
        heading("confusions: rows are the right labels, columns those given")
        table(["", *names], [[name, *map(str, row)] for name, row in zip(names, result["confusion"], strict=True)])
    if result["bins"]:
        heading("reliability")
        spans = [
            [
                f"{row['lower']:.2f}-{row['upper']:.2f}",
                str(row["count"]),
                percent(row["confidence"]),
                percent(row["accuracy"]),
            ]
            for row in result["bins"]
            if row["count"]
        ]
        table(["probability", "texts", "confidence", "accuracy"], spans)
    print(f"\n{result['signature']}")
