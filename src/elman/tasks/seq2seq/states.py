"""What the decoder reads, and what it carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from elman.layers.attention import Memory
from elman.recurrent.states import map_state


@dataclass(frozen=True)
class Encoded:
    """Sources as the decoder reads them, one after the other.

    memory:  their layout
    values:  (positions, width) the encoder's outputs
    keys:    (positions, size) what queries are compared with
    hidden:  (positions, size) their part of the hidden layer of hard attention, or None
    copies:  (positions,) ids of the symbols that can be copied; extra: how many of them the vocabulary lacks
    initial: the state of the decoder before its first step
    features: (sources, embedding_size) what is added to every vector that the decoder reads, or None
    first:   (sources,) the place of each source's first symbol, after its features
    """

    memory: Memory
    values: Tensor
    keys: Tensor
    hidden: Tensor | None
    copies: Tensor
    extra: int
    initial: Any
    features: Tensor | None
    first: Tensor


class Fed(NamedTuple):
    """What a step passes on to the next beside the cells' states; None: nothing.

    vector:       (rows, size) what attention gave
    distribution: (rows, embedding_size) the mean symbol vector under the distribution that was given
    """

    vector: Tensor | None = None
    distribution: Tensor | None = None


class DecoderState(NamedTuple):
    """Between two steps. cells: of the recurrent layers; places: (rows, 1 + positions) with monotonic attention,
    the log-probability that nothing is written yet, then that the last symbol was written from each position; else
    None."""

    cells: Any
    fed: Fed
    places: Tensor | None

    def take(self, rows: Tensor) -> DecoderState:
        """The state of these rows: (n,)."""
        cells = map_state(lambda value: value[rows], self.cells)
        fed = Fed(*(None if part is None else part[rows] for part in self.fed))
        return DecoderState(cells, fed, None if self.places is None else self.places[rows])
