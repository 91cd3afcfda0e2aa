"""The tasks of the command line, one row each. A command puts its questions to a `Task` and knows none by name."""

from __future__ import annotations

import importlib

from elman.cli.tasks.base import Task

# Name, the same as in elman.tasks.TASKS -> where its `Task` object is.
TASKS = {
    "tag": "elman.cli.tasks.tag.task:TASK",
    "classify": "elman.cli.tasks.classify.task:TASK",
    "lm": "elman.cli.tasks.lm.task:TASK",
    "seq2seq": "elman.cli.tasks.seq2seq.task:TASK",
}
# Commands for models of one task only, demos, and corpora that are made for one task; rows as in `elman.cli.main`.
COMMANDS = {
    "sample": "elman.cli.tasks.lm.sample:sample",
    "encode": "elman.cli.tasks.classify.encode:encode",
}
DEMOS = {"tag": "elman.cli.tasks.tag.demo:demo", "seq2seq": "elman.cli.tasks.seq2seq.demo:demo"}
CORPORA = {"grammar": "elman.cli.tasks.tag.grammar:grammar"}


def get_task(name: str) -> Task:
    """The task with this name, which must be one of TASKS."""
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(importlib.import_module(module), attribute)
    return task


def all_tasks() -> list[Task]:
    """Every task, in the order of the table."""
    return [get_task(name) for name in TASKS]
