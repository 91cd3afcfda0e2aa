"""Text in drawings: what XML allows, about how wide it is, and cut where it does not fit."""

from __future__ import annotations

import unicodedata

NARROW, BROAD = frozenset(" .,:;'`|!ijlIftr()[]{}"), frozenset("mwMW@%—…")
CUT = "…"


def clean(text: str) -> str:
    """The text without what XML forbids: control characters become escapes, as in \\x07, the rest U+FFFD.

    Newline and tab stay. A lone surrogate, which no encoding can write, belongs to the rest."""
    if text.isprintable() and not any(0xFFFE <= ord(c) < 0x10000 for c in text):
        return text
    return "".join(c if _allowed(ord(c)) else f"\\x{ord(c):02x}" if ord(c) < 0xA0 else "\ufffd" for c in text)


def visible(text: str) -> str:
    """A token as it is drawn, on one line: newline is ↵, tab ⇥, a lone space ␣, and the empty token ∅."""
    shown = clean(text).replace("\n", "↵").replace("\t", "⇥")
    return shown.replace(" ", "␣") if shown and not shown.strip() else shown or "∅"


def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """About how wide a line of text is, in the units of its size: a guess, as fonts differ, rather too wide."""
    em = sum(_em(c, mono) for c in text)
    return em * size * (1.08 if bold else 1.0)


def fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The token on one line in this width, cut with an ellipsis where it does not fit; one character is always kept."""
    text = visible(text)
    if width(text, size, bold=bold) <= room:
        return text
    shown = text[:1]
    for character in text[1:]:
        if width(shown + character + CUT, size, bold=bold) > room:
            break
        shown += character
    return shown + CUT


def number(value: float) -> str:
    """A number for people: three significant digits, no noise: 0.0312, 1.5, 120, 3.1e-07."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "−")


def _allowed(code: int) -> bool:
    return code in (9, 10) or 0x20 <= code < 0x7F or 0xA0 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF


def _em(character: str, mono: bool) -> float:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if mono:
        return 0.602
    if character in NARROW:
        return 0.4
    if character in BROAD:
        return 1.0
    return 0.7 if character.isupper() else 0.62
