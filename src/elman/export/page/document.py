"""The page: the report's frame around a box to type in, with the report's scripts and those of the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from elman.export.page.bundle import Bundle
from elman.export.page.javascript import Function
from elman.export.page.payload import as_json
from elman.export.page.wording import SAYS, count, facts, kind_of, recurrences
from elman.inspect.figures.marks import rgb
from elman.inspect.figures.scene import Figure
from elman.inspect.report.markup import Markup, element, equation, join
from elman.inspect.report.page import Panel, Program, asset, modules, page
from elman.inspect.report.panels import EXTRAS, bar, cell
from elman.inspect.report.parts import choose, controls, number
from elman.inspect.view import PlaceView
from elman.recurrent.plan import Direction
from elman.tasks.plan import Next, Plan, Rewriting
from elman.tasks.seq2seq.answers import is_feature


def document(plan: Plan | Rewriting, bundle: Bundle, bytes_: str, title: str, text: str) -> str:
    """The whole page. bytes_: the payload's, in base64; text: what is typed in it at first."""
    directions = [
        (f"layer {k} {'backward' if one.reverse else 'forward'}", one)
        for k, layer in enumerate(recurrences(plan), 1)
        for one in layer.directions
    ]
    steps = {one.equation.key: bundle.payload.function(one.equation) for _, one in directions}
    places = [_place(name, one, bundle.payload.steps[steps[one.equation.key]]) for name, one in directions]
    panels = [typed(plan, text)]
    if isinstance(plan, Rewriting) and plan.attention.kind != "none":
        panels.append(aligned(plan))
    if places:
        panels += [states(places), equations(places)]
    view = {
        "places": [
            {"name": name, "step": steps[one.equation.key], "hidden": one.hidden_size} for name, one in directions
        ],
        "functions": [_function(one) for one in bundle.payload.steps],
        "palette": {name: rgb(name) for name in ("positive", "negative")},
    }
    program = Program(
        main=f'import {{ start }} from "elman/page";\n{bundle.steps()}\nstart(STEPS);\n',
        modules=modules(__package__),
        style=asset("page.css", __package__),
        data={
            "view": ("application/json", as_json(view)),
            "model": ("application/json", bundle.text),
            "bytes": ("text/plain", bytes_),
        },
    )
    return page(title, header(plan, bundle, title), panels, bar() if places else Markup(""), program)


def header(plan: Plan | Rewriting, bundle: Bundle, title: str) -> Markup:
    rows = facts(plan, bundle.payload.weights, count(plan))
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in rows.items()}
    about = (element("div", element("dt", name), element("dd", value)) for name, value in shown.items())
    scripts = element("noscript", element("p", "The model runs in scripts, which are switched off here.", role="note"))
    return join(element("h1", title), element("dl", *about), scripts)


def typed(plan: Plan | Rewriting, text: str) -> Panel:
    """The box to type in, and what is answered."""
    box = element("textarea", text, id="typed", rows=3, spellcheck="false", autocomplete="off", autocapitalize="off")
    inside = [
        element("label", "Your text", for_="typed", class_="typed"),
        box,
        element("p", "", id="refused", role="alert"),
        *(searching(plan) if isinstance(plan, Rewriting) else ()),
        *(writing() if kind_of(plan) is Next else ()),
        element("div", class_="chips answers scripted", data_answers=True, **_group("the text, with what is answered")),
        *(rewritten() if isinstance(plan, Rewriting) else ()),
        element("h3", "", id="bars-title"),
        element("table", element("tbody", "", id="bars"), class_="bars", aria_labelledby="bars-title"),
        element("output", "", id="said", class_="spoken", aria_live="polite"),
    ]
    return Panel("text", "Type here", Markup(SAYS[kind_of(plan)]), join(*inside))


def searching(plan: Rewriting) -> Iterator[Markup]:
    """How an encoder-decoder searches, its features, and what it writes."""
    known = [symbol[1:-1] for symbol in plan.source_symbols if is_feature(symbol)]
    features = element("label", "features, with ; between them ", element("input", type="text", id="features"))
    yield controls(field("beam", "beam", plan.beam, min=1), *([features] if plan.features is not None else ()))
    if known:
        yield element("p", "Known features: ", ", ".join(known), class_="says")


def rewritten() -> Iterator[Markup]:
    """What is written: as a text, and symbol by symbol."""
    yield element("p", element("bdi", "", id="written"), class_="written")
    yield element("div", class_="chips answers scripted", data_written=True, **_group("what is written, by symbols"))


def aligned(plan: Rewriting) -> Panel:
    heading, says = EXTRAS["alignment"]
    what = "posterior" if plan.attention.kind == "hard" else "weights"
    return Panel("alignment", heading, says, live("alignment", data_matrix="alignment", data_what=what))


def field(name: str, label: str, value: float, **more: object) -> Markup:
    box = element("input", type="number", id=name, value=value, **{"min": 0, **more})
    return element("label", f"{label} ", box, class_="scripted")


def live(label: str, **named: object) -> Markup:
    """An empty drawing that a script fills."""
    empty = Markup(Figure(0, 0, [], label, "").svg())
    return element("figure", element("div", empty, class_="drawing", **_group(label)), class_="scripted", **named)


def writing() -> Iterator[Markup]:
    """What a language model needs to write on."""
    yield element(
        "div",
        element("button", "Write on", type="button", id="write"),
        element("button", "Take back", type="button", id="back", disabled=True),
        field("temperature", "temperature", 1, step=0.1),
        field("seed", "seed", 1, step=1),
        field("tokens", "tokens", 200, step=1),
        class_="controls scripted",
    )


def equations(places: list[PlaceView]) -> Panel:
    says = join(
        "The step that the page runs, with the numbers of one unit j; ",
        equation("x.g = x_t W_g + b_g"),
        " and ",
        equation("r.g = h_{t−1} U_g"),
        " come from the affine maps.",
    )
    chosen = controls(
        place_of(places),
        number("step", "step", 0, 0),
        number("unit", "unit", 0, 0),
        element("button", "largest unit", type="button", id="largest", class_="scripted"),
    )
    cells = [element("div", *cell(place), data_place=place.name, class_="choice") for place in places]
    return Panel("equation", "The equation, with its numbers", says, join(chosen, *cells))


def states(places: list[PlaceView]) -> Panel:
    says = join(
        "The state ",
        equation("s_t"),
        " after each step and the gates that made it, unit by unit. Choose a step with a click or the arrow keys: the ",
        "equation shows its numbers; a second click or Enter leads there.",
    )
    names = dict.fromkeys(name for place in places for name in _shown(place))
    chosen = controls(
        place_of(places),
        choose("what", "show", [(name, name) for name in names]),
        number("unit", "unit", 0, 0),
    )
    colours = element("p", "The text coloured by this unit: ", element("b", "", data_says="unit"), class_="scripted")
    row = element("div", class_="chips scripted", data_chips="unit", **_group("the text, coloured by this unit"))
    return Panel(
        "states", "States and gates", says, join(chosen, live("states and gates", data_what="live"), colours, row)
    )


def place_of(places: list[PlaceView]) -> Markup:
    return choose("place", "cell", enumerate(place.name for place in places))


def _group(label: str) -> dict[str, object]:
    return {"role": "group", "aria_label": label, "tabindex": 0}


def _shown(place: PlaceView) -> list[str]:
    return [*(f"state {name}" for name in place.states), *(f"gate {name}" for name in place.gates)]


def _place(name: str, one: Direction, step: Function) -> PlaceView:
    """A direction as the report's panels take it; its numbers are made while one types."""
    none = np.zeros((0, one.hidden_size))
    named = _function(step)
    return PlaceView(
        name,
        layer=0,
        reverse=one.reverse,
        below=(),
        cell=one.equation.name,
        equation=one.equation.doc,
        source=step.source,
        assigned=step.assigned,
        quantities=dict.fromkeys(named["quantities"], none),
        states=dict.fromkeys(named["states"], none),
        gates=dict.fromkeys(named["gates"], none),
        saturation={},
        gradient=none,
        radius=none,
        jacobian=none,
    )


def _function(step: Function) -> dict[str, dict[str, tuple[str, int]]]:
    """Where a page's scripts find the numbers of a step."""
    return {
        "quantities": dict(step.quantities),
        "states": {name: ("after", i) for i, name in enumerate(step.members["s"])},
        "gates": {name: ("gate", i) for i, name in enumerate(step.members["gate"])},
    }
