"""The model card: README.md of a tagger's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.training import atomic

if TYPE_CHECKING:
    from elman.tasks.tagging.tagger import Tagger


def write(folder: Path, tagger: Tagger, metrics: dict[str, Any]) -> None:
    """Write README.md: what the model is, how it was trained, what it scores, how to use it. Raises ResourceError."""
    atomic.replace_file(folder / "README.md", text(folder.name, tagger, metrics).encode("utf-8"))


def text(name: str, tagger: Tagger, metrics: dict[str, Any]) -> str:
    """The card as Markdown."""
    model, training = tagger.settings.model, tagger.settings.training
    parameters = sum(p.numel() for p in tagger.network.parameters())
    direction = "one direction" if model.one_way else "both directions"
    head = "a linear-chain CRF" if model.crf else "a softmax at each word"
    lines = [
        f"# {name}",
        "",
        f"A tagger with {len(tagger.labels)} tags, made with [elman]: {model.layers} layer(s) of `{model.cell}`, "
        f"{model.hidden_size} wide, {direction}, {head}; {parameters:,} parameters.",
        "",
        f"Tags: {', '.join(f'`{tag}`' for tag in tagger.labels)}."
        + (f" Chunk scheme: {tagger.scheme}." if tagger.scheme else ""),
        "",
    ]
    if tagger.reading:
        lines += ["Training data was read as " + ", ".join(f"{k} {v}" for k, v in tagger.reading.items()) + ".", ""]
    run = metrics.get("training")
    if run:
        lines += [
            f"Trained for {run['epochs']} epochs ({run['steps']:,} steps, {run['seconds']:.0f} s), "
            f"seed {training.seed}; the weights are those of epoch {run['best_epoch']}.",
            "",
        ]
    scored = [(part, metrics[part]) for part in ("dev", "test") if part in metrics]
    if scored:
        lines += ["| data | score | % |", "| --- | --- | ---: |"]
        for part, result in scored:
            lines += [f"| {part} | {label} | {100 * value:.2f} |" for label, value in rows(result)]
        lines += ["", *(f"`{part}`: {result['signature']}" for part, result in scored), ""]
    lines += [
        "```python",
        "import elman",
        "",
        f'tagger = elman.load("{name}"' + (", allow_code=True)" if ".py:" in model.cell + model.char_cell else ")"),
        'tagger(["Ada", "lives", "in", "London"])',
        "```",
        "",
    ]
    return "\n".join(lines)


def rows(result: dict[str, Any]) -> list[tuple[str, float]]:
    """The main scores of a result as (name, fraction): what a table shows. Undefined ones are left out."""
    found: list[tuple[str, float | None]] = [("accuracy", result["accuracy"])]
    for part in ("seen", "unseen"):
        found.append((f"accuracy on {part} words", result.get(f"{part}_accuracy")))
    found.append(("accuracy on whole sentences", result["sentence_accuracy"]))
    for mode, scores in (result.get("entities") or {}).items():
        for score in ("precision", "recall", "f1"):
            found.append((f"entity {score} ({mode})", scores[score]))
    return [(name, value) for name, value in found if value is not None]
