"""A traced cell as C++: `struct Cell`, which engine.h runs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial

from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels.graph import Graph, Node, kept_for_backward, ordered
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.kernels.trace import Trace, vector_names


@dataclass(frozen=True)
class Program:
    """C++ for a cell and what the caller must know about it.

    blocks: how many blocks of gradients the backward pass writes per unit. The first are those of x, by gate.
    recurrent, vectors: which block is the gradient of each recurrent gate, and of each vector.
    reads_x: the backward pass reads the gates' input half again, so it must be kept."""

    source: str
    gates: int
    delays: int
    kept: int
    blocks: int
    recurrent: tuple[int, ...]
    vectors: tuple[int, ...]
    reads_x: bool


def emit(cell: Cell, traced: Trace, masked: bool, zoneout: bool) -> Program:
    """Write the C++ of a traced step and of its vector-Jacobian product."""
    forward = [*traced.after, traced.y, traced.q]
    blocks = list(traced.dx)  # x's blocks keep their places, so that dW, dX and db are one product and one sum
    for node in (*traced.dr, *traced.dvectors):
        if node not in blocks:
            blocks.append(node)
    backward = [*blocks, *traced.dbefore]
    kept = kept_for_backward(forward, backward)
    reads_x = any(n.value[0] == "x" for n in kept if n.op == "input")
    stored = [n for n in kept if not (n.op == "input" and n.value[0] == "x")]
    recurrent = tuple(blocks.index(node) for node in traced.dr)
    noise = len(traced.after) if zoneout else 0

    write = partial(_lines, traced.graph)
    ahead = write(
        [(f"after[{i}]", n) for i, n in enumerate(traced.after)]
        + [("y", traced.y), ("q", traced.q)]
        + [(f"kept[{i}]", n) for i, n in enumerate(stored)],
        {},
    )
    known = {n: f"kept[{i}]" for i, n in enumerate(stored)}
    back = write(
        [(f"grads[{i}]", n) for i, n in enumerate(blocks)]
        + [(f"dbefore[{i}]", n) for i, n in enumerate(traced.dbefore)],
        known,
    )
    kind = kind_of(cell)
    name, doc = kind.__name__, (inspect.getdoc(kind) or "").strip()
    about = "\n".join(f"// {line}".rstrip() for line in [f"{name}, derived from its step by elman.", *doc.splitlines()])
    columns = ", ".join(map(str, recurrent)) or "0"
    source = f"""{about}
// x: {", ".join(cell.gates)}   r: {", ".join(cell._Rec._fields) or "none"}   s: {", ".join(cell.State._fields)}   \
p: {", ".join(vector_names(cell)) or "none"}
namespace {{
struct Cell {{
  static constexpr int GATES = {len(cell.gates)}, RECURRENT = {len(traced.dr)}, FIELDS = {len(traced.after)};
  static constexpr int DELAYS = {cell.delays}, VECTORS = {len(traced.dvectors)}, NOISE = {noise};
  static constexpr int KEPT = {len(stored)}, BLOCKS = {len(blocks)};
  static constexpr bool MASKED = {str(masked).lower()}, READS_X = {str(reads_x).lower()};
  static constexpr int COLUMN[] = {{{columns}}};

  static INLINE void forward(const V* x, const V* r, const V* s, const V* p, V mask, const V* noise,
                             V* after, V& y, V& q, V* kept) {{
{ahead}
  }}

  static INLINE void backward(const V* x, const V* kept, const V* p, V mask, const V* noise,
                              const V* dafter, V dy, V dq, V* grads, V* dbefore) {{
{back}
  }}
}};
}}  // namespace
"""
    return Program(
        source,
        len(cell.gates),
        cell.delays,
        len(stored),
        len(blocks),
        recurrent,
        tuple(blocks.index(node) for node in traced.dvectors),
        reads_x,
    )


def _lines(graph: Graph, results: list[tuple[str, Node]], known: dict[Node, str]) -> str:
    """Statements that compute the results from inputs and known values."""
    # a truth value is kept as 1 or 0
    text = {node: f"({name} != 0)" if node.truth else name for node, name in known.items()}
    taken: set[str] = set()
    lines: list[str] = []
    # stop at known values, so that what only they need is not written
    for node in _until([n for _, n in results], known):
        if node.op == "input":
            kind, index = node.value
            text[node] = kind if kind in ("mask", "dy", "dq") else f"{kind}[{index}]"
        elif node.op == "const":
            text[node] = f"all(real({node.value!r}))" if abs(node.value) != float("inf") else _infinity(node.value)
        else:
            # with an underscore, because a gate may be called `new`, or like a function
            name = f"{graph.names[node]}_" if node in graph.names else ""
            if not name or name in taken:
                name = f"t{len(lines)}"
            taken.add(name)
            expression = OPERATIONS[node.op].cpp.format(*(text[a] for a in node.args))
            lines.append(f"    const {'I' if node.truth else 'V'} {name} = {expression};")
            text[node] = name
    for place, node in results:
        value = f"{text[node]} ? all(1) : V{{}}" if node.truth else text[node]
        lines.append(f"    {place} = {value};")
    return "\n".join(lines)


def _infinity(value: float) -> str:
    sign = "-" if value < 0 else ""
    return f"all({sign}std::numeric_limits<real>::infinity())"


def _until(roots: list[Node], known: dict[Node, str]) -> list[Node]:
    """The nodes to compute, arguments first, without going past known ones."""
    needed: set[Node] = set()
    queue = [n for n in roots if n not in known]
    while queue:
        node = queue.pop()
        if node not in needed:
            needed.add(node)
            queue += [a for a in node.args if a not in known]
    return [n for n in ordered(roots) if n in needed]
