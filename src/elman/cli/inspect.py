"""`elman inspect`: look inside a trained model, on a text of your own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elman.cli.models import history, load_model, read_config
from elman.cli.options import allow_code_option, encoding_option, format_option, json_option, threads_option
from elman.cli.output import emit_json, heading, note, table
from elman.cli.tasks import all_tasks, get_task
from elman.cli.tasks.command import TaskCommand
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from elman.cli.tasks.base import Task
    from elman.inspect.view import View

FAR = (0, 1, 2, 4, 8, 16, 32, 64, 128)


@click.command(
    "inspect",
    cls=TaskCommand,
    tasks=all_tasks(),
    short_help="Look inside a model: gradients, gates, memory; one page to share.",
)
@click.argument("model", metavar="DIR")
@click.argument("text", metavar="TEXT|-")
@click.option("--html", metavar="FILE", help="Write the report: one self-contained page.")
@click.option("--png", metavar="DIR", help="Write every figure as a PNG file (needs the extra `figures`).")
@click.option(
    "--beside", metavar="DIR", multiple=True, help="Another model, to compare gradients by distance; repeatable."
)
@click.option("--data", metavar="FILE", help="Measure memory horizon, probe, calibration on a sample of this file.")
@click.option(
    "--texts", "count", type=click.IntRange(min=2), default=200, show_default=True, help="Size of that sample."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of that sample.")
@format_option("Format of --data (default: by its suffix, otherwise as in training).")
@encoding_option
@threads_option
@allow_code_option
@json_option
@click.pass_context
def inspect(
    context: click.Context,
    model: str,
    text: str,
    html: str | None,
    png: str | None,
    beside: tuple[str, ...],
    data: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Look inside a model with recurrent layers, on one text of at most 256 tokens.

    \b
    {examples}

    It shows states and gates, the gradient of every output with respect to every step, what reaches each parameter
    from where and what truncation would lose, and what drove each output; with --data also how far back the model uses
    what it read and what its state remembers. docs/reading-the-report.md explains every panel. Without --html, --png
    and --json it prints a summary.
    """
    folder = Path(model)
    config = read_config(folder)
    task = get_task(config["task"])
    assert isinstance(context.command, TaskCommand)
    context.command.require_own(context, task, "this is a model of the task")
    reading = {str(param.name) for param in context.command.given(context)} - {"gold", "features"}
    if data is None and (reading or given["encoding"] is not None):
        raise UsageError("--format, --encoding and the like say how --data is read; give --data FILE")
    _check(html, png)
    content = sys.stdin.read().rstrip("\n") if text == "-" else text
    shown, targets = task.looked_at(content, given, config)
    loaded = load_model(folder, task.name, allow_code=given["allow_code"], threads=given["threads"])
    from elman.inspect.looking import look

    others = {other: load_model(Path(other), task.name, allow_code=given["allow_code"]) for other in beside}
    extras: dict[str, Any] = {}
    warnings: list[str] = []
    measured: dict[str, Any] = {}
    if (lines := history(folder)) is not None:
        extras["history"] = lines
    if data is not None:
        from elman.inspect.data_survey import survey

        rows = task.sample(task.reader(data, given, config).read(data))
        if not rows:
            raise DataError(f"expected a {task.unit} to sample from, found none", file=data)
        note(f"{data}: {len(rows):,} {task.unit}s; measuring on at most {given['count']} of them")
        surveyed = survey(loaded, rows, count=given["count"], seed=given["seed"])
        extras |= surveyed.extras
        warnings = surveyed.warnings
        measured = {"horizon": surveyed.horizon.to_json(), "probe": surveyed.probe.to_json()}
    view = look(loaded, shown, targets, title=str(folder), extras=extras, warnings=warnings, beside=others)
    if html is not None:
        from elman.inspect.report import write

        write(view, Path(html))
        note(f"{html}: the report")
    if png is not None:
        note(f"{png}: {_pictures(view, Path(png))} figures")
    if as_json:
        emit_json({"model": model, **view.to_json(), **measured})
    elif html is None and png is None:
        _print(view, measured, task)
    else:
        for warning in view.warnings:
            note(f"note: {warning}")


def _check(html: str | None, png: str | None) -> None:
    """What can be checked about the outputs before torch is loaded. Raises UsageError."""
    import importlib.util
    import os

    for name, path in (("--html", html), ("--png", png)):
        parent = os.path.dirname(os.path.abspath(path)) if path is not None else "/"
        if not os.path.isdir(parent):
            raise UsageError(f"{name} {path}: there is no folder {parent}; create it first")
    if html is not None and os.path.isdir(html):
        raise UsageError(f"--html {html}: expected a file name, found a folder")
    if png is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--png needs matplotlib: pip install 'elman[figures]'")


def _pictures(view: View, folder: Path) -> int:
    """Write every figure; return how many."""
    from elman.errors import ResourceError
    from elman.inspect.figures import figures_of

    figures = figures_of(view)
    try:
        folder.mkdir(exist_ok=True)
        for name, figure in figures.items():
            figure.png(folder / f"{name}.png")
    except OSError as problem:
        raise ResourceError(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    return len(figures)


def _print(view: View, measured: Mapping[str, Any], task: Task) -> None:
    from elman.inspect.backward import by_distance

    target = "gold" if view.given else task.target
    rows = []
    for j, output in enumerate(view.outputs):
        token = "(whole text)" if output.step is None else view.tokens[output.step]
        if "alignment" in view.extras:
            weights = view.extras["alignment"]["weights"][j]
            token = f"{view.tokens[weights.argmax()]} {weights.max():.2f}"
        best, chance = output.top[0]
        rows.append([token, output.target, best, f"{chance:.3f}", f"{output.loss:.3f}"])
    first = "read-from" if "alignment" in view.extras else "token"
    table([first, target, "likeliest", "probability", "loss"], rows, left=3)
    steps = [output.step for output in view.outputs]
    curves = {place.name: by_distance(place.gradient, steps) for place in view.places}
    heading("Norm of the gradient of a loss with respect to a state, by distance in steps (mean over outputs):")
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
        heading("Share of the gradient that is lost when it is propagated back fewer than k steps, in %:")
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
