"""An equation as a C function of one row, with the names of its gates."""

from __future__ import annotations

import re

import numpy as np

from elman.recurrent.kernels.graph import Node, ordered
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.plan import Equation

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
CALL = re.compile(r"\w+\(.*\)")  # of the forms of operations


def step_function(equation: Equation, hidden: int, name: str) -> str:
    """`static void NAME(x, r, p, s, y, q)`: see `direction` in runtime/network.c."""
    places = [f"s[{_place(i)}]" for i in range(len(equation.after))] + ["y[u]", "q[u]"]
    lines, kinds = _statements(equation, list(zip(places, equation.results, strict=True)))
    unused = "".join(f"  (void){kind};\n" for kind in "xrp" if kind not in kinds)
    about = "\n".join(f"// {line}".rstrip() for line in equation.doc.replace("\\", "").splitlines())
    body = "\n".join(f"    {line}" for line in lines)
    return f"""// {equation.name}, as its step is written, for one row of {hidden} units.
{about}
static void {name}(const float *restrict x, const float *restrict r, const float *restrict p, float *restrict s,
    float *restrict y, float *restrict q) {{
  enum {{ H = {hidden} }};
{unused}  for (size_t u = 0; u < H; u++) {{
{body}
  }}
}}"""


def state_function(equation: Equation, hidden: int, name: str) -> str:
    """`static void NAME(s, q, y)`: what U multiplies and the output, of a state that no step gave."""
    places = [(place, node) for place, node in (("q[u]", equation.seen), ("y[u]", equation.read)) if node is not None]
    lines, _ = _statements(equation, places)
    unused = "".join(
        f"  (void){place[0]};\n" for place, node in (("q", equation.seen), ("y", equation.read)) if node is None
    )
    body = "\n".join(f"    {line}" for line in lines)
    return f"""// Before the first step of {equation.name}.
static void {name}(const float *restrict s, float *restrict q, float *restrict y) {{
  enum {{ H = {hidden} }};
{unused}  for (size_t u = 0; u < H; u++) {{
{body}
  }}
}}"""


def _statements(equation: Equation, results: list[tuple[str, Node]]) -> tuple[list[str], set[str]]:
    """What sets each place to its node, and of which of x, r, p and s it reads."""
    roots = [node for _, node in results]
    uses: dict[Node, int] = {}
    for node in ordered(roots):
        for argument in node.args:
            # what only one branch reads is still computed ahead of it, so that the loop has no branches
            uses[argument] = uses.get(argument, 0) + (2 if node.op == "where" else 1)
    for node in roots:
        uses[node] = uses.get(node, 0) + 2  # all is read before anything is written
    names = dict(zip(equation.after, equation.fields, strict=True)) | dict(equation.names)
    groups = {"x": equation.gates, "r": equation.recurrent, "s": equation.fields, "p": equation.vectors}
    text: dict[Node, str] = {}
    taken: set[str] = set()
    read: list[str] = []
    lines: list[str] = []
    kinds: set[str] = set()
    infix: set[Node] = set()  # whose text needs parentheses inside another expression
    for node in ordered(roots):
        if node.op == "input":
            kind, index = node.value
            kinds.add(kind)
            text[node] = _new(f"{kind}_{groups[kind][index]}", f"{kind}{index}", taken)
            read.append(f"const float {text[node]} = {kind}[{_place(index)}];")
        elif node.op == "const":
            text[node] = constant(node.value)
        else:
            form = OPERATIONS[node.op].c
            call = CALL.fullmatch(form) is not None
            parts = [f"({text[a]})" if a in infix and not call else text[a] for a in node.args]
            expression = form.format(*parts)
            if uses[node] > 1 or node in names:
                text[node] = _new(f"{names.get(node, '')}_", f"t{len(lines)}", taken)
                lines.append(f"const {'int' if node.truth else 'float'} {text[node]} = {expression};")
            else:
                text[node] = expression
                if not call:
                    infix.add(node)
    for place, node in results:
        lines.append(f"{place} = {text[node]}{' ? 1.0f : 0.0f' if node.truth else ''};")
    return [*read, *lines], kinds


def constant(value: float) -> str:
    """A number as a float of C."""
    with np.errstate(over="ignore", under="ignore"):
        near = float(np.float32(value))
    if near != near:
        return "NAN"
    if abs(near) == float("inf"):
        return "INFINITY" if near > 0 else "(-INFINITY)"
    written = f"{value if near else 0.0!r}f"
    return f"({written})" if written.startswith("-") else written


def _place(index: int) -> str:
    return "u" if index == 0 else "H + u" if index == 1 else f"{index} * H + u"


def _new(name: str, otherwise: str, taken: set[str]) -> str:
    """A name that is not taken, with an underscore: a gate may be called `new`, or like a function."""
    name = name if NAME.fullmatch(name) and name != "_" and name not in taken else otherwise
    while name in taken:
        name += "_"
    taken.add(name)
    return name
