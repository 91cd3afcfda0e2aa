"""The page at `/`: the page of an exported model, with the models of this server behind it."""

from __future__ import annotations

import json

from elman.inspect.figures.marks import rgb
from elman.inspect.report.markup import Markup, element, join
from elman.inspect.report.page import Panel, Program, asset, modules, page
from elman.inspect.report.parts import controls

EXPORTED = "elman.export.page"
SHARED = ("boxes", "data", "scene")  # of the scripts of an exported page
HEADERS = [
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"frame-ancestors 'none'"),  # the one directive that a page cannot give itself
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def document(*, asks: bool) -> bytes:
    """The page, the same for everyone; what is served it asks itself. asks: whether requests need a token."""
    exported = modules(EXPORTED)
    palette = {name: rgb(name) for name in ("positive", "negative")}
    view = {"asks": asks, "places": [], "functions": [], "palette": palette}
    program = Program(
        main='import "elman/playground";',
        modules={name: exported[name] for name in SHARED} | modules(__package__),
        style=asset("page.css", EXPORTED) + asset("playground.css", __package__),
        policy=("connect-src 'self'",),
        data={"view": ("application/json", json.dumps(view))},
    )
    says = Markup("The models answer as you type. Ctrl+Enter looks inside.")
    panels = [Panel("text", "Type here", says, typed()), Panel("answers", "Answers", TWO, models())]
    return page("elman playground", header(), panels, Markup(""), program).encode()


TWO = Markup(
    "A dashed line: the tag may still change with the next word. The darker a token, the less it was expected."
)


def header() -> Markup:
    box = element("input", type="password", id="token", autocomplete="off", required=True)
    label = element("label", "This server asks for a token: ", box)
    return join(
        element("h1", "Playground"),
        element("p", "", id="state", role="status"),
        element("form", label, " ", element("button", "Use it", type="submit"), id="login", hidden=True),
        element("noscript", element("p", "This page needs scripts, which are switched off here.", role="note")),
    )


def typed() -> Markup:
    """The box to type in."""
    plain = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}
    box = element("textarea", "", id="typed", rows=4, maxlength=20_000, **plain)
    second = element("button", "Two models side by side", type="button", id="beside", aria_pressed="false")
    return join(element("label", "Your text", for_="typed", class_="typed"), box, controls(second))


def models() -> Markup:
    return element("div", column(0, "Model"), column(1, "Second model"), class_="models")


def column(number: int, label: str) -> Markup:
    """A model and what it answers; scripts find its parts by data-is."""
    chosen = element("label", f"{label} ", element("select", data_is="model"))
    words = f"the text, with what {label.lower()} answers"
    inside = [
        controls(chosen, element("span", "", data_is="about", class_="says")),
        element("p", "", data_is="refused", role="alert"),
        _options("writing", *writing()),
        _options("searching", *searching()),
        element("div", "", class_="chips answers", data_is="answers", role="group", aria_label=words, tabindex=0),
        element("p", element("bdi", "", data_is="written"), class_="written", hidden=True),
        element("h3", "", data_is="title"),
        element("table", element("tbody", "", data_is="bars"), class_="bars", aria_label=f"{label}: likeliest first"),
        element("output", "", data_is="said", class_="spoken", aria_live="polite"),
        controls(
            element("button", "Look inside", type="button", data_is="look"),
            element("span", "", data_is="looked", role="status"),
        ),
        element("div", element("iframe", "", data_is="frame", title=f"{label}: inside"), data_is="inside", hidden=True),
    ]
    return element("section", *inside, class_="column", data_column=number, aria_label=label, hidden=number > 0)


def writing() -> list[Markup]:
    """What a language model needs to write on."""
    return [
        element("button", "Write on", type="button", data_is="write"),
        element("button", "Take back", type="button", data_is="back", disabled=True),
        _number("temperature", "temperature", 1, step=0.1),
        _number("seed", "seed", 1),
        _number("tokens", "tokens", 50),
    ]


def searching() -> list[Markup]:
    """How an encoder-decoder searches."""
    features = element("input", type="text", data_option="features", autocomplete="off")
    return [_number("beam", "beam", 5, min=1), element("label", "features, with ; between them ", features)]


def _options(name: str, *inside: Markup) -> Markup:
    return element("div", *inside, class_="controls options", data_is=name, hidden=True)


def _number(name: str, label: str, value: float, **more: object) -> Markup:
    box = element("input", type="number", value=value, data_option=name, **{"min": 0, "step": 1, **more})
    return element("label", f"{label} ", box)
