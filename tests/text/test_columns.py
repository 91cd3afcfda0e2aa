"""Column files: by writing back what was read, against split(), and fault by fault."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.text import Sentence, get_format, read

DATA = os.environ.get("ELMAN_DATA")


def parse(text: str, **options: Any) -> list[Sentence]:
    lines = text.split("\n")
    return list(get_format("columns", **options).read(enumerate(lines if lines[-1] else lines[:-1], 1), "f"))


def words_and_tags(text: str, **options: Any) -> list[tuple[list[str], list[str] | None]]:
    return [(one.words, one.tags) for one in parse(text, **options) if one.words]


def write(text: str, tag: str | None, **options: Any) -> str:
    form = get_format("columns", **options)
    return "".join(form.write(one, None if tag is None else [tag] * len(one.words)) for one in parse(text, **options))


def test_words_tags_and_places() -> None:
    text = "-DOCSTART- -X- O\n\n# a long comment\nThe DT  O\nend\tNN  B\n\n \t\nNow RB O\n"
    first, second = parse(text)
    assert (first.words, first.tags) == (["The", "end"], ["O", "B"])
    assert (first.file, first.line, first.lines) == ("f", 4, [4, 5])
    assert (second.words, second.tags, second.lines) == (["Now"], ["O"], [8])
    assert get_format("columns").columns_of(first, tag=True) == [9, 9]
    assert get_format("columns").columns_of(first) == [1, 1]
    assert write(text, None) == text + "\n"
    assert write(text, "Z") == text.replace("  O", "  Z").replace("  B", "  Z").replace("RB O", "RB Z") + "\n"


@pytest.mark.parametrize(
    ("word", "column", "expected"),
    [
        (1, -1, (["a", "d"], ["c", "f"])),
        (1, 2, (["a", "d"], ["b", "e"])),
        (2, 1, (["b", "e"], ["a", "d"])),
        (-2, 3, (["b", "e"], ["c", "f"])),
        ("3", "-3", (["c", "f"], ["a", "d"])),
        (1, None, (["a", "d"], None)),
    ],
)
@pytest.mark.parametrize("text", ["a\tb\tc\nd\te\tf\n\n", "a b c\n d  e\tf \n\n"])
def test_which_columns(text: str, word: Any, column: Any, expected: Any) -> None:
    assert words_and_tags(text, word=word, column=column) == [expected]


def test_only_the_tag_changes() -> None:
    assert write(" a  O \n b\tO\t\n\n", "B-x") == " a  B-x \n b\tB-x\t\n\n"
    assert write("a\tO\t1\nb\tO\t\n\n", "B-x", column=2) == "a\tB-x\t1\nb\tB-x\t\n\n"
    assert write("O\tO\n\n", "B", column=1, word=2) == "B\tO\n\n"


def test_divided_by_tabs_a_word_holds_spaces() -> None:
    assert words_and_tags("New York\tB\n of \tO\n\xa0\tO\n") == [(["New York", " of ", "\xa0"], ["B", "O", "O"])]


def test_the_first_line_decides_what_divides() -> None:
    assert words_and_tags("a b\nc\td\n") == [(["a", "c"], ["b", "d"])]
    assert words_and_tags("a b\nc\td\n", separator="space") == [(["a", "c"], ["b", "d"])]
    with pytest.raises(DataError, match=r"f:2: .*TAB.*line 1, found spaces and no TAB"):
        parse("a\tb\nc d\n")
    with pytest.raises(DataError, match="f:1"):
        parse("a b\n", separator="tab")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#\tO\n# hash\tO\n", ["#", "# hash"]),
        ("# O\na O\n", ["#", "a"]),
        ("# O\n# long comment here\n", None),
        ("#tag O\n", ["#tag"]),
        ("# one two three\na O\n# O\n", ["a", "#"]),
        ("# one two\na\tO\n", ["a"]),
        ("# one more\n\n# three more words\na O\n", ["a"]),
        ("# sent_id = 3\na DT B O\n", ["a"]),
        ("# DT O O\na DT B O\n", ["#", "a"]),
    ],
)
def test_a_hash_may_be_a_word(text: str, words: list[str] | None) -> None:
    if words is None:
        assert words_and_tags(text) == []
    else:
        assert [word for one in parse(text) for word in one.words] == words
    assert write(text, None).rstrip("\n") == text.rstrip("\n")


def test_comments_can_be_turned_off_or_be_others() -> None:
    assert words_and_tags("# a\n", comments=None) == [(["#"], ["a"])]
    assert words_and_tags("% a b c\nd e\n", comments="%") == [(["d"], ["e"])]


def test_a_comment_inside_a_sentence_is_a_fault() -> None:
    with pytest.raises(DataError, match="f:2"):
        parse("a O\n# one two three\n")


def test_documents_part_sentences() -> None:
    text = "a O\n-DOCSTART- O\nb O\n\n-DOCSTART-\n\n"
    assert [one.words for one in parse(text)] == [["a"], ["b"], []]
    assert write(text, None) == text
    assert write(text, "X") == "a X\n-DOCSTART- O\nb X\n\n-DOCSTART-\n\n"


def test_words_alone() -> None:
    text = "The\nend\n\nNow\n"
    assert words_and_tags(text, column=None) == [(["The", "end"], None), (["Now"], None)]
    assert write(text, "T", column=None) == "The\tT\nend\tT\n\nNow\tT\n\n"
    assert write(text, None, column=None) == text + "\n"
    with pytest.raises(DataError, match="found words only"):
        parse(text)


@pytest.mark.parametrize("column", [-1, 2])
def test_optional_tags(column: int) -> None:
    assert words_and_tags("a\nb\n", column=column, optional=True) == [(["a", "b"], None)]
    assert write("a\nb\n", "T", column=column, optional=True) == "a\tT\nb\tT\n\n"
    assert words_and_tags("a O\n", column=column, optional=True) == [(["a"], ["O"])]


def test_optional_tags_go_behind_the_last_column() -> None:
    assert write("a DT\nb NN\n", "T", column=3, optional=True) == "a DT T\nb NN T\n\n"
    assert write("a\tDT\n", "T", column=None) == "a\tDT\tT\n\n"
    with pytest.raises(DataError, match="tag in column 4"):
        parse("a DT\n", column=4, optional=True)


def test_a_missing_tag_in_the_first_line_does_not_swallow_the_rest() -> None:
    with pytest.raises(DataError, match=r"f:2:.*one column, as on line 1, found 2"):
        parse("a\nb O\n", column=None)


@pytest.mark.parametrize(
    ("text", "options", "line", "column", "says"),
    [
        ("a\tO\nb\n", {}, 2, 2, "expected 2 columns separated by TAB, as on line 1, found 1"),
        ("a\tO\nb\tO\tx\n", {}, 2, 5, "found 3"),
        ("a O\nb O x\n", {}, 2, None, "found 3"),
        ("a O\n\nb\n", {}, 3, 2, "found 1"),
        ("a\tO\n\tO\n", {}, 2, 1, "expected a word in column 1"),
        ("a\tO\nb\t\n", {}, 2, 3, "expected a tag in column 2"),
        ("a\tO\n", {"column": 3}, 1, None, "expected the tag in column 3, found 2 columns"),
        ("a\tO\n", {"column": -3}, 1, None, "expected the tag in column -3"),
        ("a\tO\n", {"word": 3}, 1, None, "expected the word in column 3"),
        ("a\tO\n", {"word": 2}, 1, None, "expected the tag in column -1, found 2 columns, the word in column 2"),
    ],
)
def test_faults(text: str, options: dict[str, Any], line: int, column: int | None, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(text, **options)
    error = caught.value
    assert (error.file, error.line, error.column) == ("f", line, column) and says in str(error)
    assert "found" in str(error) and ";" in str(error)


def test_told_faults_leave_the_rest() -> None:
    told: list[DataError] = []
    lines = ["a\tO", "b", "c\tO\tO", "d\tO", "", "e O", "", "f\tO"]
    sentences = list(get_format("columns").read(enumerate(lines, 1), "f", on_problem=told.append))
    assert [sentence.words for sentence in sentences] == [["a", "d"], [], ["f"]]
    assert [error.line for error in told] == [2, 3, 6]


@pytest.mark.parametrize("options", [{"word": 0}, {"column": 0}, {"column": "upos"}, {"word": 2, "column": 2}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        get_format("columns", **options)
    with pytest.raises(UsageError, match="separator"):
        get_format("columns", separator=";")


def test_tags_that_do_not_fit() -> None:
    [spaced], [tabbed] = parse("a O\n"), parse("a\tO\n")
    assert get_format("columns").write(tabbed, ["two words"]) == "a\ttwo words\n\n"
    for sentence, tags in [(spaced, ["two words"]), (tabbed, ["a\tb"]), (tabbed, []), (spaced, [""])]:
        with pytest.raises(UsageError):
            get_format("columns").write(sentence, tags)


def test_written_afresh() -> None:
    form = get_format("columns")
    assert form.write(Sentence(["New York", "#"]), ["B", "O"]) == "New York\tB\n#\tO\n\n"
    assert form.write(Sentence(["a"], ["X"]), None) == "a\tX\n\n"
    assert form.write(Sentence(["a", "b"]), None) == "a\nb\n\n"
    assert form.write(Sentence([]), []) == ""
    with pytest.raises(UsageError):
        form.write(Sentence(["a\tb"]), None)


def test_another_format_s_sentence_is_written_afresh() -> None:
    [sentence] = get_format("conllu").read([(1, "1\ta\t_\tX" + "\t_" * 6)], "f")
    assert get_format("columns").write(sentence, None) == "a\tX\n\n"
    assert get_format("conllu").write(parse("a X\n")[0], None) == "1\ta\t_\tX" + "\t_" * 6 + "\n\n"


part = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n "), min_size=1, max_size=4)
piece = part.filter(lambda text: text != "#" and not text.startswith("-DOCSTART-"))


@st.composite
def column_files(draw: st.DrawFn) -> tuple[str, list[list[list[str]]]]:
    """A file and its sentences as rows of fields."""
    tabbed, width = draw(st.booleans()), draw(st.integers(2, 4))
    gap = st.just("\t") if tabbed else st.sampled_from([" ", "  ", " \t "])
    edge = st.just("") if tabbed else st.sampled_from(["", " "])
    lines: list[str] = []
    sentences: list[list[list[str]]] = []
    for place in range(draw(st.integers(0, 3))):
        lines += draw(st.lists(st.sampled_from(["", "-DOCSTART- X", "# one two three four five"]), max_size=3))
        sentences.append(draw(st.lists(st.lists(piece, min_size=width, max_size=width), min_size=1, max_size=4)))
        for index, fields in enumerate(sentences[-1]):
            line = draw(edge) + fields[0]
            for one in fields[1:]:
                # what divides the first row divides the file
                line += (" " if not tabbed and place == index == 0 else draw(gap)) + one
            lines.append(line + draw(edge))
        lines.append("")
    lines += draw(st.lists(st.sampled_from(["", "-DOCSTART- X", "# one two three four five"]), max_size=2))
    return "".join(line + "\n" for line in lines), sentences


@given(column_files(), st.sampled_from([-1, 2, -2, None]))
def test_what_was_read_is_written(made: tuple[str, list[list[list[str]]]], column: int | None) -> None:
    text, sentences = made
    if column == -2 and sentences and len(sentences[0][0]) == 2:
        column = 2
    form = get_format("columns", column=column)
    lines = list(enumerate(text.split("\n")[:-1], 1))
    found = list(form.read(lines, "f"))
    assert "".join(form.write(one, None) for one in found) == text
    assert [one.words for one in found if one.words] == [[fields[0] for fields in one] for one in sentences]
    if column is not None:
        at = column - 1 if column > 0 else column
        assert [one.tags for one in found if one.words] == [[fields[at] for fields in one] for one in sentences]
        assert "".join(form.write(one, one.tags) for one in found) == text
    new = "".join(form.write(one, ["T"] * len(one.words)) for one in found)
    back = list(get_format("columns", column=column or -1).read(enumerate(new.split("\n")[:-1], 1), "f"))
    assert [(one.words, one.tags) for one in back if one.words] == [
        (one.words, ["T"] * len(one.words)) for one in found if one.words
    ]


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
@pytest.mark.parametrize(
    ("file", "sentences", "words"),
    [
        ("wnut17/wnut17train.conll", 3394, 62730),
        ("wnut17/emerging.dev.conll", 1009, 15733),
        ("wnut17/emerging.test.annotated", 1287, 23394),
        *((f"wnut17/submissions/{name}", 1287, 23394) for name in ("arcada", "mic-cis.txt", "uh_ritual")),
        ("wikigold/wikigold.conll.txt", 1696, 39007),
        ("ncbi-disease/train.tsv.gz", 5424, 135701),
        ("ncbi-disease/devel.tsv", 923, 23969),
        ("ncbi-disease/test.tsv", 940, 24497),
    ],
)
def test_corpora(file: str, sentences: int, words: int) -> None:
    path = Path(DATA or "") / file
    read_all = read(path, "columns", wordless=True)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8").replace("\r\n", "\n")
    text += "" if text.endswith("\n\n") else "\n\n"
    form = get_format("columns")
    assert (len([one for one in read_all if one.words]), sum(map(len, read_all))) == (sentences, words)
    assert "".join(form.write(one, None) for one in read_all) == text
    assert "".join(form.write(one, one.tags) for one in read_all) == text
