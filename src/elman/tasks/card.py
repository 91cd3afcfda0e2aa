"""The model card: README.md of a model's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def text(
    name: str,
    *,
    paragraphs: Sequence[str],
    reading: Mapping[str, Any],
    metrics: Mapping[str, Any],
    seed: int | None,
    score_rows: Callable[[Mapping[str, Any]], list[tuple[str, str]]],
    usage: Sequence[str],
) -> str:
    """The card as Markdown: what the model is, how it was trained, what it scores, how to use it.

    paragraphs: what the model is; usage: lines of Python; seed: of its training, if any
    score_rows: the main scores of a result's JSON, by name, as displayed"""
    lines = [f"# {name}", ""]
    for paragraph in paragraphs:
        lines += [paragraph, ""]
    how = dict(reading)
    skipped = how.pop("skipped_parts", None)
    if how:
        lines += ["Training data was read as " + ", ".join(f"{k} {v}" for k, v in how.items()) + ".", ""]
    if skipped is not None:
        counts = ", ".join(f"{count:,} of {part}" for part, count in skipped.items())
        lines += [f"Broken sentences, texts or lines that were left out (`--skip-broken`): {counts}.", ""]
    run = metrics.get("training")
    if run and "epochs" in run:
        lines += [
            f"Trained for {run['epochs']} epochs ({run['steps']:,} steps, {run['seconds']:.0f} s), "
            f"seed {seed}; the weights are from epoch {run['best_epoch']}.",
            "",
        ]
    elif run:
        lines += [f"Estimated in {run['seconds']:.1f} s.", ""]
    scored = [(part, metrics[part]) for part in ("dev", "test") if part in metrics]
    if scored:
        lines += ["| data | score | |", "| --- | --- | ---: |"]
        for part, result in scored:
            lines += [f"| {part} | {label} | {value} |" for label, value in score_rows(result)]
        lines += ["", *(f"`{part}`: {result['signature']}" for part, result in scored), ""]
    return "\n".join([*lines, "```python", *usage, "```", ""])
