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
from elman.cli.stream import batches, words
from elman.cli.tasks import all_tasks, get_task
from elman.cli.tasks.base import Answers
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
@click.option("--stream", is_flag=True, help="Answer each word as soon as possible, before its line ends: see above.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each sentence or text: docs/json.md.")
@encoding_option
@threads_option
@allow_code_option
@click.pass_context
def predict(context: click.Context, model: str, file: str, output: str, **given: Any) -> None:
    """Tag a file, or label its texts; without FILE or with -, standard input. The output has the format of the input.

    All other columns, keys and comments are kept, byte for byte; only the answers change. Answers come as soon as their
    input arrives, so elman can be used in a pipe.

    With --stream, answers do not wait for the end of a sentence or text: words come with white space between them, and
    each is answered as soon as the model can, one line per word. The model must read in one direction. See
    docs/serving.md.

    {notes}

    \b
    {examples}
    """
    from elman.text.files import open_output, open_pieces

    folder = Path(model)
    config = read_config(folder)
    task = get_task(config["task"])
    assert isinstance(context.command, TaskCommand)
    context.command.require_own(context, task, "this is a model of the task")
    answers = task.answers(file, given, config)
    if output != "-" and file != "-" and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"--output {output}: expected a file other than the input, which would be overwritten")
    if given["stream"]:
        require_stream(answers, given)
    loaded = load_model(folder, task.name, allow_code=given["allow_code"], threads=given["threads"])
    if file == "-" and sys.stdin is not None and sys.stdin.isatty():
        note(f"elman: reading {answers.format} from the terminal; Ctrl-D ends it")
    if given["stream"]:
        with open_pieces(file, given["encoding"] or "utf-8") as pieces, open_output(output) as out:
            for text in answers.stream(loaded, words(pieces)):
                out.write(text)
                out.flush()
        answers.finish()
        return
    with open_output(output) as out, loaded.remembering():
        for batch in batches(answers.items(), answers.budget, answers.size):
            for text in answers.answer(loaded, batch):
                out.write(text)
            out.flush()
    answers.finish()


def require_stream(answers: Answers, given: dict[str, Any]) -> None:
    """Raise UsageError unless these options and this format can be answered word by word."""
    if answers.format not in answers.streams:
        known = ", ".join(answers.streams) or "none of this task"
        raise UsageError(f"--stream: expected a format with words one by one ({known}), found {answers.format}")
    for key in ("probabilities", "nbest"):
        if given.get(key):
            raise UsageError(f"--{key} needs the whole text; leave out --stream")
