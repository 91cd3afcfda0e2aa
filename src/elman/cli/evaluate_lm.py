"""`elman eval` of a language model: perplexity, perhaps mixed with an n-gram model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from elman.cli.output import emit_json, note, note_skipped, table
from elman.errors import UsageError


def evaluate_lm(
    folder: Path,
    file: str,
    encoding: str | None,
    skip_broken: bool,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
    *,
    interpolate: str | None,
    weight: float | None,
    tune: str | None,
) -> None:
    """Print the scores of a language model on a text. Raises UsageError for options that do not fit together."""
    from elman.cli.models import load_model, read_config
    from elman.cli.scores import main_scores
    from elman.tasks.language_model.corpus import Text
    from elman.text.skipping import Skipped

    if interpolate is None and (weight is not None or tune is not None):
        raise UsageError("--weight and --tune say how to mix; with what? --interpolate DIR names the other model")
    if weight is not None and tune is not None:
        raise UsageError("--weight sets the share and --tune finds it; give one of them")
    if tune == file == "-":
        raise UsageError("expected two inputs, found standard input twice; give one of them as a file")
    if tune is not None and os.path.exists(tune) and os.path.exists(file) and os.path.samefile(tune, file):
        raise UsageError(f"--tune {tune}: expected another text than the one that is scored; take the dev text")
    model = load_model(folder, "lm", allow_code=allow_code)
    other = None if interpolate is None else load_model(Path(interpolate), "lm", allow_code=allow_code)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    encoding = encoding or read_config(folder)["reading"].get("encoding") or "utf-8"
    share = 0.5 if weight is None else weight
    skipped = Skipped()

    def text(path: str) -> Text:
        whole = Text.of(path, encoding)
        return whole.without_broken(model.settings.model.tokenizer, skipped) if skip_broken else whole

    if tune is not None:
        share = model.tune_weight(text(tune), other)
        note(f"weight {share:.4f} of {folder}, chosen on {tune}")
    scored = text(file)
    note_skipped(skipped, file if tune is None else f"{tune} and {file}", "line")
    result = model.evaluate(scored, ngram=other, weight=share).to_json()
    answer: dict[str, Any] = {"model": str(folder), "file": file, "skipped": skipped.count, **result}
    if other is not None:
        answer |= {"interpolate": interpolate, "weight": share}
    if as_json:
        emit_json(answer)
        return
    table(["score", ""], [[name, value] for name, value in main_scores("lm", result).items()])
    print(result["signature"])
