"""What a C program is put together from, whatever its task."""

from __future__ import annotations

from collections.abc import Sequence

from elman.export.c.network import Layers, Model, Run
from elman.export.c.weights import Weights

REMEMBERED = 12 << 20  # bytes of the rows that are known


class Parts:
    """weights: a key of `weights.TYPES`

    model:     what lies in model.bin
    variants:  which lines of the pieces are used; roots: which pieces are needed in any case
    filled:    what stands for the @MARKS@ in pieces
    constants: definitions; reads, network: functions, in the order in which C needs them"""

    def __init__(self, weights: str) -> None:
        self.model = Model(Weights(weights))
        self.variants = {weights, "int8" if weights == "int8" else "other"}
        if weights != "float32":
            self.variants.add("small")
        self.roots = {f"+weight_{weights}", "+load"}
        self.filled: dict[str, str] = {}
        self.constants: list[str] = []
        self.reads: list[str] = []
        self.network: list[str] = []

    def names(self, labels: Sequence[str]) -> None:
        """What an answer consists of."""
        name = self.model.strings(labels, "labels")
        if name != "labels":
            self.model.fields.append("strings labels;")
            self.model.places.append(f"m->labels = m->{name};")
        self.constants.append(f"enum {{ LABELS = {len(labels)} }};")

    def context(self, layers: Layers, step: Run | None, items: int = 0) -> None:
        """step: what is carried from step to step, if anything is; items: how many rows there can be, if known"""
        fields = ["remembered words;  // rows that are known"]
        opening = ["if (open_remembered(&c->words, ROW, REMEMBERED, MOST_REMEMBERED) != ELMAN_OK) return ELMAN_MEMORY;"]
        closing = ["close_remembered(&c->words);"]
        self.constants += [
            "// Bytes of what is remembered of words, in each context; more is faster on a large vocabulary.",
            f"#ifndef ELMAN_REMEMBERED\n#define ELMAN_REMEMBERED {REMEMBERED}\n#endif",
            f"enum {{ REMEMBERED = ELMAN_REMEMBERED, MOST_REMEMBERED = {items or 1 << 20} }};",
        ]
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
