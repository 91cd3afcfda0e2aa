"""The parts of a C program that are the same for every model: of those in runtime/, the ones that are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

NAME = re.compile(r"[A-Za-z_]\w*")
VARIANT = re.compile(r"^@(\w+)\|(.*)$")


@dataclass(frozen=True)
class Piece:
    """names: what it defines, for those who use it; +NAME is only chosen as a root. file: that it is from"""

    names: tuple[str, ...]
    file: str
    text: str


@cache
def pieces(file: str) -> tuple[Piece, ...]:
    """Those of a file, each begun by a line `//@ NAMES`."""
    text = (files(__package__) / "runtime" / file).read_text(encoding="utf-8")
    found = []
    for part in re.split(r"^//@ ", text, flags=re.M)[1:]:
        names, _, body = part.partition("\n")
        found.append(Piece(tuple(names.split()), file, body.strip("\n")))
    return tuple(found)


def chosen(text: str, variants: frozenset[str]) -> str:
    """The lines that these variants have; a line `@VARIANT|...` belongs to one."""
    lines = []
    for line in text.split("\n"):
        match = VARIANT.match(line)
        if match is None:
            lines.append(line)
        elif match[1] in variants:
            lines.append(match[2])
    return "\n".join(lines)


def words_of(text: str) -> set[str]:
    """The names in a program, without those in its comments."""
    return set(NAME.findall(re.sub(r"//.*|/\*.*?\*/", "", text)))


def needed(given: str, order: tuple[str, ...], roots: set[str], variants: frozenset[str]) -> Mapping[str, list[str]]:
    """file -> the texts of its pieces that `given` or another needed piece uses.

    roots: names of pieces that are needed in any case; variants: see `chosen`"""
    every = {piece: chosen(piece.text, variants) for file in order for piece in pieces(file)}
    used, kept = words_of(given) | roots, set[Piece]()
    while more := {piece for piece in every if piece not in kept and used & set(piece.names)}:
        kept |= more
        for piece in more:
            used |= words_of(every[piece])
    return {file: [every[piece] for piece in pieces(file) if piece in kept] for file in order}
