"""The entry point: the table of commands, and how every error is handled."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from elman import __version__
from elman.cli import tasks
from elman.cli.groups import LazyGroup
from elman.errors import ElmanError, Interrupted, Notice, ResourceError

# Name -> where its command is, imported when needed; those of one task are listed with it.
COMMANDS = {
    "check": "elman.cli.check:check",
    "train": "elman.cli.train:train",
    "eval": "elman.cli.evaluate:evaluate",
    "compare": "elman.cli.compare:compare",
    "inspect": "elman.cli.inspect:inspect",
    "export": "elman.cli.export:export",
    "predict": "elman.cli.predict:predict",
    "score": "elman.cli.score:score",
    **tasks.COMMANDS,
    "serve": "elman.cli.serve:serve",
    "demo": "elman.cli.demo:demo",
    "info": "elman.cli.info:info",
    "data": "elman.cli.data:data",
    "bench": "elman.cli.bench:bench",
    "doctor": "elman.cli.doctor:doctor",
}
BUG, INTERRUPTED = 1, Interrupted.exit_code
# What a shell reports for a program killed by SIGPIPE.
CLOSED_PIPE = 141
_SCARCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOMEM}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="elman", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (as ELMAN_DEBUG=1 does).")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Recurrent sequence models of text: taggers, classifiers, language models, and the rivals they must beat.

    Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 a bug in elman, 2 usage,
    3 data, 4 model folder, 5 resources, 130 interrupted (training can be resumed).
    """
    if debug:
        os.environ["ELMAN_DEBUG"] = "1"
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """Run the command line and exit Python with its exit code."""
    _prepare_streams()
    _prepare_warnings()
    if "_ELMAN_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cli, {}, "elman", "_ELMAN_COMPLETE", os.environ["_ELMAN_COMPLETE"]))
    code = run(sys.argv[1:])
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        # A thread waiting for standard input would block, or crash, Python's normal exit.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _prepare_warnings() -> None:
    """Show elman's own warnings as notes to the user; leave all others unchanged."""
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        if issubclass(category, Notice):
            print(f"note: {message}", file=sys.stderr, flush=True)
        else:
            show(message, category, *place, **rest)

    warnings.showwarning = note


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every error becomes a line on standard error and an exit code."""
    try:
        with cli.make_context("elman", list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as leaving:
        return _flushed(leaving.exit_code)
    except BrokenPipeError:
        _mute_stdout()
        return CLOSED_PIPE
    except BaseException as problem:
        code = _report(problem)
        return _flushed(code)


def _flushed(code: int) -> int:
    """Flush what standard output still holds; return `code`, unless that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _mute_stdout()
        return CLOSED_PIPE
    except OSError as problem:
        _mute_stdout()
        return _report(problem)
    return code


def _report(problem: BaseException) -> int:
    """Report on standard error what went wrong, and return the exit code."""
    if os.environ.get("ELMAN_DEBUG") and not isinstance(problem, (click.ClickException, SystemExit)):
        import traceback

        traceback.print_exception(problem, file=sys.stderr)
    match problem:
        case SystemExit():
            return problem.code if isinstance(problem.code, int) else BUG
        case click.ClickException():
            context = getattr(problem, "ctx", None)
            hint = "" if context is None else f"\ntry: {context.command_path} --help"
            return _say(f"error: {problem.format_message()}{hint}", problem.exit_code)
        case Interrupted():
            return _say(str(problem), problem.exit_code)
        case ElmanError():
            return _say(f"error: {problem}", problem.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return _say("interrupted", INTERRUPTED)
        case MemoryError():
            return _say("error: out of memory; close other programs or process less at once", ResourceError.exit_code)
        case OSError() if problem.errno in _SCARCE:
            _mute_stdout()
            where = f"{problem.filename}: " if problem.filename else ""
            return _say(f"error: {where}{problem.strerror}; free some and try again", ResourceError.exit_code)
        case RuntimeError() if "out of memory" in str(problem) or "can't allocate memory" in str(problem):
            text = " ".join(str(problem).split())
            return _say(f"error: out of memory ({text}); use smaller batches or layers", ResourceError.exit_code)
    text = " ".join(f"{type(problem).__name__}: {problem}".split())
    return _say(f"error: a bug in elman, not in your data: {text}\nELMAN_DEBUG=1 shows where it happened", BUG)


def _say(text: str, code: int) -> int:
    with suppress(OSError):  # nobody is reading it
        print(f"elman: {text}", file=sys.stderr, flush=True)
    return code


def _prepare_streams() -> None:
    """UTF-8 whatever the locale says; a name that is not valid text (a file's, with stray bytes) is escaped."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _mute_stdout() -> None:
    """Discard what standard output still holds, so that Python's exit does not fail over it."""
    with suppress(OSError, ValueError):  # without a file behind it, nothing can fail
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
