"""Every key that a training accepts, in tables: what --help, --set and --config know without importing torch.

Each task has a table, in its folder: the keys of its data, and its models' settings as their classes declare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from elman.cli.groups import SectionOption
from elman.config import Config, Setting
from elman.errors import DataError, UsageError, nearest, quoted

OUT = Setting("out", "--out", "text", None, "the new model folder")
INIT = Setting("init", "--init", "text", None, "another model folder to start from: what both have in common is copied")
ENCODING = Setting("encoding", "--encoding", "text", None, "encoding of the files (default utf-8)")
SKIP_BROKEN = Setting(
    "skip_broken",
    "--skip-broken",
    "switch",
    False,
    "leave out broken sentences or texts and report how many; otherwise the file is refused",
)
FIRST = Setting("first", "--first", "int", None, "train on the first N sentences, texts or lines only (default: all)")
_TYPES: dict[str, click.ParamType] = {"int": click.INT, "float": click.FLOAT, "text": click.STRING}
_METAVARS = {"int": "N", "float": "X", "text": "TEXT"}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_FILES, _FOLDERS = ("train", "dev", "test", "vectors"), ("out", "init")


class Table:
    """The settings of a task.

    data:     what is read and written; all models of the task share it
    network, training: the classes of its recurrent network's settings
    rivals:   model -> the classes of its settings; those that it shares with another are the same in both
    """

    def __init__(
        self,
        data: Sequence[Setting],
        network: type[Config],
        training: type[Config],
        rivals: Mapping[str, Sequence[type[Config]]],
    ) -> None:
        model = Setting("model", "--model", ("network", *rivals), "network", "the recurrent network, or a rival of it")
        self.data = (*data, FIRST, model)
        classes = {"network": (network, training), **rivals}
        self.models = {name: tuple(one for kind in kinds for one in kind.settings()) for name, kinds in classes.items()}
        mine = {setting.key for setting in self.models["network"]}
        others = {s.key: s for settings in self.models.values() for s in settings if s.key not in mine}
        self.sections = {
            "Data": self.data,
            # what only this network has comes first, such as its cell
            "Network": tuple(sorted(network.settings(), key=lambda one: one.key not in network.__annotations__)),
            "Training": training.settings(),
            "Rivals": tuple(others.values()),
        }
        self.all = {setting.key: setting for settings in self.sections.values() for setting in settings}
        # also by the names of flags: --hidden is --hidden-size
        self.keys = {key: key for key in self.all}
        for setting in self.all.values():
            for flag in setting.flags.split("/"):
                self.keys.setdefault(flag.removeprefix("--").replace("-", "_"), setting.key)

    def defaults(self, model: str) -> dict[str, Any]:
        """The keys and defaults of a model."""
        return {setting.key: setting.default for setting in self.models[model]}

    def click_options(self) -> list[click.Option]:
        """One option for every setting that has flags, and --window for the two that share one."""
        options: list[click.Option] = []
        for section, settings in self.sections.items():
            for setting in settings:
                if setting.key == "window_before":
                    options.append(_window(section, setting.default))
                if setting.flags:
                    options.append(option(setting, section))
        return options

    def from_flags(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that were given as flags, by key."""
        given = {key: value for key, value in options.items() if key in self.all and value is not None}
        if options.get("window") is not None:
            given["window_before"], given["window_after"] = options["window"]
        return given

    def from_pairs(self, pairs: Iterable[str]) -> dict[str, Any]:
        """The settings of `--set key=value`. Raises UsageError for an unknown key or a value of the wrong kind."""
        given: dict[str, Any] = {}
        for pair in pairs:
            key, equals, text = pair.partition("=")
            key, text = key.strip().replace("-", "_"), text.strip()
            if not equals:
                raise UsageError(f"--set: expected key=value, found {pair!r}")
            if key not in self.keys:
                raise UsageError(f"--set: unknown key {key!r}; {nearest(key, list(self.all))}")
            key = self.keys[key]
            given[key] = _value(self.all[key], text)
        return given

    def from_file(self, path: str) -> dict[str, Any]:
        """The settings of a TOML file of flat keys. Raises UsageError for an unknown key, DataError if not TOML."""
        import tomllib

        try:
            with open(path, "rb") as file:
                given = tomllib.load(file)
        except OSError as problem:
            raise UsageError(f"--config {path}: cannot be read: {problem.strerror or problem}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise DataError(f"expected TOML, found something else: {problem}", file=path) from None
        read = {}
        for key, value in given.items():
            if isinstance(value, dict):
                raise UsageError(f"{path}: expected flat keys (key = value), found the table [{key}]; leave out [..]")
            if key not in self.keys:
                raise UsageError(f"{path}: unknown key {key!r}; {nearest(key, list(self.all))}")
            setting = self.all[self.keys[key]]
            if setting.key in read:
                raise UsageError(f"{path}: {setting.key} is given twice, also as {key}; remove one")
            if setting in self.data:
                _check_data(path, setting, value)
            read[setting.key] = value
        return read


def option(setting: Setting, section: str) -> click.Option:
    """One option, under this heading of the help."""
    help = setting.help
    if setting.kind == "switch":
        help += " (default)" if setting.default else ""
        declared = [setting.key, f"{setting.flags}/--no-{setting.flags.removeprefix('--')}"]
        return SectionOption(declared, default=None, help=help, section=section)
    if setting.default is not None:
        help += f" (default {setting.default})"
    metavar: str | None = None
    if isinstance(setting.kind, tuple):
        kind: click.ParamType = click.Choice(setting.kind)
    else:
        kind, metavar = _TYPES[setting.kind], _METAVARS[setting.kind]
        if setting.key in _FILES:
            metavar = "FILE"
        elif setting.key in _FOLDERS:
            metavar = "DIR"
    return SectionOption(
        [setting.key, *setting.flags.split("/")], type=kind, metavar=metavar, help=help, section=section
    )


class _Window(click.ParamType):
    name = "window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        before, comma, after = str(value).partition(",")
        if not (comma and before.strip().isdecimal() and after.strip().isdecimal()):
            self.fail(f"expected two numbers such as 2,1; found {value!r}", param, ctx)
        return int(before), int(after)


def _window(section: str, default: int) -> click.Option:
    help = f"words before and after that each step also sees (default {default},{default})"
    return SectionOption(["window", "--window"], type=_Window(), metavar="N,N", help=help, section=section)


def _value(setting: Setting, text: str) -> Any:
    if text.lower() == "none" and setting.default is None:
        return None
    match setting.kind:
        case "int" | "float":
            try:
                return int(text) if setting.kind == "int" else float(text)
            except ValueError:
                what = "a whole number" if setting.kind == "int" else "a number"
                raise UsageError(f"--set {setting.key}: expected {what}, found {text!r}") from None
        case "switch":
            if text.lower() not in _TRUE + _FALSE:
                raise UsageError(f"--set {setting.key}: expected true or false, found {text!r}")
            return text.lower() in _TRUE
        case tuple() as words if text not in words:
            raise UsageError(f"--set {setting.key}: expected one of {quoted(words)}, found {text!r}")
    return text


def _check_data(path: str, setting: Setting, value: Any) -> None:
    """The settings of data have no class that would check them. Raises UsageError."""
    match setting.kind:
        case "text" if not isinstance(value, str) and not (setting.key.endswith("column") and isinstance(value, int)):
            raise UsageError(f"{path}: {setting.key}: expected text in quotes, found {value!r}")
        case "int" if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"{path}: {setting.key}: expected a whole number, found {value!r}")
        case "switch" if not isinstance(value, bool):
            raise UsageError(f"{path}: {setting.key}: expected true or false, found {value!r}")
        case tuple() as words if value not in words:
            raise UsageError(f"{path}: unknown {setting.key} {value!r}; {nearest(str(value), list(words))}")
