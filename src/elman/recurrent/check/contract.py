"""The contract of a cell, one small function per clause. `check_cell` runs them and reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from elman.errors import UsageError
from elman.recurrent.cell import Cell
from elman.recurrent.check.trial import (
    LENGTHS,
    CellUnderTest,
    Wrong,
    alone,
    leaves,
    named,
    named_step,
    require_same,
    require_state,
)
from elman.recurrent.kernels.reads import Reads
from elman.recurrent.kernels.refusal import Impure, Untraceable
from elman.recurrent.kernels.trace import trace
from elman.recurrent.unroll import unroll

# The checks: each returns None or a note, or raises Wrong -----------------------------------------------------------


def builds(subject: CellUnderTest) -> None:
    cell = subject.cell()
    sizes = cell.input_size, cell.hidden_size
    if sizes != (subject.input_size, subject.hidden_size):
        raise Wrong(
            f"built with sizes {(subject.input_size, subject.hidden_size)}, it reports {sizes}",
            "pass input_size and hidden_size on to super().__init__",
        )
    require_state(cell, cell.initial(5, torch.zeros(5, 1, dtype=torch.float64)), None, 5, "initial(5, like)")


def keeps_shapes(subject: CellUnderTest) -> None:
    cell, x = subject.cell(), subject.xs((5,))[0]
    before = cell.initial(5, x)
    for _ in range(2):
        with torch.no_grad():
            after = cell.R(before, x)
        require_state(cell, after, before, 5, "a step")
        before = after
    for name, value in zip(cell.Carried._fields, before, strict=True):
        if not value.isfinite().all():
            raise Wrong(f"state.{name} is not finite after two steps of ordinary inputs", "look for log(0) or 0/0")


def output_size_holds(subject: CellUnderTest) -> None:
    cell = subject.cell()
    with torch.no_grad():
        y = cell.O(subject.reached(cell, 5))
    if not isinstance(y, Tensor) or tuple(y.shape) != (5, cell.output_size):
        found = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        fix = "output(s) returns (rows, output_size); override the property output_size if that is not hidden_size"
        raise Wrong(f"O(s) returns {found}, expected {(5, cell.output_size)}", fix)


def rows_independent(subject: CellUnderTest) -> None:
    cell, rows = subject.cell(), 5
    s, x = subject.reached(cell, rows), subject.xs((rows,))[0]
    fix = "step works row by row: no mean, sum, norm or index over dimension 0"

    def run(s: Any, x: Tensor) -> dict[str, Tensor]:
        return named_step(cell, cell.R(s, x))

    whole = run(s, x)
    for i in range(rows):
        single = run(cell.Carried(*(value[i : i + 1] for value in s)), x[i : i + 1])
        require_same(single, {k: v[i : i + 1] for k, v in whole.items()}, f"row {i} by itself and among others", fix)
    others = torch.arange(rows) != 2
    changed = run(cell.Carried(*(v[[0, 1, 3, 3, 4]] for v in s)), x + 9.0 * ~others[:, None])
    got, expected = ({k: v[others] for k, v in result.items()} for result in (changed, whole))
    require_same(got, expected, "row 2 changed, the other rows", fix)


def pure(subject: CellUnderTest) -> None:
    cell = subject.cell()
    s, x, other = subject.reached(cell, 3), *subject.xs((3, 3))
    tensors: dict[str, Tensor] = dict(cell.named_parameters()) | dict(cell.named_buffers())
    tensors |= {f"state.{k}": v for k, v in s._asdict().items()} | {"x": x}
    with torch.no_grad():
        a = cell.inputs(x)
        tensors["inputs(x)"] = a
        kept = {name: value.clone() for name, value in tensors.items()}
        first = cell.advance(s, a)
        results = {name: value.clone() for name, value in named_step(cell, first).items()}
        for name, value in tensors.items():
            if not torch.equal(value, kept[name]):
                raise Wrong(f"a step changes {name} in place", "make new tensors: no +=, no method that ends in _")
        held = _held(cell)
        cell.O(cell.advance(s, cell.inputs(other)))
        for name, value in _held(cell).items():
            if name not in held or held[name] is not value:
                raise Wrong(f"a step stores self.{name}", "what is carried from step to step is a field of State")
        again = cell.advance(s, cell.inputs(x))
        require_same(
            named_step(cell, again),
            results,
            "two equal steps",
            "no noise inside the step (use a Dropout layer), and nothing stored on self",
        )


def one_function(subject: CellUnderTest) -> str | None:
    cell = subject.cell(dtype=torch.float32)
    if not cell.fits:
        return "left out: only a step can be traced, and it overrides R"
    try:
        trace(cell, False, False, Reads(cell))
    except Impure as problem:
        raise Wrong(str(problem), "noise belongs in a Dropout layer, and what changes in State") from problem
    except Untraceable:
        pass  # not compiled; the report's path line says why
    return None


def _held(cell: Cell) -> dict[str, Any]:
    """What the cell and its parts hold besides parameters and submodules."""
    return {
        f"{prefix}.{name}".lstrip("."): value
        for prefix, module in cell.named_modules()
        for name, value in (*vars(module).items(), *module.named_buffers(recurse=False))
        if not name.startswith("_") or name not in vars(nn.Module())
    }


def ragged(subject: CellUnderTest, reverse: bool) -> None:
    cell, xs = subject.cell(), subject.xs()
    state = subject.reached(cell, len(xs))
    with torch.no_grad():
        got = named(cell, *unroll(cell, xs, state, reverse=reverse))
        expected = named(cell, *alone(cell, xs, state, reverse))
    require_same(got, expected, "a sequence in a batch and alone", "R, O and inputs must agree, row by row")
    if reverse:
        with torch.no_grad():
            ys, end = unroll(cell, [x.flip(0) for x in xs], state)
        mirrored = named(cell, [y.flip(0) for y in ys], end)
        require_same(got, mirrored, "backward, and forward over flipped inputs", "no step may depend on its position")


def causal(subject: CellUnderTest) -> None:
    cell, x = subject.cell(), subject.xs((5,))[0]
    with torch.no_grad():
        (whole,), _ = unroll(cell, [x])
        for i in range(1, 5):
            (begun,), _ = unroll(cell, [x[:i]])
            require_same({"the output": begun}, {"the output": whole[:i]}, f"cut at {i}", "R may see only s and x_t")


def carries(subject: CellUnderTest) -> None:
    cell, xs = subject.cell(), subject.xs((4, 3))
    with torch.no_grad():
        whole = named(cell, *unroll(cell, xs))
        first, middle = unroll(cell, [x[:2] for x in xs])
        second, end = unroll(cell, [x[2:] for x in xs], middle)
    got = named(cell, [torch.cat(pair) for pair in zip(first, second, strict=True)], end)
    require_same(got, whole, "two halves with the state passed on", "everything remembered must be a field of State")


def length_zero(subject: CellUnderTest) -> None:
    cell = subject.cell()
    state = subject.reached(cell, 2)
    for reverse in (False, True):
        ys, end = unroll(cell, subject.xs((0, 0)), state, reverse=reverse)
        expected = [torch.zeros(0, cell.output_size)] * 2
        fix = "initial(rows, like) must work for any number of rows"
        require_same(named(cell, ys, end), named(cell, expected, state), "sequences of length 0", fix)
    require_state(cell, cell.initial(0, torch.zeros(0, 1, dtype=torch.float64)), None, 0, "initial(0, like)")


def dtypes(subject: CellUnderTest) -> None:
    for dtype in (torch.float32, torch.float64):
        cell, xs = subject.cell(dtype=dtype), subject.xs((2, 1), dtype)
        before = cell.initial(2, xs[0])
        after = cell.R(before, torch.cat(xs)[:2])
        require_state(cell, after, before, 2, f"a step in {dtype}")
        if cell.O(after).dtype != dtype:
            raise Wrong(f"{dtype} in, {cell.O(after).dtype} out", "make constants with the dtype of x or s")


def state_dict_holds_all(subject: CellUnderTest) -> None:
    first, xs = subject.cell(), subject.xs()
    second = subject.cell()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        got, expected = (named(cell, *unroll(cell, xs)) for cell in (second, first))
    fix = "store every number that matters as nn.Parameter, in `vectors`, or with register_buffer"
    require_same(got, expected, "a cell loaded from the state_dict of another", fix)


def gradients_of_loop(subject: CellUnderTest) -> None:
    cell, xs = subject.cell(), subject.xs()
    state = subject.reached(cell, len(xs))
    wanted = leaves(cell, xs, state)
    for reverse in (False, True):
        gradients = []
        for run in (unroll, alone):
            torch.default_generator.manual_seed(1)
            ys, end = run(cell, xs, state, reverse=reverse)
            if not ys[0].requires_grad:
                raise Wrong("the output has no gradient at all", "compute with torch, without detach or no_grad")
            results = [value for value in named(cell, ys, end).values() if value.requires_grad]
            loss = torch.stack([(value * torch.randn_like(value)).sum() for value in results]).sum()
            grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, materialize_grads=True)
            gradients.append({f"the gradient of {name}": grad for name, grad in zip(wanted, grads, strict=True)})
        require_same(gradients[0], gradients[1], "a batch, and each sequence alone", "no step may depend on other rows")


def gradients_numeric(subject: CellUnderTest) -> str | None:
    if subject.cell_class.straight_through:
        return "left out: straight_through, its gradient is not its derivative by design"
    cell, xs = subject.cell(), subject.xs((2, 1))
    state = subject.reached(cell, 2)

    wanted = leaves(cell, xs, state)

    def results() -> list[Tensor]:
        return [value for value in named(cell, *unroll(cell, xs, state)).values() if value.requires_grad]

    weights = [torch.randn_like(value) for value in results()]

    def loss(*_: Tensor) -> Tensor:
        return torch.stack([(v * w).sum() for v, w in zip(results(), weights, strict=True)]).sum()

    for name, leaf in wanted.items():
        # gradcheck changes the leaf in place, so `loss` sees it.
        if not gradcheck(loss, (leaf,), raise_exception=False):
            fix = "no detach, .data, .item or no_grad in the step; straight_through = True if a hard gate intends it"
            raise Wrong(f"the gradient of {name} is not the numeric difference", fix)
    return None


def delays_fit(subject: CellUnderTest) -> str | None:
    once = subject.cell()
    has_products = not once.fits or bool(once._Rec._fields)
    try:
        twice = subject.cell(delays=2)
    except UsageError as problem:
        if once.fits and has_products:
            raise Wrong(str(problem), "pass delays on to super().__init__") from problem
        return "rejects delays, as it must: it has no product with U to use them"
    if len(twice.Carried._fields) <= len(once.Carried._fields):
        raise Wrong("accepts delays=2 but keeps no history", "pass delays on to super().__init__")
    xs, state = subject.xs(), subject.reached(twice, len(LENGTHS))
    fix = "initial must return self.Carried; R and O must pass its past fields on"
    with torch.no_grad():
        got = named(twice, *unroll(twice, xs, state))
        require_same(got, named(twice, *alone(twice, xs, state)), "delays=2, in a batch and alone", fix)
        if not once.fits:
            return None
        for name, value in twice.named_parameters():
            value.copy_(dict(once.named_parameters())[name] if name != "U" else torch.cat([once.U, 0 * once.U]))
        ys, end = unroll(twice, xs)
        got = named(once, ys, end[: len(once.Carried._fields)])
        require_same(got, named(once, *unroll(once, xs)), "delays=2 with no weight on the older h, and delays=1", fix)
    return None


# A group runs if all before it passed: a broken step would make later checks misleading.
CHECKS: tuple[tuple[tuple[str, Callable[[CellUnderTest], str | None]], ...], ...] = (
    (("builds", builds),),
    (("states keep their shapes", keeps_shapes),),
    (("output_size is true", output_size_holds),),
    (("pure", pure),),
    (("rows are independent", rows_independent),),
    (("one function of its arguments", one_function),),
    (
        ("forward: a batch is its sequences", partial(ragged, reverse=False)),
        ("backward: a batch is its sequences", partial(ragged, reverse=True)),
        ("causal", causal),
        ("state carries over", carries),
        ("length 0", length_zero),
        ("float32 and float64", dtypes),
        ("state_dict holds all", state_dict_holds_all),
        ("delays", delays_fit),
    ),
    (("gradients of each sequence alone", gradients_of_loop),),
    (("gradients are numeric differences", gradients_numeric),),
)
