"""HTML from Python: what is not Markup already is escaped, so that no text can become markup."""

from __future__ import annotations

import html
import re

from elman.inspect.figures.wording import clean

VOID = {"input", "meta", "link", "br"}


class Markup(str):
    """HTML to be put into a page unchanged."""


def escape(text: object) -> Markup:
    """Markup unchanged, everything else as text."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(str(text))))


def join(*parts: object) -> Markup:
    return Markup("".join(map(escape, parts)))


def element(name: str, /, *inside: object, **attributes: object) -> Markup:
    """One element. class_ is class, data_step is data-step; True is the bare name, None and False leave it out."""
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escape(str(value))}"')
    end = "" if name in VOID else f"{join(*inside)}</{name}>"
    return Markup(f"<{' '.join(words)}>{end}")


def scripts(formula: str) -> Markup:
    """A formula in one line: `_x` and `_{x y}` are subscripts, `^x` and `^{x y}` superscripts."""
    parts = re.split(r"([_^](?:\{[^}]*\}|\w(?!\w)))", formula)
    names = {"_": "sub", "^": "sup"}
    inside = [element(names[part[0]], part[1:].strip("{}")) if i % 2 else part for i, part in enumerate(parts)]
    return join(*inside)


def equation(formula: str) -> Markup:
    """The same, set as a formula."""
    return element("span", scripts(formula), class_="equation")
