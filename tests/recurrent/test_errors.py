"""Every error that the recurrent core raises on purpose, reached once, with the words that say how to mend it."""

from __future__ import annotations

import ast
import inspect
import re
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import elman.recurrent
from elman.errors import UsageError
from elman.recurrent import (
    CELLS,
    Bidirectional,
    Cell,
    Dropout,
    Layer,
    Packed,
    Recurrent,
    Stack,
    Window,
    bptt,
    check_cell,
    from_torch,
    get_cell,
    recurrent_stack,
    to_torch,
    unroll,
)
from elman.recurrent.backend import library_for, use_backend
from elman.recurrent.bptt import windows
from elman.recurrent.generator import generator
from elman.recurrent.kernels import native
from elman.recurrent.kernels.build import BuildError
from elman.recurrent.layers import Residual
from elman.recurrent.noise import Modifiers, Noise
from elman.recurrent.stepper import stepper

HERE = Path(inspect.getfile(elman.recurrent)).parent
GRU, LSTM = CELLS["gru"], CELLS["lstm"]


class MyGRU(GRU):
    """A user's variant: torch has no module for it, though it inherits from one that torch has."""


def recurrent(name="gru", width=3, hidden=4, delays=1, **options):
    return Recurrent(CELLS[name](width, hidden, delays=delays), **options)


TORCH_HAS_NOT = {
    "another module": (lambda: from_torch(nn.Linear(3, 4)), "nn.LSTM, nn.GRU or nn.RNN, found Linear"),
    "a torch cell": (lambda: from_torch(nn.LSTMCell(3, 4)), "found LSTMCell"),
    "projections": (lambda: from_torch(nn.LSTM(3, 4, proj_size=2)), "proj_size=2"),
    "dropout of all": (lambda: from_torch(nn.LSTM(3, 4, 2, dropout=1.0)), "0 <= p < 1"),
    "another cell": (lambda: to_torch(recurrent("soft-memory")), "torch has no SoftMemory"),
    "a subclass": (lambda: to_torch(Recurrent(MyGRU(3, 4))), "torch has no MyGRU"),
    "an override": (lambda: to_torch(recurrent("deep-transition")), "torch has no DeepTransition"),
    "delays": (lambda: to_torch(recurrent(delays=2)), "torch has no delays"),
    "delays above": (lambda: to_torch(Stack(recurrent(), recurrent(width=4, delays=3))), "torch has no delays"),
    "mixed cells": (lambda: to_torch(Stack(recurrent(), recurrent("lstm", 4))), r"GRU\(4\) and LSTM\(4\)"),
    "mixed sides": (lambda: to_torch(Bidirectional(GRU(3, 4), CELLS["elman"](3, 4))), "one kind"),
    "mixed sizes": (lambda: to_torch(Stack(recurrent(), recurrent(width=4, hidden=5))), r"GRU\(4\) and GRU\(5\)"),
    "mixed directions": (
        lambda: to_torch(Stack(recurrent(), Bidirectional(GRU(4, 4), GRU(4, 4)))),
        "found a mixture",
    ),
    "zoneout to torch": (lambda: to_torch(recurrent(zoneout=0.1)), "torch has no zoneout=0.1"),
    "reverse only": (lambda: to_torch(Recurrent(GRU(3, 4), reverse=True)), "in reverse only"),
    "a window": (lambda: to_torch(Stack(Window(3), recurrent(width=12))), "no counterpart for Window"),
    "nothing recurrent": (lambda: to_torch(Stack(Dropout(0.0))), "at least one recurrent layer"),
    "variational": (
        lambda: to_torch(recurrent_stack(GRU, 3, 4, 2, dropout=0.5)),
        "torch draws a dropout mask per step, this layer one per sequence",
    ),
    "dropout below": (lambda: to_torch(Stack(Dropout(0.5, per="step"), recurrent())), "not below"),
    "dropout above": (lambda: to_torch(Stack(recurrent(), Dropout(0.5, per="step"))), "not after"),
    "dropout twice": (
        lambda: to_torch(Stack(recurrent(), *[Dropout(0.5, per="step")] * 2, recurrent(width=4))),
        "or twice",
    ),
    "dropout somewhere": (
        lambda: to_torch(Stack(recurrent(), recurrent(width=4), Dropout(0.5, per="step"), recurrent(width=4))),
        r"one dropout rate for all layers, found \[0.0, 0.5\]",
    ),
}


def declares(**attributes):
    """A cell class with these attributes, and a step unless one is given."""
    return type("Mine", (Cell,), {"gates": ("z",), "step": lambda self, s, x, r: s, **attributes})


class Sums(Cell):
    """A step that is not elementwise."""

    gates = ("z",)

    def step(self, s, x, r):
        return self.State(h=torch.tanh(x.z + r.z) * x.z.sum(-1, keepdim=True))


class Shut(Layer):
    """A user's layer without a plan."""


CANNOT_LEAVE = {
    "a layer without a plan": (lambda: Shut().plan(), "a Shut cannot leave Python"),
    "zoneout in a plan": (lambda: recurrent(zoneout=0.1).plan(), "zoneout changes the step of GRU"),
    "a plan of an override": (lambda: recurrent("deep-transition").plan(), "DeepTransition overrides R"),
    "a plan of a sum": (lambda: Recurrent(Sums(3, 4)).plan(), "Sums has no graph of elementwise operations"),
}


class Counter(Cell):
    """An override with a field that is no floating number."""

    State = namedtuple("State", "h steps")

    def initial(self, rows, like=None):
        return self.State(super().initial(rows, like).h, torch.zeros(rows, 1, dtype=torch.long))

    def R(self, s, x):
        return self.State(s.h, s.steps + 1)


def file_cell(text, name="Mine"):
    def call(folder):
        (folder / "mine.py").write_text(text, encoding="utf-8")
        get_cell(f"{folder / 'mine.py'}:{name}")

    return call


def unbuildable():
    raise BuildError("no compiler here")


def inside(name, call):
    """The same call on a backend."""

    def run():
        with use_backend(name):
            call()

    return run


def differentiate_twice():
    with torch.enable_grad():  # as autograd does for create_graph
        native._Engine.backward(None, torch.zeros(1))


def differentiate_the_bounded_twice():
    with torch.enable_grad():
        bptt._Bounded.backward(None, torch.zeros(1))


def pruned():
    return prune.identity(GRU(3, 4), "U")


X = torch.zeros(2, 5, 3)
ZEROS = torch.zeros(2, 4)

# What is called, and words of the message. A call that takes an argument is given an empty folder.
DOORS = {
    "input_size 0": (lambda: GRU(0, 4), "GRU: expected input_size to be 1 or more, found 0"),
    "hidden_size half": (lambda: GRU(3, 4.5), "expected hidden_size to be 1 or more, found 4.5"),
    "delays 0": (lambda: GRU(3, 4, delays=0), "expected delays to be 1 or more, found 0"),
    "delays of an override": (
        lambda: CELLS["deep-transition"](3, 4, delays=2),
        "overrides R, so delays=2",
    ),
    "delays of no product": (lambda: declares(recurrent=())(3, 4, delays=2), "no recurrent products, so delays=2"),
    "no gates": (lambda: declares(gates=())(3, 4), "expected `gates`, a tuple of names"),
    "gates a string": (lambda: declares(gates="forget")(3, 4), "expected `gates`, a tuple of names"),
    "gate a keyword": (lambda: declares(gates=("z", "in"))(3, 4), "`gates` has 'in'"),
    "gate twice": (lambda: declares(gates=("z", "z"))(3, 4), "`gates` has 'z'"),
    "vectors a string": (lambda: declares(vectors="p")(3, 4), "expected `vectors`, a tuple of names .*found 'p'"),
    "recurrent a list": (lambda: declares(recurrent=["z"])(3, 4), r"expected `recurrent`, a tuple of names"),
    "vector of a name taken": (lambda: declares(vectors=("b",))(3, 4), "`vectors` has 'b'; expected names that"),
    "vector a method": (lambda: declares(vectors=("step",))(3, 4), "`vectors` has 'step'"),
    "no step": (lambda: declares(step=Cell.step)(3, 4), "expected a method step"),
    "recurrent of nothing": (lambda: declares(recurrent=("y",))(3, 4), r"`recurrent` names \['y'\], expected some of"),
    "bias of nothing": (lambda: declares(recurrent_bias=("y",))(3, 4), r"`recurrent_bias` names \['y'\]"),
    "open nothing": (lambda: declares(open_gates=("y",))(3, 4), r"`open_gates` names \['y'\]"),
    "no h": (lambda: declares(State=namedtuple("State", "m"))(3, 4), "State has no field `h`"),
    "step of an override": (lambda: CELLS["deep-transition"](3, 4).step((), (), ()), "defines neither step"),
    "state of one field": (lambda: unroll(LSTM(3, 4), X, [ZEROS]), r"a state of 2 fields \('h', 'c'\), found 1"),
    "state bare": (lambda: unroll(GRU(3, 4), X[:1], ZEROS[:1]), r"a tuple of tensors \('h',\), found a Tensor"),
    "state a number": (lambda: recurrent()(X, 5), "a tuple of tensors as a call returns it, found int"),
    "state in float64": (
        lambda: unroll(GRU(3, 4), X, [ZEROS.double()]),
        r"state.h in torch.float32 on cpu, found torch.float64 on cpu",
    ),
    "state elsewhere": (lambda: unroll(GRU(3, 4), X, [ZEROS.to("meta")]), "found torch.float32 on meta"),
    "pruned cell": (lambda: unroll(pruned(), X), "hooks on a cell never run"),
    "gradient of a gradient in a bound": (differentiate_the_bounded_twice, r"memory: .* \(create_graph\)"),
    "half a length": (lambda: unroll(GRU(3, 4), X, lengths=[2.5, 5]), r"2 integer lengths, found \[2.5, 5\]"),
    "state of a longer batch": (lambda: unroll(GRU(3, 4), X, [torch.zeros(3, 4)]), r"state.h \(2, 4\), found \(3, 4\)"),
    "state of a wider cell": (lambda: unroll(GRU(3, 4), [X[0]], [torch.zeros(1, 5)]), r"\(1, 4\), found \(1, 5\)"),
    "state of no history": (lambda: unroll(GRU(3, 4, delays=2), X, [ZEROS]), "'past1'"),
    "unknown cell": (lambda: get_cell("lstmm"), "unknown cell 'lstmm'.*did you mean 'lstm'"),
    "missing file": (lambda folder: get_cell(f"{folder}/no.py:Mine"), "cannot read .*no.py"),
    "file of another class": (file_cell("x = 1"), "expected a subclass of elman.Cell named Mine"),
    "file that fails": (file_cell("x = 1 / 0"), "mine.py:1: ZeroDivisionError"),
    "check of a module": (lambda: check_cell(nn.GRU), "check_cell: expected a subclass of Cell"),
    "report of a wrong cell": (lambda: check_cell(declares(gates=())).raise_if_wrong(), "WRONG  builds"),
    "layer without run": (lambda: Layer()([X[0]]), "does not define run"),
    "state of no state": (lambda: Dropout(0.5)(X, (ZEROS,)), r"carries no state: expected \(\), found tuple"),
    "vector of dropout": (lambda: Dropout(0.5).final(()), "has no encoder vector"),
    "vector of a window": (lambda: Window(3).final((ZEROS,)), "has no encoder vector"),
    "vector of nothing": (lambda: Stack(Dropout(0.5)).final(((),)), "none of its layers is recurrent"),
    "sampling both ways": (
        lambda: recurrent_stack(GRU, 3, 4).require_causal("sampling"),
        "sampling needs a causal layer",
    ),
    "unequal directions": (lambda: Bidirectional(GRU(3, 4), GRU(2, 4)), r"same inputs, found input sizes \(3, 2\)"),
    "state of one direction": (
        lambda: Bidirectional(GRU(3, 4), GRU(3, 4))(X, (ZEROS,)),
        r"expected a state \(forward, backward\), found 1 parts",
    ),
    "empty stack": (lambda: Stack(), "at least one layer, found none"),
    "stack that does not meet": (lambda: Stack(recurrent(), Dropout(0.1), recurrent()), "layer 2 expects 3 inputs"),
    "state of a lower stack": (lambda: Stack(recurrent())(X, ()), "expected 1 states, one per layer, found 0"),
    "window of less than nothing": (lambda: Window(3, before=-1), "before and after of 0 or more, found -1 and 1"),
    "state of another window": (lambda: Window(3)(X, (ZEROS,)), r"state \(past,\) of shape \(2, 6\)"),
    "dropout of all": (lambda: Dropout(1.0), "0 <= p < 1"),
    "dropout per word": (lambda: Dropout(0.5, per="word"), "per 'sequence' or 'step'"),
    "rate of all": (
        lambda: Modifiers(recurrent_dropout=1.0),
        "recurrent_dropout to be 0 or more and below 1, found 1.0",
    ),
    "rate below 0": (lambda: recurrent(weight_dropout=-0.1), "weight_dropout to be 0 or more and below 1, found -0.1"),
    "rate of a field": (lambda: Modifiers(zoneout={"c": float("nan")}), "zoneout of c to be 0 or more"),
    "rate in words": (lambda: Modifiers(zoneout="much"), "expected zoneout to be 0 or more and below 1, found 'much'"),
    "zoneout of no field": (
        lambda: Recurrent(GRU(3, 4), zoneout={"c": 0.1}),
        r"GRU: zoneout names \['c'\], expected some of the state's \['h'\]",
    ),
    "zoneout of a counter": (
        lambda: Recurrent(Counter(3, 4), zoneout=0.1),
        "cannot mix state.steps, which is torch.int",
    ),
    "dropout of an override": (
        lambda: Recurrent(CELLS["deep-transition"](3, 4), recurrent_dropout=0.5),
        "DeepTransition overrides R, so recurrent_dropout=0.5 cannot reach",
    ),
    "weights of no product": (
        lambda: Bidirectional(GRU(3, 4), CELLS["mingru"](3, 4), weight_dropout=0.5),
        "MinGRU has no recurrent products, so weight_dropout=0.5 would do nothing",
    ),
    "mask of an override": (
        lambda: unroll(CELLS["lstm-layernorm"](3, 4), X, noise=Noise(mask=ZEROS)),
        "overrides R, so a mask cannot reach",
    ),
    "U of no product": (
        lambda: unroll(CELLS["sru"](3, 4), X, noise=Noise(U=ZEROS)),
        "no recurrent products, so a U with dropped weights",
    ),
    "zoneout of one field": (
        lambda: unroll(LSTM(3, 4), X, noise=Noise(zoneout=(0.1,))),
        r"expected zoneout for \('h', 'c'\), found 1 values",
    ),
    "mask of another batch": (
        lambda: unroll(LSTM(3, 4), X, noise=Noise(mask=ZEROS[:1])),
        r"expected mask \(2, 4\), found \(1, 4\)",
    ),
    "zoneout of sequences": (
        lambda: unroll(LSTM(3, 4), X, noise=Noise(zoneout=(0.1, ZEROS))),
        r"expected zoneout of c \(10, 4\), found \(2, 4\)",
    ),
    "U of another cell": (
        lambda: unroll(LSTM(3, 4), X, noise=Noise(U=ZEROS)),
        r"LSTM: expected U \(4, 16\), found \(2, 4\)",
    ),
    "residual of two widths": (lambda: Residual(recurrent()), r"output as wide as its input, found \(3, 4\)"),
    "residual of no layer": (
        lambda: recurrent_stack(GRU, 3, 4, residual=True),
        "no layer has output as wide as its input, found 3 and 8",
    ),
    "unknown backend": (inside("natif", list), "backend: unknown backend 'natif'; did you mean 'native'"),
    "override on the native path": (
        inside("native", lambda: unroll(CELLS["deep-transition"](3, 4), X)),
        "backend native: it overrides R, .*; use backend auto or reference",
    ),
    "gradient of a gradient": (differentiate_twice, r"no second-order gradient \(create_graph\)"),
    "windows of nothing": (lambda: list(windows(X, 0)), "windows: expected a length of 1 step or more, found 0"),
    "memory of one byte": (
        lambda: unroll(GRU(3, 4), X, memory="1B"),
        "memory: .* is too little for this backpropagation; the minimum for 5 steps",
    ),
    "memory in words": (
        lambda: unroll(GRU(3, 4), X, memory="much"),
        "number of bytes or text such as .*, found 'much'",
    ),
    "steps of no batch": (lambda: stepper(recurrent(), 0), "stepper: expected a batch of 1 or more, found 0"),
    "steps in float64": (
        lambda: stepper(recurrent(), 1, torch.float64),
        "torch.float32 or torch.bfloat16, found torch.f",
    ),
    "a step of two rows": (
        inside("reference", lambda: stepper(recurrent())(torch.zeros(2, 3))),
        r"stepper: expected x \(1, 3\), one row per sequence, found \(2, 3\)",
    ),
    "bfloat16 of what is not compiled": (
        lambda: generator(recurrent("deep-transition"), torch.zeros(2, 3), torch.bfloat16),
        "bfloat16: the layer has no compiled cells, or others too; use float32",
    ),
    "steps of any layer": (lambda: stepper(Layer()), "cannot step a Layer; expected Recurrent, Window, Stack"),
    "native steps of an override": (
        inside("native", lambda: stepper(recurrent("deep-transition"))),
        "backend native: DeepTransition is not compiled: it overrides R",
    ),
    "a library that cannot be built": (
        inside("native", lambda: library_for("the softmax", unbuildable, [ZEROS])),
        "backend native: the softmax was not compiled: no compiler here; use backend auto",
    ),
    "no layers": (lambda: recurrent_stack(GRU, 3, 4, 0), "layers of 1 or more, found 0"),
    "length below 0": (lambda: Packed.plan([3, -1]), "lengths of 0 or more, found -1"),
    "no sequences": (lambda: unroll(GRU(3, 4), []), "at least one sequence, found an empty list"),
    "sequences of two widths": (lambda: Packed.from_list([X[0], ZEROS]), r"shapes \[\(2, 4\), \(5, 3\)\]"),
    "padded without time": (lambda: Packed.from_padded(torch.zeros(3)), r"expected \(batch, time, dim\)"),
    "length beyond the padding": (lambda: unroll(GRU(3, 4), X, lengths=[5, 6]), "2 lengths between 0 and 5"),
    "too few lengths": (lambda: unroll(GRU(3, 4), X, lengths=[5]), "2 lengths between 0 and 5"),
    "length 0 to torch": (lambda: Packed.from_list([X[0], X[0, :0]]).to_torch(), "cannot hold a sequence of length 0"),
    "four axes": (lambda: unroll(GRU(3, 4), X[None]), r"expected xs .*, found the shape \(1, 2, 5, 3\)"),
    "lengths of a list": (lambda: unroll(GRU(3, 4), [X[0]], lengths=[5]), "other forms have their own"),
    "an array": (lambda: unroll(GRU(3, 4), X.numpy()), r"found numpy\.ndarray; torch\.from_numpy"),
    "a list of lists": (lambda: unroll(GRU(3, 4), X.tolist()), "found a list at index 0"),
    "a nested tensor": (lambda: unroll(GRU(3, 4), torch.nested.nested_tensor([X[0]])), r"xs\.unbind\(\)"),
    "whole numbers": (lambda: unroll(GRU(3, 4), X.long()), r"floating-point inputs, found torch\.int64"),
    "another precision": (lambda: unroll(GRU(3, 4), X.double()), r"torch\.float32 like the parameters, found torch"),
    "another device": (lambda: unroll(GRU(3, 4), X.to("meta")), "on cpu like the parameters, found them on meta"),
    "state of names": (lambda: type("Mine", (Cell,), {"state": ("h", "m")})(3, 4), r'namedtuple\("State", "h m"\)'),
    "input too wide": (lambda: unroll(GRU(2, 4), X), r"expected inputs of 2 numbers per step, found \(3,\)"),
    "layer's input too wide": (lambda: recurrent(width=2)(X), "Recurrent: expected inputs of 2 numbers"),
    "input of ids": (lambda: recurrent()([torch.zeros(5).long()]), "embed symbols first"),
}

REFUSED = TORCH_HAS_NOT | CANNOT_LEAVE | DOORS


def reach(case, folder):
    call, message = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        call(folder) if inspect.signature(call).parameters else call()
    assert re.search(message, str(caught.value)), str(caught.value)
    last = caught.traceback[-1]
    return Path(str(last.path)).name, last.lineno + 1


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_words_that_help(case, tmp_path):
    reach(case, tmp_path)


def test_every_raise_in_the_recurrent_core_has_a_row_above(tmp_path):
    reached = {reach(case, tmp_path) for case in REFUSED}
    missed = []
    for file in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and "UsageError(" in ast.unparse(node):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if not any((file.name, line) in reached for line in lines):
                    missed.append(f"{file.name}:{node.lineno}: {ast.unparse(node)}")
    assert not missed, "\n".join(missed)
