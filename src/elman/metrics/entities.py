"""Entities in tag sequences, read in the two ways that papers report. A chunk is (start, end, label), end exclusive.

- `conlleval`: the rules `startOfChunk` and `endOfChunk` of `conlleval.pl`, of the CoNLL-2000 shared task (E. Tjong Kim
  Sang, version 2004-01-26). Every tag sequence has a reading: an I- with nothing to continue opens a chunk.
- `strict`: only what the scheme allows counts, as in `seqeval` with mode="strict". A malformed chunk is not a chunk.

The script knows O, B, I, E, `[`, `]` and `.`; it has no rule for E before B of the same label, and none for S. Here, as
in seqeval's default mode, E closes its chunk whatever follows, and S is a chunk of one word. L and U (of BILOU) are
read as E and S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from elman.errors import UsageError, quoted
from elman.schemes import get_scheme

Chunk = tuple[int, int, str]

MODES = ("conlleval", "strict")

_SAME_AS = {"L": "E", "U": "S"}
_OUTSIDE = ("O", ".")


@lru_cache(maxsize=1 << 16)
def _split(tag: str) -> tuple[str, str]:
    """Prefix and label, cut at the first hyphen: labels may have hyphens. A bare "B" has the label ""."""
    prefix, _, label = tag.partition("-")
    return _SAME_AS.get(prefix, prefix), label


def _starts(before: str, prefix: str, same: bool) -> bool:
    """`startOfChunk`: does a chunk start at a word with this prefix, after a word with prefix `before`?"""
    if prefix in ("[", "]"):
        return True
    if prefix in ("B", "S") and before in ("O", "B", "I", "E", "S"):
        return True
    if prefix in ("I", "E") and before in ("O", "E", "S"):
        return True
    return prefix not in _OUTSIDE and not same


def conlleval_chunks(tags: Sequence[str]) -> list[Chunk]:
    """All chunks of one sentence, the conlleval way. Any tags are accepted."""
    chunks: list[Chunk] = []
    start, before, label_before = -1, "O", ""
    for i, tag in enumerate(tags):
        if tag == "O":
            if start >= 0:
                chunks.append((start, i, label_before))
                start = -1
            before, label_before = "O", ""
            continue
        prefix, label = _split(tag)
        same = label == label_before
        starts = _starts(before, prefix, same)
        # `endOfChunk`; its rules for B and I before B or O need no line of their own: O is handled above, B starts.
        if start >= 0 and (starts or not same or before in ("E", "S", "[", "]")):
            chunks.append((start, i, label_before))
            start = -1
        if starts:
            start = i
        before, label_before = prefix, label
    if start >= 0:
        chunks.append((start, len(tags), label_before))
    return chunks


def strict_chunks(tags: Sequence[str], scheme: str) -> list[Chunk]:
    """The well-formed chunks of one sentence under a scheme: "io", "iob1", "iob2" or "bioes" (which reads BILOU too).

    Tags that the scheme does not have stand for outside. A stray I- (IOB2, BIOES), a B- with no neighbour to be
    separated from (IOB1), and what B- opens and no E- closes (BIOES) do not count.
    Raises UsageError for a scheme of another name.
    """
    get_scheme(scheme)
    closed = scheme == "bioes"
    opening = "I" if scheme in ("io", "iob1") else "B"
    chunks: list[Chunk] = []
    start, current, legal = -1, "", False
    before, label_before = "O", ""
    for i, tag in enumerate(tags):
        if tag == "O":
            if start >= 0 and legal and not closed:
                chunks.append((start, i, current))
            start, before = -1, "O"
            continue
        prefix, label = _split(tag)
        if start >= 0 and label == current and (prefix == "I" or (closed and prefix == "E")):
            if prefix == "E":
                chunks.append((start, i + 1, current))
                start = -1
        else:
            if start >= 0 and legal and not closed:
                chunks.append((start, i, current))
            start = -1
            if prefix == opening:
                start, current, legal = i, label, True
            elif scheme == "iob1" and prefix == "B":
                # Opened even where it is illegal, so that the I- after it do not form a chunk of their own.
                start, current, legal = i, label, before in ("B", "I") and label == label_before
            elif closed and prefix == "S":
                chunks.append((i, i + 1, label))
        before, label_before = prefix, label
    if start >= 0 and legal and not closed:
        chunks.append((start, len(tags), current))
    return chunks


def reader(mode: str, scheme: str) -> Callable[[Sequence[str]], list[Chunk]]:
    """The function from tags to chunks for "conlleval" or "strict". Raises UsageError for another mode or scheme."""
    if mode not in MODES:
        raise UsageError(f"expected an entity mode, one of {quoted(MODES)}; found {mode!r}")
    get_scheme(scheme)
    return conlleval_chunks if mode == "conlleval" else lambda tags: strict_chunks(tags, scheme)
