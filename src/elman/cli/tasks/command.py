"""Commands that serve every task, with the options of all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from inspect import cleandoc
from typing import Any

import click
from click.core import ParameterSource

from elman.cli.groups import SectionedCommand
from elman.cli.tasks.base import Task


class TaskCommand(SectionedCommand):
    """A command for all tasks: besides its own options it has those of each task, which apply to that task only.

    `{examples}` in its help stands for the tasks' examples, `{notes}` for their paragraphs."""

    def __init__(self, name: str, *, tasks: Sequence[Task], help: str, **kwargs: Any) -> None:
        examples = [line for task in tasks for line in task.examples.get(name, ())]
        notes = [cleandoc(task.notes[name]) for task in tasks if name in task.notes]
        help = cleandoc(help).replace("{examples}", "\n".join(examples)).replace("{notes}", "\n\n".join(notes))
        super().__init__(name, help=help, **kwargs)
        self.owners: dict[str, dict[str, click.Option]] = {}  # an option's name -> task -> its declaration there
        for task in tasks:
            for option in task.options(name):
                self.owners.setdefault(str(option.name), {})[task.name] = option
        headings = {task.name: task.models for task in tasks}
        self.params += [_merged(list(own.values()), headings[next(iter(own))]) for own in self.owners.values()]
        for param in self.params:
            if param.name == "format":
                param.type = click.Choice(list(dict.fromkeys(format for task in tasks for format in task.formats)))

    def given(self, context: click.Context) -> list[click.Parameter]:
        """The options that belong to tasks and were given on the command line."""
        return [
            param
            for param in self.params
            if (param.name in self.owners or param.name == "format")
            and context.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT
        ]

    def require_own(self, context: click.Context, task: Task, what: str) -> None:
        """Check the options for one task. what: how the task was chosen, as in "this is a model of the task".

        Raises click.UsageError for an option of another task, and for a value that this task does not accept."""
        for param in self.given(context):
            name, value = str(param.name), context.params[str(param.name)]
            if name == "format":
                if value not in task.formats:
                    known = (
                        f"its formats are {', '.join(task.formats)}" if task.formats else "its files have one format"
                    )
                    raise click.UsageError(f"--format {value}: {what} {task.name}; {known}", context)
            elif task.name in self.owners[name]:
                own = self.owners[name][task.name]
                own.type_cast_value(context, value)  # its choices may be fewer than those of all tasks
            else:
                owners = [*self.owners[name]]
                of = f"task{'s' if len(owners) > 1 else ''} {' and '.join(owners)}"
                raise click.UsageError(f"{param.opts[0]} is for the {of}; {what} {task.name}", context)


def _merged(options: Sequence[click.Option], heading: str) -> click.Option:
    """One option for what several tasks declare under the same name."""
    merged = copy(options[0])
    merged.section = heading if len(options) == 1 else "Options"  # type: ignore[attr-defined]
    merged.help = "; ".join(dict.fromkeys(option.help or "" for option in options))
    if all(isinstance(option.type, click.Choice) for option in options):
        choices = dict.fromkeys(choice for option in options for choice in option.type.choices)  # type: ignore[attr-defined]
        merged.type = click.Choice(list(choices))
    return merged
