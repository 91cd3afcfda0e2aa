"""Language models, as the commands see them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elman.cli.models import load_model
from elman.cli.output import note
from elman.cli.tasks.base import Answers, Reader, Task
from elman.cli.tasks.lm.settings import TABLE
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.tasks.language_model.data import TextSource
    from elman.text.report import Report
    from elman.text.skipping import Skipped

_SHOWN = {"perplexity": "{:.2f}", "bits_per_character": "{:.4f}", "loss": "{:.4f}"}
_COUNTS = ("tokens", "ends", "unknown_tokens", "characters")


class LanguageModelling(Task):
    """Lines of text."""

    name = "lm"
    models = "Language models"
    unit = "line"
    target = "next"
    likely = True
    table = TABLE
    help = """Train a language model on text.

    \b
    elman train lm --train train.txt --dev valid.txt --out my-model
    elman train lm --train book.txt --dev 10% --tokenizer characters --bptt 100 --max-time 10m --out my-model
    elman train lm --model ngram --train train.txt --out my-ngram
    """
    examples = {
        "check": ("elman check --task lm train.txt valid.txt",),
        "train": ("elman train lm --train train.txt --dev 10% --out my-model",),
        "compare": ("elman compare lm train.txt valid.txt test.txt",),
        "eval": (
            "elman eval my-model test.txt",
            "elman eval my-model test.txt --interpolate my-ngram --tune valid.txt",
        ),
        "score": (
            "elman score my-model test.txt | sort -n | head",
            "echo 'colourless green ideas sleep furiously' | elman score my-model --tokens",
        ),
        "inspect": ('echo "to be or not" | elman inspect my-model - --json > arrays.json',),
    }

    def options(self, command: str) -> list[click.Option]:
        """How lines are split, and how two models are mixed."""
        if command == "check":
            choices = click.Choice(("space", "words", "characters"))
            return [click.Option(["--tokenizer"], type=choices, help="How lines are split (default space).")]
        if command == "eval":
            return [
                click.Option(["--interpolate"], metavar="DIR", help="Mix with the n-gram model in DIR."),
                click.Option(
                    ["--weight"],
                    type=click.FloatRange(0, 1),
                    metavar="X",
                    help="The first model's share (default 0.5).",
                ),
                click.Option(
                    ["--tune"],
                    metavar="FILE",
                    help="Choose the share that makes this text likeliest: dev text, not FILE.",
                ),
            ]
        return []

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"elman sample {folder}", f"elman score {folder} FILE"]

    def reader(self, path: str, given: Mapping[str, Any], config: Mapping[str, Any] | None) -> Reader:
        """Texts, which are read line by line when needed."""
        settings = given if config is None else config["settings"]
        trained = {} if config is None else config["reading"]
        tokenizer = settings.get("tokenizer") or TABLE.all["tokenizer"].default
        encoding = given.get("encoding") or trained.get("encoding") or "utf-8"
        return _Texts(str(encoding), str(tokenizer), again=config is None)

    def scoring(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """Lines; a model of a running stream continues from line to line."""
        from elman.cli.tasks.lm.score import Likelihoods

        return Likelihoods(file, given)

    def check(self, files: Sequence[str], given: Mapping[str, Any]) -> Report:
        """Check texts."""
        from elman.text.check_text import check_text
        from elman.text.tokenizing import get_tokenizer

        tokenizer = get_tokenizer(given["tokenizer"] or "space")
        encoding = given["encoding"] or "utf-8"
        return check_text(files, tokenizer, encoding=encoding, skip_broken=given["skip_broken"])

    def print_check(self, report: Any) -> None:
        """Counts, and what the first file lacks."""
        from elman.cli.tasks.lm.check import print_report

        print_report(report)

    def evaluate(self, folder: Path, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """The scores of a language model, perhaps mixed with an n-gram model."""
        interpolate, tune = given["interpolate"], given["tune"]
        if interpolate is None:
            if given["weight"] is not None or tune is not None:
                raise UsageError("--weight and --tune say how to mix two models; --interpolate DIR names the other one")
            return super().evaluate(folder, file, given, config)
        if given["weight"] is not None and tune is not None:
            raise UsageError("--weight sets the share and --tune finds it; give one of them")
        if tune == file == "-":
            raise UsageError("expected two inputs, found standard input twice; give one of them as a file")
        if tune is not None and os.path.exists(tune) and os.path.exists(file) and os.path.samefile(tune, file):
            raise UsageError(f"--tune {tune}: expected a text other than the one that is scored; use the dev text")
        model = load_model(folder, self.name, allow_code=given["allow_code"], threads=given["threads"])
        other = load_model(Path(interpolate), self.name, allow_code=given["allow_code"])
        reader = self.reader(file, given, config)
        weight, left_out = 0.5 if given["weight"] is None else given["weight"], 0
        if tune is not None:
            text, left_out = self.read_part(reader, tune, given["skip_broken"])
            weight = model.tune_weight(text, other)
            note(f"weight {weight:.4f} of {folder}, chosen on {tune}")
        text, skipped = self.read_part(reader, file, given["skip_broken"])
        scores = model.evaluate(text, ngram=other, weight=weight).to_json()
        mixed = {"interpolate": interpolate, "weight": weight}
        return {"model": str(folder), "file": file, "skipped": left_out + skipped, **scores, **mixed}

    def scores(self, result: Mapping[str, Any]) -> dict[str, float | None]:
        """Perplexity and related scores, and the counts."""
        return {name: result[name] for name in (*_SHOWN, *_COUNTS)}

    def show(self, name: str, value: float | None) -> str:
        """Counts are whole numbers, the others have their own precision."""
        return "-" if value is None else _SHOWN.get(name, "{:,}").format(value)

    def answers(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """A language model has none."""
        raise UsageError("this is a language model, which has no answers to predict; use elman score or elman sample")

    def size(self, data: TextSource) -> int:
        """The number of lines."""
        return sum(1 for _ in data.lines())

    def beginning(self, data: TextSource, count: int) -> TextSource:
        """The first lines."""
        return data.beginning(count)

    def sample(self, data: TextSource) -> list[str]:
        """The lines."""
        return [line for _, line in data.lines()]


class _Texts(Reader):
    """Texts of one encoding. again: whether they are read more than once, as training does."""

    def __init__(self, encoding: str, tokenizer: str, *, again: bool) -> None:
        self.encoding, self.tokenizer, self.again = encoding, tokenizer, again

    def read(self, path: str, skipped: Skipped | None = None) -> TextSource:
        from elman.tasks.language_model.data import TextSource

        text = TextSource.of(path, self.encoding)
        if self.again:
            text.require_file()
        return text if skipped is None else text.without_broken(self.tokenizer, skipped)

    def count(self, data: TextSource) -> str:
        size = characters = 0
        for _, line in data.lines():
            size, characters = size + 1, characters + len(line) + 1
        return f"{size:,} lines, {characters:,} characters"

    def describe(self, train: TextSource) -> dict[str, Any]:
        return {"encoding": self.encoding}


TASK = LanguageModelling()
