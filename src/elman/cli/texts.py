"""How commands read files of labelled texts: what was asked for, else what the name says, else as in training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from elman.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("text_column", "label_column", "header", "separator")
# The suffixes of elman.text.labelled, which help must not wait for; and plain text.
TEXT_SUFFIXES = (".txt", ".text")


def texts_options(function: F) -> F:
    """The options of texts with labels; they come as the keywords of COLUMNS, None where not given."""
    for option in (
        click.option("--separator", metavar="TEXT", help="Texts: between several labels of a cell (default |)."),
        click.option("--header/--no-header", default=None, help="Texts: whether the first row names the columns."),
        click.option("--label-column", metavar="NAME|N", help="Texts: the column or key of the labels."),
        click.option("--text-column", metavar="NAME|N", help="Texts: the column or key of the texts."),
    ):
        function = option(function)
    return function


def refuse(texts: Mapping[str, Any], task: str) -> None:
    """Raise UsageError where options of texts with labels are given for another task."""
    for key, value in texts.items():
        if value is not None:
            name = key.replace("_", "-")
            raise UsageError(f"--{name} is for texts with labels (classify); this is a model of the task {task}")


def how_to_read(
    path: str,
    format: str | None,
    encoding: str | None,
    texts: Mapping[str, Any],
    trained: Mapping[str, Any],
    *,
    several: bool,
    labelled: bool,
) -> dict[str, Any]:
    """The options with which `elman.text.labelled.iter_examples` reads a file. `trained`: the `reading` of a model.

    Without a format, what is read without labels is plain text where it is standard input or a .txt file; all else goes
    by its suffix, or is as the training data was. Raises UsageError for options that do not fit."""
    from elman.text.labelled import SUFFIXES, get_example_format

    was = trained.get("format")
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    name = format or SUFFIXES.get(suffix)
    if name is None and not labelled and (path == "-" or suffix in TEXT_SUFFIXES):
        name = "text"
    name = name or was or ("label" if labelled else "text")
    if name == "text" and labelled:
        raise UsageError("plain text has no labels; give --format csv, tsv, jsonl, label or fasttext")
    like = trained if was == name else {}
    options = {key: like.get(key) if texts.get(key) is None else texts[key] for key in COLUMNS}
    options = {key: value for key, value in options.items() if value is not None}
    options |= {"several": several, "labelled": labelled}
    get_example_format(name, **options)
    return {"format": name, "encoding": encoding or like.get("encoding") or "utf-8", **options}
