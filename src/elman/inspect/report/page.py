"""The page around the panels: one file with its style, scripts and numbers, which makes no network requests."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from elman import __version__
from elman.inspect.figures.scene import DARK, PALETTE
from elman.inspect.report.markup import Markup, element, join

MAIN = "main"


@dataclass(frozen=True)
class Panel:
    """id: the anchor; heading: its text; says: one sentence with the equation; inside: the content."""

    id: str
    heading: str
    says: Markup
    inside: Markup

    def markup(self) -> Markup:
        anchor = element("a", "#", href=f"#{self.id}", class_="anchor", aria_label=f"link to {self.heading}")
        heading = element("h2", self.heading, " ", anchor, id=f"{self.id}-heading")
        says = element("p", self.says, class_="says")
        return element("section", heading, says, self.inside, id=self.id, aria_labelledby=f"{self.id}-heading")


@dataclass(frozen=True)
class Program:
    """What runs in a page besides the report's own scripts.

    main:    the script that starts everything
    modules: bare name -> source, of scripts that main may import; they replace the report's of the same name
    style:   is added to the report's
    policy:  further directives of the content security policy
    data:    id -> (media type, text) of elements that scripts read"""

    main: str = f'import "elman/{MAIN}";'
    modules: Mapping[str, str] = field(default_factory=dict)
    style: str = ""
    policy: Sequence[str] = ()
    data: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def page(title: str, head: Markup, panels: Sequence[Panel], bar: Markup, program: Program) -> str:
    """The whole document.

    The scripts are the files in assets/, each a module under a bare name such as "elman/data", which an import map maps
    to a data: URL. The policy allows only what carries the nonce: a digest of everything in the page, which no text in
    it can have guessed."""
    read = [element("script", Markup(text), type=kind, id=name) for name, (kind, text) in program.data.items()]
    inside = [title, head, *(panel.markup() for panel in panels), program.main, *read]
    nonce = hashlib.sha256("\0".join(inside).encode()).hexdigest()
    policy = [
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        f"style-src-elem 'nonce-{nonce}'",
        "style-src-attr 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        *program.policy,
    ]
    links = [element("a", panel.heading, href=f"#{panel.id}") for panel in panels]
    theme = element("button", "light / dark", type="button", id="theme", class_="scripted")
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content="; ".join(policy)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="generator", content=f"elman {__version__}"),
            element("link", rel="icon", href="data:,"),  # otherwise the browser requests one
            element("title", title),
            element("style", Markup(colours() + asset("report.css") + program.style), nonce=nonce),
            element("script", Markup(import_map(program.modules)), type="importmap", nonce=nonce),
        ),
        element(
            "body",
            element("header", head, theme),
            element("nav", *links, aria_label="panels"),
            element("main", *(panel.markup() for panel in panels)),
            bar,
            *read,
            element("script", Markup(program.main), type="module", nonce=nonce),
        ),
        lang="en",
    )
    return join(Markup("<!doctype html>\n"), document, "\n")


def colours() -> str:
    """The drawings' colours as CSS variables, for light and for dark."""
    lines = "".join(f"  --{name}: light-dark({light}, {DARK[name]});\n" for name, light in PALETTE.items())
    return f":root {{\n{lines}}}\n"


def import_map(more: Mapping[str, str]) -> str:
    """Bare name -> data: URL, for each module in assets/ and the further ones."""
    scripts = {**modules(__package__), **more}
    return json.dumps({"imports": {f"elman/{name}": _address(scripts[name]) for name in sorted(scripts)}})


def modules(package: str) -> dict[str, str]:
    """Name -> text of every script in the assets/ of a package."""
    scripts = (file for file in files(package).joinpath("assets").iterdir() if file.name.endswith(".js"))
    return {file.name.removesuffix(".js"): file.read_text(encoding="utf-8") for file in scripts}


def asset(name: str, package: str = __package__) -> str:
    """The text of a file in the assets/ of a package."""
    return files(package).joinpath("assets", name).read_text(encoding="utf-8")


def _address(script: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(script.encode()).decode('ascii')}"
