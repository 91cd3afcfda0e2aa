"""The files of a model: graphs with what is needed to feed them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from elman.errors import ResourceError, UsageError
from elman.export.onnx.check import compare, notes
from elman.export.onnx.lighter import lighter
from elman.export.onnx.network import network, one_step
from elman.export.onnx.rewriting import decoder_step, encoder
from elman.layers.plan import Table
from elman.tasks.plan import Labels, Next, Plan, Rewriting, Tags, Text
from elman.text.tokenizing import Words

FORMAT = 1


def write_files(model: Any, path: Path, weights: str, check: Any) -> Mapping[str, Any]:
    """See `elman.export.onnx.write`."""
    graphs = protos(model)
    files = {path if name == "" else path.with_name(f"{path.stem}.{name}.onnx"): p for name, p in graphs.items()}
    for file in files:
        if file != path and file.exists() and not path.exists():
            raise UsageError(f"{file}: expected nothing there, found a file; choose another --out, or remove it")
    sizes = {}
    for file, proto in files.items():
        try:
            onnx.save(lighter(proto, weights), file)
        except OSError as problem:
            raise ResourceError(f"{file}: cannot be written: {problem.strerror or problem}") from problem
        sizes[str(file)] = file.stat().st_size
    written: dict[str, Any] = {"files": sizes, "weights": weights}
    if check is not None:
        written["check"] = compare(model, dict(zip(graphs, files, strict=True)), check)
        written["notes"] = notes(written["check"])
    return written


def protos(model: Any) -> dict[str, onnx.ModelProto]:
    """The graphs of a model: "" is the whole network, "step" one step of a language model; of an encoder-decoder, the
    encoder, and one step of the decoder.

    Raises UsageError for a model that has no such form."""
    plan = model.plan()
    if isinstance(plan, Rewriting):
        data = {"elman": json.dumps(about_rewriting(plan, model.settings.flat()))}
        return {
            "": encoder(plan).model(f"{plan.task} {plan.model}, encoder", data),
            "step": decoder_step(plan).model(f"{plan.task} {plan.model}, one step of the decoder", data),
        }
    data = {"elman": json.dumps(about(plan, model.settings.flat()))}
    graphs = {"": network(plan).model(f"{plan.task} {plan.model}", data)}
    if isinstance(plan.answer, Next):
        graphs["step"] = one_step(plan).model(f"{plan.task} {plan.model}, one step", data)
    return graphs


def about(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What one must know to feed the graph and to read its answers."""
    inputs: list[dict[str, Any]] = []
    for one in plan.inputs:
        if isinstance(one, Table):
            inputs.append({"of": one.of, "items": one.items})
        else:
            inputs.append({"of": "characters", "longest": one.longest, "items": one.items})
    if plan.wide is not None:
        inputs.append({"of": "ngrams", "order": plan.wide.order, "edges": plan.wide.edges, "items": plan.wide.items})
    answer = plan.answer
    kind = "tags" if isinstance(answer, Tags) else "next" if isinstance(answer, Next) else ""
    return {
        "format": FORMAT,
        "task": plan.task,
        "model": plan.model,
        "tokenizer": plan.text.tokenizer,
        "pattern": _pattern(plan.text),
        "lowercase": plan.text.lowercase,
        "longest": plan.text.longest,
        "inputs": inputs,
        "answer": kind or ("labels" if isinstance(answer, Labels) and answer.several else "label"),
        "labels": answer.labels,
        "carries": isinstance(answer, Next) and answer.carries,
        "settings": dict(settings),
    }


def about_rewriting(plan: Rewriting, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What one must know to feed the encoder and the decoder's step."""
    return {
        "format": FORMAT,
        "task": plan.task,
        "model": plan.model,
        "tokenizer": plan.source.tokenizer,
        "pattern": _pattern(plan.source),
        "target_tokenizer": plan.target.tokenizer,
        "inputs": [{"of": "source", "items": plan.source_symbols}],
        "answer": "rewriting",
        "labels": plan.target_symbols,
        "copies": plan.attention.gate is not None,
        "beam": plan.beam,
        "length_penalty": plan.length_penalty,
        "longest": plan.longest,
        "settings": dict(settings),
    }


def _pattern(text: Text) -> str | None:
    """What a token is, as a regular expression of Python's `re`; None for subwords, which the tokenizer says all of."""
    kind = text.tokenizer["kind"]
    return Words().pattern if kind == "words" else {"space": r"\S+", "characters": r"(?s:.)"}.get(kind)
