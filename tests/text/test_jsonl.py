"""JSON lines: against json.loads, by writing back what was read, and fault by fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.text import Sentence, get_format


def parse(*lines: str, **options: Any) -> list[Sentence]:
    return list(get_format("jsonl", **options).read(enumerate(lines, 1), "f"))


def test_words_tags_and_places() -> None:
    lines = ['{"words": ["a b", "c"], "tags": ["X", "Y"]}', "", '{"text": " d  e "}', '{"words": [], "text": "f"}', " "]
    first, second, third, rest = parse(*lines)
    assert (first.words, first.tags, first.line, first.lines) == (["a b", "c"], ["X", "Y"], 1, [1, 1])
    assert (second.words, second.tags, second.line) == (["d", "e"], None, 3)
    assert (third.words, third.tags) == ([], None)
    assert rest.words == []
    form = get_format("jsonl")
    assert "".join(form.write(one, None) for one in (first, second, third, rest)) == "\n".join(lines) + "\n"
    assert form.columns_of(first) == [None, None]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"words": ["a"]}', '{"words": ["a"], "tags": ["T"]}'),
        (' { "text":"a" , "n":1.50e3 } ', ' { "text":"a" , "n":1.50e3, "tags": ["T"] } '),
        ('{"tags" : ["X"],"words":["a"]}', '{"tags" : ["T"],"words":["a"]}'),
        ('{"tags": null, "words": ["a"]}', '{"tags": ["T"], "words": ["a"]}'),
        ('{"words":["\\u0061"],"z":NaN}', '{"words":["\\u0061"],"z":NaN, "tags": ["T"]}'),
    ],
)
def test_only_the_tags_change(line: str, expected: str) -> None:
    [sentence] = parse(line)
    assert get_format("jsonl").write(sentence, ["T"]) == expected + "\n"


def test_another_key() -> None:
    [sentence] = parse('{"words": ["a"], "tags": ["X"], "ner": ["O"]}', column="ner")
    assert sentence.tags == ["O"]
    written = get_format("jsonl", column="ner").write(sentence, ["B"])
    assert written == '{"words": ["a"], "tags": ["X"], "ner": ["B"]}\n'
    assert parse('{"words": ["a"], "tags": ["X"]}', column=None)[0].tags is None


def test_written_afresh() -> None:
    form = get_format("jsonl")
    assert form.write(Sentence(["ä", '"']), ["X", "Y"]) == '{"words": ["ä", "\\""], "tags": ["X", "Y"]}\n'
    assert form.write(Sentence(["a"]), None) == '{"words": ["a"]}\n'
    with pytest.raises(UsageError):
        form.write(Sentence(["a"]), ["X", "Y"])


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("[1]", 1, "expected an object"),
        ("nonsense", 1, "expected an object"),
        ('{"words": ["a"]', 16, "expected ','"),
        ('{"words" ["a"]}', 10, "expected ':'"),
        ('{"words": ["a",]}', None, "expected JSON"),
        ('{"words": }', 11, "expected JSON"),
        ('{1: "a"}', 2, "key in quotes"),
        ('{"words": ["a"],}', 17, "expected JSON"),
        ('{"text": "a"} x', 14, "end of the line"),
        ('{"text": "a", "text": "b"}', 15, "each key once"),
        ('{"other": 1}', 1, '"words" or "text"'),
        ('{"words": "a"}', 11, "expected a list of strings"),
        ('{"words": ["a", ""]}', 11, "item 2"),
        ('{"words": [1]}', 11, "item 1"),
        ('{"text": 1}', 10, "expected a string"),
        ('{"words": ["a"], "tags": []}', 26, "expected 1 tags"),
        ('{"words": ["a"], "tags": "X"}', 26, "expected a list"),
        ('{"words": ["\\ud800"]}', 11, "item 1"),
        ('{"text": "\\udfff"}', 10, "expected a string"),
        ("[" * 100000, 1, "expected an object"),
        ('{"x": ' + "[" * 100000, None, "expected JSON"),
        ('{"text": "a", "n": ' + "1" * 5000 + "}", None, "expected JSON"),
    ],
)
def test_faults(line: str, column: int | None, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse('{"text": "good"}', line)
    error = caught.value
    assert (error.file, error.line) == ("f", 2) and says in str(error) and "found" in str(error)
    assert column is None or error.column == column
    assert len(str(error)) < 300


def test_told_faults_leave_the_rest() -> None:
    told: list[DataError] = []
    lines = ['{"text": "a"}', "{", '{"text": "b"}']
    sentences = list(get_format("jsonl").read(enumerate(lines, 1), "f", on_problem=told.append))
    assert [one.words for one in sentences] == [["a"], ["b"]] and [error.line for error in told] == [2]


text = st.text(st.characters(codec="utf-8"), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(text.filter(lambda key: key not in ("words", "text", "tags")), values, max_size=3),
    st.lists(text.filter(bool), max_size=4),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_any_object(others: dict[str, Any], words: list[str], indent: int | None, ascii_only: bool) -> None:
    made = {**others, "words": words}
    line = json.dumps(made, ensure_ascii=ascii_only, indent=indent).replace("\n", " ")
    [sentence] = parse(line)
    assert sentence.words == words
    form = get_format("jsonl")
    assert form.write(sentence, None) == line + "\n"
    tagged = form.write(sentence, ["é"] * len(words))
    assert json.loads(tagged) == {**made, "tags": ["é"] * len(words)}
    again = parse(tagged.rstrip("\n"))[0]
    assert again.tags == ["é"] * len(words)
    assert form.write(again, again.tags) == tagged
