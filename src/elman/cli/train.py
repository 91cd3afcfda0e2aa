"""`elman train`: the group of what can be trained."""

from __future__ import annotations

import importlib
from typing import Any

import click

from elman.cli.groups import LazyGroup
from elman.errors import nearest

TASKS = {
    "tag": "elman.cli.train_tag:tag",
    "classify": "elman.cli.train_classify:classify",
    "lm": "elman.cli.train_lm:lm",
}


def defaults_of(task: str, model: str) -> dict[str, Any]:
    """The settings of a model with their defaults; nothing for one that this version does not know."""
    if task not in TASKS:
        return {}
    door = importlib.import_module(TASKS[task].partition(":")[0]).DOOR
    return door.table.defaults(model) if model in door.table.models else {}


class _Train(LazyGroup):
    """A group in which `--resume DIR` alone finds the task by itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and not {"-h", "--help"} & set(args):
            if not any(arg == "--resume" or arg.startswith("--resume=") for arg in args):
                raise click.UsageError("say what to train, as in: elman train tag --train FILE --out DIR", ctx)
            args = [_task_of(args), *args]
        return super().parse_args(ctx, args)


def _task_of(args: list[str]) -> str:
    """The task of the run that --resume names; a folder without one is that task's to judge."""
    from pathlib import Path

    from elman.cli.run_file import task_of

    place = next(i for i, arg in enumerate(args) if arg.startswith("--resume"))
    _, equals, folder = args[place].partition("=")
    folder = folder if equals else (args[place + 1] if place + 1 < len(args) else "")
    task = task_of(Path(folder))
    if task not in TASKS:
        raise click.UsageError(f"{folder}: unknown task {task!r}; {nearest(str(task), list(TASKS))}")
    return task


@click.group(
    cls=_Train, table=TASKS, invoke_without_command=True, short_help="Train a model, or go on with a training."
)
@click.pass_context
def train(context: click.Context) -> None:
    """Train a model on your own files, or go on with a training that was stopped.

    \b
    elman train tag --train train.conllu --dev dev.conllu --out my-tagger
    elman train classify --train train.csv --dev 10% --out my-classifier
    elman train lm --train train.txt --dev 10% --out my-model
    elman train --resume my-tagger
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
