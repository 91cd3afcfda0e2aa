"""`look`: one model, one text, every lens; the result is a `View`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from elman.errors import UsageError
from elman.inspect.backward import by_distance, gradient_norms, read_norms
from elman.inspect.contributions import Contributions
from elman.inspect.credit import attribution, leave_out, read_attribution
from elman.inspect.findings import findings
from elman.inspect.state_jacobians import few_steps, jacobians, spectral_norm, spectral_radius
from elman.inspect.subject import Place, Subject
from elman.inspect.trace import equation, gates, saturation, states
from elman.inspect.view import Floats, OutputView, PlaceView, View

JACOBIANS = 4.0  # seconds, about, for the Jacobians of all places; for large cells only at some steps
TOP = 5  # answers that are shown for an output


def look(
    model: Any,
    text: Any,
    targets: Sequence[str] | None = None,
    *,
    title: str = "",
    extras: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    beside: Mapping[str, Any] | None = None,
) -> View:
    """Everything there is to see of a trained model on one text of at most 256 tokens.

    text, targets: as for `Subject.of`
    title:    what the model is called
    extras:   what was measured on more than this text, see `View.extras`
    warnings: sentences about these
    beside:   name -> other models of the task, whose gradient by distance is shown next to that of this one
    Raises UsageError as `Subject.of` does."""
    subject = Subject.of(model, text, targets)
    terms = Contributions(subject)
    examined = subject.examined
    assert examined is not None
    norms = {name: found.values for name, found in gradient_norms(subject).items()}
    places = tuple(_place(subject, place, norms[place.name]) for place in subject.places)
    shown = dict(extras or {})
    if beside:
        shown["cells"] = {title or "this model": fading(subject)} | {
            name: fading(Subject.of(other, text, targets)) for name, other in beside.items()
        }
    shown |= examined.extras
    if (norms_of_read := read_norms(subject)) is not None and (drove := read_attribution(subject)) is not None:
        names = norms_of_read.names
        shown["written"] = {
            "gradient": norms_of_read.values.astype(np.float64),
            "attribution": drove.values,
            "read": names["read"],
            "outputs": names["output"],
        }
    view = View(
        title=title,
        task=model.task,
        about=model.about(),
        tokens=tuple(subject.tokens),
        outputs=tuple(_outputs(subject)),
        given=subject.answers is not None or not examined.annotated,
        places=places,
        contributions={name: found.values.astype(np.float64) for name, found in terms.norms.items()},
        at_output={name: found.values for name, found in terms.at_output.items()},
        lost={name: found.values for name, found in terms.lost.items()},
        attribution=attribution(subject).values.astype(np.float64),
        left_out=leave_out(model, subject.tokens, subject.answers).values,
        extras=shown,
    )
    return replace(view, warnings=(*findings(view), *warnings))


def fading(subject: Subject) -> Floats:
    """(T,) the mean norm of dL_j / ds_i at each distance j - i, in the topmost cell that reads forward: through time
    only, not through other layers. For one text."""
    forward = [place.name for place in subject.places if not place.reverse]
    if not forward:
        raise UsageError("expected a network with a cell that reads forward, found none")
    steps = [None if row is None else int(subject.layout.position_of_row[row]) for row, _ in subject.outputs]
    return by_distance(gradient_norms(subject)[forward[-1]].values, steps)


def _place(subject: Subject, place: Place, gradient: Any) -> PlaceView:
    name, cell = place.name, type(place.record.cell)
    live = equation(place)
    named = gates(subject, name)
    radius, norm = (np.full(subject.rows, np.nan) for _ in range(2))
    steps = few_steps(subject, place, JACOBIANS / len(subject.places))
    matrices = jacobians(subject, name, steps)
    radius[steps], norm[steps] = spectral_radius(matrices).values, spectral_norm(matrices).values
    below = [other.name for other in subject.places if other.layer == place.layer - 1]
    return PlaceView(
        name=name,
        layer=place.layer,
        reverse=place.reverse,
        below=tuple(below),
        cell=cell.__name__,
        equation=inspect.cleandoc(cell.__doc__ or ""),
        source=live.source,
        assigned=live.assigned,
        quantities={key: value.astype(np.float64) for key, value in live.quantities.items()},
        states={key: value.values.astype(np.float64) for key, value in states(subject, name).items()},
        gates={key: value.values.astype(np.float64) for key, value in named.items()},
        saturation={key: saturation(value) for key, value in named.items()},
        gradient=gradient.astype(np.float64),
        radius=radius,
        jacobian=norm,
    )


def _outputs(subject: Subject) -> list[OutputView]:
    examined, outcome = subject.examined, subject.outcome
    assert examined is not None
    chances = outcome.log_probabilities.detach().exp()
    best = chances.topk(min(TOP, chances.shape[1]), dim=1)
    return [
        OutputView(
            step=step,
            target=examined.targets[j],
            loss=float(outcome.shown[j]),
            top=tuple(
                (examined.labels[i], p) for i, p in zip(best.indices[j].tolist(), best.values[j].tolist(), strict=True)
            ),
        )
        for j, (_, step) in enumerate(examined.outputs)
    ]
