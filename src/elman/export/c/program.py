"""A plan as a C program: its parts in the order in which C needs them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from elman.errors import UsageError
from elman.export.c import unicode
from elman.export.c.header import header
from elman.export.c.network import BIAS, TOKEN, Inputs, Layers, Run, network_function, pooled
from elman.export.c.parts import CONTEXT, Parts
from elman.export.c.pieces import needed, words_of
from elman.export.c.rewriting import rewriting
from elman.export.c.weights import HEADER
from elman.layers.plan import Table
from elman.recurrent.plan import Affine, Neighbours, Part, Recurrence, Skip
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


def program(plan: Plan | Rewriting, weights: str, embed: bool, about: Sequence[str]) -> Mapping[str, bytes]:
    """File name -> content. about: paragraphs that say what the model is."""
    writer = Writer(plan, weights, embed)
    source, binary = writer.source(about), writer.binary
    files = {"model.c": source.encode(), "model.h": header(plan, writer.steps, embed).encode()}
    return files if embed else {**files, "model.bin": binary}


class Writer(Parts):
    """One program. steps: it can read one token at a time."""

    def __init__(self, plan: Plan | Rewriting, weights: str, embed: bool) -> None:
        super().__init__(weights)
        self.embed, self.steps = embed, False
        text = plan.source if isinstance(plan, Rewriting) else plan.text
        self.variants |= {"embed" if embed else "file"}
        if text.lowercase:
            self.variants.add("lowercase")
        if text.longest:
            self.variants.add("longest")
            self.constants.append(f"enum {{ LONGEST = {text.longest} }};")
        kind = text.tokenizer["kind"]
        self.roots.add(f"+split_{kind}")
        if kind == "subwords":
            self.variants.add("subwords")
            self.model.subwords(text.tokenizer["tokenizer"])
        else:
            self.variants.add("tokens")
            self.roots.add("+split_text")
        if isinstance(plan, Rewriting):
            rewriting(self, plan)
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
        self.context(layers, step)
        self.reads += [inputs.source(), layers.compute_rows(inputs.width)]
        self.network.append(network_function("network", run.lines, run.result.name))
        if step is not None:
            self._head(step, plan.head)
            self.network.append(network_function("step_network", step.lines, step.result.name))
            self.roots |= {"+restart", "+step_tags"}
        self.names(answer.labels)
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
            self.context(layers, None)
            self.network.append(network_function("network", run.lines, run.result.name))
        else:
            assert plan.bias is not None
            model.numbers(plan.bias, "bias")
            self.reads.append(CONTEXT.format(fields="", opening="", closing=""))
            self.network.append(BIAS)
        self.names(answer.labels)
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
        self.context(layers, run, len(answer.labels) + 8)
        self.reads += [TOKEN.format(read=read), layers.compute_rows(table.output_size)]
        self.network.append(network_function("network", run.lines, run.result.name))
        self.names(answer.labels)
        self.constants.append(f"enum {{ ROW = {layers.row} }};")
        kind = plan.text.tokenizer["kind"]
        self.variants |= {"next", "single", "carries" if answer.carries else "lines"}
        self.variants |= {"spaces"} if kind in ("space", "words") else {"bytes"} if kind == "subwords" else set()
        self.roots |= {"+restart", "+next", "+sample", "+main_next", "+main_sample"}

    def _head(self, run: Run, head: Sequence[Affine], rows: str = "p->rows") -> None:
        """The scores, as the run's result."""
        for i, one in enumerate(head):
            name = f"head_{i + 1}"
            if f"matrix {name}_W;" not in self.model.fields:
                self.model.affine(one, name)
            run.result = run.affine(one, name, run.result, rows)


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
