"""Backpropagation through time laid open: of every parameter's gradient, what reaches it at step i from output j.

The gradient of a parameter W that is used at every step is a sum over steps, and that of each loss by itself:

    dL/dW = sum over j, i of  (ds_i / dW)' dL_j / ds_i,    where ds_i / dW is that of step i alone.

`Contributions.norms` has the norm of every term, `gradient` any weighted sum of them as a matrix: one term, all of them
(what training uses), or those that a truncation keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from elman.errors import UsageError, nearest
from elman.inspect.array import Array
from elman.inspect.step import Rows, Step, flat, rows_of, stepped
from elman.inspect.subject import CHUNK, Place, Subject, backward
from elman.recurrent import Cell


@dataclass
class _CellUses:
    """The parameters of one place, and a graph of all its steps at once."""

    place: Place
    names: list[str]
    gradients: Tensor  # (J, rows, state)
    at_outputs: Tensor | None  # (J, rows, output_size), where O is an equation of its own
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = rows_of(self.place)
        self.step = Step(self.place)
        self.parameters = list(self.cell.parameters())
        with torch.enable_grad():
            self._new = flat(self.step(self.rows.before, self.rows.x))
            self._y = None if self.at_outputs is None else self.cell.O(self.rows.after)

    @property
    def cell(self) -> Cell:
        return self.place.record.cell

    def gradient(self, weights: Tensor) -> list[Tensor]:
        """The sum of all terms, each times its weight (J, rows)."""
        results, given = [self._new], [weighted(weights, self.gradients)]
        if self._y is not None and self.at_outputs is not None and self._y.requires_grad:
            results.append(self._y)
            given.append(weighted(weights, self.at_outputs))
        return list(
            torch.autograd.grad(
                results, self.parameters, given, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        )

    def norms(self) -> dict[str, Tensor]:
        """Parameter of the cell -> (J, rows).

        A product's parameters get at a step the outer product of what is multiplied and the gradient by the result,
        whose norm is the product of both norms. Per-unit vectors are given to every row as one of its own."""
        cell = self.cell
        structured = {"W", "U", "b", "c", *cell.vectors} if cell.fits else set()
        found: dict[str, list[Tensor]] = {name: [] for name, _ in cell.named_parameters()}
        dense = [name for name in found if name not in structured]
        J, rows, _ = self.gradients.shape
        size = sum(value[0].numel() for value in self.rows.after) * 24
        for part in torch.arange(rows).split(max(CHUNK // (J * size), 1)):
            pairs = part.repeat_interleave(J)
            at = self.rows.pick(pairs)
            by_state = self.gradients[:, part].transpose(0, 1).flatten(0, 1)
            by_output = None
            if self.at_outputs is not None:
                by_output = self.at_outputs[:, part].transpose(0, 1).flatten(0, 1)
            squares = self._structured(at, by_state, by_output) if cell.fits else {}
            squares |= self._dense(dense, at, by_state, by_output) if dense else {}
            for name, value in squares.items():
                found[name].append(value.view(len(part), J))
        return {name: torch.cat(parts).sqrt().t() for name, parts in found.items()}

    def _structured(self, at: Rows, by_state: Tensor, by_output: Tensor | None) -> dict[str, Tensor]:
        """Squared norms (pairs,) of the parameters that a cell declares."""
        cell = self.cell
        own = {name: getattr(cell, name).detach().expand(len(at.x), -1).clone() for name in cell.vectors}
        for tensor in own.values():
            tensor.requires_grad_()
        with torch.enable_grad(), stepped(cell) as calls:
            new, y = self.step.with_parameters(own, at.before, at.x, at.after)
        ((_, x, r),) = calls
        r = r or ()
        results, given = [flat(new)], [by_state]
        if by_output is not None and y.requires_grad:
            results.append(y)
            given.append(by_output)
        wanted = [*x, *r, *own.values()]
        grads = torch.autograd.grad(results, wanted, given, allow_unused=True, materialize_grads=True)
        by_x, by_r = grads[: len(x)], grads[len(x) : len(x) + len(r)]
        squares = {"b": _squares(by_x)}
        squares["W"] = squares["b"] * _squares([at.x])
        if r:
            squares["U"] = _squares(cell.history(at.before)) * _squares(by_r)
        if cell.recurrent_bias:
            of = dict(zip(cell._Rec._fields, by_r, strict=True))
            squares["c"] = _squares([of[name] for name in cell.recurrent_bias])
        squares |= {name: g.square().sum(1) for name, g in zip(own, grads[len(x) + len(r) :], strict=True)}
        return squares

    def _dense(self, names: list[str], at: Rows, by_state: Tensor, by_output: Tensor | None) -> dict[str, Tensor]:
        """Squared norms (pairs,) of any parameters, each pair's gradient made in full."""
        given = {name: p.detach() for name, p in self.cell.named_parameters() if name in names}
        if by_output is None:
            by_output = by_state.new_zeros(len(by_state), 0)

        def value(own: dict[str, Tensor], before: Any, x: Tensor, after: Any, g: Tensor, o: Tensor) -> Tensor:
            one = [type(s)(*[v.unsqueeze(0) for v in s]) for s in (before, after)]
            new, y = self.step.with_parameters(own, one[0], x.unsqueeze(0), one[1])
            total = (flat(new)[0] * g).sum()
            return total + (y[0] * o).sum() if len(o) else total

        squared: dict[str, list[Tensor]] = {name: [] for name in names}
        each = vmap(grad(value), in_dims=(None, 0, 0, 0, 0, 0))
        many = max(CHUNK // max(sum(p.numel() for p in given.values()), 1), 1)
        for part in torch.arange(len(at.x)).split(many):
            some = at.pick(part)
            found = each(given, some.before, some.x, some.after, by_state[part], by_output[part])
            for name, g in found.items():
                squared[name].append(g.flatten(1).square().sum(1))
        return {name: torch.cat(parts) for name, parts in squared.items()}


class Contributions:
    """The gradient of every parameter of a subject, term by term.

        terms = Contributions(subject)
        terms.norms["W, layer 1 forward"]          Array (output, step)
        terms.term("W, layer 1 forward", step=3, output=7)     a matrix
        terms.lost["W, layer 1 forward"]           Array (length,)

    Names say parameter and place. `in_time` lists those that are used at every step: of the cells, and of what they
    read (embeddings, characters); `at_output` those above the recurrent layers, which every output reaches at once: for
    the output matrix V only i = j remains; `outside` those that the loss reaches by another way, as a CRF's
    transitions. A parameter used in several places has a name for each. All are of the loss summed over outputs;
    training divides it by their number."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        named = {id(parameter): name for name, parameter in subject.parameters.items()}
        self._cells: list[_CellUses] = []
        self._parameter: dict[str, str] = {}  # name here -> name in the network
        for k, place in enumerate(subject.places):
            cell = place.record.cell
            names = [f"{name}, {place.name}" for name, _ in cell.named_parameters()]
            self._cells.append(_CellUses(place, names, subject.gradients[k], subject.at_outputs[k]))
            for parameter, here in zip(cell.parameters(), names, strict=True):
                self._parameter[here] = named[id(parameter)]
        of_cells = set(self._parameter.values())
        others = {name: p for name, p in subject.parameters.items() if name not in of_cells}
        below, above = _used([subject.given], others), _used([subject.outcome.losses], subject.parameters)
        # What is neither a cell's nor below or above: of a layer of one's own, with parameters.
        self._within = _used(subject.results, others)
        self._rest = _used([] if subject.outcome.rest is None else [subject.outcome.rest], others)
        both = {*below} & {*above}
        self._below = {f"{name}, read" if name in both else name: name for name in below}
        self._above = {f"{name}, written" if name in both else name: name for name in above}
        self._parameter |= self._below | self._above | {name: name for name in [*self._within, *self._rest]}
        self.in_time = [*self._below, *(name for uses in self._cells for name in uses.names)]
        self.outside = list(self._rest)

    # Sums of terms ----------------------------------------------------------------------------------------------------

    def gradient(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The sum of all terms, each times its weight, by name. weights: (J, rows); default all 1.

        A term above the layers has the weight of its output's own step; of an output of the whole text, 1, and so has
        what is outside."""
        subject = self.subject
        losses = subject.outcome.losses
        if weights is None:
            weights = losses.new_ones(len(subject.outputs), subject.rows)
        weights = weights.to(losses.dtype)
        own = [1.0 if row is None else float(weights[j, row]) for j, (row, _) in enumerate(subject.outputs)]
        found = self._in_time(weights) | self._at_output(losses.new_tensor(own))
        if subject.outcome.rest is not None:
            rest = [subject.parameters[n] for n in self._rest]
            found |= zip(self._rest, backward([subject.outcome.rest], rest, [None]), strict=True)
        return found

    def _in_time(self, weights: Tensor) -> dict[str, Tensor]:
        """Of the parameters that are used at every step. weights: (J, rows)."""
        subject = self.subject
        x = weighted(weights, subject.at_inputs)
        below = [subject.parameters[n] for n in self._below.values()]
        found = dict(zip(self._below, backward([subject.given], below, [x]), strict=True))
        for uses in self._cells:
            found |= zip(uses.names, uses.gradient(weights), strict=True)
        return found

    def _at_output(self, weights: Tensor) -> dict[str, Tensor]:
        """Of the parameters above the recurrent layers, and of those between. weights: (J,)."""
        subject = self.subject
        above = [subject.parameters[n] for n in self._above.values()]
        found = dict(zip(self._above, backward([subject.outcome.losses], above, [weights]), strict=True))
        given = [torch.tensordot(weights, g, 1) for g in subject.at_layers]
        within = [subject.parameters[n] for n in self._within]
        return found | dict(zip(self._within, backward(subject.results, within, given), strict=True))

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
        """`gradient` by the names that the network has for its parameters, places added: what training uses."""
        total: dict[str, Tensor] = {}
        for name, value in (self.gradient() if found is None else found).items():
            parameter = self._parameter[name]
            total[parameter] = value if parameter not in total else total[parameter] + value
        return total

    # Norms ------------------------------------------------------------------------------------------------------------

    @cached_property
    def norms(self) -> dict[str, Array]:
        """Name -> the norm of every term: axes (output, step). Of the parameters that are used at every step."""
        subject = self.subject
        names = {"output": subject.targets, "step": subject.tokens}
        found = self._norms_below()
        for uses in self._cells:
            found |= zip(uses.names, uses.norms().values(), strict=True)
        return {name: Array(value.detach().numpy(), ("output", "step"), names) for name, value in found.items()}

    @cached_property
    def at_output(self) -> dict[str, Array]:
        """Name -> the norm of what comes from each output, at its own step: axes (output,)."""
        subject = self.subject
        found: dict[str, list[float]] = {name: [] for name in [*self._above, *self._within]}
        for one in torch.eye(len(subject.outputs), dtype=subject.outcome.losses.dtype):
            for name, value in self._at_output(one).items():
                found[name].append(float(value.norm()))
        names = {"output": subject.targets}
        return {name: Array(np.array(values), ("output",), names) for name, values in found.items()}

    def _norms_below(self) -> dict[str, Tensor]:
        """A row of a table gets the gradient by the columns that it fills; what else reads tokens is run one by one."""
        subject, found = self.subject, {}
        tables = {lookup.parameter: lookup for lookup in subject.lookups}
        for name, parameter in self._below.items():
            if parameter in tables:
                table = tables[parameter]
                found[name] = subject.at_inputs[:, :, table.start : table.stop].norm(dim=2)
        others = {name: p for name, p in self._below.items() if p not in tables}
        if not others:
            return found
        squares = {name: subject.at_inputs.new_zeros(subject.at_inputs.shape[:2]) for name in others}
        tokens = subject.tokens
        for token in dict.fromkeys(tokens):
            rows = torch.tensor([i for i, other in enumerate(tokens) if other == token])
            alone = Subject.of_texts(subject.model, [[token]])
            parameters = [alone.parameters[p] for p in others.values()]
            given = subject.at_inputs[:, rows].flatten(0, 1).unsqueeze(1)
            many = max(CHUNK // sum(p.numel() for p in parameters), 1)
            parts = [
                [
                    g.flatten(1).square().sum(1)
                    for g in torch.autograd.grad(
                        alone.given,
                        parameters,
                        part,
                        retain_graph=True,
                        is_grads_batched=True,
                        allow_unused=True,
                        materialize_grads=True,
                    )
                ]
                for part in given.split(many)
            ]
            for name, column in zip(others, zip(*parts, strict=True), strict=True):
                squares[name][:, rows] = torch.cat(column).view(-1, len(rows))
        return found | {name: value.sqrt() for name, value in squares.items()}

    # Truncation -------------------------------------------------------------------------------------------------------

    @cached_property
    def lost(self) -> dict[str, Array]:
        """Name -> |gradient - truncated gradient| / |gradient| for every truncation length k from 0 to T: (length,).

        Truncated at k, a term counts where fewer than k steps lie between output and step: k = 0 keeps nothing, k = T
        all. So every output is taken back k steps; training in windows keeps less for outputs near a window's start.
        nan for a parameter whose gradient is 0."""
        subject = self.subject
        apart = subject.apart
        longest = int(apart.max()) + 1
        far: dict[str, Tensor] = {}
        norms: dict[str, list[float]] = {name: [0.0] for name in self.in_time}
        for distance in range(longest - 1, -1, -1):
            here = self._in_time((apart == distance).to(subject.outcome.losses.dtype))
            for name, value in here.items():
                far[name] = value if name not in far else far[name].add_(value)
                norms[name].append(float(far[name].norm()))
        found = {}
        for name, values in norms.items():
            falling = np.array(values[::-1])
            whole = falling[0]
            found[name] = Array(falling / whole if whole else np.full(len(falling), np.nan), ("length",))
        return found


def weighted(weights: Tensor, gradients: Tensor) -> Tensor:
    """(rows, n): the sum over outputs of gradients (J, rows, n), each times its weight (J, rows)."""
    where = weights.nonzero()
    if 4 * len(where) > weights.numel():
        return torch.einsum("jr,jrs->rs", weights, gradients)
    j, row = where.unbind(1)
    found = gradients.new_zeros(gradients.shape[1:])
    return found.index_add_(0, row, gradients[j, row] * weights[j, row].unsqueeze(1))


def _squares(parts: Sequence[Tensor]) -> Tensor:
    """(rows,) the sum of the squares of each row, over all parts."""
    return torch.stack([part.square().sum(1) for part in parts]).sum(0)


def _used(results: list[Tensor], parameters: dict[str, Tensor]) -> list[str]:
    """The parameters that a graph comes from."""
    there = [r.sum() for r in results if r.requires_grad]
    if not there or not parameters:
        return []
    grads = torch.autograd.grad(there, list(parameters.values()), retain_graph=True, allow_unused=True)
    return [name for name, g in zip(parameters, grads, strict=True) if g is not None]
