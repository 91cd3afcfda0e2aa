"""`elman predict`: the answers of a model for a file or for standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from elman.cli.models import load_model, read_config
from elman.cli.options import allow_code_option, encoding_option, format_option, threads_option
from elman.cli.output import note
from elman.cli.stream import batches
from elman.cli.tasks import all_tasks, get_task
from elman.cli.tasks.command import TaskCommand
from elman.errors import UsageError


@click.command("predict", cls=TaskCommand, tasks=all_tasks(), short_help="Tag or label a file or standard input.")
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@format_option(
    "Format of input and output (default: text for standard input; otherwise by suffix, otherwise as in training)."
)
@click.option("--output", "-o", metavar="FILE", default="-", help="Write to this file, compressed if it ends in .gz.")
@click.option("--probabilities", "-p", is_flag=True, help="How sure the model is of each answer: see above.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each sentence or text: docs/json.md.")
@encoding_option
@threads_option
@allow_code_option
@click.pass_context
def predict(context: click.Context, model: str, file: str, output: str, **given: Any) -> None:
    """Tag a file, or label its texts; without FILE or with -, standard input. The output has the format of the input.

    All other columns, keys and comments are kept, byte for byte; only the answers change. Answers come as soon as their
    input arrives, so elman can be used in a pipe.

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
    answers = task.answers(file, given, config)
    if output != "-" and file != "-" and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"--output {output}: expected a file other than the input, which would be overwritten")
    loaded = load_model(folder, task.name, allow_code=given["allow_code"], threads=given["threads"])
    if file == "-" and sys.stdin is not None and sys.stdin.isatty():
        note(f"elman: reading {answers.format} from the terminal; Ctrl-D ends it")
    with open_output(output) as out, loaded.remembering():
        for batch in batches(answers.items(), answers.budget, answers.size):
            for text in answers.answer(loaded, batch):
                out.write(text)
            out.flush()
    answers.finish()
