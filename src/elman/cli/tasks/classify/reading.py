"""How commands read files of labelled texts: as asked for, otherwise by the file's name, otherwise as in training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from elman.errors import UsageError

COLUMNS = ("text_column", "label_column", "header", "separator")
# The suffixes of plain text.
TEXT_SUFFIXES = (".txt", ".text")


def text_options() -> list[click.Option]:
    """The options named in COLUMNS; None if not given."""
    return [
        click.Option(["--text-column"], metavar="NAME|N", help="The column or key of the texts."),
        click.Option(["--label-column"], metavar="NAME|N", help="The column or key of the labels."),
        click.Option(["--header/--no-header"], default=None, help="Whether the first row names the columns."),
        click.Option(["--separator"], metavar="TEXT", help="Separator of several labels in a cell (default |)."),
    ]


def how_to_read(path: str, given: Mapping[str, Any], config: Mapping[str, Any], *, labelled: bool) -> dict[str, Any]:
    """The options with which `elman.text.labelled.iter_examples` reads a file for the model of this config.json.

    Without a format, unlabelled input is plain text if it is standard input or a .txt file; everything else goes by
    its suffix, or is read as the training data was. Raises UsageError for options that do not fit."""
    from elman.text.labelled import SUFFIXES, get_example_format

    trained = config["reading"]
    was = trained.get("format")
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    name = given["format"] or SUFFIXES.get(suffix)
    if name is None and not labelled and (path == "-" or suffix in TEXT_SUFFIXES):
        name = "text"
    name = name or was or ("label" if labelled else "text")
    if name == "text" and labelled:
        raise UsageError("plain text has no labels; give --format csv, tsv, jsonl, label or fasttext")
    like = trained if was == name else {}
    options = {key: like.get(key) if given.get(key) is None else given[key] for key in COLUMNS}
    options = {key: value for key, value in options.items() if value is not None}
    options |= {"several": bool(config["settings"].get("several")), "labelled": labelled}
    get_example_format(name, **options)
    return {"format": name, "encoding": given["encoding"] or like.get("encoding") or "utf-8", **options}
