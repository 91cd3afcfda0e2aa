"""`elman data make NAME`: write a corpus that comes with elman."""

from __future__ import annotations

import click

from elman.cli.groups import LazyGroup
from elman.cli.tasks import CORPORA


@click.group(cls=LazyGroup, table={"make": "elman.cli.data:make"}, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Corpora that come with elman."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.group("make", cls=LazyGroup, table=CORPORA, invoke_without_command=True)
@click.pass_context
def make(context: click.Context) -> None:
    """Make a corpus of any size."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
