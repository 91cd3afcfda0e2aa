"""`elman train tag`: train a tagger, or go on with a training that was stopped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elman.cli import run_file, settings
from elman.cli.groups import SectionedCommand, SectionOption
from elman.cli.output import emit_json, note, shell, size
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.cli.reading import Reading
    from elman.text import Sentence

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_PATHS = ("train", "dev", "test", "out", "init")


def _run_options() -> list[click.Parameter]:
    return [
        SectionOption(
            ["resume", "--resume"],
            metavar="DIR",
            help="go on with the training in DIR; needs nothing else",
            section="Run",
        ),
        SectionOption(
            ["config", "--config"],
            metavar="FILE",
            help="a TOML file of keys, named as options with _ for -",
            section="Run",
        ),
        SectionOption(
            ["pairs", "--set"],
            metavar="KEY=VALUE",
            multiple=True,
            help="any key; stronger than --config",
            section="Run",
        ),
        SectionOption(
            ["allow_code", "--allow-code"], is_flag=True, help="run the cell that is stored with --init", section="Run"
        ),
        SectionOption(["quiet", "--quiet", "-q"], is_flag=True, help="no progress", section="Run"),
        SectionOption(["as_json", "--json"], is_flag=True, help="print one JSON object", section="Run"),
    ]


@click.command("tag", cls=SectionedCommand, params=[*settings.click_options(), *_run_options()])
def tag(
    resume: str | None,
    config: str | None,
    pairs: tuple[str, ...],
    allow_code: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a tagger on files with a tag for every word.

    \b
    elman train tag --train train.conllu --dev dev.conllu --out my-tagger
    elman train tag --train ner.tsv --column 4 --dev 10% --crf --max-time 10m --out my-tagger

    Flags are stronger than --set, and that than --config. Ctrl-C saves a checkpoint: --resume goes on from there and
    ends with the very weights that the uninterrupted training would have given.
    """
    given: dict[str, Any] = settings.from_file(config) if config is not None else {}
    given |= settings.from_pairs(pairs)
    given |= settings.from_flags(options)
    if resume is not None:
        metrics = _resume(Path(resume), given, allow_code, quiet)
        out = Path(resume)
    else:
        for key in ("train", "out"):
            if given.get(key) is None:
                raise UsageError(f"--{key} is missing: elman train tag --train FILE [--dev FILE] --out DIR")
        out = Path(given["out"])
        metrics = _train(out, given, None, allow_code, quiet)
    _report(out, metrics, as_json, quiet)


def _resume(folder: Path, given: Mapping[str, Any], allow_code: bool, quiet: bool) -> dict[str, Any]:
    stored = run_file.read(folder)
    folder = folder.absolute()
    now = _complete({**given, "out": given.get("out", folder)})
    was = {**stored["given"], "threads": stored["threads"]}
    changes = [
        f"  {key}: was {_text(was.get(key))}, found {_text(now[key])}"
        for key in given
        if now[key] != was.get(key) and not (key == "out" and _same(now["out"], str(folder)))
    ]
    if changes:
        raise UsageError(
            "--resume goes on with what the training was begun with; these differ:\n"
            + "\n".join(changes)
            + f"\nleave them out, or start anew: --out OTHER, perhaps with --init {shell(folder)}"
        )
    try:
        os.chdir(stored["folder"])  # what --cell and --vectors are relative to
    except OSError as problem:
        raise UsageError(f"{stored['folder']}: the training was begun there: {problem.strerror or problem}") from None
    changed = [what for what, old in stored["files"].items() if run_file.hashes(stored["given"]).get(what) != old]
    if changed:
        raise UsageError(
            f"{folder}: cannot be resumed, because these have changed: {', '.join(changed)}; put them back"
        )
    return _train(folder, stored["given"], stored, allow_code, quiet)


def _text(value: Any) -> str:
    return "not given" if value is None else str(value)


def _complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every key: those of data as given, with absolute paths; the settings checked and with their defaults."""
    from elman.tasks.tagging.config import Settings

    complete: dict[str, Any] = {setting.key: given.get(setting.key) for setting in settings.DATA}
    for key in _PATHS:
        if complete[key] is not None and not (key == "dev" and _PERCENT.fullmatch(str(complete[key]))):
            complete[key] = os.path.abspath(complete[key])
    return complete | Settings.of({key: value for key, value in given.items() if key in settings.DEFAULTS}).flat()


def _train(
    out: Path, given: Mapping[str, Any], stored: dict[str, Any] | None, allow_code: bool, quiet: bool
) -> dict[str, Any]:
    """Read, train, write; `stored` is the run to go on with, None for a new one. Returns what metrics.json holds."""
    complete = _complete(given)
    _require_distinct(given)

    import torch

    from elman.recurrent import get_cell
    from elman.tasks.tagging.tagger import Tagger
    from elman.training import make_progress, prepare

    for key in ("cell", "char_cell"):
        if ".py:" not in complete[key]:
            get_cell(complete[key])  # before the data is read
    threads = stored["threads"] if stored else complete["threads"]
    if threads is not None:
        torch.set_num_threads(threads)
    described = run_file.describe("tag", complete, torch.get_num_threads())
    with prepare(out, resume=stored is not None):
        pass  # only to see, before the data is read, that the folder will do
    sentences, reading = _read(given, quiet)
    dev: list[Sentence] | float | None = sentences.get("dev")
    if share := _PERCENT.fullmatch(str(given.get("dev") or "")):
        dev = float(share[1]) / 100
    if dev is None and not quiet:
        note("no dev data: the weights of the last epoch are kept; --dev 10% would set sentences aside to choose by")
    Tagger(**{key: complete[key] for key in settings.DEFAULTS}).fit(
        sentences["train"],
        dev,
        test=sentences.get("test"),
        out=out,
        init=given.get("init"),
        resume=stored is not None,
        allow_code=allow_code,
        progress=make_progress(quiet=quiet),
        reading=reading,
        invocation=described,
    )
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_bytes())
    return metrics


def _require_distinct(given: Mapping[str, Any]) -> None:
    """Raise UsageError where what is trained on would be scored on too."""
    if given["train"] == "-":
        raise UsageError("--train: expected a file, found standard input, which cannot be read again to resume")
    for key in ("dev", "test"):
        if given.get(key) is not None and _same(given["train"], given[key]):
            raise UsageError(
                f"--{key}: expected another file than --train, found the same; a score on it would mean nothing"
                + (" (--dev 10% sets a part of it aside)" if key == "dev" else "")
            )


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _read(given: Mapping[str, Any], quiet: bool) -> tuple[dict[str, list[Sentence]], dict[str, Any]]:
    """The sentences of every file by its key, and how they were read."""
    from elman.cli.reading import Asked, describe, tagged
    from elman.text import read

    column = None if given.get("column") is None else str(given["column"])
    asked = Asked(given.get("format"), column, given.get("word_column"), given.get("encoding"))
    how: Reading = tagged(given["train"], asked)
    found: dict[str, list[Sentence]] = {}
    for key in ("train", "dev", "test"):
        path = given.get(key)
        if path is None or (key == "dev" and _PERCENT.fullmatch(str(path))):
            continue
        found[key] = read(path, how.format, encoding=how.encoding)
        if not quiet:
            words = sum(len(sentence) for sentence in found[key])
            note(f"{key}: {len(found[key]):,} sentences, {words:,} words")
    return found, describe(how, found["train"])


def _report(out: Path, metrics: dict[str, Any], as_json: bool, quiet: bool) -> None:
    from elman.cli.scores import print_summary

    if as_json:
        emit_json({"model": str(out), **metrics})
    else:
        print_summary({part: metrics[part] for part in ("dev", "test") if part in metrics})
    if not quiet:
        run = metrics["training"]
        weight = size((out / "model.safetensors").stat().st_size)
        note(f"\n{out}: the weights of epoch {run['best_epoch']} of {run['epochs']}, {weight}; its card is README.md")
        allow = " --allow-code" if (out / "cell.py").exists() else ""
        note(f"try:  echo 'Ada lives in London' | elman predict {shell(out)}{allow}")
        note(f"      elman eval {shell(out)} FILE{allow}")
