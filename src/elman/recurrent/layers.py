"""Layers in time: what networks are built from. `ys, state = layer(xs, state)`, and combinators keep that contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.recurrent.backend import half_wanted
from elman.recurrent.bptt import run_bounded
from elman.recurrent.call import Call
from elman.recurrent.cell import Cell, as_state, evaluated
from elman.recurrent.forms import Sequences, open_form
from elman.recurrent.kernels.products import affine
from elman.recurrent.loop import run
from elman.recurrent.noise import Modifiers
from elman.recurrent.one_step import OneStep, Resident, cell_step, resident
from elman.recurrent.packed import Packed
from elman.recurrent.plan import Direction, Neighbours, Part, Recurrence, Skip, direction_of
from elman.recurrent.states import check_state, map_state


class Layer(nn.Module):
    """Sequences in, sequences of the same lengths and a state out.

    input_size, output_size: numbers per step (input_size None: any width)
    causal: the output at step i is the output of the sequence cut at i. Stepping, streaming and carrying state need it.
    recurrent: it carries a recurrent state, so that `final` is defined
    idle: in evaluation it returns what it is given
    """

    input_size: int | None = None
    output_size: int
    causal: bool = True
    recurrent: bool = False
    idle: bool = False

    def forward(
        self, xs: Sequences, state: Any = None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Any, Any]:
        """ys, state = layer(xs, state).

        xs: a list of (length, input_size), or (batch, time, input_size) with `lengths` (batch,), or a Packed or torch's
        PackedSequence; or one sequence, (time, input_size), whose state then has no batch.
        state: as returned by an earlier call, or None for the start; its rows are in the order of xs.
        Returns ys in the form of xs, and the state at the end of each sequence."""
        like = None if isinstance(xs, Packed) else next(self.parameters(), None)
        opened = open_form(xs, lengths, self.input_size, type(self).__name__, like)
        packed = opened.packed
        if state is None:
            state = self.initial(packed.sequences, packed.data)
        else:
            state = map_state(opened.sort, self.check(map_state(opened.expand, state), packed.sequences))
        ys, state = self.run(packed, state)
        return opened.restore(ys), map_state(opened.leave, state)

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        """The computation, on packed rows and a state in packed order. Subclasses define it."""
        raise UsageError(f"layer {type(self).__name__} does not define run(xs, state)")

    def prepare(self, rows: Tensor) -> tuple[Tensor, ...]:
        """What depends on each of these inputs alone, in evaluation and on the CPU: (n, input_size) -> tables (n, ...)
        for `run_prepared`. So an input that occurs often, such as a frequent word, is multiplied once."""
        return (rows,)

    def run_prepared(self, index: Packed, tables: tuple[Tensor, ...], state: Any) -> tuple[Packed, Any]:
        """What `run` returns in evaluation. index.data (rows,): the row of the prepared tables at each step."""
        return self.run(index.with_data(tables[0][index.data]), state)

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        """The state before the first step. `()` for a layer that carries nothing."""
        return ()

    def check(self, state: Any, sequences: int) -> Any:
        """The state with its names and shapes checked."""
        if state != ():
            raise UsageError(f"{type(self).__name__} carries no state: expected (), found {type(state).__name__}")
        return state

    def final(self, state: Any) -> Tensor:
        """(sequences, dim): the encoder vector, O of the final state of each direction."""
        raise UsageError(f"{type(self).__name__} carries no recurrent state, so it has no encoder vector")

    def parts(self) -> list[Layer]:
        """The layers it consists of, bottom to top; a layer with none inside gives itself."""
        return [self]

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        """One step of a batch, in evaluation and without autograd. dtype: of the weights in products.

        Subclasses that can be stepped define it. Raises UsageError for one that cannot."""
        raise UsageError(f"stepper: cannot step a {type(self).__name__}; expected Recurrent, Window, Stack")

    def residents(self, dtype: torch.dtype) -> list[Resident] | None:
        """Its compiled cells, bottom to top, each keeping its own state, in evaluation. dtype: of the weights in
        products. None if it computes anything else, or on another path."""
        return [] if self.idle else None

    def plan(self) -> tuple[Part, ...]:
        """What it computes in evaluation, as data. Raises UsageError for what has no such form."""
        if self.idle:
            return ()
        raise UsageError(f"export: a {type(self).__name__} cannot leave Python; expected Recurrent, Window, Stack, ...")

    def require_causal(self, work: str) -> None:
        """Raise UsageError unless the layer is causal; `work` names what needs it."""
        if not self.causal:
            raise UsageError(f"{work} needs a causal layer, and {type(self).__name__} looks ahead; use one direction")


def has_hooks(module: nn.Module) -> bool:
    """Whether torch would call hooks around this module. Written out: it is asked of every module in every call."""
    every = torch.nn.modules.module
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or every._global_forward_hooks
        or every._global_forward_pre_hooks
        or every._global_backward_hooks
        or every._global_backward_pre_hooks
    )


def through(layer: Layer, xs: Packed, state: Any) -> tuple[Packed, Any]:
    """Run a layer inside another: its `run` alone, or torch's whole call if it has hooks."""
    return layer(xs, state) if has_hooks(layer) else layer.run(xs, state)


def _run_prepared(
    layers: Sequence[Recurrent], index: Packed, tables: Sequence[Tensor], states: Sequence[Any]
) -> tuple[Packed, list[Any]]:
    """Layers side by side over the same prepared rows, a table for each."""
    inputs = [table.index_select(0, index.data) for table in tables]
    pairs = zip(layers, states, inputs, strict=True)
    calls = [layer.call(index, state)._replace(inputs=one) for layer, state, one in pairs]
    return run(calls, index.with_data(inputs[0]))


class Recurrent(Layer):
    """One cell in one direction. State: the cell's.

    zoneout, recurrent_dropout, weight_dropout: see `Modifiers`. In training their noise is drawn once per call, from
    torch's default generator. Raises UsageError where one cannot reach the cell's products.
    memory: a bound on what backpropagation holds, such as "256MB"; see `unroll`."""

    recurrent = True

    def __init__(
        self,
        cell: Cell,
        *,
        reverse: bool = False,
        zoneout: float | Mapping[str, float] = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        memory: str | int | None = None,
    ) -> None:
        super().__init__()
        self.cell, self.reverse, self.causal, self.memory = cell, reverse, not reverse, memory
        self.input_size, self.output_size = cell.input_size, cell.output_size
        self.modifiers = Modifiers(zoneout, recurrent_dropout, weight_dropout)
        self.modifiers.check(cell)

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        ys, (final,) = run_bounded([self.call(xs, state)], xs)
        return ys, final

    def call(self, xs: Packed, state: Any) -> Call:
        """What to run, with the noise of this call."""
        cell = evaluated(self.cell)
        return Call(cell, state, self.reverse, self.modifiers.draw(cell, xs, self.training), self.memory)

    def prepare(self, rows: Tensor) -> tuple[Tensor, ...]:
        cell = evaluated(self.cell)
        return (affine(rows, cell.W, cell.b) if cell.fits and half_wanted() else cell.inputs(rows),)

    def run_prepared(self, index: Packed, tables: tuple[Tensor, ...], state: Any) -> tuple[Packed, Any]:
        ys, (final,) = _run_prepared((self,), index, tables, (state,))
        return ys, final

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        return cell_step(evaluated(self.cell), self.modifiers.evaluation(self.cell), self.check, batch, dtype)

    def residents(self, dtype: torch.dtype) -> list[Resident] | None:
        cell = evaluated(self.cell)
        one = None if self.reverse else resident(cell, self.modifiers.evaluation(self.cell), dtype)
        return None if one is None else [one]

    def direction(self) -> Direction:
        """The cell with its weights, as data. Raises UsageError as `equation_of` does, and with zoneout."""
        if self.modifiers.evaluation(self.cell) is not None:
            raise UsageError(f"export: zoneout changes the step of {type(self.cell).__name__}; train without it")
        return direction_of(evaluated(self.cell), self.reverse)

    def plan(self) -> tuple[Part, ...]:
        return (Recurrence((self.direction(),)),)

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        return self.cell.initial(sequences, like)

    def check(self, state: Any, sequences: int) -> Any:
        return check_state(self.cell, as_state(self.cell, state), sequences)

    def final(self, state: Any) -> Tensor:
        return self.cell.O(state)

    def extra_repr(self) -> str:
        return ", ".join(filter(None, ["reverse=True" if self.reverse else "", str(self.modifiers)]))


class Bidirectional(Layer):
    """Two layers over the same inputs, outputs side by side: (.., forward | backward).

    As a transducer, each step sees both sides; as an encoder, `final` is the end of each direction.
    State: (forward's, backward's). Schuster and Paliwal 1997.

    zoneout, recurrent_dropout, weight_dropout, memory: as for `Recurrent`; each direction draws its own."""

    causal = False
    recurrent = True

    def __init__(
        self,
        forward_cell: Cell,
        backward_cell: Cell,
        *,
        zoneout: float | Mapping[str, float] = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        memory: str | int | None = None,
    ) -> None:
        super().__init__()
        if forward_cell.input_size != backward_cell.input_size:
            sizes = (forward_cell.input_size, backward_cell.input_size)
            raise UsageError(f"expected two cells over the same inputs, found input sizes {sizes}")
        noise: dict[str, Any] = {
            "zoneout": zoneout,
            "recurrent_dropout": recurrent_dropout,
            "weight_dropout": weight_dropout,
            "memory": memory,
        }
        self.ahead = Recurrent(forward_cell, **noise)
        self.back = Recurrent(backward_cell, reverse=True, **noise)
        self.input_size = forward_cell.input_size
        self.output_size = forward_cell.output_size + backward_cell.output_size

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        if has_hooks(self.ahead) or has_hooks(self.back):
            ahead_ys, ahead = through(self.ahead, xs, state[0])
            back_ys, back = through(self.back, xs, state[1])
            return xs.with_data(torch.cat([ahead_ys.data, back_ys.data], -1)), (ahead, back)
        calls = [one.call(xs, before) for one, before in zip((self.ahead, self.back), state, strict=True)]
        ys, (ahead, back) = run_bounded(calls, xs)
        return ys, (ahead, back)

    def prepare(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.ahead.prepare(rows) + self.back.prepare(rows)

    def run_prepared(self, index: Packed, tables: tuple[Tensor, ...], state: Any) -> tuple[Packed, Any]:
        ys, (ahead, back) = _run_prepared((self.ahead, self.back), index, tables, state)
        return ys, (ahead, back)

    def plan(self) -> tuple[Part, ...]:
        return (Recurrence((self.ahead.direction(), self.back.direction())),)

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        return self.ahead.initial(sequences, like), self.back.initial(sequences, like)

    def check(self, state: Any, sequences: int) -> Any:
        if len(state) != 2:
            raise UsageError(f"Bidirectional: expected a state (forward, backward), found {len(state)} parts")
        return self.ahead.check(state[0], sequences), self.back.check(state[1], sequences)

    def final(self, state: Any) -> Tensor:
        return torch.cat([self.ahead.final(state[0]), self.back.final(state[1])], -1)


class Stack(Layer):
    """Layers one on top of the other. State: one per layer. Causal if all are."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        if not layers:
            raise UsageError("Stack: expected at least one layer, found none")
        self.layers = nn.ModuleList(layers)
        width: int | None = None
        for i, layer in enumerate(layers):
            if width is not None and layer.input_size not in (None, width):
                raise UsageError(f"Stack: layer {i} expects {layer.input_size} inputs, the one below gives {width}")
            width = getattr(layer, "output_size", width)
        self.input_size = next((layer.input_size for layer in layers if layer.input_size), None)
        if width is not None:
            self.output_size = width
        self.causal = all(layer.causal for layer in layers)
        self.recurrent = any(layer.recurrent for layer in layers)

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            xs, after = through(layer, xs, before)  # type: ignore[arg-type]
            states.append(after)
        return xs, tuple(states)

    @property
    def _first(self) -> int:
        """The lowest layer that is not idle in evaluation, otherwise the last."""
        return next((i for i, layer in enumerate(self.layers) if not layer.idle), len(self.layers) - 1)

    def prepare(self, rows: Tensor) -> tuple[Tensor, ...]:
        tables: tuple[Tensor, ...] = self.layers[self._first].prepare(rows)  # type: ignore[operator]
        return tables

    def run_prepared(self, index: Packed, tables: tuple[Tensor, ...], state: Any) -> tuple[Packed, Any]:
        first = self._first
        xs, after = self.layers[first].run_prepared(index, tables, state[first])  # type: ignore[operator]
        states = [*state[:first], after]
        for layer, before in zip(self.layers[first + 1 :], state[first + 1 :], strict=True):
            xs, after = layer.run(xs, before)  # type: ignore[operator]
            states.append(after)
        return xs, tuple(states)

    def plan(self) -> tuple[Part, ...]:
        return tuple(part for layer in self.layers for part in layer.plan())  # type: ignore[operator]

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        return tuple(layer.initial(sequences, like) for layer in self.layers)  # type: ignore[operator]

    def check(self, state: Any, sequences: int) -> Any:
        if len(state) != len(self.layers):
            raise UsageError(f"Stack: expected {len(self.layers)} states, one per layer, found {len(state)}")
        pairs = zip(self.layers, state, strict=True)
        return tuple(layer.check(part, sequences) for layer, part in pairs)  # type: ignore[operator]

    def parts(self) -> list[Layer]:
        return [part for layer in self.layers for part in layer.parts()]  # type: ignore[operator]

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        steps = [layer.one_step(batch, dtype) for layer in self.layers]  # type: ignore[operator]

        def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
            if len(state) != len(steps):
                self.check(state, batch)  # which raises
            after = []
            for step, before in zip(steps, state, strict=True):
                x, s = step.run(x, before)
                after.append(s)
            return x, tuple(after)

        return OneStep(run, all(step.compiled for step in steps))

    def residents(self, dtype: torch.dtype) -> list[Resident] | None:
        every: list[Resident] = []
        for layer in self.layers:
            own = layer.residents(dtype)  # type: ignore[operator]
            if own is None:
                return None
            every += own
        return every

    def final(self, state: Any) -> Tensor:
        """The encoder vector of the topmost recurrent layer."""
        for layer, part in zip(reversed(self.layers), reversed(state), strict=True):
            if layer.recurrent:
                return layer.final(part)  # type: ignore[operator]
        raise UsageError("Stack: none of its layers is recurrent, so it has no encoder vector")


class Residual(Layer):
    """A layer with a skip connection: ys + xs. State, causality and the encoder vector are the layer's.

    Raises UsageError unless the layer's output is as wide as its input. He, Zhang, Ren and Sun 2016."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        sizes = layer.input_size, getattr(layer, "output_size", None)
        if sizes[0] != sizes[1]:
            raise UsageError(f"Residual: expected a layer with output as wide as its input, found {sizes}")
        self.layer, self.input_size = layer, layer.input_size
        self.causal, self.recurrent = layer.causal, layer.recurrent
        if sizes[1] is not None:
            self.output_size = sizes[1]

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        ys, state = through(self.layer, xs, state)
        return ys.with_data(ys.data + xs.data), state

    def plan(self) -> tuple[Part, ...]:
        return (Skip(self.layer.plan()),)

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        return self.layer.initial(sequences, like)

    def check(self, state: Any, sequences: int) -> Any:
        return self.layer.check(state, sequences)

    def final(self, state: Any) -> Tensor:
        return self.layer.final(state)

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        inner = self.layer.one_step(batch, dtype)

        @torch.no_grad()
        def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
            y, state = inner.run(x, state)
            return y + x, state

        return OneStep(run, inner.compiled)


class Window(Layer):
    """Each step sees its neighbours: x_{t-before}, ..., x_t, ..., x_{t+after}, side by side in that order.

    Beyond the ends it sees zeros; before the start, what the state remembers: with after=0 the layer is causal and text
    can be fed in pieces. State: `(past,)`, the last `before` inputs, (sequences, before * input_size)."""

    def __init__(self, input_size: int, *, before: int = 2, after: int = 1) -> None:
        super().__init__()
        if before < 0 or after < 0:
            raise UsageError(f"Window: expected before and after of 0 or more, found {before} and {after}")
        self.before, self.after = before, after
        self.input_size, self.output_size = input_size, input_size * (before + 1 + after)
        self.causal = after == 0

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        (past,) = state
        rows, dim = xs.data.shape
        device = xs.data.device
        # One table to index: the rows, then what came before each sequence, then a row of zeros.
        before = past.reshape(xs.sequences * self.before, dim)
        table = torch.cat([xs.data, before, xs.data.new_zeros(1, dim)])
        lengths = torch.tensor(xs.lengths, dtype=torch.long, device=device)
        offsets = torch.cat([xs.offsets, xs.offsets.new_zeros(1)])

        def row(position: Tensor, sequence: Tensor) -> Tensor:
            inside = offsets[position.clamp(0, len(offsets) - 1)] + sequence
            earlier = rows + sequence * self.before + self.before + position
            beyond = torch.full_like(inside, len(table) - 1)
            return torch.where(position < 0, earlier, torch.where(position < lengths[sequence], inside, beyond))

        reach = torch.arange(-self.before, self.after + 1, device=device)
        pick = row(xs.position_of_row.unsqueeze(1) + reach, xs.sequence_of_row.unsqueeze(1).expand(-1, len(reach)))
        ys = table[pick].reshape(rows, self.output_size)
        sequence = torch.arange(xs.sequences, device=device).unsqueeze(1).expand(-1, self.before)
        last = lengths.unsqueeze(1) + torch.arange(-self.before, 0, device=device)
        return xs.with_data(ys), (table[row(last, sequence)].reshape(xs.sequences, self.before * dim),)

    def plan(self) -> tuple[Part, ...]:
        return (Neighbours(self.before, self.after),)

    def initial(self, sequences: int, like: Tensor | None = None) -> Any:
        assert self.input_size is not None
        like = torch.zeros(0) if like is None else like
        return (like.new_zeros(sequences, self.before * self.input_size),)

    def check(self, state: Any, sequences: int) -> Any:
        assert self.input_size is not None
        expected = (sequences, self.before * self.input_size)
        if len(state) != 1 or tuple(state[0].shape) != expected:
            raise UsageError(f"Window: expected a state (past,) of shape {expected}")
        return state

    def extra_repr(self) -> str:
        return f"{self.input_size}, before={self.before}, after={self.after}"

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        width = self.before * (self.input_size or 0)

        @torch.no_grad()
        def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
            seen = torch.cat([self.check(state, batch)[0], x], -1)
            return seen, (seen[:, seen.shape[1] - width :],)

        return OneStep(run)


class Dropout(Layer):
    """Inverted dropout in training, nothing in evaluation.

    per="sequence": one mask for all steps of a sequence (variational; Gal and Ghahramani 2016); per="step": a new one
    each step, as in torch. Masks are drawn once per call, from torch's default generator."""

    idle = True

    def __init__(self, p: float, *, per: str = "sequence") -> None:
        super().__init__()
        if not 0 <= p < 1 or per not in ("sequence", "step"):
            raise UsageError(f"Dropout: expected 0 <= p < 1 and per 'sequence' or 'step', found {p!r} and {per!r}")
        self.p, self.per = p, per

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        if not self.training or self.p == 0:
            return xs, state
        rows = xs.sequences if self.per == "sequence" else len(xs.data)
        mask = xs.data.new_empty(rows, xs.data.shape[1]).bernoulli_(1 - self.p).div_(1 - self.p)
        return xs.with_data(xs.data * (mask[xs.sequence_of_row] if self.per == "sequence" else mask)), state

    def one_step(self, batch: int, dtype: torch.dtype) -> OneStep:
        return OneStep(lambda x, state: (x, state))

    def extra_repr(self) -> str:
        return f"{self.p}, per={self.per!r}"


def recurrent_stack(
    cell: type[Cell],
    input_size: int,
    hidden_size: int,
    layers: int = 1,
    *,
    bidirectional: bool = True,
    dropout: float = 0.0,
    delays: int = 1,
    zoneout: float | Mapping[str, float] = 0.0,
    recurrent_dropout: float = 0.0,
    weight_dropout: float = 0.0,
    residual: bool = False,
    memory: str | int | None = None,
) -> Stack:
    """The usual stack: `layers` layers of one kind of cell, both directions or one, variational dropout between them.

    hidden_size is that of each direction. zoneout, recurrent_dropout, weight_dropout and memory are those of
    `Recurrent`.
    residual: every layer whose output is as wide as its input is a `Residual`. Raises UsageError if none is."""
    if layers < 1:
        raise UsageError(f"expected layers of 1 or more, found {layers}")
    stack: list[Layer] = []
    width = input_size
    noise: dict[str, Any] = {
        "zoneout": zoneout,
        "recurrent_dropout": recurrent_dropout,
        "weight_dropout": weight_dropout,
        "memory": memory,
    }
    for i in range(layers):
        cells = [cell(width, hidden_size, delays=delays) for _ in range(2 if bidirectional else 1)]
        layer: Layer = Bidirectional(*cells, **noise) if bidirectional else Recurrent(cells[0], **noise)
        below: list[Layer] = [Dropout(dropout)] if i and dropout else []
        if residual and layer.output_size == width:
            stack.append(Residual(Stack(*below, layer)))  # the skip connection has no dropout
        else:
            stack += [*below, layer]
        width = layer.output_size
    if residual and not any(isinstance(layer, Residual) for layer in stack):
        raise UsageError(f"residual: no layer has output as wide as its input, found {input_size} and {width}")
    return Stack(*stack)
