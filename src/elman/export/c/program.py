"""A plan as a C program: its parts in the order in which C needs them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from elman.errors import UsageError
from elman.export.c import unicode
from elman.export.c.header import header
from elman.export.c.network import Inputs, Layers, Model, Run, pooled
from elman.export.c.pieces import needed, words_of
from elman.export.c.weights import HEADER, Weights
from elman.layers.plan import Pooled, Table
from elman.recurrent.plan import Affine, Floats, Neighbours, Part, Recurrence, Skip
from elman.tasks.plan import Labels, Next, Plan, Rewriting, Tags

ORDER = (
    "base.c",
    "maths.c",
    "products.c",
    "text.c",
    "tokens.c",
    "network.c",
    "model.c",
    "rows.c",
    "answer.c",
    "rewrite.c",
    "main.c",
)
REMEMBERED = 12 << 20  # bytes


def program(plan: Plan | Rewriting, weights: str, embed: bool, about: Sequence[str]) -> Mapping[str, bytes]:
    """File name -> content. about: paragraphs that say what the model is."""
    writer = Writer(plan, weights, embed)
    source, binary = writer.source(about), writer.binary
    files = {"model.c": source.encode(), "model.h": header(plan, writer.steps, embed).encode()}
    return files if embed else {**files, "model.bin": binary}


class Writer:
    """One program. steps: it can read one token at a time."""

    def __init__(self, plan: Plan | Rewriting, weights: str, embed: bool) -> None:
        self.embed = embed
        text = plan.source if isinstance(plan, Rewriting) else plan.text
        self.model = Model(Weights(weights))
        self.variants = {weights, "embed" if embed else "file", "int8" if weights == "int8" else "other"}
        if weights != "float32":
            self.variants.add("small")
        if text.lowercase:
            self.variants.add("lowercase")
        if text.longest:
            self.variants.add("longest")
        self.roots = {f"+weight_{weights}", "+load"}
        self.steps = False
        self.constants: list[str] = []
        self.filled: dict[str, str] = {}  # what stands for @MARKS@ in the pieces
        self.reads: list[str] = []
        self.network: list[str] = []
        kind = text.tokenizer["kind"]
        self.roots.add(f"+split_{kind}")
        if kind == "subwords":
            self.variants.add("subwords")
            self.model.subwords(text.tokenizer["tokenizer"])
        else:
            self.variants.add("tokens")
            self.roots.add("+split_text")
        if isinstance(plan, Rewriting):
            self._rewriting(plan)
        elif isinstance(plan.answer, Tags):
            self._tags(plan, plan.answer)
        elif isinstance(plan.answer, Labels):
            self._labels(plan, plan.answer)
        else:
            self._next(plan, plan.answer)
        self.roots |= {"+main_begin", "+main_lines", "+main_end"}

    def source(self, about: Sequence[str]) -> str:
        """model.c; afterwards `binary` is model.bin."""
        model = self.model
        fields = "\n".join(f"  {line}" for line in model.fields)
        places = "\n".join(f"  {line}" for line in model.places)
        struct = f"""struct elman_model {{
  void *owned;  // what to free
{fields}
}};

// Sets every field; 0 if what is there cannot be.
static int place(elman_model *m, const unsigned char *bytes) {{
{places}
  return 1;
}}"""
        cells = "\n\n".join(source for _, source in model.cells.values())
        constants = "\n".join(
            [
                f"#define FILE_SIZE ((size_t)UINT64_C({model.weights.file_size}))",
                f"enum {{ HEADER = {HEADER} }};",
                *self.constants,
            ]
        )
        reads, network = "\n\n".join(self.reads), "\n\n".join(self.network)
        generated = "\n".join([struct, cells, reads, network])
        core, tables = self._pieces(generated, {root for root in self.roots if not root.startswith("+main")})
        every, all_tables = self._pieces(generated, self.roots)
        embedded = "static const uint64_t embedded[] = {\n@EMBEDDED@};" if self.embed else ""
        parts = [*core["base.c"], *core["maths.c"], *core["products.c"], *_with_tables(core["text.c"], tables)]
        parts += [*core["tokens.c"], *core["network.c"], cells, struct, embedded, *core["model.c"]]
        parts += [reads, *core["rows.c"], network, *core["answer.c"], *core["rewrite.c"]]
        begin, *main = every["main.c"]
        only = {file: [text for text in texts if text not in core[file]] for file, texts in every.items()}
        more = [text for text in all_tables if text not in tables]
        parts += [begin, *only["base.c"], *_with_tables(only["text.c"], more), *only["tokens.c"], *main]
        text = "\n\n".join([_introduction(about), constants, *(part for part in parts if part)]) + "\n"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        text = text.replace(constants, f"{constants}\n#define FINGERPRINT UINT64_C(0x{number:016x})", 1)
        self.binary = model.weights.file(number)
        if self.embed:
            text = text.replace("@EMBEDDED@", _numbers(self.binary), 1)
        return text

    def _pieces(self, generated: str, roots: set[str]) -> tuple[Mapping[str, list[str]], list[str]]:
        """Those of runtime/ by file, and the tables of characters."""
        variants = frozenset(self.variants)
        found = needed("\n".join([generated, *self.filled.values()]), ORDER, roots, variants)
        used = words_of(
            "\n".join([generated, *self.filled.values(), *(text for texts in found.values() for text in texts)])
        )
        tables = [unicode.predicate(name) for name in unicode.PREDICATES if name in used]
        if "lower_point" in used:
            tables.append(unicode.lower_point())
        found = needed("\n".join([generated, *self.filled.values(), *tables]), ORDER, roots, variants)
        return {file: [self._fill(text) for text in texts] for file, texts in found.items()}, tables

    def _fill(self, text: str) -> str:
        for mark, filling in self.filled.items():
            text = text.replace(mark, filling)
        return text

    # What a task computes

    def _tags(self, plan: Plan, answer: Tags) -> None:
        if plan.text.lowercase or plan.text.tokenizer["kind"] == "subwords":
            raise UsageError("a tagger whose tokens are no parts of the text cannot be written as C")
        inputs = Inputs(self.model, plan.inputs)
        layers = Layers(self.model, plan.layers, inputs.width)
        run = layers.run(carried=False)
        self._head(run, plan.head)
        self.steps = answer.path is None and _causal(plan.layers)
        step = layers.run(carried=True) if self.steps else None
        self._context(layers, step)
        self.reads += [inputs.source(), layers.compute_rows(inputs.width)]
        self.network.append(_network("network", run.lines, run.result.name))
        if step is not None:
            self._head(step, plan.head)
            self.network.append(_network("step_network", step.lines, step.result.name))
            self.roots |= {"+restart", "+step_tags"}
        self._names(answer.labels)
        self.constants.append(f"enum {{ ROW = {layers.row} }};")
        if answer.path is not None:
            self.model.best_path(answer.path, "path")
            self.constants.append(f"enum {{ PATH_SOFTMAX = {int(answer.path.softmax)} }};")
        self.variants |= {"best" if answer.path is None else "path", "many"}
        self.roots |= {"+answers", "+decide_tags", "+main_tags", "+main_plain"}

    def _labels(self, plan: Plan, answer: Labels) -> None:
        model = self.model
        if plan.inputs:
            inputs = Inputs(model, plan.inputs)
            layers = Layers(model, plan.layers, inputs.width)
            run = layers.run(carried=False)
            assert plan.pooled is not None
            run.result = pooled(run, model, plan.pooled)
            self._head(run, plan.head, "p->sequences")
            self.reads += [inputs.source(), layers.compute_rows(inputs.width)]
            self.constants.append(f"enum {{ ROW = {layers.row} }};")
            self._context(layers, None)
            self.network.append(_network("network", run.lines, run.result.name))
        else:
            assert plan.bias is not None
            model.numbers(plan.bias, "bias")
            self.reads.append(CONTEXT.format(fields="", opening="", closing=""))
            self.network.append(BIAS)
        self._names(answer.labels)
        self.variants |= {"several" if answer.several else "one", "many", "nul"}
        if plan.wide is not None:
            self.variants |= {"wide", "edges" if plan.wide.edges else "plain"}
            items = model.strings(plan.wide.items, "wide_items")
            model.table(plan.wide.table, "wide")
            self.constants += [f"enum {{ WIDE_ORDER = {plan.wide.order} }};", f"#define WIDE_ITEMS {items}"]
        self.roots |= {"+answers", "+decide_labels", "+main_labels", "+main_plain"}

    def _next(self, plan: Plan, answer: Next) -> None:
        model = self.model
        (table,) = plan.inputs
        if not isinstance(table, Table) or table.of != "token" or table.items != answer.labels:
            raise UsageError("a language model that does not read its tokens by number cannot be written as C")
        if not _causal(plan.layers):
            raise UsageError("a language model that looks ahead cannot be written as C")
        layers = Layers(model, plan.layers, table.output_size)
        run = layers.run(carried=True)
        self._head(run, plan.head)
        tied = [f"head_{i + 1}_W" for i, one in enumerate(plan.head) if one.W is table.vectors]
        if tied:  # one matrix reads and writes tokens
            read = f"read_column(&c->model->{tied[0]}, words[i].at[0], x + i * {table.output_size})"
        else:
            model.table(table.vectors, "vectors")
            read = f"read_row(&c->model->vectors, words[i].at[0], x + i * {table.output_size})"
        self._context(layers, run, len(answer.labels) + 8)
        self.reads += [TOKEN.format(read=read), layers.compute_rows(table.output_size)]
        self.network.append(_network("network", run.lines, run.result.name))
        self._names(answer.labels)
        self.constants.append(f"enum {{ ROW = {layers.row} }};")
        kind = plan.text.tokenizer["kind"]
        self.variants |= {"next", "single", "carries" if answer.carries else "lines"}
        self.variants |= {"spaces"} if kind in ("space", "words") else {"bytes"} if kind == "subwords" else set()
        self.roots |= {"+restart", "+next", "+sample", "+main_next", "+main_sample"}

    def _rewriting(self, plan: Rewriting) -> None:
        model, attention, size = self.model, plan.attention, len(plan.output.b)
        vector = plan.target_vectors.shape[1]
        model.affine(plan.output, "output")
        target = self._vectors(plan, plan.target_vectors, "target_vectors")
        source = (
            target
            if plan.source_vectors is plan.target_vectors
            else self._vectors(plan, plan.source_vectors, "source_vectors")
        )
        model.strings(plan.source_symbols, "source_symbols")
        if "strings source_symbols;" not in model.fields:  # equal to others
            raise AssertionError
        self._names(plan.target_symbols)
        layers = Layers(model, plan.encoder, vector)
        run = layers.run(carried=False)
        width = run.result.width
        ends = pooled(run, model, Pooled("final"))
        self._context(layers, None, len(plan.source_symbols) + 8)
        read = (
            source.format(symbol="words[i].at[0]", out=f"x + i * {vector}")
            .replace("(m,", "(c->model,")
            .replace("&m->", "&c->model->")
        )
        self.reads += [TOKEN.format(read=read), layers.compute_rows(vector)]
        both = _network("encode_source", [*run.lines, f"*last = {ends.name};"], run.result.name)
        self.network.append(both.replace("float **scores)", "float **scores, float **last)"))
        model.affine(plan.bridge, "bridge")
        lines, start, at, from_start = [], [], 0, 0
        inputs = "x"
        for k, part in enumerate(plan.decoder):
            (one,) = part.directions
            name = f"decoder_{k + 1}"
            model.recurrence(part, name)
            fields, hidden = len(one.equation.fields), one.hidden_size
            lines += [f"float *y{k + 1};", f"TAKE(a, y{k + 1}, count * {hidden});"]
            read = f"&m->{name}, &m->{name}_W, m->{name}_b, {inputs}, count"
            lines.append(f"TRY(decode_layer(a, {read}, states + {at}, STATE, y{k + 1}));")
            inputs = f"y{k + 1}"
            start.append(f"memcpy(first->state + {at}, start + {from_start}, {fields * hidden} * sizeof *start);")
            start.append(
                f"{model.begin_function(one)}(first->state + {at}, first->state + {at + fields * hidden}, first->y);"
            )
            at += (fields + 1) * hidden
            from_start += fields * hidden
        lines.append(f"const float *y = {inputs};")
        written = plan.decoder[-1].output_size
        kind = attention.kind
        maps = {
            "query": None
            if attention.query is None
            else Affine(attention.query, np.zeros(len(attention.query), np.float32))
        }
        maps |= {"key": attention.key, "hidden": attention.hidden, "read": attention.read, "gate": attention.gate}
        maps["features"] = None if plan.features is None else Affine(plan.features, np.zeros(vector, np.float32))
        for name, one_map in maps.items():
            if one_map is not None:
                model.affine(one_map, name)
        self.variants |= {"single", "nul", kind, "attention" if kind != "none" else "blind"}
        if kind in ("dot", "general", "additive"):
            self.variants |= {"soft", "tanh"}
        if kind in ("dot", "general"):
            self.variants.add("product")
        if kind != "hard":
            self.variants.add("softened")
        if kind != "none":
            self.variants |= {"key", "keysame" if attention.key is None else "keymap"}
        if kind in ("dot", "general", "hard"):
            self.variants.add("plainquery" if attention.query is None else "query")
        if kind == "none" and attention.none_tanh:
            self.variants.add("tanh")
        if attention.gate is not None:
            self.variants |= {"copy", "hardcopy" if kind == "hard" else "softcopy"}
        if attention.moves is not None:
            self.variants |= {"monotonic"} | ({"moncopy"} if attention.gate is not None else set())
            model.numbers(attention.moves, "moves")
            self.constants.append(f"enum {{ MOVES = {len(attention.moves)} }};")
        else:
            self.variants.add("anywhere" if kind == "hard" else "steady")
        if attention.v is not None:
            model.numbers(attention.v, "attention_v")
        self.variants |= {
            name
            for name, used in (
                ("feeding", plan.input_feeding),
                ("feedback", plan.output_feedback),
                ("features", plan.features is not None),
            )
            if used
        }
        joined = plan.target.tokenizer["kind"]
        self.variants |= (
            {"bytes"} if joined == "subwords" else {"joined", "spaces"} if joined in ("space", "words") else {"joined"}
        )
        keyed = width if attention.key is None else len(attention.key.b)
        sizes = {
            "ROW": layers.row,
            "WIDTH": width,
            "KEYS": keyed if attention.v is None else len(attention.v),
            "HIDDEN": len(attention.hidden.b),
            "VECTOR": vector,
            "SYMBOLS": size,
            "WRITTEN": written,
            "STATE": at,
            "BRIDGE": from_start,
            "DECODER": plan.decoder[0].directions[0].W.shape[0],
            "BEAM": plan.beam,
            "LONGEST_TARGET": plan.longest,
        }
        self.constants.append("enum { " + ", ".join(f"{name} = {value}" for name, value in sizes.items()) + " };")
        self.constants.append(f"#define LENGTH_PENALTY {float(plan.length_penalty)!r}")
        self.filled = {
            "@TARGET@": target.format(symbol="symbol", out="out"),
            "@LAYERS@": "\n".join(f"  {line}" for line in lines),
            "@START@": "\n".join(f"  {line}" for line in start),
        }
        if plan.features is not None:
            text = source.format(symbol="symbol", out="out")
            self.network.append(
                f"static void source_vector(const elman_model *m, size_t symbol, float *out) {{ {text}; }}"
            )
        self.roots |= {"+rewrite", "+main_rewrite", "+main_plain"}

    def _vectors(self, plan: Rewriting, vectors: Floats, name: str) -> str:
        """How a vector is read: from the matrix that writes symbols, if that is the same."""
        if plan.output.W is vectors:
            return "read_column(&m->output_W, {symbol}, {out})"
        self.model.table(vectors, name)
        return f"read_row(&m->{name}, {{symbol}}, {{out}})"

    def _head(self, run: Run, head: Sequence[Affine], rows: str = "p->rows") -> None:
        """The scores, as the run's result."""
        for i, one in enumerate(head):
            name = f"head_{i + 1}"
            if f"matrix {name}_W;" not in self.model.fields:
                self.model.affine(one, name)
            run.result = run.affine(one, name, run.result, rows)

    def _names(self, labels: Sequence[str]) -> None:
        name = self.model.strings(labels, "labels")
        if name != "labels":
            self.model.fields.append("strings labels;")
            self.model.places.append(f"m->labels = m->{name};")
        self.constants.append(f"enum {{ LABELS = {len(labels)} }};")

    def _context(self, layers: Layers, step: Run | None, items: int = 0) -> None:
        """step: what is carried from step to step, if anything is; items: how many rows there can be, if known"""
        fields = ["remembered words;  // rows that are known"]
        opening = ["if (open_remembered(&c->words, ROW, REMEMBERED, MOST_REMEMBERED) != ELMAN_OK) return ELMAN_MEMORY;"]
        closing = ["close_remembered(&c->words);"]
        self.constants.append(f"enum {{ REMEMBERED = {REMEMBERED}, MOST_REMEMBERED = {items or 1 << 20} }};")
        if step is not None:
            begins = []
            sides = layers.states()
            kinds = {
                "state": [len(one.state) * one.hidden_size for _, one in sides],
                "seen": [len(one.seen) * one.hidden_size for _, one in sides],
                "window": step.windows,
            }
            for name, sizes in kinds.items():
                if sizes:
                    fields.append(f"float *{name}[{len(sizes)}];")
                for k, size in enumerate(sizes):
                    opening.append(
                        f"if ((c->{name}[{k}] = calloc({max(size, 1)}, sizeof(float))) == NULL) return ELMAN_MEMORY;"
                    )
                    closing.append(f"free(c->{name}[{k}]);")
            for k, (side, _) in enumerate(sides):
                begins.append(f"begin(&c->model->{side}, 1, c->state[{k}], c->seen[{k}]);")
            for k, size in enumerate(step.windows):
                begins.append(f"memset(c->window[{k}], 0, {size} * sizeof(float));")
            if items:
                fields += [
                    "uint32_t last;       // the token that is read next",
                    "uint64_t random[4];  // where drawing is",
                ]
                begins.append("c->last = ELMAN_END;")
                opening.append("elman_seed(c, 0);")
            opening.append("begin_all(c);")
        else:
            begins = []
        text = CONTEXT.format(
            fields="".join(f"  {line}\n" for line in fields),
            opening="".join(f"  {line}\n" for line in opening),
            closing="".join(f"  {line}\n" for line in closing),
        )
        if begins:
            body = "".join(f"  {line}\n" for line in begins)
            begin = f"// As if nothing had been read.\nstatic void begin_all(elman_context *c) {{\n{body}}}\n\n"
            text = text.replace("static int open_all", f"{begin}static int open_all", 1)
        self.reads.insert(0, text)


def _causal(parts: Sequence[Part]) -> bool:
    """Whether no step looks ahead."""
    for part in parts:
        if isinstance(part, Recurrence) and any(side.reverse for side in part.directions):
            return False
        if isinstance(part, Neighbours) and part.after:
            return False
        if isinstance(part, Skip) and not _causal(part.parts):
            return False
    return True


def _with_tables(texts: Sequence[str], tables: Sequence[str]) -> list[str]:
    """The tables after the function that searches them, if that is here."""
    at = next((i + 1 for i, text in enumerate(texts) if "static int within(" in text), 0)
    return [*texts[:at], *tables, *texts[at:]]


CONTEXT = """// What one caller computes with.
struct elman_context {{
  const elman_model *model;
  arena kept, scratch, inner;  // until the next call; of some texts; of some words
{fields}}};

static int open_all(elman_context *c) {{
{opening}  return c->model == NULL ? ELMAN_ARGUMENT : ELMAN_OK;
}}

int elman_open(const elman_model *model, elman_context **context) {{
  if (context == NULL) return ELMAN_ARGUMENT;
  *context = NULL;
  if (model == NULL) return ELMAN_ARGUMENT;
  elman_context *c = calloc(1, sizeof *c);
  if (c == NULL) return ELMAN_MEMORY;
  c->model = model;
  const int status = open_all(c);
  if (status != ELMAN_OK)
    elman_close(c);
  else
    *context = c;
  return status;
}}

void elman_close(elman_context *c) {{
  if (c == NULL) return;
  release(&c->kept);
  release(&c->scratch);
  release(&c->inner);
{closing}  free(c);
}}"""

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


def _network(name: str, lines: Sequence[str], result: str) -> str:
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


def _introduction(about: Sequence[str]) -> str:
    import textwrap

    lines = [line for paragraph in about for line in textwrap.wrap(re.sub(r"[*`\\\[\]]", "", paragraph), 110)]
    said = "\n".join(f"// {line}" for line in lines)
    return f"""// A trained model, written by elman. model.h says how to use it. As a program of its own:
//   cc -O3 -march=native -DELMAN_MAIN model.c -lm -o model
//
{said}

#include "model.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
// Loops become vectors; a product and a sum one rounding.
#pragma GCC optimize("fp-contract=fast", "no-trapping-math", "no-math-errno")
#endif"""


def _numbers(binary: bytes) -> str:
    values = np.frombuffer(binary, "<u8")
    rows = []
    for i in range(0, len(values), 6):
        rows.append("  " + ", ".join(f"0x{int(value):x}" for value in values[i : i + 6]) + ",")
    return "\n".join(rows) + "\n"
