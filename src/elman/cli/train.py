"""`elman train`: the group of what can be trained, with one command for each task from the table of its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from elman.cli import run_file
from elman.cli.groups import LazyGroup, SectionedCommand, SectionOption
from elman.cli.tasks import TASKS, all_tasks, get_task
from elman.cli.tasks.base import Task
from elman.errors import UsageError, nearest

_CLOSING = """

    Flags override --set, which overrides --config. Ctrl-C saves a checkpoint: --resume continues from there and ends
    with exactly the weights that uninterrupted training would have given.
    """


class _Train(LazyGroup):
    """A group in which `--resume DIR` alone finds the task by itself."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a task, or None for an unknown name."""
        return _command(get_task(cmd_name)) if cmd_name in self.table else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the task before `--resume DIR`."""
        if args and args[0].startswith("-") and not {"-h", "--help"} & set(args):
            if not any(arg == "--resume" or arg.startswith("--resume=") for arg in args):
                raise click.UsageError(f"say what to train, as in: {_EXAMPLES[0]}", ctx)
            args = [_task_of(args), *args]
        return super().parse_args(ctx, args)


def _task_of(args: list[str]) -> str:
    """The task of the run that --resume names. Raises UsageError if there is none."""
    place = next(i for i, arg in enumerate(args) if arg.startswith("--resume"))
    _, equals, folder = args[place].partition("=")
    folder = folder if equals else (args[place + 1] if place + 1 < len(args) else "")
    task = str(run_file.read(Path(folder))["task"])
    if task not in TASKS:
        raise click.UsageError(f"{folder}: unknown task {task!r}; {nearest(task, list(TASKS))}")
    return task


_EXAMPLES = [line for task in all_tasks() for line in task.examples["train"]]


@click.group(
    cls=_Train,
    table=TASKS,
    invoke_without_command=True,
    short_help="Train a model, or resume a training.",
    help="Train a model on your own files, or resume a training that was stopped.\n\n\b\n"
    + "\n".join([*_EXAMPLES, "elman train --resume DIR"]),
)
@click.pass_context
def train(context: click.Context) -> None:
    """Train a model, or resume a training."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _run_options() -> list[click.Parameter]:
    def option(names: list[str], help: str, **more: Any) -> SectionOption:
        return SectionOption(names, help=help, section="Run", **more)

    return [
        option(["resume", "--resume"], "resume the training in DIR; needs nothing else", metavar="DIR"),
        option(["config", "--config"], "a TOML file of keys, named as options with _ for -", metavar="FILE"),
        option(["pairs", "--set"], "any key; overrides --config", metavar="KEY=VALUE", multiple=True),
        option(["allow_code", "--allow-code"], "run the cell that is stored with --init", is_flag=True),
        option(["watch", "--watch"], "also log gradients, gates and updates; under 5 % of the time", is_flag=True),
        option(["quiet", "--quiet", "-q"], "no progress", is_flag=True),
        option(["as_json", "--json"], "print one JSON object", is_flag=True),
    ]


def _command(task: Task) -> click.Command:
    """`elman train TASK`."""

    def run(resume: str | None, config: str | None, pairs: tuple[str, ...], **options: Any) -> None:
        from elman.cli import train_task

        table = task.table
        given: dict[str, Any] = table.from_file(config) if config is not None else {}
        given |= table.from_pairs(pairs)
        given |= table.from_flags(options)
        how = train_task.How(options["allow_code"], options["watch"], options["quiet"])
        if resume is not None:
            train_task.resume(task, Path(resume), given, how, options["as_json"])
            return
        for key in ("train", "out"):
            if given.get(key) is None:
                raise UsageError(f"--{key} is missing: elman train {task.name} --train FILE [--dev FILE] --out DIR")
        train_task.train(task, given, how, options["as_json"])

    params = [*task.table.click_options(), *_run_options()]
    return SectionedCommand(task.name, callback=run, params=params, help=task.help.rstrip() + _CLOSING)
