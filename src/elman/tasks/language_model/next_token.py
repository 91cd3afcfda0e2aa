"""The scores of the next token, one token after the other, as sampling needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elman.recurrent.generator import generator
from elman.tasks.language_model.modules import LanguageModelNetwork


class NextToken:
    """scores (vocabulary,) = next_token(id): of what follows the ids passed so far. The state stays inside.

    The weights are a copy, as the network had them when this was made. precision: "float32", or "bfloat16": the
    recurrent layers' products read numbers rounded to bfloat16, and the projection is multiplied with the softmax's
    matrix once, if that leaves less to read."""

    def __init__(self, network: LanguageModelNetwork, precision: str = "float32") -> None:
        half = precision == "bfloat16"
        table = network.embedding.detach()
        self._step = generator(network.layers, table, torch.bfloat16 if half else torch.float32)
        self._weight, self._bias = network.output_weight.detach().clone(), network.bias.detach().clone()
        self._projection = None if network.projection is None else network.projection.weight.detach().clone()
        if half and self._projection is not None:
            whole = len(self._bias) * self._projection.shape[1]
            if whole < self._weight.numel() + self._projection.numel():
                self._weight, self._projection = self._weight @ self._projection, None

    def reset(self) -> None:
        """Begin again, as if nothing had been passed."""
        self._step.reset()

    def __call__(self, i: int) -> np.ndarray[Any, Any]:
        h = self._step(i)
        if self._projection is not None:
            h = torch.nn.functional.linear(h, self._projection)
        return torch.addmv(self._bias, self._weight, h[0]).numpy()
