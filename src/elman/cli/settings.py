"""Every key that a training can be told, as a table: what --help, --set and --config know without importing torch.

A test holds the table to the fields and defaults of `TaggerConfig` and `TrainingConfig`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import click

from elman.cli.groups import SectionOption
from elman.cli.options import FORMATS
from elman.errors import DataError, UsageError, nearest


class Setting(NamedTuple):
    """One key. kind: how its text is read, or the words it may be. A default of None can be given as `none`."""

    key: str
    flags: str
    kind: Literal["int", "float", "switch", "text"] | tuple[str, ...]
    default: Any
    help: str


NETWORK = (
    Setting(
        "cell",
        "--cell",
        "text",
        "lstm",
        "elman, elman-relu, lstm, lstm-peephole, lstm-coupled, lstm-layernorm, gru, mgu, indrnn, mingru, minlstm, sru, "
        "hard-memory, soft-memory, deep-transition, or file.py:MyCell",
    ),
    Setting("hidden_size", "--hidden/--hidden-size", "int", 200, "units of each direction"),
    Setting("layers", "--layers", "int", 1, "recurrent layers"),
    Setting("one_way", "--one-way", "switch", False, "read from left to right only"),
    Setting("delays", "--delays", "int", 1, "how many earlier outputs each step sees"),
    Setting("window_before", "", "int", 0, "neighbouring words before, which each step sees too"),
    Setting("window_after", "", "int", 0, "neighbouring words after"),
    Setting("crf", "--crf", "switch", False, "score whole tag sequences, by a linear-chain CRF"),
    Setting(
        "scheme",
        "--scheme",
        ("auto", "none", "io", "iob1", "iob2", "bioes"),
        "auto",
        "how tags mark spans; auto looks at the training tags",
    ),
    Setting("word_size", "--word-size", "int", 128, "size of the learned word vectors; 0: none"),
    Setting("char_cell", "--char-cell", "text", "lstm", "cell of the character encoder"),
    Setting("char_size", "--char-size", "int", 48, "size of the character vectors; 0: no characters"),
    Setting("char_hidden_size", "--char-hidden/--char-hidden-size", "int", 96, "units of the character encoder"),
    Setting("vectors", "--vectors", "text", None, "a file of word vectors: word2vec, GloVe or fastText text"),
    Setting("dropout", "--dropout", "float", 0.5, "share of the units dropped in training"),
    Setting(
        "word_dropout", "--word-dropout", "float", 0.2, "share of the words read by their characters alone in training"
    ),
    Setting("unknown", "--unknown", "float", 0.25, "how readily rare words are dropped in training"),
)
TRAINING = (
    Setting("optimizer", "--optimizer", ("adamw", "sgd"), "adamw", "how weights move"),
    Setting("learning_rate", "--learning-rate", "float", 2e-3, "at its highest"),
    Setting("momentum", "--momentum", "float", 0.9, "of sgd"),
    Setting("weight_decay", "--weight-decay", "float", 0.0, "pull of the weights towards 0"),
    Setting("warmup_steps", "--warmup-steps", "int", 100, "steps of rising learning rate"),
    Setting("decay", "--decay", ("linear", "cosine", "none"), "linear", "how the learning rate falls"),
    Setting("clip", "--clip", "float", 5.0, "largest gradient norm; 0: any"),
    Setting("epochs", "--epochs", "int", 15, "passes over the training data"),
    Setting("patience", "--patience", "int", 0, "epochs without a better dev score before stopping; 0: any number"),
    Setting("max_time", "--max-time", "text", None, "stop after 90s, 10m, 1h30m"),
    Setting("average", "--average", "float", 0.999, "decay of the moving average of the weights; 0: none"),
    Setting("batch_tokens", "--batch-tokens", "int", 500, "words of a batch, about"),
    Setting("seed", "--seed", "int", 1, "of all that is drawn at random"),
    Setting("threads", "--threads", "int", None, "processor threads"),
    Setting("checkpoint_every", "--checkpoint-every", "float", 60.0, "seconds between checkpoints"),
)
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which chooses the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("format", "--format", FORMATS, None, "of all the files (default: by the suffix of the training file)"),
    Setting(
        "column",
        "--column",
        "text",
        None,
        "where the tags are: upos, xpos, feats, feats:Key, misc:Key; a column's number; a key of JSON lines "
        "(default upos, the last column, tags)",
    ),
    Setting("word_column", "--word-column", "int", None, "the words' column of a column file (default 1)"),
    Setting("encoding", "--encoding", "text", None, "of the files (default utf-8)"),
    Setting("out", "--out", "text", None, "the new model folder"),
    Setting("init", "--init", "text", None, "another model folder to start from"),
)
ALL = {setting.key: setting for setting in (*DATA, *NETWORK, *TRAINING)}
DEFAULTS = {setting.key: setting.default for setting in (*NETWORK, *TRAINING)}
_TYPES: dict[str, click.ParamType] = {"int": click.INT, "float": click.FLOAT, "text": click.STRING}
_METAVARS = {"int": "N", "float": "X", "text": "TEXT"}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def click_options() -> list[click.Option]:
    """One option for every setting that has flags, and --window for the two that share one."""
    made: list[click.Option] = []
    for section, settings in (("Data", DATA), ("Network", NETWORK), ("Training", TRAINING)):
        for setting in settings:
            if setting.key == "window_before":
                made.append(_window(section))
            if setting.flags:
                made.append(_option(setting, section))
    return made


def _option(setting: Setting, section: str) -> click.Option:
    help = setting.help
    if setting.kind == "switch":
        declared = [setting.key, f"{setting.flags}/--no-{setting.flags.removeprefix('--')}"]
        return SectionOption(declared, default=None, help=help, section=section)
    if setting.default is not None:
        help += f" (default {setting.default})"
    metavar: str | None = None
    if isinstance(setting.kind, tuple):
        kind: click.ParamType = click.Choice(setting.kind)
    else:
        kind, metavar = _TYPES[setting.kind], _METAVARS[setting.kind]
        if setting.key in ("train", "dev", "test", "vectors"):
            metavar = "FILE"
        elif setting.key in ("out", "init"):
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


def _window(section: str) -> click.Option:
    help = "words before and after that each step sees too (default 0,0)"
    return SectionOption(["window", "--window"], type=_Window(), metavar="N,N", help=help, section=section)


def from_flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given as flags, by key."""
    given = {key: value for key, value in options.items() if key in ALL and value is not None}
    if options.get("window") is not None:
        given["window_before"], given["window_after"] = options["window"]
    return given


def from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """The settings of `--set key=value`. Raises UsageError for an unknown key or a value of the wrong kind."""
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key, text = key.strip().replace("-", "_"), text.strip()
        if not equals:
            raise UsageError(f"--set: expected key=value, found {pair!r}")
        if key not in ALL:
            raise UsageError(f"--set: unknown key {key!r}; {nearest(key, list(ALL))}")
        given[key] = _value(ALL[key], text)
    return given


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
            raise UsageError(f"--set {setting.key}: expected one of {', '.join(words)}, found {text!r}")
    return text


def from_file(path: str) -> dict[str, Any]:
    """The settings of a TOML file of flat keys. Raises UsageError for an unknown key, DataError for a broken file."""
    import tomllib

    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as problem:
        raise UsageError(f"--config {path}: cannot be read: {problem.strerror or problem}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise DataError(f"expected TOML, found something else: {problem}", file=path) from None
    for key, value in given.items():
        if isinstance(value, dict):
            raise UsageError(f"{path}: expected flat keys (key = value), found the table [{key}]; take its heading out")
        if key not in ALL:
            raise UsageError(f"{path}: unknown key {key!r}; {nearest(key, list(ALL))}")
        if key in _DATA_TEXT and not isinstance(value, str) and not (key == "column" and isinstance(value, int)):
            raise UsageError(f"{path}: {key}: expected text in quotes, found {value!r}")
        if key == "word_column" and (isinstance(value, bool) or not isinstance(value, int)):
            raise UsageError(f"{path}: {key}: expected a whole number, found {value!r}")
        if key == "format" and value not in FORMATS:
            raise UsageError(f"{path}: unknown format {value!r}; {nearest(value, list(FORMATS))}")
    return given


_DATA_TEXT = {setting.key for setting in DATA} - {"word_column"}
