"""`elman eval` with a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elman.cli.output import emit_json, note_skipped


def evaluate_classify(
    folder: Path,
    file: str,
    format_name: str | None,
    encoding: str | None,
    texts: dict[str, Any],
    skip_broken: bool,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Score a model on a file of labelled texts, and print everything."""
    from elman.cli.models import load_model, read_config
    from elman.cli.texts import how_to_read
    from elman.text.labelled import read_examples
    from elman.text.skipping import Skipped

    config = read_config(folder)
    several = bool(config["settings"].get("several"))
    how = how_to_read(file, format_name, encoding, texts, config["reading"], several=several, labelled=True)
    skipped = Skipped()
    examples = read_examples(file, skip_broken=skip_broken and skipped, **how)
    note_skipped(skipped, file, "text")
    model = load_model(folder, "classify", allow_code=allow_code)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    answer = {"model": str(folder), "file": file, "skipped": skipped.count, **model.evaluate(examples).to_json()}
    if as_json:
        emit_json(answer)
        return
    from elman.cli.scores import print_classes

    print_classes(answer)
