"""`elman check`: what is in some files, and all that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import (
    SCHEMES,
    column_option,
    encoding_option,
    format_option,
    json_option,
    skip_broken_option,
    word_column_option,
)
from elman.cli.output import emit_json, heading, note, note_skipped, percent, table
from elman.cli.texts import refuse, texts_options
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from elman.text.report import Report


LOOKED_AT = 200  # lines at the beginning of a file


@click.command("check", short_help="Look through files before training.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--task",
    type=click.Choice(("tag", "classify", "lm")),
    help="What they are for: words with tags, texts with labels, or text for a language model (default: tag or "
    "classify, by what the first file looks like).",
)
@format_option("Of all the files (default: by the suffix of each; columns where it says nothing).")
@column_option()
@word_column_option
@click.option("--scheme", type=click.Choice(SCHEMES), help="The tag scheme to expect (default: found out).")
@texts_options
@click.option("--several", is_flag=True, help="Texts: any number of labels each.")
@click.option(
    "--tokenizer",
    type=click.Choice(("space", "words", "characters")),
    help="Language models: how lines are cut (default space).",
)
@encoding_option
@skip_broken_option
@json_option
@click.pass_context
def check(
    context: click.Context,
    files: tuple[str, ...],
    task: str | None,
    format_name: str | None,
    column: str | None,
    word_column: int | None,
    scheme: str | None,
    several: bool,
    tokenizer: str | None,
    encoding: str | None,
    skip_broken: bool,
    as_json: bool,
    **texts: Any,
) -> None:
    """Look through files before training: counts, lengths, tags, unknown words, duplicates, and every problem.

    The first file is the one that the others are compared with: give the training file first. Problems are printed as
    file:line:column: what was expected, what was found, how to mend it. The exit code is 3 if there are errors;
    warnings alone leave it at 0.

    \b
    elman check train.conllu dev.conllu test.conllu
    elman check ner.tsv --column 4
    elman check --task lm train.txt valid.txt
    elman check --task classify train.csv test.csv --text-column body --label-column stars
    """
    if files.count("-") > 1:
        raise UsageError("expected one input, found standard input twice; give the others as files")
    if task is None:
        task = guess(
            files[0],
            format_name,
            encoding or "utf-8",
            [column, word_column, scheme],
            [*texts.values(), several or None],
        )
    if task == "classify":
        from elman.cli.check_classify import check_classify

        if column is not None or word_column is not None or scheme is not None:
            raise UsageError("--column, --word-column and --scheme are for files of tags; see --task")
        if not check_classify(files, format_name, encoding, {**texts, "several": several}, skip_broken, as_json):
            context.exit(DataError.exit_code)
        return
    refuse(texts | {"several": several or None}, task)
    if task == "lm":
        from elman.cli.check_lm import check_lm

        for name, value in (
            ("format", format_name),
            ("column", column),
            ("word-column", word_column),
            ("scheme", scheme),
        ):
            if value is not None:
                raise UsageError(f"--{name} is for files of tags; see --task")
        if not check_lm(files, encoding, tokenizer or "space", skip_broken, as_json):
            context.exit(DataError.exit_code)
        return
    if tokenizer is not None:
        raise UsageError("--tokenizer is for language models; see --task")
    from elman.text.check import check as look_through

    options = {} if word_column is None else {"word": word_column}
    report = look_through(
        files,
        format=format_name,
        column=column,
        scheme=scheme,
        encoding=encoding or "utf-8",
        skip_broken=skip_broken,
        **options,
    )
    note_skipped(report.skipped, "elman check", "sentence")
    if as_json:
        emit_json(report.to_json())
    else:
        _print(report)
    if not report.ok:
        context.exit(DataError.exit_code)


def guess(file: str, format_name: str | None, encoding: str, for_tags: Sequence[Any], for_texts: Sequence[Any]) -> str:
    """What a file without --task is for, by the options given, the format, the name and the first lines; what is not
    obvious is said. Raises UsageError where that cannot be known."""
    tags, texts = (any(value is not None for value in values) for values in (for_tags, for_texts))
    if tags != texts:
        return "tag" if tags else "classify"
    name = format_name or os.path.splitext(file.lower().removesuffix(".gz"))[1].removeprefix(".")
    if name in ("conllu", "columns", "conll", "bio", "iob", "iob2", "bioes"):
        return "tag"
    if name in ("csv", "label", "fasttext", "ft"):
        task = "classify"
    elif name in ("tsv", "jsonl", "ndjson"):
        task = _by_content(file, name, encoding)
    else:
        return "tag"
    if task == "classify":
        note(f"elman: {file}: taken for texts with labels; --task tag takes it for words with tags")
    return task


def _by_content(file: str, name: str, encoding: str) -> str:
    """Of a file that may be either: the first lines say."""
    from elman.text.files import name_of, open_text, readable_again

    if not readable_again(file):
        raise UsageError(f"--task is missing: {name_of(file)} as {name} may be words with tags or texts with labels")
    lines: list[str] = []
    try:
        with open_text(file, encoding, on_problem=lambda problem: None) as source:
            lines += [line for _, line in islice(source, LOOKED_AT)]
    except DataError:
        return "tag"  # whose report says what is wrong with the file
    rows = [line for line in lines if line.strip()]
    if name != "tsv":
        keys = [all(f'"{key}"' not in line for key in ("words", "tokens", "tags")) for line in rows]
        return "classify" if keys and all(keys) else "tag"
    if len(rows) < len(lines):  # an empty line ends a sentence
        return "tag"
    if any(" " in cell.strip() for line in rows for cell in line.split("\t")):
        return "classify"
    if rows and len(lines) == LOOKED_AT:
        raise UsageError(f"{file}: --task is missing: it may be words with tags or texts with labels (tag, classify)")
    return "tag"


def _print(report: Report) -> None:
    names = _names(report)
    table(
        ["file", "format", "sentences", "words", "types", "tags"],
        [
            [
                names[file.file],
                file.format,
                str(file.sentences),
                str(file.words),
                str(file.types),
                str(len(file.tags)),
            ]
            for file in report.files
        ],
        left=2,
    )
    _unknown(report, names)
    _lengths(report, names)
    _tags(report, names)
    if report.duplicates:
        heading("sentences that are there already")
        rows = []
        for twice in report.duplicates:
            line, earlier = twice.places[0]
            rows.append([names[twice.file], names[twice.earlier], str(line), str(earlier), str(twice.count)])
        table(["file", "in", "line", "as-line", "count"], rows, left=2)
    if report.problems:
        heading("problems")
    for problem in report.problems:
        where = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
        print(f"{where}: {'warning: ' if problem.severity == 'warning' else ''}{problem.message}")
    print(f"\n{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _names(report: Report) -> dict[str, str]:
    """What the files are called in tables: their last name where that tells them apart."""
    last = {file.file: file.file.rpartition("/")[2] for file in report.files}
    return last if len(set(last.values())) == len(last) else {name: name for name in last}


def _unknown(report: Report, names: Mapping[str, str]) -> None:
    rows = [
        [names[file.file], str(of.words), percent(of.word_rate), str(of.types), percent(of.type_rate)]
        for file in report.files
        if (of := file.unknown) is not None
    ]
    if rows:
        heading(f"unknown words: not in {names[report.files[0].file]}")
        table(["file", "words", "words-%", "types", "types-%"], rows)


def _lengths(report: Report, names: Mapping[str, str]) -> None:
    files = [(file, file.lengths) for file in report.files if file.lengths is not None]
    if not files:
        return
    heading("words in a sentence")
    table(
        ["file", "mean", "least", "median", "90%", "99%", "most", "in-line"],
        [
            [
                names[file.file],
                f"{of.mean:.1f}",
                *(str(n) for n in (of.minimum, of.median, of.p90, of.p99, of.maximum, of.longest_line)),
            ]
            for file, of in files
        ],
    )
    spans = max((of.histogram for _, of in files), key=len)
    print()
    table(
        ["length", *(names[file.file] for file, _ in files)],
        [[span, *(str(of.histogram.get(span, 0)) for _, of in files)] for span in spans],
    )


def _tags(report: Report, names: Mapping[str, str]) -> None:
    files = [file for file in report.files if file.tags]
    if not files:
        return
    heading("tags" if report.scheme is None else f"tags (scheme {report.scheme})")
    tags = list(dict.fromkeys(tag for file in files for tag in file.tags))
    table(
        ["tag", *(names[file.file] for file in files)],
        [[tag, *(str(f.tags.get(tag, 0)) for f in files)] for tag in tags],
    )
