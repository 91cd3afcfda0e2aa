"""Tag schemes: how spans of words are written as one tag per word.

    words    Ada  Lovelace  met  Mary  Somerville  Lovelace    (three persons, the last two side by side)
    io       I    I         O    I     I           I           cannot tell neighbours of one type apart
    iob1     I    I         O    I     I           B           B only where needed to divide
    iob2     B    I         O    B     I           B           B opens every span (also called BIO)
    bioes    B    E         O    B     E           S           E closes, S is a span of one word

A tag is "O" or a letter, "-" and a label (`B-PER`); a letter alone has the label "". In every scheme what may follow a
tag depends only on that tag, so `allowed` is the whole definition, and what constrained decoding uses.

IOB1: Ramshaw and Marcus 1995; IOB2: Tjong Kim Sang and Veenstra 1999.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from elman.errors import UsageError, quoted


class Span(NamedTuple):
    """Words `start` to `end` (exclusive), and their label."""

    start: int
    end: int
    label: str


class Tag(NamedTuple):
    """A parsed tag; "O" and the edge of a sentence have the letter "O" and the label ""."""

    letter: str
    label: str


OUTSIDE = Tag("O", "")


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    `follows(previous, next)` judges two neighbours whose letters are the scheme's. `letter(first, last, divides)` is
    the letter of a word in a span: is it the first, is it the last, does the span directly follow one of its label.
    """

    name: str
    letters: str
    follows: Callable[[Tag, Tag], bool]
    letter: Callable[[bool, bool, bool], str]


def _iob1(previous: Tag, next: Tag) -> bool:
    return next.letter != "B" or (previous.letter != "O" and previous.label == next.label)


def _iob2(previous: Tag, next: Tag) -> bool:
    return next.letter != "I" or (previous.letter != "O" and previous.label == next.label)


def _bioes(previous: Tag, next: Tag) -> bool:
    is_open, continues = previous.letter in "BI", next.letter in "IE"
    return is_open == continues and (not is_open or previous.label == next.label)


def _bioes_letter(first: bool, last: bool, divides: bool) -> str:
    return ("S" if last else "B") if first else ("E" if last else "I")


# Of two that fit equally well, `detect` takes the first: the most common, and "io" before "iob1", which contains it.
SCHEMES: dict[str, Scheme] = {
    "iob2": Scheme("iob2", "OBI", _iob2, lambda first, last, divides: "B" if first else "I"),
    "io": Scheme("io", "OI", lambda previous, next: True, lambda first, last, divides: "I"),
    "iob1": Scheme("iob1", "OBI", _iob1, lambda first, last, divides: "B" if first and divides else "I"),
    "bioes": Scheme("bioes", "OBIES", _bioes, _bioes_letter),
}


def get_scheme(name: str) -> Scheme:
    """The scheme with this name. Raises UsageError for an unknown one."""
    if name not in SCHEMES:
        raise UsageError(f"unknown tag scheme {name!r}; expected one of: {quoted(SCHEMES)}")
    return SCHEMES[name]


def parse(tag: str | None) -> Tag | None:
    """The parsed tag; None if no scheme has such a tag. The argument None is the edge of a sentence."""
    if tag is None or tag == "O":
        return OUTSIDE
    if tag[:1] not in ("B", "I", "E", "S") or (len(tag) > 1 and (tag[1] != "-" or len(tag) == 2)):
        return None
    return Tag(tag[0], tag[2:])


def allowed(previous: str | None, next: str | None, scheme: str) -> bool:
    """Whether these two tags may be adjacent; None is the edge of a sentence. Tags that the scheme lacks never may."""
    rule, left, right = get_scheme(scheme), parse(previous), parse(next)
    if left is None or right is None or left.letter not in rule.letters or right.letter not in rule.letters:
        return False
    return rule.follows(left, right)


def violations(tags: Sequence[str], scheme: str) -> list[tuple[int, str]]:
    """What is not legal in this scheme: the index of the tag at fault, and what was expected and how to fix it."""
    rule = get_scheme(scheme)
    found: list[tuple[int, str]] = []
    previous: Tag | None = OUTSIDE
    for index, tag in enumerate([*tags, "O"]):
        here = parse(tag)
        if here is None or here.letter not in rule.letters:
            letters = ", ".join(f"{letter}-" for letter in rule.letters[1:])
            found.append(
                (index, f"expected O or a tag that begins with {letters} ({scheme}), found {tag!r}; fix the tag")
            )
            here = None
        elif previous is not None and not rule.follows(previous, here):
            found.append(_fault(index, len(tags), _join(previous), here, scheme))
        previous = here
    return found


def _join(tag: Tag) -> str:
    return f"{tag.letter}-{tag.label}" if tag.label else tag.letter


def _fault(index: int, length: int, before: str, here: Tag, scheme: str) -> tuple[int, str]:
    tag, label = _join(here), f"-{here.label}" if here.label else ""
    after = "at the start of a sentence" if index == 0 else f"after {before}"
    if scheme == "bioes" and before[0] in "BI":
        kind = before[1:]
        place = "at the end of the sentence" if index == length else f"before {tag}"
        return (
            index - 1,
            f"expected I{kind} or E{kind} to continue {before}, found its end {place}; close it with E or S",
        )
    if scheme == "iob1":
        return (
            index,
            f"expected I{label} {after} (iob1 uses B only between two spans of one label), found {tag}; write I{label}",
        )
    first = "S" if here.letter == "E" else "B"
    return (
        index,
        f"expected B{label} before {tag} (nothing to continue), found it {after}; write {first}{label} to open",
    )


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of a legal sequence of tags. Raises UsageError, with the first fault, if it is not legal."""
    if wrong := violations(tags, scheme):
        index, message = wrong[0]
        raise UsageError(f"tag {index + 1} of {len(tags)}: {message}")
    found: list[Span] = []
    start, previous = 0, OUTSIDE
    for index, tag in enumerate([*tags, "O"]):
        here = parse(tag) or OUTSIDE
        opens = here.letter in "BS" or (
            here.letter in "IE" and (previous.letter == "O" or previous.label != here.label)
        )
        if previous.letter != "O" and (opens or here.letter == "O"):
            found.append(Span(start, index, previous.label))
        if opens:
            start = index
        previous = here
    return found


def convert(tags: Sequence[str], source: str, target: str) -> list[str]:
    """The same spans in another scheme; into "io", neighbours of one label become one.

    Raises UsageError like `spans`.
    """
    letter = get_scheme(target).letter
    out = ["O"] * len(tags)
    before = Span(0, 0, "")
    for span in spans(tags, source):
        divides = before.end == span.start and before.label == span.label and before.end > 0
        for index in range(span.start, span.end):
            out[index] = _join(Tag(letter(index == span.start, index == span.end - 1, divides), span.label))
        before = span
    return out


def detect(sequences: Iterable[Sequence[str]], tolerance: float = 0.005) -> str | None:
    """The scheme that these tags are written in, or None if they do not mark spans at all (parts of speech, say).

    Up to a share `tolerance` of the tags may be malformed. The scheme that the fewest sentences violate is chosen, so
    that a few stray tags do not hide it. Only "O" tags do not identify a scheme: None.
    """
    tags: Counter[str] = Counter()
    broken: Counter[frozenset[str]] = Counter()
    breaks: dict[tuple[str | None, str | None], frozenset[str]] = {}
    for sequence in sequences:
        tags.update(sequence)
        wrong: set[str] = set()
        for pair in set(pairwise([None, *sequence, None])):
            if pair not in breaks:
                breaks[pair] = frozenset(name for name in SCHEMES if not allowed(*pair, name))
            wrong |= breaks[pair]
        broken[frozenset(wrong)] += 1
    shaped = sum(count for tag, count in tags.items() if parse(tag) is not None)
    total = sum(tags.values())
    if shaped < (1 - tolerance) * total or shaped == tags["O"]:
        return None
    faults = {name: sum(count for wrong, count in broken.items() if name in wrong) for name in SCHEMES}
    return min(SCHEMES, key=faults.__getitem__)
