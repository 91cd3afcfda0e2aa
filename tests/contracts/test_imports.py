"""Imports point only down, never sideways, never in a circle; and what must answer fast does not import torch."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import elman
from elman.tasks import TASKS

ROOT = Path(inspect.getfile(elman)).parent
MAP = Path(__file__).parents[2] / "docs" / "code.md"


def levels() -> dict[str, int]:
    """Room -> level, as docs/code.md draws the house; elman/__init__.py and __main__.py stand on top."""
    found = {}
    for names, level in re.findall(r"^    (\w[\w, ]*?) +(\d)$", MAP.read_text(encoding="utf-8"), re.MULTILINE):
        found |= {name.strip(): int(level) for name in names.split(",")}
    return found | dict.fromkeys(("elman", "__main__"), max(found.values()) + 1)


LEVELS = levels()
GROUND = {name for name, level in LEVELS.items() if level == 0}  # single files, which count as one room
LAZY = re.compile(r"(elman(?:\.\w+)+)(:\w+)?")  # a row of a registry: "elman.text.conllu:Conllu", or the module alone


def modules(root: Path) -> dict[str, Path]:
    """Every module under a package folder: dotted name -> file."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = [root.name, *file.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def for_types(tree: ast.Module) -> set[ast.AST]:
    """The nodes under `if TYPE_CHECKING:`, which never run."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {node for block in blocks for part in block.body for node in ast.walk(part)}


def imports(name: str, file: Path, known: dict[str, Path], types: bool = True) -> set[tuple[str, int]]:
    """(module of elman, line) for every import in a file: at the top, in functions, and in strings of registries.

    types: those for type annotations only too."""
    found: set[tuple[str, int]] = set()

    def add(target: str, line: int) -> None:
        while target not in known and "." in target:  # elman.errors.UsageError -> elman.errors
            target = target.rpartition(".")[0]
        if target in known:
            found.add((target, line))

    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    left_out = set() if types else for_types(tree)
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                if (base, alias.name) != ("elman", "__version__"):  # a constant, set above all imports
                    add(f"{base}.{alias.name}", node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            row = LAZY.fullmatch(node.value)
            if row and row[1] in known:
                found.add((row[1], node.lineno))
    return {(target, line) for target, line in found if target != name}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "elman"


def wrong_directions(root: Path) -> list[str]:
    """Every import that points up or sideways, as text."""
    known, problems = modules(root), []
    for name, file in known.items():
        if room(name) not in LEVELS:
            problems.append(f"{name}: the room {room(name)!r} has no level; give it one in docs/code.md")
            continue
        for target, line in sorted(imports(name, file, known)):
            own, other = LEVELS[room(name)], LEVELS.get(room(target), 99)
            together = room(name) == room(target) or {room(name), room(target)} <= GROUND
            if other > own or (other == own and not together):
                way = "up" if other > own else "sideways"
                problems.append(f"{file.relative_to(root)}:{line}: {name} imports {target}, which points {way}")
    return problems


def circles(root: Path) -> list[str]:
    """Every import that closes a circle of modules, depth first, one for types only included."""
    known = modules(root)
    graph = {name: sorted({target for target, _ in imports(name, file, known)}) for name, file in known.items()}
    done: set[str] = set()
    path: list[str] = []
    found: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            found.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            path.append(name)
            for target in graph[name]:
                visit(target)
            path.pop()
            done.add(name)

    for name in graph:
        visit(name)
    return found


def test_imports_point_only_down():
    problems = wrong_directions(ROOT)
    assert not problems, "\n".join(problems)


def test_no_circles():
    found = circles(ROOT)
    assert not found, "\n".join(found)


def test_the_version_stands_above_all_imports_that_run():
    """So that any room may take `elman.__version__` without waiting for the rooms above."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (version,) = (n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__version__")
    known = modules(ROOT)
    lines = [line for _, line in imports("elman", known["elman"], known, types=False)]
    assert isinstance(version.value, ast.Constant) and all(line > version.lineno for line in lines)


def test_there_is_something_to_read():
    known = modules(ROOT)
    assert {"elman", "elman.errors", "elman.recurrent", "elman.recurrent.cell"} <= set(known)
    assert ("elman.errors", "elman.recurrent.cell") in {
        (target, name) for name, file in known.items() for target, _ in imports(name, file, known)
    }


WRONG = {
    "up": ({"text/a.py": "from elman.recurrent import Cell"}, "points up"),
    "up in a function": ({"metrics/a.py": "def f():\n    import elman.tasks.tagging"}, "metrics/a.py:2"),
    "up in a registry": ({"text/a.py": "ROWS = {'x': 'elman.tasks.tagging:Tagger'}"}, "points up"),
    "up to the top": ({"recurrent/a.py": "from elman import Cell"}, "points up"),
    "up in a registry of modules": ({"text/a.py": "ROWS = {'x': 'elman.tasks.tagging'}"}, "points up"),
    "up for types": (
        {"text/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from elman.tasks import tagging"},
        "text/a.py:3",
    ),
    "up, relative": ({"text/a.py": "from ..recurrent import Cell"}, "points up"),
    "sideways": ({"text/a.py": "import elman.metrics"}, "points sideways"),
    "unknown room": ({"attic/a.py": ""}, "'attic' has no level"),
    "circle": ({"text/a.py": "import elman.text.b", "text/b.py": "from elman.text import a"}, "elman.text.a -> "),
    "circle of types": (
        {
            "text/a.py": "import elman.text.b",
            "text/b.py": "import typing\nif typing.TYPE_CHECKING:\n    from elman.text.a import x",
        },
        "elman.text.a -> elman.text.b -> elman.text.a",
    ),
    "circle of three": (
        {
            "text/a.py": "from . import b",
            "text/b.py": "from .c import x",
            "text/c.py": "def f():\n    from .a import y",
        },
        "elman.text.a -> elman.text.b -> elman.text.c -> elman.text.a",
    ),
    "circle through the room": (
        {"text/__init__.py": "from elman.text.a import x", "text/a.py": "import elman.text"},
        "->",
    ),
}


def house(folder: Path, files: dict[str, str]) -> Path:
    root = folder / "elman"
    rooms = ["text", "metrics", "recurrent", "tasks", "tasks/tagging", "cli"]
    for path, text in {**{f"{name}/__init__.py": "" for name in ["", *rooms]}, "cli/main.py": "", **files}.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_import_is_found(case, tmp_path):
    files, message = WRONG[case]
    root = house(tmp_path, files)
    found = "\n".join(wrong_directions(root) + circles(root))
    assert message in found, found


def test_right_imports_pass(tmp_path):
    files = {
        "text/a.py": "import torch\nimport numpy.linalg\nfrom elman import __version__\nfrom elman.text import b",
        "text/b.py": "import typing\nif typing.TYPE_CHECKING:\n    from elman.errors import x",
        "errors.py": "",
        "tasks/tagging/a.py": "from elman.text.a import x\nfrom ...recurrent import y\nfrom . import b",
        "tasks/tagging/b.py": "NOTE = 'see elman.cli.main: it prints'",
        "__init__.py": "from elman.cli import main\nNAMES = {'f': 'elman.text.a:f'}",
    }
    root = house(tmp_path, files)
    assert not wrong_directions(root) and not circles(root)


def test_what_must_answer_fast_does_not_import_torch() -> None:
    """Every file of the rooms below the one that needs it first, every command, and the public names."""
    first = LEVELS["recurrent"]
    names = ["elman", *(name for name in modules(ROOT) if room(name) == "cli" or LEVELS[room(name)] < first)]
    code = f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n"
    code += "    if 'torch' in sys.modules:\n        sys.exit(name)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_only_the_folder_of_a_task_names_it() -> None:
    """A command asks the task, a lens asks the model; neither says its name, not even in a help text."""
    names = re.compile(rf"\b({'|'.join(TASKS)})\b")
    for file in [*(ROOT / "cli").rglob("*.py"), *(ROOT / "inspect").rglob("*.py")]:
        if ROOT / "cli" / "tasks" not in file.parents:
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                assert not names.search(line), f"{file.relative_to(ROOT)}:{number}: {line.strip()}"


def test_the_lenses_know_no_task() -> None:
    """What they ask of a task stands in `elman.tasks.examine`: no import of a task's folder, no choice by its name, no
    setting and no part of its network."""
    folders = {".".join(row.split(".")[:3]) for models in TASKS.values() for row in models.values()}
    assert len(folders) == len(TASKS)
    for name, file in modules(ROOT / "inspect").items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom):
                assert not any(f"{node.module}.".startswith(f"{folder}.") for folder in folders), where
            elif isinstance(node, ast.Attribute):
                assert node.attr not in ("settings", "crf", "vocabulary"), where
            elif isinstance(node, ast.Compare):
                assert not {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)} & {*TASKS}, where
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
                assert getattr(node.args[1], "value", "") not in ("settings", "crf", "vocabulary"), where
