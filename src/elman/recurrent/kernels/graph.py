"""Elementwise expressions: nodes that are equal are one node, and what can be said shorter is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# How each operation is written in C++ on vectors of units (engine.h); {0}, {1} are its arguments.
CPP = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "sigmoid": "sigmoid({0})",
    "tanh": "vtanh({0})",
    "exp": "vexp({0})",
    "expm1": "vexpm1({0})",
    "log": "vlog({0})",
    "log1p": "vlog1p({0})",
    "sqrt": "vsqrt({0})",
    "sin": "vsin({0})",
    "cos": "vcos({0})",
    "erf": "verf({0})",
    "pow": "vpow({0}, {1})",
    "abs": "vabs({0})",
    "sign": "vsign({0})",
    "minimum": "vmin({0}, {1})",
    "maximum": "vmax({0}, {1})",
    "gt": "{0} > {1}",
    "lt": "{0} < {1}",
    "ge": "{0} >= {1}",
    "le": "{0} <= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "not": "~{0}",
    "where": "{0} ? {1} : {2}",
}
TRUTHS = frozenset({"gt", "lt", "ge", "le", "eq", "ne", "and", "or", "not"})
# What costs more than a few additions: the backward pass keeps such a result and never computes it again.
DEAR = frozenset({"div", "sigmoid", "tanh", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "erf", "pow"})

FOLD: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}


@dataclass(frozen=True, eq=False)
class Node:
    """A value per row and unit. op: a key of CPP, "input" with value (kind, index), or "const" with a number."""

    op: str
    args: tuple[Node, ...] = ()
    value: Any = None
    number: int = 0  # in the order made, so that a cell's source is the same in every process

    @property
    def truth(self) -> bool:
        return self.op in TRUTHS


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

    def _node(self, op: str, args: tuple[Node, ...], value: Any = None) -> Node:
        if op in ("add", "mul"):  # a + b is b + a, to the last bit
            args = tuple(sorted(args, key=lambda a: a.number))
        key = (op, tuple(a.number for a in args), repr(value))
        return self._made.setdefault(key, Node(op, args, value, len(self._made)))

    def _shorter(self, op: str, args: tuple[Node, ...]) -> Node | None:
        numbers = [a.value if a.op == "const" else None for a in args]
        if op in FOLD and None not in numbers:
            return self.const(FOLD[op](*numbers))
        if op in ("add", "mul"):
            for one, number in ((0, numbers[1]), (1, numbers[0])):
                if number == (0 if op == "add" else 1):
                    return args[one]
                if op == "mul" and number == 0:  # from an argument that gets no gradient
                    return self.const(0)
                if op == "mul" and number == -1:
                    return self("neg", args[one])
                if args[one].op == "neg" and op == "add":
                    return self("sub", args[1 - one], args[one].args[0])
        if op in ("sub", "div") and numbers[1] == (0 if op == "sub" else 1):
            return args[0]
        if op == "sub" and numbers[0] == 0:
            return self("neg", args[1])
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
    """What the forward pass must keep, a value per row and unit each: as few as can be, such that the backward pass
    computes nothing dear again.

    A minimum cut between what only the forward pass knows (inputs of a row, dear results) and what the backward pass
    reads. Parameters, masks, noise and constants are at hand anyway; x is too, so it counts as kept in place."""
    nodes = list(ordered([*forward, *backward]))
    late: set[Node] = set()  # depends on a gradient that comes in
    free: set[Node] = set()  # depends on nothing of the row
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
    # split every early node in two, with an edge of the node's price between the halves
    room: dict[Any, dict[Any, float]] = {}

    def edge(a: Any, b: Any, capacity: float) -> None:
        room.setdefault(a, {})[b] = capacity
        room.setdefault(b, {}).setdefault(a, 0.0)

    endless = float("inf")
    for n in early:
        # of two cuts of one size the one nearer to the outputs: x itself would keep all its gates alive
        edge((n, 0), (n, 1), 1.01 if n.op == "input" else 1.0)
        if n.op == "input" or n.op in DEAR:
            edge("source", (n, 0), endless)
        for a in n.args:
            if a not in free:
                edge((a, 1), (n, 0), endless)
        if n in needed:
            edge((n, 1), "sink", endless)
    reached = _saturate(room)
    return [n for n in early if (n, 0) in reached and (n, 1) not in reached]


def _saturate(room: dict[Any, dict[Any, float]]) -> set[Any]:
    """Send flow from "source" to "sink" until no path is left (Edmonds and Karp 1972): what is still reached."""
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
