"""Tokenizers: by examples, against a scanner that is written differently, and there and back."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ModelError, UsageError
from elman.text.tokenizing import TOKENIZERS, get_tokenizer, tokenizer_from_json

WORDS = get_tokenizer("words")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic, it's a state-of-the-art mp3!", "Don't|panic|,|it's|a|state-of-the-art|mp3|!"),
        ("l’été -- 'quoted' rock'n'roll' -x- a--b", "l’été|-|-|'|quoted|'|rock'n'roll|'|-|x|-|a|-|-|b"),
        ("3.14, 1,000.50. 192.168.0.1 5kg 3.5kg v1.2 1st", "3.14|,|1,000.50|.|192.168.0.1|5kg|3.5|kg|v1|.|2|1st"),
        ("(see https://a.org/b?c=d,e). www.x.de!", "(|see|https://a.org/b?c=d,e|)|.|www.x.de|!"),
        ("mail jo.doe+x@mail.example.org, @home a@b", "mail|jo.doe+x@mail.example.org|,|@|home|a|@|b"),
        ("我爱Python3和カラオケ。", "我|爱|Python3|和|カ|ラ|オ|ケ|。"),
        ("e\u0301te\u0301 हिन्दी می\u200cخواهم", "e\u0301te\u0301|हिन्दी|می\u200cخواهم"),
        ("snake_case 50€…\u00a0😀👍🏽\ufe0f", "snake|_|case|50|€|…|😀|👍|🏽\ufe0f"),
        ("http:// www.", "http|:|/|/|www|."),
        ("ТЕКСТ Ελλάδα ٣٫٥ 서울에서", "ТЕКСТ|Ελλάδα|٣|٫|٥|서울에서"),
        (" \t\n", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    tokens = WORDS.split(text)
    assert "|".join(tokens) == expected
    assert WORDS.split(WORDS.join(tokens)) == tokens


def is_alone(character: str) -> bool:
    name = unicodedata.name(character, "").removeprefix("HALFWIDTH ")
    return name.startswith(("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ", "HIRAGANA", "KATAKANA"))


def scan(text: str) -> list[str]:
    """Words by a walk over the characters and their categories; for texts without @, : and www."""

    def letter(at: int) -> bool:
        return at < len(text) and unicodedata.category(text[at])[0] in "LN" and not is_alone(text[at])

    def mark(at: int) -> bool:
        return at < len(text) and (unicodedata.category(text[at])[0] == "M" or text[at] in "\u200c\u200d")

    def digits(at: int) -> int:
        while at < len(text) and unicodedata.category(text[at]) == "Nd":
            at += 1
        return at

    tokens, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = digits(at)
        while end > at and end < len(text) and text[end] in ".," and digits(end + 1) > end + 1:
            end = digits(end + 1)
        if not any(c in ".," for c in text[at:end]):
            end = at + 1
            if letter(at):
                while letter(end) or mark(end) or (end < len(text) and text[end] in "'’-\u2010" and letter(end + 1)):
                    end += 1
            else:
                while mark(end):
                    end += 1
        tokens.append(text[at:end])
        at = end
    return tokens


LETTERS = st.text(st.sampled_from("aZß1٣²½é\u0301\u200dक्ि我々カか서 \u2003\n'’-\u2010.,_€😀\ufe0f"), max_size=30)
ANY = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="@:w"), max_size=30)


@settings(max_examples=500, deadline=None)
@given(LETTERS | ANY)
def test_words_against_a_scanner(text: str) -> None:
    # Letters and numbers that Python's \w leaves out, or names of kana that are no kana, are not what this is about.
    text = "".join(c for c in text if not (is_alone(c) and unicodedata.category(c)[0] not in "L"))
    text = "".join(c for c in text if (unicodedata.category(c)[0] in "LN") == c.isalnum() and not squared(c))
    assert WORDS.split(text) == scan(text)


def squared(character: str) -> bool:
    """Kana in forms of other blocks, which few texts have: half of them are letters, half symbols."""
    return is_alone(character) and not ("\u3005" <= character <= "\u9fff" or "\uff66" <= character <= "\uff9f")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"ab1.,:/@w-'’ \"_?我\u0301", "http://", "www.", "a@b."]), max_size=20))
def test_words_lose_nothing_but_white_space(parts: list[str]) -> None:
    text = "".join(parts)
    tokens = WORDS.split(text)
    assert "".join(tokens) == "".join(text.split()) and all(tokens)


@pytest.mark.parametrize("unit", ["a", "a.", "1,", "a@", "a-", "-", "http://", ".", "a@b.", "\u0301", "我", "www."])
def test_long_lines_stay_quick(unit: str) -> None:
    start = time.process_time()
    tokens = WORDS.split(unit * (200_000 // len(unit)))
    assert "".join(tokens) == unit * (200_000 // len(unit))
    assert time.process_time() - start < 5


@given(st.text())
def test_there_and_back(text: str) -> None:
    characters, space = get_tokenizer("characters"), get_tokenizer("space")
    assert characters.join(characters.split(text)) == text and all(len(one) == 1 for one in characters.split(text))
    assert space.split(space.join(space.split(text))) == space.split(text) == text.split()


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "subwords"])
def test_storage(name: str) -> None:
    stored = json.loads(json.dumps(get_tokenizer(name).to_json()))
    assert type(tokenizer_from_json(stored)) is type(get_tokenizer(name)) and stored == {"kind": name}


def test_wrong_names() -> None:
    with pytest.raises(UsageError, match="'words'"):
        get_tokenizer("word")
    with pytest.raises(UsageError, match="train"):
        get_tokenizer("subwords")
    for stored in ({}, {"kind": "word"}, {"kind": []}, []):
        with pytest.raises(ModelError):
            tokenizer_from_json(stored)  # type: ignore[arg-type]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    from elman.text.subwords import Subwords

    with pytest.raises(UsageError, match=r"pip install 'elman\[subwords\]'"):
        Subwords.train(["a"], 300)
    with pytest.raises(UsageError, match=r"pip install 'elman\[subwords\]'"):
        tokenizer_from_json({"kind": "subwords", "tokenizer": {}})


TEXTS = ["low low low low low", "lower lower newest newest newest newest newest newest widest widest widest", "é😀 é"]


class TestSubwords:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("tokenizers")

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_there_and_back(self, text: str) -> None:
        from elman.text.subwords import Subwords

        subwords = Subwords.train(TEXTS, 280)
        again = tokenizer_from_json(json.loads(json.dumps(subwords.to_json())))
        assert subwords.join(subwords.split(text)) == text
        assert again.split(text) == subwords.split(text) and all(again.split(text))

    @pytest.mark.parametrize("merges", [0, 1, 2, 3, 4])
    def test_merges_are_the_most_frequent_pairs(self, merges: int) -> None:
        """Byte-pair encoding by the book, on words that a blank divides and belongs to."""
        from elman.text.subwords import Subwords

        text = " ab" * 40 + " cab" * 23 + " c" * 11 + " acab" * 7
        words = [["Ġ", *word] for word in text.split()]
        for _ in range(merges):
            counts = Counter(pair for word in words for pair in itertools.pairwise(word))
            (best, count), (_, next_count) = counts.most_common(2)
            assert count > next_count  # which of two would be merged is not said by the book
            for word in words:
                for at in reversed(range(len(word) - 1)):
                    if (word[at], word[at + 1]) == best:
                        word[at : at + 2] = ["".join(best)]
        subwords = Subwords.train([text], 256 + merges)
        assert len(subwords) == 256 + merges
        assert subwords.split(text) == [token for word in words for token in word]

    def test_training_is_deterministic(self) -> None:
        """In one process and over others, whatever their hash seeds; all pairs here are equally frequent."""
        code = (
            "import json; from elman.text.subwords import Subwords;"
            "t = [chr(97 + i) + chr(97 + j) for i in range(26) for j in range(26)];"
            "print(json.dumps(Subwords.train(t * 3, 500).to_json(), sort_keys=True))"
        )
        answers = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(3)}
        assert len(answers) == 1

    def test_wrong_calls(self) -> None:
        from elman.text.subwords import Subwords

        with pytest.raises(UsageError, match="at least 256"):
            Subwords.train(TEXTS, 255)
        assert len(Subwords.train([], 300)) == 256
        for stored in ({"kind": "subwords"}, {"kind": "subwords", "tokenizer": {"model": 1}}):
            with pytest.raises(ModelError):
                tokenizer_from_json(stored)
