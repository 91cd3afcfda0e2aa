"""Sessions: a model reads a text while it is still coming, and answers as soon as it can."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from elman.errors import ModelError, UsageError, shorten
from elman.recurrent import Layer, Stepper, stepper
from elman.recurrent.states import map_state

R = TypeVar("R", bound="Reading")
A = TypeVar("A")

KEY, FORMAT = "elman session", "1"


class Reading:
    """What all sessions of a model share: its layers, one step at a time, with the weights as they are now.

    One thread at a time may push to the sessions of a model."""

    def __init__(self, network: nn.Module, layers: Layer, dtype: torch.dtype = torch.float32) -> None:
        self.stepper: Stepper = stepper(layers, dtype=dtype)
        self.weights = weights_of(network)
        self._network = network
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """A hash of the weights: a state is of use to nothing else."""
        if self._digest is None:
            whole = hashlib.sha256()
            for name, value in sorted(self._network.state_dict().items()):
                whole.update(name.encode())
                whole.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
            self._digest = whole.hexdigest()
        return self._digest


def weights_of(network: nn.Module) -> list[tuple[int, int]]:
    """What changes whenever the weights do: where each is, and how often it was written to."""
    return [(one.data_ptr(), one._version) for one in network.parameters()]


class Session(Generic[R, A]):
    """A text that is still coming. Made by `model.session()`.

    Memory and time of a step do not depend on how much was read. `save` gives the state as bytes, from which
    `model.session(saved)` continues, in another process too."""

    def __init__(self, reading: R, saved: bytes | None = None) -> None:
        self._reading = reading
        self._layers: Any = None
        self._begin()
        if saved is not None:
            self._restore(saved)

    # What a subclass defines

    def push(self, token: str) -> A:
        """Read on: the answers that are now known."""
        raise NotImplementedError

    def finish(self) -> A:
        """The text is complete: the answers that were still to come. The session is then at the start of another."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Set the state to that before the first token."""
        self._layers = self._reading.stepper.initial()

    def _tensors(self) -> dict[str, Tensor]:
        """The state, besides that of the layers."""
        return {}

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the state that `_tensors` gave."""

    # The same for all

    @torch.no_grad()
    def _step(self, x: Tensor) -> Tensor:
        """(1, output_size): the layers' output at x (1, input_size)."""
        y, self._layers = self._reading.stepper(x, self._layers)
        return y

    def copy(self) -> Self:
        """Another session that has read the same."""
        other = type(self)(self._reading)
        other._layers = self._layers  # no step changes a tensor of a state
        other._take({name: value.clone() for name, value in self._tensors().items()})
        return other

    def save(self) -> bytes:
        """The state, a few kB in the safetensors format."""
        tensors = {f"layers.{i}": value for i, value in enumerate(_leaves(self._layers))} | self._tensors()
        about = {KEY: f"{FORMAT} {type(self).__name__} {self._reading.digest}"}
        whole = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
        return safetensors.torch.save(whole, about)

    def _restore(self, saved: bytes) -> None:
        expected = f"expected the bytes that save() of a {type(self).__name__} gave"
        try:
            tensors = safetensors.torch.load(saved)
            version, kind, digest = _about(saved)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as problem:
            raise UsageError(f"{expected}, found others: {problem}") from None
        if version != FORMAT or kind != type(self).__name__:
            raise UsageError(f"{expected}, found those of a {shorten(kind)}, format {shorten(version)}")
        if digest != self._reading.digest:
            raise ModelError(f"{expected} with this model, found those of another: its weights are different")
        mine = {name: value for name, value in tensors.items() if not name.startswith("layers.")}
        try:
            values = iter([tensors[f"layers.{i}"] for i in range(len(tensors) - len(mine))])
            self._layers = map_state(lambda like: _fitting(next(values), like), self._layers)
            self._take(mine)
        except (KeyError, StopIteration, ValueError, IndexError, RuntimeError) as problem:
            raise UsageError(f"{expected}, found a state that does not fit ({problem})") from None


def _fitting(value: Tensor, like: Tensor) -> Tensor:
    if value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(f"a tensor {tuple(value.shape)} in place of {tuple(like.shape)}")
    return value


def _leaves(state: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_state(found.append, state)
    return found


def _about(saved: bytes) -> tuple[str, str, str]:
    """What `save` says of a state, from the metadata of the safetensors file, whose header begins with its length."""
    header = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    version, kind, digest = header["__metadata__"][KEY].split()
    return version, kind, digest
