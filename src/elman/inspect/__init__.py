"""Look inside a trained model: lenses, figures, the report.

from elman.inspect import look, write

write(look(tagger, "the boys that the dog saw run"), "report.html")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.inspect.array import Array
    from elman.inspect.backward import by_distance, gradient_norms, gradients, input_norms, read_norms
    from elman.inspect.contributions import Contributions
    from elman.inspect.credit import attribution, leave_out, read_attribution
    from elman.inspect.data_survey import Survey, survey
    from elman.inspect.figures import Figure, figure, figures_of
    from elman.inspect.linear_probe import Probe, probe
    from elman.inspect.looking import fading, look
    from elman.inspect.memory_horizon import Horizon, horizon
    from elman.inspect.report import html, write
    from elman.inspect.sample import sample_of
    from elman.inspect.state_jacobians import jacobians, products, spectral_norm, spectral_radius
    from elman.inspect.subject import Subject
    from elman.inspect.trace import Equation, equation, gates, saturation, states
    from elman.inspect.view import OutputView, PlaceView, View
    from elman.inspect.watch import Watcher

# Name -> module, imported when the name is first used: figures of existing numbers must not wait for torch. No module
# has the name of a function: importing it would replace the function.
_EXPORTS = {
    "Array": "elman.inspect.array",
    "Contributions": "elman.inspect.contributions",
    "Equation": "elman.inspect.trace",
    "Figure": "elman.inspect.figures",
    "Horizon": "elman.inspect.memory_horizon",
    "OutputView": "elman.inspect.view",
    "PlaceView": "elman.inspect.view",
    "Probe": "elman.inspect.linear_probe",
    "Subject": "elman.inspect.subject",
    "Survey": "elman.inspect.data_survey",
    "View": "elman.inspect.view",
    "Watcher": "elman.inspect.watch",
    "attribution": "elman.inspect.credit",
    "by_distance": "elman.inspect.backward",
    "equation": "elman.inspect.trace",
    "fading": "elman.inspect.looking",
    "figure": "elman.inspect.figures",
    "figures_of": "elman.inspect.figures",
    "gates": "elman.inspect.trace",
    "gradient_norms": "elman.inspect.backward",
    "gradients": "elman.inspect.backward",
    "horizon": "elman.inspect.memory_horizon",
    "html": "elman.inspect.report",
    "input_norms": "elman.inspect.backward",
    "jacobians": "elman.inspect.state_jacobians",
    "leave_out": "elman.inspect.credit",
    "look": "elman.inspect.looking",
    "probe": "elman.inspect.linear_probe",
    "products": "elman.inspect.state_jacobians",
    "read_attribution": "elman.inspect.credit",
    "read_norms": "elman.inspect.backward",
    "sample_of": "elman.inspect.sample",
    "saturation": "elman.inspect.trace",
    "spectral_norm": "elman.inspect.state_jacobians",
    "spectral_radius": "elman.inspect.state_jacobians",
    "states": "elman.inspect.trace",
    "survey": "elman.inspect.data_survey",
    "write": "elman.inspect.report",
}

__all__ = [
    "Array",
    "Contributions",
    "Equation",
    "Figure",
    "Horizon",
    "OutputView",
    "PlaceView",
    "Probe",
    "Subject",
    "Survey",
    "View",
    "Watcher",
    "attribution",
    "by_distance",
    "equation",
    "fading",
    "figure",
    "figures_of",
    "gates",
    "gradient_norms",
    "gradients",
    "horizon",
    "html",
    "input_norms",
    "jacobians",
    "leave_out",
    "look",
    "probe",
    "products",
    "read_attribution",
    "read_norms",
    "sample_of",
    "saturation",
    "spectral_norm",
    "spectral_radius",
    "states",
    "survey",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'elman.inspect' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
