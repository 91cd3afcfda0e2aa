"""`elman encode`: the vectors that a classifier makes of texts."""

from __future__ import annotations

from typing import Any

import click

from elman.cli.models import load_model, read_config
from elman.cli.options import allow_code_option, encoding_option, json_option, threads_option
from elman.cli.output import emit_json, note
from elman.cli.tasks.classify.reading import how_to_read, text_options
from elman.cli.tasks.classify.settings import FORMATS
from elman.errors import UsageError


@click.command("encode", short_help="Write the vectors of texts.")
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option("--output", "-o", metavar="FILE", required=True, help="A NumPy file (.npy) to write.")
@click.option("--format", type=click.Choice(FORMATS), help="Format of FILE, as for elman predict.")
@encoding_option
@threads_option
@allow_code_option
@json_option
def encode(
    model: str, file: str, output: str, threads: int | None, allow_code: bool, as_json: bool, **given: Any
) -> None:
    """Write the vector of every text of a file: what a classifier predicts the labels from.

    FILE is read as by elman predict. The output is a NumPy file of float32, (texts, size), in the order of the texts.

    \b
    elman encode my-classifier reviews.csv -o vectors.npy
    python -c "import numpy; print(numpy.load('vectors.npy').shape)"
    """
    import io
    from pathlib import Path

    import numpy as np

    from elman.text.labelled import read_examples
    from elman.training import atomic

    folder = Path(model)
    loaded = load_model(folder, "classify", allow_code=allow_code, threads=threads)
    if not hasattr(loaded, "encode"):
        raise UsageError(f"{folder}: expected a network, which turns texts into vectors; found the model {loaded.kind}")
    how = how_to_read(file, given, read_config(folder), labelled=False)
    vectors = loaded.encode(read_examples(file, allow_empty=True, **how))
    written = io.BytesIO()
    np.save(written, vectors, allow_pickle=False)
    atomic.replace_file(Path(output), written.getvalue())
    count, size = vectors.shape
    if as_json:
        emit_json({"model": model, "file": file, "output": output, "texts": count, "size": size})
    else:
        note(f"{output}: {count:,} texts, vectors of {size}")


encode.params += text_options()
