"""`Subject`: a recurrent network and what it read, run once on the reference path, ready for every lens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from elman.errors import UsageError, quoted
from elman.inspect.sample import as_texts
from elman.recurrent import Bidirectional, Cell, Layer, Packed, use_backend
from elman.recurrent.recording import Record, recording
from elman.recurrent.states import map_state
from elman.tasks.examine import Examined, Lookup, Outcome

LONGEST = 256
"""Steps of an inspected text; every output is backpropagated to every step, so the work grows with the square."""

CHUNK = 80_000_000
"""Numbers of gradients that are computed at a time: 320 MB in float32."""


@dataclass(frozen=True)
class Place:
    """One cell of the network, in one direction.

    name: "layer 2 backward"; layer: from 1, the lowest"""

    name: str
    layer: int
    record: Record

    @property
    def reverse(self) -> bool:
        return self.record.reverse

    def rows(self, states: Sequence[Any]) -> Tensor:
        """States, one per step, concatenated as (rows, numbers of the state), in packed order."""
        return torch.cat([torch.cat([v.flatten(1) for v in floats(state)], 1) for state in states])


class Subject:
    """What a network computed for a batch of texts. Lenses take it; nothing is run twice.

        subject = Subject.of(model, "the boys that the dog saw run")
        subject = Subject.of_layer(layer, xs, loss)     # your own layer and loss, in tensors

    places:   the cells of the recurrent layers, the lowest first
    below:    what cells below them did, such as those that read characters
    layout:   the texts as packed rows; all arrays by step have one entry per row, which for one text are its steps
    outputs:  (row or None, sequence) of each of the J outputs; None where it is made from the whole text
    targets, tokens: the names of outputs and of rows
    answers:  of a text that `of` was given, the right answers that came with it or beside it; otherwise None
    outcome:  losses (J,) and more, see `Outcome`
    parameters: name -> parameter of the network
    """

    def __init__(
        self,
        layers: Layer,
        module: nn.Module,
        run: Callable[[], Outcome],
        outputs: Sequence[tuple[int, int | None]] | None = None,
        examined: Examined | None = None,
        model: Any = None,
    ) -> None:
        self.layers, self.module, self.examined, self.model = layers, module, examined, model
        self.answers: list[str] | None = None
        self.parameters: dict[str, Tensor] = dict(module.named_parameters())
        self._forward(run)
        layout = self.layout
        position = {int(text): i for i, text in enumerate(layout.order.tolist())}
        if outputs is None:  # one per row
            outputs = [] if len(self.outcome.losses) != len(layout.data) else _every(layout)
        if len(outputs) != len(self.outcome.losses):
            raise UsageError(
                f"expected a loss for each of {len(layout.data)} rows, or `outputs` that gives where each of "
                f"{len(self.outcome.losses)} belongs, found {len(outputs)}"
            )
        offsets = layout.offsets.tolist()
        self.outputs = [
            (None if step is None else offsets[step] + position[text], position[text]) for text, step in outputs
        ]

    @classmethod
    def of(cls, model: Any, text: Any, targets: Sequence[str] | None = None) -> Subject:
        """A trained model and one text.

        text:    as a string, which the model tokenizes; a list of tokens; or what the readers of its task return, such
                 as a Pair
        targets: what the outputs are scored against: right answers (by default those that come with the text, or else
                 the model's own), see its `examine`
        Raises UsageError for a model without recurrent layers and a text of more than 256 steps or none."""
        if not hasattr(model, "examine"):
            raise UsageError(f"a model of the kind {model.task} {model.kind} has no recurrent layers to inspect")
        (tokens,), own = as_texts(model, [text])
        if not tokens:
            raise UsageError("expected a text of at least one token, found none")
        if len(tokens) > LONGEST:
            raise UsageError(
                f"expected at most {LONGEST} tokens, found {len(tokens)}: every output is backpropagated to "
                "every step; inspect a part of the text"
            )
        answers = own if targets is None else [list(targets)]
        subject = cls.of_texts(model, [tokens], answers)
        subject.answers = None if answers is None else answers[0]
        return subject

    @classmethod
    def of_texts(
        cls, model: Any, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None
    ) -> Subject:
        """A trained model and a batch of texts, each a list of tokens."""
        examined: Examined = model.examine(texts, targets)
        network = model.network
        if not isinstance(getattr(network, "layers", None), Layer):
            raise UsageError(f"a model of the kind {model.task} {model.kind} has no recurrent layers to inspect")
        return cls(network.layers, network, examined.run, examined.outputs, examined, model)

    @classmethod
    def of_layer(
        cls,
        layer: Layer,
        xs: Sequence[Tensor] | Packed,
        loss: Callable[[Packed, Any], Tensor],
        outputs: Sequence[tuple[int, int | None]] | None = None,
        module: nn.Module | None = None,
    ) -> Subject:
        """Your own layer over sequences (length, input_size), and what is computed from its output.

        loss:    (ys, state) in packed order -> (J,) losses
        outputs: (sequence, step or None) of each; by default one per row of ys
        module:  the module with all parameters, if the layer is part of one"""
        packed = xs if isinstance(xs, Packed) else Packed.from_list(list(xs))

        def run() -> Outcome:
            losses = loss(*layer(packed))
            return Outcome(losses, None, losses.detach().new_zeros(len(losses), 0), losses.detach())

        return cls(layer, layer if module is None else module, run, outputs)

    # The pass -------------------------------------------------------------------------------------------------------

    def _forward(self, run: Callable[[], Outcome]) -> None:
        """Run, with the graph cut below and above the recurrent layers."""
        with torch.enable_grad(), use_backend("reference"), _evaluated(self.module), recording() as records:
            cut = _Cut(self.layers, records)
            with cut:
                self.outcome = run()
        if cut.calls != 1:
            raise UsageError(f"expected a network that calls its recurrent layers once, found {cut.calls} calls")
        self._cut = cut
        self.layout = cut.xs
        self.below = records[: cut.first]
        self.places = _places(self.layers, list(records[cut.first : cut.last]))
        if not self.places:
            raise UsageError("expected recurrent layers, found none: there is nothing to inspect")

    # Names ----------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        return len(self.layout.data)

    @property
    def tokens(self) -> list[str]:
        """The name of every row: its token, or else its step."""
        rows = _every(self.layout)
        if self.examined is None:
            return [str(step) for _, step in rows]
        return [self.examined.tokens[text][step] for text, step in rows]

    @property
    def targets(self) -> list[str]:
        """The name of every output."""
        return [str(j) for j in range(len(self.outputs))] if self.examined is None else self.examined.targets

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        return () if self.examined is None else self.examined.lookups

    def place(self, name: str) -> Place:
        """The place of this name. Raises UsageError that lists them all."""
        for place in self.places:
            if place.name == name:
                return place
        raise UsageError(f"no place is named {name!r}; there are {quoted(place.name for place in self.places)}")

    @cached_property
    def apart(self) -> Tensor:
        """(J, rows) how many steps are between each output and each row; -1 where they are from different texts.

        An output of a whole text is at its end: its last step."""
        lengths = self.layout.lengths
        position, sequence = self.layout.position_of_row, self.layout.sequence_of_row
        distances = torch.full((len(self.outputs), self.rows), -1, dtype=torch.long)
        for j, (row, text) in enumerate(self.outputs):
            end = lengths[text] - 1 if row is None else int(position[row])
            mine = sequence == text
            distances[j, mine] = (end - position[mine]).abs()
        return distances

    # Gradients ------------------------------------------------------------------------------------------------------

    @cached_property
    def at_layers(self) -> list[Tensor]:
        """The gradient of every loss w.r.t. the layers' results: (J, rows, size) for ys, then for each final state."""
        return self._above(self.outcome.losses)

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The gradient of every loss w.r.t. every state, place by place: (J, rows, numbers of the state)."""
        return self._back[0]

    @cached_property
    def at_outputs(self) -> list[Tensor | None]:
        """The gradient of every loss w.r.t. every output of a cell, place by place: (J, rows, output_size).

        None for a cell whose O is a part of its state."""
        return self._back[1]

    @cached_property
    def at_inputs(self) -> Tensor:
        """The gradient of every loss w.r.t. what the layers read: (J, rows, input_size)."""
        return self._back[2]

    def input_gradients(self, numbers: Tensor) -> Tensor:
        """The gradient of numbers other than the losses, (n,) in the graph of `leaves`, w.r.t. what the layers read:
        (n, rows, input_size)."""
        return self._through(self._above(numbers), [self.inputs])[0]

    @cached_property
    def at_read(self) -> Tensor | None:
        """The gradient of every loss w.r.t. what a decoder read: (J, J, size), or None without one.

        Column i is what it read to make output i, so that only what is not after output j has one."""
        read = self.outcome.read
        if read is None:
            return None
        return torch.stack([backward([loss], [read], [None])[0] for loss in self.outcome.losses])

    def _above(self, numbers: Tensor) -> list[Tensor]:
        """The gradient of each of some numbers w.r.t. each of `leaves`: (n, rows, size), ..."""
        grads = [backward([number], self.leaves, [None]) for number in numbers]
        return [torch.stack(column) for column in zip(*grads, strict=True)]

    @cached_property
    def _back(self) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        wanted = [self.inputs]
        for place in self.places:
            wanted += [value for state in place.record.after for value in floats(state)]
            wanted += place.record.ys if owns_output(place.record.cell) else []
        at_inputs, *rest = self._through(self.at_layers, wanted)
        pieces = iter(rest)
        states: list[Tensor] = []
        outputs: list[Tensor | None] = []
        for place in self.places:
            steps = [[next(pieces).flatten(2) for _ in floats(state)] for state in place.record.after]
            states.append(torch.cat([torch.cat(fields, 2) for fields in steps], 1))
            own = owns_output(place.record.cell)
            outputs.append(torch.cat([next(pieces) for _ in place.record.ys], 1) if own else None)
        return states, outputs, at_inputs

    def _through(self, upstream: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[Tensor]:
        """Back through the layers: (n, ...) gradients w.r.t. each of `results` -> w.r.t. each tensor wanted, (n, ...).

        The steps are traversed once for many of the n."""
        pairs = [(t, g) for t, g in zip(self.results, upstream, strict=True) if t.requires_grad]
        count = len(upstream[0])
        if not pairs:
            return [t.new_zeros(count, *t.shape) for t in wanted]
        many = max(CHUNK // max(sum(t.numel() for t in wanted), 1), 1)
        many = -(-count // -(-count // many))  # as even as possible
        results, given = zip(*pairs, strict=True)
        parts = [
            backward_many(results, wanted, [g[first : first + many] for g in given]) for first in range(0, count, many)
        ]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    # The graph is cut into three: parameters -> `given` | `inputs` -> `results` | leaves of `results` -> losses.

    @property
    def given(self) -> Tensor:
        """(rows, input_size) the input of the layers, in the graph of what is below them."""
        return self._cut.given

    @property
    def inputs(self) -> Tensor:
        """(rows, input_size) the same, a leaf of the graph of the layers."""
        return self._cut.x

    @property
    def results(self) -> list[Tensor]:
        """The results of the layers, in the graph of the layers: ys (rows, size), then each final state."""
        return self._cut.results

    @property
    def leaves(self) -> list[Tensor]:
        """The same, leaves of the graph of what is above the layers."""
        return self._cut.leaves


class _Cut:
    """While inside, the layers' call begins and ends in tensors that are leaves for what is below and above."""

    def __init__(self, layers: Layer, records: Sequence[Record]) -> None:
        self.layers, self.records, self.calls = layers, records, 0

    def __enter__(self) -> None:
        self._hooks = [
            self.layers.register_forward_pre_hook(self._before),
            self.layers.register_forward_hook(self._after),
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _before(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        xs, *rest = arguments
        if not isinstance(xs, Packed):
            raise UsageError(f"expected a network that passes packed rows to its layers, found {type(xs).__name__}")
        self.calls += 1
        self.first = len(self.records)
        self.given = xs.data
        self.x = xs.data.detach().requires_grad_()
        self.xs = xs.with_data(self.x)
        return (self.xs, *rest)

    def _after(self, _: nn.Module, __: tuple[Any, ...], result: tuple[Packed, Any]) -> tuple[Packed, Any]:
        self.last = len(self.records)
        ys, state = result
        self.results: list[Tensor] = []
        self.leaves: list[Tensor] = []

        def leaf(value: Tensor) -> Tensor:
            if not value.is_floating_point():
                return value
            self.results.append(value)
            self.leaves.append(value.detach().requires_grad_())
            return self.leaves[-1]

        return ys.with_data(leaf(ys.data)), map_state(leaf, state)


def owns_output(cell: Cell) -> bool:
    """Whether the cell's O is a separate equation."""
    return type(cell).O is not Cell.O or type(cell).output is not Cell.output


def floats(state: Sequence[Tensor]) -> list[Tensor]:
    """The fields of a state that can have a gradient."""
    return [value for value in state if value.is_floating_point()]


def _every(layout: Packed) -> list[tuple[int, int]]:
    """(text, step) of every row."""
    texts = layout.order[layout.sequence_of_row].tolist()
    return list(zip(texts, layout.position_of_row.tolist(), strict=True))


@contextmanager
def _evaluated(module: nn.Module) -> Any:
    """Inside, no part of the module draws noise."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _places(layers: Layer, records: Sequence[Record]) -> list[Place]:
    """Records in the order in which the layers ran, with their names."""
    both = [layer for layer in layers.modules() if isinstance(layer, Bidirectional)]
    owners = {id(part.cell): layer for layer in both for part in (layer.ahead, layer.back)}
    places: list[Place] = []
    last, number = None, 0
    for record in records:
        owner = owners.get(id(record.cell))
        second = owner is not None and owner is last  # the other direction of the same layer
        number, last = number + (not second), None if second else owner
        places.append(Place(f"layer {number} {'backward' if record.reverse else 'forward'}", number, record))
    return places


def backward_many(results: Sequence[Tensor], tensors: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """`backward` for n gradients at once, given (n, ...) for each result: (n, ...) for each tensor."""
    grads = torch.autograd.grad(
        list(results), list(tensors), list(given), retain_graph=True, allow_unused=True, is_grads_batched=True
    )
    return [t.new_zeros(len(given[0]), *t.shape) if g is None else g for t, g in zip(tensors, grads, strict=True)]


def backward(results: Sequence[Tensor], tensors: Sequence[Tensor], given: Sequence[Tensor | None]) -> list[Tensor]:
    """The gradient of the sum of (results * given).sum() w.r.t. each tensor, zeros without one; keeps the graph."""
    pairs = [(r, g) for r, g in zip(results, given, strict=True) if r.requires_grad]
    if not pairs or not tensors:
        return [torch.zeros_like(t) for t in tensors]
    grads = torch.autograd.grad(
        [r for r, _ in pairs],
        list(tensors),
        [g for _, g in pairs],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return [g.detach() for g in grads]
