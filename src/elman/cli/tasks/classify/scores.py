"""Tables of a classifier's scores, from what `ClassificationResult.to_json` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elman.cli.output import heading, percent, table
from elman.cli.tasks.base import print_matches


def main_scores(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The main scores as fractions; undefined ones are left out, and so is the micro-averaged F1 with one label per
    text, where it is the accuracy."""
    names = (
        "accuracy",
        "macro_f1",
        *(("micro_f1",) if result["confusion"] is None else ()),
        "expected_calibration_error",
    )
    return {name: result[name] for name in names if result[name] is not None}


def print_result(result: Mapping[str, Any]) -> None:
    """Print everything in one result of a classifier: main scores, labels, confusions, reliability."""
    of = result["counts"]["examples"]
    rows = []
    for name, value in main_scores(result).items():
        counted = name == "accuracy"
        counts = [str(of["correct"]), str(of["total"])] if counted else ["", ""]
        rows.append([name, percent(value), *counts])
    table(["score", "%", "correct", "total"], rows)
    if result["negative_log_likelihood"] is not None:
        print(f"negative log-likelihood {result['negative_log_likelihood']:.4f} nats")
    if result["unknown_labels"]:
        print(f"{result['unknown_labels']} texts have a label that the model does not know")
    heading("labels")
    print_matches("label", result["by_label"])
    names = list(result["by_label"])
    if result["confusion"] is not None:
        heading("confusions: rows are the gold labels, columns the predicted ones")
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
