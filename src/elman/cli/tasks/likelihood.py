"""What `elman score` writes for one item, whatever the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elman.cli.output import json_line


def likelihood(
    shown: str, record: dict[str, Any], tokens: Sequence[str], logs: Sequence[float], each: bool, as_json: bool
) -> str:
    """An item and its log-probability: one line, or one line per token, or a JSON object.

    shown: the item as text; record: its keys in JSON; logs: of each token, natural; each: one line per token"""
    total = sum(logs)
    if as_json:
        rounded = [round(log, 6) for log in logs]
        more = {"log_probability": round(total, 6), "sequence": list(tokens), "log_probabilities": rounded}
        return json_line(record | more)
    if each:
        rows = zip(logs, tokens, strict=True)
        return "".join(f"{log:.6f}\t{token}\n" for log, token in rows) + "\n"
    return f"{total:.6f}\t{len(tokens)}\t{shown}\n"
