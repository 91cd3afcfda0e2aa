"""Help is fast and whole: nothing heavy is imported for it, and it knows every setting with its real default."""

from __future__ import annotations

import subprocess
import sys

import pytest

from elman.cli.main import COMMANDS
from elman.cli.tasks import DEMOS, get_task
from elman.cli.tasks import TASKS as SHOWN
from elman.cli.tasks.classify import settings as classify
from elman.cli.tasks.tag import settings as tag
from elman.config import CELL_HELP
from elman.tasks import TASKS

HEAVY = ("torch", "msgspec", "rich", "numpy", "safetensors", "elman.text.formats", "elman.training")
TRAIN = [["train", task] for task in TASKS]
ALL = [[], *([name] for name in COMMANDS), *TRAIN, ["data", "make"], ["data", "make", "grammar"]] + [
    ["demo", name] for name in DEMOS
]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom elman.cli.main import run\n"
        f"codes = [run([*command, '--help']) for command in {ALL!r}]\n"
        f"print(codes, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == f"{[0] * len(ALL)} []"


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_short_and_long_help(elman, command: list[str]) -> None:
    short, long = elman(*command, "-h"), elman(*command, "--help")
    assert short == long and short.code == 0 and short.err == "" and "Usage: elman" in short.out


def test_no_arguments_is_help_and_version(elman) -> None:
    import elman as package

    assert "Commands:" in elman().out and elman().code == 0
    assert elman("--version").out == f"elman {package.__version__}\n"


@pytest.mark.parametrize("task, model", [(task, model) for task in TASKS for model in TASKS[task]])
def test_the_table_of_settings_is_that_of_the_classes(task: str, model: str) -> None:
    from elman.tasks.load import model_class

    table, kind = get_task(task).table, model_class(task, model)
    defaults = kind.config().to_dict() | kind.training().to_dict()
    assert table.defaults(model) == defaults
    kinds = {bool: "switch", int: "int", float: "float"}
    for key, value in kind().settings.flat().items():
        if value is not None and not isinstance(value, str):
            assert table.all[key].kind == kinds[type(value)], key
    for setting in table.models[model]:
        assert table.all[setting.key].default == setting.default  # the help shows one


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_has_an_option_and_its_default_in_the_help(elman, task: str) -> None:
    words = " ".join(elman("train", task, "--help").out.split())
    for setting in get_task(task).table.all.values():
        if setting.key.startswith("window_"):
            continue
        assert setting.flags.split("/")[0] in words
        if setting.kind != "switch" and setting.default is not None:
            assert f"{setting.help} (default {setting.default})" in words


def test_names_in_help_are_those_of_the_tables() -> None:
    from elman.layers.characters import LONGEST
    from elman.layers.pooling import POOLINGS
    from elman.recurrent import CELLS
    from elman.tasks.classification.config import ClassifierConfig
    from elman.tasks.language_model.config import CorpusConfig
    from elman.tasks.tagging.config import LONGEST_AFFIX
    from elman.text import FORMATS
    from elman.text.labelled import EXAMPLE_FORMATS
    from elman.text.tokenizing import TOKENIZERS

    assert set(tag.FORMATS) == FORMATS.keys()
    assert set(classify.FORMATS) == EXAMPLE_FORMATS.keys()
    for kind in (ClassifierConfig, CorpusConfig):
        (tokenizer,) = (one for one in kind.settings() if one.key == "tokenizer")
        assert set(tokenizer.kind) == TOKENIZERS.keys()
    assert next(one for one in ClassifierConfig.settings() if one.key == "pooling").kind == POOLINGS
    assert LONGEST_AFFIX == LONGEST // 2
    assert ", ".join([*CELLS, "or file.py:MyCell"]) == CELL_HELP
    assert SHOWN.keys() == TASKS.keys()
    for task, models in TASKS.items():
        assert list(get_task(task).table.models) == list(models)
