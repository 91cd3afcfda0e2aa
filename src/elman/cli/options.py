"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# The keys of elman.text.FORMATS, which help must not wait for; a test holds the two together.
FORMATS = ("conllu", "columns", "text", "jsonl")
TEXT_FORMATS = ("csv", "tsv", "jsonl", "label", "fasttext", "text")  # and those of EXAMPLE_FORMATS
SCHEMES = ("io", "iob1", "iob2", "bioes")


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")(function)


def format_option(help: str) -> Callable[[F], F]:
    known = list(dict.fromkeys((*FORMATS, *TEXT_FORMATS)))
    return click.option("--format", "format_name", type=click.Choice(known), help=help)


def column_option(
    help: str = "Where the tags are: upos, xpos, feats, feats:Key or misc:Key of CoNLL-U; a column's number from 1, or "
    "-1 for the last; a key of JSON lines.",
) -> Callable[[F], F]:
    return click.option("--column", metavar="NAME|N", help=help)


def word_column_option(function: F) -> F:
    return click.option("--word-column", type=int, metavar="N", help="The words' column of a column file (default 1).")(
        function
    )


def encoding_option(function: F) -> F:
    return click.option("--encoding", metavar="NAME", help="Of the files that are read (default utf-8).")(function)


def skip_broken_option(function: F) -> F:
    return click.option(
        "--skip-broken",
        is_flag=True,
        help="Leave out sentences or texts that are broken, and say how many (default: refuse the file).",
    )(function)


def allow_code_option(function: F) -> F:
    return click.option(
        "--allow-code", is_flag=True, help="Run the source of the cell that is stored with the model, if it has one."
    )(function)


def threads_option(function: F) -> F:
    return click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", help="Processor threads (default: as torch finds them)."
    )(function)
