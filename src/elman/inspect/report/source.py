"""A step's source with its operands marked, so that a script can insert their numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from elman.inspect.report.markup import Markup, element

# Strings and comments first, so that what is in them is not an operand.
WORD = re.compile(r"\"[^\"]*\"|'[^']*'|#.*|(?<![\w.])[A-Za-z_]\w*(?:\.\w+)*")


def operands(line: str, names: Collection[str]) -> list[tuple[int, int, str]]:
    """(start, end, name) of each of `names` in a line: "s.c" in "f * s.c", and in "s.c.abs()" too."""
    spans = []
    for word in WORD.finditer(line):
        parts = word[0].split(".")
        prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        name = next((prefix for prefix in prefixes if prefix in names), None)
        if name is not None:
            spans.append((word.start(), word.start() + len(name), name))
    return spans


def listing(source: Sequence[str], assigned: Mapping[int, Sequence[str]], names: Collection[str]) -> Markup:
    """The lines; operands are span[data-quantity], and next to a line are the names that it assigns."""
    lines = []
    for i, line in enumerate(source):
        parts: list[object] = []
        end = 0
        for start, stop, name in operands(line, names):
            parts += [line[end:start], element("span", line[start:stop], data_quantity=name, class_="operand")]
            end = stop
        code = element("code", *parts, line[end:])
        values = [
            element("span", f"{name} = ", element("b", data_quantity=name))
            for name in assigned.get(i, ())
            if name in names
        ]
        lines.append(element("li", code, element("span", *values, class_="values scripted") if values else ""))
    return element("ol", *lines, class_="source")
