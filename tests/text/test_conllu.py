"""CoNLL-U against the conllu library, by writing back what was read, and fault by fault."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import conllu
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.text import Sentence, get_format, read

DATA = os.environ.get("ELMAN_DATA")


def row(name: str | int, form: str, upos: str = "X", feats: str = "_", misc: str = "_") -> str:
    return f"{name}\t{form}\t_\t{upos}\t_\t{feats}\t_\t_\t_\t{misc}"


LITTLE = "\n".join(
    [
        "# newdoc id = d",
        "",
        "# text = In den 10 000 Jahren",
        row("1-2", "In"),
        row(1, "In", "ADP"),
        row(2, "den", "DET", "Case=Dat|Number=Plur"),
        row(3, "10 000", "NUM", "_", "SpaceAfter=No|Gloss=t"),
        row("3.1", "und", "CCONJ"),
        row("3.2", "so", "ADV"),
        row(4, "Jahren", "NOUN", "Number=Plur"),
        "",
        "",
        row("0.1", "_"),
        row(1, "#", "SYM"),
        "",
        "# the end",
    ]
)


def parse(text: str, column: str | None = "upos") -> list[Sentence]:
    return list(get_format("conllu", column=column).read(enumerate(text.split("\n"), 1), "f"))


def test_words_tags_and_places() -> None:
    first, second, rest = parse(LITTLE)
    assert first.words == ["In", "den", "10 000", "Jahren"] and first.tags == ["ADP", "DET", "NUM", "NOUN"]
    assert (first.file, first.line, first.lines) == ("f", 5, [5, 6, 7, 10])
    assert (second.words, second.tags, second.line) == (["#"], ["SYM"], 14)
    assert rest.words == [] and rest.tags == []
    assert get_format("conllu").columns_of(first) == [3, 3, 3, 3]
    assert get_format("conllu").columns_of(first, tag=True) == [8, 9, 12, 12]


@pytest.mark.parametrize(
    ("column", "tags"),
    [
        ("upos", ["ADP", "DET", "NUM", "NOUN"]),
        ("UPOS", ["ADP", "DET", "NUM", "NOUN"]),
        ("xpos", ["_"] * 4),
        ("feats", ["_", "Case=Dat|Number=Plur", "_", "Number=Plur"]),
        ("feats:Number", ["_", "Plur", "_", "Plur"]),
        ("feats:Num", ["_"] * 4),
        ("misc:Gloss", ["_", "_", "t", "_"]),
        (None, None),
    ],
)
def test_columns(column: str | None, tags: list[str] | None) -> None:
    sentences = parse(LITTLE, column)
    assert sentences[0].tags == tags
    form = get_format("conllu", column=column)
    assert "".join(form.write(one, None) for one in sentences) == LITTLE + "\n"
    if column:
        assert "".join(form.write(one, one.tags) for one in sentences) == LITTLE + "\n"


def test_writing_changes_one_column_of_the_words() -> None:
    first = parse(LITTLE)[0]
    before = LITTLE.split("\n")[:11]
    after = get_format("conllu").write(first, ["A", "B", "C", "D"]).split("\n")
    assert len(after) == 12 and after.pop() == ""
    changed = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [4, 5, 6, 9]
    for place, tag in zip(changed, "ABCD", strict=True):
        fields = before[place].split("\t")
        fields[3] = tag
        assert after[place] == "\t".join(fields)


@pytest.mark.parametrize(
    ("column", "field", "value", "expected"),
    [
        ("feats:Number", "_", "Sing", "Number=Sing"),
        ("feats:Number", "Number=Sing", "_", "_"),
        ("feats:Number", "Case=Nom|Number=Sing|Person=3", "Plur", "Case=Nom|Number=Plur|Person=3"),
        ("feats:Number", "Case=Nom|Person=3", "Sing", "Case=Nom|Number=Sing|Person=3"),
        ("feats:abc", "Abbr=Yes|Case=Nom", "x", "Abbr=Yes|abc=x|Case=Nom"),
        ("feats:Number[psor]", "Number=Sing", "Plur", "Number=Sing|Number[psor]=Plur"),
        ("feats:Number", "Person=3|Case=Nom", "_", "Person=3|Case=Nom"),
        ("misc:Gloss", "Z=1|A=2", "g", "Z=1|A=2|Gloss=g"),
        ("misc:Gloss", "Z=1|Gloss=x|A=2", "g", "Z=1|Gloss=g|A=2"),
        ("misc:Gloss", "CorrectForm|Gloss=x", "_", "CorrectForm"),
    ],
)
def test_writing_one_key(column: str, field: str, value: str, expected: str) -> None:
    kind = column.split(":")[0]
    text = row(1, "a", "X", field if kind == "feats" else "_", field if kind == "misc" else "_") + "\n\n"
    [sentence] = parse(text, column)[:1]
    written = get_format("conllu", column=column).write(sentence, [value])
    assert written.split("\n")[0].split("\t")[5 if kind == "feats" else 9] == expected
    assert parse(written, column)[0].tags == [value]


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_the_end_of_the_file_may_lack(end: str, tmp_path: Path) -> None:
    path = tmp_path / "f.conllu"
    path.write_text(row(1, "a") + end)
    [sentence] = read(path)
    assert get_format("conllu").write(sentence, None) == row(1, "a") + "\n\n"


def test_crlf_becomes_lf(tmp_path: Path) -> None:
    path = tmp_path / "f.conllu"
    path.write_bytes(b"\xef\xbb\xbf" + LITTLE.replace("\n", "\r\n").encode())
    assert "".join(get_format("conllu").write(one, None) for one in read(path, wordless=True)) == LITTLE + "\n"


@pytest.mark.parametrize(
    ("rows", "line", "column", "says"),
    [
        ([row(1, "a")[:-2]], 1, None, "expected 10 columns separated by TAB, found 9"),
        ([row(1, "a") + "\t_"], 1, None, "found 11"),
        ([row(1, "a").replace("\t", "  ")], 1, None, "found spaces and no TAB"),
        ([row(2, "a")], 1, 1, "expected the id 1, found 2"),
        ([row(1, "a"), row(3, "b")], 2, 1, "expected the id 2, found 3"),
        ([row(1, "a"), row(1, "b")], 2, 1, "expected the id 2, found 1"),
        ([row("01", "a")], 1, 1, "expected an id"),
        ([row("x", "a")], 1, 1, "expected an id"),
        ([row("1" * 5000, "a")], 1, 1, "expected an id"),
        ([row("", "a")], 1, 1, "expected an id"),
        ([row(1, "a"), row(2, "")], 2, 3, "column 2 (FORM)"),
        ([row(1, "a", "")], 1, 7, "column 4 (UPOS)"),
        ([row("1-2", "ab"), row(1, "a")], 1, 1, "range to end at a word"),
        ([row("2-3", "ab"), row(1, "a"), row(2, "b"), row(3, "c")], 1, 1, "range before its first word"),
        ([row("2-1", "ab")], 1, 1, "range before its first word"),
        ([row("1-2", "ab"), row(1, "a"), row("2-3", "bc"), row(2, "b"), row(3, "c")], 3, 1, "not overlapping"),
        ([row(1, "a"), row("1.2", "b")], 2, 1, "id 1.1, found 1.2"),
        ([row(1, "a"), row("2.1", "b")], 2, 1, "id 1.1, found 2.1"),
        ([row("0.1", "a")], 1, None, "expected a word in the sentence"),
    ],
)
def test_faults(rows: list[str], line: int, column: int | None, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse("\n".join(rows) + "\n")
    error = caught.value
    assert (error.file, error.line, error.column) == ("f", line, column) and says in str(error)
    assert "expected" in str(error) and "found" in str(error) and ";" in str(error)


def test_told_faults_leave_the_rest() -> None:
    told: list[DataError] = []
    rows = [row(1, "a"), "2\tb", row(3, "c"), row(7, "d"), row(8, "e"), "", row(1, ""), "", row(1, "f")]
    sentences = list(get_format("conllu").read(enumerate(rows, 1), "f", on_problem=told.append))
    assert [sentence.words for sentence in sentences] == [["a", "c", "d", "e"], [], ["f"]]
    assert [error.line for error in told] == [2, 4, 7]


def test_written_afresh() -> None:
    form = get_format("conllu")
    text = form.write(Sentence(["New York", "#"]), ["PROPN", "SYM"])
    assert text == row(1, "New York", "PROPN") + "\n" + row(2, "#", "SYM") + "\n\n"
    assert form.write(Sentence(["a"]), None) == row(1, "a", "_") + "\n\n"
    feats = get_format("conllu", column="feats:Case").write(Sentence(["a"]), ["Nom"])
    assert feats == row(1, "a", "_", "Case=Nom") + "\n\n"


@pytest.mark.parametrize("tags", [["A"], ["A", "B", "C"], ["A", ""], ["A", "B\tC"], ["A", "B\n"]])
def test_tags_that_do_not_fit(tags: list[str]) -> None:
    [sentence] = parse(row(1, "a") + "\n" + row(2, "b"))
    for one in (sentence, Sentence(["a", "b"])):
        with pytest.raises(UsageError):
            get_format("conllu").write(one, tags)


def test_words_alone_cannot_be_tagged() -> None:
    with pytest.raises(UsageError, match="no column"):
        get_format("conllu", column=None).write(parse(LITTLE, None)[1], ["X"])


@pytest.mark.parametrize("column", ["pos", "lemma", "feats:", "feats:A=b", "upos:Case", "", 4])
def test_unknown_columns(column: str) -> None:
    with pytest.raises(UsageError, match="no tag column"):
        get_format("conllu", column=column)


field = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n"), min_size=1, max_size=5)
comment = field.map(lambda text: "# " + text)


@st.composite
def treebanks(draw: st.DrawFn) -> str:
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        lines += draw(st.lists(comment, max_size=2))
        size = draw(st.integers(1, 5))
        covered = 0
        for index in range(size + 1):
            others = [draw(field) for _ in range(8)]
            if index:
                if index > covered and draw(st.booleans()):
                    covered = draw(st.integers(index, size))
                    lines.append("\t".join([f"{index}-{covered}", draw(field), *others]))
                lines.append("\t".join([str(index), draw(field), *others]))
            nodes = range(1, draw(st.integers(0, 2)) + 1)
            lines += ["\t".join([f"{index}.{node}", draw(field), *others]) for node in nodes]
        lines += [""] * draw(st.integers(1, 2))
    lines += draw(st.lists(comment, max_size=2))
    return "".join(line + "\n" for line in lines)


@given(treebanks(), st.sampled_from(["upos", "xpos", "feats", "feats:Case", "misc:a", None]))
def test_what_was_read_is_written(text: str, column: str | None) -> None:
    form = get_format("conllu", column=column)
    sentences = list(form.read(((n, line) for n, line in enumerate(text.split("\n")[:-1], 1)), "f"))
    assert "".join(form.write(one, None) for one in sentences) == text
    if column is not None:
        assert "".join(form.write(one, one.tags) for one in sentences) == text
    new = [["T"] * len(one.words) for one in sentences]
    if column == "upos":
        again = "".join(form.write(one, tags) for one, tags in zip(sentences, new, strict=True))
        assert [one.tags for one in form.read(enumerate(again.split("\n")[:-1], 1), "f")] == new


def oracle(text: str) -> list[tuple[list[str], list[str]]]:
    """Words and UPOS as the conllu library reads them."""
    raw = {"upos": lambda line, i: line[i]}
    trees = [tree for tree in conllu.parse(text, field_parsers=raw) if tree]  # comments alone are an empty tree there
    rows = [[token for token in tree if isinstance(token["id"], int)] for tree in trees]
    return [([token["form"] for token in one], [token["upos"] for token in one]) for one in rows]


@given(treebanks())
def test_words_and_tags_agree_with_the_conllu_library(text: str) -> None:
    # Its reader strips lines and parses every field, so what it cannot take is made plain: white space and odd columns.
    lines = []
    for line in text.split("\n"):
        fields = line.split("\t")
        if len(fields) == 10:
            fields = [part if part.strip() == part and part.isprintable() else "w" for part in fields]
            line = "\t".join([*fields[:5], "_", "0", "d", "_", "_"])
        lines.append("# c" if line.startswith("#") else line)
    plain = "\n".join(lines)
    ours = [(one.words, one.tags) for one in parse(plain) if one.words]
    assert ours == oracle(plain)


@pytest.mark.skipif(not DATA, reason="ELMAN_DATA is not set")
@pytest.mark.parametrize(
    ("file", "sentences", "words"),
    [
        ("ud-english-ewt/en_ewt-ud-train.conllu.gz", 12544, 204577),
        ("ud-english-ewt/en_ewt-ud-dev.conllu.gz", 2001, 25147),
        ("ud-english-ewt/en_ewt-ud-test.conllu.gz", 2077, 25094),
        ("ud-french-sequoia/fr_sequoia-ud-train.conllu.gz", 2231, 50502),
        ("ud-french-sequoia/fr_sequoia-ud-dev.conllu", 412, 9999),
        ("ud-french-sequoia/fr_sequoia-ud-test.conllu", 456, 10044),
    ],
)
def test_corpora(file: str, sentences: int, words: int) -> None:
    path = Path(DATA or "") / file
    read_all = read(path, wordless=True)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8")
    form = get_format("conllu")
    assert (len(read_all), sum(map(len, read_all))) == (sentences, words)
    assert "".join(form.write(one, None) for one in read_all) == text
    assert "".join(form.write(one, one.tags) for one in read_all) == text
    if words < 30000:
        assert [(one.words, one.tags) for one in read_all] == oracle(text)
