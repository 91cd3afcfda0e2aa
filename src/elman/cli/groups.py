"""Groups that import a command when it is needed, commands whose help has sections, and those that serve all tasks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from copy import copy
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from elman.errors import nearest

if TYPE_CHECKING:
    from elman.cli.tasks.base import Task


class LazyGroup(click.Group):
    """A group whose commands stand in a table: name -> "module:attribute"."""

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is that of the work."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None for an unknown name."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises click.UsageError, naming the nearest real command, for an unknown one."""
        if args[0] not in self.table and not args[0].startswith("-"):
            raise click.UsageError(f"no such command {args[0]!r}; {nearest(args[0], list(self.table))}", ctx)
        return super().resolve_command(ctx, args)


class SectionOption(click.Option):
    """An option with the heading that it stands under in the help."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options under headings, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):  # newer clicks give arguments records too
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for name, rows in sections.items():
            with formatter.section(name):
                formatter.write_dl(rows)


class TaskCommand(SectionedCommand):
    """A command for all tasks: beside its own options it has those of each task, which only that task may be given.

    `{examples}` in its help stands for the tasks' examples of it, `{notes}` for their paragraphs."""

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
        """The options that belong to tasks and stand on the command line."""
        return [
            param
            for param in self.params
            if (param.name in self.owners or param.name == "format")
            and context.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT
        ]

    def require_own(self, context: click.Context, task: Task, what: str) -> None:
        """Judge the options for one task. what: how the task was chosen, as in "this is a model of the task".

        Raises click.UsageError for an option of another task, and for a value that this task does not have."""
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
    """One option for what several tasks declare by the same name."""
    merged = copy(options[0])
    merged.section = heading if len(options) == 1 else "Options"  # type: ignore[attr-defined]
    merged.help = "; ".join(dict.fromkeys(option.help or "" for option in options))
    if all(isinstance(option.type, click.Choice) for option in options):
        choices = dict.fromkeys(choice for option in options for choice in option.type.choices)  # type: ignore[attr-defined]
        merged.type = click.Choice(list(choices))
    return merged
