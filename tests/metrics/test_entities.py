"""Chunks against a literal transcription of conlleval.pl, seqeval, and tags written from known chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Tokens

from elman import schemes
from elman.errors import UsageError
from elman.metrics.entities import conlleval_chunks, reader, strict_chunks

LABELS = ("A", "B-C")


def end_of_chunk(prev_tag: str, tag: str, prev_type: str, type_: str) -> bool:
    """The Perl subroutine, line by line."""
    chunk_end = False
    if prev_tag == "B" and tag == "B":
        chunk_end = True
    if prev_tag == "B" and tag == "O":
        chunk_end = True
    if prev_tag == "I" and tag == "B":
        chunk_end = True
    if prev_tag == "I" and tag == "O":
        chunk_end = True
    if prev_tag == "E" and tag == "E":
        chunk_end = True
    if prev_tag == "E" and tag == "I":
        chunk_end = True
    if prev_tag == "E" and tag == "O":
        chunk_end = True
    if prev_tag not in ("O", ".") and prev_type != type_:
        chunk_end = True
    if prev_tag == "]":
        chunk_end = True
    if prev_tag == "[":
        chunk_end = True
    return chunk_end


def start_of_chunk(prev_tag: str, tag: str, prev_type: str, type_: str) -> bool:
    chunk_start = False
    if prev_tag == "B" and tag == "B":
        chunk_start = True
    if prev_tag == "I" and tag == "B":
        chunk_start = True
    if prev_tag == "O" and tag == "B":
        chunk_start = True
    if prev_tag == "O" and tag == "I":
        chunk_start = True
    if prev_tag == "E" and tag == "E":
        chunk_start = True
    if prev_tag == "E" and tag == "I":
        chunk_start = True
    if prev_tag == "O" and tag == "E":
        chunk_start = True
    if tag not in ("O", ".") and prev_type != type_:
        chunk_start = True
    if tag == "[":
        chunk_start = True
    if tag == "]":
        chunk_start = True
    return chunk_start


def conlleval(gold: list[str], guessed: list[str]) -> tuple[int, int, int]:
    """The script's main loop over one sentence and the boundary after it: chunks correct, in the corpus, guessed."""
    correct_chunks = found_correct = found_guessed = 0
    in_correct = False
    last_c, last_ct, last_g, last_gt = "O", "", "O", ""
    for c_tag, g_tag in zip([*gold, "O"], [*guessed, "O"], strict=True):
        c, _, ct = c_tag.partition("-")
        g, _, gt = g_tag.partition("-")
        c_ends, g_ends = end_of_chunk(last_c, c, last_ct, ct), end_of_chunk(last_g, g, last_gt, gt)
        if in_correct:
            if c_ends and g_ends and last_gt == last_ct:
                in_correct = False
                correct_chunks += 1
            elif c_ends != g_ends or gt != ct:
                in_correct = False
        c_starts, g_starts = start_of_chunk(last_c, c, last_ct, ct), start_of_chunk(last_g, g, last_gt, gt)
        if c_starts and g_starts and gt == ct:
            in_correct = True
        found_correct += c_starts
        found_guessed += g_starts
        last_c, last_ct, last_g, last_gt = c, ct, g, gt
    return correct_chunks + in_correct, found_correct, found_guessed


def tags(prefixes: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["O", *(f"{p}-{label}" for p in prefixes for label in LABELS)])


def pairs(tag: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(tag, tag), max_size=12)


# Brackets apart: the script lets a bracket open a chunk that its own rules have not closed, after B or I of that label.
@given(pairs(tags("BIE") | st.sampled_from(["B", "I"])) | pairs(tags("[]") | st.just(".")))
def test_conlleval_counts_what_the_script_counts(both: list[tuple[str, str]]) -> None:
    gold, guessed = [a for a, _ in both], [b for _, b in both]
    for sequence in (gold, guessed):  # where the script has no rule, and seqeval is followed instead
        for before, after in pairwise(sequence):
            assume(not (before[0] == "E" and after == "B" + before[1:]))
    chunks, found = conlleval_chunks(gold), conlleval_chunks(guessed)
    assert (len(set(chunks) & set(found)), len(chunks), len(found)) == conlleval(gold, guessed)


@given(st.lists(tags("BIES"), max_size=12))
def test_conlleval_mode_reads_bioes_as_seqeval_does(sequence: list[str]) -> None:
    oracle = [(start, end + 1, label) for label, start, end in get_entities(sequence)]
    assert conlleval_chunks(sequence) == oracle


@pytest.mark.parametrize(
    ("sequence", "chunks"),
    [
        ("O I-X I-X O", [(1, 3, "X")]),
        ("B-X I-Y", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X B-X I-X", [(0, 1, "X"), (1, 3, "X")]),
        ("B-X L-X U-Y U-Y", [(0, 2, "X"), (2, 3, "Y"), (3, 4, "Y")]),
        ("[-X ]-X", [(0, 1, "X"), (1, 2, "X")]),
        ("B I O I", [(0, 2, ""), (3, 4, "")]),
        ("B-a-b I-a-b I-a", [(0, 2, "a-b"), (2, 3, "a")]),
        ("NOUN VERB", []),
        ("", []),
    ],
)
def test_conlleval_by_hand(sequence: str, chunks: list[tuple[int, int, str]]) -> None:
    assert conlleval_chunks(sequence.split()) == chunks


@pytest.mark.parametrize(("scheme", "prefixes", "oracle"), [("iob2", "BI", IOB2), ("bioes", "BIES", IOBES)])
@given(data=st.data())
def test_strict_is_seqeval_strict(data: st.DataObject, scheme: str, prefixes: str, oracle: type) -> None:
    sequence = data.draw(st.lists(tags(prefixes), max_size=12))
    expected = [(entity.start, entity.end, entity.tag) for entity in Tokens(sequence, oracle).entities]
    assert strict_chunks(sequence, scheme) == expected


@given(st.lists(tags("BILU"), max_size=12))
def test_strict_bioes_reads_bilou(sequence: list[str]) -> None:
    expected = [(entity.start, entity.end, entity.tag) for entity in Tokens(sequence, BILOU).entities]
    assert strict_chunks(sequence, "bioes") == expected


def write(pieces: list[tuple[int, str]], scheme: str) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Tags and chunks from lengths and labels; a label "O" is a gap. Written apart from elman.schemes."""
    sequence: list[str] = []
    chunks: list[tuple[int, int, str]] = []
    for length, label in pieces:
        start = len(sequence)
        if label == "O":
            sequence += ["O"] * length
            continue
        touches = bool(chunks) and chunks[-1][1] == start and chunks[-1][2] == label
        if scheme == "io" and touches:  # what the scheme cannot write
            sequence += [f"I-{label}"] * length
            chunks[-1] = (chunks[-1][0], start + length, label)
            continue
        letters = ["I"] * length
        if scheme in ("iob2", "bioes") or (scheme == "iob1" and touches):
            letters[0] = "B"
        if scheme == "bioes":
            letters[-1] = "S" if length == 1 else "E"
        sequence += [f"{letter}-{label}" for letter in letters]
        chunks.append((start, start + length, label))
    return sequence, chunks


@pytest.mark.parametrize("scheme", ["io", "iob1", "iob2", "bioes"])
@given(pieces=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["O", *LABELS])), max_size=6))
def test_legal_sequences_read_the_same_in_both_modes(scheme: str, pieces: list[tuple[int, str]]) -> None:
    sequence, chunks = write(pieces, scheme)
    assert strict_chunks(sequence, scheme) == chunks
    assert conlleval_chunks(sequence) == chunks
    assert [tuple(span) for span in schemes.spans(sequence, scheme)] == chunks


@pytest.mark.parametrize(
    ("scheme", "sequence", "chunks"),
    [
        ("iob1", "O B-X I-X I-Y", [(3, 4, "Y")]),
        ("iob1", "I-X B-X I-X", [(0, 1, "X"), (1, 3, "X")]),
        ("iob1", "I-X B-Y I-Y", [(0, 1, "X")]),
        ("io", "B-X I-X", [(1, 2, "X")]),
        ("iob2", "I-X I-X B-X E-X", [(2, 3, "X")]),
        ("iob2", "NOUN O-X B-X", [(2, 3, "X")]),
        ("bioes", "B-X B-X E-X", [(1, 3, "X")]),
        ("bioes", "B-X I-X", []),
        ("bioes", "E-X I-X S-X", [(2, 3, "X")]),
    ],
)
def test_strict_passes_over_what_is_not_legal(scheme: str, sequence: str, chunks: list[tuple[int, int, str]]) -> None:
    assert strict_chunks(sequence.split(), scheme) == chunks


@given(st.lists(st.text(max_size=4), max_size=8), st.sampled_from(["io", "iob1", "iob2", "bioes"]))
def test_any_text_is_read(sequence: list[str], scheme: str) -> None:
    for chunks in (conlleval_chunks(sequence), strict_chunks(sequence, scheme)):
        ends = [0, *(point for start, end, _ in chunks for point in (start, end)), len(sequence)]
        assert ends == sorted(ends)


def test_unknown_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="iob3"):
        strict_chunks(["O"], "iob3")
    with pytest.raises(UsageError, match="lenient"):
        reader("lenient", "iob2")
    with pytest.raises(UsageError, match="iob3"):
        reader("conlleval", "iob3")
