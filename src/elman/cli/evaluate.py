"""`elman eval`: score a model on a file, or one file of answers against another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from elman.cli.models import read_config
from elman.cli.options import (
    allow_code_option,
    encoding_option,
    format_option,
    json_option,
    skip_broken_option,
    threads_option,
)
from elman.cli.output import emit_json
from elman.cli.tasks import all_tasks, get_task
from elman.cli.tasks.command import TaskCommand
from elman.errors import UsageError


@click.command(
    "eval", cls=TaskCommand, tasks=all_tasks(), short_help="Score a model on a file, or two files against each other."
)
@click.argument("model_or_gold", metavar="DIR|GOLD")
@click.argument("file", metavar="FILE|PREDICTED")
@format_option("Format of the files (default: by suffix, otherwise as in training).")
@encoding_option
@skip_broken_option
@threads_option
@allow_code_option
@json_option
@click.pass_context
def evaluate(context: click.Context, model_or_gold: str, file: str, as_json: bool, **given: Any) -> None:
    """Score a model on a file with gold answers, or a file of predicted answers against one of gold answers.

    \b
    {examples}

    For a model, the columns and format of the training data apply unless others are given.

    {notes}
    """
    assert isinstance(context.command, TaskCommand)
    folder = Path(model_or_gold)
    if folder.is_dir():
        config = read_config(folder)
        task = get_task(config["task"])
        context.command.require_own(context, task, "this is a model of the task")
        answer = task.evaluate(folder, file, given, config)
    else:
        task = next(task for task in all_tasks() if task.aligned)
        context.command.require_own(context, task, "two files are scored for the task")
        if given["skip_broken"]:
            raise UsageError("--skip-broken is for a model; two files are aligned by position, and must be complete")
        answer = task.evaluate_files(model_or_gold, file, given)
    if as_json:
        emit_json(answer)
    else:
        task.print_scores(answer)
