"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")(function)


def format_option(help: str) -> Callable[[F], F]:
    """For a `TaskCommand`, which fills in the formats of all tasks."""
    return click.option("--format", type=click.Choice([]), help=help)


def encoding_option(function: F) -> F:
    return click.option("--encoding", metavar="NAME", help="Encoding of the files that are read (default utf-8).")(
        function
    )


def skip_broken_option(function: F) -> F:
    return click.option(
        "--skip-broken",
        is_flag=True,
        help="Leave out broken sentences or texts and report how many (default: refuse the file).",
    )(function)


def allow_code_option(function: F) -> F:
    return click.option(
        "--allow-code", is_flag=True, help="Run the source of the cell that is stored with the model, if it has one."
    )(function)


def threads_option(function: F) -> F:
    return click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads (default: chosen by torch)."
    )(function)
