"""`elman eval`: score a model on a file, or one file of tags against another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import (
    SCHEMES,
    allow_code_option,
    column_option,
    encoding_option,
    format_option,
    json_option,
    skip_broken_option,
    threads_option,
    word_column_option,
)
from elman.cli.output import emit_json, note, note_skipped
from elman.cli.texts import refuse, texts_options
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from elman.cli.reading import Asked
    from elman.text import Sentence


@click.command("eval", short_help="Score a model on a file, or two files against each other.")
@click.argument("model_or_gold", metavar="DIR|GOLD")
@click.argument("file", metavar="FILE|PREDICTED")
@format_option("Of the files (default: by the suffix, else that of the training data, else columns).")
@column_option()
@click.option("--predicted-column", metavar="NAME|N", help="Where the tags of PREDICTED are, if not in --column.")
@word_column_option
@texts_options
@click.option(
    "--scheme",
    type=click.Choice([*SCHEMES, "none"]),
    help="How tags mark entities (default: that of the model, or what the gold tags show).",
)
@click.option("--interpolate", metavar="DIR", help="Language models: mix with the n-gram model in DIR.")
@click.option("--weight", type=click.FloatRange(0, 1), metavar="X", help="The first model's share (default 0.5).")
@click.option("--tune", metavar="FILE", help="Choose the share that makes this text likeliest: dev text, not FILE.")
@encoding_option
@skip_broken_option
@threads_option
@allow_code_option
@json_option
def evaluate(
    model_or_gold: str,
    file: str,
    format_name: str | None,
    column: str | None,
    predicted_column: str | None,
    word_column: int | None,
    scheme: str | None,
    interpolate: str | None,
    weight: float | None,
    tune: str | None,
    encoding: str | None,
    skip_broken: bool,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
    **texts: Any,
) -> None:
    """Score a model on a file with gold tags, or a file of predicted tags against one of gold tags.

    \b
    elman eval my-tagger test.conllu
    elman eval my-classifier test.csv
    elman eval gold.tsv predicted.tsv
    elman eval both.tsv both.tsv --column 2 --predicted-column 3

    Two files are aligned by position: as many sentences, and as many words in each. Columns and format of the training
    data hold for a model unless others are given. Entities are scored in two ways: as conlleval does, and strictly,
    where only what the scheme allows counts.
    """
    from pathlib import Path

    from elman.cli.reading import Asked

    asked = Asked(format_name, column, word_column, encoding)
    mixture: dict[str, Any] = {"interpolate": interpolate, "weight": weight, "tune": tune}
    if Path(model_or_gold).is_dir():
        from elman.cli.models import read_config

        task = read_config(Path(model_or_gold))["task"]
        if task == "lm":
            from elman.cli.evaluate_lm import evaluate_lm

            evaluate_lm(Path(model_or_gold), file, encoding, skip_broken, threads, allow_code, as_json, **mixture)
            return
        if any(value is not None for value in mixture.values()):
            raise UsageError(f"--interpolate, --weight and --tune are for language models; this is one of {task}")
        if task == "classify":
            from elman.cli.evaluate_classify import evaluate_classify

            if any(value is not None for value in (column, predicted_column, word_column, scheme)):
                raise UsageError("--column, --predicted-column, --word-column and --scheme are for taggers")
            folder = Path(model_or_gold)
            evaluate_classify(folder, file, format_name, encoding, texts, skip_broken, threads, allow_code, as_json)
            return
        refuse(texts, task)
        if predicted_column is not None:
            raise UsageError("--predicted-column is for two files; here a model gives the tags")
        answer = _model(Path(model_or_gold), file, asked, scheme, skip_broken, threads, allow_code)
    else:
        refuse(texts, "tag")
        if skip_broken:
            raise UsageError("--skip-broken is for a model; two files are aligned by position, and must be whole")
        answer = _files(model_or_gold, file, asked, predicted_column or column, scheme)
    if as_json:
        emit_json(answer)
    else:
        from elman.cli.scores import print_result

        print_result(answer)


def _model(
    folder: Path,
    file: str,
    asked: Asked,
    scheme: str | None,
    skip_broken: bool,
    threads: int | None,
    allow_code: bool,
) -> dict[str, Any]:
    from elman.cli.models import load_model, read_config
    from elman.cli.reading import tagged
    from elman.text import Skipped, read

    how = tagged(file, asked, read_config(folder)["reading"])
    skipped = Skipped()
    sentences = read(file, how.format, encoding=how.encoding, tagged=skip_broken, skip_broken=skip_broken and skipped)
    note_skipped(skipped, file, "sentence")
    tagger = load_model(folder, "tag", allow_code=allow_code)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if scheme is not None:
        tagger.scheme = None if scheme == "none" else scheme
    return {"model": str(folder), "file": file, "skipped": skipped.count, **tagger.evaluate(sentences).to_json()}


def _files(gold: str, predicted: str, asked: Asked, column: str | None, scheme: str | None) -> dict[str, Any]:
    from dataclasses import replace
    from pathlib import Path

    from elman.cli.reading import tagged
    from elman.metrics.tagging import TaggingScore
    from elman.schemes import detect
    from elman.text import read

    if gold == predicted == "-":
        raise UsageError("expected two inputs, found standard input twice; give one of them as a file")
    if not Path(gold).exists() and gold != "-":
        raise UsageError(f"{gold}: expected a model folder or a file with gold tags, found nothing of this name")
    left, right = tagged(gold, asked), tagged(predicted, replace(asked, column=column))
    sentences = read(gold, left.format, encoding=left.encoding)
    guesses = read(predicted, right.format, encoding=right.encoding)
    chosen = scheme or detect(sentence.tags or [] for sentence in sentences)
    total = TaggingScore(None if chosen == "none" else chosen)
    other_words = 0
    first: Sentence | None = None
    for one, other in _aligned(sentences, guesses):
        total.add(one.tags or [], other.tags or [])
        differing = sum(a != b for a, b in zip(one.words, other.words, strict=True))
        other_words += differing
        first = other if differing and first is None else first
    if first is not None:
        note(f"elman: {other_words} words differ between the files, the first in the sentence at {_place(first)}")
    return {"gold": gold, "predicted": predicted, "differing_words": other_words, **total.result().to_json()}


def _aligned(gold: list[Sentence], predicted: list[Sentence]) -> Iterator[tuple[Sentence, Sentence]]:
    """Pairs of sentences. Raises DataError, with both places, where they do not fit."""
    from itertools import zip_longest

    for one, other in zip_longest(gold, predicted):
        if one is None or other is None:
            rest, ended = (other, gold) if one is None else (one, predicted)
            raise DataError(
                f"expected {len(gold)} sentences as in {gold[0].file}, found {len(predicted)}; the last that both have "
                f"ends before {_place(rest)}, after {_place(ended[-1])}",
                file=predicted[0].file,
            )
        for sentence in (one, other):
            if sentence.tags is None:
                raise DataError("expected tags, found none; name their column", file=sentence.file, line=sentence.line)
        if len(one) != len(other):
            raise DataError(
                f"expected {len(one)} words as in the sentence at {_place(one)}, found {len(other)}; the files must "
                "have the same sentences",
                file=other.file,
                line=other.line,
            )
        yield one, other


def _place(sentence: Sentence) -> str:
    return f"{sentence.file}:{sentence.line}"
