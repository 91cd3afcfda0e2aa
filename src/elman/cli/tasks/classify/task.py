"""Classification, as the commands see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from elman.cli.tasks.base import Answers, Reader, Task
from elman.cli.tasks.classify.reading import COLUMNS, how_to_read, text_options
from elman.cli.tasks.classify.settings import FORMATS, TABLE

if TYPE_CHECKING:
    from elman.text.example import Example
    from elman.text.report import Report
    from elman.text.skipping import Skipped


class Classification(Task):
    """Texts with labels."""

    name = "classify"
    models = "Classifiers"
    unit = "text"
    labels = "labels"
    table = TABLE
    formats = FORMATS
    help = """Train a classifier on files of labelled texts.

    \b
    elman train classify --train train.csv --dev dev.csv --test test.csv --out my-classifier
    elman train classify --train reviews.jsonl --text-column body --label-column stars --dev 10% --out my-classifier
    elman train classify --train train.csv --dev 10% --folds 10 --out my-folds

    With --folds there is a model for each fold, DIR/fold-1 and so on, tested on what it has not seen; DIR/folds.json
    has the mean scores. --model selects a rival of the network: the majority label, the mean of word vectors (cbow), or
    logistic regression on n-grams (ngrams).
    """
    examples = {
        "check": ("elman check --task classify train.csv test.csv --text-column body --label-column stars",),
        "train": ("elman train classify --train train.csv --dev 10% --out my-classifier",),
        "compare": ("elman compare classify train.csv dev.csv test.csv",),
        "eval": ("elman eval my-classifier test.csv",),
        "predict": (
            "echo 'a wonderful film' | elman predict my-classifier",
            "elman predict my-classifier reviews.csv --text-column body > labelled.csv",
        ),
        "inspect": ('elman inspect my-classifier "a wonderful film" --gold good --html report.html',),
    }
    notes = {
        "predict": """With a classifier:

        \b
        text     one text per line; comes out as label, TAB, probability; -p adds LABEL=probability for every label
        csv, tsv get the columns predicted and probability; -p adds p(LABEL) for every label
        jsonl    gets the keys "predicted", "probability"; -p adds "probabilities"
        label, fasttext   come out as text does; existing labels are ignored""",
    }

    def options(self, command: str) -> list[click.Option]:
        """How files of texts are read."""
        more: dict[str, list[click.Option]] = {
            "check": [click.Option(["--several"], is_flag=True, help="Any number of labels per text.")],
            "inspect": [click.Option(["--gold"], metavar="ANSWERS", help="The gold label (several: A|B).")],
        }
        return [*text_options(), *more.get(command, [])]

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"echo 'a wonderful film' | elman predict {folder}", f"elman eval {folder} FILE"]

    def reader(self, path: str, given: Mapping[str, Any], config: Mapping[str, Any] | None) -> Reader:
        """Examples, from files that are all read as `path` is."""
        if config is not None:
            return _Examples(how_to_read(path, given, config, labelled=True))
        how = {key: given.get(key) for key in ("format", *COLUMNS)}
        return _Examples(how | {"encoding": given.get("encoding") or "utf-8", "several": bool(given.get("several"))})

    def cut(self, data: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Training data and test data of one fold."""
        if given.get("fold") is None:
            return data
        from elman.tasks.classification.data import fold

        train, test = fold(data["train"], given["fold"], given["folds"], given["seed"])
        return data | {"train": train, "test": test}

    def check(self, files: Sequence[str], given: Mapping[str, Any]) -> Report:
        """Check files of labelled texts."""
        from elman.text.check_labelled import check_examples

        options = {key: given[key] for key in (*COLUMNS, "several", "skip_broken")}
        return check_examples(files, given["format"], encoding=given["encoding"] or "utf-8", **options)

    def print_check(self, report: Any) -> None:
        """Counts, labels, new characters, duplicates."""
        from elman.cli.tasks.classify.check import print_report

        print_report(report)

    def print_scores(self, result: Mapping[str, Any]) -> None:
        """Main scores, labels, confusions, reliability."""
        from elman.cli.tasks.classify.scores import print_result

        print_result(result)

    def scores(self, result: Mapping[str, Any]) -> dict[str, float | None]:
        """Accuracy, F1 and calibration."""
        from elman.cli.tasks.classify.scores import main_scores

        return main_scores(result)

    def answers(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """Texts get labels."""
        from elman.cli.tasks.classify.predict import Labels

        return Labels(file, given, config)

    def gold(self, text: str, config: Mapping[str, Any]) -> list[str]:
        """One label, or several for a model that predicts several."""
        return text.split("|") if config["settings"].get("several") else [text]


class _Examples(Reader):
    """Texts with labels. What the first file determines, such as its columns, applies to the others."""

    def __init__(self, how: Mapping[str, Any]) -> None:
        self.how = dict(how)

    def read(self, path: str, skipped: Skipped | None = None) -> list[Example]:
        from elman.text.labelled import iter_examples

        examples = iter_examples(path, skip_broken=False if skipped is None else skipped, **self.how)
        read = list(examples)
        self.how = examples.how
        return read

    def count(self, data: list[Example]) -> str:
        labels = len({label for example in data for label in example.labels or ()})
        return f"{len(data):,} texts, {labels} labels"

    def describe(self, train: list[Example]) -> dict[str, Any]:
        kept = ("format", "encoding", *COLUMNS)
        return {key: self.how[key] for key in kept if self.how.get(key) is not None}


TASK = Classification()
