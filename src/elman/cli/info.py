"""`elman info`: what a model folder holds, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import json_option
from elman.cli.output import emit_json, heading, note, percent, shell, size, table
from elman.cli.tasks import get_task
from elman.cli.tasks.base import Task, print_summary
from elman.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("info", short_help="What a model folder holds.")
@click.argument("model", metavar="DIR")
@json_option
def info(model: str, as_json: bool) -> None:
    """What is in a model folder: task, settings, tags, sizes, scores, versions; whether its training is finished."""
    from pathlib import Path

    answer = describe(Path(model))
    if as_json:
        emit_json(answer)
    else:
        _print(answer)
    if answer["resume"]:
        note(f"training is not finished; resume it: {answer['resume']}")


def describe(folder: Path) -> dict[str, Any]:
    """Everything that is printed, as plain data. Raises ModelError naming the file at fault."""
    from elman.cli.models import read_config, read_json, unfinished

    config = read_config(folder)
    task, kind = get_task(config["task"]), config.get("model", "network")
    defaults = task.table.defaults(kind) if kind in task.table.models else {}
    weights, metrics = folder / "model.safetensors", folder / "metrics.json"
    stored = config["settings"]
    return {
        "model": str(folder),
        "task": config["task"],
        "kind": kind,
        "elman": config["elman"],
        "changed_settings": {key: value for key, value in stored.items() if value != defaults.get(key, object())},
        "settings": stored,
        "reading": config["reading"],
        "scheme": config.get("scheme"),
        "own_cell": bool(config.get("code")),
        "vocabularies": vocabularies(folder, task),
        "parameters": parameters(weights) if weights.exists() else None,
        "file_sizes": {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()},
        "metrics": read_json(metrics) if metrics.exists() else {},
        "unfinished": _progress(folder) if unfinished(folder) else None,
        "resume": f"elman train --resume {shell(folder)}" if unfinished(folder) else None,
    }


def vocabularies(folder: Path, task: Task) -> dict[str, list[str]]:
    """The vocabularies of a model, by the name of their file. Raises ModelError for a damaged one."""
    from elman.cli.models import read_json

    items = {}
    for path in sorted(folder.glob("*.json")):
        if path.name in ("config.json", "metrics.json"):
            continue
        value = read_json(path)
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            items[path.stem] = value["items"]
        elif path.stem in (task.labels, "words"):
            raise ModelError(f"{path}: expected a vocabulary, found something else; restore the file")
    return items


def parameters(path: Path) -> int:
    """How many numbers a safetensors file holds, from its header alone. Raises ModelError for a damaged one."""
    import json
    from math import prod

    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("it is shorter than its header says")
            header = json.loads(file.read(length))
            return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(f"{path}: expected a safetensors file, found a damaged one: {problem}") from None


def _progress(folder: Path) -> dict[str, Any]:
    """How far an unfinished training is; nothing is known before its first checkpoint."""
    from elman.cli.models import read_json

    pointer = folder / "training" / "current"
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return {}
    state = read_json(folder / "training" / name / "state.json").get("state", {})
    return {key: state.get(key) for key in ("epoch", "step", "seconds", "best", "best_epoch")}


def _vocabulary(name: str, items: list[str], task: Task) -> list[str]:
    if name == task.labels:
        return [name, f"{len(items)}: {' '.join(items)}"]
    return [name, f"{len(items):,} {task.entries}".rstrip()]


def _print(answer: Mapping[str, Any]) -> None:
    task = get_task(answer["task"])
    rows = [
        ["task", answer["task"]],
        ["model", answer["kind"]],
        *(_vocabulary(name, items, task) for name, items in answer["vocabularies"].items()),
        *([["scheme", answer["scheme"]]] if answer["scheme"] else []),
        ["reading", ", ".join(f"{key} {value}" for key, value in answer["reading"].items()) or "-"],
        [
            "settings",
            ", ".join(f"{key} {value}" for key, value in answer["changed_settings"].items()) or "the defaults",
        ],
        ["parameters", "-" if answer["parameters"] is None else f"{answer['parameters']:,}"],
        ["size", size(sum(answer["file_sizes"].values()))],
        ["elman", answer["elman"]],
    ]
    if answer["own_cell"]:
        rows.append(["cell.py", "the author's own cell: runs only with --allow-code"])
    run = answer["metrics"].get("training")
    if run:
        rows.append(
            [
                "trained",
                f"{run['epochs']} epochs, {run['steps']} steps, {run['seconds']:.0f} s; best {run['best_epoch']}"
                if "epochs" in run
                else f"in {run['seconds']:.1f} s",
            ]
        )
    if answer["unfinished"] is not None:
        state = answer["unfinished"]
        epoch = (state.get("epoch") or 0) + 1
        best = "" if state.get("best") is None else f", best dev score {percent(state['best'])}"
        rows.append(["training", f"not finished: epoch {epoch}, step {state.get('step') or 0}{best}"])
    for row in rows:
        print(f"{row[0]:12}{row[1]}")
    heading("files")
    table(["file", "bytes"], [[name, str(count)] for name, count in answer["file_sizes"].items()])
    scored = {part: answer["metrics"][part] for part in ("dev", "test") if part in answer["metrics"]}
    if scored:
        print()
        print_summary(task, scored)
