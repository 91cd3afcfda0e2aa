"""A whole network in evaluation as data, from a text to the answer: what every writer of `export` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elman.layers.plan import BestPath, Input, Pooled
from elman.recurrent.plan import Affine, Floats, Part


@dataclass(frozen=True)
class Text:
    """How a text becomes tokens.

    tokenizer: as `Tokenizer.to_json` gives it; {"kind": "space"} for words given one by one
    lowercase: the text is put in lower case before
    longest:   texts of more tokens are refused; 0: none are"""

    tokenizer: dict[str, Any]
    lowercase: bool = False
    longest: int = 0


@dataclass(frozen=True)
class Wide:
    """Scores added for every n-gram of a text, each counted once: the sum of their rows of `table` (items, labels).

    order: n-grams of 1 to `order` tokens, a space between them; edges: of the tokens in lower case with <s> before and
    </s> after them"""

    order: int
    edges: bool
    items: tuple[str, ...]
    table: Floats


@dataclass(frozen=True)
class Tags:
    """A label for every token. path: None where each is the best of its own scores, the first of equal ones."""

    labels: tuple[str, ...]
    path: BestPath | None


@dataclass(frozen=True)
class Labels:
    """A label for the text, by softmax; with `several`, all whose sigmoid is above one half, most probable first."""

    labels: tuple[str, ...]
    several: bool


@dataclass(frozen=True)
class Next:
    """The next token, by softmax over `labels`. Id 0 is the unknown one, which is never sampled; id 1 the end of a
    line, also read before the first. carries: the state is kept from line to line; otherwise it begins anew."""

    labels: tuple[str, ...]
    carries: bool


@dataclass(frozen=True)
class Plan:
    """text -> tokens -> `inputs` side by side -> `layers` -> `pooled`, if there is one -> `head` -> `answer`.

    task, model: as in `TASKS`. The last part of the head gives a score for every label; `wide` is added to it. Without
    a head, scores are `wide` and `bias` (labels,)."""

    task: str
    model: str
    text: Text
    inputs: tuple[Input, ...]
    layers: tuple[Part, ...]
    pooled: Pooled | None
    head: tuple[Affine, ...]
    answer: Tags | Labels | Next
    wide: Wide | None = None
    bias: Floats | None = None

    @property
    def input_size(self) -> int:
        """Of the layers."""
        return sum(one.output_size for one in self.inputs)
