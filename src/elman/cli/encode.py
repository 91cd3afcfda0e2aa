"""`elman encode`: the vectors that a classifier makes of texts."""

from __future__ import annotations

from typing import Any

import click

from elman.cli.options import TEXT_FORMATS, allow_code_option, encoding_option, json_option, threads_option
from elman.cli.output import emit_json, note
from elman.cli.texts import texts_options


@click.command("encode", short_help="Write the vectors of texts.")
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option("--output", "-o", metavar="FILE", required=True, help="A NumPy file (.npy) to write.")
@click.option("--format", "format_name", type=click.Choice(TEXT_FORMATS), help="Of FILE, as for elman predict.")
@texts_options
@encoding_option
@threads_option
@allow_code_option
@json_option
def encode(
    model: str,
    file: str,
    output: str,
    format_name: str | None,
    encoding: str | None,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
    **texts: Any,
) -> None:
    """Write the vector of every text of a file: what a classifier tells the labels from.

    FILE is read as by elman predict. The output is a NumPy file of float32, (texts, size), in the order of the texts.

    \b
    elman encode my-classifier reviews.csv -o vectors.npy
    python -c "import numpy; print(numpy.load('vectors.npy').shape)"
    """
    from pathlib import Path

    from elman.cli.predict_classify import encode_file

    count, size = encode_file(Path(model), file, format_name, encoding, texts, output, threads, allow_code)
    if as_json:
        emit_json({"model": model, "file": file, "output": output, "texts": count, "size": size})
    else:
        note(f"{output}: {count:,} texts, vectors of {size}")
