"""Groups that import a command when it is needed, and commands whose help has sections."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from elman.errors import nearest


class LazyGroup(click.Group):
    """A group whose commands are listed in a table: name -> "module:attribute"."""

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is that of the workflow."""
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


class DefaultGroup(LazyGroup):
    """A group one of whose commands runs where none is named."""

    def __init__(self, *args: Any, default: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With the default's name in front, unless there is one, or help is asked for."""
        if not args or args[0] not in (*self.table, *ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class SectionOption(click.Option):
    """An option with the heading under which the help lists it."""

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
