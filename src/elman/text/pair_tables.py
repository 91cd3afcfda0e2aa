"""Tables of pairs: comma-separated values with quotes, and plain columns separated by tabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from elman.errors import UsageError, shorten
from elman.text.example import Fault, pick
from elman.text.pair import FEATURES_NAMES, SOURCE_NAMES, TARGET_NAMES, Pair, cut_features, settle_targets
from elman.text.sentence import Block
from elman.text.tables import Record, Table, check_width, column_number, describe_column, find_column

USUAL = {"source": SOURCE_NAMES, "target": TARGET_NAMES, "features": FEATURES_NAMES}
HOW = "choose them with --source-column, --target-column and --features-column, by name or number"


class _Places(NamedTuple):
    """Which cells of a row are read, from 0."""

    source: int
    target: int | None
    features: int | None
    width: int
    line: int  # of the row that determines this
    header: bool
    bare: bool  # of a file without a header in which no column was chosen
    more: bool  # further cells of a row are further targets
    widths: set[int]  # of the rows up to now


@dataclass
class _PairTable(Table[_Places, Pair]):
    """What both formats have in common.

    source_column, target_column, features_column
                          a name in the header or a number from 1 (digits are a number)
    features_separator    separates the features in their cell
    header                whether the first row names the columns. None: it does where a column is given by name; it
                          does not where columns are given by number; with neither, it does if it contains a usual
                          name for a source and one for a target (for a source, with `answered=False`)
    several, separator    a source has any number of right targets, of which a cell contains several, split at the
                          separator; in `tsv`, where the target is the last column, so do further cells of a row

    A header's usual names are found. Of the columns that are then left, the first is the source and the next the target
    where they are missing, if no other is left; columns that have no role are ignored only if those of source and
    target were chosen, or named. With `several`, a `tsv` file without a header of which no column is chosen has the
    source in the first cell and targets in all others (the form of pronouncing dictionaries); its rows must not all
    have the same number of three or more cells, which are rather columns. With `answered=False` the target's column
    may be missing, and an empty cell is an unknown target. An empty line is not a row. Sources and targets are read as
    they are, features without the white space around them; a source, a target and features may be empty.
    """

    name: ClassVar[str]
    source_column: str | int | None = None
    target_column: str | int | None = None
    features_column: str | int | None = None
    features_separator: str = ";"
    header: bool | None = None
    several: bool = False
    separator: str = "|"
    answered: bool = True

    def __post_init__(self) -> None:
        self.source_column = column_number("source", self.source_column)
        self.target_column = column_number("target", self.target_column)
        self.features_column = column_number("features", self.features_column)
        chosen = self._chosen()
        for role, column in chosen.items():
            if twice := next((other for other in chosen if other != role and chosen[other] == column), None):
                raise UsageError(f"the {role} and the {twice} cannot both be in column {column}; choose another")
        if not self.separator or not self.features_separator:
            raise UsageError("expected a separator that is not empty; leave it out for | (targets) and ; (features)")
        named = next((column for column in chosen.values() if isinstance(column, str)), None)
        if self.header is False and named is not None:
            raise UsageError(f"the column {named!r} cannot be found without a header; give its number, from 1")

    def _chosen(self) -> dict[str, str | int]:
        """The columns that were asked for, by role."""
        columns = {"source": self.source_column, "target": self.target_column, "features": self.features_column}
        return {role: column for role, column in columns.items() if column is not None}

    def _settle(self, first: Record, file: str) -> _Places:
        names, width, chosen = [cell.strip() for cell in first.cells], len(first.cells), self._chosen()
        header = self.header
        if header is None and chosen:
            header = any(isinstance(column, str) for column in chosen.values())
        elif header is None:
            header = pick(names, SOURCE_NAMES) is not None and (
                pick(names, TARGET_NAMES) is not None or not self.answered
            )
        bare = not header and not chosen
        if bare and self.several and self.name == "tsv" and width > 1:
            return _Places(0, 1, None, 2, first.line, False, True, True, set())
        places = self._find(names, header, file, first.line)
        source, target = places.get("source"), places.get("target")
        if source is None or (target is None and self.answered):
            found = ("the columns " + ", ".join(map(shorten, names[:8]))) if header else f"{width} columns"
            wanted = "columns for the source and its target" if self.answered else "a column for the source"
            found = "one column" if width == 1 else found
            raise UsageError(f"{file}:{first.line}: expected {wanted}, found {found}; {HOW}")
        more = self.several and self.name == "tsv" and target == width - 1
        return _Places(source, target, places.get("features"), width, first.line, header, bare, more, set())

    def _find(self, names: list[str], header: bool, file: str, line: int) -> dict[str, int]:
        """The place of each role, as far as it is clear."""
        places: dict[str, int] = {}
        for role, column in self._chosen().items():
            place = find_column(role, column, names, optional=role == "target" and not self.answered)
            if place is None:
                continue
            if twice := next((other for other in places if places[other] == place), None):
                both = f"the {twice} and the {role} cannot both be in column {place + 1}"
                raise UsageError(f"{file}:{line}: {both}; {HOW}")
            places[role] = place
        for role, usual in USUAL.items() if header else ():
            left = ["" if place in places.values() else name for place, name in enumerate(names)]
            if role not in self._chosen() and (place := pick(left, usual)) is not None:
                places[role] = place
        missing = [role for role in ("source", "target") if role not in places and role not in self._chosen()]
        free = [place for place in range(len(names)) if place not in places.values()]
        # A table that need not have targets may have a second column that is anything.
        if self.answered or "source" in missing:
            alone = len(free) == 1 and not self.answered
            places |= zip(missing, free, strict=False) if len(free) == len(missing) or alone else ()
        return places

    def _describe(self, columns: _Places, first: list[str]) -> dict[str, Any]:
        described: dict[str, Any] = {"header": columns.header}
        for role in USUAL:
            place = None if columns.bare and columns.more else getattr(columns, role)
            described[f"{role}_column"] = describe_column(place, first, columns.header)
        return described

    def _unit(self, record: Record, columns: _Places, file: str) -> Pair:
        check_width(record, columns, self.name, more=columns.more)
        cells = record.cells
        columns.widths.add(len(cells))
        features: tuple[str, ...] = ()
        if columns.features is not None:
            features = cut_features(cells[columns.features], self.features_separator)
        block = Block(self.name, record.line, record.lines)
        return Pair(cells[columns.source], self._targets(record, columns), features, file, record.line, block)

    def _targets(self, record: Record, columns: _Places) -> list[str] | None:
        place = columns.target
        if place is None:
            return None
        targets = record.cells[place:] if columns.more else [record.cells[place]]
        if not self.answered and not any(targets):
            return None
        if self.several:
            targets = [target for cell in targets for target in cell.split(self.separator)]
        line, at = record.start(place)
        try:
            return settle_targets(targets, at)
        except Fault as fault:
            fault.line = line
            raise

    def _finish(self, columns: _Places, file: str) -> None:
        if columns.bare and columns.more and self.answered and len(columns.widths) == 1 and max(columns.widths) > 2:
            found = f"found {max(columns.widths)} cells in every one, which are rather columns"
            raise UsageError(
                f"{file}:{columns.line}: expected a source and its targets in each row, {found}; {HOW}, "
                f"or write several targets into one cell, separated by {self.separator}"
            )


@dataclass
class PairCsv(_PairTable):
    """`csv`: see `tables.csv_records`."""

    name: ClassVar[str] = "csv"


@dataclass
class PairTsv(_PairTable):
    """`tsv`: see `tables.tsv_records`."""

    name: ClassVar[str] = "tsv"
