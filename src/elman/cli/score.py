"""`elman score`: how likely a model finds a text, or the targets of sources, item by item as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from elman.cli.models import load_model, read_config
from elman.cli.options import allow_code_option, encoding_option, format_option, threads_option
from elman.cli.stream import batches
from elman.cli.tasks import all_tasks, get_task
from elman.cli.tasks.command import TaskCommand


@click.command(
    "score",
    cls=TaskCommand,
    tasks=[task for task in all_tasks() if task.likely],
    short_help="How likely a model finds a text, or a target.",
)
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--tokens", is_flag=True, help="One line per token: log-probability, TAB, token; an empty line after each item."
)
@format_option("Format of FILE, as for elman eval.")
@click.option("--output", "-o", metavar="FILE", default="-", help="Write to this file, compressed if it ends in .gz.")
@encoding_option
@threads_option
@allow_code_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per item.")
@click.pass_context
def score(context: click.Context, model: str, file: str, output: str, **given: Any) -> None:
    """Natural log-probabilities under a language model, or of targets given their sources; without FILE or with -, of
    standard input.

    For each line or pair: its log-probability, TAB, its number of tokens (including its end), TAB, the line, or source
    TAB target. Perplexity and its counts follow on standard error.

    {notes}

    \b
    {examples}
    """
    from elman.text.files import open_output

    folder = Path(model)
    config = read_config(folder)
    task = get_task(config["task"])
    assert isinstance(context.command, TaskCommand)
    context.command.require_own(context, task, "this is a model of the task")
    scoring = task.scoring(file, given, config)
    loaded = load_model(folder, task.name, allow_code=given["allow_code"], threads=given["threads"])
    with open_output(output) as out:
        for batch in batches(scoring.items(), scoring.budget, scoring.size):
            for text in scoring.answer(loaded, batch):
                out.write(text)
            out.flush()
    scoring.finish()
