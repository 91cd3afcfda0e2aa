"""What the model card says of a tagger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.tagging.base import TaggingModel
    from elman.tasks.tagging.network_model import NetworkTagger


def tags(model: TaggingModel) -> str:
    """The paragraph of its tags."""
    scheme = f" Chunk scheme: {model.scheme}." if model.scheme else ""
    return f"Tags: {', '.join(f'`{tag}`' for tag in model.labels)}.{scheme}"


def head(model: TaggingModel) -> str:
    """What gives the tags."""
    return "a linear-chain CRF" if model.settings.model.crf else "a softmax at each word"


def network(model: NetworkTagger, what: str) -> list[str]:
    """What a network is, and its tags."""
    parameters = sum(p.numel() for p in model.network.parameters())
    return [
        f"A tagger with {len(model.labels)} tags, made with [elman]: {what}; {parameters:,} parameters.",
        tags(model),
    ]


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: its author's own cell comes with it."""
    return [
        "import elman",
        "",
        f'tagger = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'tagger(["Ada", "lives", "in", "London"])',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, percent): what a table shows. Undefined ones are left out."""
    found: list[tuple[str, float | None]] = [("accuracy", result["accuracy"])]
    for part in ("seen", "unseen"):
        found.append((f"accuracy on {part} words", result.get(f"{part}_accuracy")))
    found.append(("accuracy on whole sentences", result["sentence_accuracy"]))
    for mode, scores in (result.get("entities") or {}).items():
        for score in ("precision", "recall", "f1"):
            found.append((f"entity {score} ({mode})", scores[score]))
    return [(name, f"{100 * value:.2f} %") for name, value in found if value is not None]
