"""`elman inspect`: look inside a trained model, on a text of one's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import (
    allow_code_option,
    column_option,
    encoding_option,
    format_option,
    json_option,
    threads_option,
    word_column_option,
)
from elman.cli.output import emit_json, heading, note, table
from elman.cli.texts import refuse, texts_options
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from elman.inspect.view import View

FAR = (0, 1, 2, 4, 8, 16, 32, 64, 128)


@click.command("inspect", short_help="Look inside a model: gradients, gates, memory; one page to share.")
@click.argument("model", metavar="DIR")
@click.argument("text", metavar="TEXT|-")
@click.option("--html", metavar="FILE", help="Write the report: one page that needs nothing else.")
@click.option("--png", metavar="DIR", help="Write every figure as a PNG file (needs the extra `figures`).")
@click.option("--gold", metavar="ANSWERS", help="The right tags, one a word, or the label (several: A|B).")
@click.option("--beside", metavar="DIR", multiple=True, help="Another model, for its gradient by distance; repeatable.")
@click.option("--data", metavar="FILE", help="Measure memory horizon, probe, calibration on a sample of this file.")
@click.option(
    "--texts", "count", type=click.IntRange(min=2), default=200, show_default=True, help="Size of that sample."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of that sample.")
@format_option("Of --data (default: by its suffix, else as trained).")
@column_option("Of --data: where the tags are, if not as in training.")
@word_column_option
@texts_options
@encoding_option
@threads_option
@allow_code_option
@json_option
def inspect(
    model: str,
    text: str,
    html: str | None,
    png: str | None,
    gold: str | None,
    beside: tuple[str, ...],
    data: str | None,
    count: int,
    seed: int,
    format_name: str | None,
    column: str | None,
    word_column: int | None,
    encoding: str | None,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
    **texts: Any,
) -> None:
    """Look inside a tagger, classifier or language model with recurrent layers, on one text of at most 256 tokens.

    \b
    elman inspect my-tagger "the boys that the dog saw run" --html report.html
    elman inspect my-tagger "the boys run" --gold "DT NNS VBP" --data dev.conllu --html report.html
    elman inspect demo/lstm "the boys run" --beside demo/elman --png figures
    echo "to be or not" | elman inspect my-lm - --json > arrays.json

    Shown are states and gates, the gradient of every output by every step, what reaches each parameter from where and
    what truncation would lose, and what drove each output; with --data also how far back the model uses what it read
    and what its state remembers. docs/reading-the-report.md explains every panel. Without --html, --png and --json, a
    summary.
    """
    from pathlib import Path

    from elman.cli.models import load_model, read_config

    folder = Path(model)
    config = read_config(folder)
    task = config["task"]
    _check(task, gold, html, png)
    if data is None and any(v is not None for v in (format_name, column, word_column, encoding, *texts.values())):
        raise UsageError("--format, --column and the like say how --data is read; give --data FILE")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    loaded = load_model(folder, task, allow_code=allow_code)
    from elman.inspect.look import look

    content = sys.stdin.read().rstrip("\n") if text == "-" else text
    others = {other: load_model(Path(other), task, allow_code=allow_code) for other in beside}
    extras: dict[str, Any] = {}
    warnings: list[str] = []
    measured: dict[str, Any] = {}
    if (lines := history(folder)) is not None:
        extras["history"] = lines
    if data is not None:
        from elman.inspect.survey import survey

        rows = _read(task, data, format_name, column, word_column, encoding, texts, config)
        if not rows:
            raise DataError("expected texts to take a sample of, found none", file=data)
        note(f"{data}: {len(rows):,} {'lines' if task == 'lm' else 'texts'}; measuring on at most {count} of them")
        found = survey(loaded, rows, count=count, seed=seed)
        extras |= found.extras
        warnings = found.warnings
        measured = {"horizon": found.horizon.to_json(), "probe": found.probe.to_json()}
    targets = None
    if gold is not None:
        several = config["settings"].get("several", False)
        targets = gold.split() if task == "tag" else gold.split("|") if several else [gold]
    view = look(loaded, content, targets, title=str(folder), extras=extras, warnings=warnings, beside=others)
    if html is not None:
        from elman.inspect.report import write

        write(view, Path(html))
        note(f"{html}: the report")
    if png is not None:
        note(f"{png}: {_pictures(view, Path(png))} figures")
    if as_json:
        emit_json({"model": model, **view.to_json(), **measured})
    elif html is None and png is None:
        _print(view, measured)
    else:
        for warning in view.warnings:
            note(f"note: {warning}")


def _check(task: str, gold: str | None, html: str | None, png: str | None) -> None:
    """What can be said before torch is there. Raises UsageError."""
    import importlib.util
    import os

    if gold is not None and task == "lm":
        raise UsageError("--gold: a language model is scored against the text itself; leave it out")
    for name, path in (("--html", html), ("--png", png)):
        parent = os.path.dirname(os.path.abspath(path)) if path is not None else "/"
        if not os.path.isdir(parent):
            raise UsageError(f"{name} {path}: there is no folder {parent}; make it first")
    if html is not None and os.path.isdir(html):
        raise UsageError(f"--html {html}: expected the name of a file, found a folder")
    if png is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--png needs matplotlib: pip install 'elman[figures]'")


def _read(
    task: str,
    path: str,
    format_name: str | None,
    column: str | None,
    word_column: int | None,
    encoding: str | None,
    texts: Mapping[str, Any],
    config: Mapping[str, Any],
) -> Any:
    """The file of --data, read as `elman eval` reads it."""
    reading = config["reading"]
    if task == "tag":
        from elman.cli.reading import Asked, tagged
        from elman.text import read

        refuse(texts, task)
        how = tagged(path, Asked(format_name, column, word_column, encoding), reading)
        return [sentence for sentence in read(path, how.format, encoding=how.encoding) if sentence.words]
    if column is not None or word_column is not None:
        raise UsageError("--column and --word-column are for taggers")
    if task == "classify":
        from elman.cli.texts import how_to_read
        from elman.text.labelled import read_examples

        several = bool(config["settings"].get("several"))
        how_ = how_to_read(path, format_name, encoding, texts, reading, several=several, labelled=True)
        return read_examples(path, **how_)
    from elman.text.files import open_text

    refuse(texts, task)
    if format_name is not None:
        raise UsageError("--format is for taggers and classifiers; a language model reads plain text")
    with open_text(path, encoding or reading.get("encoding") or "utf-8") as lines:
        return [line for _, line in lines]


def history(folder: Path) -> list[dict[str, Any]] | None:
    """The lines of log.jsonl, where there is one that can be read."""
    import json

    try:
        return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()] or None
    except (OSError, ValueError):
        return None


def _pictures(view: View, folder: Path) -> int:
    """Write every figure; how many."""
    from elman.errors import ResourceError
    from elman.inspect.figures import figures_of

    found = figures_of(view)
    try:
        folder.mkdir(exist_ok=True)
        for name, figure in found.items():
            figure.png(folder / f"{name}.png")
    except OSError as problem:
        raise ResourceError(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    return len(found)


def _print(view: View, measured: Mapping[str, Any]) -> None:
    from elman.inspect.gradients import by_distance

    target = "next" if view.task == "lm" else "gold" if view.given else "answer"
    rows = []
    for output in view.outputs:
        token = "(whole text)" if output.step is None else view.tokens[output.step]
        best, chance = output.top[0]
        rows.append([token, output.target, best, f"{chance:.3f}", f"{output.loss:.3f}"])
    table(["token", target, "likeliest", "probability", "loss"], rows, left=3)
    steps = [output.step for output in view.outputs]
    curves = {place.name: by_distance(place.gradient, steps) for place in view.places}
    heading("Norm of the gradient of a loss by a state, so many steps away (mean over outputs):")
    far = [d for d in FAR if d < len(view.tokens)]
    table(["place", *map(str, far)], [[name, *(f"{curve[d]:.2g}" for d in far)] for name, curve in curves.items()])
    gates = [
        [place.name, gate, f"{100 * low:.0f}", f"{100 * high:.0f}"]
        for place in view.places
        for gate, (low, high) in place.saturation.items()
    ]
    if gates:
        heading("Gates: how often shut (below 0.05) and open (above 0.95), in %:")
        table(["place", "gate", "shut", "open"], gates, left=2)
    lost = [k for k in (1, 2, 5, 10, 20, 50, 100) if k < len(view.tokens)]
    if lost:
        heading("Share of the gradient that is lost when it is taken back fewer than k steps, in %:")
        rows = [
            [name, *("-" if value[k] != value[k] else f"{100 * value[k]:.1f}" for k in lost)]
            for name, value in view.lost.items()
        ]
        table(["parameter", *(f"k={k}" for k in lost)], rows)
    if "horizon" in measured:
        heading("Memory horizon, in steps (95 % interval):")
        sides = measured["horizon"]["sides"]
        table(
            ["context", "by-loss", "interval", "by-gradient", "interval"],
            [
                [
                    name,
                    str(side["steps"]),
                    f"{side['low']}-{side['high']}",
                    str(side["gradient_steps"]),
                    f"{side['gradient_low']}-{side['gradient_high']}",
                ]
                for name, side in sides.items()
            ],
        )
    for warning in view.warnings:
        note(f"note: {warning}")
