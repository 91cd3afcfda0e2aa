"""What a step reads besides its arguments: attributes of its cell, globals and closures of its functions.

A compiled step contains their values. So they are looked up again at each call, and other values need another program;
what could change unseen is rejected."""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from elman.recurrent.cell import Cell, kind_of
from elman.recurrent.kernels.refusal import Impure, Untraceable

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
CHANCE = ("random", "time", "secrets", "uuid", "datetime", "numpy.random")  # another answer at each call
OTHERS = (*sys.stdlib_module_names, "torch", "numpy", "elman")  # whose functions do not change
MISSING = object()


class Reads:
    """The values that a cell's step, recur and output depend on, collected while they run on `watched`."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._seen: dict[str, Any] = {}
        self._found: list[tuple[str, Callable[[Any], Any], Any]] = []  # a name for people, how to look it up, its value
        self._known: set[str] = set()
        self._functions: set[types.CodeType] = set()

    def watched(self, kind: type[Cell]) -> type[Cell]:
        """A subclass that records which attributes are read."""
        seen = self._seen

        class Watched(kind):  # type: ignore[misc, valid-type]
            def __getattribute__(self, name: str) -> Any:
                value = super().__getattribute__(name)
                if not (name.startswith("__") and name.endswith("__")):
                    seen.setdefault(name, value)
                return value

        Watched.__name__ = kind.__name__
        return Watched

    def finish(self) -> None:
        """Examine what was read. Raises Untraceable for what could change unseen."""
        for kind in kind_of(self._cell).__mro__:
            if kind is Cell:
                break
            for name, value in vars(kind).items():  # also reached as type(self).name
                if _is_plain(value) and not name.startswith("__"):
                    self._seen.setdefault(name, value)
        for name, value in self._seen.items():
            if not isinstance(value, Tensor):
                self._add(f"self.{name}", _attribute(name), value)

    def unchanged(self, cell: Cell) -> bool:
        """Whether the same values are read now, from a cell of the same class."""
        return all(_is_same(look(cell), value) for _, look, value in self._found)

    def changed(self, cell: Cell) -> list[str]:
        """The names of values that have changed."""
        return [name for name, look, value in self._found if not _is_same(look(cell), value)]

    def _add(self, name: str, look: Callable[[Any], Any], value: Any) -> None:
        if name in self._known:
            return
        self._known.add(name)
        function = getattr(value, "__func__", value)
        if isinstance(function, types.FunctionType):
            self._found.append((name, look, value))
            self._follow(function)
        elif isinstance(value, types.ModuleType) or _is_plain(value):
            if _by_chance(value):
                raise Impure(f"it uses {name}, which gives a different number at each call")
            if not isinstance(value, types.ModuleType):
                self._found.append((name, look, value))
        elif callable(value):
            if _by_chance(value):
                raise Impure(f"it calls {name}, which gives a different number at each call")
            if not _is_fixed(value):
                raise Untraceable(f"it calls {name}, an object that may change unseen; use a function")
            self._found.append((name, look, value))
        else:
            kind = type(value).__name__
            raise Untraceable(f"it reads {name}, whose contents ({kind}) may change unseen; use a number or a tuple")

    def _follow(self, function: types.FunctionType) -> None:
        """What a user's function reads in turn."""
        if function.__code__ in self._functions or _top(function.__module__) in OTHERS:
            return
        self._functions.add(function.__code__)
        where = f"{function.__module__}."
        for name, *attributes in _chains(function.__code__):
            look = _variable(function, name)
            value = look(None)
            while attributes and value is not MISSING and not isinstance(value, PLAIN):
                if _by_chance(value):
                    raise Impure(f"it uses {name}, which gives a different number at each call")
                attribute = attributes.pop(0)
                name, look = f"{name}.{attribute}", _then(look, attribute)
                value = look(None)
            if value is not MISSING and not isinstance(value, Tensor):  # a tensor is rejected where it is used
                self._add(where + name, look, value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, PLAIN)


def _is_fixed(value: Any) -> bool:
    """Whether a callable stays the same function as long as it is the same object."""
    if isinstance(value, functools.partial):
        plain = (*value.args, *value.keywords.values())
        return _is_fixed(value.func) and all(_is_plain(item) for item in plain)
    return isinstance(value, type | types.BuiltinFunctionType | types.FunctionType | types.MethodDescriptorType)


def _is_same(value: Any, before: Any) -> bool:
    function = getattr(value, "__func__", None)
    if function is not None:  # a method is a new object each time
        return function is getattr(before, "__func__", None)
    return value is before or (type(value) is type(before) and _is_plain(before) and bool(value == before))


def _by_chance(value: Any) -> bool:
    """Whether it comes from a module of random numbers or clocks."""
    if isinstance(value, types.ModuleType):
        name = value.__name__
    elif isinstance(value, type):
        name = value.__module__
    else:
        owner = getattr(value, "__self__", None)
        of_owner = owner is not None and not isinstance(owner, types.ModuleType)
        name = type(owner).__module__ if of_owner else getattr(value, "__module__", None) or ""
    return any(name == chance or name.startswith(f"{chance}.") for chance in CHANCE)


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda cell: getattr(cell, name, MISSING)


def _variable(function: types.FunctionType, name: str) -> Callable[[Any], Any]:
    """How to look up a variable that a function does not define itself."""
    if name in function.__code__.co_freevars and function.__closure__:
        cell = function.__closure__[function.__code__.co_freevars.index(name)]

        def look(_: Any) -> Any:
            try:
                return cell.cell_contents
            except ValueError:
                return MISSING

        return look
    variables = function.__globals__
    return lambda _: variables.get(name, getattr(builtins, name, MISSING))


def _then(look: Callable[[Any], Any], attribute: str) -> Callable[[Any], Any]:
    return lambda cell: getattr(look(cell), attribute, MISSING)


def _chains(code: types.CodeType) -> Iterator[list[str]]:
    """The variables that code reads from outside, each with the attributes then read from it: config.scale."""
    chain: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
            chain.append(instruction.argval)
            continue
        if chain and instruction.opname not in ("CACHE", "EXTENDED_ARG"):
            yield chain
            chain = []
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"):
            chain = [instruction.argval]
        elif instruction.opname == "IMPORT_NAME" and _top(instruction.argval) in CHANCE:
            raise Impure(f"it uses {instruction.argval}, which gives a different number at each call")
    if chain:
        yield chain
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _chains(constant)
