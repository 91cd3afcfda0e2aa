"""How fast cells are on this machine: the plain loop, torch's own modules and the compiled path, side by side.

Everything compared is timed in turn, pass after pass, so that a machine that gets busy or hot does so for all."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.recurrent.backend import path_of, use_backend
from elman.recurrent.cell import Cell
from elman.recurrent.cells import GRU, LSTM, DeepTransition, Elman, LayerNormLSTM
from elman.recurrent.layers import Bidirectional, Recurrent
from elman.recurrent.packed import Packed
from elman.recurrent.torch_layout import FUNCTIONS
from elman.recurrent.torch_modules import to_torch

PEAK = 2048  # rows and columns of the matrices whose product shows the peak
HALF_FLAGS = {"avx512_bf16", "amx_bf16"}  # of a processor with bfloat16 products
COUNTED = (LayerNormLSTM, DeepTransition)  # they override R, and use each of their matrices once per step
STEPPED = ("lstm", "gru", "elman")
WIDTHS = (256, 512, 1024)
STEPS, UNTIMED = 50, 5  # single steps in a sample, and before it
ONNX = {LSTM: ("LSTM", "iofz"), GRU: ("GRU", "urn"), Elman: ("RNN", "z")}  # ONNX's operator, and our gates in its order

Tell = Callable[[str, int, int], None]  # (current work, samples done, samples in total)
Step = Callable[[Any], tuple[Any, Any]]  # state -> (y, state after)


@dataclass(frozen=True)
class Shape:
    """A batch: the length of each sequence, the width of inputs and of each direction's state, 1 or 2 directions."""

    name: str
    lengths: tuple[int, ...]
    width: int
    directions: int = 1

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


@dataclass(frozen=True)
class Plan:
    """What to measure.

    cells: by name. threads: for torch and everything else. half: also the compiled path in bfloat16; torch_half: also
    torch's modules. steps: also single steps, of those cells that are in STEPPED."""

    cells: Mapping[str, type[Cell]]
    shapes: Sequence[Shape]
    threads: int
    runs: int = 5
    seed: int = 1
    half: bool = False
    torch_half: bool = False
    steps: bool = True


class Work(NamedTuple):
    """Forward and backward of one variant: forward() -> ys, and what its sum is differentiated by, inputs first."""

    forward: Callable[[], Tensor]
    wrt: list[Tensor]
    half: bool = False

    def run(self) -> tuple[Tensor, ...]:
        """The gradients, one for each of wrt."""
        with torch.autocast("cpu", torch.bfloat16) if self.half else nullcontext():
            total = self.forward().sum()
        return torch.autograd.grad(total, self.wrt)


@dataclass(frozen=True)
class Trial:
    """One thing to time: sample() runs it once and returns milliseconds. gflop: its useful work, if known."""

    where: str
    cell: str
    variant: str
    sample: Callable[[], float]
    gflop: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.where, self.cell, self.variant


@dataclass
class _Trials:
    """All trials in timing order, and what is left out and why."""

    train: list[Trial] = field(default_factory=list)
    step: list[Trial] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    paths: dict[tuple[str, str, str], str] = field(default_factory=dict)


def measure(plan: Plan, tell: Tell = lambda what, done, total: None) -> dict[str, Any]:
    """Time everything: a pass over all trials to warm up, then `runs` passes. Returns plain data.

    peak:     by dtype, the product of two PEAK x PEAK matrices.
    cells:    a row for each shape, cell and variant ("loop", "torch", "native", "native-bf16", "torch-bf16"), forward
              and backward. ms: the median; min_ms, max_ms. gflop: useful work in products, or None if not
              known; gflops: that in the median time. ratio: how many times as fast as `ratio_to`, which is torch, or
              loop if torch lacks the cell. of_peak: gflops as a fraction of that of the dtype `peak`.
    steps:    a row for each cell, width and variant ("loop", "torch", "torch-cell", "stepper", "onnxruntime"); ms of
              one step; ratio_to is the faster of torch's two. path: of the stepper.
    left_out: what could not be measured, and why.

    torch's number of threads and its random state are restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(plan.seed)
            trials = _trials(plan, tell)
            times = _interleaved([*trials.train, *trials.step], plan.runs, tell)
    finally:
        torch.set_num_threads(threads)
    peak = {
        dtype: {**spread, "gflops": _rate(2 * PEAK**3 / 1e9, spread["ms"]), "size": PEAK}
        for (where, _, dtype), spread in times.items()
        if where == "peak"
    }
    cells = [_row(trial, times, peak) for trial in trials.train if trial.where != "peak"]
    steps = [_step_row(trial, times, trials.paths) for trial in trials.step]
    return {"peak": peak, "cells": cells, "steps": steps, "left_out": trials.left_out}


def processor() -> tuple[str, set[str]]:
    """The processor's name, and its instruction set flags as far as the system reports them."""
    fields: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                fields.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set(fields.get("flags", "").split())


def products(cell: Cell) -> int | None:
    """Multiplications per token in the forward matrix products; None for a cell with products other than W and U."""
    if type(cell) in COUNTED:
        return sum(p.numel() for p in cell.parameters() if p.dim() == 2)
    if any(getattr(type(cell), name) is not getattr(Cell, name) for name in ("R", "advance", "inputs", "O")):
        return None
    return cell.W.numel() + (cell.U.numel() if cell._Rec._fields else 0)


# Trials -----------------------------------------------------------------------------------------------------------


def _trials(plan: Plan, tell: Tell) -> _Trials:
    """Everything to time. Cells are compiled here, so that no sample waits for it."""
    trials = _Trials()
    # The peak in bfloat16 too, but only where the processor multiplies in it: elsewhere the products are in float32.
    dtypes = ["float32", *(["bfloat16"] if plan.half and HALF_FLAGS & processor()[1] else [])]
    peaks = [Trial("peak", "", dtype, _product(dtype)) for dtype in dtypes]
    for shape in plan.shapes:
        trials.train += peaks  # once for every shape, so that it runs under the same conditions
        for name, kind in plan.cells.items():
            tell(f"preparing {shape.name} {name}", 0, 0)
            cells = [kind(shape.width, shape.width) for _ in range(shape.directions)]
            count = products(cells[0])
            gflop = None if count is None else 3 * 2 * shape.tokens * count * shape.directions / 1e9
            works, left_out = variants(cells, shape, half=plan.half, torch_half=plan.torch_half)
            trials.train += [Trial(shape.name, name, variant, _timed(work), gflop) for variant, work in works.items()]
            trials.left_out += [{"shape": shape.name, "cell": name, **rest} for rest in left_out]
    for width in WIDTHS if plan.steps else ():
        for name in (name for name in STEPPED if name in plan.cells):
            tell(f"preparing steps {width} {name}", 0, 0)
            cell = plan.cells[name](width, width)
            trials.paths[str(width), name, "stepper"] = path_of(cell)[0]
            for variant, (step, state) in steppers(cell, plan.threads).items():
                trials.step.append(Trial(str(width), name, variant, _stepping(step, state)))
    return trials


def variants(
    cells: Sequence[Cell], shape: Shape, *, half: bool = False, torch_half: bool = False
) -> tuple[dict[str, Work], list[dict[str, str]]]:
    """The same work, with the same numbers, in every available way; and the unavailable ones, with the reason.

    cells: one for each direction."""
    plan = Packed.plan(shape.lengths)
    x = torch.randn(shape.tokens, shape.width, requires_grad=True)
    packed = plan.with_data(x)
    layer = Bidirectional(*cells) if len(cells) == 2 else Recurrent(cells[0])
    wrt = [x, *layer.parameters()]
    left_out: list[dict[str, str]] = []

    def on(name: str) -> Callable[[], Tensor]:
        def forward() -> Tensor:
            with use_backend(name):
                ys: Tensor = layer(packed)[0].data
                return ys

        return forward

    works = {"loop": Work(on("reference"), wrt)}
    if type(cells[0]) in FUNCTIONS:
        module = to_torch(layer)
        module.batch_first = False  # rows are time-major; otherwise torch would have to transpose them first
        forward = _torch_forward(module, x, packed)
        works["torch"] = Work(forward, [x, *module.parameters()])
        if torch_half:
            works["torch-bf16"] = Work(forward, [x, *module.parameters()], half=True)
    with use_backend("native"):
        path, why = path_of(cells[0])
    for variant in ["native", *(["native-bf16"] if half else [])]:
        if path == "native":
            works[variant] = Work(on("native"), wrt, half=variant == "native-bf16")
        else:
            left_out.append({"variant": variant, "why": why})
    return works, left_out


def _torch_forward(module: nn.Module, x: Tensor, packed: Packed) -> Callable[[], Tensor]:
    """torch's module over the same rows: packed if lengths differ, otherwise (time, batch, dim)."""
    if len(set(packed.lengths)) > 1:
        rows = nn.utils.rnn.PackedSequence(x, torch.tensor(packed.batch_sizes))
        return lambda: module(rows)[0].data
    steps, batch = len(packed.batch_sizes), packed.sequences
    return lambda: module(x.view(steps, batch, -1))[0]


def _timed(work: Work) -> Callable[[], float]:
    def sample() -> float:
        began = time.perf_counter()
        work.run()
        return (time.perf_counter() - began) * 1e3

    return sample


def _product(dtype: str) -> Callable[[], float]:
    a, b = (torch.randn(PEAK, PEAK).to(getattr(torch, dtype)) for _ in range(2))

    def sample() -> float:
        began = time.perf_counter()
        torch.mm(a, b)
        return (time.perf_counter() - began) * 1e3

    return sample


# Single steps -----------------------------------------------------------------------------------------------------


def steppers(cell: Cell, threads: int) -> dict[str, tuple[Step, Any]]:
    """One step of a batch of 1 in every available way: (state -> y and the state after it, the first state).

    They all see the same input and have the same weights. ONNX Runtime is included if it can be imported."""
    from elman.recurrent.stepper import stepper

    x = torch.randn(1, cell.input_size)
    layer = Recurrent(cell).eval()
    module = to_torch(layer)
    module.batch_first = False
    with use_backend("auto"):
        ours = stepper(layer, batch=1)

    def loop(state: Any) -> tuple[Any, Any]:
        after = cell.R(state, x)
        return cell.O(after), after

    zeros = torch.zeros(1, 1, cell.hidden_size)
    result: dict[str, tuple[Step, Any]] = {
        "loop": (loop, cell.initial(1)),
        "torch": (lambda state: module(x.unsqueeze(0), state), (zeros, zeros) if type(cell) is LSTM else zeros),
        "torch-cell": _torch_cell(module, x),
        "stepper": (lambda state: ours(x, state), ours.initial()),
    }
    if not onnx_missing():
        result["onnxruntime"] = _onnx_step(cell, x, threads)
    return result


def _torch_cell(module: nn.RNNBase, x: Tensor) -> tuple[Step, Any]:
    """The same as nn.LSTMCell and such: nn.LSTM may rearrange its weights in every call, too much for one step."""
    kind = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[type(module)]
    one = kind(module.input_size, module.hidden_size)
    one.load_state_dict({name.removesuffix("_l0"): value for name, value in module.state_dict().items()})
    zeros = torch.zeros(1, module.hidden_size)

    def step(state: Any) -> tuple[Any, Any]:
        after = one(x, state)
        return (after[0] if isinstance(after, tuple) else after), after

    return step, (zeros, zeros) if kind is nn.LSTMCell else zeros


def onnx_missing() -> list[str]:
    """Which packages needed for the comparison with ONNX Runtime cannot be imported."""
    missing = []
    for name in ("onnx", "onnxruntime"):
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
    return missing


def _onnx_step(cell: Cell, x: Tensor, threads: int) -> tuple[Step, Any]:
    """ONNX Runtime's operator with the cell's weights, for one step of a batch of 1."""
    onnx, runtime = import_module("onnx"), import_module("onnxruntime")
    helper, H = onnx.helper, cell.hidden_size
    operator, gates = ONNX[type(cell)]
    names = ["h", "c"][: len(cell.State._fields)]
    zero = torch.zeros(H)
    second = [cell.block("c", gate) if gate in cell.recurrent_bias else zero for gate in gates]
    weights = {  # (directions, gates * hidden, inputs), and both biases of all gates in one row
        "W": torch.cat([cell.block("W", gate).T for gate in gates]),
        "R": torch.cat([cell.block("U", gate).T for gate in gates]),
        "B": torch.cat([*(cell.block("b", gate) for gate in gates), *second]),
    }
    stored = [onnx.numpy_helper.from_array(w.detach()[None].numpy(), name) for name, w in weights.items()]
    options = {"linear_before_reset": 1} if operator == "GRU" else {}
    after = [f"{name}_after" for name in names]
    node = helper.make_node(operator, ["x", *weights, "", *names], ["y", *after], hidden_size=H, **options)

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        operator,
        [value("x", 1, 1, cell.input_size), *(value(name, 1, 1, H) for name in names)],
        [value("y", 1, 1, 1, H), *(value(name, 1, 1, H) for name in after)],
        stored,
    )
    # Old versions of both, so that any ONNX Runtime reads what any onnx writes.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    row, zeros = x.numpy()[None], zero.view(1, 1, H).numpy()

    def step(state: Any) -> tuple[Any, Any]:
        y, *state = session.run(None, {"x": row, **dict(zip(names, state, strict=True))})
        return y, state

    return step, [zeros] * len(names)


def _stepping(step: Step, state: Any) -> Callable[[], float]:
    """A sample of single steps with carried state; its milliseconds are those of one step."""

    @torch.inference_mode()
    def sample() -> float:
        s = state
        for _ in range(UNTIMED):  # until the threads of what ran before have gone to sleep
            _, s = step(s)
        began = time.perf_counter()
        for _ in range(STEPS):
            _, s = step(s)
        return (time.perf_counter() - began) * 1e3 / STEPS

    return sample


# Times ------------------------------------------------------------------------------------------------------------


def _interleaved(trials: Sequence[Trial], runs: int, tell: Tell) -> dict[tuple[str, str, str], dict[str, float]]:
    """Median, minimum and maximum milliseconds of each trial, over all passes but the first."""
    times: dict[tuple[str, str, str], list[float]] = {trial.key: [] for trial in trials}
    for i, (run, trial) in enumerate(_passes(trials, runs)):
        tell(f"run {run} of {runs}" if run else "warming up", i, len(trials) * (runs + 1))
        elapsed = trial.sample()
        if run:
            times[trial.key].append(elapsed)
    return {
        key: {"ms": statistics.median(each), "min_ms": min(each), "max_ms": max(each)} for key, each in times.items()
    }


def _passes(trials: Sequence[Trial], runs: int) -> Iterator[tuple[int, Trial]]:
    for run in range(runs + 1):
        for trial in trials:
            yield run, trial


def _row(trial: Trial, times: Mapping[Any, Mapping[str, float]], peak: Mapping[str, Any]) -> dict[str, Any]:
    spread = times[trial.key]
    other = "torch" if (trial.where, trial.cell, "torch") in times else "loop"
    gflops = None if trial.gflop is None else _rate(trial.gflop, spread["ms"])
    dtype = "bfloat16" if trial.variant.endswith("bf16") and "bfloat16" in peak else "float32"
    return {
        "shape": trial.where,
        "cell": trial.cell,
        "variant": trial.variant,
        **spread,
        "gflop": trial.gflop,
        "gflops": gflops,
        "ratio": times[trial.where, trial.cell, other]["ms"] / spread["ms"],
        "ratio_to": other,
        "of_peak": None if gflops is None else gflops / peak[dtype]["gflops"],
        "peak": dtype,
    }


def _step_row(trial: Trial, times: Mapping[Any, Mapping[str, float]], paths: Mapping[Any, str]) -> dict[str, Any]:
    spread = times[trial.key]
    of_torch = {other: times[trial.where, trial.cell, other]["ms"] for other in ("torch", "torch-cell")}
    best = min(of_torch, key=lambda other: of_torch[other])
    return {
        "cell": trial.cell,
        "width": int(trial.where),
        "variant": trial.variant,
        **spread,
        "ratio": of_torch[best] / spread["ms"],
        "ratio_to": best,
        "path": paths.get(trial.key),
    }


def _rate(gflop: float, ms: float) -> float:
    """GFLOP/s."""
    return gflop / ms * 1e3
