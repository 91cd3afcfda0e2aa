"""Tokenizers: from a text to its tokens, and back to a text that reads well."""

from __future__ import annotations

import importlib
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Protocol, cast

from elman.errors import ModelError, UsageError, nearest

TOKENIZERS: dict[str, str] = {
    "space": "elman.text.tokenizing:Space",
    "words": "elman.text.tokenizing:Words",
    "characters": "elman.text.tokenizing:Characters",
    "subwords": "elman.text.subwords:Subwords",  # the one that must be trained
}


class Tokenizer(Protocol):
    """A way to split a text. No token is empty."""

    name: ClassVar[str]

    def split(self, text: str) -> list[str]:
        """The tokens of a text."""
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """A text of these tokens."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that `tokenizer_from_json` needs; `kind` is the name in TOKENIZERS."""
        ...

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Tokenizer:
        """The tokenizer that `to_json` described."""
        ...


def get_tokenizer(name: str) -> Tokenizer:
    """A tokenizer that needs no training. Raises UsageError for unknown names and for `subwords`."""
    kind = _kind(name)
    if hasattr(kind, "train"):
        raise UsageError(f"the tokenizer {name} is trained on texts; call {kind.__name__}.train(texts, size)")
    return cast(Tokenizer, kind())


def tokenizer_from_json(stored: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `to_json` described. Raises ModelError for what it never writes."""
    name = stored.get("kind") if isinstance(stored, dict) else None
    if not isinstance(name, str) or name not in TOKENIZERS:
        known = ", ".join(TOKENIZERS)
        raise ModelError(f"expected a tokenizer whose kind is one of {known}, found {name!r}; save the model again")
    return cast(Tokenizer, _kind(name).from_json(stored))


def _kind(name: str) -> Any:
    if name not in TOKENIZERS:
        raise UsageError(f"unknown tokenizer {name!r}; {nearest(name, TOKENIZERS)}")
    module, _, attribute = TOKENIZERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


class _Plain:
    """A tokenizer without settings."""

    name: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.name}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Any:
        return cls()


class Space(_Plain):
    """Split at white space; for texts that are already tokenized."""

    name = "space"

    def split(self, text: str) -> list[str]:
        return text.split()

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)


class Characters(_Plain):
    """Every code point is a token, white space too; `join` is the exact inverse.

    Code points, not what a reader sees as one character: a letter with a combining accent is two tokens.
    """

    name = "characters"

    def split(self, text: str) -> list[str]:
        return list(text)

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)


class Words(_Plain):
    """Words of any script. White space separates tokens and is in none; from the left, the first of these that matches:

    a web address           from http://, https://, ftp:// or www. up to white space, a quote or < >, without
                            punctuation at its end
    an e-mail address       name@host.domain
    a number                digits with single . or , between them: 3.14, 1,000, 192.168.0.1
    a character by itself   Chinese characters and Japanese kana, which are written without spaces between words
    a word                  a run of letters and digits, with one apostrophe (' or ’) or hyphen (- or U+2010)
                            between two such runs: don't, state-of-the-art, mp3
    any other character     by itself: ( . … _ €

    Combining marks and joiners (U+200C, U+200D) belong to what they follow. A number ends before letters: 3.5kg is two
    tokens, 5kg one. Scripts without spaces other than Chinese and Japanese (Thai, Khmer, Lao) are not split into words.
    Letters, digits and marks are as in Python's Unicode tables.
    """

    name = "words"

    @property
    def pattern(self) -> str:
        """What a token is, as a regular expression of `re`."""
        return _words().pattern

    def split(self, text: str) -> list[str]:
        return _words().findall(text)

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)


# Han with its iteration mark and zero, hiragana, katakana with its length mark, halfwidth katakana.
ALONE = (
    "\u3005\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)


@cache
def _words() -> re.Pattern[str]:
    """The pattern of Words. It is built when first used: the marks are looked up, since `re` has no name for them."""
    marks = _ranges(
        chr(code)
        for code in range(sys.maxunicode + 1)
        if (code < 0x20000 or code >= 0xE0000) and code < 0xF0000 and unicodedata.category(chr(code))[0] == "M"
    )
    marks += "\u200c\u200d"
    letter = f"(?:(?![{ALONE}])[^\\W_])"
    run = f"{letter}(?:{letter}|[{marks}])*"
    return re.compile(
        "|".join(
            [
                r"""(?:(?:https?|ftp)://|www\.)[^\s<>"]*[^\s<>".,;:!?'’)\]}]""",
                r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",  # the bound keeps a long line of words and dots fast
                r"\d+(?:[.,]\d+)+",
                f"{run}(?:['’\\-\u2010]{run})*",
                f"\\S[{marks}]*",
            ]
        )
    )


def _ranges(characters: Iterable[str]) -> str:
    """Ascending characters as the inside of a character class."""
    ranges: list[list[str]] = []
    for character in characters:
        if ranges and ord(character) == ord(ranges[-1][1]) + 1:
            ranges[-1][1] = character
        else:
            ranges.append([character, character])
    return "".join(first if first == last else f"{first}-{last}" for first, last in ranges)
