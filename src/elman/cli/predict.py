"""`elman predict`: tag or classify a file, or what comes from standard input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import (
    allow_code_option,
    column_option,
    encoding_option,
    format_option,
    threads_option,
    word_column_option,
)
from elman.cli.output import note
from elman.cli.texts import refuse, texts_options
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.cli.reading import Reading
    from elman.text import Sentence

# Enough for several batches of sentences of like lengths, little enough that the first answers come soon.
BATCH_WORDS = 4000
_COMMENT = re.compile(r"# (sent_id|text|newdoc|newpar|global\.columns)\b")


@click.command("predict", short_help="Tag or classify a file or standard input.")
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@format_option(
    "Of the input and so of the output (default: text for standard input; else by the suffix, else as trained)."
)
@column_option("Which column takes the tags, if not that of the training data; see `elman train tag --help`.")
@word_column_option
@texts_options
@click.option("--output", "-o", metavar="FILE", default="-", help="Write there, packed if it ends in .gz.")
@click.option("--probabilities", "-p", is_flag=True, help="How sure the model is of each tag: see above.")
@click.option("--nbest", type=click.IntRange(min=1), metavar="N", help="The N best tag sequences (jsonl only).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each sentence or text: docs/json.md.")
@encoding_option
@threads_option
@allow_code_option
def predict(
    model: str,
    file: str,
    format_name: str | None,
    column: str | None,
    word_column: int | None,
    output: str,
    probabilities: bool,
    nbest: int | None,
    as_json: bool,
    encoding: str | None,
    threads: int | None,
    allow_code: bool,
    **texts: Any,
) -> None:
    """Tag a file, or label its texts; without FILE or with -, standard input. The same format comes out as goes in.

    All other columns, keys and comments are kept, byte for byte; only the tags change. Answers come as soon as their
    input is there, so elman can stand in a pipe.

    \b
    text     one sentence a line; comes out as columns: word, TAB, tag, and an empty line after each sentence
    conllu   tags go to the column that the model was trained on; probabilities to MISC, as Prob=0.9876
    columns  the same; a file that lacks the column gets it as its last; probabilities are one more column
    jsonl    {"words": [...]} or {"text": "..."}; gets the keys "tags", "probabilities", "nbest"

    With a classifier:

    \b
    text     one text a line; comes out as label, TAB, probability; -p adds LABEL=probability for every label
    csv, tsv get the columns predicted and probability; -p adds p(LABEL) for every label
    jsonl    gets the keys "predicted", "probability"; -p adds "probabilities"
    label, fasttext   come out as text does; labels that are there are not looked at

    \b
    echo 'a wonderful film' | elman predict my-classifier
    elman predict my-classifier reviews.csv --text-column body > labelled.csv

    \b
    echo 'Ada lives in London' | elman predict my-tagger
    elman predict my-tagger new.conllu > tagged.conllu
    zcat big.tsv.gz | elman predict my-tagger --format columns | awk '$2 == "NOUN"'
    """
    from pathlib import Path

    from elman.cli.answers import answer_json, as_line, write
    from elman.cli.models import load_model, read_config
    from elman.cli.reading import Asked, untagged
    from elman.cli.stream import batches
    from elman.text.files import open_output

    if read_config(Path(model))["task"] == "classify":
        from elman.cli.predict_classify import predict_classify

        if column is not None or word_column is not None or nbest is not None:
            raise UsageError("--column, --word-column and --nbest are for taggers; this model is a classifier")
        how_asked = (format_name, encoding, texts)
        predict_classify(Path(model), file, *how_asked, output, probabilities, as_json, threads, allow_code)
        return
    refuse(texts, "tag")
    asked = Asked(format_name, column, word_column, encoding)
    how = untagged(file, asked, read_config(Path(model))["reading"])
    if nbest is not None and how.format.name != "jsonl" and not as_json:
        raise UsageError(f"--nbest goes with --json or JSON lines; the format here is {how.format.name}")
    if output != "-" and file != "-" and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"--output {output}: expected another file than the input, which it would destroy")
    tagger = load_model(Path(model), "tag", allow_code=allow_code)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if file == "-" and sys.stdin is not None and sys.stdin.isatty():
        note(f"elman: reading {how.format.name} from the terminal; Ctrl-D ends it")
    notice = _Notice(tagger.longest_word)
    with open_output(output) as out:
        for batch in batches(_sentences(file, how, guessed=format_name is None), BATCH_WORDS, len):
            notice.look_at(batch)
            answers = tagger.predict(batch, probabilities=probabilities, nbest=nbest or 0)
            for sentence, answer in zip(batch, answers, strict=True):
                if as_json:
                    out.write(as_line(answer_json(sentence, answer)) if sentence.words else "")
                else:
                    out.write(write(how.format, sentence, answer))
            out.flush()


def _sentences(file: str, how: Reading, *, guessed: bool) -> Iterator[Sentence]:
    """The sentences of the input. Raises UsageError if what was taken for plain text begins like something else."""
    from elman.text import iter_read

    first = guessed and how.format.name == "text"
    for sentence in iter_read(file, how.format, encoding=how.encoding, allow_empty=True, wordless=True):
        if first and sentence.words:
            _require_text(sentence)
            first = False
        yield sentence


def _require_text(sentence: Sentence) -> None:
    line = sentence.source.lines[-1]
    like = None
    if line.count("\t") == 9 or _COMMENT.match(line):
        like = "conllu"
    elif "\t" in line:
        like = "columns"
    elif line.startswith("{") and ('"words"' in line or '"text"' in line):
        like = "jsonl"
    if like is not None:
        raise UsageError(
            f"{sentence.file}:{sentence.line}: expected plain text, found what looks like {like}; give "
            f"--format {like}, or --format text if it is text"
        )


class _Notice:
    """Says once that a word is longer than the model reads; `longest` None: it reads all of them."""

    def __init__(self, longest: int | None) -> None:
        self.longest = longest

    def look_at(self, batch: list[Sentence]) -> None:
        if self.longest is None:
            return
        for sentence in batch:
            for word, line in zip(sentence.words, sentence.lines, strict=True):
                if len(word) > self.longest:
                    half = self.longest // 2
                    note(
                        f"elman: {sentence.file}:{line}: a word of {len(word)} characters; of words longer than "
                        f"{self.longest} the first and last {half} are read (said once)"
                    )
                    self.longest = None
                    return
