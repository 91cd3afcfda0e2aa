"""Classes of settings. A field is declared as

    hidden_size: int = setting(200, "--hidden/--hidden-size", "units of each direction", COUNT)

and read by the class itself, which checks its values, and by the command line, which makes an option of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, dataclass_transform

from elman.errors import UsageError, shorten

Kind = Literal["int", "float", "switch", "text"] | tuple[str, ...]
C = TypeVar("C")
LARGEST = 2**63 - 1  # the largest integer that torch accepts
# The names of elman.recurrent.CELLS, which help must not wait for; a test keeps the two in sync.
CELL_HELP = (
    "elman, elman-relu, lstm, lstm-peephole, lstm-coupled, lstm-layernorm, gru, mgu, indrnn, mingru, minlstm, sru, "
    "hard-memory, soft-memory, deep-transition, or file.py:MyCell"
)


class Rule(NamedTuple):
    """What a value must be, besides its type. choices: the allowed words, if it is one of a few."""

    fits: Callable[[Any], bool]
    expected: str
    choices: tuple[str, ...] = ()


COUNT = Rule(lambda v: v >= 1, "a whole number of 1 or more")
SIZE = Rule(lambda v: v >= 0, "a whole number of 0 or more")
SHARE = Rule(lambda v: 0 <= v < 1, "a number from 0 to below 1")
NUMBER = Rule(lambda v: 0 <= v < math.inf, "a number of 0 or more")


def one_of(*names: str) -> Rule:
    """One of these words."""
    return Rule(lambda v: v in names, "one of " + ", ".join(names), names)


class Setting(NamedTuple):
    """One key, as the command line sees it. kind: how its text is parsed, or the allowed words. A default of None can
    be given as `none`."""

    key: str
    flags: str
    kind: Kind
    default: Any
    help: str


# Name of a type -> the type, what it is called, and how the command line reads it.
_TYPES: dict[str, tuple[type, str, Kind]] = {
    "int": (int, "a whole number", "int"),
    "float": (float, "a number", "float"),
    "bool": (bool, "true or false", "switch"),
    "str": (str, "text", "text"),
}


def setting(default: Any, flags: str, help: str, rule: Rule | None = None, *, kind: Kind | None = None) -> Any:
    """A field of a `config` class. flags: as in "--hidden/--hidden-size"; help: one line for the command line.

    kind: how the command line reads it, if not as its type says"""
    return field(default=default, metadata={"flags": flags, "help": help, "rule": rule, "kind": kind})


class _Declared(NamedTuple):
    """type: the name in _TYPES; optional: it may be None."""

    setting: Setting
    rule: Rule | None
    type: str
    optional: bool


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, field))
def config(kind: type[C]) -> type[C]:
    """Make a class of settings: a frozen dataclass whose fields are passed by name. A subclass may give a field of its
    base another default with `name: type = value`; flags, help and rule are kept."""
    return dataclass(frozen=True, kw_only=True)(kind)


@config
class Config:
    """The base of all classes of settings. Raises UsageError stating what was expected."""

    _declared: ClassVar[tuple[_Declared, ...]]

    def __post_init__(self) -> None:
        for declared in self._declarations():
            value = getattr(self, declared.setting.key)
            if not (value is None and declared.optional):
                self._check(declared, value)

    def _check(self, declared: _Declared, value: Any) -> None:
        (kind, what, _), rule, key = _TYPES[declared.type], declared.rule, declared.setting.key
        if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
            value = float(value)
            object.__setattr__(self, key, value)
        # bool is an int to Python, never to us
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if fits and kind is int and abs(value) > LARGEST:
            fits, what = False, f"a number of at most {LARGEST:,}"
        elif rule is not None:
            what = rule.expected + (", or none" if declared.optional else "")
        if not fits or (rule is not None and not rule.fits(value)):
            raise UsageError(f"setting {key}: expected {what}, found {shorten(value)}")

    @classmethod
    def _declarations(cls) -> tuple[_Declared, ...]:
        """For every field, in the order of the class."""
        if "_declared" not in cls.__dict__:
            cls._declared = tuple(cls._declaration(one.name, str(one.type), one.default) for one in fields(cls))
        return cls._declared

    @classmethod
    def _declaration(cls, key: str, annotation: str, default: Any) -> _Declared:
        metadata = next(  # if a subclass gives only a default, its base has the rest
            meta
            for base in cls.__mro__
            if (one := getattr(base, "__dataclass_fields__", {}).get(key)) is not None and (meta := one.metadata)
        )
        rule: Rule | None = metadata["rule"]
        word, *more = annotation.split(" | ")
        kind: Kind = metadata["kind"] or (rule.choices if rule is not None and rule.choices else _TYPES[word][2])
        return _Declared(Setting(key, metadata["flags"], kind, default, metadata["help"]), rule, word, "None" in more)

    @classmethod
    def settings(cls) -> tuple[Setting, ...]:
        """Every key, in the order of the class."""
        return tuple(declared.setting for declared in cls._declarations())

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(one.name for one in fields(cls))

    def to_dict(self) -> dict[str, Any]:
        """Every key with its value."""
        return {key: getattr(self, key) for key in self.names()}
