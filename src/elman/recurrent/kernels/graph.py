"""Elementwise expressions: equal nodes are one node, and what can be simplified is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.kernels.operations import OPERATIONS

FOLD: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}


@dataclass(frozen=True, eq=False)
class Node:
    """A value per row and unit. op: a key of OPERATIONS, "input" with value (kind, index), or "const" with a number."""

    op: str
    args: tuple[Node, ...] = ()
    value: Any = None
    number: int = 0  # in order of creation, so that a cell's source is the same in every process

    @property
    def truth(self) -> bool:
        return self.op in OPERATIONS and OPERATIONS[self.op].truth

    @property
    def expensive(self) -> bool:
        return self.op in OPERATIONS and OPERATIONS[self.op].expensive


class Graph:
    """Makes nodes."""

    def __init__(self) -> None:
        self._made: dict[Any, Node] = {}
        self.names: dict[Node, str] = {}

    def input(self, kind: str, index: int) -> Node:
        return self._node("input", (), (kind, index))

    def const(self, value: float) -> Node:
        return self._node("const", (), float(value))

    def __call__(self, op: str, *args: Node | float) -> Node:
        nodes = tuple(a if isinstance(a, Node) else self.const(a) for a in args)
        return self._shorter(op, nodes) or self._node(op, nodes)

    def text(self, roots: Iterable[Node]) -> str:
        """Everything the roots mean as text, the same for equal expressions in any process."""
        roots = list(roots)
        lines = [f"{n.number} {n.op} {[a.number for a in n.args]} {n.value!r}" for n in ordered(roots)]
        return "\n".join([*lines, str([n.number for n in roots])])

    def _node(self, op: str, args: tuple[Node, ...], value: Any = None) -> Node:
        if op in ("add", "mul"):  # a + b is b + a, to the last bit
            args = tuple(sorted(args, key=lambda a: a.number))
        key = (op, tuple(a.number for a in args), repr(value))
        return self._made.setdefault(key, Node(op, args, value, len(self._made)))

    def _shorter(self, op: str, args: tuple[Node, ...]) -> Node | None:
        """The same to the last bit, also for NaN, infinities and the sign of 0: so a * 0 and a + 0 stay as they are."""
        numbers = [a.value if a.op == "const" else None for a in args]
        if op in FOLD and None not in numbers:
            return self.const(FOLD[op](*numbers))
        if op in ("add", "mul"):
            for one, number in ((0, numbers[1]), (1, numbers[0])):
                if op == "mul" and number == 1:
                    return args[one]
                if op == "mul" and number == -1:
                    return self("neg", args[one])
                if args[one].op == "neg" and op == "add":
                    return self("sub", args[1 - one], args[one].args[0])
        if op in ("sub", "div") and numbers[1] == (0 if op == "sub" else 1):
            return args[0]
        if op == "neg" and args[0].op == "neg":
            return args[0].args[0]
        if op == "where" and args[1] is args[2]:
            return args[1]
        return None


def ordered(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node that the roots need, arguments first."""
    done: set[Node] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            if ready:
                done.add(node)
                yield node
            else:
                stack.append((node, True))
                stack += [(a, False) for a in reversed(node.args)]


def kept_for_backward(forward: list[Node], backward: list[Node]) -> list[Node]:
    """What the forward pass must keep, a value per row and unit each: as few as possible, such that the backward pass
    recomputes nothing expensive.

    A minimum cut between what only the forward pass knows (inputs of a row, expensive results) and what the backward
    pass reads. Parameters, masks, noise and constants are available anyway; x is too, so it counts as kept in place."""
    nodes = list(ordered([*forward, *backward]))
    late: set[Node] = set()  # depends on an incoming gradient
    free: set[Node] = set()  # depends on nothing in the row
    for node in nodes:
        if node.op == "input":
            if node.value[0].startswith("d"):
                late.add(node)
            elif node.value[0] in ("p", "mask", "noise"):
                free.add(node)
        elif any(a in late for a in node.args):
            late.add(node)
        elif all(a in free for a in node.args):
            free.add(node)
    early = [n for n in nodes if n not in late and n not in free]
    needed = {a for n in nodes if n in late for a in n.args if a in set(early)} | (set(backward) & set(early))
    # split every early node in two, with an edge of the node's cost between the halves
    room: dict[Any, dict[Any, float]] = {}

    def edge(a: Any, b: Any, capacity: float) -> None:
        room.setdefault(a, {})[b] = capacity
        room.setdefault(b, {}).setdefault(a, 0.0)

    endless = float("inf")
    for n in early:
        # of two cuts of equal size, the one nearer to the outputs: x itself would keep all its gates alive
        edge((n, 0), (n, 1), 1.01 if n.op == "input" else 1.0)
        if n.op == "input" or n.expensive:
            edge("source", (n, 0), endless)
        for a in n.args:
            if a not in free:
                edge((a, 1), (n, 0), endless)
        if n in needed:
            edge((n, 1), "sink", endless)
    reached = _saturate(room)
    return [n for n in early if (n, 0) in reached and (n, 1) not in reached]


def _saturate(room: dict[Any, dict[Any, float]]) -> set[Any]:
    """Send flow from "source" to "sink" until no path is left (Edmonds and Karp 1972); returns what is reachable."""
    while True:
        came: dict[Any, Any] = {"source": None}
        queue = ["source"]
        for a in queue:
            for b, capacity in room.get(a, {}).items():
                if capacity > 1e-9 and b not in came:
                    came[b] = a
                    queue.append(b)
        if "sink" not in came:
            return set(came)
        path = ["sink"]
        while came[path[-1]] is not None:
            path.append(came[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        flow = min(room[a][b] for a, b in steps)
        for a, b in steps:
            room[a][b] -= flow
            room[b][a] += flow


def evaluate(roots: Iterable[Node], inputs: Mapping[tuple[str, int], Tensor]) -> list[Tensor]:
    """The values of nodes, in torch. inputs: the value of every input, all of one shape."""
    roots, like = list(roots), next(iter(inputs.values()))
    values: dict[Node, Tensor] = {}
    for node in ordered(roots):
        if node.op == "input":
            values[node] = inputs[node.value]
        elif node.op == "const":
            values[node] = torch.full_like(like, node.value)
        else:
            values[node] = OPERATIONS[node.op].torch(*(values[a] for a in node.args))
    return [values[root] for root in roots]
