"""How answers are searched for, on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from elman.cli.models import load_model
from elman.errors import UsageError

# How answers are searched for: the arguments of a model's `predict`.
SEARCH = ("beam", "nbest", "length_penalty", "min_length", "max_length", "temperature", "seed")


def search_options(*more: click.Option) -> list[click.Option]:
    """How answers are searched for, for predict and eval."""
    return [
        click.Option(
            ["--beam"],
            type=click.IntRange(min=1),
            metavar="N",
            help="Hypotheses kept; 1 is greedy (default: 1, 5 for words).",
        ),
        click.Option(["--nbest"], type=click.IntRange(min=1), metavar="N", help="Answers per source (default 1)."),
        click.Option(["--ensemble"], metavar="DIR", multiple=True, help="Another model to average with; repeatable."),
        *more,
    ]


def join_ensemble(model: Any, given: Mapping[str, Any]) -> None:
    """Add the models of --ensemble. Raises UsageError for a rival, which has no distributions to average."""
    if not given["ensemble"]:
        return
    if not hasattr(model, "with_others"):
        raise UsageError(f"--ensemble: expected networks, found the model {model.kind}")
    others = [load_model(Path(folder), "seq2seq", allow_code=given["allow_code"]) for folder in given["ensemble"]]
    model.with_others(others)
