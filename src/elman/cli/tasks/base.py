"""What a task is on the command line: the questions that commands ask, with the answers that suit most tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elman.cli.models import load_model
from elman.cli.output import note, note_skipped, percent, table
from elman.cli.settings import Table
from elman.errors import UsageError

if TYPE_CHECKING:
    import click

    from elman.cli.stream import Arrived
    from elman.text.report import Report
    from elman.text.skipping import Skipped

PARTS = ("train", "dev", "test")
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Reader:
    """How files are read in one run of a command. Made by `Task.reader`, which checks the options."""

    def read(self, path: str, skipped: Skipped | None = None) -> Any:
        """A file with gold answers, as `fit` and `evaluate` take it. skipped: counts broken examples, which are then
        left out. Raises DataError."""
        raise NotImplementedError

    def count(self, data: Any) -> str:
        """The size of the data, as in "12 sentences, 345 words"."""
        raise NotImplementedError

    def describe(self, train: Any) -> dict[str, Any]:
        """What a model stores about how its training data was read, for later commands."""
        raise NotImplementedError


class Answers:
    """What `elman predict` reads and writes in one run. Made by `Task.answers`, which checks the options.

    format: the name of the input format
    budget: the total size of a batch: enough for several batches of a network, small enough that the first
            answers come soon
    """

    format: str
    budget: int
    streams: ClassVar[Sequence[str]] = ()  # the formats that --stream reads

    def items(self) -> Iterator[Any]:
        """What is to be answered, as it arrives."""
        raise NotImplementedError

    def size(self, item: Any) -> int:
        """The size of one item."""
        raise NotImplementedError

    def answer(self, model: Any, batch: list[Any]) -> Iterator[str]:
        """The text to write for each item of a batch."""
        raise NotImplementedError

    def stream(self, model: Any, arrivals: Iterator[list[Arrived]]) -> Iterator[str]:
        """The text to write, each time that some more words or line ends are there; for a format in `streams`."""
        raise NotImplementedError

    def finish(self) -> None:
        """Report on standard error what is to be reported at the end."""


class Task:
    """A task, as the commands see it.

    name:     its key in `elman.tasks.TASKS` and in `elman.cli.tasks.TASKS`
    models:   what its models are called: the heading of its options
    unit:     what an example is called: a sentence, a text
    target:   what is predicted, if there is no gold answer to compare with: a column of `elman inspect`
    labels:   the vocabulary file that lists the answers of a model, without .json; None if there is no such list
    entries:  what is in the other vocabularies, if their names do not say
    table:    its settings
    help:     of `elman train`, with examples
    formats:  the choices of --format; none: files have one format
    examples: command -> lines of that command's help that show how to use it with this task
    notes:    command -> paragraphs of that command's help
    likely:   whether its models say how likely a text is, so that `elman score` serves them
    aligned:  whether `elman eval` scores a file of answers against one of gold answers
    """

    name: ClassVar[str]
    models: ClassVar[str]
    unit: ClassVar[str] = "text"
    target: ClassVar[str] = "answer"
    labels: ClassVar[str | None] = None
    entries: ClassVar[str] = ""
    table: ClassVar[Table]
    help: ClassVar[str]
    formats: ClassVar[Sequence[str]] = ()
    examples: ClassVar[Mapping[str, Sequence[str]]] = {}
    notes: ClassVar[Mapping[str, str]] = {}
    likely: ClassVar[bool] = False
    aligned: ClassVar[bool] = False

    # Every method may raise UsageError for options that do not fit together, and DataError for files.
    # given: the options of a command by name, with the defaults of those that were not given
    # config: config.json of the model that the command works with

    def options(self, command: str) -> list[click.Option]:
        """The options of this task alone, for check, eval, predict or inspect."""
        return []

    def hints(self, folder: str) -> list[str]:
        """Commands to try on a new model; `folder` is quoted."""
        return [f"elman eval {folder} FILE"]

    # Reading

    def reader(self, path: str, given: Mapping[str, Any], config: Mapping[str, Any] | None) -> Reader:
        """How `path`, and other files with it, are read; config: None in training."""
        raise NotImplementedError

    def size(self, data: Any) -> int:
        """The number of examples."""
        return len(data)

    def beginning(self, data: Any, count: int) -> Any:
        """The first `count` examples."""
        return data[:count]

    def first(self, data: Any, count: int) -> Any:
        """`beginning`, checked. Raises UsageError unless there are so many."""
        if count < 1:
            raise UsageError(f"--first: expected a number of {self.unit}s above 0, found {count}")
        if count > (size := self.size(data)):
            raise UsageError(
                f"--first: expected at most the {size:,} {self.unit}s of the training data, found {count:,}"
            )
        return self.beginning(data, count)

    def cut(self, data: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Training data and test data of one fold, for a task that has --folds."""
        return data

    def read(self, given: Mapping[str, Any], quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `fit` gets as train, dev and test, each if given, and how it was read.

        given: all keys of the data; --dev 10% is not a part that is read. Reports the counts on standard error."""
        reader = self.reader(str(given["train"]), given, None)
        skip, skipped, data = bool(given.get("skip_broken")), {}, {}
        for part in PARTS:
            path = given.get(part)
            if path is not None and not (part == "dev" and PERCENT.fullmatch(str(path))):
                data[part], skipped[part] = self.read_part(reader, path, skip, part)
        if given.get("first") is not None:
            data["train"] = self.first(data["train"], given["first"])
        data = self.cut(data, given)
        counts = {part: reader.count(one) for part, one in data.items()}  # some readers find problems here
        if not quiet:
            for part, text in counts.items():
                note(f"{part}: {text}")
        return data, reader.describe(data["train"]) | ({"skipped_parts": skipped} if skip else {})

    def read_part(self, reader: Reader, path: str, skip: bool, where: str | None = None) -> tuple[Any, int]:
        """A file, and how many broken examples were left out of it, which is reported on standard error."""
        from elman.text.skipping import Skipped

        skipped = Skipped()
        data = reader.read(path, skipped if skip else None)
        note_skipped(skipped, where or path, self.unit)
        return data, skipped.count

    # The commands

    def check(self, files: Sequence[str], given: Mapping[str, Any]) -> Report:
        """Check files before training."""
        raise NotImplementedError

    def print_check(self, report: Report) -> None:
        """The tables of a report; its problems are printed by the command."""
        raise NotImplementedError

    def evaluate(self, folder: Path, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a model on a file, as JSON."""
        data, skipped = self.read_part(self.reader(file, given, config), file, given["skip_broken"])
        model = load_model(folder, self.name, allow_code=given["allow_code"], threads=given["threads"])
        return {"model": str(folder), "file": file, "skipped": skipped, **self.score(model, data, given)}

    def score(self, model: Any, data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a model, as JSON."""
        result: dict[str, Any] = model.evaluate(data).to_json()
        return result

    def evaluate_files(self, gold: str, predicted: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a file of answers, as JSON; for a task that is `aligned`."""
        raise NotImplementedError

    def print_scores(self, result: Mapping[str, Any]) -> None:
        """Print everything that `evaluate` returned."""
        table(["score", ""], [[name, self.show(name, value)] for name, value in self.scores(result).items()])
        print(result["signature"])

    def scores(self, result: Mapping[str, Any]) -> dict[str, float | None]:
        """The main scores of a result by name; those that are undefined for this data are left out or None."""
        raise NotImplementedError

    def show(self, name: str, value: float | None) -> str:
        """A main score as it is printed."""
        return percent(value)

    def answers(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """What `elman predict` does for this task."""
        raise UsageError(f"elman predict: a model of the task {self.name} gives no answers to write; see elman --help")

    def scoring(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """What `elman score` does for a task that is `likely`."""
        raise UsageError(f"elman score: a model of the task {self.name} has no likelihood of a text; see elman eval")

    def gold(self, text: str, config: Mapping[str, Any]) -> list[str]:
        """The gold answers of `elman inspect --gold`."""
        return text.split()

    def looked_at(self, text: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Any, list[str] | None]:
        """The text of `elman inspect`, and its gold answers unless they are part of it, as `elman.inspect.look` takes
        them."""
        return text, None if given.get("gold") is None else self.gold(given["gold"], config)

    def sample(self, data: Any) -> list[Any]:
        """The examples of `elman inspect --data` one by one, as far as they can be inspected."""
        return list(data)


def print_summary(task: Task, results: Mapping[str, Mapping[str, Any]]) -> None:
    """One column of main scores for each result, and their signature."""
    if not results:
        return
    by_part = {part: task.scores(result) for part, result in results.items()}
    names = list(dict.fromkeys(name for scores in by_part.values() for name in scores))
    rows = [[name, *(task.show(name, scores.get(name)) for scores in by_part.values())] for name in names]
    table(["score", *by_part], rows)
    for signature in dict.fromkeys(result["signature"] for result in results.values()):
        print(signature)


def print_matches(what: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Precision, recall and F1 of every label, the most frequent first."""
    ranked = sorted(rows.items(), key=lambda item: (-item[1]["gold"], item[0]))
    shares, counts = ("precision", "recall", "f1"), ("correct", "predicted", "gold")
    table(
        [what, *shares, *counts],
        [[name, *(percent(row[key]) for key in shares), *(str(row[key]) for key in counts)] for name, row in ranked],
    )
