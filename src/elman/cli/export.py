"""`elman export`: a trained model as ONNX, C, or a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from elman.cli.models import load_model, read_config
from elman.cli.options import allow_code_option, json_option
from elman.cli.output import emit_json, note, size
from elman.cli.tasks import get_task
from elman.errors import UsageError


@click.command("export", short_help="Write a model as ONNX, C, or a web page.")
@click.argument("model", metavar="DIR")
@click.option("--to", required=True, metavar="FORM", help="onnx, c, or page.")
@click.option("--out", "-o", metavar="PATH", help="What to write (default: DIR's name, with the form's ending).")
@click.option("--weights", metavar="TYPE", help="float32, or smaller: see docs/export.md (default: the form's own).")
@click.option(
    "--check",
    metavar="FILE",
    is_flag=False,
    flag_value="",
    help="onnx: compare with the model on a file that `elman eval` reads, or without FILE on a few texts.",
)
@click.option("--text", metavar="TEXT", help="What a page shows at first (default: words that the model knows).")
@click.option("--embed", is_flag=True, help="c: the weights inside model.c, without a model.bin.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@allow_code_option
@json_option
def export(
    model: str,
    to: str,
    out: str | None,
    check: str | None,
    overwrite: bool,
    allow_code: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Write a trained model in a form that needs neither torch nor elman.

    Every number is computed as in Python; what a form cannot express is refused. docs/export.md has the table."""
    from elman.export import FORMATS
    from elman.export import export as write

    suffix = FORMATS[to].suffix if to in FORMATS else ""
    path = Path(out) if out else Path(Path(model).name + suffix if suffix else f"{Path(model).name}-{to}")
    if path.exists() and not overwrite:
        raise UsageError(
            f"{path}: expected nothing there, found a file or folder; choose another --out, or --overwrite"
        )
    folder = Path(model)
    config = read_config(folder)
    data = None if check is None else _data(check, config)
    loaded = load_model(folder, config["task"], allow_code=allow_code)
    result = write(loaded, to, path, check=data, **given)
    if as_json:
        emit_json(result)
        return
    for name, count in result["files"].items():
        click.echo(f"{name}  {size(count)}")
    for line in result.get("notes", ()):
        note(line)


def _data(file: str, config: Mapping[str, Any]) -> Any:
    """What a file contains, as `evaluate` takes it; True without a file."""
    if not file:
        return True
    as_trained = {"format": None, "encoding": None}
    return get_task(config["task"]).reader(file, as_trained, config).read(file)
