"""Graphs with smaller weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

SMALL = 64  # numbers of a constant that stays as it is
FLOAT = onnx.TensorProto.FLOAT


def lighter(model: onnx.ModelProto, weights: str) -> onnx.ModelProto:
    """The graph with weights float32, float16 or int8. Inputs, outputs and metadata are the same.

    float16: they are widened when the graph is loaded, and numbers are float32 as before.
    int8: ONNX Runtime's `quantize_dynamic`: weights of LSTM and of products by row, tables as a whole; what is
    multiplied with them is rounded too, for a batch at a time. It knows no GRU and RNN: theirs are int8 by row, and
    widened at each call."""
    if weights == "float32":
        return model
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    if weights == "float16":
        for graph in _graphs(smaller.graph):
            _replace(graph, [one.name for one in graph.initializer if _is_large(one)], _half)
        return smaller
    smaller = _quantized(smaller)
    for graph in _graphs(smaller.graph):
        others = [name for node in graph.node if node.op_type in ("GRU", "RNN") for name in node.input[1:3]]
        _replace(graph, others, _by_row)
    return smaller


def _quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    # the tool would put what widens their results behind what reads them
    inside = [node.name for body in _graphs(model.graph)[1:] for node in body.node if node.op_type == "Gather"]
    about = {one.key: one.value for one in model.metadata_props}
    # otherwise the tool recommends a preparation that is for other networks
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["Gather", "LSTM", "MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=inside,
            extra_options={"EnableSubgraph": True},
        )
        smaller = onnx.load(path)
    domains = {node.domain for graph in _graphs(smaller.graph) for node in graph.node}
    missing = domains - {one.domain for one in smaller.opset_import}  # those of bodies alone
    smaller.opset_import.extend(helper.make_opsetid(domain, 1) for domain in sorted(missing) if domain)
    helper.set_model_props(smaller, about)
    return smaller


def _graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """The graph and the bodies in it."""
    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [graph, *(inner for body in bodies for inner in _graphs(body))]


def _is_large(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == FLOAT and bool(np.prod(tensor.dims) > SMALL)


Made = tuple[list[onnx.TensorProto], list[onnx.NodeProto]]


def _replace(graph: onnx.GraphProto, names: Sequence[str], make: Callable[[str, NDArray[Any]], Made]) -> None:
    """Make weights from smaller ones. make: gives constants and the nodes that compute the weights of this name."""
    old = {one.name: one for one in graph.initializer if one.name in names}
    made = [make(name, numpy_helper.to_array(tensor)) for name, tensor in old.items()]
    tensors = [one for one in graph.initializer if one.name not in old] + [one for each, _ in made for one in each]
    nodes = [node for _, each in made for node in each] + list(graph.node)
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    del graph.node[:]
    graph.node.extend(nodes)


def _half(name: str, weights: NDArray[Any]) -> Made:
    most = float(np.finfo(np.float16).max)
    small = numpy_helper.from_array(np.clip(weights, -most, most).astype(np.float16), f"{name}_half")
    return [small], [helper.make_node("Cast", [small.name], [name], name=f"{name}_cast", to=FLOAT)]


def _by_row(name: str, weights: NDArray[Any]) -> Made:
    """weights (..., columns)"""
    rows = weights.reshape(-1, weights.shape[-1])
    scale = np.maximum(np.abs(rows).max(1), 1e-12) / 127
    small = numpy_helper.from_array(np.rint(rows / scale[:, None]).astype(np.int8), f"{name}_int8")
    scales = numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale")
    shape = numpy_helper.from_array(np.array(weights.shape, np.int64), f"{name}_shape")
    wide = f"{name}_rows"
    return [small, scales, shape], [
        helper.make_node("DequantizeLinear", [small.name, scales.name], [wide], name=wide, axis=0),
        helper.make_node("Reshape", [wide, shape.name], [name], name=f"{name}_reshape"),
    ]
