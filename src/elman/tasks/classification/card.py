"""What the model card says of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.classification.base import ClassificationModel


def describe(model: ClassificationModel) -> list[str]:
    """What it is, and its labels."""
    settings, labels = model.settings.model, model.labels
    how = {
        "majority": "the shares of the labels in the training data",
        "ngrams": "logistic regression on the n-grams of a text",
        "cbow": "the mean of the words' vectors and a softmax",
    }.get(model.kind)
    if how is None:
        direction = "one direction" if settings.one_way else "both directions"
        how = (
            f"{settings.layers} layer(s) of `{settings.cell}`, {settings.hidden_size} wide, {direction}, "
            f"pooling: {settings.pooling}"
        )
    many = ", any number of them for a text" if settings.several else ""
    return [
        f"A classifier with {len(labels)} labels{many}, made with [elman]: {how}. Tokens: {settings.tokenizer}.",
        f"Labels: {', '.join(f'`{label}`' for label in labels)}.",
    ]


def usage(model: ClassificationModel, name: str) -> list[str]:
    """How to call it."""
    own = ".py:" in getattr(model.settings.model, "cell", "")
    return [
        "import elman",
        "",
        f'classifier = elman.load("{name}"' + (", allow_code=True)" if own else ")"),
        'classifier("a wonderful film")',
    ]


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The main scores of a result as (name, percent): what a table shows. Undefined ones are left out."""
    names = {
        "accuracy": "accuracy",
        "macro_f1": "F1, mean over labels",
        "micro_f1": "F1 of all labels as one",
        "expected_calibration_error": "calibration error",
    }
    several = result["confusion"] is None
    found = [(shown, result[name]) for name, shown in names.items() if several or name != "micro_f1"]
    return [(name, f"{100 * value:.2f} %") for name, value in found if value is not None]
