"""Tag schemes against brute force (every short sequence), seqeval, and real corpora."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import IOB1, IOB2, IOBES, Entities

from elman import schemes
from elman.errors import UsageError
from elman.schemes import SCHEMES, Span, allowed, convert, detect, spans, violations
from elman.text import read

LETTERS = {"io": "I", "iob1": "IB", "iob2": "IB", "bioes": "IBES"}
DATA = os.environ.get("ELMAN_DATA")


def tag_set(scheme: str, labels: str = "xy") -> list[str]:
    return ["O", *(f"{letter}-{label}" for letter in LETTERS[scheme] for label in labels)]


def every_cut(length: int, labels: str = "xy") -> list[list[Span]]:
    """Every way to lay labelled spans on `length` words: the oracle knows nothing of tags."""
    if length == 0:
        return [[]]
    cuts = list(every_cut(length - 1, labels))
    for size in range(1, length + 1):
        for rest in every_cut(length - size, labels):
            cuts += [[*rest, Span(length - size, length, label)] for label in labels]
    return cuts


def encode(cut: list[Span], length: int, scheme: str) -> list[str]:
    """Tags of spans, written straight from the table in the module's docstring."""
    tags = ["O"] * length
    ends = {(span.end, span.label) for span in cut}
    for start, end, label in cut:
        inside = ["I"] * (end - start)
        if scheme == "iob2" or (scheme == "iob1" and (start, label) in ends):
            inside[0] = "B"
        if scheme == "bioes":
            inside = ["S"] if len(inside) == 1 else ["B", *inside[1:-1], "E"]
        tags[start:end] = [f"{letter}-{label}" for letter in inside]
    return tags


def merged(cut: list[Span]) -> list[Span]:
    """What "io" keeps of spans: neighbours of one label are one."""
    out: list[Span] = []
    for span in cut:
        if out and out[-1].end == span.start and out[-1].label == span.label:
            span = Span(out.pop().start, span.end, span.label)
        out.append(span)
    return out


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("length", range(5))
def test_legal_sequences_are_exactly_the_encoded_spans(scheme: str, length: int) -> None:
    encoded = {tuple(encode(cut, length, scheme)): cut for cut in every_cut(length)}
    for tags in itertools.product(tag_set(scheme), repeat=length):
        by_pairs = all(allowed(a, b, scheme) for a, b in itertools.pairwise([None, *tags, None]))
        assert by_pairs == (violations(tags, scheme) == []) == (tags in encoded), tags
    for tags, cut in encoded.items():
        assert spans(tags, scheme) == (merged(cut) if scheme == "io" else cut)


@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SCHEMES)
def test_convert_keeps_the_spans(source: str, target: str) -> None:
    for cut in every_cut(4):
        tags = encode(cut, 4, source)
        kept = merged(cut) if "io" in (source, target) else cut
        assert convert(tags, source, target) == encode(kept, 4, target)


@pytest.mark.parametrize(("scheme", "theirs"), [("iob1", IOB1), ("iob2", IOB2), ("bioes", IOBES)])
@given(data=st.data())
def test_spans_agree_with_seqeval(scheme: str, theirs: type, data: st.DataObject) -> None:
    cut = data.draw(st.sampled_from(every_cut(5)))
    tags = encode(cut, 5, scheme)
    expected = [Span(entity.start, entity.end, entity.tag) for entity in Entities([tags], theirs).entities[0]]
    assert spans(tags, scheme) == sorted(expected)


def test_letters_alone_have_an_empty_label() -> None:
    assert spans(["B", "I", "O", "B"], "iob2") == [Span(0, 2, ""), Span(3, 4, "")]
    assert convert(["B", "I", "O", "B"], "iob2", "bioes") == ["B", "E", "O", "S"]
    assert spans(["B-a-b"], "iob2") == [Span(0, 1, "a-b")]


@pytest.mark.parametrize(
    ("tags", "scheme", "index", "says"),
    [
        (["O", "I-x"], "iob2", 1, "write B-x"),
        (["B-x", "I-y"], "iob2", 1, "expected B-y"),
        (["I-x"], "iob2", 0, "start of a sentence"),
        (["O", "B-x"], "iob1", 1, "write I-x"),
        (["B-x", "O"], "bioes", 0, "before O"),
        (["O", "B-x"], "bioes", 1, "end of the sentence"),
        (["E-x"], "bioes", 0, "write S-x"),
        (["O", "S-x"], "iob2", 1, "found 'S-x'"),
        (["O", "B-"], "iob2", 1, "found 'B-'"),
        (["b-x"], "io", 0, "found 'b-x'"),
        (["L-x"], "bioes", 0, "found 'L-x'"),
    ],
)
def test_violations_name_the_place_and_the_cure(tags: list[str], scheme: str, index: int, says: str) -> None:
    [(at, message)] = violations(tags, scheme)
    assert at == index and says in message and "expected" in message and "found" in message
    with pytest.raises(UsageError, match=f"tag {index + 1} of {len(tags)}"):
        spans(tags, scheme)
    with pytest.raises(UsageError):
        convert(tags, scheme, "io")


def test_one_fault_is_told_once() -> None:
    assert [index for index, _ in violations(["O", "I-x", "I-x", "?", "I-x", "O", "I-y"], "iob2")] == [1, 3, 6]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_detect_with_one_stray_tag_in_a_thousand_sentences(scheme: str) -> None:
    cut = [Span(0, 2, "x"), Span(2, 3, "x"), Span(5, 6, "y")]
    kept = merged(cut) if scheme == "io" else cut
    clean = [encode(kept, 7, scheme)] * 999
    stray = ["O", "I-x", "O"] if scheme != "iob1" else ["O", "B-x", "O"]
    assert detect(clean) == scheme
    assert detect([stray, *clean]) == scheme
    assert detect([["O", "0", "o"], *clean]) == scheme
    assert violations(stray, scheme) or scheme == "io"


def test_detect_in_a_very_small_file() -> None:
    assert detect([["O", "B-x"], ["I-x"]]) == "iob2"
    assert detect([["I-x", "O"]]) == "io"
    assert detect([["I-x", "B-x"]]) == "iob1"
    assert detect([["S-x"]]) == "bioes"


@pytest.mark.parametrize(
    "sequences",
    [
        [],
        [[]],
        [["O", "O"]],
        [["NOUN", "VERB"], ["I", "NOUN"]],
        [["I", "X-Y", "DET"]] * 9,
        [["B-", "-x", "O"]],
        [["S", "V", "E", "O", "A"]],
        [["O", "I-x", "NOUN"]] * 3,
    ],
)
def test_detect_is_not_fooled(sequences: list[list[str]]) -> None:
    assert detect(sequences) is None


@given(st.lists(st.lists(st.text(max_size=4), max_size=4), max_size=4))
def test_any_tags_are_judged(sequences: list[list[str]]) -> None:
    scheme = detect(sequences)
    assert scheme is None or scheme in SCHEMES
    for tags in sequences:
        for name in SCHEMES:
            assert all(0 <= index < len(tags) for index, _ in violations(tags, name))


def test_unknown_scheme() -> None:
    with pytest.raises(UsageError, match=r"bilou.*'iob2', 'io', 'iob1', 'bioes'"):
        schemes.get_scheme("bilou")


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
@pytest.mark.parametrize(
    ("file", "scheme", "count", "strays"),
    [
        ("wikigold/wikigold.conll.txt", "io", 3558, 0),
        ("wnut17/emerging.test.annotated", "iob2", 1079, 0),
        ("wnut17/submissions/spinningbytes.txt", "iob2", None, 34),
        ("wnut17/submissions/mic-cis.txt", "iob2", None, 13),
        ("ncbi-disease/devel.tsv", "iob2", 787, 0),
    ],
)
def test_corpora(file: str, scheme: str, count: int | None, strays: int) -> None:
    tags = [sentence.tags or [] for sentence in read(Path(DATA or "") / file, "columns")]
    assert detect(tags) == scheme
    assert sum(len(violations(one, scheme)) for one in tags) == strays
    if count is not None:
        assert sum(len(spans(one, scheme)) for one in tags) == count


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
@pytest.mark.parametrize("column", ["upos", "xpos", "feats"])
def test_parts_of_speech_are_no_scheme(column: str) -> None:
    file = Path(DATA or "") / "ud-english-ewt/en_ewt-ud-test.conllu.gz"
    assert detect(sentence.tags or [] for sentence in read(file, column=column)) is None
