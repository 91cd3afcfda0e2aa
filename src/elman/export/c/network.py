"""A plan's network as C: what the model holds, and what is computed from a word to the scores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.export.c.cells import state_function, step_function
from elman.export.c.weights import TILE, TYPES, Weights, placed
from elman.layers.features import KINDS
from elman.layers.plan import BestPath, Ends, Input, Pooled, Spelled, Table
from elman.recurrent.plan import Affine, Direction, Floats, Neighbours, Part, Recurrence, Skip

AFFIX = re.compile(r"(prefix|suffix)(\d+)")


@dataclass
class Model:
    """What lies in model.bin, as fields of `struct elman_model` and the statements that set them."""

    weights: Weights
    fields: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    cells: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)  # (equation, hidden) -> name, source
    _strings: dict[tuple[str, ...], str] = field(default_factory=dict)
    _maps: dict[int, tuple[Floats, str]] = field(default_factory=dict)

    def strings(self, items: Sequence[str], name: str) -> str:
        """The name of a table of strings; that of an equal one, if there is one."""
        key = tuple(items)
        if key not in self._strings:
            self._strings[key] = name
            content, starts, slots, size, count = self.weights.strings(key)
            self._set(
                "strings",
                name,
                f"{{{_at('unsigned char', content)}, {_at('uint32_t', starts)}, "
                f"{_at('uint32_t', slots)}, {len(key)}, {count}}}",
            )
            self.places.append(f"if (!valid_strings(&m->{name}, {size})) return 0;")
        return self._strings[key]

    def table(self, values: Floats, name: str) -> None:
        """Rows that are looked up."""
        place, scale = self.weights.weights(values)
        self._set("table", name, f"{{{self._stored(place, scale)}, {values.shape[0]}, {values.shape[1]}}}")

    def matrix(self, values: Floats, name: str) -> int:
        """A map (in, out), of any number of columns; returns how many it is stored with."""
        wide = padded(values)
        place, scale = self.weights.matrix(wide)
        self._set("matrix", name, f"{{{self._stored(place, scale)}, {wide.shape[0]}, {wide.shape[1]}}}")
        return int(wide.shape[1])

    def numbers(self, values: NDArray[Any], name: str, kind: str = "float") -> None:
        """An array as it is."""
        place = self.weights.array(values)
        self.fields.append(f"const {kind} *{name};")
        self.places.append(f"m->{name} = {_at(kind, place)};")

    def subwords(self, stored: Mapping[str, Any]) -> None:
        """Byte-pair encoding, as the package tokenizers stores it. Raises UsageError for what elman never trains."""
        pieces, model = stored["pre_tokenizer"], stored["model"]
        plain: dict[str, Any] = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
        plain |= {"end_of_word_suffix": None, "byte_fallback": False, "ignore_merges": False}
        usual = pieces["type"] == "ByteLevel" and pieces["use_regex"] and not pieces["add_prefix_space"]
        if stored["added_tokens"] or stored["normalizer"] or not usual or any(model[k] != v for k, v in plain.items()):
            raise UsageError("expected subwords that elman trained, found others, which cannot be written as C")
        number = model["vocab"]
        plain_bytes = [byte for byte in range(256) if 32 < byte < 127 or (byte > 160 and byte != 173)]
        others = [byte for byte in range(256) if byte not in plain_bytes]
        of = {byte: chr(byte) for byte in plain_bytes} | {byte: chr(256 + i) for i, byte in enumerate(others)}
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        rows = np.array([(number[a], number[b], number[a + b]) for a, b in merges], np.uint32).reshape(-1, 3)
        slots = 16
        while slots < 2 * len(rows):
            slots *= 2
        hashed = (rows[:, 0] * np.uint32(0x9E3779B1)) ^ (rows[:, 1] * np.uint32(0x85EBCA77))
        hashed ^= hashed >> np.uint32(15)
        table = placed((hashed & np.uint32(slots - 1)).tolist(), slots)
        first = np.array([number[of[byte]] for byte in range(256)], np.uint32)
        places = ", ".join(_at("uint32_t", self.weights.array(values)) for values in (first, rows, table))
        self._set("encoding", "subwords", f"{{{places}, {len(rows)}, {slots}, {max(number.values()) + 1}}}")
        self.places.append("if (!valid_encoding(&m->subwords)) return 0;")

    def affine(self, one: Affine, name: str) -> int:
        """W transposed and b, as NAME_W and NAME_b. One W that is used twice is stored once."""
        known = self._maps.get(id(one.W))
        if known is None:
            self._maps[id(one.W)] = one.W, f"{name}_W"
            self.matrix(np.ascontiguousarray(one.W.T), f"{name}_W")
        else:
            self.fields.append(f"matrix {name}_W;")
            self.places.append(f"m->{name}_W = m->{known[1]};")
        self.numbers(padded(one.b[None])[0], f"{name}_b")
        return -(-len(one.b) // TILE) * TILE

    def recurrence(self, one: Recurrence, name: str) -> list[str]:
        """Its directions, whose gates lie side by side in the rows x W + b; their names."""
        sides = one.directions
        wide = [padded(side.W) for side in sides]
        self.matrix(np.concatenate(wide, 1), f"{name}_W")
        self.numbers(np.concatenate([padded(side.b[None])[0] for side in sides]), f"{name}_b")
        names, column = [], 0
        for side, W in zip(sides, wide, strict=True):
            own = name if len(sides) == 1 else f"{name}_{'backward' if side.reverse else 'forward'}"
            if own in names:
                own += "_too"
            self._direction(side, own, column)
            names.append(own)
            column += W.shape[1]
        return names

    def _direction(self, one: Direction, name: str, column: int) -> None:
        equation, hidden = one.equation, one.hidden_size
        key = equation.key, hidden
        if key not in self.cells:
            plain = re.sub(r"\W", "_", equation.name, flags=re.ASCII).lower()
            taken = [known for known, _ in self.cells.values()]
            function = f"step_{plain}_{hidden}"
            while function in taken:
                function += "_too"
            self.cells[key] = function, step_function(equation, hidden, function)
        U = "NULL"
        if equation.recurrent:
            self.matrix(one.U, f"{name}_U")
            U = f"&m->{name}_U"
        arrays = []
        for values in (one.vectors, one.state, one.seen, one.output):
            arrays.append(_at("float", self.weights.array(values)))
        self._set(
            "direction",
            name,
            f"{{{self.cells[key][0]}, {hidden}, {len(equation.fields)}, {len(equation.recurrent)}, {equation.delays}, "
            f"{column}, {int(one.reverse)}, {U}, {', '.join(arrays)}}}",
        )

    def begin_function(self, one: Direction) -> str:
        """The name of the function that begins from a given state. Raises UsageError where there is none."""
        equation, key = one.equation, (one.equation.key, one.hidden_size)
        if equation.read is None or (equation.recurrent and equation.seen is None) or equation.delays > 1:
            raise UsageError(
                f"a decoder whose cell is {equation.name} cannot be written as C: its steps need more than a state"
            )
        name, source = self.cells[key]
        begin = name.replace("step_", "begin_", 1)
        if begin not in source:
            self.cells[key] = name, f"{source}\n\n{state_function(equation, one.hidden_size, begin)}"
        return begin

    def best_path(self, one: BestPath, name: str) -> None:
        places = [
            _at("double", self.weights.array(np.asarray(v, np.float64))) for v in (one.start, one.transitions, one.end)
        ]
        self._set("chain", name, f"{{{', '.join(places)}}}")

    def _stored(self, place: int, scale: int) -> str:
        stored = _at(TYPES[self.weights.kind], place)
        return f"{stored}, {_at('float', scale)}" if self.weights.kind == "int8" else stored

    def _set(self, kind: str, name: str, value: str) -> None:
        self.fields.append(f"{kind} {name};")
        self.places.append(f"m->{name} = ({kind}){value};")


def padded(values: Floats) -> Floats:
    """With columns of zeros up to a multiple of TILE."""
    missing = -values.shape[1] % TILE
    return np.pad(values, ((0, 0), (0, missing))) if missing else values


def _at(kind: str, place: int) -> str:
    return f"(const {kind} *)(bytes + {place})"


class Inputs:
    """The vector of a word, the inputs of the plan side by side."""

    def __init__(self, model: Model, inputs: Sequence[Input]) -> None:
        self.width = sum(one.output_size for one in inputs)
        self._lines: list[str] = []  # for word i
        self._after: list[str] = []  # for all words
        self._forms: set[str] = set()
        column = 0
        for i, one in enumerate(inputs):
            name = f"input_{i + 1}"
            if isinstance(one, Table):
                self._table(model, one, name, column)
            else:
                items = model.strings(one.items, f"{name}_items")
                model.table(one.vectors, f"{name}_vectors")
                if isinstance(one, Spelled):
                    self._spelled(model, one, name, items, column)
                else:
                    self._ends(one, name, items, column)
            column += one.output_size

    def source(self) -> str:
        """`inputs_of(c, words, count, x)`: x (count, width)."""
        before = []
        if self._forms & {"low", "given"}:
            before.append("word low;")
            before.append("TRY(lower(&c->inner, w, &low));")
        if "outline" in self._forms:
            before.append("word outline;")
            before.append("TRY(shape(&c->inner, w, &outline));")
        if "form" in self._forms:
            before.append("word form;")
        lines = [*before, *self._lines]
        loop = ""
        if lines:
            body = "\n".join(f"    {line}" for line in lines)
            loop = f"""  for (size_t i = 0; i < count; i++) {{
    const word *w = &words[i];
    float *row = x + i * {self.width};
{body}
  }}
"""
        after = "".join(f"  {line}\n" for line in self._after)
        return f"""// What is known about words, side by side: x (count, {self.width}).
static int inputs_of(elman_context *c, const word *words, size_t count, float *x) {{
  const elman_model *m = c->model;
{loop}{after}  return ELMAN_OK;
}}"""

    def _table(self, model: Model, one: Table, name: str, column: int) -> None:
        items = f"&m->{model.strings(one.items, f'{name}_items')}"
        model.table(one.vectors, name)
        affix = AFFIX.fullmatch(one.of)
        if one.of == "token":
            row = f"row_of({items}, w)"
        elif one.of == "given":
            self._forms.add("given")
            row = f"row_of({items}, w) ? row_of({items}, w) : row_of({items}, &low)"
        elif one.of == "lower":
            self._forms.add("low")
            row = f"row_of({items}, &low)"
        elif one.of == "shape":
            self._forms.add("outline")
            row = f"row_of({items}, &outline)"
        else:
            assert affix is not None and one.of in KINDS, one.of
            self._forms |= {"low", "form"}
            self._lines.append(f"form = {affix[1]}(&low, {affix[2]});")
            row = f"row_of({items}, &form)"
        self._lines.append(f"read_row(&m->{name}, {row}, row + {column});  // {one.of}")

    def _spelled(self, model: Model, one: Spelled, name: str, items: str, column: int) -> None:
        sides = model.recurrence(one.layer, f"{name}_layer")
        both = ", ".join(f"&m->{side}" for side in sides)
        self._after.append(
            f"const spelling {name} = {{&m->{items}, &m->{name}_vectors, &m->{name}_layer_W, m->{name}_layer_b, "
            f"{{{both}}}, {len(sides)}, {one.longest}}};"
        )
        self._after.append(f"TRY(spell(&c->inner, &{name}, words, count, x + {column}, {self.width}));")

    def _ends(self, one: Ends, name: str, items: str, column: int) -> None:
        self._lines.append(
            f"TRY(spelled_ends(&c->inner, &m->{items}, &m->{name}_vectors, {one.longest}, {one.length}, w, "
            f"row + {column}));"
        )


@dataclass
class Rows:
    """Where numbers are while a network runs: `name`, rows `width` apart, read through `index` unless that is NULL."""

    name: str
    width: int
    index: str = "NULL"


class Layers:
    """The layers as statements. What a step leaves for the next one is in the context, in numbered states.

    projected: the first layer's x W + b is what is known of each word"""

    def __init__(self, model: Model, layers: Sequence[Part], width: int) -> None:
        self.model, self.layers = model, layers
        self.projected = bool(layers) and isinstance(layers[0], Recurrence)
        self._names: dict[int, str] = {}
        self._sides: dict[int, list[str]] = {}  # of a recurrence: the names of its directions
        self._count = 0
        self._register(layers, width)
        self.row = self._first_width() if self.projected else width

    def _register(self, parts: Sequence[Part], width: int) -> None:
        for part in parts:
            self._count += 1
            name = f"layer_{self._count}"
            self._names[id(part)] = name
            if isinstance(part, Recurrence):
                self._sides[id(part)] = self.model.recurrence(part, name)
            elif isinstance(part, Affine):
                self.model.affine(part, name)
            elif isinstance(part, Skip):
                self._register(part.parts, width)

    def _first_width(self) -> int:
        (first,) = self.layers[:1]
        assert isinstance(first, Recurrence)
        return self._wide(first)

    @staticmethod
    def _wide(part: Recurrence) -> int:
        return sum(-(-side.W.shape[1] // TILE) * TILE for side in part.directions)

    def compute_rows(self, inputs: int) -> str:
        """`compute_rows(c, words, count, out)`: what is known of words, (count, row)."""
        if not self.projected:
            return """static int compute_rows(elman_context *c, const word *words, size_t count, float *out) {
  return inputs_of(c, words, count, out);
}"""
        name = self._names[id(self.layers[0])]
        return f"""// The gates' input half of words: inputs W + b of the first layer, (count, {self.row}).
static int compute_rows(elman_context *c, const word *words, size_t count, float *out) {{
  float *x;
  TAKE(&c->inner, x, count * {inputs});
  TRY(inputs_of(c, words, count, x));
  product(&c->model->{name}_W, c->model->{name}_b, x, {inputs}, count, out);
  return ELMAN_OK;
}}"""

    def run(self, carried: bool) -> Run:
        """The statements. carried: the states before and after are in the context."""
        return Run(self, carried)

    def states(self) -> list[tuple[str, Direction]]:
        """The directions in the order of their states."""
        found: list[tuple[str, Direction]] = []

        def walk(parts: Sequence[Part]) -> None:
            for part in parts:
                if isinstance(part, Recurrence):
                    found.extend(zip(self._sides[id(part)], part.directions, strict=True))
                elif isinstance(part, Skip):
                    walk(part.parts)

        walk(self.layers)
        return found


class Run:
    """One way through the layers."""

    def __init__(self, layers: Layers, carried: bool) -> None:
        self._layers, self._carried = layers, carried
        self.lines: list[str] = []
        self.ends: tuple[Recurrence, list[str], Rows] | None = None
        self.windows: list[int] = []  # what is kept of earlier steps, when states are carried
        self._made = 0
        self._direction = 0
        at = Rows("rows", layers.row, "index")
        for i, part in enumerate(layers.layers):
            at = self._part(part, at, projected=i == 0 and layers.projected)
        self.result = at

    def affine(self, one: Affine, name: str, x: Rows, rows: str = "p->rows", model: Model | None = None) -> Rows:
        """A map of every row, closely packed."""
        x = self._spread(x)
        outputs = len(one.b)
        y = self._take(f"{rows} * {outputs}", outputs)
        self.lines.append(f"TRY(affine(a, &m->{name}_W, m->{name}_b, {x.name}, {rows}, {outputs}, {y.name}));")
        if one.activation:
            self.lines.append(f"{one.activation}_all({y.name}, {rows} * {outputs});")
        return y

    def _part(self, part: Part, x: Rows, projected: bool = False) -> Rows:
        names = self._layers._names
        if isinstance(part, Recurrence):
            return self._recurrence(part, x, projected)
        if isinstance(part, Neighbours):
            return self._neighbours(part, x)
        if isinstance(part, Affine):
            return self.affine(part, names[id(part)], x)
        assert isinstance(part, Skip)
        x = y = self._spread(x)
        for inner in part.parts:
            y = self._part(inner, y)
        if y.name == x.name:
            return self._doubled(x)
        self.lines.append(f"add_all({x.name}, p->rows * {x.width}, {y.name});")
        return y

    def _doubled(self, x: Rows) -> Rows:
        y = self._take(f"p->rows * {x.width}", x.width)
        self.lines.append(f"memcpy({y.name}, {x.name}, p->rows * {x.width} * sizeof(float));")
        self.lines.append(f"add_all({x.name}, p->rows * {x.width}, {y.name});")
        return y

    def _recurrence(self, part: Recurrence, x: Rows, projected: bool) -> Rows:
        names = self._layers._names
        name, wide = names[id(part)], self._layers._wide(part)
        if not projected:
            x = self._spread(x)
            gates = self._take(f"p->rows * {wide}", wide)
            self.lines.append(f"product(&m->{name}_W, m->{name}_b, {x.name}, {x.width}, p->rows, {gates.name});")
            x = gates
        y = self._take(f"p->rows * {part.output_size}", part.output_size)
        column = 0
        for side, direction in zip(self._layers._sides[id(part)], part.directions, strict=True):
            out = y.name if column == 0 else f"{y.name} + {column}"
            if self._carried:
                k = self._direction
                self.lines.append(
                    f"TRY(run(a, &m->{side}, p, {x.name}, {x.width}, {x.index}, c->state[{k}], c->seen[{k}], {out}, "
                    f"{y.width}, 0));"
                )
            else:
                self.lines.append(f"TRY(fresh(a, &m->{side}, p, {x.name}, {x.width}, {x.index}, {out}, {y.width}));")
            self._direction += 1
            column += direction.hidden_size
        self.ends = part, self._layers._sides[id(part)], y
        return y

    def _neighbours(self, part: Neighbours, x: Rows) -> Rows:
        each = part.before + 1 + part.after
        y = self._take(f"p->rows * {x.width * each}", x.width * each)
        if self._carried:
            x = self._spread(x)
            k = len(self.windows)
            self.windows.append(part.before * x.width)
            self.lines.append(f"slide(c->window[{k}], {part.before * x.width}, {x.name}, {x.width}, {y.name});")
        else:
            self.lines.append(f"neighbours(p, {x.name}, {x.width}, {part.before}, {part.after}, {x.index}, {y.name});")
        return y

    def _spread(self, x: Rows) -> Rows:
        if x.index == "NULL":
            return x
        y = self._take(f"p->rows * {x.width}", x.width)
        self.lines.append(f"spread(p, {x.name}, {x.width}, {x.index}, {y.name});")
        return y

    def _take(self, count: str, width: int) -> Rows:
        self._made += 1
        name = f"y{self._made}"
        self.lines += [f"float *{name};", f"TAKE(a, {name}, {count});"]
        return Rows(name, width)


def pooled(run: Run, model: Model, how: Pooled) -> Rows:
    """One row for each sequence."""
    if how.how == "final":
        assert run.ends is not None
        part, sides, y = run.ends
        out = run._take(f"p->sequences * {part.output_size}", part.output_size)
        column = 0
        for side, direction in zip(sides, part.directions, strict=True):
            run.lines.append(
                f"final(&m->{side}, p, {y.name} + {column}, {y.width}, {out.name} + {column}, {out.width});"
            )
            column += direction.hidden_size
        return out
    x = run._spread(run.result)
    if how.how == "attention":
        assert how.hidden is not None and how.score is not None
        model.affine(how.hidden, "pooling")
        model.numbers(how.score, "pooling_score")
        hidden = run.affine(how.hidden, "pooling", x)
    out = run._take(f"p->sequences * {x.width}", x.width)
    if how.how == "attention":
        run.lines.append(
            f"pool_weighted(p, {x.name}, {x.width}, {hidden.name}, m->pooling_score, {hidden.width}, {out.name});"
        )
    else:
        run.lines.append(f"pool_{how.how}(p, {x.name}, {x.width}, {out.name});")
    return out


TOKEN = """// The vectors of tokens, which are given by number.
static int inputs_of(elman_context *c, const word *words, size_t count, float *x) {{
  for (size_t i = 0; i < count; i++) {read};
  return ELMAN_OK;
}}"""

BIAS = """// The scores of every text, to which those of its n-grams are added.
static int network(elman_context *c, const packing *p, const word *words, float **scores) {
  (void)words;
  TAKE(&c->scratch, *scores, p->sequences * LABELS);
  for (size_t i = 0; i < p->sequences; i++) memcpy(*scores + i * LABELS, c->model->bias, LABELS * sizeof **scores);
  return ELMAN_OK;
}"""


def network_function(name: str, lines: Sequence[str], result: str) -> str:
    """The statements of a run as a function."""
    body = "\n".join(f"  {line}" for line in lines)
    return f"""// The scores of these tokens or texts.
static int {name}(elman_context *c, const packing *p, const word *words, float **scores) {{
  const elman_model *m = c->model;
  arena *a = &c->scratch;
  uint32_t *index;
  word *each;
  size_t different;
  TAKE(a, index, p->rows);
  TRY(distinct(a, words, p->rows, index, &each, &different));
  float *rows;
  TAKE(a, rows, different * ROW);
  TRY(rows_of(c, each, different, rows));
{{body}}
  *scores = {result};
  return ELMAN_OK;
}}""".replace("{body}", body)
