"""Tasks: data -> models -> scores. A new one is a folder here and a row in TASKS."""

from __future__ import annotations

# The name in config.json and on the command line -> the class of its models, imported when used.
TASKS: dict[str, str] = {"tag": "elman.tasks.tagging.tagger:Tagger"}
