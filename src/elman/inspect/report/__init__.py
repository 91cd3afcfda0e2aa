"""The report: one page, in one file, that shows what a View contains."""

from __future__ import annotations

import os
from pathlib import Path

from elman.errors import ResourceError
from elman.inspect.report.page import Program, page
from elman.inspect.report.panels import bar, header, panels
from elman.inspect.report.payload import payload
from elman.inspect.view import View


def html(view: View) -> str:
    """The page: style, scripts, drawings and numbers in one text that needs no network."""
    program = Program(data={"view": ("application/json", payload(view))})
    return page(view.title or "A model", header(view), list(panels(view)), bar(), program)


def write(view: View, path: str | os.PathLike[str]) -> None:
    """Write the page. Raises ResourceError when it cannot be written."""
    text = html(view)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise ResourceError(f"cannot write {path}: {problem.strerror or problem}; choose another file") from problem
