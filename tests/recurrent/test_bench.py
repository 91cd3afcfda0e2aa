"""What `elman bench cells` times: the same work in every way, counted rightly, in turn."""

from __future__ import annotations

import itertools
from collections import namedtuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from elman.recurrent import CELLS, Cell, bench
from elman.recurrent.kernels import build
from elman.recurrent.packed import Packed

COMPILER = build.available() is None
RAGGED = bench.Shape("ragged", (2, 5, 1, 5), 8, 2)
RECTIFIERS = ("elman-relu", "indrnn")
RECTANGLE = bench.Shape("3x4x8", (4, 4, 4), 8)


class Thrice(Cell):
    """A cell of a user's that multiplies by its one matrix three times: nobody can count that from outside."""

    State = namedtuple("State", "h")

    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size, delays=delays)
        self.V = torch.nn.Parameter(torch.randn(hidden_size, hidden_size) / 9)

    def R(self, s, x):
        return self.State(torch.tanh(s.h @ self.V @ self.V @ self.V + x[:, : self.hidden_size]))


def fresh(name, shape):
    """Cells whose every parameter matters: biases too are random."""
    torch.manual_seed(3)
    cells = [CELLS[name](shape.width, shape.width) for _ in range(shape.directions)]
    for p in itertools.chain(*(cell.parameters() for cell in cells)):
        with torch.no_grad():
            p.add_(torch.randn_like(p) * 0.1)
    return cells


def untipped(ys, plain, shape):
    """(tokens,) of the sequences without a unit that rounding has taken to the other side of 0, where the derivative of
    a rectifier jumps, and with it the gradient of all that came before."""
    tipped = ((ys > 0) != (plain > 0)).any(-1)
    plan = Packed.plan(shape.lengths)
    sequence = torch.cat([torch.arange(n) for n in plan.batch_sizes])
    return ~torch.isin(sequence, sequence[tipped])


# The work ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [RAGGED, RECTANGLE], ids=lambda shape: shape.name)
@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "elman-relu", "indrnn", "deep-transition"])
def test_all_variants_do_the_same_work(name, shape):
    works, left_out = bench.variants(fresh(name, shape), shape, half=True, torch_half=True)
    torch_has = name in ("lstm", "gru", "elman", "elman-relu")
    native = COMPILER and name != "deep-transition"
    compiled, by_torch = {"native", "native-bf16"}, {"torch", "torch-bf16"}
    assert works.keys() == {"loop"} | (by_torch if torch_has else set()) | (compiled if native else set())
    assert {row["variant"] for row in left_out if row["why"]} == (set() if native else compiled)
    wide = shape.directions * shape.width
    plain, exact = works["loop"].forward().detach(), works["loop"].run()[0]
    for work in works.values():
        rough = 0.1 if work.half else 1e-5
        with torch.autocast("cpu", torch.bfloat16, enabled=work.half):
            ys = work.forward().detach()
        assert ys.numel() == shape.tokens * wide
        ys = ys.reshape(-1, wide).float()
        torch.testing.assert_close(ys, plain, atol=rough, rtol=rough)
        dx, *rest = work.run()
        same = untipped(ys, plain, shape) if work.half and name in RECTIFIERS else torch.ones(shape.tokens).bool()
        assert same.sum() >= shape.tokens / 2
        torch.testing.assert_close(dx[same], exact[same], atol=rough, rtol=rough)
        assert len(rest) == len(work.wrt) - 1 and all(grad.abs().sum() > 0 for grad in rest)
    if "torch" in works:  # and by the weights: torch's are ours turned round, gate by gate in the same order
        ours, theirs = (works[way].run() for way in ("loop", "torch"))
        torch.testing.assert_close(theirs[1].T, ours[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [RAGGED, RECTANGLE], ids=lambda shape: shape.name)
@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
def test_bfloat16_rounds(name, shape):
    """What is timed under that name does other products than in float32, and about the same."""
    works, _ = bench.variants(fresh(name, shape), shape, half=True, torch_half=True)
    exact = works["loop"].run()[0]
    for way, work in works.items():
        if way.endswith("bf16"):
            assert 1e-4 < (work.run()[0] - exact).abs().max() < 0.1, way


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler")
def test_each_variant_takes_its_own_path(monkeypatch):
    """The loop runs every step in torch, whatever the environment says; what is called native runs none."""
    plain, calls = Cell.advance, []
    monkeypatch.setattr(Cell, "advance", lambda *given, **noise: calls.append(1) or plain(*given, **noise))
    for chosen in ("native", "reference"):
        monkeypatch.setenv("ELMAN_BACKEND", chosen)
        works, _ = bench.variants(fresh("lstm", RAGGED), RAGGED, half=True)
        for way in ("loop", "torch", "native", "native-bf16"):
            calls.clear()
            works[way].run()
            assert len(calls) == (2 * max(RAGGED.lengths) if way == "loop" else 0), (chosen, way)


def test_without_a_compiler_the_compiled_path_is_left_out_with_the_reason(monkeypatch):
    class Mine(CELLS["elman"]):
        """Not compiled before."""

    monkeypatch.setenv("CXX", "no-such-compiler")
    works, left_out = bench.variants([Mine(8, 8)], RECTANGLE, half=True)
    assert works.keys() == {"loop"}
    assert [row["variant"] for row in left_out] == ["native", "native-bf16"]
    assert all("no-such-compiler" in row["why"] for row in left_out)


@pytest.mark.parametrize("name", CELLS)
def test_products_are_those_that_torch_counts(name):
    cell = CELLS[name](3, 5)
    xs = torch.randn(7, 3)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        cell.O(cell.R(cell.initial(7), xs))
    assert counted.get_total_flops() == 2 * 7 * bench.products(cell)


def test_products_with_delays_and_of_cells_that_nobody_can_count():
    assert bench.products(CELLS["gru"](3, 5, delays=2)) == 3 * 3 * 5 + 2 * 5 * 3 * 5

    class Mine(CELLS["deep-transition"]):
        def O(self, s):
            return super().O(s) @ self.out.weight

    class Twice(CELLS["lstm"]):
        def O(self, s):
            return s.h @ self.U[:, :5]

    assert bench.products(Thrice(3, 3)) is None and bench.products(Mine(3, 5)) is None
    assert bench.products(Twice(3, 5)) is None


# Single steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bench.STEPPED)
def test_all_single_steps_compute_the_same(name):
    (cell,) = fresh(name, bench.Shape("", (), 8))
    found = bench.steppers(cell, 1)
    assert found.keys() - {"onnxruntime"} == {"loop", "torch", "torch-cell", "stepper"}
    assert ("onnxruntime" in found) == (not bench.onnx_missing())
    compare(found)


@pytest.mark.skipif(
    bool(bench.onnx_missing()), reason="onnx and onnxruntime are not installed: pip install -e '.[bench]'"
)
@pytest.mark.parametrize("name", bench.STEPPED)
def test_onnx_runtime_computes_the_same(name):
    (cell,) = fresh(name, bench.Shape("", (), 8))
    found = bench.steppers(cell, 1)
    compare({way: found[way] for way in ("loop", "onnxruntime")})


def compare(found):
    with torch.inference_mode():
        seen = {}
        for way, (step, state) in found.items():
            ys = []
            for _ in range(4):
                y, state = step(state)
                ys.append(torch.as_tensor(y).flatten().clone())
            seen[way] = torch.stack(ys)
    assert (seen["loop"][0] - seen["loop"][3]).abs().max() > 1e-3  # the state is carried
    for way, ys in seen.items():
        torch.testing.assert_close(ys, seen["loop"], atol=1e-5, rtol=1e-5, msg=lambda text, way=way: f"{way}: {text}")


# Times ------------------------------------------------------------------------------------------------------------


def played(values, log, *key, gflop=None):
    """A trial whose samples are given, and which says when it is called."""
    values = iter(values)

    def sample():
        log.append(key[-1])
        return next(values)

    return bench.Trial(*key, sample, gflop)


def test_trials_take_turns_and_the_first_pass_does_not_count():
    log, told = [], []
    a = played([1000, 4, 2, 9], log, "s", "lstm", "a")
    b = played([1000, 5, 5, 8], log, "s", "lstm", "b")
    peak = played([1, 10, 1, 20, 30, 40, 50, 60, 70, 80], log, "peak", "", "float32")
    times = bench._interleaved([peak, a, peak, b], 3, lambda *what: told.append(what))
    assert log == ["float32", "a", "float32", "b"] * 4
    assert times[a.key] == {"ms": 4, "min_ms": 2, "max_ms": 9}
    assert times[b.key] == {"ms": 5, "min_ms": 5, "max_ms": 8}
    assert times[peak.key] == {"ms": 35, "min_ms": 1, "max_ms": 60}  # 1, 20, 30, ..., 60: both of every pass
    assert told[0] == ("warming up", 0, 16) and told[4] == ("run 1 of 3", 4, 16) and told[-1] == ("run 3 of 3", 15, 16)


def test_a_measurement_is_what_the_samples_say(monkeypatch):
    """The whole arithmetic on samples that are given: medians, ratios, rates, parts of the peak."""
    ms = {"loop": 40, "torch": 20, "native": 5, "torch-bf16": 10, "native-bf16": 4, "torch-cell": 0.3, "stepper": 0.1}
    ms |= {"onnxruntime": 0.4, "float32": 50, "bfloat16": 25}

    def trials(plan, tell):
        def one(*key, gflop=None):
            return bench.Trial(*key, lambda: ms[key[-1]], gflop)

        ways = ["loop", "torch", "native", "torch-bf16", "native-bf16"]
        train = [one("s", "lstm", way, gflop=0.5) for way in ways]
        train += [one("s", "indrnn", way) for way in ("loop", "native")]
        peak = [one("peak", "", dtype) for dtype in ("float32", "bfloat16")]
        steps = [one("256", "lstm", way) for way in ("torch", "torch-cell", "stepper", "onnxruntime")]
        return bench._Trials([*peak, *train], steps, [], {("256", "lstm", "stepper"): "native"})

    monkeypatch.setattr(bench, "_trials", trials)
    result = bench.measure(bench.Plan({}, [], 1, runs=2))
    assert result["peak"]["float32"]["gflops"] == pytest.approx(2 * 2048**3 / 0.050 / 1e9)
    rows = {(row["cell"], row["variant"]): row for row in result["cells"]}
    assert [rows["lstm", way]["ratio"] for way in ("loop", "torch", "native", "native-bf16")] == [0.5, 1, 4, 5]
    assert [rows["lstm", way]["gflops"] for way in ("loop", "native")] == pytest.approx([12.5, 100])
    part = 100 / (2 * 2048**3 / 0.050 / 1e9)
    assert rows["lstm", "native"]["of_peak"] == pytest.approx(part) and rows["lstm", "native"]["peak"] == "float32"
    half = rows["lstm", "native-bf16"]  # 125 GFLOP/s of a peak that is twice as high
    assert half["of_peak"] == pytest.approx(part * 1.25 / 2) and half["peak"] == "bfloat16"
    assert {row["ratio_to"] for row in rows.values() if row["cell"] == "lstm"} == {"torch"}
    other = rows["indrnn", "native"]
    assert (other["ratio"], other["ratio_to"], other["gflops"], other["of_peak"]) == (8, "loop", None, None)
    steps = {row["variant"]: row for row in result["steps"]}
    assert steps["stepper"]["ratio"] == pytest.approx(3) and steps["stepper"]["path"] == "native"
    assert steps["torch"]["path"] is None and steps["torch"]["width"] == 256
    assert {row["ratio_to"] for row in steps.values()} == {"torch-cell"}  # the faster of torch's two


def test_threads_and_random_state_are_afterwards_as_they_were(monkeypatch):
    monkeypatch.setattr(bench, "PEAK", 8)
    threads, state, during = torch.get_num_threads(), torch.get_rng_state(), []
    plan = bench.Plan({"deep-transition": CELLS["deep-transition"]}, [RECTANGLE], threads + 1, runs=1, steps=False)
    result = bench.measure(plan, lambda *what: during.append(torch.get_num_threads()))
    assert set(during) == {threads + 1} and torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert [row["variant"] for row in result["cells"]] == ["loop"] and result["steps"] == []

    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.measure(plan, stop)
    assert torch.get_num_threads() == threads


def test_a_sample_of_steps_is_the_time_of_one(monkeypatch):
    """By a clock that shows how many steps were made: each takes a second, those before the sample do not count."""
    seen = []

    def step(state):
        seen.append(state)
        return None, state + 1

    monkeypatch.setattr(bench.time, "perf_counter", lambda: float(len(seen)))
    assert bench._stepping(step, 0)() == 1000
    assert seen == list(range(bench.UNTIMED + bench.STEPS))


def test_a_sample_measures_the_work(monkeypatch):
    """By a clock that the work alone moves: all of it, and nothing else."""
    now = [5.0]

    class Slow(bench.Work):
        def run(self):
            now[0] += 3
            return super().run()

    works, _ = bench.variants([CELLS["elman"](8, 8)], bench.Shape("", (50,), 8))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])
    assert bench._timed(Slow(*works["loop"]))() == 3000
