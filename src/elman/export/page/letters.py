"""What Python knows about characters, for a page whose browser may know another version of Unicode.

Ranges are the inside of a character class of a JavaScript pattern with the flag u."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from elman.errors import UsageError
from elman.layers.plan import Table
from elman.tasks.plan import Plan, Rewriting
from elman.text import tokenizing

# Beyond are no characters, but private ones.
CODES = (*range(0x40000), *range(0xE0000, 0xE1000))
FORMS = ("lower", "given", "prefix1", "prefix2", "prefix3", "suffix1", "suffix2", "suffix3", "suffix4")


def tables(plan: Plan | Rewriting) -> dict[str, Any]:
    """What this plan's text and forms of tokens need, by name:

    space:   what separates tokens
    words:   {"pattern", ...}: the pattern of the tokenizer of that name, in which {{s}} stands for the entry s
    pieces:  that by which texts are cut before subwords are looked for
    lower:   {"from", "to"}: characters and their lower case, "cased" and "ignorable": for a sigma at the end of a word
    upper, alpha, digit: for the shape of a word"""
    text = plan.source if isinstance(plan, Rewriting) else plan.text
    kind = text.tokenizer["kind"]
    found: dict[str, Any] = {}
    if kind == "space":
        found["space"] = _class(str.isspace)
    elif kind == "words":
        found["words"] = words()
    elif kind == "subwords":
        _require_own(text.tokenizer["tokenizer"])
        found["pieces"] = _pieces()
    if isinstance(plan, Rewriting):
        return found
    of = {one.of for one in plan.inputs if isinstance(one, Table)}
    if plan.text.lowercase or of.intersection(FORMS) or (plan.wide is not None and plan.wide.edges):
        found["lower"] = _lower()
    if "shape" in of:
        found |= {"upper": _class(str.isupper), "alpha": _class(str.isalpha), "digit": _class(str.isdigit)}
    return found


@cache
def words() -> dict[str, str]:
    """The pattern of the tokenizer `words` in JavaScript: the same, with Python's classes and its marks as entries."""
    pattern = tokenizing._words().pattern
    marks = max(re.findall(r"\[([^\]]{100,})\]", pattern), key=len)
    pattern = pattern.replace(marks, "{{marks}}").replace(r"[^\W_]", "[{{letters}}]")
    inside = False
    parts = re.split(r"(\\.|[\[\]])", pattern)
    for k, part in enumerate(parts):
        if part in ("[", "]"):
            inside = part == "["
        elif part in _PLACES:
            parts[k] = _PLACES[part] if inside else f"[{_PLACES[part]}]"
        elif part == r"\S":
            parts[k] = "[^{{blanks}}]"
    return {
        "pattern": "".join(parts),
        "letters": _class(str.isalnum),
        "digits": _class(str.isdecimal),
        "blanks": _class(str.isspace),
        "marks": marks,
    }


_PLACES = {r"\w": "{{letters}}_", r"\d": "{{digits}}", r"\s": "{{blanks}}"}


@cache
def _class(has: Callable[[str], bool]) -> str:
    """The characters that have a property."""
    return _ranges(code for code in CODES if has(chr(code)))


def _ranges(codes: Iterable[int]) -> str:
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(_escaped(first) + (f"-{_escaped(last)}" if last > first else "") for first, last in ranges)


def _escaped(code: int) -> str:
    return chr(code) if chr(code).isalnum() else f"\\u{{{code:x}}}"


@cache
def _lower() -> dict[str, str | list[str]]:
    """Lower case as Python's. In what a capital sigma becomes, it matters whether letters are before it and after it:
    "cased" ones, where those that are "ignorable" are skipped."""
    changed = [chr(code) for code in CODES if chr(code).lower() != chr(code)]
    cased, ignorable = [], []
    for code in CODES:
        c = chr(code)
        if ("aΣ" + c).lower()[1] == "σ":
            cased.append(code)
        elif ("aΣ" + c + "a").lower()[1] == "σ":
            ignorable.append(code)
    return {
        "from": "".join(changed),
        "to": [c.lower() for c in changed],
        "cased": _ranges(cased),
        "ignorable": _ranges(ignorable),
    }


def _require_own(stored: Mapping[str, Any]) -> None:
    """Raise UsageError for subwords that are not as `Subwords.train` makes them."""
    cut = stored.get("pre_tokenizer") or {}
    model = stored["model"]
    usual = (cut.get("type"), cut.get("add_prefix_space"), cut.get("use_regex", True)) == ("ByteLevel", False, True)
    more = [stored.get("normalizer"), stored.get("added_tokens"), model.get("dropout"), model.get("ignore_merges")]
    if not usual or any(more) or model.get("type") != "BPE":
        raise UsageError(
            "expected subwords as elman trains them (byte-level byte-pair encoding without a normalizer), found a "
            "tokenizer of another kind, which a page cannot run; train with --tokenizer subwords"
        )


@cache
def _pieces() -> str:
    """GPT-2's pattern with the letters, numbers and blanks of the package tokenizers: how it cuts a run of characters
    of one kind says whether all of them are."""
    from tokenizers.pre_tokenizers import ByteLevel

    cut = ByteLevel(add_prefix_space=False)
    kinds: dict[str, list[int]] = {kind: [] for kind in "LNZ."}
    groups: dict[str, list[int]] = {kind: [] for kind in "LN."}
    for code in CODES:
        if not 0xD800 <= code < 0xE000:
            kind = unicodedata.category(chr(code))[0]
            groups[kind if kind in groups else "."].append(code)
    for kind, codes in groups.items():
        for first in range(0, len(codes), 64):
            some = codes[first : first + 64]
            if len(cut.pre_tokenize_str("".join(map(chr, some)))) == 1:
                kinds[kind] += some
                continue
            for code in some:
                begins = {start for _, (start, _) in cut.pre_tokenize_str("a{0}1{0}!{0}".format(chr(code)))}
                joined = [name for name, at in (("L", 1), ("N", 3), (".", 5)) if at not in begins]
                kinds[joined[0] if joined else "Z"].append(code)
    letters, numbers, blanks = (_ranges(sorted(kinds[kind])) for kind in "LNZ")
    marks = f"^{blanks}{letters}{numbers}"
    return f"'s|'t|'re|'ve|'m|'ll|'d| ?[{letters}]+| ?[{numbers}]+| ?[{marks}]+|[{blanks}]+(?![^{blanks}])|[{blanks}]+"
