"""The embedded corpus: valid, deterministic, decided by one word, and by nothing nearer than that word."""

from __future__ import annotations

import hashlib
import math
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import conllu
import pytest

from elman.errors import ResourceError, UsageError
from elman.text.grammar import make, write_corpus

Row = list[str]  # the ten fields of a word
ID, FORM, LEMMA, UPOS, XPOS, FEATS, HEAD, DEPREL, DEPS, MISC = range(10)
PRESENT = ("VBP", "VBZ")


def rows(block: str) -> list[Row]:
    return [line.split("\t") for line in block.split("\n") if line and not line.startswith("#")]


def target(sentence: list[Row]) -> tuple[int, dict[str, str]]:
    """Index and MISC keys of the one ambiguous word."""
    marked = [i for i, row in enumerate(sentence) if "Distance=" in row[MISC]]
    assert len(marked) == 1
    return marked[0], dict(part.split("=") for part in sentence[marked[0]][MISC].split("|"))


@cache
def corpus(seed: int, size: int = 4000) -> list[list[Row]]:
    return [rows(block) for block in make(size, seed=seed)]


def subject_of(sentence: list[Row], verb: Row) -> Row:
    """The noun that a verb agrees with; where that is `that`, the noun that the relative clause is about."""
    (subject,) = [row for row in sentence if row[HEAD] == verb[ID] and row[DEPREL] == "nsubj"]
    return sentence[int(verb[HEAD]) - 1] if subject[FORM] == "that" else subject


def test_every_sentence_is_valid_conllu() -> None:
    for block in make(300, seed=3):
        assert block.endswith("\n\n") and block.count("\n\n") == 1
        (parsed,) = conllu.parse(block)
        assert parsed.metadata["text"] == " ".join(token["form"] for token in parsed)
        assert [token["id"] for token in parsed] == list(range(1, len(parsed) + 1))
        for row in rows(block):
            assert len(row) == 10 and all(row) and row[DEPS] == "_"
            keys = [part.split("=")[0] for part in row[FEATS].split("|")]
            assert keys == sorted(keys) and len(keys) == len(set(keys))


def test_heads_form_a_tree() -> None:
    for sentence in corpus(1)[:500]:
        heads = {int(row[ID]): int(row[HEAD]) for row in sentence}
        assert [row[DEPREL] for row in sentence if row[HEAD] == "0"] == ["root"]
        for word in heads:
            path = [word]
            while path[-1] != 0:
                path.append(heads[path[-1]])
                assert len(path) <= len(heads) + 1


def test_misc_points_at_the_word_that_settles_the_tag() -> None:
    for sentence in corpus(1):
        i, misc = target(sentence)
        decider = int(misc["Head"]) - 1
        assert int(misc["Distance"]) == abs(i - decider)
        assert misc["Side"] == ("left" if decider < i else "right")
        form = sentence[decider][FORM]
        if misc["Side"] == "right":
            plural = not form.endswith("s")
            assert sentence[decider][XPOS] in PRESENT
        else:
            plural = form == "these" or (form != "this" and form.endswith("s"))
        assert sentence[i][XPOS] == ("NNS" if plural else "NN")
        assert sentence[i][FEATS] == ("Number=Plur" if plural else "Number=Sing")
        assert sentence[i][UPOS] == "NOUN"


def test_only_the_marked_words_are_ambiguous() -> None:
    tags = defaultdict(set)
    ambiguous = set()
    for sentence in corpus(1):
        i, _ = target(sentence)
        ambiguous.add(sentence[i][FORM])
        for row in sentence:
            tags[row[FORM]].add(row[XPOS])
            assert row[FORM] != row[LEMMA] or row[XPOS] != "NNS" or row[FORM] == sentence[i][FORM]
    assert {form for form, seen in tags.items() if len(seen) > 1} == ambiguous
    assert 100 <= len(tags) <= 150


def test_present_verbs_agree_and_none_but_the_settling_one_with_the_nouns_in_question() -> None:
    agreeing = 0
    for sentence in corpus(1)[:1500]:
        i, misc = target(sentence)
        decider = sentence[int(misc["Head"]) - 1]
        for verb in sentence:
            if verb[XPOS] in PRESENT:
                noun = subject_of(sentence, verb)
                assert noun[XPOS] == ("NNS" if verb[XPOS] == "VBP" else "NN")
                assert verb is decider or (noun is not decider and noun is not sentence[i])
                agreeing += 1
    assert agreeing > 2000


def test_sides_distances_and_numbers_are_equally_frequent() -> None:
    cells = Counter()
    for sentence in corpus(1):
        i, misc = target(sentence)
        cells[misc["Side"], int(misc["Distance"]), sentence[i][XPOS]] += 1
    assert cells == {(s, d, t): 50 for s in ("left", "right") for d in range(1, 21) for t in ("NN", "NNS")}


def test_relative_clauses_stand_in_one_another() -> None:
    deepest = 0
    for sentence in corpus(1):
        for row in sentence:
            depth = 0
            while row[HEAD] != "0":
                depth += row[DEPREL] == "acl:relcl"
                row = sentence[int(row[HEAD]) - 1]
            deepest = max(deepest, depth)
    assert deepest >= 4


def bayes(features: Callable[[list[Row], int], list]) -> dict[tuple[str, bool], tuple[float, float]]:
    """Naive Bayes for NN or NNS on features of (sentence, index of the noun), tested on another corpus.

    Gives accuracy, and the four standard errors in which chance lies, by side and whether the distance is at most 3.
    """
    counts = {"NN": Counter(), "NNS": Counter()}
    for sentence in corpus(1, 8000):
        i, _ = target(sentence)
        counts[sentence[i][XPOS]].update(features(sentence, i))
    right, total = Counter(), Counter()
    for sentence in corpus(2):
        i, misc = target(sentence)
        odds = sum(math.log((counts["NN"][f] + 1) / (counts["NNS"][f] + 1)) for f in features(sentence, i))
        cell = misc["Side"], int(misc["Distance"]) <= 3
        right[cell] += sentence[i][XPOS] == ("NN" if odds > 0 else "NNS")
        total[cell] += 1
    return {cell: (right[cell] / total[cell], 4 * 0.5 / math.sqrt(total[cell])) for cell in total}


def at_chance(accuracy: float, margin: float) -> bool:
    return abs(accuracy - 0.5) < margin < 0.15


def test_a_window_of_three_words_tells_nothing_beyond_it() -> None:
    def window(sentence: list[Row], i: int) -> list[tuple[int, str]]:
        places = range(max(0, i - 3), min(len(sentence), i + 4))
        return [(j - i, sentence[j][FORM]) for j in places]

    found = bayes(window)
    assert found["left", True][0] > 0.85 and found["right", True][0] > 0.85  # what it needs is in sight
    assert at_chance(*found["left", False]) and at_chance(*found["right", False])


def test_nothing_before_it_tells_a_right_hanging_noun_from_its_plural() -> None:
    def before(sentence: list[Row], i: int) -> list[tuple[int, str] | str]:
        return [(j - i, sentence[j][FORM]) for j in range(i)] + [sentence[j][FORM] for j in range(i + 1)]

    found = bayes(before)
    assert at_chance(*found["right", True]) and at_chance(*found["right", False])
    assert found["left", True][0] > 0.85


def test_cheap_rules_do_not_do() -> None:
    """Agreeing with the first or the nearest noun, or with the last or the nearest verb, is wrong often."""
    wrong, total = Counter(), Counter()
    for sentence in corpus(1):
        i, misc = target(sentence)
        if int(misc["Distance"]) < 8:
            continue
        side = misc["Side"]
        if side == "left":
            signs = [row[XPOS] for row in sentence[:i] if row[XPOS] in ("NN", "NNS")]
        else:
            signs = ["NNS" if row[XPOS] == "VBP" else "NN" for row in sentence[i:][::-1] if row[XPOS] in PRESENT]
        for rule, sign in (("end", signs[0]), ("near", signs[-1])):
            wrong[side, rule] += sign != sentence[i][XPOS]
            total[side, rule] += 1
    shares = {cell: wrong[cell] / total[cell] for cell in total}
    assert min(shares.values()) > 0.05
    assert shares["left", "near"] > 0.35 and shares["right", "near"] > 0.3


def test_the_same_text_everywhere() -> None:
    text = "".join(make(200, seed=1))
    random.seed(5)
    assert "".join(make(200, seed=1)) == text
    assert text.startswith("".join(make(20, seed=1)))
    assert "".join(make(200, seed=2)) != text and "".join(make(200, seed=-1)) != text
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "50d8b6b94caf2a9ceac8e23548d949f6a45bd87c6ee134f4e2675579520cd831"
    )


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 7, 40, 2000])
def test_one_fixed_distance(distance: int) -> None:
    found = Counter()
    for block in make(8, distance=distance):
        sentence = rows(block)
        i, misc = target(sentence)
        assert int(misc["Distance"]) == distance == abs(int(misc["Head"]) - 1 - i)
        found[misc["Side"], sentence[i][XPOS]] += 1
    assert set(found.values()) == {2} and len(found) == 4


def test_write_corpus(tmp_path: Path) -> None:
    out = tmp_path / "new" / "corpus"
    report = write_corpus(out, 2005, seed=4)
    files = {file["part"]: file for file in report["files"]}
    texts, vocabulary = {}, {}
    for split, size in (("train", 1605), ("dev", 200), ("test", 200)):
        content = (out / f"{split}.conllu").read_bytes().decode("utf-8")
        assert "\r" not in content
        blocks = content.strip("\n").split("\n\n")
        assert len(blocks) == size == files[split]["sentences"]
        assert files[split]["path"] == str(out / f"{split}.conllu")
        words = [row[FORM] for block in blocks for row in rows(block)]
        assert files[split]["word_count"] == len(words)
        vocabulary[split] = set(words)
        texts[split] = {" ".join(row[FORM] for row in rows(block)) for block in blocks}
        ids = [line for line in content.split("\n") if line.startswith("# sent_id")]
        assert ids == [f"# sent_id = {split}-{n}" for n in range(1, size + 1)]
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["dev"] and not texts["dev"] & texts["test"]
    assert vocabulary["test"] | vocabulary["dev"] <= vocabulary["train"]
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "XPOS" in readme and "| train.conllu | 1,605 |" in readme and "seed 4" in readme


def test_no_sentence_of_one_part_is_in_another_even_when_sentences_are_few(tmp_path: Path) -> None:
    """Streams of one seed would collide: here they all draw the same, and what is taken already is drawn again."""
    write_corpus(tmp_path, 3000, distance=1)
    blocks = [(tmp_path / f"{s}.conllu").read_text("utf-8").strip().split("\n\n") for s in ("train", "dev", "test")]
    train, dev, test = ({" ".join(row[FORM] for row in rows(b)) for b in part} for part in blocks)
    assert not train & dev and not train & test and not dev & test


def test_writing_again_gives_the_same_and_spares_what_is_not_ours(tmp_path: Path) -> None:
    write_corpus(tmp_path, 50)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["README.md", "dev.conllu", "test.conllu", "train.conllu"]
    write_corpus(tmp_path, 50)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "dev.conllu").write_text("# mine\n")
    with pytest.raises(UsageError, match=r"dev\.conllu"):
        write_corpus(tmp_path, 60)
    assert (tmp_path / "dev.conllu").read_text() == "# mine\n"
    assert (tmp_path / "train.conllu").read_bytes() == before["train.conllu"]


def test_impossible_values_are_usage_errors(tmp_path: Path) -> None:
    for call in (
        lambda: make(0),
        lambda: make(5, distance=0),
        lambda: make(5, max_distance=0),
        lambda: write_corpus(tmp_path / "a", 9),
        lambda: write_corpus(tmp_path / "a", 100, distance=-1),
    ):
        with pytest.raises(UsageError, match="expected"):
            call()
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "corpus"):
        with pytest.raises(ResourceError, match="folder"):
            write_corpus(out, 10)


def test_the_grammar_does_not_import_torch() -> None:
    code = "import sys, elman.text.grammar; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
