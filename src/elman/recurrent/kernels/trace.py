"""A cell's `step`, traced on small tensors, as a graph; and its vector-Jacobian product, as torch derives it.

The step runs on tensors of a few rows, as wide as the cell, while every operation that torch carries out, forward and
in `autograd.grad`, is recorded. No derivative is written by hand here: `aten.ROWS` says what torch's operations mean.
It is traced twice, over different rows, because a graph must not depend on how many rows there are, on what they
contain, or on anything that is a different number each time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from elman.recurrent.cell import Cell, kind_of, listen_to_gates
from elman.recurrent.kernels.aten import ABOUT_RESULT, IN_PLACE, ROWS, truth
from elman.recurrent.kernels.aten import number as as_number
from elman.recurrent.kernels.graph import Graph, Node
from elman.recurrent.kernels.reads import Reads
from elman.recurrent.kernels.refusal import Impure, Untraceable

FEW, MORE = 2, 3  # rows of the two trials


@dataclass(frozen=True)
class Trace:
    """One step of a cell and its vector-Jacobian product.

    after, y, q: the new state by field, the output, and what U multiplies at the next step
    dx, dr, dvectors, dbefore: the gradients of x and r by gate, of the vectors by name, and of the old state by field,
    given those of after, y and q (inputs "dafter", "dy", "dq")."""

    graph: Graph
    after: list[Node]
    y: Node
    q: Node
    dx: list[Node]
    dr: list[Node]
    dvectors: list[Node]
    dbefore: list[Node]

    @property
    def roots(self) -> list[Node]:
        """Every result: those of the step, then the gradients."""
        return [*self.after, self.y, self.q, *self.dx, *self.dr, *self.dvectors, *self.dbefore]


def vector_names(cell: Cell) -> list[str]:
    """Per-unit parameters that the step reads: `vectors`, then a `c` block for every gate of recurrent_bias."""
    return [*cell.vectors, *(f"c.{name}" for name in cell.recurrent_bias)]


def trace(cell: Cell, masked: bool, zoneout: bool, reads: Reads | None = None) -> Trace:
    """Trace one step of a cell that fits. masked: a mask multiplies what U sees. zoneout: a share of each old state
    field is kept. reads: filled with what the step reads. Raises Untraceable, naming the obstacle."""
    first = _followed(cell, FEW, masked, zoneout, reads)
    other = _followed(cell, MORE, masked, zoneout)
    if first.graph.text(first.roots) != other.graph.text(other.roots):
        again = _followed(cell, FEW, masked, zoneout)
        if first.graph.text(first.roots) != again.graph.text(again.roots):
            raise Impure("a number in it differs from one call to the next; draw noise outside the step")
        raise Impure("a number in it depends on how many rows there are; self.hidden_size is the width")
    return first


class Arguments:
    """Made-up arguments of a step, each (rows, hidden), by the names of a graph's inputs."""

    def __init__(self, cell: Cell, rows: int, masked: bool, zoneout: bool, values: Any) -> None:
        """values(rows, width) makes a tensor."""
        fields = len(cell.State._fields)
        counts = {"x": len(cell.gates), "r": len(cell._Rec._fields), "s": fields, "p": len(vector_names(cell))}
        counts |= {"mask": int(masked), "noise": fields if zoneout else 0}
        self.groups: dict[str, list[Tensor]] = {
            kind: [values(rows, cell.hidden_size).requires_grad_() for _ in range(count)]
            for kind, count in counts.items()
        }

    @property
    def differentiable(self) -> list[Tensor]:
        """In the order of Trace's gradients."""
        return [value for kind in ("x", "r", "p", "s") for value in self.groups[kind]]


def results_of(cell: Cell, arguments: Arguments, shadow: Cell) -> list[Tensor]:
    """What one step returns: the new state by field, the output, and what U multiplies at the next step."""
    x, r, s, p, mask, noise = (arguments.groups[kind] for kind in ("x", "r", "s", "p", "mask", "noise"))
    names = vector_names(cell)
    rec: Any = cell._Rec(*r) if r else None
    for name in cell.recurrent_bias:
        rec = rec._replace(**{name: getattr(rec, name) + p[names.index(f"c.{name}")]})
    before = cell.State(*s)
    after = shadow.step(before, cell._X(*x), rec)
    if noise:
        mixed = [z * old + (1 - z) * new for z, old, new in zip(noise, before, after, strict=True)]
        after = cell.State(*mixed)
    q = shadow.recur(after) if r else after[0]
    y = shadow.output(after)
    return [*after, y, q * mask[0] if mask else q]


def shadow_of(cell: Cell, vectors: Sequence[Tensor], reads: Reads | None = None) -> Cell:
    """The cell without parameters but with these in place of its vectors, one number per row and unit.

    reads: records which attributes are read."""
    named = dict(zip(vector_names(cell), vectors, strict=True))
    shadow = copy.copy(cell)
    shadow.__dict__ = {k: v for k, v in cell.__dict__.items() if k not in ("_parameters", "_buffers", "_modules")}
    shadow.__dict__.update(_parameters={}, _buffers={}, _modules={})
    shadow.__dict__.update({name: value for name, value in named.items() if "." not in name})
    shadow.__class__ = kind_of(cell) if reads is None else reads.watched(kind_of(cell))
    return shadow


def _followed(cell: Cell, rows: int, masked: bool, zoneout: bool, reads: Reads | None = None) -> Trace:
    # the first call may be a prediction, or inside autocast
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False), torch.enable_grad():
        return _trace(cell, rows, masked, zoneout, reads)


def _trace(cell: Cell, rows: int, masked: bool, zoneout: bool, reads: Reads | None) -> Trace:
    generator, shape = torch.Generator().manual_seed(rows), (rows, cell.hidden_size)

    def fresh(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float32, device="cpu").add_(0.25)

    arguments = Arguments(cell, rows, masked, zoneout, fresh)
    recorder = _Recorder(arguments.groups, shape)
    shadow = shadow_of(cell, arguments.groups["p"], reads)
    try:
        with recorder, listen_to_gates(recorder.name):
            outputs = results_of(cell, arguments, shadow)
        for value, what in zip(outputs, [*cell.State._fields, "output(s)", "recur(s)"], strict=True):
            if not isinstance(value, Tensor) or value.shape != shape:
                kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise Untraceable(f"{what} has the shape {kind}, not one number per row and unit")
            if value.dtype != torch.float32:
                raise Untraceable(f"{what} is {value.dtype}, not a number of the cell's precision")
        if reads is not None:
            reads.finish()
        values = [recorder.node(value) for value in outputs]
        fields = len(cell.State._fields)
        weights = [torch.ones(shape, device="cpu", dtype=torch.float32) for _ in outputs]
        for i, weight in enumerate(weights):
            recorder.input(weight, *(("dafter", i) if i < fields else (("dy", "dq")[i - fields], 0)))
        # the same as passing the gradients, for which torch would first import a computer algebra system
        parts = [(v * d).sum() for v, d in zip(outputs, weights, strict=True)]
        total = sum(parts[1:], parts[0])
        if not total.requires_grad:
            raise Untraceable("nothing that it computes has a gradient")
        recorder.input(total, "total", 0)
        leaves = arguments.differentiable
        with recorder:
            gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    except Untraceable:
        raise
    except Exception as problem:
        raise Untraceable(f"it fails when run by itself: {type(problem).__name__}: {problem}") from problem
    grads = iter([recorder.graph.const(0) if g is None else recorder.node(g) for g in gradients])
    dx, dr, dvectors, dbefore = ([next(grads) for _ in arguments.groups[kind]] for kind in ("x", "r", "p", "s"))
    y, q = values[fields:]
    return Trace(recorder.graph, values[:fields], y, q, dx, dr, dvectors, dbefore)


class _Recorder(TorchDispatchMode):
    """Records what torch does, by the memory that holds each value."""

    def __init__(self, groups: dict[str, list[Tensor]], shape: tuple[int, int]) -> None:
        super().__init__()
        self.graph = Graph()
        self._shape = shape
        self._nodes: dict[int, Node] = {}
        self._alive: list[Tensor] = []  # so that no address is used twice
        for kind, tensors in groups.items():
            for i, value in enumerate(tensors):
                self.input(value, kind, i)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch would import its compiler, a second and a half, only to skip it

    def input(self, value: Tensor, kind: str, index: int) -> None:
        self._hold(value, self.graph.input(kind, index))

    def name(self, name: str, value: Tensor) -> None:
        if name.isidentifier():
            self.graph.names.setdefault(self.node(value), name)

    def node(self, value: Any) -> Node:
        if not isinstance(value, Tensor):
            return self.graph.const(value)
        known = self._nodes.get(value.untyped_storage().data_ptr())
        if known is not None:
            return known
        raise Untraceable(f"it reads a tensor {tuple(value.shape)} that is neither state, gate nor one of `vectors`")

    def _hold(self, value: Tensor, node: Node) -> None:
        self._alive.append(value)
        self._nodes[value.untyped_storage().data_ptr()] = node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._efficientzerotensor.default:  # zeros without memory, which identifies values here
            func = torch.ops.aten.zeros.default
        schema = func._schema
        name, overload = schema.name.removeprefix("aten::"), schema.overload_name
        shown = f"aten.{name}.{overload}" if overload else f"aten.{name}"
        if any(isinstance(a, Tensor) and a.device.type != "cpu" for a in args):
            raise Untraceable("it makes tensors on another device")
        result = func(*args, **kwargs)
        results = result if isinstance(result, tuple | list) else (result,)
        if not results or not all(isinstance(value, Tensor) for value in results):
            raise Untraceable(f"control flow on data ({shown}): the step asks for the value of a tensor")
        key = IN_PLACE.get(f"{name}.{overload}", f"{name}.{overload}")
        if key not in ROWS and name.endswith("_") and not name.startswith("_"):
            key = f"{name.removesuffix('_')}.{overload}"
        row = ROWS.get(key)
        if row is None:
            raise Untraceable(f"{shown}: not an elementwise operation that the compiled path supports")
        for value in results:
            self._require_plain(value, shown)
        try:
            built = row(self.graph, *self._arguments(schema, args, kwargs))
        except Untraceable as problem:
            raise Untraceable(f"{shown}: {problem}") from problem
        for value, node in zip(results, built if isinstance(built, tuple) else (built,), strict=True):
            self._hold(value, self._as(value.dtype, node, shown))
        return result

    def _require_plain(self, value: Tensor, shown: str) -> None:
        """Raise Untraceable unless the result is one number or truth value per row and unit, or one for all."""
        if tuple(value.shape) not in (self._shape, ()):
            raise Untraceable(f"{shown}: gives {tuple(value.shape)}, not one number per unit")
        if value.device.type != "cpu":
            raise Untraceable("it makes tensors on another device")
        if value.dtype not in (torch.float32, torch.bool):
            hint = "; write 1.0 for 1, or .to(x.dtype)" if not value.dtype.is_floating_point else ""
            raise Untraceable(f"{shown}: gives {value.dtype}, not the cell's precision{hint}")

    def _as(self, dtype: torch.dtype, node: Any, shown: str) -> Node:
        """A row's result, a truth value exactly where torch has one."""
        node = node if isinstance(node, Node) else self.graph.const(node)
        if dtype != torch.bool:
            return as_number(self.graph, node)
        if not node.truth and not shown.startswith(("aten._to_copy", "aten.copy_")):
            raise Untraceable(f"{shown}: gives truth values, where the compiled path has numbers")
        return truth(self.graph, node)

    def _arguments(self, schema: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
        """All arguments in the order of the schema, except those visible in the result."""
        values = []
        for i, argument in enumerate(schema.arguments):
            if argument.name in ABOUT_RESULT:
                continue
            value = args[i] if i < len(args) else kwargs.get(argument.name, argument.default_value)
            values.append(self._argument(value))
        return values

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.node(value)
        if isinstance(value, int | float):
            limits, size = torch.finfo(torch.float32), abs(value)
            if 0 < size < limits.tiny or limits.max < size < float("inf"):
                raise Untraceable(f"the number {value!r} is beyond the range of float32")
        return value
