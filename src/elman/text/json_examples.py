"""JSON lines of labelled texts: one object per line, `{"text": "...", "label": "..."}`, under any keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from elman.errors import UsageError, shorten
from elman.text.example import LABEL_NAMES, TEXT_NAMES, Example, Fault, Layout, OnProblem, one_line, pick, settle
from elman.text.json_objects import Keys, checked, kind_of, missing, read_objects, string
from elman.text.sentence import reporter


@dataclass
class JsonExamples:
    """The format. An empty line is not an example; all keys but two are ignored.

    text_column, label_column   the keys; None: the first of the usual names that the first object has, ignoring case
    several                     the label is a list of any number of labels (a single label is a list of one)

    A label is a string, a number or true or false, the last two as JSON spells them; a list of one is a label too.
    """

    name: ClassVar[str] = "jsonl"
    text_column: str | None = None
    label_column: str | None = None
    several: bool = False
    labelled: bool = True

    def __post_init__(self) -> None:
        for column in (self.text_column, self.label_column):
            if column is not None and not isinstance(column, str):
                raise UsageError(f"expected a key of the JSON objects, found the column number {column}; name a key")
        if self.text_column is not None and self.text_column == self.label_column:
            raise UsageError(f"the text and its label cannot both be {self.text_column!r}; choose another key")

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Example]:
        """See ItemFormat.read."""
        text_key: str | None = None
        label_key = None

        def example(keys: Keys, number: int, line: str) -> Example:
            nonlocal text_key, label_key
            if text_key is None:
                text_key, label_key = self._settle(list(keys), file, number)
                if on_layout is not None:
                    on_layout({"text_column": text_key, "label_column": label_key})
            return one_line(self.name, file, number, line, string(keys, text_key), self._labels(keys, label_key))

        return read_objects(lines, reporter(file, on_problem), example)

    def _settle(self, keys: list[str], file: str, line: int) -> tuple[str, str | None]:
        """The keys to read, from those of the first object."""
        text, label = self.text_column, self.label_column
        if text is None and (place := pick(keys, TEXT_NAMES)) is not None:
            text = keys[place]
        if label is None and (place := pick(keys, LABEL_NAMES)) is not None:
            label = keys[place]
        if text is None or (label is None and self.labelled):
            missing = "text" if text is None else "label"
            found = ", ".join(shorten(key) for key in keys[:8]) or "none"
            raise UsageError(
                f"{file}:{line}: expected a key for the {missing}, found the keys {found}; "
                "name them with --text-column and --label-column"
            )
        return text, label

    def _labels(self, keys: Keys, key: str | None) -> list[str] | None:
        if key is None:
            return None
        if key not in keys:
            if self.labelled:
                raise missing(key, keys)
            return None
        value, start, _ = keys[key]
        if value is None and not self.labelled:
            return None
        items = value if isinstance(value, list) else [] if value == "" else [value]
        return settle([_label(item, key, start) for item in items], self.several, self.labelled, start)


def _label(value: Any, key: str, at: int) -> str:
    if isinstance(value, str):
        return checked(value.strip(), at)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    kind = kind_of(value)
    raise Fault(f"expected a string, a number or a list of them for {shorten(key)}, found {kind}; fix it", at)
