"""What the model card says of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.language_model.network_model import LanguageModel


def describe(model: LanguageModel) -> list[str]:
    """What a network is."""
    settings, network = model.settings.model, model.network
    parameters = sum(p.numel() for p in network.parameters())
    size = settings.embedding_size or settings.hidden_size
    projected = 0 if network.projection is None else network.projection.weight.numel()
    saved = len(model.vocabulary) * settings.hidden_size - projected
    tied = f", {saved:,} fewer because one matrix reads and writes tokens" if settings.tied else ""
    context = "Each line is read for itself." if settings.lines else "Lines are one running stream."
    return [
        f"A language model of {len(model.vocabulary):,} tokens ({settings.tokenizer}), made with [elman]: "
        f"{settings.layers} layer(s) of `{settings.cell}`, {settings.hidden_size} wide, over vectors of {size}; "
        f"{parameters:,} parameters{tied}. {context}"
    ]


def usage(name: str, *, code: bool) -> list[str]:
    """How to call it. code: its author's own cell comes with it."""
    return [
        "import elman",
        "",
        f'model = elman.load("{name}"' + (", allow_code=True)" if code else ")"),
        'print(model.evaluate("test.txt").perplexity)',
        'print("".join(model.sample(200, seed=1)))',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, number): what a table shows."""
    return [
        (name.replace("_", " "), "-" if result[name] is None else f"{result[name]:.{digits}f}")
        for name, digits in (("perplexity", 2), ("bits_per_character", 4), ("loss", 4), ("tokens", 0))
    ]
