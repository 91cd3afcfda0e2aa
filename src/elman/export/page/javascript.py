"""A cell's equation as JavaScript: one function that makes the step of all units, with the cell's own names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from elman.recurrent.kernels.graph import Node, ordered
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.plan import Equation

ARGUMENTS = ("x", "r", "s", "p", "gate", "after", "y", "q")
GROUPS = {"x": "gates", "r": "recurrent", "s": "fields", "p": "vectors"}
# What no local may be called: reserved words, the arguments, the unit j, and the functions of maths.js.
TAKEN = frozenset(
    [
        "arguments",
        "as",
        "async",
        "await",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "debugger",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "eval",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "from",
        "function",
        "get",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "interface",
        "let",
        "new",
        "null",
        "of",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "set",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "undefined",
        "var",
        "void",
        "while",
        "with",
        "yield",
        "NaN",
        "Infinity",
        "j",
    ]
).union(ARGUMENTS, (word for one in OPERATIONS.values() for word in re.findall(r"[A-Za-z]\w*", one.js)))
LONGEST = 72  # characters of an expression; what would be longer gets a name
LOOSEST, TIGHTEST = 0, 20
# How tightly an operator binds, as JavaScript's grammar says. The first that a form contains decides.
BINDING = (
    (r"^\w+\(", TIGHTEST),
    (r" \? ", 2),
    (r" \|\| ", 3),
    (r" && ", 4),
    (r" [!=]== ", 8),
    (r" [<>]=? ", 9),
    (r" [+-] ", 11),
    (r" [*/%] ", 12),
    (r"^[-!]", 14),
)


@dataclass(frozen=True)
class Function:
    """A step as JavaScript.

    name:       of the function, an identifier
    doc:        of the cell's class
    source:     its lines
    assigned:   line (from 0) -> the names of `quantities` that get their value there
    quantities: name -> (group, index): what the function reads and writes, under the names in its source; the groups
                are its arguments x, r, s, p, gate and after
    members:    group -> the names of its members; `gate` are those that the cell names, `after` those of `s`
    of_state:   "y" and "q" -> an expression of the state s alone, for a state that no step has made
    uses:       the functions of maths.js in it
    """

    name: str
    doc: str
    source: tuple[str, ...]
    assigned: Mapping[int, tuple[str, ...]]
    quantities: Mapping[str, tuple[str, int]]
    members: Mapping[str, tuple[str, ...]]
    of_state: Mapping[str, str]
    uses: frozenset[str]


def function_of(equation: Equation, name: str) -> Function:
    """The step of an equation, for every unit j: x.i[j] and r.i[j] are the halves of gate i, s.h[j] is the state
    before, p.w[j] a vector; it writes gate.i, after.h, the output y and what U multiplies next, q."""
    return _Writer(equation, name).function()


def identifier(text: str) -> str:
    """A name for a function, after a class."""
    return text if text.isidentifier() and text.isascii() and text not in TAKEN else "cell"


class _Writer:
    def __init__(self, equation: Equation, name: str) -> None:
        self.equation, self.name = equation, name
        self.lines: list[str] = []
        self.assigned: dict[int, tuple[str, ...]] = {}
        self.uses: set[str] = set()
        self.text: dict[Node, tuple[str, int]] = {}  # expression, how tightly it binds
        self.locals: set[str] = set()
        self.members = {kind: _members(getattr(equation, of)) for kind, of in GROUPS.items()}
        self.quantities: dict[str, tuple[str, int]] = {
            f"{kind}.{name}": (kind, i) for kind, names in self.members.items() for i, name in enumerate(names)
        }

    def function(self) -> Function:
        equation = self.equation
        nodes = list(ordered(equation.results))
        uses = Counter(a for node in nodes for a in node.args)
        gates = [node for node in nodes if node in equation.names]
        fields: dict[Node, list[int]] = {}
        for i, node in enumerate(equation.after):
            fields.setdefault(node, []).append(i)
        for node in nodes:
            targets = [f"gate.{equation.names[node]}[j]"] if node in equation.names else []
            targets += [f"after.{equation.fields[i]}[j]" for i in fields.get(node, ())]
            self._write(node)
            words = self.text[node][0]
            simple = node.op in ("input", "const")
            if targets:
                number = f"Number({words})" if node.truth else words
                own = "" if simple or node.truth else self._local(self._wish(node, fields))
                chain = " = ".join([*([f"const {own}"] if own else []), *targets, number])
                self._line(chain, node, own, fields)
                if own:
                    self.text[node] = own, TIGHTEST
            elif not simple and (uses[node] > 1 or len(words) > LONGEST):
                own = self._local(f"t{len(self.lines)}")
                self.lines.append(f"    const {own} = {words};")
                self.text[node] = own, TIGHTEST
        for place, node in (("y", equation.y), ("q", equation.q)):
            words = self.text[node][0]
            self.lines.append(f"    {place}[j] = {f'Number({words})' if node.truth else words};")
        head = [f"function {self.name}({', '.join(ARGUMENTS)}) {{", "  for (let j = 0; j < y.length; j++) {"]
        source = (*head, *self.lines, "  }", "}")
        assigned = {line + len(head): names for line, names in self.assigned.items()}
        names = tuple(equation.names[node] for node in gates)
        of_state = {"y": self._of_state(equation.read), "q": self._of_state(equation.seen)}
        return Function(
            self.name,
            equation.doc,
            source,
            assigned,
            self.quantities,
            {**self.members, "gate": names},
            {name: text for name, text in of_state.items() if text},
            frozenset(self.uses),
        )

    def _of_state(self, result: Node | None) -> str:
        """An expression without names; empty if there is none."""
        if result is None:
            return ""
        self.text = {}
        for node in ordered([result]):
            self._write(node)
        return self.text[result][0]

    def _write(self, node: Node) -> None:
        if node.op == "input":
            kind, index = node.value
            self.text[node] = f"{kind}.{self.members[kind][index]}[j]", TIGHTEST
        elif node.op == "const":
            self.text[node] = _number(node.value), TIGHTEST if node.value >= 0 else 14
        else:
            self.text[node] = self._expression(node)

    def _expression(self, node: Node) -> tuple[str, int]:
        form = OPERATIONS[node.op].js
        binds = next(strength for pattern, strength in BINDING if re.search(pattern, form))
        if binds == TIGHTEST:
            self.uses.add(form.partition("(")[0])
        words = []
        for k, argument in enumerate(node.args):
            text, strength = self.text[argument]
            # what binds equally may stand without brackets at the left only: a - b - c is (a - b) - c
            least = LOOSEST if binds == TIGHTEST else binds + (k > 0 or binds in (2, 14))
            words.append(text if strength >= least else f"({text})")
        return form.format(*words), binds

    def _wish(self, node: Node, fields: Mapping[Node, Sequence[int]]) -> str:
        return self.equation.names.get(node) or self.equation.fields[fields[node][0]]

    def _local(self, wish: str) -> str:
        name = wish
        while name in TAKEN or name in self.locals:
            name += "_"
        self.locals.add(name)
        return name

    def _line(self, text: str, node: Node, own: str, fields: Mapping[Node, Sequence[int]]) -> None:
        equation, given = self.equation, []
        if node in equation.names:
            at = [one for one in ordered(equation.results) if one in equation.names].index(node)
            given.append((own or f"gate.{equation.names[node]}", "gate", at))
        for i in fields.get(node, ()):
            given.append((own if own and not given else f"after.{equation.fields[i]}", "after", i))
        for name, group, index in given:
            self.quantities[name] = group, index
        self.assigned[len(self.lines)] = tuple(name for name, _, _ in given)
        self.lines.append(f"    {text};")


def _members(names: Sequence[str]) -> tuple[str, ...]:
    """The names as those of members: c_n for c.n."""
    found: list[str] = []
    for name in names:
        name = name.replace(".", "_")
        while name in found:
            name += "_"
        found.append(name)
    return tuple(found)


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if abs(value) == float("inf"):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).removesuffix(".0")
