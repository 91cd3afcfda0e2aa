"""The task as the commands see it: lines of bits, a tab, and the sides."""

from __future__ import annotations

from pathlib import Path

import click

from elman.cli.settings import OUT, Table
from elman.cli.tasks.base import Answers, Reader, Task
from elman.config import Setting, TrainingConfig
from parity.config import ConstantConfig, ParityConfig

DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data"),
    Setting("test", "--test", "text", None, "test data"),
    OUT,
    Setting("init", "--init", "text", None, "another model to start from"),
)


class Bits(Reader):
    def read(self, path, skipped=None):
        return [
            (bits.split(), sides.split())
            for bits, _, sides in (line.partition("\t") for line in Path(path).read_text().splitlines())
        ]

    def count(self, data):
        return f"{len(data)} rows of bits"

    def describe(self, train):
        return {"bits": "as text"}


class Sides(Answers):
    format, budget = "bits", 100

    def __init__(self, file, shout):
        self.file, self.shout = file, shout

    def items(self):
        yield from (bits for bits, _ in Bits().read(self.file))

    def size(self, item):
        return len(item)

    def answer(self, model, batch):
        for sides in model.answer(batch):
            text = " ".join(sides) + "\n"
            yield text.upper() if self.shout else text


class Parity(Task):
    name, models, unit, labels = "parity", "Parities", "row", "sides"
    table = Table(DATA, ParityConfig, TrainingConfig, {"constant": (ConstantConfig,)})
    help = "Train a model of parity.\n\n\b\nelman train parity --train bits.txt --out my-parity"
    examples = {
        "train": ("elman train parity --train bits.txt --out my-parity",),
        "compare": ("elman compare parity train.txt dev.txt",),
        "predict": ("elman predict my-parity bits.txt --shout",),
    }

    def options(self, command):
        shout = click.Option(["--shout"], is_flag=True, help="Capitals.")
        gold = click.Option(["--gold"], help="The right sides.")
        return {"predict": [shout], "inspect": [gold]}.get(command, [])

    def reader(self, path, given, config):
        return Bits()

    def check(self, files, given):
        from elman.text.report import Problem, Report

        report = Report(files=[{"file": file, "rows": len(Bits().read(file))} for file in files])
        for file in files:
            for number, (bits, sides) in enumerate(Bits().read(file), 1):
                if len(bits) != len(sides):
                    report.problems.append(Problem("error", "expected a side for every bit", file, number))
        return report

    def print_check(self, report):
        for file in report.files:
            print(f"{file['file']}: {file['rows']} rows")

    def scores(self, result):
        return {"accuracy": result["accuracy"]}

    def answers(self, file, given, config):
        return Sides(file, given["shout"])


TASK = Parity()
