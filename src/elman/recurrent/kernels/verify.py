"""Whether a compiled cell does what its step says: both are run on made-up arguments, values and gradients.

A cell of the toolkit's own table is verified by the tests. Any other is verified at its first use in a process, which
takes a few hundredths of a second, against two seconds for compiling."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels.graph import evaluate
from elman.recurrent.kernels.refusal import Untraceable
from elman.recurrent.kernels.trace import Arguments, Trace, results_of, shadow_of, vector_names

ROWS = (1, 5, 64)
CLOSE = 1e-5  # relative, in float64: the graph computes what torch computes, except for the order of a few sums
Values = Callable[[int, int], Tensor]


def values_of(kind: str, generator: torch.Generator, dtype: torch.dtype) -> Values:
    """Tensors (rows, width) of numbers of one kind."""

    def drawn(rows: int, width: int) -> Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64, device="cpu")

    def make(rows: int, width: int) -> Tensor:
        value = drawn(rows, width)
        if kind == "large":
            value = value * 300
        elif kind == "tiny":
            value = value * 1e-20
        elif kind == "zero":
            value = torch.where(value > 0, torch.zeros_like(value), drawn(rows, width))
        elif kind == "tied":  # whole and half numbers, many of them equal
            value = (value * 2).round() / 2
        return value.to(dtype)

    return make


KINDS = ("ordinary", "large", "tiny", "zero", "tied")


def verify_trace(cell: Cell, traced: Trace, masked: bool, zoneout: bool) -> None:
    """Compare a traced step with the step itself, in float64, over numbers of every kind and several numbers of rows.

    Raises Untraceable if they differ."""
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False), torch.enable_grad():
        for kind, rows in ((kind, rows) for kind in KINDS for rows in ROWS):
            generator = torch.Generator().manual_seed(rows)
            arguments = Arguments(cell, rows, masked, zoneout, values_of(kind, generator, torch.float64))
            results = results_of(cell, arguments, shadow_of(cell, arguments.groups["p"]))
            weights = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in results]
            total = torch.stack([(v * w).sum() for v, w in zip(results, weights, strict=True)]).sum()
            gradients = torch.autograd.grad(total, arguments.differentiable, allow_unused=True, materialize_grads=True)
            inputs = {(k, i): v.detach() for k, values in arguments.groups.items() for i, v in enumerate(values)}
            fields = len(cell.State._fields)
            inputs |= {("dafter", i): weight for i, weight in enumerate(weights[:fields])}
            inputs |= {("dy", 0): weights[fields], ("dq", 0): weights[fields + 1]}
            with torch.no_grad():
                got = evaluate(traced.roots, inputs)
            for name, value, expected in zip(_names(cell), got, [*results, *gradients], strict=True):
                _require_equal(name, value, expected.detach().double(), f"{kind} numbers in {rows} rows")


def _names(cell: Cell) -> Iterator[str]:
    """What Trace.roots are."""
    yield from (f"the new {name}" for name in cell.State._fields)
    yield from ("output(s)", "recur(s)")
    sources = [f"x.{g}" for g in cell.gates] + [f"r.{g}" for g in cell._Rec._fields] + vector_names(cell)
    yield from (f"the gradient of {name}" for name in [*sources, *(f"s.{name}" for name in cell.State._fields)])


def _require_equal(name: str, got: Tensor, expected: Tensor, where: str) -> None:
    finite = expected.isfinite()
    room = 1e-12 * float(expected[finite].abs().max()) if finite.any() else 0.0
    wrong = ~torch.isclose(got, expected, rtol=CLOSE, atol=room, equal_nan=True)
    if wrong.any():
        raise Untraceable(
            f"its compiled form gives {got[wrong][0]:.6g} for {name} where the step gives {expected[wrong][0]:.6g} "
            f"({where}), so it is not used"
        )


# In the kernel's precision, through the engine: rounding does not count, even where a unit crosses a kink ------

STEPS, SEQUENCES = 3, 6
WIDEST = 1024
SHARE = 0.05  # of numbers that may differ
Run = Callable[[Cell, Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]  # (cell, xs, state) -> ys, state


def verify_kernel(cell: Cell, run: Run, dtype: torch.dtype) -> None:
    """Compare what the engine computes with the reference, values and gradients. run: a few steps of a cell whose
    inputs are the gates' input halves (steps, sequences, gates * hidden), in the engine, in this dtype.

    Cells of more than WIDEST units are left to `verify_trace`: their U would take gigabytes here, and the engine does
    the same at every width. Raises Untraceable if they differ."""
    if cell.hidden_size > WIDEST:
        return
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False), torch.enable_grad():
        for kind in KINDS:
            made = _made(cell, kind, dtype)
            names = [*_results(cell), *(f"the gradient of {name}" for name in made)]
            exact = _gradients(cell, {name: value.double() for name, value in made.items()}, _by_step)
            plain = _gradients(cell, made, _by_step)
            if not all(value.isfinite().all() for value in (*plain, *exact)):
                # where no gradient comes back, autograd has 0, the engine 0 times an infinite derivative, which is NaN
                continue
            compiled = _gradients(cell, made, run)
            for name, got, rounded, expected in zip(names, compiled, plain, exact, strict=True):
                _require_close(name, got, rounded, expected, kind)


def _made(cell: Cell, kind: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters, inputs and states."""
    generator, H = torch.Generator().manual_seed(1), cell.hidden_size
    special, ordinary = (values_of(k, generator, dtype) for k in (kind, "ordinary"))
    made = {"x": special(STEPS * SEQUENCES, len(cell.gates) * H)}
    if cell._Rec._fields:
        made["U"] = ordinary(cell.delays * H, len(cell._Rec._fields) * H) / (cell.delays * H) ** 0.5
    if cell.recurrent_bias:
        made["c"] = ordinary(1, len(cell.recurrent_bias) * H)[0]
    made |= {name: ordinary(1, H)[0] for name in cell.vectors}
    return made | {f"s.{name}": special(SEQUENCES, H) for name in cell.Carried._fields}


def _results(cell: Cell) -> list[str]:
    return ["the output", *(f"the last {name}" for name in cell.Carried._fields)]


def _gradients(cell: Cell, made: dict[str, Tensor], run: Run) -> list[Tensor]:
    """Results and gradients of one path, flat."""
    made = {name: value.detach().clone().requires_grad_() for name, value in made.items()}
    subject = copy.copy(cell)
    subject.__class__ = kind_of(cell)
    own = {name: value for name, value in made.items() if name in ("U", "c", *cell.vectors)}
    subject.__dict__ = {**cell.__dict__, "_parameters": {"b": made["x"].new_zeros(0), **own}, "inputs": lambda x: x}
    xs = made["x"].view(STEPS, SEQUENCES, -1)
    ys, state = run(subject, xs, tuple(made[f"s.{name}"] for name in cell.Carried._fields))
    results = [ys.flatten(), *(value.flatten() for value in state)]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype) for value in results]
    total = torch.stack([(v * w).sum() for v, w in zip(results, weights, strict=True)]).sum()
    gradients = torch.autograd.grad(total, list(made.values()), allow_unused=True, materialize_grads=True)
    return [value.detach().flatten() for value in (*results, *gradients)]


def _by_step(cell: Cell, xs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    s, ys = cell.Carried(*state), []
    for x in xs:
        s = cell.advance(s, x)
        ys.append(cell.O(s))
    return torch.stack(ys), s


def _require_close(name: str, compiled: Tensor, plain: Tensor, exact: Tensor, kind: str) -> None:
    if not len(exact):
        return
    got, expected = compiled.double(), exact.double()
    room = 1e-3 * expected.abs().max() + 20 * (plain.double() - expected).abs().max()
    wrong = ~((got - expected).abs() <= room)
    if wrong.sum() > SHARE * len(wrong):
        raise Untraceable(
            f"its compiled form gives {got[wrong][0]:.6g} for {name} where the step gives {expected[wrong][0]:.6g} "
            f"({kind} numbers, in the engine), so it is not used"
        )
