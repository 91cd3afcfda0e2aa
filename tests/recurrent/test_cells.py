"""What the docstrings of the cells promise: their first weights, named gates, classes found by name or in a file."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from elman.errors import UsageError
from elman.recurrent import CELLS, Cell, gate, get_cell, listen_to_gates, unroll

FITTING = [name for name, kind in CELLS.items() if kind.R is Cell.R]


@pytest.mark.parametrize("name", FITTING)
def test_first_weights_are_as_documented(name):
    torch.manual_seed(1)
    cell = CELLS[name](5, 8, delays=1 if CELLS[name].recurrent == () else 2)
    bound = (6 / 13) ** 0.5
    assert cell.W.abs().max() <= bound and cell.W.std() > bound / 3
    for part in cell._Rec._fields:
        block = cell.block("U", part)
        if name == "elman-relu":
            expected = torch.cat([torch.eye(8), torch.zeros(8, 8)])
            assert torch.equal(block, expected)
        else:
            torch.testing.assert_close(block.T @ block, torch.eye(8), atol=1e-5, rtol=0)
    for part in cell.gates:
        assert (cell.block("b", part) == (1.0 if part in cell.open_gates else 0.0)).all()
    assert CELLS["lstm"].open_gates == ("f",)


def test_what_differs_from_the_plain_first_weights():
    torch.manual_seed(1)
    u = CELLS["indrnn"](5, 2000).u
    # 2,000 uniform numbers: the mean is within five standard deviations of 1/2, and both ends are reached.
    assert 0 <= u.min() < 0.01 and 0.99 < u.max() <= 1 and abs(u.mean() - 0.5) < 5 / (12 * 2000) ** 0.5
    cell = CELLS["lstm-layernorm"](5, 8)
    for gain in (cell.gain_x, cell.gain_h, cell.gain_c):
        assert (gain == 1).all()
    assert cell.b.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16 and not cell.bias_c.any()
    assert cell.W.abs().max() <= (6 / 13) ** 0.5
    for block in cell.U.split(8, -1):
        torch.testing.assert_close(block.T @ block, torch.eye(8), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("backend")
def test_minlstm_stays_finite_where_both_gates_are_shut():
    cell = CELLS["minlstm"](1, 1)
    with torch.no_grad():
        cell.W.zero_()
        cell.b.copy_(torch.tensor([-200.0, -200.0, 3.0]))  # sigmoid(-200) is 0 in float32
    _, end = unroll(cell, torch.zeros(1, 1, 1), [torch.ones(1, 1)])
    end.h.sum().backward()
    assert end.h.item() == 2.0 and all(p.grad.isfinite().all() for p in cell.parameters())


def test_a_layer_norm_ignores_the_scale_of_the_input():
    """What Ba et al. promise: x and 7 x give the same products after the norm, but for the 1e-5 in it."""
    torch.manual_seed(1)
    cell = CELLS["lstm-layernorm"](5, 8).double()
    xs = torch.randn(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(unroll(cell, 7 * xs)[0], unroll(cell, xs)[0], rtol=1e-3, atol=1e-4)


def test_vectors_start_at_zero_and_return_to_it():
    class Diagonal(Cell):
        gates = ("z",)
        recurrent = ()
        vectors = ("u",)

        def step(self, s, x, r):
            assert r is None
            return self.State(h=torch.tanh(x.z + self.u * s.h))

    cell = Diagonal(3, 4)
    assert not cell.u.any() and not hasattr(cell, "U")
    with torch.no_grad():
        cell.u.fill_(2.0)
    cell.reset_parameters()
    assert not cell.u.any()


@pytest.mark.usefixtures("backend")
def test_hard_gates_are_exactly_zero_or_one():
    torch.manual_seed(2)
    seen = []
    with listen_to_gates(lambda name, value: seen.append((name, value))):
        unroll(CELLS["hard-memory"](3, 16), torch.randn(4, 5, 3))
    values = torch.cat([value for _, value in seen]).detach()
    assert {name for name, _ in seen} == {"g"} and set(values.unique().tolist()) == {0.0, 1.0}


def test_listening_to_gates_ends_with_the_block():
    seen = []
    cell = CELLS["lstm"](3, 4)
    with listen_to_gates(lambda name, value: seen.append((name, tuple(value.shape)))):
        unroll(cell, torch.randn(2, 3, 3))
    assert seen == [("i", (2, 4)), ("f", (2, 4)), ("o", (2, 4))] * 3
    unroll(cell, torch.randn(2, 3, 3))
    value = torch.ones(1)
    assert len(seen) == 9 and gate("any", value) is value


def test_delays_keep_the_older_h_in_the_state():
    cell = CELLS["lstm"](3, 4, delays=3)
    assert cell.Carried._fields == ("h", "c", "past1", "past2")
    ys, end = unroll(cell, torch.randn(2, 5, 3))
    assert torch.equal(end.h, ys[:, -1]) and torch.equal(end.past1, ys[:, -2]) and torch.equal(end.past2, ys[:, -3])


def test_a_cell_without_parameters_has_a_first_state():
    class Sum(Cell):
        State = namedtuple("State", "total")

        def R(self, s, x):
            return self.State(total=s.total + x.sum(-1, keepdim=True))

        def O(self, s):
            return s.total

        def initial(self, rows, like=None):
            return self.State(super().initial(rows, like)[0][:, :1])

        output_size = 1

    ys, end = unroll(Sum(2, 1), torch.ones(1, 3, 2))
    assert ys.flatten().tolist() == [2.0, 4.0, 6.0] and end.total.tolist() == [[6.0]]
    assert unroll(Sum(2, 1), torch.ones(1, 1, 2), end)[0].item() == 8.0


def test_a_cell_is_found_by_name_and_in_a_file(tmp_path):
    assert get_cell("gru") is CELLS["gru"]
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom elman.recurrent import Cell\n\n\nclass Mine(Cell):\n    gates = ('z',)\n\n"
        "    def step(self, s, x, r):\n        return self.State(h=torch.tanh(x.z + r.z))\n",
        encoding="utf-8",
    )
    kind = get_cell(f"{file}:Mine")
    assert issubclass(kind, Cell)
    torch.manual_seed(3)
    mine, elman = kind(3, 4).double(), CELLS["elman"](3, 4).double()
    elman.load_state_dict(mine.state_dict())
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert torch.equal(unroll(mine, x)[0], unroll(elman, x)[0])


@pytest.mark.parametrize(
    "text, message",
    [
        ("class Other: pass\n", r"expected a subclass of elman.Cell named Mine, found \[\]"),
        ("x = 1\nx.nothing\n", r"mine.py:2: AttributeError"),
        ("def f(:\n", r"mine.py:1: SyntaxError"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", r"mine.py:2: ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_serve_is_named_with_its_line(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        get_cell(f"{file}:Mine")


def test_states_are_plain_tuples_at_the_door():
    cell = CELLS["lstm"](3, 4)
    zeros = torch.zeros(2, 4)
    x = torch.randn(2, 5, 3)
    ours, theirs = unroll(cell, x), unroll(cell, x, [zeros, zeros])
    assert torch.equal(ours[0], theirs[0])
