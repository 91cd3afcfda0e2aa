"""`elman serve`: models behind HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from elman.cli.groups import SectionedCommand
from elman.cli.models import read_config
from elman.cli.options import allow_code_option
from elman.cli.settings import option
from elman.errors import UsageError
from elman.serve.config import ServeConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@allow_code_option
@click.command("serve", cls=SectionedCommand, short_help="Answer requests over HTTP.")
@click.argument("models", metavar="DIR|NAME=DIR...", nargs=-1, required=True)
def serve(models: tuple[str, ...], allow_code: bool, **given: Any) -> None:
    """Serve models over HTTP, until SIGTERM or Ctrl-C. A model has the name of its folder, or NAME.

    \b
    elman serve my-tagger
    curl http://127.0.0.1:8100/v1/models/my-tagger/predict --json '{"text": "Ada lives in London"}'

    Requests that wait together are answered as one batch; an answer does not depend on what it shared one with. SIGHUP
    loads every model again, and takes the new one if it loads. Logs are lines of JSON on standard error. It needs
    pip install 'elman[serve]'. See docs/serving.md.
    """
    folders = named(models)
    settings = ServeConfig(**{key: value for key, value in given.items() if value is not None})
    for folder in folders.values():
        read_config(folder)
    try:
        from elman.serve.server import serve as run
    except ModuleNotFoundError as problem:
        raise UsageError(f"elman serve needs {problem.name}; install it: pip install 'elman[serve]'") from None
    run(folders, settings, allow_code=allow_code)


serve.params += [option(setting, "Options") for setting in ServeConfig.settings()]


def named(models: tuple[str, ...]) -> dict[str, Path]:
    """Name -> folder. Raises UsageError for two of one name, and for one that cannot be part of a path."""
    folders: dict[str, Path] = {}
    for text in models:
        name, equals, path = text.partition("=")
        folder = Path(path if equals else text)
        name = name if equals else folder.resolve().name
        if not _NAME.fullmatch(name):
            raise UsageError(f"{text}: expected a name of letters, digits, . _ and -, found {name!r}; give NAME=DIR")
        if name in folders:
            raise UsageError(f"{text}: expected different names, found {name!r} twice; give NAME=DIR")
        folders[name] = folder
    return folders
