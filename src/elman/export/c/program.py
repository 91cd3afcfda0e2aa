"""A plan as a C program: its parts in the order in which C needs them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from elman.errors import UsageError
from elman.export.c import unicode
from elman.export.c.header import header
from elman.export.c.network import Inputs, Layers, Model, Run
from elman.export.c.pieces import needed, words_of
from elman.export.c.weights import HEADER, Weights
from elman.tasks.plan import Plan, Tags

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
    "main.c",
)
REMEMBERED = 12 << 20  # bytes


def program(plan: Plan, weights: str, embed: bool, about: Sequence[str]) -> Mapping[str, bytes]:
    """File name -> content. about: paragraphs that say what the model is."""
    writer = Writer(plan, weights, embed)
    source, binary = writer.source(about), writer.binary
    files = {"model.c": source.encode(), "model.h": header(plan, writer.steps, embed).encode()}
    return files if embed else {**files, "model.bin": binary}


class Writer:
    """One program. steps: it can read one token at a time."""

    def __init__(self, plan: Plan, weights: str, embed: bool) -> None:
        self.plan, self.embed = plan, embed
        self.model = Model(Weights(weights))
        self.variants = {weights, "embed" if embed else "file", "int8" if weights == "int8" else "other"}
        if weights != "float32":
            self.variants.add("small")
        if plan.text.lowercase:
            self.variants.add("lowercase")
        if plan.text.longest:
            self.variants.add("longest")
        self.roots = {f"weight_{weights}", "load"}
        self.steps = False
        self.constants: list[str] = []
        self.reads: list[str] = []
        self.network: list[str] = []
        kind = plan.text.tokenizer["kind"]
        self.roots.add(f"split_{kind}")
        if isinstance(plan.answer, Tags):
            self._tags()
        else:
            raise UsageError(f"a model of kind {plan.task} {plan.model} cannot be written as C yet")

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
        variants = frozenset(self.variants)
        generated = "\n".join([struct, cells, reads, network])
        found = needed(generated, ORDER, self.roots, variants)
        used = words_of("\n".join([generated, *(text for texts in found.values() for text in texts)]))
        tables = [unicode.predicate(name) for name in unicode.PREDICATES if name in used]
        if "lower_point" in used:
            tables.append(unicode.lower_point())
        found = needed("\n".join([generated, *tables]), ORDER, self.roots, variants)
        parts = [*found["base.c"], *found["maths.c"], *found["products.c"]]
        texts = list(found["text.c"])
        if tables:
            within = next(i for i, text in enumerate(texts) if "static int within(" in text)
            texts = [*texts[: within + 1], *tables, *texts[within + 1 :]]
        parts += [*texts, *found["tokens.c"], *found["network.c"], cells, struct]
        embedded = "static const uint64_t embedded[] = {\n@EMBEDDED@};" if self.embed else ""
        parts += [embedded, *found["model.c"], reads, *found["rows.c"], network, *found["answer.c"], *found["main.c"]]
        text = "\n\n".join([_introduction(self.plan, about), constants, *(part for part in parts if part)]) + "\n"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        text = text.replace(constants, f"{constants}\n#define FINGERPRINT UINT64_C(0x{number:016x})", 1)
        self.binary = model.weights.file(number)
        if self.embed:
            text = text.replace("@EMBEDDED@", _numbers(self.binary), 1)
        return text

    # What a task computes

    def _tags(self) -> None:
        plan, model, answer = self.plan, self.model, self.plan.answer
        assert isinstance(answer, Tags)
        if plan.text.lowercase or plan.text.tokenizer["kind"] == "subwords":
            raise UsageError("a tagger whose tokens are no parts of the text cannot be written as C")
        inputs = Inputs(model, plan.inputs)
        layers = Layers(model, plan.layers, inputs.width)
        run = layers.run(carried=False)
        self._head(run)
        self._context(layers, [])
        self._reads(inputs, layers)
        self.network.append(_network(run, "p->rows"))
        self._labels(answer.labels)
        self.constants.append(f"enum {{ ROW = {layers.row}, LABELS = {len(answer.labels)} }};")
        if answer.path is not None:
            model.best_path(answer.path, "path")
            self.variants.add("path")
            self.constants.append(f"enum {{ PATH_SOFTMAX = {int(answer.path.softmax)} }};")
        else:
            self.variants.add("best")
        self.roots |= {"answers", "decide_tags", "main_tags", "main_lines", "main_plain"}

    def _head(self, run: Run) -> None:
        """The scores, as the run's result."""
        for i, one in enumerate(self.plan.head):
            name = f"head_{i + 1}"
            self.model.affine(one, name)
            run.result = run.affine(one, name, run.result)

    def _reads(self, inputs: Inputs, layers: Layers) -> None:
        self.reads += [inputs.source(), layers.compute_rows(inputs.width)]

    def _labels(self, labels: Sequence[str]) -> None:
        name = self.model.strings(labels, "labels")
        if name != "labels":
            self.model.fields.append("strings labels;")
            self.model.places.append(f"m->labels = m->{name};")

    def _context(self, layers: Layers, windows: Sequence[int]) -> None:
        self.reads.append("""// What one caller computes with.
struct elman_context {
  const elman_model *model;
  arena kept, scratch, inner;  // until the next call; of some texts; of some words
  remembered words;
};

int elman_open(const elman_model *model, elman_context **context) {
  if (context == NULL) return ELMAN_ARGUMENT;
  *context = NULL;
  if (model == NULL) return ELMAN_ARGUMENT;
  elman_context *c = calloc(1, sizeof *c);
  if (c == NULL) return ELMAN_MEMORY;
  c->model = model;
  if (open_remembered(&c->words, ROW, REMEMBERED, MOST_REMEMBERED) != ELMAN_OK) {
    elman_close(c);
    return ELMAN_MEMORY;
  }
  *context = c;
  return ELMAN_OK;
}

void elman_close(elman_context *c) {
  if (c == NULL) return;
  release(&c->kept);
  release(&c->scratch);
  release(&c->inner);
  close_remembered(&c->words);
  free(c);
}""")
        self.constants.append(f"enum {{ REMEMBERED = {REMEMBERED}, MOST_REMEMBERED = 1 << 20 }};")


def _network(run: Run, rows: str) -> str:
    body = "\n".join(f"  {line}" for line in run.lines)
    return f"""// The scores of every token.
static int network(elman_context *c, const packing *p, const word *words, float **scores) {{
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
{body}
  *scores = {run.result.name};
  return ELMAN_OK;
}}"""


def _introduction(plan: Plan, about: Sequence[str]) -> str:
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
