"""Tagging, as the commands see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from elman.cli.tasks.base import Answers, Reader, Task
from elman.cli.tasks.tag.settings import FORMATS, TABLE
from elman.errors import UsageError
from elman.schemes import SCHEMES

if TYPE_CHECKING:
    from pathlib import Path

    from elman.cli.tasks.tag.reading import Reading
    from elman.text import Sentence
    from elman.text.report import Report
    from elman.text.skipping import Skipped

COLUMN = (
    "Where the tags are: upos, xpos, feats, feats:Key or misc:Key of CoNLL-U; a column's number from 1, or -1 for the "
    "last; a key of JSON lines."
)


class Tagging(Task):
    """Words with tags."""

    name = "tag"
    models = "Taggers"
    unit = "sentence"
    labels = "tags"
    table = TABLE
    formats = FORMATS
    aligned = True
    help = """Train a tagger on files with a tag for every word.

    \b
    elman train tag --train train.conllu --dev dev.conllu --out my-tagger
    elman train tag --train ner.tsv --column 4 --dev 10% --crf --max-time 10m --out my-tagger
    """
    examples = {
        "check": ("elman check train.conllu dev.conllu test.conllu", "elman check ner.tsv --column 4"),
        "train": ("elman train tag --train train.conllu --dev dev.conllu --out my-tagger",),
        "compare": ("elman compare tag train.conllu dev.conllu test.conllu",),
        "eval": (
            "elman eval my-tagger test.conllu",
            "elman eval gold.tsv predicted.tsv",
            "elman eval both.tsv both.tsv --column 2 --predicted-column 3",
        ),
        "predict": (
            "echo 'Ada lives in London' | elman predict my-tagger",
            "elman predict my-tagger new.conllu > tagged.conllu",
            "zcat big.tsv.gz | elman predict my-tagger --format columns | awk '$2 == \"NOUN\"'",
        ),
        "inspect": (
            'elman inspect my-tagger "the boys that the dog saw run" --html report.html',
            'elman inspect my-tagger "the boys run" --gold "DT NNS VBP" --data dev.conllu --html report.html',
            'elman inspect demo/lstm "the boys run" --beside demo/elman --png figures',
        ),
    }
    notes = {
        "eval": """Two files of tags are aligned by position: the same number of sentences, and of words in each.
        Entities are scored in two ways: as conlleval does, and strictly, where only what the scheme allows counts.""",
        "predict": """With a tagger:

        \b
        text     one sentence per line; comes out as columns: word, TAB, tag, and an empty line after each sentence
        conllu   tags go to the column that the model was trained on; probabilities to MISC, as Prob=0.9876
        columns  the same; a file that lacks the column gets it as its last; probabilities are one more column
        jsonl    {"words": [...]} or {"text": "..."}; gets the keys "tags", "probabilities", "nbest\"""",
    }

    def options(self, command: str) -> list[click.Option]:
        """How files of words with tags are read, and what a command does with tags."""
        helps = {
            "predict": "Which column takes the tags, if not that of the training data; see `elman train tag --help`.",
            "inspect": "Where the tags of --data are, if not as in training.",
        }
        column = click.Option(["--column"], metavar="NAME|N", help=helps.get(command, COLUMN))
        word = click.Option(
            ["--word-column"], type=int, metavar="N", help="The words' column of a column file (default 1)."
        )
        more: dict[str, list[click.Option]] = {
            "check": [
                click.Option(
                    ["--scheme"],
                    type=click.Choice(list(SCHEMES)),
                    help="The tag scheme to expect (default: detected).",
                )
            ],
            "eval": [
                click.Option(
                    ["--predicted-column"],
                    metavar="NAME|N",
                    help="Where the tags of PREDICTED are, if not in --column.",
                ),
                click.Option(
                    ["--scheme"],
                    type=click.Choice([*SCHEMES, "none"]),
                    help="How tags mark entities (default: that of the model, or what the gold tags show).",
                ),
            ],
            "predict": [
                click.Option(
                    ["--nbest"],
                    type=click.IntRange(min=1),
                    metavar="N",
                    help="The N best tag sequences (with --json, or for jsonl).",
                )
            ],
            "inspect": [click.Option(["--gold"], metavar="ANSWERS", help="The gold tags, one per word.")],
        }
        return [column, word, *more[command]]

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"echo 'Ada lives in London' | elman predict {folder}", f"elman eval {folder} FILE"]

    def reader(self, path: str, given: Mapping[str, Any], config: Mapping[str, Any] | None) -> Reader:
        """Sentences with tags, from files that are all read as `path` is."""
        from elman.cli.tasks.tag.reading import Asked, tagged

        return _Sentences(tagged(path, Asked.of(given), None if config is None else config["reading"]))

    def check(self, files: Sequence[str], given: Mapping[str, Any]) -> Report:
        """Check files of words with tags."""
        from elman.text.check import check

        options = {} if given["word_column"] is None else {"word": given["word_column"]}
        return check(
            files,
            format=given["format"],
            column=given["column"],
            scheme=given["scheme"],
            encoding=given["encoding"] or "utf-8",
            skip_broken=given["skip_broken"],
            **options,
        )

    def print_check(self, report: Any) -> None:
        """Counts, unknown words, lengths, tags, duplicates."""
        from elman.cli.tasks.tag.check import print_report

        print_report(report)

    def evaluate(self, folder: Path, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a tagger."""
        if given["predicted_column"] is not None:
            raise UsageError("--predicted-column is for two files; here a model gives the tags")
        return super().evaluate(folder, file, given, config)

    def score(self, model: Any, data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a tagger, whose entities are those of --scheme."""
        if given["scheme"] is not None:
            model.scheme = None if given["scheme"] == "none" else given["scheme"]
        return super().score(model, data, given)

    def evaluate_files(self, gold: str, predicted: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a file of tags against one of gold tags."""
        from elman.cli.tasks.tag.align import score_files

        return score_files(gold, predicted, given)

    def print_scores(self, result: Mapping[str, Any]) -> None:
        """Main scores with their counts, entities by label, tags, and the signature."""
        from elman.cli.tasks.tag.scores import print_result

        print_result(result)

    def scores(self, result: Mapping[str, Any]) -> dict[str, float | None]:
        """Accuracies, then precision, recall and F1 of entities in both modes."""
        from elman.cli.tasks.tag.scores import main_scores

        return main_scores(result)

    def answers(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """Sentences get tags."""
        from elman.cli.tasks.tag.predict import Tags

        return Tags(file, given, config)

    def sample(self, data: Any) -> list[Any]:
        """The sentences that have words."""
        return [sentence for sentence in data if sentence.words]


class _Sentences(Reader):
    """Sentences with tags."""

    def __init__(self, how: Reading) -> None:
        self.how = how

    def read(self, path: str, skipped: Skipped | None = None) -> list[Sentence]:
        from elman.text import read

        skip = skipped is not None
        return read(path, self.how.format, encoding=self.how.encoding, tagged=skip, skip_broken=skipped or False)

    def count(self, data: list[Sentence]) -> str:
        return f"{len(data):,} sentences, {sum(len(sentence) for sentence in data):,} words"

    def describe(self, train: list[Sentence]) -> dict[str, Any]:
        from elman.cli.tasks.tag.reading import describe

        return describe(self.how, train)


TASK = Tagging()
