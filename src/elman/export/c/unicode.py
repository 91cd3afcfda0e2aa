"""What Python knows about characters, as tables in C: white space, cases, letters, digits, marks."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from elman.text.tokenizing import ALONE

FINAL = "ς"


def _word(c: str) -> bool:
    return c.isalnum() or c == "_"


def _mark(c: str) -> bool:
    return unicodedata.category(c)[0] == "M" or c in "\u200c\u200d"


def _ignorable(c: str) -> bool:
    """Whether the rule of the final sigma looks past it. Python does not say so, but lower() shows it."""
    return not _cased(c) and f"a{c}Σ".lower().endswith(FINAL)


def _cased(c: str) -> bool:
    return f"{c}Σ".lower().endswith(FINAL)


PREDICATES: dict[str, Callable[[str], bool]] = {
    "is_space": str.isspace,
    "is_upper": str.isupper,
    "is_alpha": str.isalpha,
    "is_digit": str.isdigit,
    "is_decimal": str.isdecimal,
    "is_word": _word,
    "is_mark": _mark,
    "is_alone": lambda c: re.match(f"[{ALONE}]", c) is not None,
    "is_cased": _cased,
    "is_ignorable": _ignorable,
    "is_category_L": lambda c: unicodedata.category(c)[0] == "L",
    "is_category_N": lambda c: unicodedata.category(c)[0] == "N",
    "is_white": lambda c: c.isspace() and not "\x1c" <= c <= "\x1f",  # as \s outside Python
}


@cache
def predicate(name: str) -> str:
    """A key of PREDICATES as a function of a code point."""
    holds = PREDICATES[name]
    codes = [code for code in range(sys.maxunicode + 1) if holds(chr(code))]
    ranges = [(first, last) for first, last in _runs(codes) if last >= 128]
    ascii_bits = [sum(1 << code % 32 for code in codes if code // 32 == word) for word in range(4)]
    rows = ", ".join(f"{{0x{first:x}, 0x{last:x}}}" for first, last in ranges)
    bits = ", ".join(f"0x{word:x}" for word in ascii_bits)
    return f"""static int {name}(uint32_t point) {{
  static const uint32_t ascii[] = {{{bits}}};
  static const uint32_t ranges[][2] = {{
{_wrapped(rows)}
  }};
  if (point < 128) return (int)(ascii[point / 32] >> point % 32 & 1);
  return within(ranges, sizeof ranges / sizeof *ranges, point);
}}"""


@cache
def lower_point() -> str:
    """The lower case of single code points beyond ASCII as a function, and the most that one becomes."""
    single: list[tuple[int, int]] = []
    several: list[tuple[int, str]] = []
    for code in range(128, sys.maxunicode + 1):
        low = chr(code).lower()
        if len(low) > 1:
            several.append((code, low))
        elif ord(low) != code:
            single.append((code, ord(low) - code))
    runs: list[list[int]] = []  # first, last, step, what is added
    for code, added in single:
        if runs and runs[-1][3] == added:
            first, last, step, _ = runs[-1]
            if first == last and code - last in (1, 2):
                runs[-1][1:3] = code, code - last
                continue
            if first != last and code - last == step:
                runs[-1][1] = code
                continue
        runs.append([code, code, 1, added])
    rows = ", ".join(f"{{0x{first:x}, 0x{last:x}, {step}, {added}}}" for first, last, step, added in runs)
    most = max([1, *(len(low) for _, low in several)])
    cases = "".join(
        f"  if (point == 0x{code:x}) {{\n"
        + "".join(f"    out[{i}] = 0x{ord(c):x};\n" for i, c in enumerate(low))
        + f"    return {len(low)};\n  }}\n"
        for code, low in several
    )
    return f"""enum {{ LOWER_MOST = {most} }};  // what one code point becomes in lower case, at most
static size_t lower_point(uint32_t point, uint32_t *out) {{
  static const struct {{
    uint32_t first, last, step;
    int32_t added;
  }} runs[] = {{
{_wrapped(rows)}
  }};
{cases}  size_t low = 0, high = sizeof runs / sizeof *runs;
  while (low < high) {{
    const size_t middle = (low + high) / 2;
    if (point > runs[middle].last)
      low = middle + 1;
    else
      high = middle;
  }}
  const int inside = low < sizeof runs / sizeof *runs && point >= runs[low].first &&
                     (point - runs[low].first) % runs[low].step == 0;
  out[0] = inside ? (uint32_t)((int32_t)point + runs[low].added) : point;
  return 1;
}}"""


def _runs(codes: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs


def _wrapped(rows: str, width: int = 110) -> str:
    import textwrap

    return textwrap.indent(textwrap.fill(rows, width), "    ")
