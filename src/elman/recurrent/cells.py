"""The cells: each its equation and where it comes from. A new one is a class and a row in CELLS."""

from __future__ import annotations

import importlib.util
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, relu, sigmoid, tanh

from elman.errors import UsageError, nearest
from elman.recurrent.cell import Cell, gate


class Elman(Cell):
    """Simple recurrent network: h_t = tanh(x_t W + h_{t-1} U + b).

    Elman 1990, Finding structure in time. `nn.RNN` with one bias."""

    gates = ("z",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        return self.State(h=tanh(x.z + r.z))


class ElmanReLU(Cell):
    """Simple recurrent network with rectified units: h_t = relu(x_t W + h_{t-1} U + b).

    U starts as the identity, so that a fresh network copies (Le, Jaitly and Hinton 2015)."""

    gates = ("z",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        return self.State(h=relu(x.z + r.z))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.U.zero_()
            self.U[: self.hidden_size].fill_diagonal_(1.0)


class LSTM(Cell):
    """Long short-term memory with a forget gate.

    c_t = f * c_{t-1} + i * z,  h_t = o * tanh(c_t); i, f, o are sigmoid gates and z the tanh candidate of x_t, h_{t-1}.
    Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000. The forget bias starts at 1."""

    State = namedtuple("State", "h c")
    gates = ("i", "f", "z", "o")
    open_gates = ("f",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        i = gate("i", sigmoid(x.i + r.i))
        f = gate("f", sigmoid(x.f + r.f))
        o = gate("o", sigmoid(x.o + r.o))
        c = f * s.c + i * tanh(x.z + r.z)
        return self.State(h=o * tanh(c), c=c)


class GRU(Cell):
    """Gated recurrent unit, as in cuDNN and torch: the reset gate acts after the product with U.

    n = tanh(x_n + r * (h_{t-1} U_n + c_n)),  h_t = (1 - u) * n + u * h_{t-1}.
    Cho et al. 2014; the recurrent bias c_n of the candidate makes it torch's GRU exactly."""

    gates = ("r", "u", "n")
    recurrent_bias = ("n",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        reset = gate("r", sigmoid(x.r + r.r))
        update = gate("u", sigmoid(x.u + r.u))
        candidate = tanh(x.n + reset * r.n)
        return self.State(h=candidate + update * (s.h - candidate))


class HardMemory(Cell):
    """The lecture's gated memory with hard gates: s' = g * x + (1 - g) * s, with g in {0, 1}.

    g is 1 where the controller x_t W_g + h_{t-1} U_g + b_g is positive. Its gradient is that of the sigmoid, passed
    straight through the threshold (Bengio, Leonard and Courville 2013). Goldberg 2017, section 15.3."""

    gates = ("g", "z")
    recurrent = ("g",)
    straight_through = True

    def step(self, s: Any, x: Any, r: Any) -> Any:
        soft = sigmoid(x.g + r.g)
        # In this order the value is exactly 0 or 1: what is added to the hard gate is a difference of equals.
        g = gate("g", (soft > 0.5).to(soft.dtype) + (soft - soft.detach()))
        return self.State(h=g * x.z + (1 - g) * s.h)


class SoftMemory(Cell):
    """The lecture's gated memory with soft gates: s' = g * x + (1 - g) * s, with g = sigmoid(controller).

    Goldberg 2017, Neural Network Methods for Natural Language Processing, section 15.3."""

    gates = ("g", "z")
    recurrent = ("g",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        g = gate("g", sigmoid(x.g + r.g))
        return self.State(h=g * x.z + (1 - g) * s.h)


class DeepTransition(Cell):
    """Deep transition, deep output: R and O are small networks of their own.

    h_t = tanh(W_2 tanh(W_1 [x_t; h_{t-1}] + b_1) + h_{t-1} V + b_2),  y_t = tanh(W_o h_t + b_o); V is a shortcut past
    the middle layer. Pascanu, Gulcehre, Cho and Bengio 2014, How to construct deep recurrent neural networks."""

    def __init__(self, input_size: int, hidden_size: int, *, delays: int = 1) -> None:
        super().__init__(input_size, hidden_size, delays=delays)
        self.first = nn.Linear(input_size + hidden_size, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.shortcut = nn.Linear(hidden_size, hidden_size, bias=False)
        self.out = nn.Linear(hidden_size, hidden_size)
        for layer in (self.first, self.second, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(self.shortcut.weight)
        nn.init.orthogonal_(self.first.weight[:, input_size:])

    def R(self, s: Any, x: Tensor) -> Any:
        middle = tanh(self.first(torch.cat([x, s.h], -1)))
        return self.State(h=tanh(self.second(middle) + self.shortcut(s.h)))

    def O(self, s: Any) -> Tensor:
        return tanh(self.out(s.h))


CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "elman-relu": ElmanReLU,
    "lstm": LSTM,
    "gru": GRU,
    "hard-memory": HardMemory,
    "soft-memory": SoftMemory,
    "deep-transition": DeepTransition,
}


def get_cell(name: str) -> type[Cell]:
    """The class of a registered name, or of `file.py:MyCell`, which runs that file.

    Raises UsageError for an unknown name, a missing file or class, or a file that fails to run."""
    if ".py:" in name:
        file, _, class_name = name.rpartition(":")
        try:
            source = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(f"cell {name}: cannot read {file}: {problem}") from problem
        return cell_from_source(source, class_name, file)
    if name not in CELLS:
        raise UsageError(f"unknown cell {name!r}, and no file.py:MyCell; {nearest(name, CELLS)}")
    return CELLS[name]


def cell_from_source(source: str, class_name: str, file: str) -> type[Cell]:
    """Run the text of a Python file and take a Cell class from it. This runs the code: ask first."""
    module_name = f"elman_user_cell_{Path(file).stem}"
    spec = importlib.util.spec_from_loader(module_name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except Exception as problem:
        line = getattr(problem, "lineno", None) or _last_line(problem, file)
        place = f"{file}:{line}" if line else file
        raise UsageError(f"cell file {place}: {type(problem).__name__}: {problem}") from problem
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Cell)):
        classes = [k for k, v in vars(module).items() if isinstance(v, type) and issubclass(v, Cell) and v is not Cell]
        raise UsageError(f"cell file {file}: expected a subclass of elman.Cell named {class_name}, found {classes}")
    return found


def _last_line(problem: Exception, file: str) -> int | None:
    traceback, line = problem.__traceback__, None
    while traceback:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
