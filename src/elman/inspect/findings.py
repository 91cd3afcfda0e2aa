"""What the numbers of a text suggest: gates that are stuck, gradients that vanish or explode."""

from __future__ import annotations

import numpy as np

from elman.inspect.backward import by_distance
from elman.inspect.trace import SATURATED
from elman.inspect.view import View

STEPS = 10  # fewer say nothing about a gate or a gradient
STUCK = 0.5  # of the units of a gate
FADED, GROWN = 1e-3, 1e3  # times the gradient at the output's own step, STEPS steps away


def findings(view: View) -> list[str]:
    """Sentences, each about something to look at. None for a text of fewer than 10 steps."""
    sentences: list[str] = []
    if len(view.tokens) < STEPS:
        return sentences
    steps = [output.step for output in view.outputs]
    for place in view.places:
        for gate, values in place.gates.items():
            for what, stuck in (("shut", values < SATURATED), ("open", values > 1 - SATURATED)):
                share = float(stuck.all(0).mean())
                if share >= STUCK:
                    sentences.append(
                        f"gate {gate} of {place.name} is stuck: {share:.0%} of its units are {what} at every step of "
                        "this text, so no gradient reaches what controls it."
                    )
        curve = by_distance(place.gradient, steps)
        near, far = curve[0], curve[STEPS - 1 :]
        far = far[np.isfinite(far)]
        if not near > 0 or not len(far):
            continue
        ratio = float(np.max(far) / near)
        if ratio < FADED:
            sentences.append(
                f"gradients vanish in {place.name}: {STEPS - 1} or more steps away their norm is at most {ratio:.1e} "
                "of that at the output's own step."
            )
        elif ratio > GROWN:
            sentences.append(
                f"gradients explode in {place.name}: {STEPS - 1} or more steps away their norm is up to {ratio:.1e} "
                "times that at the output's own step."
            )
    return sentences
