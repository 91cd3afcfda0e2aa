"""The panels of the report: what part of a View is shown where, each with the equation that it draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from elman.inspect.backward import by_distance
from elman.inspect.figures import Figure, figure, of_extra
from elman.inspect.figures.wording import visible
from elman.inspect.report.markup import Markup, element, equation, escape, join
from elman.inspect.report.page import Panel
from elman.inspect.report.parts import (
    chips,
    choose,
    columns,
    controls,
    drawing,
    grid,
    number,
    paragraphs,
    percent,
    table,
    token,
)
from elman.inspect.report.source import listing
from elman.inspect.view import Floats, PlaceView, View


def header(view: View) -> Markup:
    """The model, further facts about it, the text, and the warnings."""
    rows = {"task": view.task, **view.about}
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in rows.items()}
    facts = element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in shown.items()))
    notes = [element("p", element("strong", "Note: "), warning, role="note") for warning in view.warnings]
    text = element(
        "p",
        *(element("span", token(word), class_="chip", data_step=i) for i, word in enumerate(view.tokens)),
        class_="chips",
    )
    return join(element("h1", token(view.title or "A model")), facts, *notes, text)


def bar() -> Markup:
    """The line at the bottom of the window: what is under the pointer, or selected."""
    return element("output", "", id="readout", class_="scripted", aria_live="polite")


def panels(view: View) -> Iterator[Panel]:
    """All panels that the View has data for, in their order."""
    yield graph(view)
    yield equations(view)
    yield states(view)
    yield gradients(view)
    yield contributions(view)
    yield outputs(view)
    yield from extras(view)


def graph(view: View) -> Panel:
    says = join(
        "Each cell computes ",
        equation("s_i = R(s_{i−1}, x_i)"),
        " with the same weights at every step, and ",
        equation("o_i = O(s_i)"),
        "; a cell that reads backward takes ",
        equation("s_{i+1}"),
        " instead. ",
        "Choose a cell to see its equation below.",
    )
    both = join(drawing(figure("compact")(view)), drawing(figure("unrolled")(view), view="unrolled"))
    return Panel("graph", "The network, unrolled", says, both)


def equations(view: View) -> Panel:
    says = join(
        "What one cell computes at one step: the lines of its code, with the numbers of one unit; ",
        equation("x.g = x_t W_g + b_g"),
        " and ",
        equation("r.g = h_{t−1} U_g"),
        " come from the affine maps.",
    )
    first = view.places[0]
    units = next(iter(first.states.values())).shape[1]
    chosen = controls(
        place_of(view),
        number("step", "step", len(view.tokens) - 1, len(view.tokens) - 1),
        number("unit", "unit", units - 1, 0),
        element("button", "largest unit", type="button", id="largest", class_="scripted"),
    )
    cells = [element("div", *cell(place), data_place=place.name, class_="choice") for place in view.places]
    return Panel("equation", "The equation, with its numbers", says, join(chosen, *cells))


def cell(place: PlaceView) -> Iterator[Markup]:
    """One place: its docstring, its step with the numbers next to it, and all its quantities."""
    yield element("h3", place.name, ": ", element("code", place.cell))
    yield paragraphs(place.equation)
    code = listing(place.source, place.assigned, place.quantities.keys()) if place.source else ""
    rows = [
        (
            element("code", name),
            *(element("span", "–", data_quantity=name, data_take=take) for take in ("unit", "mean", "min", "max")),
        )
        for name in place.quantities
    ]
    numbers = table("all quantities", ("quantity", "this unit", "mean", "smallest", "largest"), rows)
    yield columns(code, element("div", numbers, class_="scripted"))


def states(view: View) -> Panel:
    says = join(
        "The state ",
        equation("s_t"),
        " after each step and the gates that made it, unit by unit; a gate is saturated ",
        "below 0.05 or above 0.95, where its slope ",
        equation("σ′ = σ(1 − σ)"),
        " is nearly zero.",
    )
    names = dict.fromkeys(name for place in view.places for name in shown(place))
    chosen = controls(
        place_of(view),
        choose("what", "show", [(name, name) for name in names]),
        number("unit", "unit", next(iter(view.places[0].states.values())).shape[1] - 1, 0),
    )
    maps = [
        drawing(
            figure("heat")(
                values,
                view.tokens,
                f"{place.name}: {name}",
                signed=name.startswith("state") or bool((values < 0).any()),
                place=place.name,
                name=name,
            ),
            place=place.name,
            what=name,
        )
        for place in view.places
        for name, values in shown(place).items()
    ]
    shares = [
        (f"{place.name}: {gate}", percent(low), percent(high))
        for place in view.places
        for gate, (low, high) in place.saturation.items()
    ]
    saturation = table("saturation of the gates", ("gate", "below 0.05", "above 0.95"), shares) if shares else ""
    colours = element("p", "The text coloured by this unit: ", element("b", "", data_says="unit"), class_="scripted")
    drawn = element("div", *maps, colours, chips(view.tokens, "unit"))
    return Panel("states", "States and gates", says, join(chosen, columns(drawn, saturation)))


def gradients(view: View) -> Panel:
    says = join(
        "How much the loss at one output would change with the state at each step: ",
        equation("‖∂L_j / ∂s_i‖"),
        ", a product of one-step Jacobians ",
        equation("∂s_t / ∂s_{t−1}"),
        " that fades or grows with the distance.",
    )
    j = default_output(view)
    rows = {place.name: place.gradient[j] for place in view.places}
    maps = [
        drawing(
            matrix(view, place.gradient, f"{place.name}: norm of dL_j / ds_i"),
            place=place.name,
            matrix="gradient",
        )
        for place in view.places
    ]
    strips = grid("gradient", "place", view.tokens, rows)
    fading = drawing(figure("gradient_by_distance")(curves(view)))
    spectral = ""
    if any(np.isfinite(place.radius).any() or np.isfinite(place.jacobian).any() for place in view.places):
        spectral = drawing(figure("spectral")(view.places))
    inside = join(
        controls(output_of(view)),
        strips,
        controls(place_of(view)),
        columns(*maps, fading, spectral),
    )
    return Panel("gradients", "Gradients through time", says, inside)


def contributions(view: View) -> Panel:
    says = join(
        "Training sums one gradient per pair of an output and a step, ",
        equation("∂L/∂W = Σ_j Σ_i ∂L_j/∂W^{(i)}"),
        "; backpropagation truncated to k steps keeps those with ",
        equation("|i − j| < k"),
        ".",
    )
    T = len(view.tokens)
    slider = element("input", type="range", min=1, max=T, value=T, step=1, data_bind="k")
    chosen = controls(
        choose("parameter", "parameter", [(name, name) for name in view.contributions]),
        element("label", "keep k = ", element("b", T, data_says="k"), " ", slider, class_="scripted"),
    )
    kept = element("p", "", data_says="kept", class_="scripted")
    maps = [
        drawing(
            matrix(view, values, f"{name}: norm of what step i adds from output j"),
            parameter=name,
            matrix="contributions",
        )
        for name, values in view.contributions.items()
    ]
    lost = drawing(figure("lost")(view.lost))
    above = []
    if view.at_output:
        shares = {name: values / (values.sum() or 1.0) for name, values in view.at_output.items()}
        above = [
            element("p", f"{_above(view)} Each output's share of the sum of norms:"),
            grid("at_output", "parameter", answers(view), shares, axis="output"),
        ]
    return Panel(
        "contributions", "What each step adds to the gradient", says, join(chosen, kept, columns(*maps, lost), *above)
    )


def _above(view: View) -> str:
    if "written" in view.extras:
        return "Above these layers are attention and the decoder, whose own steps are summed."
    return "Above the recurrent layers only i = j remains."


def outputs(view: View) -> Panel:
    whose = "the given answers" if view.given else "the model's own answers"
    says = join(
        "The most likely answers, ",
        equation("p = softmax(o_j)"),
        "; the loss ",
        equation("L_j = −log p(y_j)"),
        f" in nats, scored against {whose}; and what drove one output: gradient × input, and by how much its ",
        "log-probability falls when a token is left out.",
    )
    j = default_output(view)
    bars = drawing(figure("probabilities")(view.outputs, view.tokens), view="probabilities")
    rows = {"gradient × input": view.attribution[j], "left out": view.left_out[j]}
    line = element("p", "", data_says="output", class_="scripted")
    inside = join(controls(output_of(view)), line, grid("attribution", "token", view.tokens, rows), bars)
    return Panel("outputs", "Outputs and what drove them", says, inside)


# Extra -> the panel's heading and what it says.
EXTRAS: dict[str, tuple[str, Markup]] = {
    "alignment": (
        "What is written from where",
        join(
            "How much each target symbol is read from each source symbol: the weights of attention, ",
            equation("a_{ij} = softmax_i(s_j · h_i)"),
            "; for hard attention the posterior ",
            equation("p(i | j, source, target)"),
            ". Each row sums to 1.",
        ),
    ),
    "written": (
        "What it owes to what it wrote",
        join(
            "The decoder reads the symbol that was written before, ",
            equation("y_{j−1}"),
            ": how much each output depends on each of them, by gradient × input of its log-probability, and by the ",
            "norm ",
            equation("‖∂L_j / ∂y_i‖"),
            ". What follows an output has none.",
        ),
    ),
    "horizon": (
        "How far back it remembers",
        escape(
            "The loss when only n tokens of context are seen, and the share of the gradient that comes from each "
            "distance; beyond the horizon more context makes no measurable difference."
        ),
    ),
    "probe": (
        "What the state remembers",
        join(
            "How often a linear map of the state, ",
            equation("softmax(h_t A + a)"),
            ", predicts what was read k steps before; dashed: the same trained on shuffled answers.",
        ),
    ),
    "history": (
        "How it was trained",
        join("Mean loss in training, ", equation("L = Σ_j L_j / J"), ", and the scores on held-out data, by epoch."),
    ),
    "confusion": (
        "What is taken for what",
        escape("How often each right answer (row) was predicted as each answer (column)."),
    ),
    "reliability": (
        "Whether its probabilities can be trusted",
        join(
            "Of the answers with probability p, a share of p should be right; the gap, weighted by their number, is ",
            equation("ECE = Σ_b n_b/n · |right_b − p_b|"),
            ".",
        ),
    ),
    "transitions": (
        "Which answer follows which",
        join(
            "The scores A of the conditional random field, which scores a path ",
            equation("Σ_t o_{t, y(t)} + A_{y(t−1), y(t)}"),
            "; what its scheme forbids is crossed out.",
        ),
    ),
}


def extras(view: View) -> Iterator[Panel]:
    for key, (heading, says) in EXTRAS.items():
        if key in view.extras:
            # the columns of an alignment are the steps of the text, which the scripts then show
            named = {"alignment": {"matrix": "alignment"}}
            drawn = [drawing(one, **named.get(name, {})) for name, one in of_extra(key, view.extras[key]).items()]
            yield Panel(key, heading, says, columns(*drawn) if len(drawn) > 1 else drawn[0])


def shown(place: PlaceView) -> dict[str, Floats]:
    """What a place has heat maps of: "state h", "gate f"."""
    states = {f"state {name}": values for name, values in place.states.items()}
    return states | {f"gate {name}": values for name, values in place.gates.items()}


def matrix(view: View, values: Floats, title: str) -> Figure:
    """(J, T) norms by output and step."""
    steps = [output.step for output in view.outputs]
    return figure("contributions")(values, view.tokens, answers(view), title, steps=steps)


def answers(view: View) -> list[str]:
    """A name for each output: its token and what it was scored against."""
    targets = [visible(output.target) for output in view.outputs]
    steps = [output.step for output in view.outputs]
    return [
        target if step is None else f"{visible(view.tokens[step])}: {target}"
        for step, target in zip(steps, targets, strict=True)
    ]


def default_output(view: View) -> int:
    """The output that is shown first, as in assets/selection.js: the one with the largest loss."""
    return max(range(len(view.outputs)), key=lambda j: view.outputs[j].loss, default=0)


def curves(view: View) -> Mapping[str, Floats]:
    """Name -> the mean norm of the gradient by distance: of several models if there are any, else of the places."""
    if "cells" in view.extras:
        cells: Mapping[str, Floats] = view.extras["cells"]
        return cells
    steps = [output.step for output in view.outputs]
    return {place.name: by_distance(place.gradient, steps) for place in view.places}


def place_of(view: View) -> Markup:
    return choose("place", "cell", enumerate(place.name for place in view.places))


def output_of(view: View) -> Markup:
    return choose("output", "output", enumerate(f"{j}: {name}" for j, name in enumerate(answers(view))))
