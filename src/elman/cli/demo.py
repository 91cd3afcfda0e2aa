"""`elman demo`: what the lectures say, shown on an embedded corpus."""

from __future__ import annotations

import click

from elman.cli.groups import DefaultGroup
from elman.cli.tasks import DEMOS


@click.group(
    "demo",
    cls=DefaultGroup,
    table=DEMOS,
    default=next(iter(DEMOS)),
    short_help="Train three networks on an embedded corpus, in a minute or two.",
)
def demo() -> None:
    """Train three small networks on an embedded corpus and see where they differ (a minute or two).

    Without a name it is the first of these demos.
    """
