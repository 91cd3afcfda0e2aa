"""The lecture runs, and shows what is committed with it; what reading-the-report.md says to type works."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch

import elman.inspect
from elman.cli.inspect import inspect as inspect_command
from elman.inspect import look
from elman.inspect.report.panels import EXTRAS, panels

DOCS = Path(__file__).parents[1] / "docs"
GUIDE = (DOCS / "reading-the-report.md").read_text(encoding="utf-8")
spec = importlib.util.spec_from_file_location("lecture_runner", DOCS / "notebook.py")
assert spec is not None and spec.loader is not None
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)


@pytest.fixture(scope="module")
def lecture():
    """The committed notebook, the namespace and the outputs of a run of it."""
    threads = torch.get_num_threads()
    notebook, namespace = runner.read(), {}
    try:
        found = runner.run(notebook, namespace)
    finally:
        torch.set_num_threads(threads)
    return SimpleNamespace(notebook=notebook, namespace=namespace, outputs=found)


def test_it_runs_and_shows_what_is_committed(lecture) -> None:
    committed = [[runner.kind(one) for one in cell["outputs"]] for cell in runner.code_cells(lecture.notebook)]
    assert [[runner.kind(one) for one in found] for found in lecture.outputs] == committed
    assert lecture.notebook["metadata"]["elman"]["outputs_of"] == runner.fingerprint(lecture.notebook), (
        "the lecture was edited and not run: python docs/notebook.py"
    )


def test_its_figures_are_drawings(lecture) -> None:
    drawn = [one["data"] for found in lecture.outputs for one in found if runner.kind(one) == "image/svg+xml"]
    assert len(drawn) >= 12
    for data in drawn:
        root = ElementTree.fromstring("".join(data["image/svg+xml"]))
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and len(root) > 8
        assert "".join(data["text/plain"]) == root.find("{*}desc").text


def test_the_report_of_the_lecture_is_a_page(lecture) -> None:
    page = (lecture.namespace["folder"] / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "How far back it remembers" in page


def test_it_is_valid_nbformat_4_5() -> None:
    """The rules of its schema that a hand can break."""
    notebook = json.loads(runner.LECTURE.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[\w-]{1,64}", one) for one in ids)
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and isinstance(cell["metadata"], dict)
        lists = [cell["source"]]
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            keys |= {"execution_count", "outputs"}
            assert isinstance(cell["execution_count"], int)
            for one in cell["outputs"]:
                if one["output_type"] == "stream":
                    assert set(one) == {"output_type", "name", "text"}
                    lists.append(one["text"])
                else:
                    assert set(one) == {"output_type", "execution_count", "data", "metadata"}
                    assert one["output_type"] == "execute_result"
                    assert one["execution_count"] == cell["execution_count"] and "text/plain" in one["data"]
                    lists += one["data"].values()
        assert set(cell) == keys
        assert all(isinstance(line, str) for lines in lists for line in lines)


def test_a_cell_runs_as_in_jupyter() -> None:
    namespace: dict = {}
    (printed, result) = runner.outputs("x = 2\nprint('a')\nx + 1", namespace, 3)
    assert printed == {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    assert result["data"] == {"text/plain": ["3"]} and result["execution_count"] == 3
    assert runner.outputs("x = 5", namespace, 4) == [] and namespace["x"] == 5
    with pytest.raises(ZeroDivisionError):
        runner.run({"cells": [{"cell_type": "code", "source": "1 / 0"}]}, {})


def test_an_edit_changes_the_fingerprint() -> None:
    notebook = runner.read()
    before = runner.fingerprint(notebook)
    runner.code_cells(notebook)[3]["source"] += " "
    assert runner.fingerprint(notebook) != before


# The guide


def test_the_python_of_the_guide_runs(lecture, tmp_path, monkeypatch, capsys) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {"tagger": lecture.namespace["taggers"]["lstm"]})
    assert len(capsys.readouterr().out.splitlines()) >= 2 and Path("report.html").stat().st_size > 50_000


def test_the_commands_of_the_guide_are_commands() -> None:
    lines = re.findall(r"^elman inspect (.*)$", GUIDE.replace("\\\n", ""), re.MULTILINE)
    assert lines
    for line in lines:
        inspect_command.make_context("inspect", shlex.split(line))


def test_the_guide_names_every_panel_and_nothing_that_is_not_there(lecture) -> None:
    view = look(lecture.namespace["taggers"]["lstm"], "the boys run")
    for panel in panels(view):
        assert re.search(rf"^(## |- \*\*){re.escape(panel.heading)}", GUIDE, re.MULTILINE), panel.heading
    for heading, _ in EXTRAS.values():
        assert re.search(rf"^(## |- \*\*){re.escape(heading)}", GUIDE, re.MULTILINE), heading
    for drawing in re.findall(r"!\[[^]]+\]\(([^)]+)\)", GUIDE):
        assert ElementTree.parse(DOCS / drawing).getroot().tag.endswith("svg"), drawing
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", GUIDE, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= anchors
    table = GUIDE.split("| --- |", 1)[1].split("```python")[0]
    names = {
        name for row in table.splitlines() if row.count("|") == 5 for name in re.findall(r"`(\w+)", row.split("|")[3])
    }
    assert names - {"fit"} <= set(elman.inspect.__all__)


# The public names


def test_all_is_honest() -> None:
    assert sorted(elman.inspect.__all__) == sorted(elman.inspect._EXPORTS) == elman.inspect.__all__
    for name, module in elman.inspect._EXPORTS.items():
        value = getattr(elman.inspect, name)
        assert value is getattr(importlib.import_module(module), name) and callable(value), name
    with pytest.raises(AttributeError, match="no attribute 'lok'"):
        elman.inspect.lok  # noqa: B018


def test_no_module_has_the_name_of_a_function() -> None:
    """Otherwise importing it would put it in the place of the function. And nothing of torch comes with the package."""
    files = {path.stem for path in Path(elman.inspect.__file__).parent.iterdir()}
    assert not files & set(elman.inspect._EXPORTS)
    code = "import sys, elman.inspect; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
