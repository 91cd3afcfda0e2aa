"""`elman bench cells`: how fast the cells are on this machine, next to torch's own modules and ONNX Runtime."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import click

from elman.cli.groups import LazyGroup
from elman.cli.options import json_option, threads_option
from elman.cli.output import emit_json, heading, note, percent, table
from elman.errors import UsageError, nearest

if TYPE_CHECKING:
    from elman.recurrent.bench import Shape

SHAPES = ("ragged", "32x35x200", "64x64x512", "20x70x400", "1x100x256")
RAGGED = 32  # sentences, in both directions
RAGGED_WIDTH = 256
CORPUS = 4000  # sentences of the embedded corpus, as the demo makes it
EVERY = 10.0  # seconds between two plain lines of progress
_RECTANGLE = re.compile(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)")


@click.group(cls=LazyGroup, table={"cells": "elman.cli.bench:cells"}, invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """How fast elman is on this machine."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command("cells", short_help="Every cell: the plain loop, torch, and compiled.")
@click.option("--cells", "cell_names", metavar="A,B", help="Registered names or file.py:MyCell (default: all cells).")
@click.option(
    "--shapes", default=",".join(SHAPES), show_default=True, metavar="A,B", help="ragged, or BATCHxSTEPSxWIDTH."
)
@click.option(
    "--file", metavar="FILE", help="Source of the sentence lengths of `ragged` (default: the embedded corpus)."
)
@threads_option
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Timed passes.")
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Seed of the sentences and the weights."
)
@click.option("--bf16", is_flag=True, help="bfloat16 products even if the processor has none, also for torch.")
@click.option("--no-steps", is_flag=True, help="Leave out single steps.")
@json_option
def cells(
    cell_names: str | None,
    shapes: str,
    file: str | None,
    threads: int | None,
    runs: int,
    seed: int,
    bf16: bool,
    no_steps: bool,
    as_json: bool,
) -> None:
    """Time every cell, forward and backward, and single steps; a few minutes with all cells and shapes.

    Variants: `loop` is the plain loop over time; `torch` is nn.RNN, nn.LSTM or nn.GRU with the same weights; `native`
    is the compiled cell; `native-bf16` has bfloat16 products, where the processor supports them. `ragged` is a batch of
    32 sentences, 256 wide, in both directions; other shapes are BATCHxSTEPSxWIDTH in one direction. Everything is
    timed in turn, pass after pass; figures are medians.

    Single steps: `torch-cell` is nn.RNNCell, nn.LSTMCell or nn.GRUCell; `stepper` is elman's own.

    \b
    elman bench cells --cells lstm,gru --shapes ragged,32x35x200
    elman bench cells --file train.conllu --shapes ragged --threads 1
    """
    import torch

    from elman.recurrent import CELLS, get_cell
    from elman.recurrent.bench import HALF_FLAGS, Plan, measure, onnx_missing, processor

    kinds = {name: get_cell(name) for name in (CELLS if cell_names is None else _names(cell_names))}
    batches = _shapes(_names(shapes), file, seed)
    plan = Plan(
        kinds,
        batches,
        threads=threads or torch.get_num_threads(),
        runs=runs,
        seed=seed,
        half=bf16 or bool(HALF_FLAGS & processor()[1]),
        torch_half=bf16,
        steps=not no_steps,
    )
    environment = _machine()
    if busy := _busy(environment["machine"], plan.threads):
        note(busy)
    with _progress() as progress:
        results = measure(plan, progress.tell)
    missing = onnx_missing() if results["steps"] else []
    answer = {
        **environment,
        "settings": {
            "threads": plan.threads,
            "runs": runs,
            "seed": seed,
            "file": file,
            "dtype": "float32",
            "bf16": plan.half,
            "cells": list(kinds),
            "shapes": [_described(shape) for shape in batches],
        },
        **results,
        "missing": missing,
    }
    if as_json:
        emit_json(answer)
    else:
        _print(answer)
    for text in _notes(results["left_out"]):
        note(text)
    if busy:
        note(busy)
    if any(row["path"] == "reference" for row in results["steps"]):
        note("stepper: not compiled here, so it ran on the reference path")
    if missing:
        note(f"ONNX Runtime is not compared: {' and '.join(missing)} missing; get it: pip install 'elman[bench]'")


def _names(text: str) -> list[str]:
    """The items of a comma-separated list, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def _shapes(names: Sequence[str], file: str | None, seed: int) -> list[Shape]:
    """Raises UsageError for an unknown shape, and for a file that no shape would read."""
    from elman.recurrent.bench import Shape

    shapes = []
    for name in names:
        rectangle = _RECTANGLE.fullmatch(name)
        if rectangle:
            batch, steps, width = map(int, rectangle.groups())
            shapes.append(Shape(name, (steps,) * batch, width))
        elif name != "ragged":
            raise UsageError(f"unknown shape {name!r}, and not BATCHxSTEPSxWIDTH; {nearest(name, SHAPES)}")
    if "ragged" not in names:
        if file is not None:
            raise UsageError("--file gives the shape ragged its lengths; leave it out, or add ragged to --shapes")
        return shapes
    shapes.insert(names.index("ragged"), Shape("ragged", _drawn(file, seed), RAGGED_WIDTH, 2))
    return shapes


def _drawn(file: str | None, seed: int) -> tuple[int, ...]:
    """Lengths of RAGGED sentences of a file, or of all if it has fewer; without a file, of the embedded corpus."""
    import random

    lengths = _embedded() if file is None else _of_file(file)
    if len(lengths) <= RAGGED:
        if file is not None and len(lengths) < RAGGED:
            note(f"{file}: {len(lengths)} sentences instead of {RAGGED}: ragged uses them all")
        return tuple(lengths)
    return tuple(random.Random(seed).sample(lengths, RAGGED))


def _embedded() -> list[int]:
    from elman.text.grammar import make

    return [sum(line[:1].isdigit() for line in block.splitlines()) for block in make(CORPUS)]


def _of_file(file: str) -> list[int]:
    from elman.text import get_format, guess_format, read

    name = guess_format(file)
    words = get_format(name, **({} if name == "text" else {"column": None}))
    return [len(sentence) for sentence in read(file, words)]


def _machine() -> dict[str, Any]:
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from elman import __version__
    from elman.recurrent.bench import processor

    versions = {"elman": __version__, "python": platform.python_version()}
    for name in ("torch", "onnxruntime"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"machine": {"processor": processor()[0], "cores": cores, "load": load}, "versions": versions}


def _busy(machine: Mapping[str, Any], threads: int) -> str:
    """A warning if the threads must share their cores with other processes, as far as that can be seen."""
    load, cores = machine["load"], machine["cores"]
    if load is None or cores is None or load + threads < cores + 0.5:
        return ""
    running = f"load {load:.1f}, {threads} threads, {cores} cores"
    return f"times are misleading: more is running than there are cores for ({running})"


def _described(shape: Shape) -> dict[str, Any]:
    return {
        "shape": shape.name,
        "sequences": len(shape.lengths),
        "lengths": list(shape.lengths),
        "tokens": shape.tokens,
        "width": shape.width,
        "directions": shape.directions,
    }


# Output -----------------------------------------------------------------------------------------------------------


def _print(answer: Mapping[str, Any]) -> None:
    machine, settings = answer["machine"], answer["settings"]
    print(f"{'processor':12}{machine['processor']}, {machine['cores']} cores")
    versions = ", ".join(f"{name} {version}" for name, version in answer["versions"].items())
    print(f"{'versions':12}{versions}")
    threads = f"{settings['threads']} thread{'' if settings['threads'] == 1 else 's'}"
    print(f"{'settings':12}{threads}, {settings['dtype']}, median of {settings['runs']}, seed {settings['seed']}")
    for dtype, peak in answer["peak"].items():
        print(f"{'peak':12}{peak['gflops']:.1f} GFLOP/s: product of two {peak['size']} x {peak['size']} in {dtype}")
    for shape in settings["shapes"]:
        heading(_title(shape))
        rows = [row for row in answer["cells"] if row["shape"] == shape["shape"]]
        table(
            ["cell", "variant", "ms", "GFLOP/s", "times", "as-fast-as", "peak-%"],
            [
                [
                    row["cell"],
                    row["variant"],
                    _digits(row["ms"]),
                    "-" if row["gflops"] is None else _digits(row["gflops"]),
                    f"{row['ratio']:.2f}",
                    row["ratio_to"],
                    percent(row["of_peak"]),
                ]
                for row in rows
            ],
            left=2,
        )
    if answer["steps"]:
        _print_steps(answer["steps"])


def _print_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    heading("single steps: batch 1, without gradients; microseconds per step")
    rows = []
    for row in steps:
        speed = [_digits(1000 * row["ms"]), f"{row['ratio']:.2f}", row["ratio_to"]]
        rows.append([row["cell"], row["variant"], str(row["width"]), *speed])
    table(["cell", "variant", "width", "us", "times", "as-fast-as"], rows, left=2)


def _title(shape: Mapping[str, Any]) -> str:
    low, high = min(shape["lengths"]), max(shape["lengths"])
    steps = str(high) if low == high else f"{low} to {high}"
    ways = "both directions" if shape["directions"] == 2 else "one direction"
    return (
        f"{shape['shape']}: batch {shape['sequences']}, {steps} steps, {shape['tokens']:,} tokens, "
        f"{shape['width']} wide, {ways}; forward and backward"
    )


def _digits(value: float) -> str:
    """Three significant digits, and no fewer than there are before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _notes(left_out: Sequence[Mapping[str, str]]) -> list[str]:
    """One line for each reason and variant, with the cells concerned."""
    cells: dict[tuple[str, str], list[str]] = {}
    for row in left_out:
        named = cells.setdefault((row["variant"], row["why"]), [])
        if row["cell"] not in named:
            named.append(row["cell"])
    return [f"no {variant} for {', '.join(names)}: {why}" for (variant, why), names in cells.items()]


class _Progress:
    """Plain lines on standard error: one for each pass, and one every ten seconds."""

    def __init__(self) -> None:
        self._stage, self._began, self._written = "", 0.0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        return None

    def tell(self, what: str, done: int, total: int) -> None:
        """Show what is being done, and how many samples out of how many are done."""
        now = time.monotonic()
        if total and not done:
            self._began = now
        stage = what.partition(" ")[0] if not total else what
        if stage != self._stage or now - self._written >= EVERY:
            self._stage, self._written = stage, now
            self.show(what, done, total)

    def left(self, done: int, total: int) -> str:
        """The time left, as text."""
        from elman.training.progress import duration

        if not done:
            return ""
        return f"{duration((time.monotonic() - self._began) * (total - done) / done)} left"

    def show(self, what: str, done: int, total: int) -> None:
        share = f"{done / total:4.0%}" if total else ""
        note("  ".join(part for part in (what, share, self.left(done, total)) if part))


class _Bar(_Progress):
    """A bar on a terminal, which disappears when the results come."""

    def __init__(self) -> None:
        import sys

        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%  {task.fields[left]}"),
            console=Console(file=sys.stderr),
            transient=True,
            redirect_stdout=False,  # standard output is for results
            auto_refresh=False,  # a thread that draws would be measured too
        )
        self._task = self._progress.add_task("", total=1.0, left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._progress.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        if total and not done:
            self._began = time.monotonic()
        share = done / total if total else 0.0
        self._progress.update(self._task, description=what, completed=share, left=self.left(done, total))
        if time.monotonic() - self._written >= 0.1:
            self._written = time.monotonic()
            self._progress.refresh()


def _progress() -> _Progress:
    import os
    import sys

    return _Bar() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else _Progress()
