"""`elman eval GOLD PREDICTED`: one file of tags against another, word by word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.output import note
from elman.errors import DataError, UsageError

if TYPE_CHECKING:
    from elman.text import Sentence


def score_files(gold: str, predicted: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a file of tags against one of gold tags, as JSON. given: the options of `elman eval`.

    Raises UsageError for options that do not fit, DataError if the files do not match."""
    from dataclasses import replace
    from pathlib import Path

    from elman.cli.tasks.tag.reading import Asked, tagged
    from elman.metrics.tagging import TaggingScore
    from elman.schemes import detect
    from elman.text import read

    if gold == predicted == "-":
        raise UsageError("expected two inputs, found standard input twice; give one of them as a file")
    if not Path(gold).exists() and gold != "-":
        raise UsageError(f"{gold}: expected a model folder or a file with gold tags, found nothing with this name")
    asked, scheme = Asked.of(given), given["scheme"]
    column = given["predicted_column"] or given["column"]
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
    """Pairs of sentences. Raises DataError, with both places, if they do not match."""
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
