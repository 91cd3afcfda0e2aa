"""`check_cell` on cells with one mistake each: it must find the mistake, name it, and never raise."""

from __future__ import annotations

import random
import re
import time
from collections import namedtuple

import pytest
import torch
from torch import nn, sigmoid, tanh

from elman.errors import UsageError
from elman.recurrent import CELLS, Cell, check_cell
from elman.recurrent.backend import use_backend
from elman.recurrent.kernels.aten import ROWS


class Good(Cell):
    """With peepholes, and a bias of its own on the recurrent part of a gate."""

    State = namedtuple("State", "h c")
    gates = ("f", "z", "o")
    recurrent = ("f", "z")
    recurrent_bias = ("z",)
    vectors = ("peep",)
    open_gates = ("f",)

    def step(self, s, x, r):
        f = sigmoid(x.f + r.f + self.peep * s.c)
        c = f * s.c + (1 - f) * tanh(x.z + f * r.z)
        return self.State(h=sigmoid(x.o) * c, c=c)


class GoodDiagonal(Cell):
    """No recurrent product at all, so no delays."""

    gates = ("z",)
    recurrent = ()
    vectors = ("u",)

    def step(self, s, x, r):
        return self.State(h=tanh(x.z + self.u * s.h))


class GoodOverride(Cell):
    """A norm across the row, an output of another size, and a counter in the state."""

    State = namedtuple("State", "h steps")

    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size, delays=delays)
        self.affine, self.norm = nn.Linear(input_size + hidden_size, hidden_size), nn.LayerNorm(hidden_size)

    def initial(self, rows, like=None):
        h = super().initial(rows, like).h
        return self.State(h, torch.zeros(rows, 1, dtype=torch.long))

    def R(self, s, x):
        return self.State(tanh(self.norm(self.affine(torch.cat([x, s.h], -1)))), s.steps + 1)

    def O(self, s):
        return torch.cat([s.h, s.h / (1 + s.steps)], -1)

    @property
    def output_size(self):
        return 2 * self.hidden_size


@pytest.fixture(autouse=True)
def on_the_reference():
    """What a check finds is the same on both paths; to compile each of these cells would take minutes."""
    with use_backend("reference"):
        yield


@pytest.mark.parametrize("kind", [Good, GoodDiagonal, GoodOverride])
def test_right_cells_pass(kind):
    before = torch.get_rng_state()
    report = check_cell(kind)
    assert report.ok, str(report)
    assert report.path == "reference" and report.reason
    assert torch.equal(torch.get_rng_state(), before)
    report.raise_if_wrong()


class Plain(Cell):
    """What most of the wrong cells below are, but for one line."""

    gates = ("z",)

    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z))


class PlainWithMemory(Plain):
    """The same with two fields."""

    State = namedtuple("State", "h c")


WRONG: dict[str, tuple[type[Cell], str, str]] = {}


def wrong(check: str, found: str):
    """Register a class: the first check that must fail, and words of what is said."""

    def register(kind):
        WRONG[kind.__name__] = (kind, check, found)
        return kind

    return register


# Declarations ------------------------------------------------------------------------------------------------------


@wrong("builds", "expected `gates`")
class NoGates(Cell):
    def step(self, s, x, r):
        return s


@wrong("builds", "expected a method step")
class NoStep(Cell):
    gates = ("z",)


@wrong("builds", "`gates` has 'in'")
class KeywordGate(Plain):
    gates = ("z", "in")


@wrong("builds", r"`recurrent` names \['y'\]")
class UnknownRecurrent(Plain):
    recurrent = ("y",)


@wrong("builds", "unexpected keyword argument 'delays'")
class NoDelaysArgument(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)


@wrong("builds", "it reports")
class SwappedSizes(Plain):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(hidden_size, input_size, delays=delays)


@wrong("builds", "returns list, expected a State of tensors")
class InitialGivesAList(Plain):
    def initial(self, rows, like=None):
        return list(super().initial(rows, like))


@wrong("builds", r"state.h of shape \(1, 4\), expected \(5, 4\)")
class InitialOfOneRow(Plain):
    def initial(self, rows, like=None):
        return super().initial(1, like)


# The step's result -------------------------------------------------------------------------------------------------


@wrong("states keep their shapes", "missing 1 required positional argument: 'c'")
class MissingField(PlainWithMemory):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z))


@wrong("states keep their shapes", "has no attribute 'memory'")
class UnknownField(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) + s.memory)


@wrong("states keep their shapes", "returns Tensor, expected a State")
class BareTensor(Plain):
    def step(self, s, x, r):
        return tanh(x.z + r.z)


@wrong("states keep their shapes", r"state.c of shape \(5, 1\), expected \(5, 4\)")
class WrongShape(PlainWithMemory):
    def step(self, s, x, r):
        h = tanh(x.z + r.z)
        return self.State(h=h, c=h.mean(-1, keepdim=True))


@wrong("states keep their shapes", "must match the size of tensor b")
class WrongWidth(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) + torch.zeros(7, 7))


@wrong("states keep their shapes", "state.h as torch.float32, expected torch.float64")
class HalfPrecision(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z).float())


@wrong("states keep their shapes", "not finite")
class NotANumber(Plain):
    def step(self, s, x, r):
        return self.State(h=torch.log(-(s.h**2) - 1))


@wrong("states keep their shapes", "RecursionError")
class Endless(Plain):
    def step(self, s, x, r):
        return self.step(s, x, r)


@wrong("output_size is true", r"O\(s\) returns \(5, 8\), expected \(5, 4\)")
class WiderOutput(Plain):
    def output(self, s):
        return torch.cat([s.h, s.h], -1)


# Rows and purity ---------------------------------------------------------------------------------------------------


@wrong("rows are independent", "the output differs by")
class BatchMean(Plain):
    def step(self, s, x, r):
        h = tanh(x.z + r.z)
        return self.State(h=h - h.mean(0))


@wrong("rows are independent", "the output differs by")
class CountsRows(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) + 0.1 * torch.arange(len(x.z)).unsqueeze(1))


@wrong("pure", "changes state.h in place")
class ChangesState(Plain):
    def step(self, s, x, r):
        return self.State(h=s.h.mul_(0.5).add_(tanh(x.z + r.z)))


@wrong("pure", r"changes inputs\(x\) in place")
class ChangesInput(Plain):
    def step(self, s, x, r):
        a = x.z
        a += r.z
        return self.State(h=tanh(a))


@wrong("pure", "changes b in place")
class ChangesWeights(Plain):
    def step(self, s, x, r):
        with torch.no_grad():
            self.b.mul_(0.99)
        return self.State(h=tanh(x.z + r.z))


@wrong("pure", "two equal steps")
class Noise(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z + 0.1 * torch.randn_like(x.z)))


@wrong("pure", "two equal steps")
class DropoutInside(Plain):
    def step(self, s, x, r):
        return self.State(h=nn.functional.dropout(tanh(x.z + r.z), 0.5, self.training))


@wrong("pure", "stores self.before")
class StateOnSelf(Plain):
    before = None

    def step(self, s, x, r):
        h = tanh(x.z + r.z) + (0.0 if self.before is None or len(self.before) != len(x.z) else 0.5 * self.before)
        self.before = h.detach()
        return self.State(h=h)


@wrong("pure", "stores self.t")
class CounterOnSelf(Plain):
    t = 0

    def step(self, s, x, r):
        self.t += 1
        return self.State(h=tanh(x.z + r.z))


@wrong("pure", "two equal steps")
class CounterInAList(Plain):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size, delays=delays)
        self.memory = []

    def step(self, s, x, r):
        self.memory.append(1.0)
        return self.State(h=tanh(x.z + r.z) / len(self.memory))


# What only time, gradients or saving shows ------------------------------------------------------------------------


@wrong("pure", "two equal steps")
class Chance(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) * random.random())


@wrong("one function of its arguments", "a different number at each call")
class Clock(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) + (time.time() > 1e9))


@wrong("rows are independent", "differs by")
class DividesByRows(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) / x.z.shape[0])


@wrong("float32 and float64", "as torch.float64, expected torch.float32")
class OnlyDouble(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) * torch.ones(1, dtype=torch.float64))


@wrong("state_dict holds all", "differs by")
class PlainTensorWeight(Plain):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size, delays=delays)
        self.scale = torch.randn(hidden_size)

    def step(self, s, x, r):
        return self.State(h=tanh(x.z * self.scale.to(x.z.dtype) + r.z))


@wrong("gradients are numeric differences", "gradient of W is not")
class Detached(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z.detach() + 0.5 * x.z + r.z))


@wrong("gradients of each sequence alone", "the output has no gradient at all")
class NoGradient(Plain):
    def step(self, s, x, r):
        with torch.no_grad():
            return self.State(h=tanh(x.z + r.z))


@wrong("gradients are numeric differences", "is not the numeric difference")
class UndeclaredHardGate(CELLS["hard-memory"]):
    straight_through = False


@wrong("length 0", "initial")
class NoEmptyRows(Plain):
    def initial(self, rows, like=None):
        return super().initial(max(rows, 1), like)


@wrong("forward: a batch is its sequences", "a sequence in a batch and alone")
class InputsDisagree(GoodOverride):
    def inputs(self, x):
        return x - x.mean(0)


@wrong("delays", "accepts delays=2 but keeps no history")
class ForgetsDelays(Plain):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size)


@wrong("delays", "accepts delays=2 but keeps no history")
class OverrideForgetsDelays(GoodOverride):
    def __init__(self, input_size, hidden_size, *, delays=1):
        super().__init__(input_size, hidden_size)


@wrong("delays", "must be")
class RefusesDelays(Plain):
    def __init__(self, input_size, hidden_size, *, delays=1):
        if delays > 1:
            raise UsageError("delays must be 1")
        super().__init__(input_size, hidden_size)


@pytest.mark.parametrize("name", WRONG)
def test_the_mistake_is_found_and_named(name):
    kind, check, found = WRONG[name]
    report = check_cell(kind)
    assert not report.ok
    first = next(result for result in report.checks if not result.ok)
    assert (first.name, first.ok) == (check, False), str(report)
    assert re.search(found, first.found), first.found
    assert name in str(report) and first.found in str(report)
    with pytest.raises(UsageError, match=name):
        report.raise_if_wrong()


def test_an_error_inside_the_step_is_placed_in_the_users_own_lines():
    report = check_cell(WrongWidth)
    (first, *_) = (result for result in report.checks if not result.ok)
    step = WrongWidth.step.__code__
    assert first.found.startswith("RuntimeError: ")
    assert first.fix == f"see {step.co_filename}:{step.co_firstlineno + 1}"


def test_what_waits_for_an_earlier_check_is_shown_as_not_run():
    report = check_cell(MissingField)
    assert [result.ok for result in report.checks[:3]] == [True, False, None]
    assert {result.ok for result in report.checks[2:]} == {None}
    assert "not run: fix the above first" in str(report)


def test_the_table_reads_as_documented():
    lines = str(check_cell(CELLS["hard-memory"])).splitlines()
    assert lines[:2] == ["HardMemory: fits the contract", "path: reference (requested)"]
    assert len({line.index("left out") for line in lines if "left out" in line}) == 1
    assert any("straight_through" in line for line in lines)
    table = str(check_cell(BatchMean))
    assert "BatchMean: " in table and "WRONG  rows are independent" in table and "fix: step works row by row" in table


def test_other_sizes():
    assert check_cell(Good, input_size=1, hidden_size=1).ok
    assert check_cell(CELLS["gru"], input_size=5, hidden_size=2).ok


@pytest.mark.usefixtures("compiler")
def test_the_report_says_which_path_a_cell_takes():
    with use_backend("auto"):
        report, whole = check_cell(CELLS["gru"]), check_cell(CELLS["deep-transition"])
    assert report.ok and (report.path, report.reason) == ("native", "")
    assert (whole.path, "overrides R" in whole.reason) == ("reference", True)


class ReadsItsWidth(Plain):
    """Its compiled form once had the width of the trace in it, and passed."""

    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) / x.z.shape[1] ** 0.5)


class DividesDown(Plain):
    def step(self, s, x, r):
        return self.State(h=tanh(x.z + r.z) + torch.div(x.z, 0.5, rounding_mode="floor"))


@pytest.mark.parametrize("kind", [ReadsItsWidth, DividesDown])
@pytest.mark.usefixtures("compiler")
def test_a_step_that_once_compiled_to_wrong_answers(kind, monkeypatch):
    """Right now; and where a fault is put in, the report says that the reference runs."""
    with use_backend("auto"):
        assert check_cell(kind).path == "native"
        monkeypatch.setitem(ROWS, "tanh.", lambda g, a: g("sigmoid", a))
        again = type(kind.__name__, (kind,), {})
        report = check_cell(again)
    assert report.path == "reference" and "its compiled form gives" in report.reason


@pytest.mark.parametrize("given", [Good(3, 4), nn.LSTM, "lstm"])
def test_anything_but_a_cell_class_is_refused(given):
    with pytest.raises(UsageError, match="expected a subclass of Cell"):
        check_cell(given)
