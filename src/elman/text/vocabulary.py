"""The numbering of words, characters or tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elman.errors import DataError, UsageError

UNKNOWN = "<unknown>"  # the entry for items that are not listed


class Vocabulary:
    """Distinct items, each with its position as its id.

    With an `unknown` entry, that entry is id 0 and stands for every item that is not listed; without one, such an item
    is an error. `items` holds all entries in the order of their ids and must not be changed.
    """

    __slots__ = ("_ids", "items", "unknown")

    def __init__(self, items: Iterable[str], unknown: str | None = None) -> None:
        """`unknown` is put first; items that already begin with it are kept as they are.

        Raises UsageError at a duplicate.
        """
        self.items = list(items)
        self.unknown = unknown
        if unknown is not None and self.items[:1] != [unknown]:
            self.items.insert(0, unknown)
        self._ids = {item: index for index, item in enumerate(self.items)}
        if len(self._ids) < len(self.items):
            twice = next(item for index, item in enumerate(self.items) if self._ids[item] != index)
            raise UsageError(f"expected distinct items in a vocabulary, found {twice!r} twice: remove one")

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], minimum: int = 1, unknown: str | None = None) -> Vocabulary:
        """Items counted at least `minimum` times, by falling count, then by code point, whatever the reading order.

        An item that is spelled like the unknown entry is that entry.
        """
        kept = [item for item, count in counts.items() if count >= minimum and item != unknown]
        return cls(sorted(kept, key=lambda item: (-counts[item], item)), unknown)

    @classmethod
    def from_json(cls, value: Any) -> Vocabulary:
        """The vocabulary that `to_json` returned. Raises DataError when the value is not one."""
        match value:
            case {"unknown": None | str() as unknown, "items": [*items]} if all(
                isinstance(item, str) for item in items
            ):
                pass
            case _:
                raise DataError(
                    'expected a vocabulary {"unknown": null or text, "items": [text, ...]}, found something else: '
                    "restore the file or train again"
                )
        if unknown is not None and items[:1] != [unknown]:
            raise DataError(f"expected the unknown entry {unknown!r} as the first item, found {items[:1]}")
        try:
            return cls(items, unknown)
        except UsageError as error:
            raise DataError(str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """Plain lists and text for a JSON file, all entries in the order of their ids."""
        return {"unknown": self.unknown, "items": list(self.items)}

    def __getitem__(self, item: str) -> int:
        """The id of an item; 0 for one that is not listed, or DataError without an unknown entry."""
        index = self._ids.get(item)
        if index is not None:
            return index
        if self.unknown is not None:
            return 0
        some = ", ".join(self.items[:10]) + (", ..." if len(self.items) > 10 else "")
        raise DataError(f"expected one of {len(self.items)} known items ({some}), found {item!r}")

    def ids(self, items: Iterable[str]) -> list[int]:
        """The ids of many items."""
        if self.unknown is None:
            return [self[item] for item in items]
        get = self._ids.get
        return [get(item, 0) for item in items]

    def __contains__(self, item: object) -> bool:
        """Whether the item is listed (the unknown entry is)."""
        return item in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.items == other.items and self.unknown == other.unknown

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.items)} items, unknown={self.unknown!r})"
