"""The cells: for each, its equation and its source. A new one is a class and a row in CELLS."""

from __future__ import annotations

import importlib.util
import linecache
import math
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, relu, sigmoid, tanh
from torch.nn.functional import layer_norm, logsigmoid

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

    U starts as the identity, so that a new network copies (Le, Jaitly and Hinton 2015)."""

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


class PeepholeLSTM(Cell):
    """Long short-term memory whose gates see the memory: i and f see c_{t-1}, o sees c_t, unit by unit.

    i = sigmoid(. + p_i * c_{t-1}),  f = sigmoid(. + p_f * c_{t-1}),  c_t = f * c_{t-1} + i * z,
    o = sigmoid(. + p_o * c_t),  h_t = o * tanh(c_t); a dot is the same gate's x_t W + h_{t-1} U + b. Peepholes start
    at 0. Gers, Schraudolph and Schmidhuber 2002; the output's tanh as in the vanilla LSTM of Greff et al. 2017."""

    State = namedtuple("State", "h c")
    gates = ("i", "f", "z", "o")
    vectors = ("p_i", "p_f", "p_o")
    open_gates = ("f",)

    p_i: Tensor
    p_f: Tensor
    p_o: Tensor

    def step(self, s: Any, x: Any, r: Any) -> Any:
        i = gate("i", sigmoid(x.i + r.i + self.p_i * s.c))
        f = gate("f", sigmoid(x.f + r.f + self.p_f * s.c))
        c = f * s.c + i * tanh(x.z + r.z)
        o = gate("o", sigmoid(x.o + r.o + self.p_o * c))
        return self.State(h=o * tanh(c), c=c)


class CoupledLSTM(Cell):
    """Long short-term memory that writes as much as it forgets: the input gate is 1 - f.

    c_t = f * c_{t-1} + (1 - f) * z,  h_t = o * tanh(c_t).
    CIFG in Greff et al. 2017, LSTM: a search space odyssey (without peepholes)."""

    State = namedtuple("State", "h c")
    gates = ("f", "z", "o")
    open_gates = ("f",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        f = gate("f", sigmoid(x.f + r.f))
        o = gate("o", sigmoid(x.o + r.o))
        c = f * s.c + (1 - f) * tanh(x.z + r.z)
        return self.State(h=o * tanh(c), c=c)


class LayerNormLSTM(Cell):
    """Long short-term memory with its products and its memory normalised over the row.

    [i f z o] = N(x_t W) * gain_x + N(h_{t-1} U) * gain_h + b,  c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(z),
    h_t = sigmoid(o) * tanh(N(c_t) * gain_c + bias_c), where N(a) = (a - mean(a)) / sqrt(variance(a) + 1e-5), over all
    four gates at once. b is the sum of the paper's three biases. Gains start at 1, the bias of f at 1, the rest at 0.
    Ba, Kiros and Hinton 2016. A norm over the row is not elementwise, so this overrides R."""

    State = namedtuple("State", "h c")

    def __init__(self, input_size: int, hidden_size: int, *, delays: int = 1) -> None:
        super().__init__(input_size, hidden_size, delays=delays)
        H = hidden_size
        self.W = nn.Parameter(torch.empty(input_size, 4 * H))
        self.U = nn.Parameter(torch.empty(H, 4 * H))
        self.b = nn.Parameter(torch.empty(4 * H))
        self.gain_x, self.gain_h = nn.Parameter(torch.empty(4 * H)), nn.Parameter(torch.empty(4 * H))
        self.gain_c, self.bias_c = nn.Parameter(torch.empty(H)), nn.Parameter(torch.empty(H))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        H = self.hidden_size
        bound = math.sqrt(6 / (self.input_size + H))
        with torch.no_grad():
            self.W.uniform_(-bound, bound)
            for block in self.U.split(H, -1):
                nn.init.orthogonal_(block)
            for gain in (self.gain_x, self.gain_h, self.gain_c):
                gain.fill_(1.0)
            for bias in (self.b, self.bias_c):
                bias.zero_()
            self.b[H : 2 * H].fill_(1.0)

    def R(self, s: Any, x: Tensor) -> Any:
        wide = self.b.shape
        a = layer_norm(x @ self.W, wide, self.gain_x, self.b) + layer_norm(s.h @ self.U, wide, self.gain_h)
        i, f, z, o = a.chunk(4, -1)
        i, f, o = gate("i", sigmoid(i)), gate("f", sigmoid(f)), gate("o", sigmoid(o))
        c = f * s.c + i * tanh(z)
        return self.State(h=o * tanh(layer_norm(c, self.bias_c.shape, self.gain_c, self.bias_c)), c=c)


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


class MGU(Cell):
    """Minimal gated unit: one gate both forgets and resets.

    f = sigmoid(x_t W_f + h_{t-1} U_f + b_f),  n = tanh(x_t W_n + f * (h_{t-1} U_n) + b_n),
    h_t = (1 - f) * h_{t-1} + f * n. Zhou, Wu, Zhang and Zhou 2016. The paper has (f * h_{t-1}) U_n, a second product
    that waits for the first; here f acts after the product with U, as the reset gate of `GRU` does."""

    gates = ("f", "n")

    def step(self, s: Any, x: Any, r: Any) -> Any:
        f = gate("f", sigmoid(x.f + r.f))
        return self.State(h=(1 - f) * s.h + f * tanh(x.n + f * r.n))


class IndRNN(Cell):
    """Independently recurrent network: each unit sees only its own past, h_t = relu(x_t W + u * h_{t-1} + b).

    u starts uniform in [0, 1], so that some units forget at once and others keep. Li, Li, Cook, Zhu and Gao 2018."""

    gates = ("z",)
    recurrent = ()
    vectors = ("u",)

    u: Tensor

    def step(self, s: Any, x: Any, r: Any) -> Any:
        return self.State(h=relu(x.z + self.u * s.h))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.u.uniform_(0, 1)


class MinGRU(Cell):
    """Minimal GRU: gate and candidate see only the input, h_t = (1 - z) * h_{t-1} + z * n.

    z = sigmoid(x_t W_z + b_z),  n = x_t W_n + b_n.
    Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, Were RNNs all we needed?"""

    gates = ("z", "n")
    recurrent = ()

    def step(self, s: Any, x: Any, r: Any) -> Any:
        z = gate("z", sigmoid(x.z))
        return self.State(h=(1 - z) * s.h + z * x.n)


class MinLSTM(Cell):
    """Minimal LSTM: gates and candidate see only the input, h_t = f' * h_{t-1} + i' * n.

    f = sigmoid(x_t W_f + b_f),  i = sigmoid(x_t W_i + b_i),  n = x_t W_n + b_n, and normalised f' = f / (f + i),
    i' = i / (f + i). Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, Were RNNs all we needed?"""

    gates = ("f", "i", "n")
    recurrent = ()
    open_gates = ("f",)

    def step(self, s: Any, x: Any, r: Any) -> Any:
        # f / (f + i) = sigmoid(log f - log i), which avoids 0 / 0 where both gates are shut.
        f = gate("f", sigmoid(logsigmoid(x.f) - logsigmoid(x.i)))
        i = gate("i", 1 - f)
        return self.State(h=f * s.h + i * x.n)


class SRU(Cell):
    """Simple recurrent unit: its gates see the past only through their own memory, with a highway for the input.

    f = sigmoid(x_t W_f + v_f * c_{t-1} + b_f),  c_t = f * c_{t-1} + (1 - f) * (x_t W_z + b_z),
    r = sigmoid(x_t W_r + v_r * c_{t-1} + b_r),  h_t = r * c_t + (1 - r) * (x_t W_k + b_k).
    Lei, Zhang, Wang, Dai and Artzi 2018. The highway of the paper carries x_t itself; here x_t W_k + b_k, since x and h
    may differ in width. v_f and v_r start at 0."""

    State = namedtuple("State", "h c")
    gates = ("f", "r", "z", "k")
    recurrent = ()
    vectors = ("v_f", "v_r")
    open_gates = ("f",)

    v_f: Tensor
    v_r: Tensor

    def step(self, s: Any, x: Any, r: Any) -> Any:
        f = gate("f", sigmoid(x.f + self.v_f * s.c))
        highway = gate("r", sigmoid(x.r + self.v_r * s.c))
        c = f * s.c + (1 - f) * x.z
        return self.State(h=highway * c + (1 - highway) * x.k, c=c)


class HardMemory(Cell):
    """The lecture's gated memory with hard gates: s' = g * x + (1 - g) * s, with g in {0, 1}.

    g is 1 where the controller x_t W_g + h_{t-1} U_g + b_g is positive. Its gradient is that of the sigmoid, passed
    straight through the threshold (Bengio, Leonard and Courville 2013). Goldberg 2017, section 15.3."""

    gates = ("g", "z")
    recurrent = ("g",)
    straight_through = True

    def step(self, s: Any, x: Any, r: Any) -> Any:
        soft = sigmoid(x.g + r.g)
        # In this order the value is exactly 0 or 1: what is added to the hard gate is a difference of equal numbers.
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
    "lstm-peephole": PeepholeLSTM,
    "lstm-coupled": CoupledLSTM,
    "lstm-layernorm": LayerNormLSTM,
    "gru": GRU,
    "mgu": MGU,
    "indrnn": IndRNN,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "sru": SRU,
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
        raise UsageError(f"unknown cell {name!r}, not a file.py:MyCell either; {nearest(name, CELLS)}")
    return CELLS[name]


def cell_from_source(source: str, class_name: str, file: str) -> type[Cell]:
    """Run the text of a Python file and take a Cell class from it. This runs the code: ask first."""
    module_name = f"elman_user_cell_{Path(file).stem}"
    spec = importlib.util.spec_from_loader(module_name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    # So that tracebacks and reports can show its lines even if the file is gone or has changed.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except Exception as problem:
        line = getattr(problem, "lineno", None) or _last_line(problem, file)
        place = f"{file}:{line}" if line else file
        raise UsageError(f"cell file {place}: {type(problem).__name__}: {problem}") from problem
    chosen = getattr(module, class_name, None)
    if not (isinstance(chosen, type) and issubclass(chosen, Cell)):
        classes = [k for k, v in vars(module).items() if isinstance(v, type) and issubclass(v, Cell) and v is not Cell]
        raise UsageError(f"cell file {file}: expected a subclass of elman.Cell named {class_name}, found {classes}")
    return chosen


def _last_line(problem: Exception, file: str) -> int | None:
    traceback, line = problem.__traceback__, None
    while traceback:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
