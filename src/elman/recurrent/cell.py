"""`Cell`: a recurrent network is `s_i = R(s_{i-1}, x_i)`, `y_i = O(s_i)`. A cell is that equation and nothing more."""

from __future__ import annotations

import math
import sys
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from keyword import iskeyword
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from elman.errors import UsageError

_listener: ContextVar[Any] = ContextVar("elman_gate_listener", default=None)


def gate(name: str, value: Tensor) -> Tensor:
    """The identity; gives `value` (rows, hidden) a name, for traces and pictures (see `listen_to_gates`)."""
    if not torch.compiler.is_compiling():  # a context variable would break its graph
        listener = _listener.get()
        if listener is not None:
            listener(name, value)
    return value


def is_listened_to() -> bool:
    """Whether there is a gate listener, so that every step must run in plain torch."""
    return _listener.get() is not None


@contextmanager
def listen_to_gates(listener: Any) -> Iterator[None]:
    """While inside, `listener(name, value)` is called for every named gate of every step."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@cache
def record(name: str, fields: tuple[str, ...]) -> Any:
    """A namedtuple type; its values can be pickled, though no module defines it."""
    kind: Any = namedtuple(name, fields)  # type: ignore[misc]

    def reduce(self: tuple[Any, ...]) -> Any:
        return _remade, (name, fields, tuple(self))

    setattr(kind, "__reduce__", reduce)  # noqa: B010
    return kind


def _remade(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return record(name, fields)(*values)


def _name_state(cls: Any) -> None:
    """Let pickle find a State defined inside its cell's class."""
    own = vars(cls).get("State")
    if isinstance(own, type) and getattr(sys.modules.get(own.__module__), own.__name__, None) is not own:
        own.__module__, own.__qualname__ = cls.__module__, f"{cls.__qualname__}.State"


class Cell(nn.Module):
    """One step of a recurrent network. Subclass it with your equation:

        class Minimal(Cell):
            gates = ("f", "z")
            def step(self, s, x, r):
                f = gate("f", torch.sigmoid(x.f + r.f))
                return self.State(h=(1 - f) * s.h + f * torch.tanh(x.z + r.z))

    What a subclass may declare, where it differs from the default:

    State           a namedtuple of what is carried between steps, each (rows, hidden_size). Default: `h`.
    gates           names; each has a block in W (input), U (recurrent) and b.
    recurrent       the gates that have a block in U. Default: all.
    recurrent_bias  the gates whose recurrent part has its own bias.
    vectors         names of per-unit parameter vectors (hidden_size,), read as `self.name`. They start at 0
                    unless `reset_parameters` says otherwise.
    straight_through  True for a cell whose gradient is, by design, not its derivative (a hard gate). `check_cell`
                    then skips the comparison with numeric differences.

    and define:

    step(s, x, r)   elementwise, row by row, pure: `x.i = x_t W_i + b_i`, `r.i = recur(s) U_i`, all (rows, hidden).
    recur(s)        (rows, hidden) what U multiplies. Default `s.h`. Recurrent dropout masks it, never the state.
    output(s)       (rows, output_size) O. Default `s.h`.

    A cell that does not fit this overrides `R(s, x)` entirely and, if needed, `O(s)`, `output_size` and `initial`.

    Parameters: W (input_size, gates * hidden), U (delays * hidden, recurrent gates * hidden), b (gates * hidden),
    and `c` for recurrent_bias. Initialisation (`reset_parameters`): W uniform as in Glorot and Bengio 2010, gate by
    gate; U orthogonal gate by gate (Saxe et al. 2014); biases 0, but 1 for a gate named in `open_gates`, so that a
    new cell remembers (the forget bias of Gers et al. 2000 and Jozefowicz et al. 2015).

    delays: with `delays=3`, U sees h_{t-1}, h_{t-2} and h_{t-3}; the older two are kept in the state, after the
    cell's own fields, as `past1`, `past2`.
    """

    State: ClassVar[Any] = namedtuple("State", "h")
    gates: ClassVar[tuple[str, ...]] = ()
    recurrent: ClassVar[tuple[str, ...] | None] = None
    recurrent_bias: ClassVar[tuple[str, ...]] = ()
    vectors: ClassVar[tuple[str, ...]] = ()
    open_gates: ClassVar[tuple[str, ...]] = ()
    straight_through: ClassVar[bool] = False

    W: Tensor
    U: Tensor
    b: Tensor
    c: Tensor

    def __init__(self, input_size: int, hidden_size: int, *, delays: int = 1) -> None:
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("delays", delays)):
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{type(self).__name__}: expected {name} to be 1 or more, found {value!r}")
        self.input_size, self.hidden_size, self.delays = input_size, hidden_size, delays
        self._declare_state()
        if not self.fits:
            if delays > 1:
                raise UsageError(f"{type(self).__name__} overrides R, so delays={delays} cannot reach its products")
            self._make_types()
            return
        self._declare()
        recurrent = self.gates if self.recurrent is None else self.recurrent
        if delays > 1 and not recurrent:
            raise UsageError(f"{type(self).__name__} has no recurrent products, so delays={delays} would do nothing")
        H = hidden_size
        self.W = nn.Parameter(torch.empty(input_size, len(self.gates) * H))
        self.b = nn.Parameter(torch.empty(len(self.gates) * H))
        if recurrent:
            self.U = nn.Parameter(torch.empty(delays * H, len(recurrent) * H))
        if self.recurrent_bias:
            self.c = nn.Parameter(torch.empty(len(self.recurrent_bias) * H))
        for name in self.vectors:
            self.register_parameter(name, nn.Parameter(torch.empty(H)))
        self._make_types()  # after the parameters, so that delays that do not fit in memory fail there
        self.reset_parameters()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _name_state(cls)

    def _make_types(self) -> None:
        """_X, _Rec: the types of step's x and r. Carried: of the whole state, with delays the older outputs last."""
        recurrent = self.gates if self.recurrent is None else self.recurrent
        past = [f"past{k}" for k in range(1, self.delays)]
        self._X: Any = record("X", self.gates)
        self._Rec: Any = record("Rec", recurrent)
        self.Carried: Any = record("Carried", (*self.State._fields, *past)) if past else self.State

    def __getstate__(self) -> dict[str, Any]:
        """Without the types, which pickle would find in no module."""
        return {name: value for name, value in vars(self).items() if name not in ("_X", "_Rec", "Carried")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._make_types()

    @classmethod
    def _declare_state(cls) -> None:
        """Raise UsageError if the state is declared wrongly."""
        state: Any = cls.State
        if isinstance(state, type) and hasattr(state, "_fields") and not hasattr(cls, "state"):
            return
        names = state if isinstance(state, tuple | list) else getattr(cls, "state", ("h", "c"))
        wanted = " ".join(names) if isinstance(names, tuple | list) else names
        raise UsageError(
            f'cell {cls.__name__}: expected State = namedtuple("State", "{wanted}"), the tensors carried from step '
            f"to step, found {'state' if hasattr(cls, 'state') else 'State'} = {names!r}"
        )

    @classmethod
    def _declare(cls) -> None:
        """Raise UsageError if a class's declarations are wrong, before anything is built on them."""
        where = f"cell {cls.__name__}"
        gates: Any = cls.gates
        if not gates or not isinstance(gates, tuple):
            raise UsageError(f"{where}: expected `gates`, a tuple of names such as ('z',); or override R(s, x)")
        for kind in ("recurrent", "recurrent_bias", "vectors", "open_gates"):
            if not isinstance(names := getattr(cls, kind), tuple | type(None)):
                raise UsageError(f"{where}: expected `{kind}`, a tuple of names such as ('z',), found {names!r}")
        for name in cls.vectors:
            if (
                not isinstance(name, str)
                or not name.isidentifier()
                or name in ("W", "U", "b", "c")
                or hasattr(cls, name)
            ):
                raise UsageError(f"{where}: `vectors` has {name!r}; expected names that a cell does not already have")
        for name in gates:
            if (
                not isinstance(name, str)
                or not name.isidentifier()
                or iskeyword(name)
                or name.startswith("_")
                or gates.count(name) > 1
            ):
                raise UsageError(f"{where}: `gates` has {name!r}; expected distinct names usable as `x.name`")
        if cls.step is Cell.step:
            raise UsageError(f"{where}: expected a method step(self, s, x, r), or an override of R(s, x)")
        recurrent = cls.gates if cls.recurrent is None else cls.recurrent
        declared = (("recurrent", cls.recurrent or (), cls.gates), ("recurrent_bias", cls.recurrent_bias, recurrent))
        for name, chosen, among in (*declared, ("open_gates", cls.open_gates, cls.gates)):
            if unknown := [g for g in chosen if g not in among]:
                raise UsageError(f"{where}: `{name}` names {unknown}, expected some of {list(among)}")
        if "h" not in cls.State._fields and (cls.recur is Cell.recur or cls.output is Cell.output):
            raise UsageError(f"{where}: State has no field `h`, so recur(s) and output(s) must be defined")

    def reset_parameters(self) -> None:
        """Initialise as described in the class docstring."""
        H = self.hidden_size
        bound = math.sqrt(6 / (self.input_size + H))
        with torch.no_grad():
            self.W.uniform_(-bound, bound)
            self.b.zero_()
            for name in self.open_gates:
                self.block("b", name).fill_(1.0)
            for name in self._Rec._fields:
                nn.init.orthogonal_(self.block("U", name))
            if self.recurrent_bias:
                self.c.zero_()
            for name in self.vectors:
                getattr(self, name).zero_()

    def block(self, parameter: str, gate_name: str) -> Tensor:
        """The block of W, U, b or c that belongs to a gate, as a view: (..., hidden)."""
        names = {"W": self.gates, "b": self.gates, "U": self._Rec._fields, "c": self.recurrent_bias}[parameter]
        start = names.index(gate_name) * self.hidden_size
        return getattr(self, parameter)[..., start : start + self.hidden_size]

    # The equation -----------------------------------------------------------------------------------------------

    def step(self, s: Any, x: Any, r: Any) -> Any:
        """The cell's equation. Abstract."""
        raise UsageError(f"cell {type(self).__name__} defines neither step(s, x, r) nor R(s, x)")

    def recur(self, s: Any) -> Tensor:
        """What U multiplies: (rows, hidden)."""
        return s.h

    def output(self, s: Any) -> Tensor:
        """O as part of the equation: (rows, output_size)."""
        return s.h

    # What follows from it ---------------------------------------------------------------------------------------

    @property
    def fits(self) -> bool:
        """Whether R is `step` on the affine maps, as opposed to overridden."""
        return type(self).R is Cell.R

    @property
    def output_size(self) -> int:
        """The width of y."""
        return self.hidden_size

    def initial(self, rows: int, like: Tensor | None = None) -> Any:
        """The state before the first step: zeros, (rows, hidden) each, with the dtype and device of `like`."""
        like = next(self.parameters(), torch.zeros(0)) if like is None else like
        zeros = like.new_zeros(rows, self.hidden_size)
        return self.Carried(*[zeros] * len(self.Carried._fields))

    def inputs(self, x: Tensor) -> Tensor:
        """(rows, input_size) -> (rows, gates * hidden): the input half of every gate, as one product.

        For a cell that overrides R, x itself. Rows of any number of steps may be passed at once."""
        return torch.addmm(self.b, x, self.W) if self.fits else x

    def advance(
        self,
        s: Any,
        a: Tensor,
        U: Tensor | None = None,
        mask: Tensor | None = None,
        zoneout: Sequence[Tensor | float] | None = None,
    ) -> Any:
        """One step from the state s, given a = inputs(x_t): the next state, (rows, hidden) each.

        The rest is one step of a `Noise`: U in place of the cell's; mask (rows, hidden); zoneout, for each field
        (rows, hidden) or a number. They are not checked: without a product, U and mask do nothing."""
        own = len(self.State._fields)
        if not self.fits:
            new = self.R(s, a)
            return new if zoneout is None else type(new)(*_zoned(s[:own], new[:own], zoneout), *new[own:])
        core = self.State(*s[:own])
        past = self.history(s)
        x = self._X(*a.chunk(len(self.gates), -1))
        r: Any = None
        if self._Rec._fields:
            masked = past if mask is None else [mask * h for h in past]
            seen = masked[0] if self.delays == 1 else torch.cat(masked, -1)
            r = self._Rec(*(seen @ (self.U if U is None else U)).chunk(len(self._Rec._fields), -1))
            for name in self.recurrent_bias:
                r = r._replace(**{name: getattr(r, name) + self.block("c", name)})
        new = self.step(core, x, r)
        if zoneout is not None:
            new = self.State(*_zoned(core, new, zoneout))
        if self.delays == 1:
            return new
        return self.Carried(*new, *past[: self.delays - 1])

    def history(self, s: Any) -> list[Tensor]:
        """What U multiplies, for a cell that does not override R: recur(s), and with delays the older ones after it."""
        own = len(self.State._fields)
        return [self.recur(self.State(*s[:own])), *s[own:]]

    def R(self, s: Any, x: Tensor) -> Any:
        """s_i = R(s_{i-1}, x_i), with x (rows, input_size)."""
        return self.advance(s, self.inputs(x))

    def O(self, s: Any) -> Tensor:
        """y_i = O(s_i): (rows, output_size)."""
        return self.output(self.State(*s[: len(self.State._fields)]))

    def extra_repr(self) -> str:
        delays = f", delays={self.delays}" if self.delays > 1 else ""
        return f"{self.input_size}, {self.hidden_size}{delays}"


_name_state(Cell)


def kind_of(cell: nn.Module) -> Any:
    """The cell's class; with parametrizations, for which torch makes a new class, the original one."""
    kind = type(cell)
    return kind.__bases__[0] if "parametrizations" in cell._modules else kind


def evaluated(cell: Cell) -> Cell:
    """The cell as one call reads it. Where torch parametrizes weights, a copy with each of them computed once: the
    equation has the same parameters at every step, and spectral_norm changes whenever it is computed.

    Raises UsageError for weights that a hook would change, as prune does: a cell is never called, so no hook runs."""
    if any(type(hook).__module__.startswith("torch.nn.utils") for hook in cell._forward_pre_hooks.values()):
        raise UsageError(
            f"{type(cell).__name__}: hooks on a cell never run, so those of prune and the older weight_norm and "
            "spectral_norm of torch.nn.utils would change nothing; use torch.nn.utils.parametrizations"
        )
    return _computed(cell)


def _computed(module: Any) -> Any:
    if not module._modules:
        return module
    parts = {name: part and _computed(part) for name, part in module._modules.items() if name != "parametrizations"}
    parametrized = module._modules.get("parametrizations", {})
    if not parametrized and all(part is module._modules[name] for name, part in parts.items()):
        return module
    kind = kind_of(module)
    copy = kind.__new__(kind)
    weights = {**module._parameters, **{name: getattr(module, name) for name in parametrized}}
    vars(copy).update(vars(module), _parameters=weights, _modules=parts)
    return copy


def _zoned(old: Sequence[Tensor], new: Sequence[Tensor], zoneout: Sequence[Tensor | float]) -> list[Tensor]:
    """z * old + (1 - z) * new, field by field; where z is the number 0, new unchanged."""
    fields = zip(old, new, zoneout, strict=True)
    return [n if isinstance(z, float | int) and z == 0 else z * o + (1 - z) * n for o, n, z in fields]


def as_state(cell: Cell, values: Sequence[Tensor]) -> Any:
    """Give a plain sequence of tensors the cell's field names."""
    fields = cell.Carried._fields
    if not isinstance(values, tuple | list):
        kind = type(values).__name__
        raise UsageError(f"{type(cell).__name__}: expected a state, a tuple of tensors {fields}, found a {kind}")
    if len(values) != len(fields):
        raise UsageError(
            f"{type(cell).__name__}: expected a state of {len(fields)} fields {fields}, found {len(values)}"
        )
    return cell.Carried(*values)
