"""`stepper`: one step at a time, with the caller holding the state. For streaming and generation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.recurrent.layers import Layer


class Stepper:
    """One step of a causal layer: `y, state = stepper(x, state)`, without autograd.

    batch: rows of every x. path: "native", or "reference" if any cell in it is not compiled.
    The weights are a copy, packed as the layer had them when the stepper was made, in evaluation mode. A state is the
    layer's own, (batch, hidden) tensors, so it can come from `layer(xs)` and go back; no state passed in is changed."""

    def __init__(self, layer: Layer, batch: int, dtype: torch.dtype) -> None:
        layer.require_causal("stepping")
        self.layer, self.batch, self._width = layer, batch, layer.input_size
        self._step, compiled = layer.one_step(batch, dtype)
        self.path = "native" if compiled else "reference"

    def initial(self) -> Any:
        """The state before the first step."""
        return self.layer.initial(self.batch, next(self.layer.parameters(), None))

    def __call__(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """x (batch, input_size) -> y (batch, output_size), and the state after it. UsageError for other shapes."""
        shape = x.shape
        if len(shape) != 2 or shape[0] != self.batch or (shape[1] != self._width and self._width is not None):
            expected = (self.batch, self._width)
            raise UsageError(f"stepper: expected x {expected}, one row per sequence, found {tuple(x.shape)}")
        return self._step(x, self.initial() if state is None else state)


def stepper(layer: Layer, batch: int = 1, dtype: torch.dtype = torch.float32) -> Stepper:
    """A `Stepper` of a causal layer or stack of layers, for batches of `batch` rows.

    dtype: of the weights in products: torch.float32, or torch.bfloat16, which halves what is read from memory.
    Raises UsageError for a layer that looks ahead, for batch < 1 and for another dtype."""
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"stepper: expected a batch of 1 or more, found {batch!r}")
    require_dtype(dtype, "stepper")
    return Stepper(layer, batch, dtype)


def require_dtype(dtype: torch.dtype, where: str) -> None:
    """Raise UsageError unless it is one that a step's products may have."""
    if dtype not in (torch.float32, torch.bfloat16):
        raise UsageError(f"{where}: expected dtype torch.float32 or torch.bfloat16, found {dtype}")
