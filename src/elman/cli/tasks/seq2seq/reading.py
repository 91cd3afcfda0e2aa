"""How commands read files of pairs: as asked for, otherwise by the file's name, otherwise as in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

ROLES = ("source_column", "target_column", "features_column")
COLUMNS = (*ROLES, "features_separator", "header", "separator")
# The suffixes of plain text.
TEXT_SUFFIXES = (".txt", ".text")


def pair_options() -> list[click.Option]:
    """The options named in COLUMNS; None if not given."""
    return [
        click.Option(["--source-column"], metavar="NAME|N", help="The column or key of the sources."),
        click.Option(["--target-column"], metavar="NAME|N", help="The column or key of the targets."),
        click.Option(["--features-column"], metavar="NAME|N", help="The column or key of the sources' features."),
        click.Option(["--features-separator"], metavar="TEXT", help="Separator of features in a cell (default ;)."),
        click.Option(["--header/--no-header"], default=None, help="Whether the first row names the columns."),
        click.Option(["--separator"], metavar="TEXT", help="Separator of several targets in a cell (default |)."),
    ]


def how_to_read(path: str, given: Mapping[str, Any], config: Mapping[str, Any], *, answered: bool) -> dict[str, Any]:
    """The options with which `elman.text.pairs.iter_pairs` reads a file for the model of this config.json.

    Without a format, two files are parallel, input without targets is plain text if it is standard input or a .txt
    file, and so is one file for a model that was trained on two; everything else goes by its suffix, or is read as the
    training data was. A column that is given takes its place from the one of the training data that had it. Raises
    UsageError for options that do not fit."""
    from elman.errors import UsageError
    from elman.text.pair_lines import BETWEEN
    from elman.text.pairs import SUFFIXES, get_pair_format
    from elman.text.reading import suffix_of

    trained = config["reading"]
    was = trained.get("format")
    suffix = suffix_of(path)
    name = given["format"] or ("parallel" if BETWEEN in path else SUFFIXES.get(suffix))
    if name is None and not answered and (path == "-" or suffix in TEXT_SUFFIXES):
        name = "text"
    name = name or was or ("tsv" if answered else "text")
    if name == "parallel" and BETWEEN not in path and not answered:
        name = "text"
    if name == "text" and answered:
        raise UsageError("plain text has no targets; give --format tsv, csv, jsonl, parallel or scan")
    like = trained if was == name else {}
    taken = [given[role] for role in ROLES if given.get(role) is not None]
    options = {}
    for key in COLUMNS:
        value = like.get(key) if given.get(key) is None else given[key]
        if value is not None and not (key in ROLES and given.get(key) is None and str(value) in map(str, taken)):
            options[key] = value
    options |= {"several": bool(config["settings"].get("several")), "answered": answered}
    get_pair_format(name, **options)
    return {"format": name, "encoding": given["encoding"] or like.get("encoding") or "utf-8", **options}
