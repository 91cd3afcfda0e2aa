"""Lines of JSON objects: one item from each, and the values of its keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from elman.errors import nearest, shorten
from elman.text.example import Fault, without_nul
from elman.text.jsonl import SPACE, _Fault, _object, _Value, _whole
from elman.text.sentence import Reporter

U = TypeVar("U")
Keys = dict[str, _Value]  # of an object: each with its value, and where the value begins and ends


def read_objects(
    lines: Iterable[tuple[int, str]], report: Reporter, read: Callable[[Keys, int, str], U]
) -> Iterator[U]:
    """What `read` makes of each object, its line's number and the line. Empty lines are left out, faults reported."""
    for number, line in without_nul(lines, report):
        if not line.strip(SPACE):
            continue
        try:
            item = read(_object(line)[0], number, line)
        except Fault as fault:
            fault.report_to(report, number)
        except _Fault as fault:
            report(fault.message, number, fault.at + 1)
        else:
            yield item


def string(keys: Keys, key: str) -> str:
    """The string at a key. Raises Fault without one."""
    if key not in keys:
        raise missing(key, keys)
    value, start, _ = keys[key]
    if not isinstance(value, str):
        raise Fault(f"expected a string for {shorten(key)}, found {kind_of(value)}; put the text in quotes", start)
    return checked(value, start)


def checked(text: str, at: int) -> str:
    """The text. Raises Fault for what JSON can spell and a text cannot contain."""
    if "\0" in text:
        raise Fault("expected text, found a NUL character; remove it", at)
    if not _whole(text):
        raise Fault("expected text, found half a surrogate pair; fix the JSON", at)
    return text


def missing(key: str, keys: Iterable[str]) -> Fault:
    """The fault of an object that lacks a key."""
    return Fault(f"expected the key {shorten(key)}, found none; {nearest(key, [shorten(one) for one in keys][:20])}", 0)


def kind_of(value: Any) -> str:
    """What a value is, in a message."""
    match value:
        case None:
            return "null"
        case bool() | int():
            return "a boolean" if isinstance(value, bool) else "a number"
        case float():
            return "a number" if math.isfinite(value) else "a number that is not finite"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "a string"
