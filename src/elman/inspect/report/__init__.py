"""The report: one page, in one file, that shows what a View holds."""

from __future__ import annotations

import os
from pathlib import Path

from elman.inspect.report.page import page
from elman.inspect.report.panels import bar, header, panels
from elman.inspect.report.payload import payload
from elman.inspect.view import View
from elman.training.atomic import replace_file


def html(view: View) -> str:
    """The page: style, scripts, drawings and numbers in one text, which needs no network."""
    return page(view.title or "A model", header(view), list(panels(view)), bar(), payload(view))


def write(view: View, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all. Raises ResourceError when it cannot be written."""
    replace_file(Path(path), html(view).encode("utf-8"))
