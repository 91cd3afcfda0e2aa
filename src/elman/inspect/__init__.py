"""Look inside a trained model: lenses, figures, the report.

from elman.inspect import look, write

write(look(tagger, "the boys that the dog saw run"), "report.html")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.inspect.array import Array
    from elman.inspect.attribution import attribution, leave_out
    from elman.inspect.contributions import Contributions
    from elman.inspect.figures import Figure, figure, figures_of
    from elman.inspect.gradients import by_distance, gradient_norms, gradients, input_norms
    from elman.inspect.horizon import Horizon, horizon
    from elman.inspect.jacobians import jacobians, products, spectral_norm, spectral_radius
    from elman.inspect.look import fading, look
    from elman.inspect.probe import Probe, probe
    from elman.inspect.report import html, write
    from elman.inspect.sample import sample_of
    from elman.inspect.subject import Subject
    from elman.inspect.survey import Survey, survey
    from elman.inspect.trace import Equation, equation, gates, saturation, states
    from elman.inspect.view import OutputView, PlaceView, View
    from elman.inspect.watch import Watcher

# Name -> module, imported when the name is first used: figures of numbers at hand must not wait for torch.
_EXPORTS = {
    "Array": "elman.inspect.array",
    "Contributions": "elman.inspect.contributions",
    "Equation": "elman.inspect.trace",
    "Figure": "elman.inspect.figures",
    "Horizon": "elman.inspect.horizon",
    "OutputView": "elman.inspect.view",
    "PlaceView": "elman.inspect.view",
    "Probe": "elman.inspect.probe",
    "Subject": "elman.inspect.subject",
    "Survey": "elman.inspect.survey",
    "View": "elman.inspect.view",
    "Watcher": "elman.inspect.watch",
    "attribution": "elman.inspect.attribution",
    "by_distance": "elman.inspect.gradients",
    "equation": "elman.inspect.trace",
    "fading": "elman.inspect.look",
    "figure": "elman.inspect.figures",
    "figures_of": "elman.inspect.figures",
    "gates": "elman.inspect.trace",
    "gradient_norms": "elman.inspect.gradients",
    "gradients": "elman.inspect.gradients",
    "horizon": "elman.inspect.horizon",
    "html": "elman.inspect.report",
    "input_norms": "elman.inspect.gradients",
    "jacobians": "elman.inspect.jacobians",
    "leave_out": "elman.inspect.attribution",
    "look": "elman.inspect.look",
    "probe": "elman.inspect.probe",
    "products": "elman.inspect.jacobians",
    "sample_of": "elman.inspect.sample",
    "saturation": "elman.inspect.trace",
    "spectral_norm": "elman.inspect.jacobians",
    "spectral_radius": "elman.inspect.jacobians",
    "states": "elman.inspect.trace",
    "survey": "elman.inspect.survey",
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
    "sample_of",
    "saturation",
    "spectral_norm",
    "spectral_radius",
    "states",
    "survey",
    "write",
]


class _Package(ModuleType):
    """`look` is a function here, also once the module `elman.inspect.look` has been imported, and so for others."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds each submodule to its name in the package, at a time when it is complete.
        if isinstance(value, ModuleType) and _EXPORTS.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'elman.inspect' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
