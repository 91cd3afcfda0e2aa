"""JSON lines of pairs: one object per line, `{"source": "...", "target": "..."}`, under any keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from elman.errors import UsageError, shorten
from elman.text.example import Fault, Layout, OnProblem, pick
from elman.text.json_objects import Keys, checked, kind_of, missing, read_objects, string
from elman.text.pair import FEATURES_NAMES, SOURCE_NAMES, TARGET_NAMES, Pair, cut_features, settle_targets
from elman.text.sentence import Block, reporter


@dataclass
class JsonPairs:
    """The format. An empty line is not a pair; other keys are ignored.

    source_column, target_column, features_column
                          the keys; None: the first of the usual names that the first object has, ignoring case
    features_separator    separates features that are one string; a list of strings has one feature each
    several               the target is a list of any number of right ones (a string is a list of one)

    With `answered=False` an object may lack the target, or have null there.
    """

    name: ClassVar[str] = "jsonl"
    source_column: str | None = None
    target_column: str | None = None
    features_column: str | None = None
    features_separator: str = ";"
    several: bool = False
    answered: bool = True

    def __post_init__(self) -> None:
        columns = (self.source_column, self.target_column, self.features_column)
        chosen = [column for column in columns if column is not None]
        for column in chosen:
            if not isinstance(column, str):
                raise UsageError(f"expected a key of the JSON objects, found the column number {column}; name a key")
            if chosen.count(column) > 1:
                raise UsageError(f"source, target and features cannot share the key {column!r}; choose another key")
        if not self.features_separator:
            raise UsageError("expected a separator that is not empty; leave it out for ;")

    def read(
        self,
        lines: Iterable[tuple[int, str]],
        file: str,
        *,
        on_problem: OnProblem | None = None,
        on_layout: Layout | None = None,
    ) -> Iterator[Pair]:
        """See ItemFormat.read."""
        settled: tuple[str, str | None, str | None] | None = None

        def pair(keys: Keys, number: int, line: str) -> Pair:
            nonlocal settled
            if settled is None:
                settled = self._settle(list(keys), file, number)
                if on_layout is not None:
                    names = ("source_column", "target_column", "features_column")
                    on_layout(dict(zip(names, settled, strict=True)))
            source, target, features = settled
            block = Block(self.name, number, [line])
            text = string(keys, source)
            return Pair(text, self._targets(keys, target), self._features(keys, features), file, number, block)

        return read_objects(lines, reporter(file, on_problem), pair)

    def _settle(self, keys: list[str], file: str, line: int) -> tuple[str, str | None, str | None]:
        """The keys to read, from those of the first object."""
        found: list[str | None] = []
        chosen = (self.source_column, self.target_column, self.features_column)
        for column, usual in zip(chosen, (SOURCE_NAMES, TARGET_NAMES, FEATURES_NAMES), strict=True):
            left = ["" if key in chosen else key for key in keys]
            place = pick(left, usual) if column is None else None
            found.append(column if place is None else keys[place])
        source, target, features = found
        if source is None or (target is None and self.answered):
            missing = "source" if source is None else "target"
            listed = ", ".join(shorten(key) for key in keys[:8]) or "none"
            raise UsageError(
                f"{file}:{line}: expected a key for the {missing}, found the keys {listed}; "
                "name them with --source-column and --target-column"
            )
        return source, target, features

    def _targets(self, keys: Keys, key: str | None) -> list[str] | None:
        if key is None or (not self.answered and (key not in keys or keys[key].value is None)):
            return None
        if key not in keys:
            raise missing(key, keys)
        value, start, _ = keys[key]
        targets = _strings(value if isinstance(value, list) else [value], key, start)
        if len(targets) > 1 and not self.several:
            found = f"found {len(targets)}: {', '.join(map(shorten, targets[:3]))}"
            raise Fault(f"expected one target, {found}; keep one, or read several targets per source", start)
        if not targets and self.answered:
            raise Fault("expected a target, found none; write one, or remove the pair", start)
        return settle_targets(targets, start) or None

    def _features(self, keys: Keys, key: str | None) -> tuple[str, ...]:
        if key is None:
            return ()
        if key not in keys:
            raise missing(key, keys)
        value, start, _ = keys[key]
        if isinstance(value, str):
            return cut_features(checked(value, start), self.features_separator)
        features = _strings([] if value is None else value if isinstance(value, list) else [value], key, start)
        return tuple(feature for feature in features if feature)


def _strings(values: list[object], key: str, at: int) -> list[str]:
    strings = []
    for value in values:
        if not isinstance(value, str):
            kind = kind_of(value)
            raise Fault(f"expected a string or a list of strings for {shorten(key)}, found {kind}; fix it", at)
        strings.append(checked(value, at))
    return strings
