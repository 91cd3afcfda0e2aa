"""Backpropagation through time taken apart: for every parameter's gradient, what reaches it at step i from output j.

The gradient of a parameter W that is used at every step is a sum over steps, for each loss separately:

    dL/dW = sum over j, i of  (ds_i / dW)' dL_j / ds_i,    where ds_i / dW is for step i alone.

`Contributions.norms` has the norm of every term, `gradient` any weighted sum of them as a matrix: one term, all of them
(what training uses), or those that a truncation keeps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from elman.errors import UsageError, nearest
from elman.inspect.array import Array
from elman.inspect.below import norms_below
from elman.inspect.cell_uses import CellUses, weighted
from elman.inspect.subject import CHUNK, Subject, backward, backward_many


class Contributions:
    """The gradient of every parameter of a subject, term by term.

        terms = Contributions(subject)
        terms.norms["W, layer 1 forward"]          Array (output, step)
        terms.term("W, layer 1 forward", step=3, output=7)     a matrix
        terms.lost["W, layer 1 forward"]           Array (length,)

    Names give parameter and place. `in_time` lists those that are used at every step: of the cells, and of what they
    read (embeddings, characters); `at_output` those above the recurrent layers, which every output reaches directly:
    for the output matrix V only i = j remains; `outside` those that the loss reaches by another path, as a CRF's
    transitions. A parameter used in several places has a name for each. All are for the loss summed over outputs;
    training divides it by their number."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        named = {id(parameter): name for name, parameter in subject.parameters.items()}
        self._cells: list[tuple[CellUses, dict[str, str]]] = []  # and the names of its parameters here
        self._parameter: dict[str, str] = {}  # name here -> name in the network
        for k, place in enumerate(subject.places):
            uses = CellUses(place, subject.gradients[k], subject.at_outputs[k])
            here = {name: f"{name}, {place.name}" for name in uses.parameters}
            self._cells.append((uses, here))
            self._parameter |= {here[name]: named[id(parameter)] for name, parameter in uses.parameters.items()}
        of_cells = set(self._parameter.values())
        others = {name: p for name, p in subject.parameters.items() if name not in of_cells}
        below, above = _used([subject.given], others), _used([subject.outcome.losses], subject.parameters)
        # Neither a cell's nor below or above: those of a custom layer with parameters.
        self._within = _used(subject.results, others)
        self._rest = _used([] if subject.outcome.rest is None else [subject.outcome.rest], others)
        both = {*below} & {*above}
        self._below = {f"{name}, read" if name in both else name: name for name in below}
        self._above = {f"{name}, written" if name in both else name: name for name in above}
        self._parameter |= self._below | self._above | {name: name for name in [*self._within, *self._rest]}
        self.in_time = [*self._below, *(name for _, here in self._cells for name in here.values())]
        self.outside = list(self._rest)

    # Sums of terms ----------------------------------------------------------------------------------------------------

    def gradient(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The sum of all terms, each times its weight, by name. weights: (J, rows); default all 1.

        A term above the layers has the weight of its output's own step; for an output of the whole text, 1, as do those
        outside."""
        subject = self.subject
        losses = subject.outcome.losses
        if weights is None:
            weights = losses.new_ones(len(subject.outputs), subject.rows)
        weights = weights.to(losses.dtype)
        own = [1.0 if row is None else float(weights[j, row]) for j, (row, _) in enumerate(subject.outputs)]
        sums = {name: value[0] for name, value in self._in_time([weights]).items()}
        sums |= self._at_output(losses.new_tensor(own))
        if subject.outcome.rest is not None:
            rest = [subject.parameters[n] for n in self._rest]
            sums |= zip(self._rest, backward([subject.outcome.rest], rest, [None]), strict=True)
        return sums

    def _in_time(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """For the parameters that are used at every step: (n, ...) for n weights, each (J, rows)."""
        subject = self.subject
        sums = {}
        if self._below:
            x = torch.stack([weighted(one, subject.at_inputs) for one in weights])
            below = [subject.parameters[n] for n in self._below.values()]
            sums = dict(zip(self._below, backward_many([subject.given], below, [x]), strict=True))
        for uses, here in self._cells:
            sums |= {here[name]: value for name, value in uses.gradient(weights).items()}
        return sums

    def _at_output(self, weights: Tensor) -> dict[str, Tensor]:
        """For the parameters above the recurrent layers, and those between. weights: (J,)."""
        subject = self.subject
        above = [subject.parameters[n] for n in self._above.values()]
        sums = dict(zip(self._above, backward([subject.outcome.losses], above, [weights]), strict=True))
        if not self._within:
            return sums
        given = [torch.tensordot(weights, g, 1) for g in subject.at_layers]
        within = [subject.parameters[n] for n in self._within]
        return sums | dict(zip(self._within, backward(subject.results, within, given), strict=True))

    def term(self, name: str, *, step: int, output: int) -> Tensor:
        """What reaches one parameter at one step from one output, in its shape. Raises UsageError for unknown ones."""
        if name not in self._parameter:
            raise UsageError(f"no parameter is named {name!r}; {nearest(name, self._parameter)}")
        subject = self.subject
        for what, place, size in (("step", step, subject.rows), ("output", output, len(subject.outputs))):
            if not 0 <= place < size:
                raise UsageError(f"expected a {what} from 0 to {size - 1}, found {place}")
        weights = torch.zeros(len(subject.outputs), subject.rows)
        weights[output, step] = 1
        return self.gradient(weights)[name]

    def by_parameter(self, found: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`gradient` by the network's names of its parameters, summed over places: what training uses."""
        total: dict[str, Tensor] = {}
        for name, value in (self.gradient() if found is None else found).items():
            parameter = self._parameter[name]
            total[parameter] = value if parameter not in total else total[parameter] + value
        return total

    # Norms ------------------------------------------------------------------------------------------------------------

    @cached_property
    def norms(self) -> dict[str, Array]:
        """Name -> the norm of every term: axes (output, step). For the parameters that are used at every step."""
        subject = self.subject
        names = {"output": subject.targets, "step": subject.tokens}
        below = norms_below(subject, list(self._below.values()))
        norms = {here: below[name] for here, name in self._below.items()}
        for uses, here in self._cells:
            norms |= {here[name]: value for name, value in uses.norms().items()}
        return {name: Array(value.detach().numpy(), ("output", "step"), names) for name, value in norms.items()}

    @cached_property
    def at_output(self) -> dict[str, Array]:
        """Name -> the norm of what comes from each output, at its own step: axes (output,)."""
        subject = self.subject
        norms: dict[str, list[float]] = {name: [] for name in [*self._above, *self._within]}
        for one in torch.eye(len(subject.outputs), dtype=subject.outcome.losses.dtype):
            for name, value in self._at_output(one).items():
                norms[name].append(float(value.norm()))
        names = {"output": subject.targets}
        return {name: Array(np.array(values), ("output",), names) for name, values in norms.items()}

    # Truncation -------------------------------------------------------------------------------------------------------

    @cached_property
    def lost(self) -> dict[str, Array]:
        """Name -> |gradient - truncated gradient| / |gradient| for every truncation length k from 0 to T: (length,).

        Truncated at k, a term counts if output and step are fewer than k steps apart: k = 0 keeps nothing, k = T
        everything. So every output is backpropagated k steps; training in windows keeps less for outputs near a
        window's start. nan for a parameter whose gradient is 0."""
        subject = self.subject
        apart = subject.apart
        far: dict[str, Tensor] = {}
        norms: dict[str, list[float]] = {name: [0.0] for name in self.in_time}
        distances = torch.arange(int(apart.max()), -1, -1)
        size = sum(subject.parameters[self._parameter[name]].numel() for name in self.in_time)
        for part in distances.split(max(CHUNK // size, 1)):
            at = [(apart == distance).to(subject.outcome.losses.dtype) for distance in part]
            for name, values in self._in_time(at).items():
                if name in far:
                    values[0] += far[name]
                far[name] = values.cumsum_(0)[-1].clone()
                norms[name] += values.flatten(1).norm(dim=1).tolist()
        shares = {}
        for name, risen in norms.items():
            falling = np.array(risen[::-1])
            whole = falling[0]
            shares[name] = Array(falling / whole if whole else np.full(len(falling), np.nan), ("length",))
        return shares


def _used(results: list[Tensor], parameters: dict[str, Tensor]) -> list[str]:
    """The parameters that a graph depends on."""
    sums = [r.sum() for r in results if r.requires_grad]
    if not sums or not parameters:
        return []
    grads = torch.autograd.grad(sums, list(parameters.values()), retain_graph=True, allow_unused=True)
    return [name for name, g in zip(parameters, grads, strict=True) if g is not None]
