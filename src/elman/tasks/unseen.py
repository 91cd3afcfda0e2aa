"""What dev data has and training data lacks: reported before training, because no model can predict it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from elman.errors import Notice

SHOWN = 5


def notice_unseen(known: set[str], answers: Iterable[tuple[str, str, int]], what: str) -> None:
    """Report which answers are unknown. answers: (tag or label, file, line) of dev data; what: "tag" or "label"."""
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for answer, file, line in answers:
        if answer not in known:
            counts[answer] = counts.get(answer, 0) + 1
            first.setdefault(answer, f", first at {file}:{line}" if file and line else "")
    if not counts:
        return
    shown = [f"{answer!r} ({counts[answer]:,} times{first[answer]})" for answer in list(counts)[:SHOWN]]
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    many = f"{len(counts)} {what}s" if len(counts) > 1 else f"a {what}"
    warnings.warn(
        f"dev data has {many} that training data lacks, and that no model can predict: {', '.join(shown)}{more}",
        Notice,
        stacklevel=3,
    )
