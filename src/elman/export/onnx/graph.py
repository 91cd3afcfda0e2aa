"""Graphs of ONNX operators, made node by node; values are known by their names."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from elman.recurrent.kernels.graph import Node, ordered
from elman.recurrent.kernels.operations import OPERATIONS

OPSET, IR = 17, 8  # what ONNX Runtime reads since 1.12 (2022)
KINDS = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
Value = str | int | float | NDArray[Any]


class Graph:
    """Nodes of one graph, or of a body inside another, whose values it may read. Equal nodes are one.

    Arguments are names of values, or constants: whole numbers are int64, others float32, arrays what they are.
    own: whether a body has its constants itself, not the graph around it"""

    def __init__(self, outer: Graph | None = None, own: bool = False) -> None:
        self._outer, self._own = outer, own or outer is None
        self._names: dict[str, int] = {} if outer is None else outer._names
        self._tensors: list[onnx.TensorProto] = [] if self._own or outer is None else outer._tensors
        self._constants: dict[Any, str] = {} if self._own or outer is None else outer._constants
        self._made: dict[Any, list[str]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, op: str, *arguments: Value, **attributes: Any) -> str:
        """The only result of an operator."""
        return self.several(op, arguments, 1, **attributes)[0]

    def several(self, op: str, arguments: Sequence[Value], results: int, **attributes: Any) -> list[str]:
        """The first results of an operator. An argument "" is left out."""
        names = [self.name(a) for a in arguments]
        bodies = {k: v for k, v in attributes.items() if isinstance(v, onnx.GraphProto)}
        key = (op, tuple(names), results, repr(sorted(attributes.items())))
        if not bodies and key in self._made:
            return self._made[key]
        outputs = [self.fresh(op.lower()) for _ in range(results)]
        self._nodes.append(helper.make_node(op, names, outputs, name=outputs[0], **attributes))
        self._made[key] = outputs
        return outputs

    def name(self, value: Value) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            return self.constant(np.array(value, np.int64))
        return self.constant(np.array(value, np.float32) if isinstance(value, float) else value)

    def constant(self, array: NDArray[Any], name: str = "constant") -> str:
        """name: what to call it; equal arrays are one."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, sha256(array.tobytes()).digest())
        if key not in self._constants:
            self._constants[key] = self.fresh(name)
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def fresh(self, name: str) -> str:
        """A name that no other value has."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """An input; the names of dimensions say which are equal."""
        name = self._edge(name)
        self._inputs.append(helper.make_tensor_value_info(name, KINDS[kind], shape))
        return name

    def output(self, value: str, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """Give out a value by this name."""
        name = self._edge(name)
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, KINDS[kind], shape))
        return name

    def _edge(self, name: str) -> str:
        """The name of an input or output: this one, or in a body one like it."""
        free = self.fresh(name if self._outer is None else f"step_{name}")
        assert self._outer is not None or free == name, name
        return free

    def proto(self, name: str) -> onnx.GraphProto:
        """What was made, without the nodes that no output needs."""
        nodes = _needed(self._nodes, {one.name for one in self._outputs})
        used = set().union(*(_read(node) for node in nodes))
        tensors = [one for one in self._tensors if one.name in used] if self._own else []
        return helper.make_graph(nodes, name, self._inputs, self._outputs, tensors)

    def model(self, name: str, about: Mapping[str, str]) -> onnx.ModelProto:
        """about: the metadata of the file."""
        from elman import __version__

        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(self.proto(name), opset_imports=[opset], ir_version=IR, producer_name="elman")
        model.producer_version = __version__
        helper.set_model_props(model, dict(about))
        return model


def elementwise(g: Graph, roots: Sequence[Node], inputs: Mapping[tuple[str, int], str]) -> list[str]:
    """The values of expressions. inputs: the name of every input's value."""
    values: dict[Node, str] = {}
    for node in ordered(roots):
        if node.op == "input":
            values[node] = inputs[node.value]
        elif node.op == "const":
            values[node] = g.name(node.value)
        else:
            values[node] = operation(g, OPERATIONS[node.op].onnx, [values[a] for a in node.args])
    return [values[root] for root in roots]


def operation(g: Graph, form: str, arguments: Sequence[str]) -> str:
    """The value of an operation, from its form in OPERATIONS."""
    return _value(g, _parsed(form), arguments)


_INFIX = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div"}


@cache
def _parsed(form: str) -> ast.expr:
    return ast.parse(form.format("a0", "a1", "a2"), mode="eval").body


def _value(g: Graph, form: ast.expr, arguments: Sequence[str]) -> str:
    if isinstance(form, ast.Name):
        return arguments[int(form.id[1:])]
    if isinstance(form, ast.BinOp):
        return g(_INFIX[type(form.op)], _value(g, form.left, arguments), _value(g, form.right, arguments))
    if isinstance(form, ast.Call):
        assert isinstance(form.func, ast.Name)
        attributes = {k.arg: ast.literal_eval(k.value) for k in form.keywords if k.arg}
        return g(form.func.id, *(_value(g, a, arguments) for a in form.args), **attributes)
    return g.name(float(ast.literal_eval(form)))


def _needed(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """In their order, what the wanted values depend on."""
    kept, wanted = [], set(wanted)
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= _read(node)
    return kept[::-1]


def _read(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads, its bodies too."""
    names = set(node.input)
    for attribute in node.attribute:
        names.update(*(_read(inner) for inner in attribute.g.node))
    return names
