"""elman: recurrent sequence models of text. Write the equation, get everything.

import elman

train = elman.read("train.conllu")
dev = elman.read("dev.conllu")
tagger = elman.Tagger(cell="lstm", epochs=5).fit(train, dev, out="my-tagger")
tagger(["Ada", "lives", "in", "London"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.errors import DataError, ElmanError, Interrupted, ModelError, ResourceError, UsageError
    from elman.recurrent.backend import use_backend
    from elman.recurrent.bptt import detach, windows
    from elman.recurrent.cell import Cell, gate
    from elman.recurrent.check import check_cell
    from elman.recurrent.stepper import stepper
    from elman.recurrent.torch_modules import from_torch, to_torch
    from elman.recurrent.unroll import unroll
    from elman.serve.client import Client
    from elman.tasks.classification.network_model import Classifier
    from elman.tasks.language_model.network_model import LanguageModel
    from elman.tasks.load import load
    from elman.tasks.seq2seq.network_model import Seq2Seq
    from elman.tasks.tagging.network_model import Tagger
    from elman.text import Sentence, read
    from elman.text.example import Example
    from elman.text.labelled import read_examples
    from elman.text.pair import Pair
    from elman.text.pairs import read_pairs

__version__ = "0.1.0"

# Name -> module, imported when the name is first used: `import elman` and `elman --help` must not wait for torch.
_EXPORTS = {
    "Cell": "elman.recurrent.cell",
    "Classifier": "elman.tasks.classification.network_model",
    "Client": "elman.serve.client",
    "DataError": "elman.errors",
    "ElmanError": "elman.errors",
    "Example": "elman.text.example",
    "Interrupted": "elman.errors",
    "LanguageModel": "elman.tasks.language_model.network_model",
    "ModelError": "elman.errors",
    "Pair": "elman.text.pair",
    "ResourceError": "elman.errors",
    "Sentence": "elman.text",
    "Seq2Seq": "elman.tasks.seq2seq.network_model",
    "Tagger": "elman.tasks.tagging.network_model",
    "UsageError": "elman.errors",
    "check_cell": "elman.recurrent.check",
    "from_torch": "elman.recurrent.torch_modules",
    "gate": "elman.recurrent.cell",
    "load": "elman.tasks.load",
    "read": "elman.text",
    "read_examples": "elman.text.labelled",
    "read_pairs": "elman.text.pairs",
    "stepper": "elman.recurrent.stepper",
    "to_torch": "elman.recurrent.torch_modules",
    "unroll": "elman.recurrent.unroll",
    "use_backend": "elman.recurrent.backend",
    "windows": "elman.recurrent.bptt",
    "detach": "elman.recurrent.bptt",
}

__all__ = [
    "Cell",
    "Classifier",
    "Client",
    "DataError",
    "ElmanError",
    "Example",
    "Interrupted",
    "LanguageModel",
    "ModelError",
    "Pair",
    "ResourceError",
    "Sentence",
    "Seq2Seq",
    "Tagger",
    "UsageError",
    "__version__",
    "check_cell",
    "detach",
    "from_torch",
    "gate",
    "load",
    "read",
    "read_examples",
    "read_pairs",
    "stepper",
    "to_torch",
    "unroll",
    "use_backend",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
