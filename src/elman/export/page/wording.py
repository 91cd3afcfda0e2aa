"""What a page says about its model."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elman.layers.plan import Spelled, Table
from elman.recurrent.plan import Direction, Equation, Recurrence, Skip
from elman.tasks.plan import Labels, Next, Plan, Rewriting, Tags

WHAT = {Tags: "tagger", Labels: "classifier", Next: "language model", Rewriting: "encoder-decoder"}
SAYS = {
    Tags: "Type words with spaces between them: each gets its tag as you type, with its probability.",
    Labels: "Type a text: its label is shown as you type, with the probability of every label.",
    Next: "Type a text: what comes next is shown as you type; the darker a token, the less it was expected.",
    Rewriting: "Type a source: what is written from it is shown as you type, symbol by symbol with its probability.",
}


def title_of(path: Path) -> str:
    """The page's name: that of its file."""
    return path.stem.replace("-", " ").replace("_", " ")


def kind_of(plan: Plan | Rewriting) -> type:
    """A key of WHAT."""
    return Rewriting if isinstance(plan, Rewriting) else type(plan.answer)


def first_text(plan: Plan | Rewriting) -> str:
    """A few frequent tokens that the model knows, as there is no text to show; none for a language model."""
    if isinstance(plan, Rewriting):
        join = "" if plan.source.tokenizer["kind"] == "characters" else " "
        return join.join([symbol for symbol in plan.source_symbols[2:] if symbol.isalpha()][:5])
    if isinstance(plan.answer, Next):
        return ""
    tables = [one for one in plan.inputs if isinstance(one, Table) and one.of in ("token", "given")]
    words = [item for one in tables for item in one.items[1:] if item.isalpha() and len(item) > 1]
    return " ".join(words[:6])


def facts(plan: Plan | Rewriting, weights: str, size: int) -> dict[str, str | int]:
    """What the head of the page lists."""
    cells = dict.fromkeys(one.equation.name for part in recurrences(plan) for one in part.directions)
    rows: dict[str, str | int] = {"model": f"{WHAT[kind_of(plan)]} ({plan.model})"}
    if cells:
        rows["cell"] = ", ".join(cells)
        rows["layers"] = len(recurrences(plan))
        rows["units"] = sum(one.hidden_size for part in recurrences(plan) for one in part.directions)
    if isinstance(plan, Rewriting):
        rows |= {"attention": plan.attention.kind, "decoder": plan.decoder[0].directions[0].equation.name}
        rows |= {"source symbols": len(plan.source_symbols), "target symbols": len(plan.target_symbols)}
        return rows | {"numbers": size, "stored as": weights}
    spelled = [one for one in plan.inputs if isinstance(one, Spelled)]
    known = max((len(one.items) for one in plan.inputs if isinstance(one, Table)), default=0)
    if spelled:
        rows["reads characters with"] = spelled[0].layer.directions[0].equation.name
    if known:
        rows["known tokens"] = known
    rows["labels" if not isinstance(plan.answer, Next) else "symbols"] = len(plan.answer.labels)
    return rows | {"numbers": size, "stored as": weights}


def recurrences(plan: Plan | Rewriting) -> list[Recurrence]:
    """The recurrent layers over the tokens, lowest first."""
    found: list[Recurrence] = []
    parts = list(plan.encoder if isinstance(plan, Rewriting) else plan.layers)
    while parts:
        part = parts.pop(0)
        if isinstance(part, Recurrence):
            found.append(part)
        elif isinstance(part, Skip):
            parts = [*part.parts, *parts]
    return found


def count(plan: Plan | Rewriting) -> int:
    """How many numbers were learned, each array once."""
    seen: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, np.ndarray):
            seen[id(value)] = value.size
        elif isinstance(value, tuple | list):
            for one in value:
                visit(one)
        elif is_dataclass(value) and not isinstance(value, Equation):
            for one in fields(value):
                if not (isinstance(value, Direction) and one.name in ("state", "seen", "output")):
                    visit(getattr(value, one.name))

    visit(plan)
    return sum(seen.values())
