"""What reads tokens and what answers, as data: the parts of a plan around its recurrent layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.recurrent.plan import Affine, Floats, Recurrence


@dataclass(frozen=True)
class Table:
    """A vector for each token: the row of `vectors` (items, size) whose item the token's form is, otherwise row 0.

    of: the form: "token", as it is; "given": as it is, or else in lower case; or a key of `layers.features.KINDS`"""

    of: str
    items: tuple[str, ...]
    vectors: Floats

    @property
    def output_size(self) -> int:
        return int(self.vectors.shape[1])


@dataclass(frozen=True)
class Spelled:
    """A vector for each token from its characters: the ends of a recurrence (for the reverse direction its first step)
    over the vectors of its code points, row 0 for those not listed.

    longest: of a token with more characters, the first and the last longest / 2 are read
    A token without characters has the recurrence's `output` before the first step."""

    items: tuple[str, ...]
    vectors: Floats
    longest: int
    layer: Recurrence

    @property
    def output_size(self) -> int:
        return self.layer.output_size


@dataclass(frozen=True)
class Ends:
    """A vector for each token: those of its first `length` characters, then of its last ones, from the ends inwards;
    row 0 for characters not listed, zeros where the token is shorter. Tokens are cut as for `Spelled`."""

    items: tuple[str, ...]
    vectors: Floats
    longest: int
    length: int

    @property
    def output_size(self) -> int:
        return 2 * self.length * int(self.vectors.shape[1])


Input = Table | Spelled | Ends


@dataclass(frozen=True)
class Pooled:
    """One vector for all steps: "final" (the end of each direction), "max", "mean", or "attention": the mean weighted
    by softmax(score . tanh(hidden)). Zeros without steps, but for "final"."""

    how: str
    hidden: Affine | None = None
    score: Floats | None = None  # (size,)


@dataclass(frozen=True)
class BestPath:
    """The sequence of labels with the highest start[y_1] + sum scores[t, y_t] + sum transitions[y_t, y_t+1] + end[y_L],
    in float64; minus infinity is forbidden. Between equal paths the lowest label wins, from the last step to the first.

    softmax: the scores are made log-probabilities first, and are those of a softmax; otherwise a CRF's"""

    start: NDArray[np.float64]  # (labels,)
    transitions: NDArray[np.float64]  # (labels, labels) [from, to]
    end: NDArray[np.float64]  # (labels,)
    softmax: bool
