"""The model card: README.md of a model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.training import atomic

if TYPE_CHECKING:
    from elman.tasks.model import Model


def write(folder: Path, model: Model, metrics: dict[str, Any]) -> None:
    """Write README.md: what the model is, how it was trained, what it scores, how to use it. Raises ResourceError."""
    atomic.replace_file(folder / "README.md", text(folder.name, model, metrics).encode("utf-8"))


def text(name: str, model: Model, metrics: dict[str, Any]) -> str:
    """The card as Markdown."""
    lines = [f"# {name}", ""]
    for paragraph in model.describe():
        lines += [paragraph, ""]
    reading = dict(model.reading)
    skipped = reading.pop("skipped_parts", None)
    if reading:
        lines += ["Training data was read as " + ", ".join(f"{k} {v}" for k, v in reading.items()) + ".", ""]
    if skipped is not None:
        counts = ", ".join(f"{count:,} of {part}" for part, count in skipped.items())
        lines += [f"Broken sentences, texts or lines that were left out (`--skip-broken`): {counts}.", ""]
    run = metrics.get("training")
    if run and "epochs" in run:
        lines += [
            f"Trained for {run['epochs']} epochs ({run['steps']:,} steps, {run['seconds']:.0f} s), "
            f"seed {model.settings.training.seed}; the weights are those of epoch {run['best_epoch']}.",
            "",
        ]
    elif run:
        lines += [f"Estimated in {run['seconds']:.1f} s.", ""]
    scored = [(part, metrics[part]) for part in ("dev", "test") if part in metrics]
    if scored:
        lines += ["| data | score | |", "| --- | --- | ---: |"]
        for part, result in scored:
            lines += [f"| {part} | {label} | {value} |" for label, value in model.score_rows(result)]
        lines += ["", *(f"`{part}`: {result['signature']}" for part, result in scored), ""]
    return "\n".join([*lines, "```python", *model.usage(name), "```", ""])
