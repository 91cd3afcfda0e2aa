"""An encoder-decoder as C: what runtime/rewrite.c leaves open."""

from __future__ import annotations

import numpy as np

from elman.export.c.network import TOKEN, Layers, network_function, pooled
from elman.export.c.parts import Parts
from elman.layers.plan import Pooled
from elman.recurrent.plan import Affine, Floats
from elman.tasks.plan import Rewriting


def rewriting(parts: Parts, plan: Rewriting) -> None:
    """Add all that it needs to a program. Raises UsageError for a decoder that C cannot begin."""
    model, attention = parts.model, plan.attention
    model.affine(plan.output, "output")
    target = source = _vectors(parts, plan, plan.target_vectors, "target_vectors")
    if plan.source_vectors is not plan.target_vectors:
        source = _vectors(parts, plan, plan.source_vectors, "source_vectors")
    model.strings(plan.source_symbols, "source_symbols")
    parts.names(plan.target_symbols)
    sizes = _encoder(parts, plan, source) | _decoder(parts, plan)
    _maps(parts, plan)
    keys = sizes["WIDTH"] if attention.key is None else len(attention.key.b)
    sizes |= {
        "KEYS": keys if attention.v is None else len(attention.v),
        "HIDDEN": len(attention.hidden.b),
        "VECTOR": plan.target_vectors.shape[1],
        "SYMBOLS": len(plan.output.b),
        "BEAM": plan.beam,
        "LONGEST_TARGET": plan.longest,
    }
    parts.constants.append("enum { " + ", ".join(f"{name} = {value}" for name, value in sizes.items()) + " };")
    parts.constants.append(f"#define LENGTH_PENALTY {float(plan.length_penalty)!r}")
    parts.filled["@TARGET@"] = target.format(symbol="symbol", out="out")
    parts.variants |= {"single", "nul", *_variants(plan)}
    parts.roots |= {"+rewrite", "+main_rewrite", "+main_plain"}


def _vectors(parts: Parts, plan: Rewriting, vectors: Floats, name: str) -> str:
    """How a vector is read: from the matrix that writes symbols, if that is the same."""
    if plan.output.W is vectors:
        return "read_column(&m->output_W, {symbol}, {out})"
    parts.model.table(vectors, name)
    return f"read_row(&m->{name}, {{symbol}}, {{out}})"


def _encoder(parts: Parts, plan: Rewriting, source: str) -> dict[str, int]:
    """`encode_source`, and its sizes."""
    size = plan.source_vectors.shape[1]
    layers = Layers(parts.model, plan.encoder, size)
    run = layers.run(carried=False)
    width = run.result.width
    ends = pooled(run, parts.model, Pooled("final"))
    parts.context(layers, None, len(plan.source_symbols) + 8)
    read = source.format(symbol="words[i].at[0]", out=f"x + i * {size}").replace("&m->", "&c->model->")
    parts.reads += [TOKEN.format(read=read), layers.compute_rows(size)]
    encode = network_function("encode_source", [*run.lines, f"*last = {ends.name};"], run.result.name)
    parts.network.append(encode.replace("float **scores)", "float **scores, float **last)"))
    if plan.features is not None:
        text = source.format(symbol="symbol", out="out")
        head = "static void source_vector(const elman_model *m, size_t symbol, float *out)"
        parts.network.append(f"{head} {{ {text}; }}")
    return {"ROW": layers.row, "WIDTH": width}


def _decoder(parts: Parts, plan: Rewriting) -> dict[str, int]:
    """The statements of its layers and of its beginning, and its sizes.

    A row of state has the fields of each layer, and after them what its U multiplies."""
    model = parts.model
    model.affine(plan.bridge, "bridge")
    step: list[str] = []
    start: list[str] = []
    at, bridged, x = 0, 0, "x"
    for k, part in enumerate(plan.decoder, 1):
        (one,) = part.directions
        name, hidden = f"decoder_{k}", one.hidden_size
        model.recurrence(part, name)
        fields = len(one.equation.fields) * hidden
        read = f"&m->{name}, &m->{name}_W, m->{name}_b, {x}, count"
        x = f"y{k}"
        step += [f"float *{x};", f"TAKE(a, {x}, count * {hidden});"]
        step.append(f"TRY(decode_layer(a, {read}, states + {at}, STATE, {x}));")
        start.append(f"memcpy(first->state + {at}, start + {bridged}, {fields} * sizeof *start);")
        start.append(f"{model.begin_function(one)}(first->state + {at}, first->state + {at + fields}, first->y);")
        at += fields + hidden
        bridged += fields
    step.append(f"const float *y = {x};")
    parts.filled["@LAYERS@"] = "\n".join(f"  {line}" for line in step)
    parts.filled["@START@"] = "\n".join(f"  {line}" for line in start)
    inputs = plan.decoder[0].directions[0].W.shape[0]
    return {"DECODER": inputs, "STATE": at, "BRIDGE": bridged, "WRITTEN": plan.decoder[-1].output_size}


def _maps(parts: Parts, plan: Rewriting) -> None:
    """What attention multiplies."""
    model, attention = parts.model, plan.attention
    maps = {"key": attention.key, "hidden": attention.hidden, "read": attention.read, "gate": attention.gate}
    for name, W in (("query", attention.query), ("features", plan.features)):
        maps[name] = None if W is None else Affine(W, np.zeros(len(W), np.float32))
    for name, one in maps.items():
        if one is not None:
            model.affine(one, name)
    if attention.v is not None:
        model.numbers(attention.v, "attention_v")
    if attention.moves is not None:
        model.numbers(attention.moves, "moves")
        parts.constants.append(f"enum {{ MOVES = {len(attention.moves)} }};")


def _variants(plan: Rewriting) -> set[str]:
    """Which lines of runtime/rewrite.c are used."""
    attention, joined = plan.attention, plan.target.tokenizer["kind"]
    kind, copies = attention.kind, attention.gate is not None
    hard, soft, scored = kind == "hard", kind in ("dot", "general", "additive"), kind in ("dot", "general", "hard")
    used = {
        kind: True,
        "attention": kind != "none",
        "soft": soft,
        "softened": not hard,
        "product": kind in ("dot", "general"),
        "tanh": soft or (kind == "none" and attention.none_tanh),
        "key": kind != "none",
        "keymap": kind != "none" and attention.key is not None,
        "keysame": kind != "none" and attention.key is None,
        "query": scored and attention.query is not None,
        "plainquery": scored and attention.query is None,
        "copy": copies,
        "hardcopy": copies and hard,
        "softcopy": copies and not hard,
        "monotonic": attention.monotonic,
        "moncopy": attention.monotonic and copies,
        "anywhere": hard and not attention.monotonic,
        "feeding": plan.input_feeding,
        "feedback": plan.output_feedback,
        "features": plan.features is not None,
        "bytes": joined == "subwords",
        "joined": joined != "subwords",
        "spaces": joined in ("space", "words"),
    }
    return {name for name, is_used in used.items() if is_used}
