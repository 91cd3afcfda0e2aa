"""A whole network in evaluation as data, from a text to the answer: what every writer of `export` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elman.layers.plan import BestPath, Input, Pooled
from elman.recurrent.plan import Affine, Floats, Part, Recurrence


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


@dataclass(frozen=True)
class Attending:
    """What the decoder's output s (written,) at a step makes of the encoder's outputs h_j (width,), one per position.

    kind: "none", "dot", "general", "additive" or "hard"
    query (width, written) or None; key: an affine map or None. The score of position j is (query s) . key(h_j), each
        where there is one; additive: v . tanh(query s + key(h_j)), of the output of the step before, which at the first
        step is the decoder's output of its initial state
    v (size,): of additive attention, otherwise None
    soft attention: weights softmax(scores), context sum_j weights_j h_j; hidden = tanh(hidden [context; s]).
    none: hidden(s), with tanh if `none_tanh`.
    hard: hidden_j = tanh(hidden s + read(h_j)) for each j, p(y) = sum_j p(j) softmax(output hidden_j)[y], with
        p(j) = softmax(scores).
    monotonic: p(j) depends on the position i that the symbol before was written from: softmax over j >= i of score_j +
        moves[min(j - i, len(moves) - 1)]; summed over p(i | symbols before), which is p(i) p(symbol | i), normalised.
        At the first step i is the position before the first one that is not a feature, and j > i.
    gate: p(y) = g p_softmax(y) + (1 - g) sum_{j: symbol at j = y} weights_j, g = sigmoid(gate hidden); with hard
        attention for each j with its hidden_j. The end is copied as any symbol; features are never copied."""

    kind: str
    query: Floats | None
    key: Affine | None
    v: Floats | None
    hidden: Affine
    read: Affine | None
    none_tanh: bool
    moves: Floats | None
    gate: Affine | None

    @property
    def monotonic(self) -> bool:
        return self.moves is not None


@dataclass(frozen=True)
class Rewriting:
    """An encoder-decoder: source -> symbols, features first, and the end -> vectors -> `encoder` -> h; the ends of its
    topmost recurrence -> tanh(bridge) -> the initial state of `decoder`, field by field and layer by layer. At each
    step the decoder reads the vector of the symbol before (at first the end's), and beside it what is fed; then
    `attention` and softmax(output hidden).

    source_symbols, target_symbols: items in the order of their ids, 0 the unknown one, 1 the end
    source_vectors, target_vectors (items, size)
    decoder:  recurrences of one forward direction each
    features: (size, size) or None: the sum of the vectors of a source's features, multiplied by it (features x), is
              added to every vector that the decoder reads. A feature is a symbol <...>; see `is_feature`
    input_feeding, output_feedback: the decoder reads [vector; context of additive attention; hidden of the step before;
              sum_y p(y) target_vectors[y] of the step before], those that there are; zeros at the first step
    output:   W (items, hidden size), b (items,)
    beam, length_penalty: as the model searches by default; longest: an answer has at most max(2 longest + 10, 3 times
              the source's symbols) symbols. <unknown> is never written"""

    task: str
    model: str
    source: Text
    target: Text
    source_symbols: tuple[str, ...]
    target_symbols: tuple[str, ...]
    source_vectors: Floats
    target_vectors: Floats
    encoder: tuple[Part, ...]
    bridge: Affine
    decoder: tuple[Recurrence, ...]
    attention: Attending
    features: Floats | None
    input_feeding: bool
    output_feedback: bool
    output: Affine
    beam: int
    length_penalty: float
    longest: int
