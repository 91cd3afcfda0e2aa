"""`elman check`: what is in some files, and everything that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import encoding_option, format_option, json_option, skip_broken_option
from elman.cli.output import emit_json, heading, note_skipped
from elman.cli.tasks import TASKS, all_tasks, get_task
from elman.cli.tasks.base import Task
from elman.cli.tasks.command import TaskCommand
from elman.cli.tasks.guess import by_file
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from elman.text.report import Report


@click.command("check", cls=TaskCommand, tasks=all_tasks(), short_help="Check files before training.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--task",
    type=click.Choice(list(TASKS)),
    help="The task they are for (default: from the options, and from what the first file looks like).",
)
@format_option("Format of all files (default: by the suffix of each).")
@encoding_option
@skip_broken_option
@json_option
@click.pass_context
def check(context: click.Context, files: tuple[str, ...], task: str | None, as_json: bool, **given: Any) -> None:
    """Check files before training: counts, lengths, answers, unknown words, duplicates, and every problem.

    The other files are compared with the first one: give the training file first. Problems are printed as
    file:line:column: what was expected, what was found, how to fix it. The exit code is 3 if there are errors;
    warnings alone leave it at 0.

    \b
    {examples}
    """
    if files.count("-") > 1:
        raise UsageError("expected one input, found standard input twice; give the others as files")
    chosen = _guess(context, files[0], given) if task is None else get_task(task)
    assert isinstance(context.command, TaskCommand)
    context.command.require_own(context, chosen, "these files are checked for the task")
    report = chosen.check(files, given)
    note_skipped(report.skipped, "elman check", chosen.unit)
    if as_json:
        emit_json(report.to_json())
    else:
        chosen.print_check(report)
        _print_problems(report)
    if not report.ok:
        context.exit(DataError.exit_code)


def _guess(context: click.Context, file: str, given: dict[str, Any]) -> Task:
    """The task that the files are for: the one that has all the given options, otherwise by the first file.

    Raises UsageError if that cannot be determined."""
    assert isinstance(context.command, TaskCommand)
    owners = context.command.owners
    given_owners = [set(owners[str(param.name)]) for param in context.command.given(context) if param.name in owners]
    if given_owners:
        common = set.intersection(*given_owners)
        if len(common) == 1:
            return get_task(common.pop())
    return get_task(by_file(file, given["format"], given["encoding"] or "utf-8"))


def _print_problems(report: Report) -> None:
    if report.problems:
        heading("problems")
    for problem in report.problems:
        print(problem)
    print(f"\n{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
