"""One public manner: a method means, takes and returns the same in every model that has it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from elman.tasks import TASKS
from elman.tasks.load import model_class
from elman.tasks.model import CountedModel, NetworkModel

MODELS = [(task, model) for task in TASKS for model in TASKS[task]]
TABLE = Path(__file__).parents[2] / "docs" / "python.md"
COUNTED = ["train", "dev", "test", "out", "progress", "reading"]
NETWORK = [
    "train", "dev", "test", "out", "init", "resume", "allow_code", "progress", "reading", "invocation", "watch",
]  # fmt: skip
# What callers give by position; all else goes by name.
POSITIONAL = {
    "fit": ["train", "dev"],
    "evaluate": ["data"],
    "statistics": ["data"],
    "predict": ["texts"],
    "probabilities": ["texts"],
    "log_probabilities": ["data"],
    "score": ["lines"],
    "encode": ["texts"],
    "sample": ["tokens"],
    "remembering": [],
    "save": ["path"],
    "load": ["path"],
    "plan": [],
    "examine": ["texts", "targets"],
    "read_text": ["text"],
    "session": ["saved"],
}


def parameters(kind: type, method: str) -> dict[str, inspect.Parameter]:
    found = inspect.signature(getattr(kind, method)).parameters
    return {name: one for name, one in found.items() if name != "self"}


def documented() -> dict[str, list[str]]:
    """Method -> its parameters, as the table of docs/python.md has them."""
    rows = re.findall(r"^\| (`.*?`) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    calls = [call for row in rows for call in re.findall(r"`(\w+)\((.*?)\)`", row)]
    return {name: [one.split("=")[0].strip() for one in given.split(",") if one] for name, given in calls}


@pytest.mark.parametrize(("task", "model"), MODELS)
def test_fit_takes_the_same_and_returns_the_model(task: str, model: str) -> None:
    kind = model_class(task, model)
    base, names = (NetworkModel, NETWORK) if kind.resumable else (CountedModel, COUNTED)
    assert issubclass(kind, base) and kind.fit is base.fit
    assert list(parameters(kind, "fit")) == names and inspect.signature(kind.fit).return_annotation == "Self"


@pytest.mark.parametrize(("task", "model"), MODELS)
def test_arguments_have_one_name_and_one_order(task: str, model: str) -> None:
    kind = model_class(task, model)
    table = documented()
    for method, names in POSITIONAL.items():
        if not hasattr(kind, method):
            continue
        found = parameters(kind, method)
        assert [name for name, one in found.items() if one.kind is one.POSITIONAL_OR_KEYWORD] == names, (method, found)
        assert table[method][: len(names)] == names, method
        written = [name for name in table[method][len(names) :] if name not in ("*", "...")]
        assert set(written) <= set(found), method


@pytest.mark.parametrize(("task", "model"), MODELS)
def test_what_they_return_is_one_kind_of_thing(task: str, model: str) -> None:
    kind = model_class(task, model)
    kinds = {"predict": r"list\[\w+Prediction\]", "evaluate": r"\w+Result", "statistics": r"NDArray\[Any\]|Floats"}
    for method, pattern in kinds.items():
        if hasattr(kind, method):
            assert re.fullmatch(pattern, inspect.signature(getattr(kind, method)).return_annotation), method


def test_the_table_names_every_public_method() -> None:
    """But for those of one model alone, such as the tables of a hidden Markov model."""
    kinds = [model_class(*row) for row in MODELS]
    public = [{name for name in dir(kind) if name[0] != "_" and callable(getattr(kind, name))} for kind in kinds]
    often = {name for name in set().union(*public) if sum(name in one for one in public) >= len(MODELS) // 2}
    inner = {"about", "weight_rows", "describe", "usage", "score_rows", "vocabulary_files", "config", "training"}
    assert often - inner <= set(documented()), often - inner - set(documented())
    assert set(POSITIONAL) == set(documented())
