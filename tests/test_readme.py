"""What the README tells people to type works."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import elman
from elman.cli.main import COMMANDS
from elman.recurrent import CELLS
from elman.recurrent.cells import get_cell
from elman.text.grammar import write_corpus

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_start_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(Path("corpus"), 60, 1)
    Path("start.py").write_text(PYTHON[0], encoding="utf-8")
    names = runpy.run_path("start.py")
    assert len(names["best"][0].nbest) == 3
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_classifiers_and_language_models_run(capsys: pytest.CaptureFixture) -> None:
    names: dict = {}
    exec(PYTHON[1], names)
    assert names["classifier"].labels == ["bad", "good"] and len(capsys.readouterr().out.splitlines()) >= 3


def test_looking_inside_runs(capsys: pytest.CaptureFixture) -> None:
    exec(PYTHON[2], {})
    assert "[" in capsys.readouterr().out


def test_the_cell_of_your_own_fits_the_contract(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PYTHON[3], encoding="utf-8")
    elman.check_cell(get_cell(f"{tmp_path}/mine.py:Minimal")).raise_if_wrong()


@pytest.mark.usefixtures("compiler")
def test_the_cell_with_several_memories_is_compiled(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "several.py").write_text(code, encoding="utf-8")
    report = runpy.run_path(str(tmp_path / "several.py"))["elman"].check_cell(
        get_cell(f"{tmp_path}/several.py:FastAndSlow")
    )
    assert report.ok and report.path == "native"


def test_it_names_every_command_and_every_cell() -> None:
    for command in COMMANDS:
        assert f"elman {command}" in README, command
    for cell in CELLS:
        assert f"`{cell}`" in README, cell
